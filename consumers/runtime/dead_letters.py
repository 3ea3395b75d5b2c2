"""Dead letters: messages that were given up, with all it takes to understand them and to send them again."""

import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import msgspec
from redis.asyncio import Redis

from consumers.runtime import scripts
from consumers.runtime.scripts import Owner
from consumers.runtime.stage import Completion, Fields, Outgoing
from schemas.envelope import JSON, MSGPACK, Envelope

TRACE_BYTES = 8192
READ_AT_ONCE = 200
REPLAYS = b"replays"
"""Field of a stream entry that counts how often it was replayed."""


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


def letter(
    dead_stream: str,
    stage: str,
    owner: Owner,
    entry_id: str,
    fields: Fields,
    deliveries: int,
    envelope: Envelope[Any] | None,
    reason: str,
    error: Exception | None,
    completion: Completion,
) -> Outgoing:
    """The dead letter of a message; `envelope` is None when it could not be decoded."""
    body_field = next((name for name in (MSGPACK, JSON) if name in fields), b"")
    body = fields.get(body_field, b"")
    fan_in = completion.fan_in
    about: dict[str, str | bytes | int | float] = {
        "stage": stage,
        "stream": owner.stream,
        "job": envelope.job if envelope else "",
        "type": envelope.type if envelope else "",
        "reason": reason[:TRACE_BYTES],
        "error": type(error).__name__ if error else "",
        "text": str(error)[:TRACE_BYTES] if error else "",
        "trace": "".join(traceback.format_exception(error))[-TRACE_BYTES:] if error else "",
        "attempts": (envelope.attempt if envelope else 0) + deliveries,
        "deliveries": deliveries,
        "first": (envelope.created if envelope else 0.0) or int(entry_id.partition("-")[0]) / 1000,
        "last": time.time(),
        "worker": owner.consumer,
        "replays": replays_of(fields),
        "traceparent": envelope.traceparent if envelope else "",
        "body": body,
        "body_field": body_field,
        "headers": msgspec.msgpack.encode(
            {name: value for name, value in fields.items() if name not in (body_field, REPLAYS)}
        ),
        "message": msgspec.msgpack.encode(envelope)
        if envelope and not _is_envelope(body_field, body)
        else b"",
        "record": fan_in.record if fan_in else "",
        "outcomes": fan_in.outcomes if fan_in else "",
    }
    if fan_in is not None and completion.unit is not None:
        about["unit"] = completion.unit
    return Outgoing(dead_stream, {name.encode(): _bytes(value) for name, value in about.items()})


def replays_of(fields: Fields) -> int:
    told = fields.get(REPLAYS, b"0")
    return int(told) if told.isdigit() else 0


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


async def replay(redis: Redis, dead_stream: str, dead: DeadLetter) -> Replayed:
    """Sends the message again, with all its attempts before it, and takes back the outcome of its unit.

    Returns:
        "sent"; "missing": somebody else was faster; "ended": its job has ended or is gone, so nobody waits
        for it, and the letter stays.
    """
    message = Outgoing(dead.stream, _again(dead))
    call = scripts.replay(dead_stream, dead.id, message, dead.unit, dead.record, dead.outcomes)
    answers: dict[int, Replayed] = {1: "sent", 0: "missing", -1: "ended"}
    return answers[await scripts.run(redis, call)]


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


def _is_envelope(body_field: bytes, body: bytes) -> bool:
    codec: Any = msgspec.json if body_field == JSON else msgspec.msgpack
    try:
        codec.decode(body, type=Envelope[msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True


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


def _bytes(value: str | bytes | float) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
