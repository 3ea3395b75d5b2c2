"""Libraries of people across films: the log of each, its inbox of corrections, and the one writer.

A library is created with its first film and exists until it is deleted. The log is the truth (`schemas.library`): a
stream holds the order of its entries, a hash their content, so that erasing can rewrite an entry in its place. What
readers ask for (`schemas.store.library_reader`) is written in the same step as the entry that it follows from. The
data lies in the home partition.

Only a worker that knows the whole log may append to it: the script compares the last id. A lock keeps workers from
preparing entries at the same time.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Literal, NamedTuple, cast

import msgspec
from redis.asyncio import Redis

from schemas.envelope import MSGPACK, seal
from schemas.library import Correction, Entry, decode_entry, encode_entry
from schemas.library_records import Erasure, Reembedding, Regrouping
from schemas.library_view import ReembedProgress
from schemas.messages import CorrectTask, ReembedTask
from schemas.names import LibraryKeys, Names
from schemas.store.clock import server_time
from schemas.store.collections import Busy
from schemas.store.lua import Call, Value, load, run
from schemas.webhooks import LibraryWebhookTask

CORRECT, APPEND, DROP = (load(__package__, f"library_{name}") for name in ("correct", "append", "drop"))
MAX_WAITING_CORRECTIONS = 10_000
"""At this length the inbox of a library accepts no more corrections."""
ENTRIES_PER_READ = 256
"""Entries of a log that are read in one round trip: of films, up to 100 KiB each."""

Order = Correction | Erasure | Reembedding | Regrouping
"""What the inbox holds."""


class NewEntry(NamedTuple):
    """An entry to append, and its id in the log."""

    entry_id: str
    entry: Entry


class Waiting(NamedTuple):
    """An order in the inbox: its id there, the question that its caller waits under, and what is to be done."""

    entry_id: str
    question: str
    order: Order


class Change(NamedTuple):
    """A change of the stored view: a command on one of the keys, with one or two arguments."""

    key: str
    command: Literal["HSET", "HDEL", "ZADD", "ZREM"]
    argument: str | bytes | float
    other: bytes | str = b""


class Position(NamedTuple):
    """How far a library has come: when it was created, which tells it from an earlier one of its name, and the id of
    the last entry. Both are empty when there is no library."""

    created: str = ""
    last: str = ""


class Libraries:
    """Writes libraries, and reads their logs.

    Args:
        redis: client with ``decode_responses=False``.
        names: of the home partition.
        webhooks: whether each new entry is sent to the receiver of library events.
    """

    def __init__(self, redis: Redis, names: Names, *, webhooks: bool = False) -> None:
        self._webhooks = webhooks
        self._redis = redis
        self._names = names

    async def all(self) -> list[str]:
        """The names of all libraries, in order."""
        members = await self._redis.smembers(self._names.library_names)
        return sorted(name.decode() for name in cast("set[bytes]", members))

    async def order(self, name: str, order: Order, question: str | None = None) -> bool:
        """Accepts a correction or an erasure, to be applied after those before; False when there is no such library.

        Args:
            question: under which the caller waits for the answer; None: `correction_id`, which others may use too.

        Raises:
            Busy: too many wait.
        """
        message = seal("correct", "", order.correction_id, CorrectTask(library=name))[MSGPACK]
        call = Call(
            CORRECT,
            [self._names.library_names, self._names.library, self._names.library_keys(name).inbox],
            [
                name,
                MAX_WAITING_CORRECTIONS,
                msgspec.msgpack.encode(order),
                question or order.correction_id,
                MSGPACK,
                message,
            ],
        )
        answer = await run(self._redis, call)
        if answer == -1:
            raise Busy(f"{MAX_WAITING_CORRECTIONS} corrections wait already; try again later")
        return bool(answer)

    async def first_order(self, name: str) -> Waiting | None:
        """The correction or erasure that is to be applied next; None when none waits."""
        waiting = await self._redis.xrange(self._names.library_keys(name).inbox, count=1)
        for entry_id, fields in cast("list[tuple[bytes, dict[bytes, bytes]]]", waiting):
            order = msgspec.msgpack.decode(fields[b"correction"], type=Order)
            return Waiting(entry_id.decode(), fields[b"question"].decode(), order)
        return None

    async def refuse(self, name: str, waiting: str) -> None:
        """Takes a correction off the inbox without applying it."""
        await self._redis.xdel(self._names.library_keys(name).inbox, waiting)

    async def position(self, name: str) -> Position:
        """How far a library has come."""
        values = await self._redis.hmget(self._names.library_keys(name).state, ["created", "last"])
        created, last = cast("list[bytes | None]", values)
        return Position((created or b"").decode(), (last or b"").decode())

    async def next_id(self, name: str, after: str) -> int:
        """The milliseconds of the next entry's id: now by the clock of the server, but later than the last entry."""
        now = int(await server_time(self._redis, self._names.library_keys(name).state) * 1000)
        return max(now, int(after.partition("-")[0] or 0) + 1)

    async def entries(self, name: str, after: str = "") -> AsyncIterator[NewEntry]:
        """Reads the log in order, from the entry that follows one."""
        keys = self._names.library_keys(name)
        while True:
            listed = await self._redis.xrange(keys.log, f"({after}" if after else "-", count=ENTRIES_PER_READ)
            ids = [entry_id.decode() for entry_id, _ in cast("list[tuple[bytes, object]]", listed)]
            if not ids:
                return
            for entry in await self.read(name, ids):
                yield entry
            after = ids[-1]

    async def read(self, name: str, ids: Sequence[str]) -> list[NewEntry]:
        """The entries with these ids; those that are gone, with their library, are left out."""
        key = self._names.library_keys(name).entries
        contents = cast("list[bytes | None]", await self._redis.hmget(key, list(ids))) if ids else []
        return [
            NewEntry(entry_id, decode_entry(content))
            for entry_id, content in zip(ids, contents, strict=True)
            if content is not None
        ]

    async def corrections(self, name: str) -> list[str]:
        """The ids of all corrections."""
        ids = await self._redis.zrange(self._names.library_keys(name).corrections, 0, -1)
        return [one.decode() for one in cast("list[bytes]", ids)]

    async def append(
        self,
        name: str,
        known: str,
        entries: Sequence[NewEntry],
        changes: Iterable[Change],
        waiting: str = "",
        rewritten: Sequence[NewEntry] = (),
    ) -> bool:
        """Appends entries and changes the view accordingly, all or nothing.

        Args:
            known: id of the last entry that the writer knows.
            waiting: id in the inbox of the correction that the entries come from.
            rewritten: earlier entries with another content, where something is erased.

        Returns:
            False when another worker has appended; nothing is changed then.
        """
        args: list[Value] = [name, known, waiting, len(entries), MSGPACK]
        for entry_id, entry in entries:
            args += (entry_id, type(entry).__struct_config__.tag, encode_entry(entry))  # type: ignore[arg-type]
            args.append(_message(name, entry_id) if self._webhooks else b"")
        numbers = {key: number for number, key in enumerate(LibraryKeys._fields, start=1)}
        replaced = [Change("entries", "HSET", one.entry_id, encode_entry(one.entry)) for one in rewritten]
        for change in (*replaced, *changes):
            args += (numbers[change.key], *change[1:])
        return bool(await run(self._redis, Call(APPEND, [*self._keys(name), self._names.webhooks], args)))

    async def begin(self, name: str, progress: ReembedProgress) -> None:
        """Stores that faces are to be embedded anew, and has a worker begin, unless that has ended already."""
        await self.note(name, progress)
        if progress.ended_at is None:
            message = seal("reembed", "", progress.run, ReembedTask(library=name, run=progress.run))
            await self._redis.xadd(self._names.library, cast("dict[Any, Any]", message))

    async def note(self, name: str, progress: ReembedProgress) -> None:
        """Stores how far faces have been embedded anew."""
        key = self._names.library_keys(name).state
        await cast("Any", self._redis.hset(key, "reembedding", msgspec.json.encode(progress)))

    async def progress(self, name: str) -> ReembedProgress | None:
        """How far faces have been embedded anew; None when that was not asked for."""
        key = self._names.library_keys(name).state
        stored = await cast("Any", self._redis.hget(key, "reembedding"))
        return msgspec.json.decode(stored, type=ReembedProgress) if stored else None

    async def drop(self, name: str, known: str) -> bool:
        """Deletes a library; False when another worker has appended."""
        return bool(await run(self._redis, Call(DROP, self._keys(name), [name, known])))

    def _keys(self, name: str) -> list[str]:
        return [self._names.library_names, *self._names.library_keys(name)]


def _message(name: str, entry_id: str) -> bytes:
    """The message to the webhooks stage about an entry; what is in the entry stays in the log, where it can be
    erased."""
    task = LibraryWebhookTask(library=name, entry_id=entry_id)
    return seal("library_webhook", "", f"{name}/{entry_id}", task)[MSGPACK]
