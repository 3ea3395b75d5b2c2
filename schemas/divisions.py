"""Divisions of a film: detections that a person said are somebody else than the grouping of the faces takes them for.

A division outlives analyses: it names places in the film, not faces. The service puts those of a library's film into
each request for it (`Parameters.divisions`), so that a result still follows from its request.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

MAX_SPOTS = 10_000
"""Places that one division may name."""


class Spot(msgspec.Struct, frozen=True, kw_only=True):
    """A place in a film: a time, and a point in the box of a face, in pixels of `BoundingBox`."""

    timestamp: Annotated[float, Meta(ge=0.0, le=1e9)]
    """Seconds; of an album, the number of the picture, from 0."""
    x: Annotated[float, Meta(ge=-1e6, le=1e6)]
    """From the left, in pixels of the boxes of a result."""
    y: Annotated[float, Meta(ge=-1e6, le=1e6)]
    """From the top."""


class Division(msgspec.Struct, frozen=True, kw_only=True):
    """Detections that are one person, apart from all others of the film."""

    division_id: Annotated[str, Meta(min_length=1, max_length=64)]
    """The same in every analysis."""
    spots: Annotated[tuple[Spot, ...], Meta(max_length=MAX_SPOTS)]
    """Where the detections are; of the samples, the nearest one within half an interval counts."""


class Divisions(msgspec.Struct, frozen=True, kw_only=True):
    """The divisions of a film that are in force."""

    revision: Annotated[str, Meta(max_length=64)]
    """Changes with every division, and when one is taken back."""
    divisions: Annotated[tuple[Division, ...], Meta(max_length=1000)] = ()
    """In the order in which they were made."""
