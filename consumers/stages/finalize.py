"""The finalize stage: turns the frames of a job into people and ends the job."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import msgspec
import structlog

from consumers.base_stage import OneByOneStage
from consumers.outcomes import FrameOutcome, decode_outcome
from consumers.pictures import preview_pictures, result_pictures
from consumers.runtime.stage import Completion, Delivery, Outgoing
from consumers.service import Service
from facecore.people import People, gather
from facecore.result_builder import describe
from schemas.envelope import Envelope, seal
from schemas.messages import FINALIZE, FinalizeTask, MatchTask, PortraitsTask, PreviewTask
from schemas.observations import FrameFaces, Provenance
from schemas.requests import AnalyzeRequest
from schemas.results import EnhancementReport, FailedFrame, Match, Metadata, ResultBody, ResultSummary
from schemas.store import previews
from schemas.store.collections import Collections
from schemas.store.jobs import KEPT_AT_LEAST, MARGIN

log = structlog.get_logger(__name__)

FAILED_FRAMES_NAMED = 100
"""How many failed frames a result names; it counts them all."""
READ_AT_ONCE = 256


class Job(msgspec.Struct, frozen=True):
    """All that is stored of a job whose frames are complete."""

    request: AnalyzeRequest
    record: dict[str, str]
    outcomes: dict[int, FrameOutcome]
    frames: list[FrameFaces]


class FinalizeStage(OneByOneStage[Any]):
    """Consumer group ``finalize`` on ``faces:finalize``. Runs once more for a job whose people
    are to be asked for their emotion, and once more when they are to be looked for in collections; the last time it
    writes the result."""

    group = "finalize"
    messages = FINALIZE
    concurrency = 2

    def __init__(self, service: Service) -> None:
        super().__init__(service, service.names.finalize)
        self._collections = Collections(service.redis, service.partitions.home)

    async def _handle_one(self, delivery: Delivery[Any]) -> Completion:
        if isinstance(delivery.envelope.body, PreviewTask):
            return await self._preview(delivery.envelope.job)
        return await self._conclude(delivery.envelope)

    def on_dead_letter(self, envelope: Envelope[Any], reason: str) -> Completion:
        """The job fails; should even that fail, the sweeper ends it at its deadline. A preview changes nothing."""
        if isinstance(envelope.body, PreviewTask) or envelope.body.error is not None:
            return Completion()
        failure = FinalizeTask(error=f"The people could not be put together: {reason}")
        return self._finalize(envelope, failure)

    async def _conclude(self, envelope: Envelope[FinalizeTask]) -> Completion:
        jobs, job_id, task = self._service.jobs, envelope.job, envelope.body
        if task.error is not None:
            await jobs.fail(job_id, task.error)
            return Completion()
        job = await self._read(job_id)
        if job is None:
            return Completion()
        if not job.frames:
            await jobs.fail(job_id, _all_failed(job), replayable=True)
            return Completion()
        people = await asyncio.to_thread(_people, job, self._service.settings.min_quality)
        demographics = job.request.parameters.detect_demographics
        if task.emotions is None and demographics and people.persons:
            return self._ask_emotions(envelope, people)
        if task.matches is None and job.request.parameters.match_collections and people.persons:
            return self._ask_matches(envelope, job, people)
        keep = job.request.parameters.cache_duration
        keep = self._service.settings.cache_ttl if keep is None else keep
        matches = await self._matches(job_id, job, task, keep)
        body = await asyncio.to_thread(_result, job, people, task, matches)
        ended = await jobs.complete(
            job_id,
            body,
            _summary(body),
            keep,
            await result_pictures(
                self._service.redis, self._service.names.job(job_id).portraits, people.persons
            ),
            whole=not body.metadata.failed_frames_count,
        )
        log.info("finished", people=len(people.persons), frames=len(job.frames), first=ended)
        return Completion()

    async def _preview(self, job_id: str) -> Completion:
        """The people so far, for somebody who looks."""
        began = time.monotonic()
        job = await self._read(job_id)
        if job is None or not job.frames:
            return Completion()
        people = await asyncio.to_thread(_people, job, self._service.settings.min_quality)
        count, people = len(people.persons), replace(people, persons=people.persons[: previews.PEOPLE])
        body = await asyncio.to_thread(_result, job, people, FinalizeTask(), None)
        body = msgspec.structs.replace(
            body, metadata=msgspec.structs.replace(body.metadata, unique_faces=count)
        )
        portraits = self._service.names.job(job_id).portraits
        shots = await preview_pictures(self._service.redis, portraits, people.persons, previews.SIDE)
        kept = previews.Previews(self._service.redis, self._service.partitions)
        await kept.keep(job_id, body, shots, time.monotonic() - began)
        return Completion()

    def _ask_emotions(self, envelope: Envelope[FinalizeTask], people: People) -> Completion:
        task = PortraitsTask(portraits=tuple(person.best.portrait for person in people.persons))
        message = seal("portraits", envelope.job, "", task, traceparent=envelope.traceparent)
        return Completion(publish=(Outgoing(self._service.names.urgent, message),))

    def _ask_matches(self, envelope: Envelope[FinalizeTask], job: Job, people: People) -> Completion:
        best = [person.best for person in people.persons]
        task = MatchTask(
            faces=tuple((f"{s.frame.index}{job.outcomes[s.frame.index].field}", s.position) for s in best),
            collections=tuple(job.request.parameters.match_collections),
            model=job.frames[0].provenance.pack,
            emotions=envelope.body.emotions,
        )
        message = seal("match", envelope.job, "", task, traceparent=envelope.traceparent)
        return Completion(publish=(Outgoing(self._service.names.collections, message),))

    async def _matches(
        self, job_id: str, job: Job, task: FinalizeTask, keep: float
    ) -> list[list[Match]] | None:
        """Known people whom each person is like, those who have not been erased meanwhile; None when nobody asked.
        That the result will tell of them is noted first, so that erasing them finds it."""
        if not job.request.parameters.match_collections:
            return None
        like = [resemblance for person in task.matches or () for resemblance in person]
        until = time.time() + max(keep, KEPT_AT_LEAST) + MARGIN
        labels: dict[tuple[str, str], str | None] = {}
        for name in sorted({resemblance.collection for resemblance in like}):
            known = sorted({resemblance.person for resemblance in like if resemblance.collection == name})
            told = await self._collections.recall(name, known, job_id, until)
            labels |= {(name, person): label for person, label in zip(known, told, strict=True)}
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

    async def _read(self, job_id: str) -> Job | None:
        """None when the job has ended or is gone."""
        redis, keys = self._service.redis, self._service.names.job(job_id)
        record = cast("dict[bytes, bytes]", await redis.hgetall(keys.metadata))
        if not record or b"ended" in record:
            return None
        told = cast("dict[bytes, bytes]", await redis.hgetall(keys.outcomes))
        frame_outcomes = {int(unit): decode_outcome(value) for unit, value in told.items()}
        wanted = [
            f"{index}{outcome.field}"
            for index, outcome in sorted(frame_outcomes.items())
            if outcome.state != "failed"
        ]
        frames = []
        for start in range(0, len(wanted), READ_AT_ONCE):
            stored = await redis.hmget(keys.faces, wanted[start : start + READ_AT_ONCE])
            frames += [msgspec.msgpack.decode(cast("bytes", f), type=FrameFaces) for f in stored]
        request = msgspec.msgpack.decode(record.pop(b"request"), type=AnalyzeRequest)
        return Job(request, {k.decode(): v.decode() for k, v in record.items()}, frame_outcomes, frames)


def _people(job: Job, min_quality: float) -> People:
    parameters = job.request.parameters
    return gather(
        job.frames,
        threshold=parameters.embedding_similarity_threshold,
        deduplicate=parameters.enable_deduplication,
        sampling_interval=parameters.sampling_interval,
        min_quality=min_quality if parameters.min_quality is None else parameters.min_quality,
        max_faces=parameters.max_faces,
    )


def _result(
    job: Job, people: People, task: FinalizeTask, matches: Sequence[list[Match]] | None
) -> ResultBody:
    record, provenance = job.record, job.frames[0].provenance
    failed = [
        FailedFrame(index, outcome.reason)
        for index, outcome in sorted(job.outcomes.items())
        if outcome.state == "failed"
    ]
    metadata = Metadata(
        video_path=job.request.video_path,
        total_frames=len(job.outcomes),
        frames_processed=len(job.frames),
        unique_faces=len(people.persons),
        total_detections=people.detections,
        processing_time_seconds=round(time.time() - float(record["started"]), 3),
        method=record["method"],
        model=provenance.pack,
        providers=list(dict.fromkeys(name for used in _used(job) for name in used.providers)),
        detector_sizes=sorted({frame.detector_size for frame in job.frames}),
        min_confidence=provenance.min_confidence,
        sharpness_method=provenance.sharpness,
        occlusion_model=provenance.occlusion,
        rejected=people.rejected,
        failed_frames=failed[:FAILED_FRAMES_NAMED],
        failed_frames_count=len(failed),
        enhancement=_enhancement(job, people),
        warnings=[*_warnings(job), *task.unmatched],
    )
    return ResultBody(
        status="completed",
        faces=describe(
            people,
            task.emotions,
            matches,
            demographics=job.request.parameters.detect_demographics,
            frames=len(job.frames),
        ),
        metadata=metadata,
    )


def _enhancement(job: Job, people: People) -> EnhancementReport | None:
    if not job.request.parameters.enhancement.enabled:
        return None
    kept = Counter(o.reason for o in job.outcomes.values() if o.state == "kept")
    return EnhancementReport(
        requested_frames=sum(o.state in ("kept", "enhanced") for o in job.outcomes.values()),
        enhanced_faces=sum(s.face.enhanced for p in people.persons for s in p.sightings),
        kept_frames=kept.total(),
        reasons=dict(sorted(kept.items())),
    )


def _warnings(job: Job) -> list[str]:
    """Those of the parts of a long film in the order of the parts; what several say is said once."""
    told = [job.record.get("warnings", "[]")]
    told += [job.record.get(f"warnings:{part}", "[]") for part in range(int(job.record.get("parts", 0)))]
    warnings = list(
        dict.fromkeys(text for texts in told for text in msgspec.json.decode(texts, type=list[str]))
    )
    if any(used.occlusion is None for used in _used(job)):
        warnings.append("No occlusion model is installed: occlusion counts as 1.0 in every quality score.")
    alike = {msgspec.structs.replace(used, providers=()) for used in _used(job)}
    if len(alike) > 1:
        warnings.append(
            "The workers had different models: what this result names is that of its first frame."
        )
    return warnings


def _used(job: Job) -> list[Provenance]:
    """What the frames were analysed with, each once: workers may differ."""
    return list(dict.fromkeys(frame.provenance for frame in job.frames))


def _summary(body: ResultBody) -> ResultSummary:
    return ResultSummary(
        unique_faces=body.metadata.unique_faces,
        total_detections=body.metadata.total_detections,
        frames_processed=body.metadata.frames_processed,
        processing_time_seconds=body.metadata.processing_time_seconds,
    )


def _all_failed(job: Job) -> str:
    reasons = Counter(outcome.reason for outcome in job.outcomes.values()).most_common(3)
    named = "; ".join(f"{reason} ({count} frames)" for reason, count in reasons)
    return f"None of the {len(job.outcomes)} frames could be analysed: {named}"
