"""The report: the people of one or several jobs as one self-contained page, without requests or other files."""

from base64 import b64encode
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import msgspec

from api.pages.page import Page, SharedPage, data_of, with_data
from schemas.requests import Parameters
from schemas.results import Detection, Face, ResultBody
from schemas.store.pictures import Pictures, strip_positions

MAX_PEOPLE = 1000
"""People of one job on a page; without deduplication, a result has one for every detection."""
PAGE = Page(
    "report.html",
    ("base.css", "report.css"),
    ("dom.js", "pictures.js", "texts.js", "report.js"),
    requests=False,
)
LIVE = SharedPage(
    Page(
        "report.html",
        ("base.css", "report.css"),
        ("dom.js", "pictures.js", "texts.js", "report.js", "access.js", "live.js"),
        requests=True,
    ),
    "People",
)
"""The same page, but its script loads the jobs from the API, while they run too."""


class Reported(NamedTuple):
    """A job on the page.

    Attributes:
        parameters: the page marks its scenes and derives the length of the video from its interval.
        frames: estimated number of frames while the job runs; 0: the job has ended.
    """

    job_id: str
    source_id: str | None
    result: ResultBody
    pictures: Pictures
    parameters: Parameters
    frames: int = 0


def render(jobs: Sequence[Reported]) -> bytes:
    """Renders the page of these jobs; returns HTML in UTF-8."""
    first = PurePosixPath(jobs[0].result.metadata.video_path).name
    title = first if len(jobs) == 1 else f"{len(jobs)} videos"
    return PAGE.render(f"People in {title}" if title else "Faces", data(jobs))


def data(jobs: Sequence[Reported]) -> bytes:
    """Encodes what the page shows as JSON, in the form that report.js reads."""
    return msgspec.json.encode([_job(job) for job in jobs])


def renamed(html: bytes, faces: Sequence[Face]) -> bytes:
    """Returns the page of one job with the names that its people have now; what is no such page stays as it is."""
    try:
        jobs = msgspec.json.decode(data_of(html) or b"[]")
        names = {face.face_id: _name(face) for face in faces}
        for person in (person for job in jobs for person in job["people"]):
            person.update(names[person["id"]])
    except (KeyError, TypeError, AttributeError, UnicodeDecodeError, msgspec.DecodeError):
        return html
    return with_data(html, msgspec.json.encode(jobs)) if jobs else html


def _job(job: Reported) -> dict[str, Any]:
    metadata, faces = job.result.metadata, job.result.faces
    scenes = [(scene.start_timestamp, scene.end_timestamp) for scene in job.parameters.scene_boundaries or ()]
    samples = max(metadata.sampled_frames or metadata.total_frames, job.frames)
    adaptive = job.parameters.sampling == "adaptive"
    sampled = 0.0 if scenes or adaptive else (samples - 1) * job.parameters.sampling_interval
    ends = [a.end for face in faces for a in face.appearances] + [end for _, end in scenes]
    return {
        "job_id": job.job_id,
        "source_id": job.source_id,
        "complete": not job.frames,
        "metadata": metadata,
        "length": max([sampled, *ends]),  # seconds, at least: what follows the last sample is unknown
        "scenes": scenes,
        "people": [_person(face, job.pictures) for face in faces[:MAX_PEOPLE]],
    }


def _person(face: Face, pictures: Pictures) -> dict[str, Any]:
    return {
        "id": face.face_id,
        **_name(face),
        "identifiable": face.identifiable,
        "picture": _data_url(pictures.best.get(face.face_id)),
        "strip": _data_url(pictures.strips.get(face.face_id)),
        "tiles": strip_positions(len(face.detections)),
        "demographics": face.demographics,
        "appearances": [(appearance.start, appearance.end) for appearance in face.appearances],
        "share": face.share,
        "cohesion": face.cohesion,
        "nearest": face.nearest,
        "best": _row(face.representative_detection),
        "detections": [_row(detection) for detection in face.detections],
    }


def _name(face: Face) -> dict[str, str | None]:
    known = next((match.label for match in face.matches or ()), None)  # in a collection
    return {"person_id": face.person_id or None, "label": face.label or known}


def _data_url(jpeg: bytes | None) -> str | None:
    return None if jpeg is None else f"data:image/jpeg;base64,{b64encode(jpeg).decode()}"


def _row(detection: Detection) -> tuple[Any, ...]:
    """A detection as an array, to save the field names of thousands; report.js reads it in this order."""
    quality, angles = detection.quality, detection.pose_angles
    parts, box = quality.components, detection.bbox
    return (
        detection.timestamp, quality.composite, parts.size, parts.pose, parts.occlusion, parts.sharpness,
        detection.pose, angles.yaw, angles.pitch, angles.roll, detection.confidence, detection.enhanced,
        box.x_min, box.y_min, box.x_max, box.y_max,
    )  # fmt: skip
