"""Films: properties of a source for its result; how the Frame Server's pictures of it become those of a player."""

from math import isclose

from facecore.video import VideoInfo
from facecore.video.picture import Image
from facecore.video.upright import (
    UPRIGHT,
    Turning,
    by_opencv,
    remaining,
    stretched,
    turned,
    turning_like,
)
from schemas.metadata import Film
from schemas.orientation import Display, FrameServerPicture, SourcePicture

SAME_ASPECT = 0.02
"""Largest difference of two ratios of width to height that count as equal, as a part of the larger one."""


def film_of(info: VideoInfo, served: FrameServerPicture | None = None) -> Film:
    """Returns the properties of a video as the result states them.

    Args:
        served: the Frame Server's pictures, where they were measured.
    """
    (width, height), turning = info.stored, info.turning
    if width:
        done = _applied(info)
        size = done.size(width, height)
        served = served or _served(info, remaining(turning, done), size, measured=False)
    return Film(
        width=info.width or None,
        height=info.height or None,
        duration=None if info.duration is None else round(info.duration, 3),
        fps=round(info.fps, 3) or None,
        codec=info.codec or None,
        frames=info.frames,
        stored=SourcePicture(
            width=width,
            height=height,
            rotation=turning.rotation,
            mirrored=turning.mirrored,
            pixel_aspect=round(info.pixel_aspect, 4),
        )
        if width
        else None,
        served=served,
    )


def is_plain(info: VideoInfo) -> bool:
    """Returns whether a video is stored as it is shown."""
    return info.turning == UPRIGHT and info.stored == (info.width, info.height)


def is_ambiguous(info: VideoInfo) -> bool:
    """Returns whether the size of a picture of the Frame Server cannot tell how it was turned."""
    width, height = info.stored
    is_square = _same(width / height, height / width)
    return info.turning != UPRIGHT and (
        is_square or info.turning != by_opencv(info.turning) or not info.turning.transpose
    )


def displayed_plainly(info: VideoInfo) -> Display:
    """Returns how pictures of the Frame Server become those of a player where the video is stored as it is shown."""
    return Display(width=info.width, height=info.height, turnings=(UPRIGHT,), aspect=info.width / info.height)


def displayed(info: VideoInfo, picture: Image, look: bytes) -> tuple[Display, Film]:
    """Returns how pictures of the Frame Server become those of a player, and the film with what was measured.

    Args:
        picture: one of the Frame Server.
        look: of the same frame as a player shows it; empty: not known.
    """
    height, width = picture.shape[:2]
    upright = info.turning.size(*info.stored)
    aspect = upright[0] / upright[1]
    usual = (remaining(info.turning, _applied(info)), info.turning)
    display = Display(width=info.width, height=info.height, turnings=usual, aspect=aspect)
    turning = _fitting(display, width, height)
    if look:
        turning = turning_like(picture, look, turning)
    display = Display(
        width=info.width, height=info.height, turnings=(turning, info.turning, UPRIGHT), aspect=aspect
    )
    return display, film_of(info, _served(info, turning, (width, height), measured=bool(look)))


def shown(picture: Image, display: Display) -> Image:
    """Returns a picture of the Frame Server as a player shows it."""
    height, width = picture.shape[:2]
    upright = turned(picture, _fitting(display, width, height))
    return stretched(upright, display.width, display.height)


def shown_like(picture: Image, width: int, height: int, look: bytes) -> Image:
    """Returns an enhanced picture as the frame lies that it was made of, with square pixels and at its own scale.

    Args:
        width, height: pixels of the frame.
        look: of the frame; empty: not known.
    """
    if look:
        picture = turned(picture, turning_like(picture, look, UPRIGHT))
    tall, wide = picture.shape[:2]
    if _same(wide / tall, width / height):
        return picture
    return stretched(picture, max(1, round(tall * width / height)), tall)


def _applied(info: VideoInfo) -> Turning:
    """Returns what the Frame Server, which reads films and pictures with OpenCV's reader of films, applies."""
    return UPRIGHT if info.is_picture else by_opencv(info.turning)


def _fitting(display: Display, width: int, height: int) -> Turning:
    """Returns the first turning after which a picture of this size has the sides of the display."""
    turnings = [Turning(*turning) for turning in display.turnings]
    ratios = (display.width / display.height, display.aspect)
    for turning in turnings:
        across, down = turning.size(width, height)
        if any(_same(across / down, ratio) for ratio in ratios):
            return turning
    return turnings[0]


def _served(
    info: VideoInfo, turning: Turning, size: tuple[int, int], *, measured: bool
) -> FrameServerPicture:
    """Returns the place of displayed pixels in pictures of this size that need this turning."""

    def place(x: float, y: float) -> tuple[float, float]:
        x = 1 - x if turning.mirror else x
        y = 1 - y if turning.flip else y
        x, y = (y, x) if turning.transpose else (x, y)
        return x * size[0], y * size[1]

    (e, f), (right, below), (across, down) = place(0, 0), place(1, 0), place(0, 1)
    columns = ((right - e) / info.width, (below - f) / info.width)
    rows = ((across - e) / info.height, (down - f) / info.height)
    a, b, c, d = (round(value, 9) for value in (*columns, *rows))
    return FrameServerPicture(width=size[0], height=size[1], matrix=(a, b, c, d, e, f), measured=measured)


def _same(one: float, other: float) -> bool:
    return isclose(one, other, rel_tol=SAME_ASPECT)
