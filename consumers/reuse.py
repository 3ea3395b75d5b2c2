"""Which observations serve which request: names of pictures and samplings in `schemas.store.observations`.

A picture is named by its bytes and by all that turns them into observations. So equal names mean equal observations,
however the picture was found.
"""

import hashlib
from collections.abc import Iterable
from typing import Any

import msgspec

from facecore.narrowing import narrowed
from schemas.observations import FrameFaces
from schemas.orientation import Display
from schemas.requests import Parameters
from schemas.settings import Settings

LAST_STAGE = frozenset(
    {
        "min_quality",
        "max_faces",
        "enable_deduplication",
        "include_unidentifiable",
        "embedding_similarity_threshold",
        "cache_duration",
        "match_collections",
        "library",
        "divisions",
        "detect_demographics",
    }
)
"""Parameters that only the last stage uses: they change no observation."""
AT_LEAST = frozenset({"min_confidence"})
"""Parameters for which observations of a less strict request serve a stricter one (`usable`). All others, which are
in neither set, change the sampling."""
PICTURE_SETTINGS = ("frame_format", "frame_quality", "max_pixels", "segment_seconds")
"""Settings that change the sampled pictures, or the warnings about them."""
NAME_BYTES = 16
"""Bytes of a hash: enough that no two names of a source are ever equal by chance."""


def picture_name(observer: str, max_pixels: int, display: Display | None, picture: bytes) -> str:
    """Returns the name of an encoded picture as an observer sees it.

    Args:
        max_pixels: limit above which a picture is refused.
        display: how it becomes the one that a player shows.
    """
    return f"{observer}.{_name([msgspec.json.encode((max_pixels, display)), picture])}"


def observer_in(picture: str) -> str:
    """Returns the name of the observer in the name of a picture."""
    return picture.partition(".")[0]


def estimate_field(observer: str, portrait: bytes, aspect: float | None) -> str:
    """Returns the field of what is estimated of a crop of a face: age and gender.

    Args:
        aspect: of the face's box (`facecore.portraits.aspect`); None: of the emotion.
    """
    kind, shape = ("emotion", b"") if aspect is None else ("attributes", msgspec.json.encode(aspect))
    return f"{kind}:{observer}.{_name([portrait, shape])}"


def source_name(fingerprint: str) -> str:
    """Returns the name of a source by the fingerprint of its content."""
    return _name([fingerprint.encode()])


def sampling_key(parameters: Parameters, settings: Settings, source_version: str, *, served: bool) -> str:
    """Returns the field under which a completed job keeps its sampling.

    Args:
        source_version: changes whenever the source may have changed.
        served: whether the Frame Server extracts the frames.
    """
    asked = msgspec.to_builtins(parameters)
    values: dict[str, Any] = {n: v for n, v in asked.items() if n not in LAST_STAGE | AT_LEAST}
    values["settings"] = [getattr(settings, name) for name in PICTURE_SETTINGS]
    encoded = msgspec.json.encode([source_version, values], order="deterministic")
    return f"sampling:{'served' if served else 'local'}:{_name([encoded])}"


def is_sampled_as(sampling: str, method: str) -> bool:
    """Returns whether frames that were obtained by a method are those that the key of a sampling means: the Frame
    Server may have failed, and this service decoded instead."""
    return (method.startswith("frame-server")) == sampling.startswith("sampling:served:")


def usable(encoded: bytes | None, min_confidence: float) -> FrameFaces | None:
    """Returns what an observation shows from a confidence on, 0-1; None when it does not serve."""
    if encoded is None:
        return None
    faces = msgspec.msgpack.decode(encoded, type=FrameFaces)
    if faces.provenance.min_confidence > min_confidence:
        return None
    return narrowed(faces, min_confidence)


def _name(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8))
        digest.update(part)
    return digest.hexdigest()[: 2 * NAME_BYTES]
