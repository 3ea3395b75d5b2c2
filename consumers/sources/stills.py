"""Pictures that stand still: a sample that shows what one shortly before it shows is given the same encoded picture.

So slides and title cards are analysed once (`consumers.known_pictures`): what a codec changes from frame to frame of
a picture that stands still is not analysed. The comparison is with the picture that was encoded, not with the last
one, so small changes do not add up. Which samples are alike depends on the film and the sampling alone: they are
compared in groups of `SAMPLES_PER_GROUP`, and work that is resumed begins with a group.
"""

from collections.abc import Callable, Iterable, Iterator

import cv2

from facecore.video import SampledFrame
from facecore.video.picture import Image

SAME_LEVELS = 6
"""Largest difference of any pixel, in any of its three colours, of two pictures that count as the same, in 255
levels: what codecs change of a still picture, and JPEG 95 too. Two pictures that differ from a plain one by so much
differ by less than the contrast of an identifiable face (`facecore.identifiability.MIN_CONTRAST`): none appears
unseen. A face that moves by a pixel changes those at its edges, eyes and mouth by more, unless its contrasts are
smaller than that."""
SAMPLES_PER_GROUP = 8
"""At most so many samples share a picture; resumed work decodes at most one less again."""
ROWS_PER_GLANCE = 32
"""Distance of the rows that are compared first: nearly all pictures of a film that moves differ in them."""


def group_start(first: int) -> int:
    """Returns the sample to begin with when samples are needed from index ``first`` on."""
    return first - first % SAMPLES_PER_GROUP


def encoded(
    samples: Iterable[SampledFrame], first: int, encode: Callable[[Image], bytes]
) -> Iterator[tuple[SampledFrame, bytes]]:
    """Yields samples with their encoded pictures, from index ``first`` on.

    Args:
        samples: in order, from `group_start` on.
    """
    shown: tuple[Image, bytes] | None = None
    for sample in samples:
        if shown is None or sample.index % SAMPLES_PER_GROUP == 0 or not is_same(shown[0], sample.image):
            shown = sample.image, encode(sample.image)
        if sample.index >= first:
            yield sample, shown[1]


def is_same(picture: Image, other: Image) -> bool:
    """Returns whether no pixel of two pictures differs by more than `SAME_LEVELS`."""
    if picture.shape != other.shape:
        return False
    glances = picture[::ROWS_PER_GLANCE], other[::ROWS_PER_GLANCE]
    return all(cv2.norm(a, b, cv2.NORM_INF) <= SAME_LEVELS for a, b in (glances, (picture, other)))
