"""Library stage: adds the people of jobs to libraries, applies corrections, and searches for faces."""

import asyncio
from collections.abc import Iterator
from typing import Any

import numpy as np
import structlog
from redis.exceptions import RedisError

from consumers.base_stage import OneByOneStage
from consumers.libraries.reembedding import Reembedding
from consumers.libraries.writer import LibraryWriter
from consumers.runtime.stage import Completion, Delivery, Outgoing
from consumers.service import Service, Shared
from facecore.library.resolve import nearest
from facecore.vectors import from_bytes, lengths, unit
from schemas.envelope import Envelope, seal
from schemas.library_view import FoundPerson, LibrarySearchResult
from schemas.messages import AddTask, CorrectTask, ReembedTask, SearchTask
from schemas.questions import Answer
from schemas.store.additions import read_addition
from schemas.store.library_reader import LibraryReader
from schemas.store.replies import Replies

log = structlog.get_logger(__name__)

REFRESH_SECONDS = 30.0
"""Pause between two synchronizations of the replicas: what was erased leaves the memory of an idle worker by then."""


class LibraryStage(OneByOneStage[Any]):
    """Consumer group ``library`` on ``library``: handles all work on libraries of people."""

    def __init__(self, service: Service, writer: LibraryWriter) -> None:
        super().__init__(service, "library")
        home = service.partitions.home
        self._writer = writer
        self._reembedding = Reembedding(service, writer)
        self._reader = LibraryReader(service.redis, home)
        self._replies = Replies(service.redis, home)
        self._refreshing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Starts the periodic synchronization."""
        self._refreshing = asyncio.create_task(self._refresh())

    async def stop(self) -> None:
        """Ends the periodic synchronization."""
        if self._refreshing is not None:
            self._refreshing.cancel()

    async def _handle_one(self, delivery: Delivery[Any]) -> Completion:
        match delivery.envelope.body:
            case AddTask():
                await self._add(delivery.envelope)
            case CorrectTask(library=library):
                await self._writer.drain(library, last_attempt=delivery.attempt >= self.max_attempts)
            case SearchTask() as task:
                await self._search(task)
            case ReembedTask() as task:
                following = await self._reembedding.step(task)
                if following is not None:
                    message = seal("embed", "", task.run, following)
                    return Completion(publish=(Outgoing(self._service.partitions.home.photographs, message),))
        return Completion()

    def on_dead_letter(self, envelope: Envelope[Any], reason: str) -> Completion:
        """Has no effects: what was to be added or corrected waits, and the dead letter can be replayed."""
        return Completion()

    async def _add(self, envelope: Envelope[AddTask]) -> None:
        redis, names = self._service.redis, self._service.names
        addition = await read_addition(redis, names, envelope.job, envelope.body.library)
        if addition is not None:
            added = await self._writer.add(addition)
            log.info("film added", library=addition.library, people=len(addition.film.faces), first=added)
            await redis.unlink(names.film(envelope.job))

    async def _search(self, task: SearchTask) -> None:
        probe = await self._replies.probe(task.question)
        if probe is None:
            return
        embedding = from_bytes([probe.embedding]).astype(np.float64)
        query = np.asarray(unit(embedding), np.float32)
        sureness = float(lengths(embedding)[0]) if probe.seen else None  # others were made to have length 1
        async with self._writer.reading(task.collection) as replica:
            if not replica.position.created:
                answer = Answer(status=404, detail=f"There is no library {task.collection!r}.")
                await self._replies.reply(task.question, answer)
                return
            pack = probe.model or replica.pack
            (found,) = await asyncio.to_thread(nearest, replica.view, query, pack, task.limit, [sureness])
        found = [one for one in found if one.similarity >= task.threshold]
        persons = await self._reader.persons(task.collection, sorted({one.person_id for one in found}))
        result = LibrarySearchResult(
            library=task.collection,
            threshold=task.threshold,
            matches=[
                FoundPerson(
                    person=persons[one.person_id],
                    face_id=one.face_id,
                    similarity=round(one.similarity, 4),
                    probability=round(one.probability, 4),
                )
                for one in found
                if one.person_id in persons
            ],
            face=probe.seen,
        )
        await self._replies.reply(task.question, Answer.of(result))

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            try:
                await self._writer.refresh()
            except (RedisError, OSError) as error:
                log.warning("libraries not synchronized", error=str(error) or type(error).__name__)


def build(service: Service, shared: Shared) -> Iterator[LibraryStage]:
    """Builds the stage of a partition, with the libraries of the process."""
    yield LibraryStage(service, shared.get(LibraryWriter, lambda: LibraryWriter(service)))
