"""Deinterlaces frames whose two fields show different moments.

A field is every second line. Where something moved between the fields, neighbouring lines differ more than lines of
the same field do: combing. Only such blocks of a frame are interpolated from its top field; the rest of the frame,
and every frame without combing, stays as it is, whatever the file says about its fields.
"""

from fractions import Fraction
from itertools import pairwise
from typing import cast

import av
import cv2
import numpy as np
from av.filter import Graph
from numpy.typing import NDArray

from facecore.video.dynamic_range import to_bgr

PACKED = {"yuyv422": (0, 2), "yvyu422": (0, 2), "uyvy422": (1, 2)}
"""Formats of capture cards that have luma and chroma in one plane: first byte of luma, and distance of the next."""
COLUMNS = 160
"""Columns of a frame that are looked at, evenly spread: a face is a 40th of the picture or larger."""
BLOCK_ROWS, BLOCK_COLUMNS = 16, 4
"""Size of a block, in lines and in columns that are looked at."""
MIN_COMBING = 6.0
"""Mean second difference of neighbouring lines, in levels of 8 bits, below which combing is not noticed."""
MIN_RATIO = 1.4
"""Least ratio of the second differences of neighbouring lines and of lines of a field; without combing it is at most
about 1, since nearer lines are more alike."""
ANY_TIME = Fraction(1, 1000)
"""Time base for a frame without one; its time is not used."""
MIN_SHARE = 0.003
"""Share of combed blocks from which a frame counts as interlaced that the file states to be progressive: fine stripes
look like combing too."""


def deinterlaced(frame: av.VideoFrame, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns the picture of a frame without combing; the same array where there is none.

    Args:
        image: the frame in BGR.
    """
    blocks = None if frame.height % 2 else _combed_blocks(frame)
    if blocks is None or not blocks.any():
        return image
    if not frame.interlaced_frame and blocks.mean() < MIN_SHARE:
        return image
    around = cv2.dilate(blocks.astype(np.uint8), np.ones((3, 3), np.uint8))
    height, width = image.shape[:2]
    mask = cv2.resize(around, (width, height), interpolation=cv2.INTER_NEAREST).astype(bool)
    interpolated = _of_top_field(frame)
    return cast("NDArray[np.uint8]", np.where(mask[:, :, None], interpolated, image))


def _combed_blocks(frame: av.VideoFrame) -> NDArray[np.bool_] | None:
    """Returns which blocks of a frame show combing; None: the frame has no plane of luma, or is too small."""
    step = max(1, frame.width // COLUMNS)
    luma = _luma(frame, step)
    if luma is None:
        return None
    rows = (luma.shape[0] - 4) // BLOCK_ROWS
    columns = luma.shape[1] // BLOCK_COLUMNS
    if not rows or not columns:
        return None
    lines = luma[: rows * BLOCK_ROWS + 4, : columns * BLOCK_COLUMNS]
    middle = 2 * lines[2:-2]
    work = np.empty_like(middle)  # one for both: new memory costs as much as the sums
    neighbouring = _block_sums(middle, lines[1:-3], lines[3:-1], work)
    of_field = _block_sums(middle, lines[:-4], lines[4:], work)
    return neighbouring > MIN_RATIO * of_field + MIN_COMBING * BLOCK_ROWS * BLOCK_COLUMNS


def _block_sums(
    middle: NDArray[np.int16], above: NDArray[np.int16], below: NDArray[np.int16], work: NDArray[np.int16]
) -> NDArray[np.int16]:
    """Returns the sums of the second differences of each block, at most 64 times 510. Lines are added first: that is
    five times as fast."""
    np.add(above, below, out=work)
    np.subtract(middle, work, out=work)
    np.abs(work, out=work)
    of_lines = np.add.reduce(work.reshape(-1, BLOCK_ROWS, work.shape[1]), axis=1, dtype=np.int16)
    of_blocks = of_lines.reshape(len(of_lines), -1, BLOCK_COLUMNS)
    return cast("NDArray[np.int16]", np.add.reduce(of_blocks, axis=2, dtype=np.int16))


def _luma(frame: av.VideoFrame, step: int) -> NDArray[np.int16] | None:
    """Returns every ``step``-th column of the luma in levels of 8 bits."""
    first, every = PACKED.get(frame.format.name, (0, 1))
    if every == 1 and not frame.format.name.startswith(("yuv", "nv", "p01", "gray")):
        return None
    depth, plane = frame.format.components[0].bits, frame.planes[0]
    if depth == 8:
        pixels = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, -1)
        return pixels[:, first : every * plane.width : every * step].astype(np.int16)
    unused = 8 if frame.format.name.startswith("p01") else depth - 8
    deep = np.frombuffer(memoryview(plane), np.uint16).reshape(plane.height, -1)
    return (deep[:, : plane.width : step] >> unused).astype(np.int16)


def _of_top_field(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """Returns the picture with the lines of the bottom field interpolated from those of the top field.

    The fields are separated before the conversion, since their lines of chroma alternate too.
    """
    graph = Graph()
    nodes = [
        graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or ANY_TIME
        ),
        graph.add("setfield", "tff"),
        graph.add("separatefields"),
        graph.add("buffersink"),
    ]
    for node, following in pairwise(nodes):
        node.link_to(following)
    graph.configure()
    nodes[0].push(frame)
    field = to_bgr(cast("av.VideoFrame", nodes[-1].pull()))
    image = np.empty((2 * field.shape[0], *field.shape[1:]), np.uint8)
    image[::2] = field
    image[1::2] = cv2.addWeighted(field, 0.5, np.concatenate((field[1:], field[-1:])), 0.5, 0)
    return image
