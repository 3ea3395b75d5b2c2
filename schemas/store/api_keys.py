"""Keys of the API: who may do what. The server keeps their SHA-256 alone, since a key is as random as its hash.

The hash ``faces:keys`` has a field for each name. A key reads ``faces_NAME.SECRET``, so that it is found by its
name and compared in constant time.
"""

import hashlib
import hmac
import re
import secrets
from datetime import UTC, datetime
from typing import Literal, cast

import msgspec
from redis.asyncio import Redis

from schemas.names import Names

Scope = Literal["submit", "read", "admin"]
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_PREFIX = "faces_"


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """Attributes:
    scopes: submit (and cancel) jobs, read them and their results, admin: everything, deleting too.
    digest: SHA-256 of the secret, hexadecimal.
    """

    name: str
    scopes: tuple[Scope, ...]
    created_at: str
    digest: str

    def allows(self, scope: Scope) -> bool:
        return scope in self.scopes or "admin" in self.scopes


_NOBODY = msgspec.json.encode(ApiKey(name="", scopes=("read",), created_at="", digest="-" * 64))
"""A key that no secret has the digest of."""


class ApiKeys:
    """Reads and writes the keys.

    Args:
        redis: client with ``decode_responses=False``.
    """

    def __init__(self, redis: Redis, names: Names) -> None:
        self._redis = redis
        self._place = names.keys

    async def create(self, name: str, scopes: tuple[Scope, ...]) -> str | None:
        """The key, which cannot be shown again; None when the name is taken."""
        secret = secrets.token_urlsafe(32)
        created = datetime.now(UTC).isoformat(timespec="seconds")
        key = ApiKey(name=name, scopes=scopes, created_at=created, digest=_digest(secret))
        new = await self._redis.hsetnx(self._place, name, msgspec.json.encode(key).decode())
        return f"{_PREFIX}{name}.{secret}" if new else None

    async def revoke(self, name: str) -> bool:
        """False: there is no such key."""
        return bool(await self._redis.hdel(self._place, name))

    async def all(self) -> list[ApiKey]:
        told = cast("dict[bytes, bytes]", await self._redis.hgetall(self._place))
        return sorted((msgspec.json.decode(v, type=ApiKey) for v in told.values()), key=lambda key: key.name)

    async def exist(self) -> bool:
        return bool(await self._redis.hlen(self._place))

    async def find(self, token: str) -> ApiKey | None:
        """The key that a caller presents; None when it is none of ours."""
        name, _, secret = token.removeprefix(_PREFIX).partition(".")
        if not token.startswith(_PREFIX) or not NAME.fullmatch(name):
            return None
        told = await self._redis.hget(self._place, name)
        key = msgspec.json.decode(
            told or _NOBODY, type=ApiKey
        )  # an unknown name takes as long as a known one
        return key if hmac.compare_digest(key.digest, _digest(secret)) else None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogateescape")).hexdigest()
