"""Finalize stage: groups the faces of a job into people, writes the result and ends the job."""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import msgspec
import structlog

from consumers.additions import build_addition
from consumers.base_stage import OneByOneStage
from consumers.job_result import (
    JobFrames,
    all_frames_failed,
    build_result,
    gather_people,
    read_frames,
    summarize,
)
from consumers.job_watch import JobEnded, JobWatch
from consumers.known_samplings import KnownSamplings
from consumers.pictures import preview_pictures, result_pictures
from consumers.runtime.stage import Completion, Delivery, Outgoing
from consumers.service import Service, Shared
from consumers.threads import in_thread
from facecore.people import People, Sighting
from facecore.portraits import aspect
from facecore.quality import composite
from schemas.envelope import Envelope, seal_next
from schemas.messages import FinalizeTask, MatchTask, PortraitsTask, PreviewTask, Shot
from schemas.results import Match
from schemas.store import previews
from schemas.store.clock import server_time
from schemas.store.collections import Collections
from schemas.store.jobs import RESULT_MIN_TTL_SECONDS
from schemas.store.submissions import RECORD_MARGIN_SECONDS

log = structlog.get_logger(__name__)


class FinalizeStage(OneByOneStage[Any]):
    """Consumer group ``finalize`` on ``finalize``: ends a job whose frames are complete.

    A job whose people need age, gender and emotion goes to the analyze stage first and comes back; one whose people
    are compared with collections goes to the collections stage and comes back. The last round writes the result.
    """

    concurrency = 2

    def __init__(self, service: Service) -> None:
        super().__init__(service, "finalize")
        self._collections = Collections(service.redis, service.partitions.home)
        self._samplings = KnownSamplings(service)
        self._watch = JobWatch(service.redis, service.names)
        self._pool = ThreadPoolExecutor(self.concurrency, "people")

    async def stop(self) -> None:
        """Ends the threads that group faces."""
        self._pool.shutdown(cancel_futures=True)

    async def _handle_one(self, delivery: Delivery[Any]) -> Completion:
        try:
            if isinstance(delivery.envelope.body, PreviewTask):
                return await self._preview(delivery.envelope)
            return await self._end_job(delivery.envelope)
        except JobEnded:
            return Completion()

    def on_dead_letter(self, envelope: Envelope[Any], reason: str) -> Completion:
        """Fails the job. When failing it was the message's task, the sweeper ends the job at its deadline; a preview
        has no effects."""
        if isinstance(envelope.body, PreviewTask) or envelope.body.error is not None:
            return Completion()
        failure = FinalizeTask(error=f"The faces could not be grouped into people: {reason}")
        return self._finalize(envelope, failure)

    async def _end_job(self, envelope: Envelope[FinalizeTask]) -> Completion:
        jobs, job_id, task = self._service.jobs, envelope.job, envelope.body
        if task.error is not None:
            await jobs.fail(job_id, task.error, run_id=envelope.run)
            return Completion()
        job = await read_frames(self._service, envelope)
        if job is None:
            return Completion()
        if not job.frames:
            await jobs.fail(job_id, all_frames_failed(job), replayable=True, run_id=job.run)
            return Completion()
        people = await self._people(envelope, job)
        parameters = job.request.parameters
        if task.emotions is None and parameters.detect_demographics and people.persons:
            return self._request_demographics(envelope, people)
        if task.matches is None and parameters.match_collections and people.persons:
            return self._request_matches(envelope, job, people)
        cache = parameters.cache_duration
        ttl = self._service.settings.cache_ttl if cache is None else cache
        matches = await self._matches(job_id, job, task, ttl)
        body = await asyncio.to_thread(build_result, job, people, task, matches)
        portraits = self._service.names.job(job_id).portraits
        pictures = await result_pictures(self._service.redis, portraits, people.persons)
        addition = None
        if parameters.library and parameters.enable_deduplication:
            at = await server_time(self._service.redis, portraits)
            addition = await asyncio.to_thread(build_addition, job_id, job, people, body, pictures.best, at)
        await self._samplings.keep(job_id, job)
        ended = await jobs.complete(
            job_id,
            body,
            summarize(body),
            ttl,
            pictures,
            whole=not body.metadata.failed_frames_count,
            run_id=job.run,
            addition=addition,
        )
        log.info("job completed", people=len(people.persons), frames=len(job.frames), first=ended)
        return Completion()

    async def _people(self, envelope: Envelope[Any], job: JobFrames) -> People:
        """Groups the faces of a job, for as long as the job runs."""
        async with self._watch.until_ended(envelope):
            return await in_thread(self._pool, gather_people, job, self._service.settings.min_quality)

    async def _preview(self, envelope: Envelope[PreviewTask]) -> Completion:
        """Stores the people found so far in a running job."""
        job_id, began = envelope.job, time.monotonic()
        job = await read_frames(self._service, envelope)
        if job is None or not job.frames:
            return Completion()
        people = await self._people(envelope, job)
        count, people = len(people.persons), replace(people, persons=people.persons[: previews.MAX_PEOPLE])
        body = await asyncio.to_thread(build_result, job, people, FinalizeTask(), None)
        body = msgspec.structs.replace(
            body, metadata=msgspec.structs.replace(body.metadata, unique_faces=count)
        )
        portraits = self._service.names.job(job_id).portraits
        shots = await preview_pictures(
            self._service.redis, portraits, people.persons, previews.PICTURE_PIXELS
        )
        store = previews.Previews(self._service.redis, self._service.partitions)
        await store.keep(job_id, job.run, body, shots, time.monotonic() - began)
        return Completion()

    def _request_demographics(self, envelope: Envelope[FinalizeTask], people: People) -> Completion:
        task = PortraitsTask(
            portraits=tuple(person.best.portrait for person in people.persons),
            shots=tuple(tuple(map(_shot, person.best_shots)) for person in people.persons),
        )
        message = seal_next(envelope, "portraits", "", task)
        return Completion(publish=(Outgoing(self._service.names.urgent, message),))

    def _request_matches(
        self, envelope: Envelope[FinalizeTask], job: JobFrames, people: People
    ) -> Completion:
        best = [person.best for person in people.persons]
        task = MatchTask(
            faces=tuple((f"{s.frame.index}{job.outcomes[s.frame.index].field}", s.position) for s in best),
            collections=tuple(job.request.parameters.match_collections),
            model=job.frames[0].provenance.pack,
            emotions=envelope.body.emotions,
            attributes=envelope.body.attributes,
        )
        message = seal_next(envelope, "match", "", task)
        return Completion(publish=(Outgoing(self._service.names.collections, message),))

    async def _matches(
        self, job_id: str, job: JobFrames, task: FinalizeTask, ttl: float
    ) -> list[list[Match]] | None:
        """Returns the matches of each person; None when the request names no collections.

        Leaves out people who were erased since. That this job's result names the others is recorded before the result
        is written, so that a later erasure finds it.
        """
        if not job.request.parameters.match_collections:
            return None
        resemblances = [resemblance for person in task.matches or () for resemblance in person]
        kept = max(ttl, RESULT_MIN_TTL_SECONDS) + RECORD_MARGIN_SECONDS
        labels: dict[tuple[str, str], str | None] = {}
        for name in sorted({resemblance.collection for resemblance in resemblances}):
            people = sorted({r.person for r in resemblances if r.collection == name})
            found = await self._collections.recall(name, people, job_id, kept)
            labels |= {(name, person): label for person, label in zip(people, found, strict=True)}
        return [
            [
                Match(
                    collection=one.collection,
                    person_id=one.person,
                    label=label,
                    face_id=one.face,
                    similarity=one.similarity,
                )
                for one in person
                if (label := labels[one.collection, one.person]) is not None
            ]
            for person in task.matches or ()
        ]


def _shot(sighting: Sighting) -> Shot:
    return Shot(sighting.original_portrait, aspect(sighting.face), composite(sighting.face.quality))


def build(service: Service, _: Shared) -> Iterator[FinalizeStage]:
    """Builds the stage of a partition."""
    yield FinalizeStage(service)
