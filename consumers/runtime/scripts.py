"""Typed calls of the Lua scripts in ``scripts/*.lua``, one function each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from consumers.runtime.stage import Completion, FanIn, Outgoing
from schemas.store.lua import Call, Value, flat, load
from schemas.store.run_data import HashFields, arguments

(
    COMPLETE, CHECK_FAN_IN, PUBLISH, RETRY, MOVE_DUE, RENEW, CLAIM_EXPIRED, RELEASE, REMOVE_IDLE, ACQUIRE_LOCK,
    RELEASE_LOCK, RELEASE_WAITING,
) = (
    load(__package__, name)
    for name in (
        "complete", "check_fan_in", "publish", "retry", "move_due", "renew", "claim_expired", "release",
        "remove_idle", "acquire_lock", "release_lock", "release_waiting",
    )
)  # fmt: skip

LOST, DONE, DUPLICATE, DROPPED = 0, 1, 2, 3
"""Results of `complete`: another consumer owns the entry; done; its unit had an outcome; its run is over."""


@dataclass(frozen=True, slots=True)
class Owner:
    """A consumer of a group on a stream."""

    stream: str
    group: str
    consumer: str


def complete(owner: Owner, entry_id: str, completion: Completion, letter: Outgoing | None = None) -> Call:
    """Completes a message; returns LOST, DONE, DUPLICATE or DROPPED.

    Args:
        letter: dead letter that is sent even when the completion has no effect any more.
    """
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
        "" if letter is None else letter.stream,
        "" if completion.part is None else completion.part,
        completion.parts,
        "" if fan_in is None else fan_in.run,
    ]
    if letter is not None:
        _add(args, letter)
    for message in completion.publish:
        keys.append(message.stream)
        _add(args, message)
    if fan_in is not None:
        _add(args, fan_in.final_message)
    return Call(COMPLETE, keys, args)


def check_fan_in(fan_in: FanIn) -> Call:
    """Checks a fan-in for completeness; returns 1 when its final message was published now, else 0."""
    args: list[Value] = [fan_in.run]
    _add(args, fan_in.final_message)
    return Call(CHECK_FAN_IN, (fan_in.record, fan_in.outcomes, fan_in.final_message.stream), args)


def publish(
    owner: Owner,
    entry_id: str,
    messages: Sequence[Outgoing],
    record: str | None,
    run: str,
    fields: Mapping[str, str | int],
    hashes: Sequence[HashFields] = (),
) -> Call:
    """Publishes messages before their entry is completed; returns LOST, DONE or DROPPED.

    Args:
        record: hash in which `fields` are set in the same step; nothing is published when its run is over.
        hashes: further hashes that are written in the same step.
    """
    args: list[Value] = [owner.group, owner.consumer, entry_id, run, 2 * len(fields), len(hashes)]
    args += (*flat(fields), *arguments(hashes))
    for message in messages:
        _add(args, message)
    keys = [owner.stream, record or owner.stream]
    keys += (*(one.hash for one in hashes), *(message.stream for message in messages))
    return Call(PUBLISH, keys, args)


def retry(owner: Owner, delay_set: str, entry_id: str, after: float, replays: int, message: bytes) -> Call:
    """Moves a message to the delay set for `after` seconds; returns 1, or 0 when another consumer owns the entry."""
    args = (owner.group, owner.consumer, entry_id, int(after * 1000), b"%d:%b" % (replays, message))
    return Call(RETRY, (owner.stream, delay_set), args)


def move_due(delay_set: str, stream: str, field: bytes, limit: int) -> Call:
    """Moves due messages back; returns how many, and the milliseconds until the next is due (-1: there is none)."""
    return Call(MOVE_DUE, (delay_set, stream), (field, limit))


def renew(owner: Owner, entry_ids: Sequence[str]) -> Call:
    """Renews leases; returns the ids that the owner has lost."""
    return Call(RENEW, (owner.stream,), (owner.group, owner.consumer, *entry_ids))


def claim_expired(
    owner: Owner,
    scan: str,
    lease: float,
    cursor: bytes,
    limit: int,
    *,
    suspect_deliveries: int,
    max_suspects: int,
    max_scanned: int,
) -> Call:
    """Claims pending entries whose lease has expired.

    Args:
        scan: key of the state of the pass that workers share while many entries are pending.
        limit: most entries to claim.
        suspect_deliveries: delivery count from which an entry is suspected of crashing its worker.
        max_suspects: most suspects to claim.
        max_scanned: most entries to scan.

    Returns:
        The next cursor, claimed entries (id, flat fields, delivery count), ids of deleted entries, number of suspects
        not claimed.
    """
    args: list[Value] = [owner.group, owner.consumer, int(lease * 1000), cursor]
    args += (limit, suspect_deliveries, max_suspects, max_scanned)
    return Call(CLAIM_EXPIRED, (owner.stream, scan), args)


def release(owner: Owner, unowned: str, idle: float, entry_ids: Sequence[str]) -> Call:
    """Releases entries to the consumer `unowned`; returns how many.

    Args:
        idle: idle time to set, in seconds; longer than every lease.
    """
    args: list[Value] = [owner.group, owner.consumer, unowned, int(idle * 1000), *entry_ids]
    return Call(RELEASE, (owner.stream,), args)


def remove_idle(owner: Owner, idle: float, *, only: str = "") -> Call:
    """Removes consumers without pending entries; returns how many.

    Args:
        idle: seconds that a consumer must have been idle.
        only: the only consumer to consider.
    """
    return Call(REMOVE_IDLE, (owner.stream,), (owner.group, int(idle * 1000), only))


def acquire_lock(lock: str, candidate: str, seconds: float) -> Call:
    """Acquires or renews a lock for some seconds; returns 1 when the candidate holds it, else 0."""
    return Call(ACQUIRE_LOCK, (lock,), (candidate, int(seconds * 1000)))


def release_lock(lock: str, candidate: str) -> Call:
    """Releases a lock; returns 1, or 0 when another candidate holds it."""
    return Call(RELEASE_LOCK, (lock,), (candidate,))


def release_waiting(stream: str, wanted: int) -> Call:
    """Moves messages from the fair queue of a stream to the stream until `wanted` entries are unread; returns how
    many still wait."""
    return Call(RELEASE_WAITING, (stream,), (wanted,))


def _add(args: list[Value], message: Outgoing) -> None:
    args += (2 * len(message.fields), *(message.share or ("", "", "")))
    for name, value in message.fields.items():
        args += (name, value)
