"""Webhooks: signed notifications of the end of a job, and of what happens in libraries (Standard Webhooks 1.0, https://www.standardwebhooks.com).

A delivery is a POST of `JobEnded` as JSON with the headers ``webhook-id`` (the same in every attempt, so that a
receiver recognises a repetition), ``webhook-timestamp`` (Unix seconds of the attempt) and ``webhook-signature``: for
each secret ``v1,`` and the base64 of HMAC-SHA256 over ``id.timestamp.body``.
"""

import binascii
import hashlib
import hmac
import time
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal, TypeVar

import msgspec

from schemas.envelope import entry_time
from schemas.library_view import LibraryEvent
from schemas.results import ResultSummary

Body = TypeVar("Body")
EndState = Literal["completed", "failed", "cancelled"]
ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
MAX_AGE_SECONDS = 300.0
"""Greatest difference between a delivery's timestamp and the receiver's clock; an older one may be a replay."""
_PREFIX = "whsec_"
_MIN_SECRET_BYTES = 24


class Callback(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Receiver of a job's end; stored with the job's record."""

    url: str
    source_id: str | None = None


class WebhookTask(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Tell a receiver that a job has ended. Type ``webhook``, stream ``webhooks``; written by the script that
    ends the job.

    Attributes:
        to: encoded `Callback`.
        ended: Unix seconds.
        summary: encoded ResultSummary.
    """

    to: str
    status: EndState
    ended: float
    error: str | None = None
    summary: str | None = None


class EndedJob(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A job that has ended, as a webhook reports it.

    Attributes:
        source_id: as the request gave it.
    """

    job_id: str
    status: EndState
    source_id: str | None = None
    error: str | None = None
    result_summary: ResultSummary | None = None


class JobEnded(msgspec.Struct, frozen=True, kw_only=True):
    """Body of a delivery.

    Attributes:
        timestamp: when the job ended, RFC 3339.
    """

    type: Literal["job.completed", "job.failed", "job.cancelled"]
    timestamp: str
    data: EndedJob


class LibraryWebhookTask(msgspec.Struct, frozen=True, kw_only=True):
    """Send an entry of a library's log to the receiver of library events. Type ``library_webhook``, stream
    ``webhooks``; written by the script that appends the entry."""

    library: str
    entry_id: str


class LibraryNotice(LibraryEvent, frozen=True, kw_only=True, omit_defaults=True):
    """Something that happened in a library, as a webhook reports it."""

    library: str


class LibraryChanged(msgspec.Struct, frozen=True, kw_only=True):
    """Body of a delivery about a library.

    Attributes:
        timestamp: when it was entered into the library's log, RFC 3339.
    """

    type: Literal[
        "library.film", "library.correction", "library.joined", "library.resolved", "library.erased"
    ]
    timestamp: str
    data: LibraryNotice


class NotGenuine(ValueError):
    """A delivery without a valid signature, or too old."""


def delivery_body(job_id: str, task: WebhookTask, source_id: str | None) -> bytes:
    """Encodes the body of a delivery."""
    summary = msgspec.json.decode(task.summary, type=ResultSummary) if task.summary else None
    ended = EndedJob(
        job_id=job_id, status=task.status, source_id=source_id, error=task.error, result_summary=summary
    )
    return msgspec.json.encode({"type": f"job.{task.status}", "timestamp": _time(task.ended), "data": ended})


def library_body(library: str, event: LibraryEvent) -> bytes:
    """Encodes the body of a delivery about a library."""
    notice = LibraryNotice(library=library, **msgspec.structs.asdict(event))
    when = _time(entry_time(event.entry_id))
    return msgspec.json.encode({"type": f"library.{event.kind}", "timestamp": when, "data": notice})


def parse_secrets(text: str) -> tuple[bytes, ...]:
    """Parses the secrets of the setting: one, or the new and the old one with a space between during a rotation.

    Raises:
        ValueError: a secret is not ``whsec_`` and the base64 of at least 24 bytes.
    """
    keys = []
    for secret in text.split():
        try:
            key = b64decode(secret.removeprefix(_PREFIX), validate=True)
        except binascii.Error:
            key = b""
        if not secret.startswith(_PREFIX) or len(key) < _MIN_SECRET_BYTES:
            raise ValueError(f"expected whsec_ and the base64 of at least {_MIN_SECRET_BYTES} random bytes")
        keys.append(key)
    return tuple(keys)


def signed_headers(body: bytes, delivery_id: str, now: float, keys: Sequence[bytes]) -> dict[str, str]:
    """Returns the headers of an attempt, with a signature by each key.

    Args:
        now: Unix seconds.
    """
    timestamp = str(int(now))
    signatures = " ".join(_signature(key, delivery_id, timestamp, body) for key in keys)
    return {ID: delivery_id, TIMESTAMP: timestamp, SIGNATURE: signatures}


def received(body: bytes, headers: Mapping[str, str], secret: str) -> JobEnded:
    """Verifies and decodes a delivery, for a receiver in Python.

    Args:
        headers: a mapping that ignores case.

    Raises:
        NotGenuine: the signature is wrong, the timestamp too far off, or the body not a `JobEnded`.
    """
    return _received(body, headers, secret, JobEnded)


def received_change(body: bytes, headers: Mapping[str, str], secret: str) -> LibraryChanged:
    """Verifies and decodes a delivery about a library, as `received` does."""
    return _received(body, headers, secret, LibraryChanged)


def _received(body: bytes, headers: Mapping[str, str], secret: str, type_: type[Body]) -> Body:
    try:
        delivery_id, timestamp, given = headers[ID], headers[TIMESTAMP], headers[SIGNATURE]
        age = abs(time.time() - int(timestamp))
    except (KeyError, ValueError) as error:
        raise NotGenuine(
            f"one of the headers {ID}, {TIMESTAMP}, {SIGNATURE} is missing or invalid"
        ) from error
    if age > MAX_AGE_SECONDS:
        raise NotGenuine(f"the timestamp differs from this clock by {age:.0f} s")
    expected = [_signature(key, delivery_id, timestamp, body) for key in parse_secrets(secret)]
    if not any(hmac.compare_digest(w.encode(), g.encode()) for w in expected for g in given.split(" ")):
        raise NotGenuine("the signature does not match")
    try:
        return msgspec.json.decode(body, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotGenuine(str(error)) from error


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _signature(key: bytes, delivery_id: str, timestamp: str, body: bytes) -> str:
    digest = hmac.digest(key, f"{delivery_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1,{b64encode(digest).decode()}"
