"""The envelope of every message, and its two encodings.

An entry of a stream has one field: ``msgpack`` (written by this service) or ``json`` (for publishers that cannot
write msgpack, such as `redis-cli`). Both contain the same object.
"""

import re
import secrets
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Generic, TypeVar

import msgspec
from msgspec import Meta

SCHEMA_VERSION = 1
MSGPACK, JSON = b"msgpack", b"json"

Body = TypeVar("Body")
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class EnvelopeError(ValueError):
    """An entry that cannot be decoded as a message; the text says why."""


class Envelope(msgspec.Struct, Generic[Body], frozen=True, kw_only=True, omit_defaults=True):
    """What the runtime needs to know of a message.

    Attributes:
        id: names the piece of work, not the entry: a redelivered message makes the same ids downstream.
        job: the job it belongs to.
        type: which struct the body is.
        version: major version of the body's schema.
        attempt: how often its handler has already failed (the server counts deliveries beside it).
        created: Unix seconds at which a message that is retried was first published; 0: when its entry was added.
        traceparent: W3C trace context, handed on to everything that follows.
        run: run of the job that it belongs to (`schemas.store.job_record`), handed on likewise; empty when it belongs
            to no run, or was written by the version before.
        caller: whose job it is (`schemas.store.fair_queue`), handed on likewise.
    """

    id: Annotated[str, Meta(max_length=512)]
    job: Annotated[str, Meta(max_length=128)]
    type: Annotated[str, Meta(max_length=64)]
    body: Body
    version: int = SCHEMA_VERSION
    attempt: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    created: float = 0.0
    traceparent: str = ""
    run: Annotated[str, Meta(max_length=64)] = ""
    caller: Annotated[str, Meta(max_length=128)] = ""

    def is_of(self, run: bytes | str | None) -> bool:
        """Whether the message is of the present run of its job, which its record has in the field of that name."""
        return self.run in ("", run.decode() if isinstance(run, bytes) else run)


_encoder = msgspec.msgpack.Encoder()
_msgpack = msgspec.msgpack.Decoder(Envelope[msgspec.Raw])
_json = msgspec.json.Decoder(Envelope[msgspec.Raw])


def seal(
    type: str,
    job: str,
    unit: str,
    body: msgspec.Struct | dict[str, Any],
    *,
    traceparent: str = "",
    attempt: int = 0,
    run: str = "",
    caller: str = "",
) -> dict[bytes, bytes]:
    """Returns the fields of a stream entry for a message.

    Args:
        unit: part of the message's id that is unique for the job and type; empty when there is one such message.
    """
    envelope = Envelope(
        id=f"{job}/{type}/{unit}" if unit else f"{job}/{type}",
        job=job,
        type=type,
        body=body,
        attempt=attempt,
        traceparent=valid_traceparent(traceparent),
        run=run,
        caller=caller,
    )
    return {MSGPACK: _encoder.encode(envelope)}


def seal_next(
    envelope: Envelope[Any], type: str, unit: str, body: msgspec.Struct | dict[str, Any]
) -> dict[bytes, bytes]:
    """Returns the fields of a stream entry for a message that follows another one of the same job and run."""
    return seal(
        type, envelope.job, unit, body,
        traceparent=envelope.traceparent, run=envelope.run, caller=envelope.caller,
    )  # fmt: skip


def open_entry(fields: Mapping[bytes, bytes], types: Mapping[str, type[Any]]) -> Envelope[Any]:
    """Decodes a stream entry, its body as the struct that `types` has for its type.

    Raises:
        EnvelopeError: no known field, bytes that do not decode, an unknown type or major version.
    """
    try:
        if (packed := fields.get(MSGPACK)) is not None:
            envelope = _msgpack.decode(packed)
            decode: Callable[..., Any] = msgspec.msgpack.decode
        elif (text := fields.get(JSON)) is not None:
            envelope, decode = _json.decode(text), msgspec.json.decode
        else:
            raise EnvelopeError(f"the entry has neither a msgpack nor a json field: {sorted(fields)[:8]!r}")
        if envelope.version != SCHEMA_VERSION:
            raise EnvelopeError(f"schema version {envelope.version} is not {SCHEMA_VERSION}")
        if envelope.type not in types:
            raise EnvelopeError(f"unknown message type {envelope.type!r}; expected {', '.join(types)}")
        body = decode(envelope.body, type=types[envelope.type])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise EnvelopeError(str(error)) from error
    except RecursionError as error:
        raise EnvelopeError("the entry is nested too deeply") from error
    return Envelope(
        id=envelope.id,
        job=envelope.job,
        type=envelope.type,
        body=body,
        version=envelope.version,
        attempt=envelope.attempt,
        created=envelope.created,
        traceparent=valid_traceparent(envelope.traceparent),
        run=envelope.run,
        caller=envelope.caller,
    )


def entry_time(entry_id: str) -> float:
    """Returns the Unix seconds at which the server added an entry, from the entry's id."""
    return int(entry_id.partition("-")[0]) / 1000


def published_at(envelope: Envelope[Any], entry_id: str) -> float:
    """Returns the Unix seconds at which a message was first published, by the clock of the server.

    The time in an envelope of another service counts only when it is earlier: its host's clock may be wrong.
    """
    added = entry_time(entry_id)
    return min(envelope.created or added, added)


def valid_traceparent(text: str) -> str:
    """Returns a W3C trace context as it is, and a new one in place of another text."""
    return text if _TRACEPARENT.fullmatch(text) else new_traceparent()


def new_traceparent() -> str:
    """Returns a new W3C trace context (https://www.w3.org/TR/trace-context/), version 00, sampled."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
