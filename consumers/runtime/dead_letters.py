"""Dead letters: makes the message that goes to the dead letter stream.

`schemas.store.dead_letters` lists and replays them.
"""

import traceback
from typing import Any

import msgspec

from consumers.runtime.scripts import Owner
from consumers.runtime.stage import Completion, Delivery, Fields, Outgoing, Stage
from schemas.envelope import JSON, MSGPACK, Envelope, published_at
from schemas.redaction import redact
from schemas.store.dead_letters import REPLAYS
from schemas.store.server_errors import error_text

MAX_TEXT_LENGTH = 8192
"""Characters of the reason, of the error text, and of the end of the traceback that are kept."""


def dead_letter(
    stage: Stage,
    owner: Owner,
    delivery: Delivery[Any],
    reason: str,
    error: Exception | None,
    completion: Completion,
) -> Outgoing:
    """Returns the dead letter of a message: its raw body and headers, why it failed, and where.

    Args:
        delivery: its envelope has no type when the entry could not be decoded.
        completion: the one applied with the dead letter; its unit is reopened by a replay.
    """
    envelope = delivery.envelope if delivery.envelope.type else None
    letter: dict[str, str | bytes | int | float] = {
        "stage": stage.name,
        "stream": owner.stream,
        "job": envelope.job if envelope else "",
        "type": envelope.type if envelope else "",
        "reason": redact(reason)[:MAX_TEXT_LENGTH],
        "error": type(error).__name__ if error else "",
        "text": redact(error_text(error))[:MAX_TEXT_LENGTH] if error else "",
        "trace": redact(_trace(error))[-MAX_TEXT_LENGTH:] if error else "",
        "attempts": (envelope.attempt if envelope else 0) + delivery.deliveries,
        "deliveries": delivery.deliveries,
        "first": created_at(delivery),
        "worker": owner.consumer,
        "replays": replays_of(delivery.fields),
        "traceparent": envelope.traceparent if envelope else "",
        "run": envelope.run if envelope else "",
        **_message_fields(delivery.fields, envelope),
        **_fan_in_fields(completion),
    }
    return Outgoing(stage.dead_stream, {name.encode(): _bytes(value) for name, value in letter.items()})


def created_at(delivery: Delivery[Any]) -> float:
    """Returns the Unix time of the server at which a message was first published."""
    return published_at(delivery.envelope, delivery.entry_id)


def replays_of(fields: Fields) -> int:
    """Returns how often a message was replayed from the dead letter stream."""
    replays = fields.get(REPLAYS, b"0")
    return int(replays) if replays.isdigit() else 0


def _message_fields(fields: Fields, envelope: Envelope[Any] | None) -> dict[str, str | bytes | int | float]:
    """Returns what a replay needs to send the message again."""
    body_field = next((name for name in (MSGPACK, JSON) if name in fields), b"")
    body = fields.get(body_field, b"")
    headers = {name: value for name, value in fields.items() if name not in (body_field, REPLAYS)}
    return {
        "body": body,
        "body_field": body_field,
        "headers": msgspec.msgpack.encode(headers),
        "message": msgspec.msgpack.encode(envelope)
        if envelope and not _is_envelope(body_field, body)
        else b"",
    }


def _fan_in_fields(completion: Completion) -> dict[str, str | bytes | int | float]:
    fan_in = completion.fan_in
    fields: dict[str, str | bytes | int | float] = {
        "record": fan_in.record if fan_in else "",
        "outcomes": fan_in.outcomes if fan_in else "",
    }
    if fan_in is not None and completion.unit is not None:
        fields["unit"] = completion.unit
    return fields


def _trace(error: Exception) -> str:
    return "".join(traceback.format_exception(error)).replace(str(error) or "\0", error_text(error))


def _is_envelope(body_field: bytes, body: bytes) -> bool:
    codec: Any = msgspec.json if body_field == JSON else msgspec.msgpack
    try:
        codec.decode(body, type=Envelope[msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True


def _bytes(value: str | bytes | float) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
