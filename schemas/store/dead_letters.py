"""Dead letters: messages that were given up, with all it takes to understand them and to send them again.

The runtime writes them (consumers.runtime.dead_letters); whoever operates the service reads them here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import msgspec
from redis.asyncio import Redis

from schemas.envelope import JSON, MSGPACK
from schemas.store.jobs import Jobs
from schemas.store.lua import Call, load, run

READ_AT_ONCE = 200
REPLAYS = b"replays"
"""Field of a stream entry that counts how often it was replayed."""
REPLAY = load(__package__, "replay")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Attributes:
    body: the bytes of the message as they came, `body_field` the field they were in; "" when there was none.
    headers: the other fields of the entry.
    message: the message as decoded, when `body` is no envelope by itself.
    reason: why it was given up; `error` and `text` are the exception's type and text, "" when there was none.
    attempts: tries in all; `deliveries` counts those of its last entry by the server.
    first, last: Unix seconds: when the message was made, when it was given up.
    record, outcomes, unit: whose outcome the failure was, when it was one.
    """

    id: str
    stage: str
    stream: str
    job: str
    type: str
    reason: str
    error: str
    text: str
    trace: str
    attempts: int
    deliveries: int
    first: float
    last: float
    worker: str
    replays: int
    traceparent: str
    body: bytes
    body_field: str
    headers: dict[bytes, bytes]
    message: bytes
    record: str
    outcomes: str
    unit: str | None


async def listed(
    redis: Redis, dead_stream: str, *, reason: str | None = None, limit: int | None = None
) -> list[DeadLetter]:
    """Dead letters, oldest first.

    Args:
        reason: only those whose reason contains this text.
        limit: so many at most.
    """
    found: list[DeadLetter] = []
    start = "-"
    while True:
        entries = cast("list[tuple[bytes, Any]]", await redis.xrange(dead_stream, start, "+", READ_AT_ONCE))
        letters = [_read(entry_id.decode(), fields) for entry_id, fields in entries]
        found += [dead for dead in letters if reason is None or reason in dead.reason]
        if limit is not None and len(found) >= limit:
            return found[:limit]
        if len(entries) < READ_AT_ONCE:
            return found
        start = "(" + letters[-1].id


async def show(redis: Redis, dead_stream: str, letter_id: str) -> DeadLetter | None:
    entries = cast("list[tuple[bytes, Any]]", await redis.xrange(dead_stream, letter_id, letter_id))
    return _read(letter_id, entries[0][1]) if entries else None


Replayed = Literal["sent", "missing", "ended"]
_ANSWERS: dict[int, Replayed] = {1: "sent", 0: "missing", -1: "ended"}


async def replay(redis: Redis, dead_stream: str, dead: DeadLetter, jobs: Jobs | None = None) -> Replayed:
    """Sends the message again, with all its attempts before it, and takes back the outcome of its unit.

    Args:
        jobs: a job that has ended without the unit begins again for it, as long as its frames are kept.

    Returns:
        "sent"; "missing": somebody else was faster; "ended": its job has ended or is gone, so nobody waits
        for it, and the letter stays.
    """
    keys = [dead_stream, dead.stream, *([] if dead.unit is None else [dead.record, dead.outcomes])]
    message = [part for field in _again(dead).items() for part in field]
    told = _ANSWERS[await run(redis, Call(REPLAY, keys, [dead.id, dead.unit or "", *message]))]
    if told == "ended" and jobs is not None and await jobs.reopen(dead.job):
        return await replay(redis, dead_stream, dead)
    return told


async def drop(redis: Redis, dead_stream: str, letter_ids: Sequence[str]) -> int:
    """Deletes letters for good; returns how many there were."""
    return int(await redis.xdel(dead_stream, *letter_ids)) if letter_ids else 0


def _again(dead: DeadLetter) -> dict[bytes, bytes]:
    """The fields of the replayed entry: the bytes as they came, but for the attempts, which start over."""
    fields = dict(dead.headers)
    body_field, body = dead.body_field.encode(), dead.body
    if dead.message:
        body_field, body = MSGPACK, dead.message
    if body_field:
        fields[body_field] = _first_attempt(body_field, body)
    fields[REPLAYS] = b"%d" % (dead.replays + 1)
    return fields


def _first_attempt(body_field: bytes, body: bytes) -> bytes:
    codec: Any = msgspec.json if body_field == JSON else msgspec.msgpack
    try:
        envelope = codec.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return body  # it did not decode before: whoever replays it expects a reader that can
    if "attempt" not in envelope:
        return body
    return cast("bytes", codec.encode(envelope | {"attempt": 0}))


def _read(letter_id: str, fields: Mapping[bytes, bytes]) -> DeadLetter:
    told = {name.decode(): value for name, value in fields.items()}
    raw = {name: told.pop(name, b"") for name in ("body", "headers", "message")}
    text = {name: value.decode(errors="replace") for name, value in told.items()}
    return msgspec.convert(
        {
            "unit": None,
            **text,
            **raw,
            "id": letter_id,
            "headers": msgspec.msgpack.decode(raw["headers"], type=dict[bytes, bytes]),
        },
        DeadLetter,
        strict=False,
        builtin_types=(bytes,),
    )
