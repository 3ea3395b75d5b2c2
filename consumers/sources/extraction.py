"""Frames by way of the Frame Server: asked for, waited for, checked, and fetched one by one."""

import asyncio
import time
from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec
import structlog

from consumers.sources.frame_server import (
    ExtractedFrame,
    Extraction,
    ExtractJob,
    FrameServer,
    FrameServerNotFound,
    FrameServerRefused,
    FrameServerUnavailable,
    ResultsNotReady,
)
from facecore.video.sampling import Interval, Plan, Scenes, Timestamps, VideoInfo, sample_times
from schemas.messages import FileFrame

log = structlog.get_logger(__name__)

INTERVALS = (0.1, 10.0)
"""Seconds between samples that the Frame Server accepts."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
"""Seconds between questions after a job's status: the pause grows by half each time."""
SUBMISSIONS = 3
"""How often a job is asked for anew when the Frame Server has forgotten it: it was restarted."""
LONGEST_OUTAGE = 60.0
"""Seconds without an answer that are waited out while a job is under way."""
TOLERANCE = 0.15
"""Seconds that a frame may be off the moment asked for: the Frame Server counts frames, so that with ten frames a
second it can be wrong by one, and its files' times are rounded."""


class SamplingMismatch(Exception):
    """The Frame Server's frames are not the ones that were asked for; another way to get them is needed."""


class ServedFrame(msgspec.Struct, frozen=True):
    """One sample: its number in the plan, its moment in seconds, and what the Frame Server calls it."""

    index: int
    timestamp: float
    frame: ExtractedFrame


class ServedFrames(msgspec.Struct, frozen=True):
    """The samples of a plan, and the job of the Frame Server that has them.

    Attributes:
        duration: seconds that the film lasts, where the Frame Server tells.
    """

    job_id: str
    frames: list[ServedFrame]
    duration: float | None = None

    @property
    def last(self) -> float:
        """Seconds, of the last frame."""
        return self.frames[-1].frame.timestamp


async def extract_frames(
    server: FrameServer, job_id: str, video_path: str, plan: Plan, *, deadline: float
) -> ServedFrames:
    """Has the frames of a plan extracted and waits until they are there.

    Args:
        job_id: this service's job; the Frame Server's is called ``frames-<job id>``.
        deadline: seconds that all of it may take.

    Raises:
        FrameServerUnavailable: the Frame Server cannot be reached, or is not done in time; worth another try.
        FrameServerRefused: it does not know the video, or its job failed.
        SamplingMismatch: it cannot sample like this, or did not.
    """
    end = time.monotonic() + deadline
    for attempt in range(SUBMISSIONS):
        try:
            job = await _submit(server, f"frames-{job_id}", video_path, plan)
            extraction = await _completed(server, job, end)
            return ServedFrames(job.job_id, _matched(extraction, plan), extraction.duration)
        except FrameServerNotFound as error:
            if attempt == SUBMISSIONS - 1:
                raise
            log.info("the Frame Server forgot the job", error=str(error))
    raise AssertionError("the last submission returns or raises")


async def _submit(server: FrameServer, job_id: str, video_path: str, plan: Plan) -> ExtractJob:
    """A video that is not known is refused for good; only a job that is not known can be asked for again."""
    refusal: FrameServerRefused | None = None
    for sampling in _spellings(plan):
        try:
            return await server.extract(job_id, video_path, sampling)
        except FrameServerNotFound as error:
            raise FrameServerRefused(str(error)) from error
        except FrameServerRefused as error:
            refusal = error
    assert refusal is not None
    raise SamplingMismatch(f"The Frame Server does not sample like this. {refusal}") from refusal


def _spellings(plan: Plan) -> list[dict[str, Any]]:
    """The plan as the Frame Server may understand it; for scenes its code and its documentation differ."""
    match plan:
        case Interval(seconds):
            if not INTERVALS[0] <= seconds <= INTERVALS[1]:
                raise SamplingMismatch(f"The Frame Server takes no interval of {seconds} s.")
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
    """The results of a job, as soon as it is done; outages are waited out for a while."""
    pause, heard = FIRST_PAUSE, time.monotonic()
    while True:
        try:
            if job.status == "failed":
                raise FrameServerRefused(
                    f"The Frame Server could not extract the frames: {job.error or 'no reason given'}"
                )
            if job.status == "completed":
                return await server.results(job.job_id)
            job = await server.status(job.job_id)
            heard = time.monotonic()
            if job.status in ("completed", "failed"):
                continue
        except ResultsNotReady:
            job = msgspec.structs.replace(job, status="processing")
        except FrameServerUnavailable:
            if time.monotonic() - heard > LONGEST_OUTAGE:
                raise
        if time.monotonic() + pause > end:
            raise FrameServerUnavailable("The Frame Server did not extract the frames in time.")
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, LONGEST_PAUSE)


def _matched(extraction: Extraction, plan: Plan) -> list[ServedFrame]:
    """The frame of every sample; raises SamplingMismatch unless there is one at each moment of the plan."""
    frames = sorted(extraction.frames, key=lambda frame: frame.timestamp)
    if not frames:
        raise SamplingMismatch("The Frame Server found no frame.")
    moments = _moments(plan, extraction, frames[-1].timestamp)
    tolerance = TOLERANCE
    if not isinstance(
        plan, Scenes
    ):  # where a scene ends the next one begins: those are as good as one moment
        tolerance = min([tolerance, *(0.45 * (b - a) for a, b in pairwise(moments))])
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
    """The moments of the plan that must be there. The last one of an interval may be missing: whether the
    picture lasts that long is known for certain only to who decodes it."""
    info = VideoInfo(duration=extraction.duration, fps=extraction.fps or 0.0)
    times = sample_times(plan, info)
    if not isinstance(plan, Interval):
        return [t for t in times if info.duration is None or t < info.duration]
    check_end(plan, info.duration, last)
    return list(takewhile(lambda t: t <= last + TOLERANCE, times)) or [0.0]


def check_end(plan: Plan, duration: float | None, last: float) -> None:
    """Raises SamplingMismatch when the frames of an interval end long before the film does."""
    if isinstance(plan, Interval) and duration is not None and duration - last > plan.seconds + 1.0:
        raise SamplingMismatch(f"The Frame Server's frames end at {last:.2f} s of {duration:.2f} s.")


async def fetch(
    server: FrameServer, job_id: str, served: ServedFrame, roots: Sequence[Path]
) -> FileFrame | bytes:
    """A sample as a file on the shared volume where it lies there, else as the bytes of the picture.

    Args:
        job_id: the Frame Server's job (`ServedFrames.job_id`).
        roots: directories of the shared volume, links resolved; empty when there is none.

    Raises:
        FrameServerNotFound: the frame has been removed, on the volume and on the server.
        FrameServerUnavailable, FrameServerRefused: as for any request.
    """
    path = _shared_path(served.frame.url)
    if path is not None and await asyncio.to_thread(_is_there, path, roots):
        return FileFrame(str(path))
    if served.frame.number is None:
        raise FrameServerNotFound(
            f"The Frame Server's frame at {served.timestamp:.2f} s has neither a file nor a number."
        )
    return await server.frame(job_id, served.frame.number)


def _shared_path(url: str) -> Path | None:
    """The file that an address names on this host; None for anything else."""
    parts = urlsplit(url)
    if parts.scheme not in ("", "file") or parts.netloc not in ("", "localhost"):
        return None
    path = unquote(parts.path) if parts.scheme else url
    return Path(path) if path.startswith("/") and "\0" not in path else None


def _is_there(path: Path, roots: Sequence[Path]) -> bool:
    try:
        place = path.resolve(strict=True)
        return (
            any(place.is_relative_to(root) for root in roots) and place.is_file() and place.stat().st_size > 0
        )
    except (OSError, RuntimeError):
        return False
