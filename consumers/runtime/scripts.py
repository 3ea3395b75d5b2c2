"""The scripts: text in ``scripts/*.lua``, and for each a function that makes a call of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from consumers.runtime.stage import Completion, FanIn, Outgoing
from schemas.store.lua import Call, Value, load

COMPLETE, CLOSE, PUBLISH, RETRY, MOVE, RENEW, RECOVER, HAND_BACK, REAP, LEAD, RESIGN = (
    load(__package__, name)
    for name in (
        "complete", "close", "publish", "retry", "move", "renew", "recover", "hand_back", "reap", "lead", "resign",
    )
)  # fmt: skip

LOST, DONE, DUPLICATE, DROPPED = 0, 1, 2, 3
"""What became of a completion: not ours any more; done; its unit had an outcome; its record has ended."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Who asks: a consumer of a group on a stream."""

    stream: str
    group: str
    consumer: str


def complete(owner: Owner, entry_id: str, completion: Completion, letter: Outgoing | None = None) -> Call:
    """Ends a message; a letter is sent with it even where the completion has no effect any more. Answers one of
    LOST, DONE, DUPLICATE, DROPPED."""
    keys = [owner.stream]
    fan_in = completion.fan_in
    if fan_in is not None:
        keys += (fan_in.record, fan_in.outcomes, fan_in.final_message.stream)
    args: list[Value] = [
        owner.group,
        owner.consumer,
        entry_id,
        0 if fan_in is None else 1,
        completion.unit or "",
        completion.outcome,
        "" if completion.units is None else completion.units,
        0 if letter is None else 1,
        "" if completion.part is None else completion.part,
        completion.parts,
    ]
    for message in completion.publish if letter is None else (letter, *completion.publish):
        keys.append(message.stream)
        _add(args, message.fields)
    if fan_in is not None:
        _add(args, fan_in.final_message.fields)
    return Call(COMPLETE, keys, args)


def close(fan_in: FanIn) -> Call:
    """The tail of a fan-in alone; answers 1 when its message was published now."""
    args: list[Value] = []
    _add(args, fan_in.final_message.fields)
    return Call(CLOSE, (fan_in.record, fan_in.outcomes, fan_in.final_message.stream), args)


def publish(
    owner: Owner,
    entry_id: str,
    messages: Sequence[Outgoing],
    record: str | None,
    fields: Mapping[str, str | int],
) -> Call:
    """Answers 1, or 0 when the entry is not the owner's."""
    args: list[Value] = [owner.group, owner.consumer, entry_id, 2 * len(fields)]
    for name, value in fields.items():
        args += (name, value)
    for message in messages:
        _add(args, message.fields)
    return Call(
        PUBLISH, [owner.stream, record or owner.stream, *(message.stream for message in messages)], args
    )


def retry(owner: Owner, delayed: str, entry_id: str, after: float, replays: int, message: bytes) -> Call:
    """Answers 1, or 0 when the entry is not the owner's."""
    args = (owner.group, owner.consumer, entry_id, int(after * 1000), b"%d:%b" % (replays, message))
    return Call(RETRY, (owner.stream, delayed), args)


def move(delayed: str, stream: str, field: bytes, limit: int) -> Call:
    """Answers how many messages were moved, and in how many milliseconds the next is due (-1: none)."""
    return Call(MOVE, (delayed, stream), (field, limit))


def renew(owner: Owner, entry_ids: Sequence[str]) -> Call:
    """Answers the ids that are not the owner's any more."""
    return Call(RENEW, (owner.stream,), (owner.group, owner.consumer, *entry_ids))


def recover(
    owner: Owner, lease: float, cursor: bytes, limit: int, *, suspicious: int, suspects: int, look_at: int
) -> Call:
    """Answers the next cursor, entries (id, flat fields, deliveries), ids of entries that are gone, and how many
    suspects were left alone."""
    args: list[Value] = [owner.group, owner.consumer, int(lease * 1000), cursor]
    args += (limit, suspicious, suspects, look_at)
    return Call(RECOVER, (owner.stream,), args)


def hand_back(owner: Owner, nobody: str, idle: float, entry_ids: Sequence[str]) -> Call:
    """Answers how many entries were given up."""
    args: list[Value] = [owner.group, owner.consumer, nobody, int(idle * 1000), *entry_ids]
    return Call(HAND_BACK, (owner.stream,), args)


def reap(owner: Owner, idle: float, *, only: str = "") -> Call:
    """Answers how many consumers were removed."""
    return Call(REAP, (owner.stream,), (owner.group, int(idle * 1000), only))


def lead(lock: str, who: str, seconds: float) -> Call:
    return Call(LEAD, (lock,), (who, int(seconds * 1000)))


def resign(lock: str, who: str) -> Call:
    return Call(RESIGN, (lock,), (who,))


def _add(args: list[Value], fields: Mapping[bytes, bytes]) -> None:
    args.append(2 * len(fields))
    for name, value in fields.items():
        args += (name, value)
