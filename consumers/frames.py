"""The frames stage: opens the source of a job, samples it, stores the frames and publishes one message each."""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Any, cast

import msgspec
import structlog

from consumers.acquisition import Acquisition, Content
from consumers.runtime.stage import Completion, Delivery, Outgoing
from consumers.service import Service
from consumers.sources.frame_store import FrameStore
from consumers.sources.frames import Frame
from facecore.video import SourceError
from schemas.envelope import Envelope, seal
from schemas.jobs import cache_key
from schemas.messages import FileFrame, FinalizeTask, FrameTask, StoredFrame, open_request
from schemas.names import Priority
from schemas.requests import AnalyzeRequest, Enhancement, Parameters, RequestError, to_request
from schemas.settings import Settings

log = structlog.get_logger(__name__)

SHARE: dict[Priority, float] = {"high": 2.0, "normal": 1.0, "low": 0.25}
"""By how much the jobs that a worker samples at once, and the frames of each under way, differ by priority."""
PAUSE = 0.05
"""Seconds between looks at a job whose window is full; grows to ten times as much."""


class FramesStage:
    """Consumer group ``frames`` on ``faces:requests``. Works on several jobs at once, each with its own thread
    and its own window of frames in flight, so that a long film does not hold up a short clip.

    Args:
        priority: whose requests this worker takes; `PRIORITIES` has its share.
    """

    group = "frames"
    batch_size = 1
    linger = 0.0

    def __init__(self, service: Service, priority: Priority = "normal") -> None:
        settings, share = service.settings, SHARE[priority]
        at_once = max(1, round(settings.jobs_per_worker * share))
        self.name = "frames" if priority == "normal" else f"frames:{priority}"
        self._service = service
        self._priority: Priority = priority
        self._store = FrameStore(service.redis, service.names, ttl=settings.frame_ttl)
        self._pool = ThreadPoolExecutor(at_once, "decode")
        self._acquisition = Acquisition(settings, self._pool)
        self._window = max(1, round(settings.job_window * share))
        self.stream = service.names.requests_of(priority)
        self.dead_stream = service.names.dead
        self.concurrency = at_once
        self.max_run = settings.job_deadline
        self.max_attempts = settings.max_attempts
        self.downstream: Sequence[tuple[str, int]] = ()  # each job looks at the stream itself, see _has_room

    def decode(self, entry_id: str, fields: Mapping[bytes, bytes]) -> Envelope[dict[str, Any]]:
        return open_request(entry_id, fields)

    async def start(self) -> None:
        await self._acquisition.start()

    async def stop(self) -> None:
        await self._acquisition.stop()
        self._pool.shutdown(cancel_futures=True)

    async def handle(self, batch: Sequence[Delivery[dict[str, Any]]]) -> Sequence[Completion | Exception]:
        return [await self._take(delivery) for delivery in batch]

    def bury(self, envelope: Envelope[dict[str, Any]], reason: str) -> Completion:
        """The job of a request that cannot be worked on ends: no more frames of it will come."""
        failure = FinalizeTask(error=f"The frames could not be sampled: {reason}")
        return Completion(publish=(self._service.finalize(envelope.job, failure, envelope.traceparent),))

    async def _take(self, delivery: Delivery[dict[str, Any]]) -> Completion:
        """A source that cannot be used is the caller's affair: the job fails, with the reason."""
        job_id, jobs = delivery.envelope.job, self._service.jobs
        if (home := self._service.partitions.of(job_id)) is not self._service.names:
            return await self._pass_on(delivery.envelope, home.requests_of(self._priority))
        try:
            request = to_request(delivery.envelope.body)
        except RequestError as error:
            await jobs.begin(job_id, _unreadable(delivery.envelope.body))
            await jobs.fail(job_id, f"The request cannot be accepted: {error}")
            return Completion()
        if not await jobs.begin(job_id, request):
            return Completion()
        try:
            return await self._sample(delivery, request)
        except SourceError as error:
            log.info("source refused", error=str(error))
            await jobs.fail(job_id, str(error))
            return Completion()

    async def _pass_on(self, envelope: Envelope[dict[str, Any]], stream: str) -> Completion:
        """A publisher need not know the partitions: another slot has the job, so this is no part of a script, and a
        crash in between sends the request twice, of which the second one finds its job begun."""
        message = seal("analyze", envelope.job, "", envelope.body, traceparent=envelope.traceparent)
        await self._service.redis.xadd(stream, cast("dict[Any, Any]", message))
        return Completion()

    async def _sample(self, delivery: Delivery[dict[str, Any]], request: AnalyzeRequest) -> Completion:
        envelope, service = delivery.envelope, self._service
        job_id, record = envelope.job, service.names.job(envelope.job).metadata
        async with AsyncExitStack() as held:
            content = await self._acquisition.content(request, held)
            if await self._answered(job_id, request, content):
                return Completion()
            told = await service.redis.hmget(record, ["sampled", "method"])  # an earlier attempt got this far
            sampled, method = cast("list[bytes | None]", told)
            first = int(sampled or 0)
            frames = await self._acquisition.frames(
                job_id, request, content, first, method.decode() if method else None, held
            )
            self._check_number(request, frames.expected)
            await service.jobs.note(
                job_id, method=frames.method, expected=frames.expected, version=content.version
            )
            number = first
            while chunk := await frames.chunk():
                if not await self._has_room(job_id, number):
                    return Completion()  # the job was cancelled, or has ended in another way
                number = await self._publish(delivery, request, chunk)
                self._check_number(request, number)
            if warnings := [*frames.warnings, *_warnings(request.parameters)]:
                await service.jobs.note(job_id, warnings=msgspec.json.encode(warnings).decode())
        log.info("sampled", frames=number, method=frames.method)
        return Completion(fan_in=service.fan_in(job_id, envelope.traceparent), units=number)

    def _check_number(self, request: AnalyzeRequest, samples: int) -> None:
        limit = self._service.settings.max_frames
        if samples > limit:
            raise SourceError(
                f"{request.video_path} gives {samples} frames at this sampling; at most {limit} are allowed"
                " (FACES_MAX_FRAMES)."
            )

    async def _answered(self, job_id: str, request: AnalyzeRequest, content: Content) -> bool:
        """Whether another job, finished or running, answers for this one."""
        settings, keep = self._service.settings, request.parameters.cache_duration
        if keep == 0:
            return False
        key = cache_key(content.name, content.version, _identity(request.parameters, settings))
        answered = await self._service.jobs.join(job_id, key, settings.cache_ttl if keep is None else keep)
        if answered:
            log.info("answered by another job")
        return answered

    async def _has_room(self, job_id: str, sampled: int) -> bool:
        """Waits until few enough frames of this job, and of all jobs, are under way; False: the job has ended."""
        service, keys, pause = self._service, self._service.names.job(job_id), PAUSE
        while True:
            async with service.redis.pipeline(transaction=False) as pipe:
                pipe.hexists(keys.metadata, "ended")
                pipe.exists(keys.metadata)
                pipe.hlen(keys.outcomes)
                pipe.xlen(service.names.frames)
                ended, known, done, waiting = await pipe.execute()
            if ended or not known:
                return False
            if sampled - done < self._window and waiting < service.settings.frames_high_water:
                return True
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, PAUSE * 10)

    async def _publish(
        self,
        delivery: Delivery[dict[str, Any]],
        request: AnalyzeRequest,
        chunk: Sequence[Frame],
    ) -> int:
        """Stores and publishes some frames; returns how many of the job there are now."""
        envelope, names = delivery.envelope, self._service.names
        messages = []
        for frame in chunk:
            where: StoredFrame | FileFrame = (
                await self._store.put(envelope.job, str(frame.index), frame.picture)
                if isinstance(frame.picture, bytes)
                else frame.picture
            )
            task = FrameTask(
                index=frame.index,
                timestamp=frame.timestamp,
                frame=where,
                source=request.video_path,
                min_confidence=request.parameters.min_confidence
                if request.parameters.min_confidence is not None
                else self._service.settings.min_confidence,
                demographics=request.parameters.detect_demographics,
                enhancement=_enhancement(request.parameters, self._service.settings),
            )
            messages.append(
                Outgoing(
                    names.frames,
                    seal("frame", envelope.job, str(frame.index), task, traceparent=envelope.traceparent),
                )
            )
        sampled = chunk[-1].index + 1
        await delivery.publish(messages, names.job(envelope.job).metadata, {"sampled": sampled})
        return sampled


def _enhancement(parameters: Parameters, settings: Settings) -> Enhancement | None:
    """What the analyze stage needs to know of the enhancement; None when none is wanted."""
    wanted = parameters.enhancement
    if not wanted.enabled or parameters.use_sprites:
        return None
    trigger = settings.quality_trigger if wanted.quality_trigger is None else wanted.quality_trigger
    return msgspec.structs.replace(wanted, quality_trigger=trigger)


def _identity(parameters: Parameters, settings: Settings) -> dict[str, Any]:
    """What the result depends on beside the source: the parameters as they will be used, and the models."""
    identity: dict[str, Any] = msgspec.to_builtins(parameters)
    del identity["cache_duration"]
    if parameters.min_confidence is None:
        identity["min_confidence"] = settings.min_confidence
    if parameters.min_quality is None:
        identity["min_quality"] = settings.min_quality
    identity["enhancement"] = msgspec.to_builtins(_enhancement(parameters, settings))
    identity["model"] = settings.pack
    return identity


def _warnings(parameters: Parameters) -> list[str]:
    if parameters.enhancement.enabled and parameters.use_sprites:
        return ["Faces on sprites are not enhanced: there is no larger picture of them."]
    return []


def _unreadable(body: dict[str, Any]) -> AnalyzeRequest:
    """A stand-in for a request that is not valid, so that its job can be asked after."""
    named = body.get("video_path", body.get("source"))
    return AnalyzeRequest(video_path=named[:4096] if isinstance(named, str) and named else "?")
