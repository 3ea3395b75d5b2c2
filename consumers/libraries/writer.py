"""Writes libraries: adds films, applies corrections and erasures, one worker at a time for each library."""

import asyncio
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import structlog
from redis.exceptions import RedisError

from consumers.libraries.erasure import forget_faces, forget_job
from consumers.libraries.rebuild import differences, folded, stored
from consumers.libraries.replica import Replica
from consumers.libraries.steps import added, applied, begun
from consumers.runtime import scripts
from consumers.runtime.stage import NotReady
from consumers.service import Service
from facecore.library.anew import resolve_anew
from facecore.library.corrections import Refused
from facecore.library.erasure import erase_film, erase_person, rewritten
from facecore.library.resolve import DEFAULTS, Thresholds
from schemas.library import Correction, Erased, FilmEntry, Resolved, people_of
from schemas.library_records import Erasure, Reembedding, Regrouping, job_of
from schemas.library_view import Applied
from schemas.questions import Answer
from schemas.store import lua
from schemas.store.additions import Addition
from schemas.store.clock import server_time
from schemas.store.libraries import Change, Libraries, NewEntry, Order
from schemas.store.library_reader import LibraryReader
from schemas.store.replies import Replies

log = structlog.get_logger(__name__)

LOCK_SECONDS = 30.0
"""Time after which others may write a library whose writer was killed; renewed three times in it."""
WAIT_SECONDS = 0.5
"""Pause before a message is tried again whose library another worker writes."""
ENTRIES_PER_STEP = 64
"""Entries that are applied in one call of a thread."""


@dataclass(slots=True)
class Shelf:
    """A library of this process; `lock` is held while its replica is used."""

    name: str
    replica: Replica = field(default_factory=Replica)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class LibraryWriter:
    """The libraries that this process has worked on. The replica of each follows its log."""

    def __init__(self, service: Service) -> None:
        self._service = service
        redis, home = service.redis, service.partitions.home
        self._redis, self._names = redis, home
        self._libraries = Libraries(redis, home, webhooks=bool(service.settings.library_callback))
        self._reader = LibraryReader(redis, home)
        self._replies = Replies(redis, home)
        self._candidate = secrets.token_hex(8)
        self._shelves: dict[str, Shelf] = {}

    @asynccontextmanager
    async def reading(self, name: str) -> AsyncIterator[Replica]:
        """The replica of a library, up to date."""
        shelf = self._shelves.setdefault(name, Shelf(name))
        async with shelf.lock:
            await self._follow(shelf)
            yield shelf.replica

    async def refresh(self) -> None:
        """Brings all replicas up to date: what was erased leaves the memory of an idle worker."""
        for name in list(self._shelves):
            async with self.reading(name):
                pass

    async def add(self, addition: Addition) -> bool:
        """Adds a film, with its people in their places; False when it has been added before.

        An earlier analysis of the film, which this one replaces, loses its content: nothing needs it any more.
        """
        async with self.writing(addition.library) as shelf:
            if shelf.replica.has(addition.film):
                return False
            replaced = await self._replaced(shelf, addition.film.film_id)
            known, number = shelf.replica.position.last, await self.next_number(shelf)
            entries, changes = await asyncio.to_thread(added, shelf.replica, addition, number)
            await self.append(shelf, known, entries, changes, changed=replaced)
            return True

    async def _replaced(self, shelf: Shelf, film_id: str) -> list[NewEntry]:
        """Returns the entries that lose content when a film is analysed again."""
        faces = [
            (entry_id, face.face_id)
            for entry_id, entry in await self._libraries.read(shelf.name, shelf.replica.analyses(film_id))
            if isinstance(entry, FilmEntry)
            for face in entry.faces
            if face.prototype
        ]
        changed, _ = await self._rewritten(shelf, Erased(faces=tuple(faces))) if faces else ([], None)
        return changed

    async def rebuild(self, name: str) -> int:
        """Replays the log of a library, and corrects the stored view; returns how much of it was wrong."""
        async with self.writing(name) as shelf:
            fresh, changes = Replica(shelf.replica.position.created), list[Change]()
            async for entry in self._libraries.entries(name):
                changes += await asyncio.to_thread(fresh.apply, entry)
            changes += fresh.suggest()
            found = await stored(self._redis, self._names.library_keys(name))
            wrong = list(await asyncio.to_thread(differences, folded(changes), found))
            await self.append(shelf, fresh.position.last, [], wrong)
            shelf.replica = fresh
            return len(wrong)

    async def drain(self, name: str, *, last_attempt: bool) -> None:
        """Carries out the corrections and erasures that wait, in order, and replies to their callers.

        Args:
            last_attempt: one that cannot be carried out is refused, so that it does not stop those behind it.
        """
        async with self.writing(name) as shelf:
            while (first := await self._libraries.first_order(name)) is not None:
                waiting, question, order = first
                try:
                    answer = await self._carry_out(shelf, waiting, order)
                except (ArithmeticError, LookupError, TypeError, ValueError) as error:
                    if not last_attempt:
                        raise
                    log.exception("correction failed", library=name, correction=order.correction_id)
                    shelf.replica = Replica()
                    await self._follow(shelf)
                    answer = Answer(status=500, detail=f"The correction could not be carried out: {error!r}")
                await self._replies.reply(question, answer)
                if answer.status >= 400:
                    await self._libraries.refuse(name, waiting)

    async def _carry_out(self, shelf: Shelf, waiting: str, order: Order) -> Answer:
        if isinstance(order, Erasure):
            return await self._erase(shelf, waiting, order)
        replica = shelf.replica
        if isinstance(order, Reembedding):
            now = await server_time(self._redis, self._names.library_names)
            pack = self._service.settings.pack
            progress = await asyncio.to_thread(begun, replica, order.correction_id, pack, now)
            await self._libraries.begin(shelf.name, progress)
            await self._libraries.refuse(shelf.name, waiting)
            return Answer.of(progress)
        if isinstance(order, Regrouping):
            resolved = await asyncio.to_thread(
                resolve_anew, replica.view, thresholds(order.threshold), at=order.at
            )
            return await self._enter(shelf, waiting, resolved)
        if (entry_id := replica.view.known(order.correction_id)) is not None:
            return await self._repeated(shelf, waiting, entry_id, order)
        try:
            await asyncio.to_thread(replica.view.check, order.change)
        except Refused as refused:
            return Answer(status=409, detail=str(refused))
        return await self._enter(shelf, waiting, order)

    async def _repeated(self, shelf: Shelf, waiting: str, entry_id: str, order: Correction) -> Answer:
        """Answers a correction whose id was used before: it was sent twice, or the caller is mistaken."""
        for _, entry in await self._libraries.read(shelf.name, [entry_id]):
            if isinstance(entry, Correction) and entry.change != order.change:
                detail = f"The correction_id {order.correction_id!r} is that of another correction, entry {entry_id}."
                return Answer(status=409, detail=detail)
        await self._libraries.refuse(shelf.name, waiting)
        named = {await self._reader.resolve(shelf.name, person) for person in people_of(order.change)}
        return await self._applied(shelf.name, entry_id, {person for person in named if person})

    async def _enter(self, shelf: Shelf, waiting: str, said: Correction | Resolved) -> Answer:
        """Appends an entry, and returns the people that it changed."""
        known, number = shelf.replica.position.last, await self.next_number(shelf)
        entry = NewEntry(f"{number}-0", said)
        changes = await asyncio.to_thread(applied, shelf.replica, entry)
        await self.append(shelf, known, [entry], changes, waiting)
        people = {str(one.argument) for one in changes if (one.key, one.command) == ("people", "HSET")}
        films = [str(one.argument) for one in changes if (one.key, one.command) == ("divisions", "HSET")]
        return await self._applied(shelf.name, entry.entry_id, people, films)

    async def _applied(self, name: str, entry_id: str, people: set[str], films: Sequence[str] = ()) -> Answer:
        persons = await self._reader.persons(name, sorted(people))
        return Answer.of(Applied(entry_id=entry_id, people=list(persons.values()), films=list(films)))

    async def _erase(self, shelf: Shelf, waiting: str, order: Erasure) -> Answer:
        """Erases from results first, then from the library: a crash in between repeats both."""
        name, view = shelf.name, shelf.replica.view
        if order.film_id is not None:
            if view.film(order.film_id) is None:
                return Answer(status=404, detail=f"Library {name!r} has no film {order.film_id!r}.")
            erased = erase_film(view, order.film_id, by=order.by, at=order.at)
        elif order.person_id is not None:
            if view.person(order.person_id) is None:
                return Answer(status=404, detail=f"Library {name!r} has no person {order.person_id!r}.")
            erased = erase_person(view, order.person_id, by=order.by, at=order.at)
        else:
            return await self._drop(shelf)
        changed, jobs = await self._rewritten(shelf, erased)
        faces = defaultdict[str, set[str]](set)
        for _, face in erased.faces:
            job, _, face_name = face.partition("/")
            if shelf.replica.is_latest(job):
                faces[job_of(job)].add(face_name)
        for job_id in sorted(jobs):
            await forget_job(self._service, job_id)
        for job_id in sorted(faces.keys() - jobs):
            await forget_faces(self._service, job_id, faces[job_id])
        known, number = shelf.replica.position.last, await self.next_number(shelf)
        entry = NewEntry(f"{number}-0", erased)
        changes = await asyncio.to_thread(applied, shelf.replica, entry)
        await self.append(shelf, known, [entry], changes, waiting, changed)
        return Answer(status=204)

    async def _rewritten(self, shelf: Shelf, erased: Erased) -> tuple[list[NewEntry], set[str]]:
        """Returns the entries that lose content, and the jobs of the erased films."""
        films = {one for film in erased.films for one in shelf.replica.analyses(film)}
        ids = films | {at for at, _ in erased.faces} | set(shelf.replica.reembedded)
        if erased.people or erased.films:
            ids |= set(await self._libraries.corrections(shelf.name))
        changed, jobs = list[NewEntry](), set[str]()
        for entry_id, entry in await self._libraries.read(shelf.name, sorted(ids)):
            if isinstance(entry, FilmEntry) and entry_id in films and shelf.replica.is_latest(entry.job_id):
                jobs.add(job_of(entry.job_id))
            if (without := rewritten(entry_id, entry, erased)) is not entry:
                changed.append(NewEntry(entry_id, without))
        return changed, jobs

    async def _drop(self, shelf: Shelf) -> Answer:
        jobs = set[str]()
        async for _, entry in self._libraries.entries(shelf.name):
            if isinstance(entry, FilmEntry):
                jobs.add(job_of(entry.job_id))
        for job_id in sorted(jobs):
            await forget_job(self._service, job_id)
        if not await self._libraries.drop(shelf.name, shelf.replica.position.last):
            raise NotReady(WAIT_SECONDS, "another worker has written the library")
        shelf.replica = Replica()
        return Answer(status=204)

    async def append(
        self,
        shelf: Shelf,
        known: str,
        entries: list[NewEntry],
        changes: list[Change],
        waiting: str = "",
        changed: list[NewEntry] | None = None,
    ) -> None:
        """Appends entries that the replica has applied; see `Libraries.append`.

        Raises:
            NotReady: another worker has written the library.
        """
        if not await self._libraries.append(shelf.name, known, entries, changes, waiting, changed or ()):
            raise NotReady(WAIT_SECONDS, "another worker has written the library")

    @asynccontextmanager
    async def writing(self, name: str) -> AsyncIterator[Shelf]:
        """A library that no other worker writes; raises NotReady while one does."""
        async with self.reading(name):
            shelf = self._shelves[name]
            if not await self._lock(name):
                raise NotReady(WAIT_SECONDS, "another worker writes the library")
            renewal = asyncio.create_task(self._renew(name))
            try:
                await self._follow(shelf)
                yield shelf
            except BaseException:
                shelf.replica = Replica()  # what it has applied may not be in the log
                raise
            finally:
                renewal.cancel()
                key = self._names.library_keys(name).writer
                await lua.run(self._redis, scripts.release_lock(key, self._candidate))

    async def _renew(self, name: str) -> None:
        """Renews the lock. Where the server is away for too long, it expires: the fence keeps the log in order."""
        while True:
            await asyncio.sleep(LOCK_SECONDS / 3)
            with suppress(RedisError, OSError):
                await self._lock(name)

    async def _lock(self, name: str) -> bool:
        key = self._names.library_keys(name).writer
        return bool(await lua.run(self._redis, scripts.acquire_lock(key, self._candidate, LOCK_SECONDS)))

    async def _follow(self, shelf: Shelf) -> None:
        """Applies the entries of the log that the replica does not have."""
        position = await self._libraries.position(shelf.name)
        if position.created != shelf.replica.position.created:
            shelf.replica = Replica(position.created)
        if position.last == shelf.replica.position.last:
            return
        some = list[NewEntry]()
        async for entry in self._libraries.entries(shelf.name, shelf.replica.position.last):
            some.append(entry)
            if len(some) == ENTRIES_PER_STEP:
                await asyncio.to_thread(shelf.replica.follow, some)
                some = []
        await asyncio.to_thread(shelf.replica.follow, some)

    async def next_number(self, shelf: Shelf) -> int:
        """The first part of the next entry's id."""
        return await self._libraries.next_id(shelf.name, shelf.replica.position.last)


def thresholds(join: float | None) -> Thresholds:
    """Returns the probabilities of decisions with this least probability of a join."""
    if join is None:
        return DEFAULTS
    return DEFAULTS._replace(join=join, merge=max(join, DEFAULTS.merge), doubt=min(join, DEFAULTS.doubt))
