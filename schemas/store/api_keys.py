"""API keys and their scopes. Only the SHA-256 of a secret is stored: a random secret needs no slow hash.

The hash ``faces-service:keys`` has a field for each name. A key is ``faces_NAME.SECRET``: it is looked up by its name
and compared in constant time.
"""

import hashlib
import hmac
import re
import secrets
import time
from datetime import UTC, datetime
from typing import Literal, cast

import msgspec
from redis.asyncio import Redis

from schemas.names import CALLER, Names

Scope = Literal["submit", "read", "admin"]
NAME = CALLER
_PREFIX = "faces_"
_TICKET = re.compile(rf"({NAME.pattern})\.([0-9]{{1,12}})\.([0-9a-f]{{64}})")


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as it is stored.

    Attributes:
        scopes: "submit" (submit and cancel jobs), "read" (jobs and results), "admin" (everything, deletion included).
        digest: SHA-256 of the secret, hexadecimal.
    """

    name: str
    scopes: tuple[Scope, ...]
    created_at: str
    digest: str

    def allows(self, scope: Scope) -> bool:
        """Whether the key has the scope, or "admin"."""
        return scope in self.scopes or "admin" in self.scopes

    def ticket(self, seconds: float) -> str:
        """A text that proves for so many seconds that its bearer had this key; see `ApiKeys.find_by_ticket`."""
        expires = f"{time.time() + seconds:.0f}"
        return f"{self.name}.{expires}.{self._signature(expires)}"

    def has_signed(self, expires: str, signature: str) -> bool:
        """Whether a ticket is this key's, and has not expired."""
        valid = hmac.compare_digest(signature.encode(), self._signature(expires).encode())
        return valid and float(expires) > time.time()

    def _signature(self, expires: str) -> str:
        text = f"ticket {self.name} {expires}"
        return hmac.new(self.digest.encode(), text.encode(), hashlib.sha256).hexdigest()


_UNKNOWN = msgspec.json.encode(ApiKey(name="", scopes=("read",), created_at="", digest="-" * 64))
"""Compared where a name is unknown; no secret has its digest."""


class ApiKeys:
    """Creates, revokes and finds API keys.

    Args:
        redis: client with ``decode_responses=False``.
    """

    def __init__(self, redis: Redis, names: Names) -> None:
        self._redis = redis
        self._key = names.keys

    async def create(self, name: str, scopes: tuple[Scope, ...]) -> str | None:
        """Creates a key and returns it, this once; None when the name is taken."""
        secret = secrets.token_urlsafe(32)
        created = datetime.now(UTC).isoformat(timespec="seconds")
        key = ApiKey(name=name, scopes=scopes, created_at=created, digest=_digest(secret))
        new = await self._redis.hsetnx(self._key, name, msgspec.json.encode(key).decode())
        return f"{_PREFIX}{name}.{secret}" if new else None

    async def revoke(self, name: str) -> bool:
        """Deletes a key; False when there is none of that name."""
        return bool(await self._redis.hdel(self._key, name))

    async def all(self) -> list[ApiKey]:
        """All keys, by name."""
        stored = cast("dict[bytes, bytes]", await self._redis.hgetall(self._key))
        return sorted(
            (msgspec.json.decode(v, type=ApiKey) for v in stored.values()), key=lambda key: key.name
        )

    async def exist(self) -> bool:
        """Whether there is any key."""
        return bool(await self._redis.hlen(self._key))

    async def find(self, token: str) -> ApiKey | None:
        """The key that a caller presents; None when it is unknown or wrong."""
        name, _, secret = token.removeprefix(_PREFIX).partition(".")
        if not token.startswith(_PREFIX) or not NAME.fullmatch(name):
            return None
        stored = await self._redis.hget(self._key, name)
        key = msgspec.json.decode(
            stored or _UNKNOWN, type=ApiKey
        )  # an unknown name takes as long as a known one
        return key if hmac.compare_digest(key.digest, _digest(secret)) else None

    async def named(self, name: str) -> ApiKey | None:
        """The key of that name."""
        stored = await self._redis.hget(self._key, name)
        return msgspec.json.decode(stored, type=ApiKey) if stored else None

    async def find_by_ticket(self, ticket: str) -> ApiKey | None:
        """The key that made a ticket; None when the ticket is invalid or expired, or the key was revoked."""
        match = _TICKET.fullmatch(ticket)
        key = await self.named(match[1]) if match else None
        return key if match and key and key.has_signed(match[2], match[3]) else None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogateescape")).hexdigest()
