"""How a message that is given up becomes a dead letter; schemas.store.dead_letters reads and replays them."""

import time
import traceback
from typing import Any

import msgspec

from consumers.runtime.scripts import Owner
from consumers.runtime.stage import Completion, Fields, Outgoing
from schemas.envelope import JSON, MSGPACK, Envelope
from schemas.store.dead_letters import REPLAYS

TRACE_BYTES = 8192


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


def _is_envelope(body_field: bytes, body: bytes) -> bool:
    codec: Any = msgspec.json if body_field == JSON else msgspec.msgpack
    try:
        codec.decode(body, type=Envelope[msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True


def _bytes(value: str | bytes | float) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
