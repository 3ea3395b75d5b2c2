"""Submitting again without a second job: a key of the caller's choice stands for one request (Idempotency-Key)."""

import hashlib
import re
from typing import cast

import msgspec
from redis.asyncio import Redis

from schemas.names import Names
from schemas.requests import AnalyzeRequest

KEPT = 86400
"""Seconds a key is remembered."""
KEY_PATTERN = r'^([!#-~]{1,255}|"[!#-~]{1,255}")$'
"""Visible ASCII characters but quotes, or the same in quotes, as a structured field has it."""


class KeyReused(Exception):
    """The key stands for another request."""


def parse_key(text: str) -> str | None:
    """The key in the header, without quotes; None when it cannot be one."""
    key = text.strip()
    return key.strip('"') if re.fullmatch(KEY_PATTERN, key) else None


async def job_for_key(
    redis: Redis, names: Names, key: str, caller: str, request: AnalyzeRequest, job_id: str
) -> str:
    """The job id that the key stands for: `job_id` when it is new, else that of the first submission.

    The id is settled before the job is submitted, so that a caller whose answer was lost on the way gets the same
    job however often it asks.

    Args:
        caller: whose key it is; two callers may choose the same.

    Raises:
        KeyReused: it stands for another request.
    """
    place = names.idempotency(hashlib.sha256(f"{caller}\n{key}".encode()).hexdigest())
    digest = hashlib.sha256(msgspec.msgpack.encode(request)).hexdigest()
    for _ in range(2):  # the key may expire between the two questions: then it is ours to take
        if await redis.set(place, f"{digest} {job_id}", nx=True, ex=KEPT):
            break
        if known := cast("bytes | None", await redis.get(place)):
            known_digest, _, known_job = known.decode().partition(" ")
            if known_digest != digest:
                raise KeyReused(f"The key {key!r} was used for another request already.")
            return known_job
    return job_id
