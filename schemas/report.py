"""The result of a job as one page that needs nothing else: no request, no server, no other file.

The page is `report.html`; what it shows travels in it as JSON. Names in a result come from strangers, so they are
text there and nowhere markup: the JSON cannot leave its element, the script builds the page from text nodes, and
the policy of the page allows that one script and style, by their hashes, and pictures within the page.
"""

import hashlib
import re
from base64 import b64encode
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from pathlib import PurePosixPath
from typing import Any

import msgspec

from schemas.requests import Parameters
from schemas.results import Detection, Face, JobResult

PEOPLE = 1000
"""The most people a page shows; without deduplication a result can hold one for every detection."""

_TEMPLATE = (files("schemas") / "report.html").read_text(encoding="utf-8")
_MARKUP = str.maketrans({"<": r"\u003c", ">": r"\u003e", "&": r"\u0026"})


def _hash(element: str) -> str:
    found = re.search(rf"<{element}>(.*?)</{element}>", _TEMPLATE, re.DOTALL)
    assert found is not None, f"report.html has no <{element}>"
    return f"'sha256-{b64encode(hashlib.sha256(found[1].encode()).digest()).decode()}'"


POLICY = (
    f"default-src 'none'; script-src {_hash('script')}; style-src {_hash('style')}; img-src data:; "
    "base-uri 'none'; form-action 'none'"
)
"""Content security policy of the page, which states it itself; a server adds it as a header."""
VERSION = hashlib.sha256(_TEMPLATE.encode()).hexdigest()[:16]
"""Changes whenever the page would look different for the same result."""


def render(result: JobResult, thumbnails: Mapping[str, bytes], parameters: Parameters) -> bytes:
    """The page, HTML in UTF-8.

    Args:
        thumbnails: face id to JPEG; a person without one is shown without a picture.
        parameters: of the job: its scenes are marked, its interval tells how long the video is at least.
    """
    data = msgspec.json.encode(_data(result, thumbnails, parameters)).decode()
    values = {
        "policy": escape(POLICY),
        "title": escape(PurePosixPath(result.metadata.video_path).name or "Faces"),
        "data": data.translate(_MARKUP),
    }
    # In one pass: what is put in is not searched for further places.
    return re.sub(r"\{\{(policy|title|data)\}\}", lambda place: values[place[1]], _TEMPLATE).encode()


def _data(result: JobResult, thumbnails: Mapping[str, bytes], parameters: Parameters) -> dict[str, Any]:
    scenes = [(scene.start_timestamp, scene.end_timestamp) for scene in parameters.scene_boundaries or ()]
    sampled = 0.0 if scenes else (result.metadata.total_frames - 1) * parameters.sampling_interval
    ends = [a.end for face in result.faces for a in face.appearances] + [end for _, end in scenes]
    return {
        "job_id": result.job_id,
        "source_id": result.source_id,
        "metadata": result.metadata,
        "length": max([sampled, *ends]),  # seconds; what lies behind the last sample nobody has looked at
        "scenes": scenes,
        "people": [_person(face, thumbnails.get(face.face_id)) for face in result.faces[:PEOPLE]],
    }


def _person(face: Face, thumbnail: bytes | None) -> dict[str, Any]:
    return {
        "id": face.face_id,
        "picture": None if thumbnail is None else f"data:image/jpeg;base64,{b64encode(thumbnail).decode()}",
        "demographics": face.demographics,
        "appearances": [(appearance.start, appearance.end) for appearance in face.appearances],
        "share": face.share,
        "cohesion": face.cohesion,
        "nearest": face.nearest,
        "best": _row(face.representative_detection),
        "detections": [_row(detection) for detection in face.detections],
    }


def _row(detection: Detection) -> tuple[Any, ...]:
    """A detection without the names of its fields, of which a film has thousands; report.html knows their order."""
    quality, angles = detection.quality, detection.pose_angles
    parts = quality.components
    return (
        detection.timestamp, quality.composite, parts.size, parts.pose, parts.occlusion, parts.sharpness,
        detection.pose, angles.yaw, angles.pitch, angles.roll, detection.confidence, detection.enhanced,
    )  # fmt: skip
