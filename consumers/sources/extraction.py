"""Extraction by the Frame Server: submits a job, waits for it, verifies its frames, and fetches them one by one."""

import asyncio
import time
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
import structlog

from consumers.sources.frame_server import (
    TIMESTAMP_TOLERANCE_SECONDS,
    ExtractedFrame,
    Extraction,
    ExtractJob,
    FrameServer,
    FrameServerNotFound,
    FrameServerRefused,
    FrameServerUnavailable,
    ResultsNotReady,
)
from consumers.sources.safety import open_source_file
from facecore.video import SourceError
from facecore.video.sampling import Interval, Plan, Scenes, Timestamps, VideoInfo, sample_times
from schemas.messages import FileFrame

log = structlog.get_logger(__name__)

MIN_INTERVAL_SECONDS, MAX_INTERVAL_SECONDS = 0.1, 10.0
"""Sampling intervals that the Frame Server accepts."""
FIRST_POLL_SECONDS, MAX_POLL_SECONDS = 0.1, 2.0
"""Pause between two requests for a job's status: grows by half each time, from the first to the second."""
MAX_SUBMISSIONS = 3
"""Submissions of a job that the Frame Server no longer has, for example after its restart."""
MAX_OUTAGE_SECONDS = 60.0
"""Time without a response after which waiting for a job fails."""


class SamplingMismatch(Exception):
    """The Frame Server does not sample as requested; the frames have to be obtained in another way."""


class ServedFrame(msgspec.Struct, frozen=True):
    """One sample: its index in the plan, its moment in seconds, and the frame of the Frame Server."""

    index: int
    timestamp: float
    frame: ExtractedFrame


class ServedFrames(msgspec.Struct, frozen=True):
    """The samples of a plan that a job of the Frame Server has extracted.

    Attributes:
        job_id: the Frame Server's job.
        duration: seconds of the video; None when the Frame Server does not report it.
    """

    job_id: str
    frames: list[ServedFrame]
    duration: float | None = None

    @property
    def last(self) -> float:
        """Timestamp of the last frame in seconds."""
        return self.frames[-1].frame.timestamp


async def extract_frames(
    server: FrameServer, job_id: str, video_path: str, plan: Plan, *, deadline: float
) -> ServedFrames:
    """Has the Frame Server extract the frames of a plan, and waits for them.

    Args:
        job_id: this service's job; that of the Frame Server is named ``frames-<job id>``.
        deadline: seconds that all of it may take.

    Raises:
        FrameServerUnavailable: the Frame Server cannot be reached, or is not done in time; a retry may succeed.
        FrameServerRefused: the Frame Server does not have the video, or its job failed.
        SamplingMismatch: the Frame Server cannot sample by this plan, or did not.
    """
    end = time.monotonic() + deadline
    for attempt in range(MAX_SUBMISSIONS):
        try:
            job = await _submit(server, f"frames-{job_id}", video_path, plan)
            extraction = await _completed(server, job, end)
            return ServedFrames(job.job_id, _matched(extraction, plan), extraction.duration)
        except FrameServerNotFound as error:
            if attempt == MAX_SUBMISSIONS - 1:
                raise
            log.info("frame server lost the job", error=str(error))
    raise AssertionError("the last submission returns or raises")


async def _submit(server: FrameServer, job_id: str, video_path: str, plan: Plan) -> ExtractJob:
    """Submits a job in the first spelling that the Frame Server accepts. An unknown video is refused for good: only a
    lost job is submitted again."""
    refusal: FrameServerRefused | None = None
    for sampling in _spellings(plan):
        try:
            return await server.extract(job_id, video_path, sampling)
        except FrameServerNotFound as error:
            raise FrameServerRefused(str(error)) from error
        except FrameServerRefused as error:
            refusal = error
    assert refusal is not None
    raise SamplingMismatch(f"The Frame Server does not support this sampling. {refusal}") from refusal


def _spellings(plan: Plan) -> list[dict[str, Any]]:
    """Returns the plan as fields of a request; for scenes, the Frame Server's code and documentation differ."""
    match plan:
        case Interval(seconds):
            if not MIN_INTERVAL_SECONDS <= seconds <= MAX_INTERVAL_SECONDS:
                raise SamplingMismatch(
                    f"The Frame Server does not support a sampling interval of {seconds} s (only"
                    f" {MIN_INTERVAL_SECONDS:g} to {MAX_INTERVAL_SECONDS:g} s)."
                )
            return [{"sampling_strategy": {"mode": "interval", "interval_seconds": seconds}}]
        case Timestamps(seconds):
            return [{"sampling_strategy": {"mode": "timestamps", "timestamps": sorted(set(seconds))}}]
        case Scenes(scenes):
            boundaries = [{"start_timestamp": start, "end_timestamp": end} for start, end in scenes]
            return [
                {"sampling_strategy": {"mode": "scene_based"}, "scene_boundaries": boundaries},
                {"sampling_strategy": {"mode": "scenes", "scene_boundaries": boundaries}},
            ]


async def _completed(server: FrameServer, job: ExtractJob, end: float) -> Extraction:
    """Polls a job until it is done and returns its results; tolerates outages of `MAX_OUTAGE_SECONDS`."""
    pause, last_response = FIRST_POLL_SECONDS, time.monotonic()
    while True:
        try:
            if job.status == "failed":
                raise FrameServerRefused(
                    f"The Frame Server could not extract the frames: {job.error or 'no reason given'}"
                )
            if job.status == "completed":
                return await server.results(job.job_id)
            job = await server.status(job.job_id)
            last_response = time.monotonic()
            if job.status in ("completed", "failed"):
                continue
        except ResultsNotReady:
            job = msgspec.structs.replace(job, status="processing")
        except FrameServerUnavailable:
            if time.monotonic() - last_response > MAX_OUTAGE_SECONDS:
                raise
        if time.monotonic() + pause > end:
            raise FrameServerUnavailable("The Frame Server did not extract the frames in time.")
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, MAX_POLL_SECONDS)


def _matched(extraction: Extraction, plan: Plan) -> list[ServedFrame]:
    """Assigns a frame to each sample; raises SamplingMismatch when a moment of the plan has none.

    Scenes are accepted as the Frame Server samples them, at 25, 50 and 75 %, with the times of its frames.
    """
    frames = sorted(extraction.frames, key=lambda frame: frame.timestamp)
    if not frames:
        raise SamplingMismatch("The Frame Server extracted no frame.")
    if isinstance(plan, Scenes):
        return [ServedFrame(index, frame.timestamp, frame) for index, frame in enumerate(frames)]
    moments = _moments(plan, extraction, frames[-1].timestamp)
    tolerance = _tolerance(b - a for a, b in pairwise(moments))
    matched = []
    for index, moment in enumerate(moments):
        place = bisect_left(frames, moment, key=lambda frame: frame.timestamp)
        frame = min(frames[max(0, place - 1) : place + 1], key=lambda frame: abs(frame.timestamp - moment))
        if abs(frame.timestamp - moment) > tolerance:
            raise SamplingMismatch(
                f"The Frame Server has no frame at {moment:.2f} s; the nearest is at {frame.timestamp:.2f} s."
            )
        matched.append(ServedFrame(index, moment, frame))
    return matched


def _moments(plan: Plan, extraction: Extraction, last: float) -> list[float]:
    """Returns the moments of the plan that need a frame. The last one of an interval may be missing, since only
    decoding shows whether the picture lasts that long."""
    info = VideoInfo(duration=extraction.duration, fps=extraction.fps or 0.0)
    times = sample_times(plan, info)
    if not isinstance(plan, Interval):
        return [t for t in times if info.duration is None or t < info.duration]
    check_end(plan, info.duration, last)
    end = last + _tolerance([plan.seconds])
    return list(takewhile(lambda t: t <= end, times)) or [0.0]


def _tolerance(gaps: Iterable[float]) -> float:
    """Returns the most that a frame may be off its moment, so that no two moments have the same frame."""
    return min([TIMESTAMP_TOLERANCE_SECONDS, *(0.45 * gap for gap in gaps)])


def check_end(plan: Plan, duration: float | None, last: float) -> None:
    """Raises SamplingMismatch when the frames of an interval end long before the video does."""
    if isinstance(plan, Interval) and duration is not None and duration - last > plan.seconds + 1.0:
        raise SamplingMismatch(
            f"The Frame Server's frames end at {last:.2f} s of {duration:.2f} s of the video."
        )


async def fetch(
    server: FrameServer, job_id: str, served: ServedFrame, roots: Sequence[Path]
) -> FileFrame | bytes:
    """Returns a sample as a file where the volume is shared, otherwise downloads the picture.

    Args:
        job_id: the Frame Server's job (`ServedFrames.job_id`).
        roots: directories of the shared volume, links resolved; empty without one.

    Raises:
        FrameServerNotFound: neither the volume nor the Frame Server has the frame any more.
        FrameServerUnavailable, FrameServerRefused: the request failed.
    """
    path = _shared_path(served.frame.url)
    if path is not None and await asyncio.to_thread(_is_readable, path, roots):
        return FileFrame(str(path))
    if served.frame.number is None:
        raise FrameServerNotFound(
            f"The Frame Server's frame at {served.timestamp:.2f} s has neither a file nor a number."
        )
    return await server.frame(job_id, served.frame.number)


def _shared_path(url: str) -> Path | None:
    """Returns the path in a file URL, or the path itself; None for anything else."""
    parts = urlsplit(url)
    if parts.scheme not in ("", "file") or parts.netloc not in ("", "localhost"):
        return None
    path = unquote(parts.path) if parts.scheme else url
    return Path(path) if path.startswith("/") and "\0" not in path else None


def _is_readable(path: Path, roots: Sequence[Path]) -> bool:
    try:
        return not open_source_file(str(path), roots).is_directory
    except SourceError:
        return False
