"""The collections stage: enrols faces, looks for them, and takes erased people out of the results of jobs."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, cast

import msgspec
import numpy as np
import structlog
from msgspec import Raw
from numpy.typing import NDArray
from redis.exceptions import RedisError

from consumers.base_stage import OneByOneStage
from consumers.galleries.erasure import remove_erased_people
from consumers.galleries.replicas import CollectionReplicas, UnsearchableCollection
from consumers.runtime.stage import Completion, Delivery
from consumers.service import Service, Shared
from facecore.gallery import Hit
from facecore.vectors import from_bytes, to_bytes, unit
from schemas.collections import SAME_PERSON
from schemas.envelope import Envelope
from schemas.messages import (
    EnrolTask,
    EraseTask,
    FinalizeTask,
    MatchTask,
    Resemblance,
    SearchTask,
)
from schemas.observations import FrameFaces
from schemas.questions import Answer, Found, SearchResult
from schemas.store.collections import Collections
from schemas.store.replies import Questions

log = structlog.get_logger(__name__)

MATCHES = 5
"""People that a face of a job is told to be like, at most."""
LOOK_EVERY = 30.0
"""Seconds after which what was erased is out of the memory of a worker that nobody asks anything."""


class CollectionsStage(OneByOneStage[Any]):
    """Consumer group ``collections`` on ``faces:collections``."""

    concurrency = 4

    def __init__(self, service: Service, replicas: CollectionReplicas) -> None:
        super().__init__(service, "collections")
        home = service.partitions.home
        self._replicas = replicas
        self._collections = Collections(service.redis, home)
        self._questions = Questions(service.redis, home)
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._replicas.refresh()
        self._watching = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        if self._watching is not None:
            self._watching.cancel()

    async def _handle_one(self, delivery: Delivery[Any]) -> Completion:
        handlers: dict[type, Callable[[Envelope[Any]], Awaitable[Completion]]] = {
            EnrolTask: self._enrol,
            SearchTask: self._search,
            MatchTask: self._match,
            EraseTask: self._erase,
        }
        return await handlers[type(delivery.envelope.body)](delivery.envelope)

    def on_dead_letter(self, envelope: Envelope[Any], reason: str) -> Completion:
        """A job does without matches, and says so; whoever asked a question waits in vain."""
        task = envelope.body
        if not isinstance(task, MatchTask):
            return Completion()
        return self._matched(envelope, [()] * len(task.faces), (f"The faces were not matched: {reason}",))

    async def _enrol(self, envelope: Envelope[EnrolTask]) -> Completion:
        task = envelope.body
        candidate = await self._collections.candidate(task.collection, task.face)
        if candidate is not None:
            vector = to_bytes(_unit(candidate.embedding))
            await self._collections.enrol(task.collection, task.face, vector, candidate.thumbnail)
        face = await self._collections.face(task.collection, task.face)
        answer = _body(face) if face else Answer(status=404, detail="The face has been erased meanwhile.")
        await self._questions.reply(task.question, answer)
        return Completion()

    async def _search(self, envelope: Envelope[SearchTask]) -> Completion:
        task = envelope.body
        probe = await self._questions.probe(task.question)
        if probe is None or time.time() > task.until:
            return Completion()
        query = _unit(probe.embedding)[None]
        try:
            (hits,), searched = await self._replicas.search(
                task.collection, query, probe.model, task.limit, task.threshold
            )
        except UnsearchableCollection as error:
            status = 409 if await self._collections.exists(task.collection) else 404
            await self._questions.reply(task.question, Answer(status=status, detail=str(error)))
            return Completion()
        found = SearchResult(
            collection=task.collection,
            threshold=task.threshold,
            matches=await self._labelled(task.collection, hits),
            searched=searched,
            face=probe.seen,
        )
        await self._questions.reply(task.question, _body(found))
        return Completion()

    async def _labelled(self, collection: str, hits: Sequence[Hit]) -> list[Found]:
        """With the labels that the people have now; without who has been erased since."""
        key = self._service.partitions.home.collection(collection).people
        people = [hit.person for hit in hits]
        told = await self._service.redis.hmget(key, people) if people else []
        labels = cast("list[bytes | None]", told)
        return [
            Found(
                person_id=hit.person.decode(),
                label=label.decode(),
                face_id=hit.face.decode(),
                similarity=hit.similarity,
            )
            for hit, label in zip(hits, labels, strict=True)
            if label is not None
        ]

    async def _match(self, envelope: Envelope[MatchTask]) -> Completion:
        task, key = envelope.body, self._service.names.job(envelope.job).faces
        stored = await self._service.redis.hmget(key, [field for field, _ in task.faces])
        frames = cast("list[bytes | None]", stored)
        if None in frames:
            return Completion()  # the job has ended
        seen = [msgspec.msgpack.decode(cast("bytes", frame), type=FrameFaces) for frame in frames]
        faces = [frame.faces[place].embedding for frame, (_, place) in zip(seen, task.faces, strict=True)]
        queries = np.array([_unit(face) for face in faces], np.float32)
        like: list[list[Resemblance]] = [[] for _ in faces]
        problems = []
        for name in dict.fromkeys(task.collections):
            try:
                found, _ = await self._replicas.search(name, queries, task.model, MATCHES, SAME_PERSON)
            except UnsearchableCollection as error:
                problems.append(f"The faces were not matched: {error}")
                continue
            for resemblances, hits in zip(like, found, strict=True):
                resemblances += [
                    Resemblance(name, hit.person.decode(), hit.face.decode(), hit.similarity) for hit in hits
                ]
        best = [tuple(sorted(one, key=lambda r: -r.similarity)[:MATCHES]) for one in like]
        return self._matched(envelope, best, tuple(problems))

    def _matched(
        self,
        envelope: Envelope[MatchTask],
        matches: Sequence[tuple[Resemblance, ...]],
        problems: tuple[str, ...],
    ) -> Completion:
        task = FinalizeTask(emotions=envelope.body.emotions, matches=tuple(matches), unmatched=problems)
        return self._finalize(envelope, task)

    async def _erase(self, envelope: Envelope[EraseTask]) -> Completion:
        await self._replicas.refresh()
        await remove_erased_people(self._service, envelope.body.collection)
        await self._questions.reply(envelope.body.question, Answer(status=204))
        return Completion()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            try:
                await self._replicas.refresh()
            except (RedisError, OSError) as error:
                log.warning("cannot look after the collections", error=str(error) or type(error).__name__)


def build(service: Service, shared: Shared) -> Iterator[CollectionsStage]:
    """The stage on its stream, with the replicas of the process."""
    replicas = shared.get(
        CollectionReplicas,
        lambda: CollectionReplicas(service.redis, service.partitions.home, service.settings.worker_threads),
    )
    yield CollectionsStage(service, replicas)


def _unit(embedding: bytes) -> NDArray[np.float32]:
    """The embedding scaled to length 1; the API has refused vectors of zeros."""
    return np.asarray(unit(from_bytes([embedding])[0].astype(np.float64)), np.float32)


def _body(struct: msgspec.Struct) -> Answer:
    return Answer(body=Raw(msgspec.json.encode(struct)))
