"""Idempotency-Key: repeating a submission with the same key of the caller's choice starts no second job."""

import hashlib
import re
from typing import cast

import msgspec
from redis.asyncio import Redis

from schemas.names import Names
from schemas.requests import AnalyzeRequest
from schemas.store.clock import server_time

KEY_TTL_SECONDS = 86400
KEY_PATTERN = r'^([!#-~]{1,255}|"[!#-~]{1,255}")$'
"""Visible ASCII characters except quotes, optionally in quotes as a structured field (RFC 8941)."""


class KeyReused(Exception):
    """The key was used for another request."""


def parse_key(text: str) -> str | None:
    """The key of a header, without quotes; None when it is not valid."""
    key = text.strip()
    return key.strip('"') if re.fullmatch(KEY_PATTERN, key) else None


async def job_for_key(
    redis: Redis, names: Names, key: str, caller: str, request: AnalyzeRequest, job_id: str
) -> tuple[str, float | None]:
    """Returns the job id of the key, and when it was used first (Unix seconds): `job_id` and None when it is new.

    The id is stored before the job is submitted, so that a caller that missed the response gets the same job however
    often it repeats the request.

    Args:
        caller: owner of the key; two callers may choose the same key.

    Raises:
        KeyReused: the key was used for another request.
    """
    place = names.idempotency(hashlib.sha256(f"{caller}\n{key}".encode()).hexdigest())
    digest = hashlib.sha256(msgspec.msgpack.encode(request)).hexdigest()
    now = await server_time(redis, place)
    for _ in range(2):  # the key may expire between the two commands: then it is free again
        if await redis.set(place, f"{digest} {job_id} {now}", nx=True, ex=KEY_TTL_SECONDS):
            break
        if known := cast("bytes | None", await redis.get(place)):
            known_digest, known_job, *first = known.decode().split(" ")
            if known_digest != digest:
                raise KeyReused(f"The key {key!r} was used for another request already.")
            return known_job, float(first[0]) if first else 0.0
    return job_id, None
