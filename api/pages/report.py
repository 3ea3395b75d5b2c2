"""The results of one job or of several as one page that needs nothing else: no request, no server, no other file."""

from base64 import b64encode
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import msgspec

from api.pages.page import Page
from schemas.requests import Parameters
from schemas.results import Detection, Face, ResultBody
from schemas.store.pictures import Pictures, strip_positions

PEOPLE = 1000
"""The most people that a page shows of a job; without deduplication a result can hold one for every detection."""
PAGE = Page("report.html", ("base.css", "report.css"), ("dom.js", "report.js"), asks=False)
LIVE = Page(
    "report.html", ("base.css", "report.css"), ("dom.js", "report.js", "access.js", "live.js"), asks=True
)
"""The same page, which asks the server that it came from for its jobs, while they run too."""


class Reported(NamedTuple):
    """A job whose people are shown.

    Attributes:
        parameters: its scenes are marked, its interval tells how long the video is at least.
        frames: how many there will be about, while the job runs; 0: it is done.
    """

    job_id: str
    source_id: str | None
    result: ResultBody
    pictures: Pictures
    parameters: Parameters
    frames: int = 0


def render(jobs: Sequence[Reported]) -> bytes:
    """The page of these jobs, HTML in UTF-8."""
    first = PurePosixPath(jobs[0].result.metadata.video_path).name
    title = first if len(jobs) == 1 else f"{len(jobs)} videos"
    return PAGE.render(f"People in {title}" if title else "Faces", data(jobs))


def data(jobs: Sequence[Reported]) -> bytes:
    """What the page shows, JSON; report.js knows its form."""
    return msgspec.json.encode([_job(job) for job in jobs])


def _job(job: Reported) -> dict[str, Any]:
    metadata, faces = job.result.metadata, job.result.faces
    scenes = [(scene.start_timestamp, scene.end_timestamp) for scene in job.parameters.scene_boundaries or ()]
    samples = max(metadata.total_frames, job.frames)
    sampled = 0.0 if scenes else (samples - 1) * job.parameters.sampling_interval
    ends = [a.end for face in faces for a in face.appearances] + [end for _, end in scenes]
    return {
        "job_id": job.job_id,
        "source_id": job.source_id,
        "complete": not job.frames,
        "metadata": metadata,
        "length": max([sampled, *ends]),  # seconds; what lies behind the last sample nobody has looked at
        "scenes": scenes,
        "people": [_person(face, job.pictures) for face in faces[:PEOPLE]],
    }


def _person(face: Face, pictures: Pictures) -> dict[str, Any]:
    return {
        "id": face.face_id,
        "picture": _address(pictures.best.get(face.face_id)),
        "strip": _address(pictures.strips.get(face.face_id)),
        "tiles": strip_positions(len(face.detections)),
        "demographics": face.demographics,
        "appearances": [(appearance.start, appearance.end) for appearance in face.appearances],
        "share": face.share,
        "cohesion": face.cohesion,
        "nearest": face.nearest,
        "best": _row(face.representative_detection),
        "detections": [_row(detection) for detection in face.detections],
    }


def _address(picture: bytes | None) -> str | None:
    return None if picture is None else f"data:image/jpeg;base64,{b64encode(picture).decode()}"


def _row(detection: Detection) -> tuple[Any, ...]:
    """A detection without the names of its fields, of which a film has thousands; report.js knows their order."""
    quality, angles = detection.quality, detection.pose_angles
    parts = quality.components
    return (
        detection.timestamp, quality.composite, parts.size, parts.pose, parts.occlusion, parts.sharpness,
        detection.pose, angles.yaw, angles.pitch, angles.roll, detection.confidence, detection.enhanced,
    )  # fmt: skip
