"""Collections stage: enrols faces, searches for them, and removes erased people from the results of jobs."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, cast

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray
from redis.exceptions import RedisError

from consumers.base_stage import OneByOneStage
from consumers.galleries.erasure import remove_erased_people
from consumers.galleries.replicas import CollectionReplicas, UnsearchableCollection
from consumers.runtime.connection import retry_until_available
from consumers.runtime.stage import Completion, Delivery
from consumers.service import Service, Shared
from facecore.gallery import Hit
from facecore.vectors import from_bytes, to_bytes, unit
from schemas.collections import MATCH_THRESHOLD
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
from schemas.store.replies import Replies

log = structlog.get_logger(__name__)

MAX_MATCHES = 5
"""Most matches of one person of a job, over all collections."""
REFRESH_SECONDS = 30.0
"""Pause between two synchronizations of the replicas: an erased face leaves the memory of an idle worker by then."""


class CollectionsStage(OneByOneStage[Any]):
    """Consumer group ``collections`` on ``collections``: handles all work on the faces of collections."""

    concurrency = 4

    def __init__(self, service: Service, replicas: CollectionReplicas) -> None:
        super().__init__(service, "collections")
        home = service.partitions.home
        self._replicas = replicas
        self._collections = Collections(service.redis, home)
        self._replies = Replies(service.redis, home)
        self._refreshing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Loads the collections, and starts the periodic synchronization."""
        await retry_until_available("load the collections", self._replicas.refresh)
        self._refreshing = asyncio.create_task(self._refresh())

    async def stop(self) -> None:
        """Ends the periodic synchronization."""
        if self._refreshing is not None:
            self._refreshing.cancel()

    async def _handle_one(self, delivery: Delivery[Any]) -> Completion:
        handlers: dict[type, Callable[[Envelope[Any]], Awaitable[Completion]]] = {
            EnrolTask: self._enrol,
            SearchTask: self._search,
            MatchTask: self._match,
            EraseTask: self._erase,
        }
        return await handlers[type(delivery.envelope.body)](delivery.envelope)

    def on_dead_letter(self, envelope: Envelope[Any], reason: str) -> Completion:
        """Ends a job without matches, with a warning in its result; a request of the API times out."""
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
        answer = (
            Answer.of(face) if face else Answer(status=404, detail="The face was erased in the meantime.")
        )
        await self._replies.reply(task.question, answer)
        return Completion()

    async def _search(self, envelope: Envelope[SearchTask]) -> Completion:
        task = envelope.body
        probe = await self._replies.probe(task.question)
        if probe is None:
            return Completion()
        query = _unit(probe.embedding)[None]
        try:
            (hits,), searched = await self._replicas.search(
                task.collection, query, probe.model, task.limit, task.threshold
            )
        except UnsearchableCollection as error:
            status = 409 if await self._collections.exists(task.collection) else 404
            await self._replies.reply(task.question, Answer(status=status, detail=str(error)))
            return Completion()
        found = SearchResult(
            collection=task.collection,
            threshold=task.threshold,
            matches=await self._labelled(task.collection, hits),
            searched=searched,
            face=probe.seen,
        )
        await self._replies.reply(task.question, Answer.of(found))
        return Completion()

    async def _labelled(self, collection: str, hits: Sequence[Hit]) -> list[Found]:
        """Adds the current labels of the people; leaves out people who were erased since the search."""
        key = self._service.partitions.home.collection(collection).people
        people = [hit.person for hit in hits]
        values = await self._service.redis.hmget(key, people) if people else []
        labels = cast("list[bytes | None]", values)
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
        decoded = [msgspec.msgpack.decode(cast("bytes", frame), type=FrameFaces) for frame in frames]
        faces = [frame.faces[position] for frame, (_, position) in zip(decoded, task.faces, strict=True)]
        queries = np.array([_unit(face.embedding) for face in faces], np.float32)
        matches: list[list[Resemblance]] = [[] for _ in faces]
        warnings = []
        for name in dict.fromkeys(task.collections):
            try:
                found, _ = await self._replicas.search(
                    name, queries, task.model, MAX_MATCHES, MATCH_THRESHOLD
                )
            except UnsearchableCollection as error:
                warnings.append(f"The faces were not matched: {error}")
                continue
            for resemblances, hits in zip(matches, found, strict=True):
                resemblances += [
                    Resemblance(name, hit.person.decode(), hit.face.decode(), hit.similarity) for hit in hits
                ]
        best = [
            tuple(sorted(one, key=lambda r: -r.similarity)[:MAX_MATCHES]) if face.identifiable else ()
            for one, face in zip(matches, faces, strict=True)
        ]
        return self._matched(envelope, best, tuple(warnings))

    def _matched(
        self,
        envelope: Envelope[MatchTask],
        matches: Sequence[tuple[Resemblance, ...]],
        warnings: tuple[str, ...],
    ) -> Completion:
        """Sends a job back to the finalize stage with its matches."""
        task = FinalizeTask(
            emotions=envelope.body.emotions,
            attributes=envelope.body.attributes,
            matches=tuple(matches),
            unmatched=warnings,
        )
        return self._finalize(envelope, task)

    async def _erase(self, envelope: Envelope[EraseTask]) -> Completion:
        await self._replicas.refresh()
        await remove_erased_people(self._service, envelope.body.collection)
        await self._replies.reply(envelope.body.question, Answer(status=204))
        return Completion()

    async def _refresh(self) -> None:
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            try:
                await self._replicas.refresh()
            except (RedisError, OSError) as error:
                log.warning("collections not synchronized", error=str(error) or type(error).__name__)


def build(service: Service, shared: Shared) -> Iterator[CollectionsStage]:
    """Builds the stage of a partition, with the replicas of the process."""
    replicas = shared.get(
        CollectionReplicas,
        lambda: CollectionReplicas(service.redis, service.partitions.home, service.settings.worker_threads),
    )
    yield CollectionsStage(service, replicas)


def _unit(embedding: bytes) -> NDArray[np.float32]:
    """Scales an embedding to length 1; the API refuses vectors of zeros."""
    return np.asarray(unit(from_bytes([embedding])[0].astype(np.float64)), np.float32)
