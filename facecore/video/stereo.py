"""Stereoscopic films: two views of the same scene in each frame, of which one is analysed."""

import struct
from typing import Literal, TypeVar, cast

import av
import cv2
import numpy as np
from av.sidedata.sidedata import Type
from numpy.typing import NDArray

from facecore.video.picture import Image
from facecore.video.side_data import side_data

Layout = Literal["side by side", "top and bottom"]
P = TypeVar("P", np.uint8, np.float32)
LAYOUTS: dict[int, Layout] = {1: "side by side", 2: "top and bottom"}
"""Layouts by FFmpeg's numbers of them (libavutil/stereo3d.h)."""
WIDTH, HEIGHT, BLOCK = 160, 96, 8
"""Size at which two halves are compared, and of the blocks that are looked for in the other half."""
LINES = 240
"""Lines of a picture that are looked at, evenly spread, so that large pictures cost little."""
MAX_SHIFT = 6
"""Pixels of that size by which a block may lie further left or right in the other view."""
MIN_DEVIATION, MIN_BLOCKS = 4.0, 20
"""Standard deviation from which a block shows something, and how many such blocks a comparison needs."""
NOISE, MAX_DIFFERENCE = 1.0, 0.35
"""Mean difference up to which a block is found: levels, plus a share of its standard deviation."""
MIN_FOUND = 0.88
"""Share of blocks that are found from which two halves are views of one scene: 0.92 and more where they are, 0.8 for
the same person filmed twice."""
MIN_ALIKE, COARSE = 0.8, (40, 24)
"""Correlation of the halves of a coarse picture, and its size, below which blocks are not compared: it costs less."""
TELEVISION = 16 / 9
"""Shape of a frame in which two views are packed that are then stretched to it."""
SHAPE_TOLERANCE = 0.03


def one_view(frame: av.VideoFrame, image: Image, codec: str) -> tuple[Image, Layout | None]:
    """Returns the left or upper view of a picture, and how its views are arranged; the picture itself and None if it
    is no stereoscopic one.

    Args:
        image: the frame, upright and with square pixels.
        codec: that the frame was decoded by.
    """
    layout = _stated(frame, codec) or _seen(image)
    if layout is None:
        return image, None
    height, width = image.shape[:2]
    view = image[:, : width // 2] if layout == "side by side" else image[: height // 2]
    if abs(width / height / TELEVISION - 1) < SHAPE_TOLERANCE:
        view = cast("Image", cv2.resize(view, (width, height), interpolation=cv2.INTER_LINEAR))
    return np.ascontiguousarray(view), layout


def _stated(frame: av.VideoFrame, codec: str) -> Layout | None:
    data = side_data(frame, Type.STEREO3D, codec)
    return None if data is None else LAYOUTS.get(struct.unpack_from("=i", data)[0])


def _seen(image: Image) -> Layout | None:
    height, width = image.shape[:2]
    if min(height, width) < 2 * BLOCK:
        return None
    step = max(1, min(height, width) // LINES)
    image = image[::step, ::step]
    coarse = _coarse(image)
    seen = [
        layout
        for layout in LAYOUTS.values()
        if _correlation(*_halves(coarse, layout)) >= MIN_ALIKE and _are_views(*_halves(image, layout))
    ]
    return seen[0] if len(seen) == 1 else None  # both: a wall of the same picture


def _coarse(image: Image) -> NDArray[np.float32]:
    """Returns a small picture of the green component, which is close to the luminance."""
    green = np.ascontiguousarray(image[::2, ::2, 1])
    return cast(
        "NDArray[np.float32]", cv2.resize(green, COARSE, interpolation=cv2.INTER_AREA).astype(np.float32)
    )


def _halves(picture: NDArray[P], layout: Layout) -> tuple[NDArray[P], NDArray[P]]:
    height, width = picture.shape[:2]
    if layout == "side by side":
        return picture[:, : width // 2], picture[:, width // 2 :]
    return picture[: height // 2], picture[height // 2 :]


def _are_views(one: Image, other: Image) -> bool:
    """Returns whether nearly every block of a half is found in the other one, a little further left or right."""
    first, second = _gray(one), _gray(other)
    margin = BLOCK  # at least MAX_SHIFT, and whole blocks remain
    inner = first[:, margin:-margin]
    differences = np.minimum.reduce(
        [
            _block_means(np.abs(inner - second[:, margin + shift : WIDTH - margin + shift]))
            for shift in range(-MAX_SHIFT, MAX_SHIFT + 1)
        ]
    )
    deviation = np.sqrt(np.maximum(_block_means(inner * inner) - _block_means(inner) ** 2, 0))
    shows = deviation > MIN_DEVIATION
    found = differences < NOISE + MAX_DIFFERENCE * deviation
    return bool(shows.sum() >= MIN_BLOCKS and found[shows].mean() >= MIN_FOUND)


def _gray(image: Image) -> NDArray[np.float32]:
    small = cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return cast("NDArray[np.float32]", cv2.cvtColor(small, cv2.COLOR_BGR2GRAY).astype(np.float32))


def _correlation(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    one, other = (one - one.mean()).ravel(), (other - other.mean()).ravel()
    norm = float(np.sqrt(one.dot(one) * other.dot(other)))
    return float(one.dot(other)) / norm if norm else 0.0


def _block_means(values: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, columns = values.shape[0] // BLOCK, values.shape[1] // BLOCK
    return cast("NDArray[np.float32]", values.reshape(rows, BLOCK, columns, BLOCK).mean(axis=(1, 3)))
