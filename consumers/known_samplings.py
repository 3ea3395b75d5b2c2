"""Known samplings: jobs all of whose frames have been observed before, which the last stage alone completes."""

from typing import Any

import msgspec

from consumers.job_result import JobFrames, source_warnings
from consumers.known_pictures import FRAMES_PER_STEP, KnownPictures, PictureOf
from consumers.outcomes import FrameOutcome, encode_outcome
from consumers.reuse import is_sampled_as, observer_in
from consumers.service import Service
from schemas.envelope import Envelope
from schemas.messages import ReuseTask
from schemas.observations import Sampling
from schemas.store import workers
from schemas.store.observations import Observations

REUSED = encode_outcome(FrameOutcome("analysed", reused=True))


class KnownSamplings:
    """Keeps the samplings of completed jobs, and completes the frames of jobs that sample alike."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._kept = Observations(service.redis, service.names, service.settings)
        self._pictures = KnownPictures(service)

    async def take(self, envelope: Envelope[Any], task: ReuseTask) -> int | None:
        """Gives all frames of a job what was observed of them before, with their outcomes.

        Returns:
            The number of frames; None when one of them has to be analysed. Those that have their outcome then are as
            an analysis would leave them.
        """
        (stored,) = await self._kept.read(task.source, [task.sampling])
        if stored is None:
            return None
        sampling = msgspec.msgpack.decode(stored, type=Sampling)
        threshold = await self._threshold(sampling.observer, task)
        if threshold is None or len(sampling.samples) > self._service.settings.max_frames:
            return None
        job, run = envelope.job, envelope.run
        pictures = [
            PictureOf(job, run, task.source, name, index, timestamp, threshold)
            for index, (timestamp, name) in enumerate(sampling.samples)
        ]
        await self._kept.keep(task.source, job, {}, run)
        for start in range(0, len(pictures), FRAMES_PER_STEP):
            step = pictures[start : start + FRAMES_PER_STEP]
            if len(await self._pictures.take(step, REUSED)) < len(step):
                return None
        await self._service.jobs.note(
            job,
            run,
            method=sampling.method,
            film=sampling.film,
            expected=len(pictures),
            sampled=len(pictures),
            warnings=msgspec.json.encode(sampling.warnings).decode(),
        )
        return len(pictures)

    async def keep(self, job_id: str, job: JobFrames) -> None:
        """Keeps the sampling of a job that is about to be completed, if each of its frames was analysed."""
        source, field = job.record.get("observed", ""), job.record.get("sampling", "")
        observers = {observer_in(frame.picture) for frame in job.frames}
        is_whole = len(job.frames) == len(job.outcomes) and len(observers) == 1 and "" not in observers
        if not (source and field and is_whole and is_sampled_as(field, job.record["method"])):
            return
        sampling = Sampling(
            observer=observers.pop(),
            method=job.record["method"],
            film=job.record.get("film", "{}"),
            warnings=tuple(source_warnings(job)),
            samples=tuple((frame.timestamp, frame.picture) for frame in job.frames),
        )
        await self._kept.keep(source, job_id, {field: msgspec.msgpack.encode(sampling)}, job.run)

    async def _threshold(self, observer: str, task: ReuseTask) -> float | None:
        """Returns the threshold in force; None unless all workers that analyse observe as that one did."""
        alive = await workers.alive(self._service.redis, self._service.partitions.home)
        present = {(one.observer, one.min_confidence) for one in alive if one.observer}
        if len(present) != 1:
            return None
        ((name, default),) = present
        if name != observer or default is None:
            return None
        return default if task.min_confidence is None else task.min_confidence
