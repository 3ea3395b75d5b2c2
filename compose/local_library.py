"""The library of people across films on this machine, for the command line, with or without a running service."""

import asyncio
import contextlib
import getpass
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from redis.asyncio import Redis

from compose.data_directory import URL, InUse
from compose.server import embedded_server, wait_for_server
from compose.service import NoService, find
from compose.supervisor import Supervisor
from consumers.libraries.reembedding import Embed, Reembedding
from consumers.libraries.writer import LibraryWriter
from consumers.runtime.stage import NotReady
from consumers.service import Service
from schemas.collections import MATCH_THRESHOLD
from schemas.library import FilmEntry
from schemas.library_view import LibraryPerson, LibrarySearchResult
from schemas.messages import SearchTask
from schemas.names import Names, Partitions
from schemas.questions import DEFAULT_LIMIT, Answer, Probe
from schemas.settings import Settings, given
from schemas.store import lua, workers
from schemas.store.additions import Addition
from schemas.store.connection import connect
from schemas.store.jobs import Jobs
from schemas.store.libraries import Libraries, Order
from schemas.store.library_reader import LibraryReader
from schemas.store.replies import Replies, new_question

PATIENCE_SECONDS, POLL_SECONDS = 60.0, 0.2
"""Longest wait for another process that writes the library or uses the directory; how often it is checked."""


def user_name() -> str:
    """The name of this user, which the log of a library keeps with a correction; the number of one without a name."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # the second before Python 3.13
        return str(os.getuid())


class Recurring(NamedTuple):
    """A person, and in how many of some results."""

    person: LibraryPerson
    files: int


class KeptPeople(NamedTuple):
    """The people of some results in a library.

    Attributes:
        people: those in most of the results first.
        fields: what each result says of its faces, by face.
    """

    people: list[Recurring]
    fields: list[dict[str, dict[str, Any]]]


class LocalLibrary:
    """A library, read and written by this process.

    Args:
        service: its server.
        name: of the library.
    """

    def __init__(self, service: Service, name: str) -> None:
        home = service.partitions.home
        self._redis, self._names = service.redis, home
        self.name = name
        self.reader = LibraryReader(service.redis, home)
        self.store = Libraries(service.redis, home)
        self.writer = LibraryWriter(service)
        self._reembedding = Reembedding(service, self.writer)
        self._replies = Replies(service.redis, home)

    async def add(self, addition: Addition) -> None:
        """Adds a film."""
        renamed = addition._replace(library=self.name)
        await _patiently(lambda: self.writer.add(renamed))

    async def order(self, order: Order) -> Answer:
        """Has a correction or an erasure carried out; returns the answer to it."""
        if not await self.store.order(self.name, order):
            return Answer(status=404, detail=f"There is no library {self.name!r}.")
        await _patiently(lambda: self.writer.drain(self.name, last_attempt=True))
        answer = await self._replies.wait(order.correction_id, PATIENCE_SECONDS)
        return answer or Answer(status=504, detail="The correction waits for a worker.")

    async def rebuild(self) -> int:
        """Replays the log; returns how many values that readers see were wrong."""
        wrong = list[int]()

        async def work() -> None:
            wrong.append(await self.writer.rebuild(self.name))

        await _patiently(work)
        return wrong[0]

    async def reembed(self, embed: Embed, pack: str) -> tuple[int, int]:
        """Embeds the faces of other model packs anew; see `Reembedding.all`."""
        counts = list[tuple[int, int]]()

        async def work() -> None:
            counts.append(await self._reembedding.all(self.name, pack, embed))

        await _patiently(work)
        return counts[-1]

    async def search(self, photograph: bytes) -> LibrarySearchResult:
        """Finds the person whose face is the largest one in a picture.

        Raises:
            NoService: no worker runs that analyses it, or none finds a face in it.
        """
        alive = await workers.alive(self._redis, self._names)
        if not {"photographs", "library"} <= {worker.stage for worker in alive}:
            raise NoService("a search by photograph needs a running service: faces up")
        task = SearchTask(
            collection=self.name,
            question=new_question(),
            limit=DEFAULT_LIMIT,
            threshold=MATCH_THRESHOLD,
            library=True,
        )
        await self._replies.search(task, Probe(photograph=photograph), PATIENCE_SECONDS, "")
        answer = await self._replies.wait(task.question, PATIENCE_SECONDS)
        if answer is None or answer.status >= 400:
            raise NoService(answer.detail if answer else "no worker has replied")
        return msgspec.json.decode(answer.body, type=LibrarySearchResult)


@contextlib.asynccontextmanager
async def local_service(
    settings: Settings, data: Path | None, *, remote: bool = True
) -> AsyncIterator[Service]:
    """The server of REDIS_URL; without one, of the service that runs in the data directory, or of the data there.

    Args:
        data: None: that of the settings.
        remote: False: whatever REDIS_URL is.

    Raises:
        ProcessFailed: another user or service has the directory.
    """
    async with contextlib.AsyncExitStack() as stack:
        directory, url = data or settings.data_path, settings.redis_url
        partitions = Partitions(settings.prefix, settings.partitions)
        if not remote or data is not None or "REDIS_URL" not in given(os.environ):
            if (running := find(directory)) is not None:
                url = running.settings.redis_url
                partitions = Partitions(running.settings.prefix, running.settings.partitions)
                await wait_for_server(url)
            else:
                url = await _server(stack, directory)
                partitions = Partitions(settings.prefix)
        redis = await stack.enter_async_context(connect(url))
        await lua.ensure_loaded(redis)
        yield Service(redis, partitions.home, settings, Jobs(redis, partitions, settings), partitions)


@contextlib.asynccontextmanager
async def local_library(
    settings: Settings, name: str, data: Path | None, *, remote: bool = True
) -> AsyncIterator[LocalLibrary]:
    """A library of `local_service`, which documents the arguments."""
    async with local_service(settings, data, remote=remote) as service:
        yield LocalLibrary(service, name)


async def additions(redis: Redis, names: Names, name: str) -> AsyncIterator[Addition]:
    """Yields the films of a library, as another library can take them."""
    reader = LibraryReader(redis, names)
    async for _, entry in Libraries(redis, names).entries(name):
        if isinstance(entry, FilmEntry):
            pictures = {
                face.face_id.partition("/")[2]: jpeg
                for face in entry.faces
                if (jpeg := await reader.thumbnail(name, face.face_id)) is not None
            }
            yield Addition(name, msgspec.structs.replace(entry, placements=(), doubts=()), pictures)


async def _server(stack: contextlib.AsyncExitStack, data: Path) -> str:
    """The URL of the server that runs in a data directory; where none does, one is started for as long as the stack
    is open. Waits while another command uses the directory, which stops its server soon."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        if url := await _running(data):
            return url
        try:
            return await stack.enter_async_context(_started(data))
        except InUse:
            if time.monotonic() > until:
                raise
        await asyncio.sleep(POLL_SECONDS)


async def _running(data: Path) -> str:
    """The URL of the server that another command runs in a data directory; empty when none does."""
    try:
        url = (data / URL).read_text().strip()
    except OSError:
        return ""
    with contextlib.suppress(OSError, ValueError):
        async with connect(url) as redis:
            await redis.ping()
            return url
    return ""


async def keep(
    settings: Settings,
    library: str,
    films: Sequence[Addition],
    data: Path | None,
    results: Sequence[tuple[str, Mapping[str, str | None]]] = (),
) -> KeptPeople:
    """Adds films to the library of a data directory; returns who is in the results of jobs.

    Args:
        results: their jobs, and who each face is, as far as the result says it.
    """
    async with local_library(settings, library, data, remote=False) as local:
        for film in films:
            await local.add(film)
        fields = [await _who(local, job, known) for job, known in results]
        counts = Counter(one for faces in fields for one in {face["person_id"] for face in faces.values()})
        del counts[None]
        persons = await local.reader.persons(local.name, sorted(counts))
    people = [Recurring(person, counts[person_id]) for person_id, person in persons.items()]
    people.sort(key=lambda one: (-one.files, -one.person.seconds, one.person.person_id))
    return KeptPeople(people, fields)


async def _who(local: LocalLibrary, job: str, known: Mapping[str, str | None]) -> dict[str, dict[str, Any]]:
    """What a result says of its faces. Of a copy of another film, the library knows the people and not the job."""
    fields = await local.reader.fields_of(local.name, job, list(known))
    if any(face["person_id"] for face in fields.values()):
        return fields
    for face, person_id in known.items():
        survivor = await local.reader.resolve(local.name, person_id) if person_id else None
        if survivor and (person := await local.reader.person(local.name, survivor)):
            fields[face] = {"person_id": survivor, "label": person.label, "hidden": person.hidden}
    return fields


@contextlib.asynccontextmanager
async def _started(data: Path) -> AsyncIterator[str]:
    """Runs the server of a data directory for the time being; yields its URL."""
    supervisor = Supervisor(None)
    async with embedded_server(data, announced=False) as (server, url):
        supervisor.start(server)
        try:
            await wait_for_server(url)
            yield url
        finally:
            await supervisor.stop()


async def _patiently(work: Callable[[], Awaitable[object]]) -> None:
    """Does the work, once no other process writes the library."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            await work()
            return
        except NotReady as error:
            if time.monotonic() > until:
                raise TimeoutError(f"the library stays busy: {error}") from error
            await asyncio.sleep(error.after)
