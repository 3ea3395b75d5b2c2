"""Dead letters: messages that failed for good, with what is needed to understand them and to replay them.

The runtime writes them (consumers.runtime.dead_letters); the API and the command line read them here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import msgspec
from redis.asyncio import Redis

from schemas.envelope import JSON, MSGPACK, EnvelopeError, entry_time, open_entry
from schemas.names import Names
from schemas.requests import AnalyzeRequest
from schemas.store.jobs import Jobs
from schemas.store.lua import Call, load, run
from schemas.store.submissions import SUBMITTED, JobExists
from schemas.topology import groups

LETTERS_PER_READ = 200
SUMMARIES_PER_READ = 20
"""The server reads the messages of so many letters at a time, and answers nobody else meanwhile."""
REPLAYS = b"replays"
"""Field of a stream entry: how often it was replayed."""
LIST, REPLAY = load(__package__, "dead_list"), load(__package__, "replay")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that failed for good.

    Attributes:
        body: bytes of the message as received, in field `body_field` ("" when there was none).
        headers: the other fields of the entry.
        message: the decoded message, when `body` is not an envelope.
        reason: why it failed; `error` and `text` are the exception's type and text, "" when there was none.
        attempts: tries in total; `deliveries` counts those of its last entry on the server.
        first, last: Unix seconds at which the message was created, and became a dead letter.
        record, outcomes, unit: keys of the fan-in and the unit that failed; unit None when it had none.
        run: run of the job that the message belongs to; empty when it belongs to none.
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
    run: str


async def listed(
    redis: Redis, dead_stream: str, *, reason: str | None = None, limit: int | None = None
) -> list[DeadLetter]:
    """Reads dead letters, oldest first.

    Args:
        reason: only those whose reason contains this text.
        limit: most letters to return.
    """
    found: list[DeadLetter] = []
    start = "-"
    while True:
        entries = cast(
            "list[tuple[bytes, Any]]", await redis.xrange(dead_stream, start, "+", LETTERS_PER_READ)
        )
        letters = [_read(entry_id.decode(), fields) for entry_id, fields in entries]
        found += [dead for dead in letters if reason is None or reason in dead.reason]
        if limit is not None and len(found) >= limit:
            return found[:limit]
        if len(entries) < LETTERS_PER_READ:
            return found
        start = "(" + letters[-1].id


class LetterSummary(msgspec.Struct, frozen=True, array_like=True):
    """What lists show of a dead letter; the attributes are those of `DeadLetter`."""

    id: str
    stage: str
    job: str
    type: str
    reason: str
    error: str
    attempts: int
    replays: int

    @property
    def last(self) -> float:
        """Unix seconds at which the message became a dead letter."""
        return entry_time(self.id)


async def summaries(redis: Redis, dead_stream: str, limit: int) -> list[LetterSummary]:
    """Reads what lists show of the oldest dead letters; their messages, perhaps of megabytes, stay on the server."""
    names = LetterSummary.__struct_fields__[1:]
    found: list[LetterSummary] = []
    start = "-"
    while len(found) < limit:
        wanted = min(SUMMARIES_PER_READ, limit - len(found))
        read = await run(redis, Call(LIST, [dead_stream], [start, wanted, *names]))
        found += [
            msgspec.convert([value.decode(errors="replace") for value in values], LetterSummary, strict=False)
            for values in read
        ]
        if len(read) < wanted:
            break
        start = "(" + found[-1].id
    return found


async def show(redis: Redis, dead_stream: str, letter_id: str) -> DeadLetter | None:
    """Reads one dead letter; None when there is none of that id."""
    entries = cast("list[tuple[bytes, Any]]", await redis.xrange(dead_stream, letter_id, letter_id))
    return _read(letter_id, entries[0][1]) if entries else None


Replayed = Literal["sent", "missing", "ended"]
_OUTCOMES: dict[int, Replayed] = {1: "sent", 0: "missing", -1: "ended"}


async def replay(redis: Redis, dead_stream: str, dead: DeadLetter, jobs: Jobs | None = None) -> Replayed:
    """Republishes the message with its attempts reset, and deletes the outcome of its unit. An accepted job that
    failed runs again.

    Args:
        jobs: reopens a job that has ended without the unit, as long as its frames are kept.

    Returns:
        "sent"; "missing": there is no such letter any more; "ended": its job has ended or expired, or the letter
        names keys that are not its job's, and the letter stays.
    """
    if jobs is not None:
        names = Names.of_stream(dead_stream)
        dead = replace(
            dead,
            stream=names.kept(dead.stream),
            record=names.kept(dead.record),
            outcomes=names.kept(dead.outcomes),
        )
        if not _names_its_own_keys(names, dead):
            return "ended"
    if jobs is not None and (request := _accepted_request(dead)) is not None:
        return await _run_again(redis, dead_stream, dead, request, jobs)
    keys = [dead_stream, dead.stream, *([] if dead.unit is None else [dead.record, dead.outcomes])]
    message = [part for field in _replayed_fields(dead).items() for part in field]
    outcome = _OUTCOMES[await run(redis, Call(REPLAY, keys, [dead.id, dead.unit or "", dead.run, *message]))]
    if outcome == "ended" and jobs is not None and await jobs.reopen(dead.job, dead.run):
        return await replay(redis, dead_stream, dead)
    return outcome


async def _run_again(
    redis: Redis, dead_stream: str, dead: DeadLetter, request: AnalyzeRequest, jobs: Jobs
) -> Replayed:
    if await show(redis, dead_stream, dead.id) is None:
        return "missing"
    try:
        request = msgspec.structs.replace(request, callback_url=await jobs.callback_url(dead.job))
        if await jobs.was_deleted(dead.job) or not await jobs.accept(
            request, dead.job, None, dead.traceparent
        ):
            return "ended"
    except JobExists:
        return "ended"
    await redis.xdel(dead_stream, dead.id)
    return "sent"


def _names_its_own_keys(names: Names, dead: DeadLetter) -> bool:
    """Whether a replay changes only a stream that a stage reads and the state of the letter's job: workers, which may
    write letters, have less rights than those who replay them."""
    keys = names.job(dead.job)
    return dead.stream in groups(names) and (dead.record, dead.outcomes) in (
        ("", ""),
        (keys.metadata, keys.outcomes),
    )


def _accepted_request(dead: DeadLetter) -> AnalyzeRequest | None:
    """Returns the request of an accepted job whose message is the dead letter; None when it is another message."""
    if dead.type != "analyze":
        return None
    try:
        envelope = open_entry({MSGPACK: dead.message or dead.body}, {"analyze": AnalyzeRequest})
    except EnvelopeError:
        return None
    return envelope.body if envelope.id == f"{dead.job}/analyze/{SUBMITTED}" else None


async def drop(redis: Redis, dead_stream: str, letter_ids: Sequence[str]) -> int:
    """Deletes letters; returns how many there were."""
    return int(await redis.xdel(dead_stream, *letter_ids)) if letter_ids else 0


def _replayed_fields(dead: DeadLetter) -> dict[bytes, bytes]:
    """The fields of the replayed entry: the original bytes, with the number of attempts reset."""
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
        return body  # it did not decode before; a newer worker may decode it
    if "attempt" not in envelope:
        return body
    if envelope.get("type") == codec.encode("analyze"):
        envelope.pop("run", None)  # this is a later request, whose first entry names it
    return cast("bytes", codec.encode(envelope | {"attempt": 0}))


def _read(letter_id: str, fields: Mapping[bytes, bytes]) -> DeadLetter:
    values = {name.decode(): value for name, value in fields.items()}
    raw = {name: values.pop(name, b"") for name in ("body", "headers", "message")}
    text = {name: value.decode(errors="replace") for name, value in values.items()}
    return msgspec.convert(
        {
            "unit": None,
            "run": "",
            **text,
            **raw,
            "id": letter_id,
            "last": entry_time(letter_id),
            "headers": msgspec.msgpack.decode(raw["headers"], type=dict[bytes, bytes]),
        },
        DeadLetter,
        strict=False,
        builtin_types=(bytes,),
    )
