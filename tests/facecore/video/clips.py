"""Films made for the tests: every frame carries its number as a pattern that survives coding."""

import struct
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from facecore.video.picture import Image

ROWS, COLUMNS = 4, 4  # 16 bits, most significant first, row by row; white is one


def numbered(number: int, width: int = 192, height: int = 128) -> Image:
    """A picture of a number, with some texture so that frames differ as in a real film."""
    image = np.zeros((height, width, 3), np.uint8)
    for bit in range(ROWS * COLUMNS):
        row, column = divmod(bit, COLUMNS)
        top, bottom = height * row // ROWS, height * (row + 1) // ROWS
        left, right = width * column // COLUMNS, width * (column + 1) // COLUMNS
        image[top:bottom, left:right] = 215 if number >> (ROWS * COLUMNS - 1 - bit) & 1 else 40
    noise = np.random.default_rng(number).integers(0, 24, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    return image + noise.repeat(8, 0).repeat(8, 1)[:height, :width]


def number_in(image: Image) -> int:
    """The number that a picture shows."""
    height, width = image.shape[:2]
    number = 0
    for bit in range(ROWS * COLUMNS):
        row, column = divmod(bit, COLUMNS)
        y, x = (2 * row + 1) * height // (2 * ROWS), (2 * column + 1) * width // (2 * COLUMNS)
        number = number << 1 | int(image[y - 4 : y + 5, x - 4 : x + 5].mean() > 128)
    return number


def make_clip(
    path: Path,
    times: Iterable[int] = range(100),
    *,
    codec: str = "libx264",
    time_base: Fraction = Fraction(1, 25),
    options: dict[str, str] | None = None,
    pix_fmt: str = "yuv420p",
    size: tuple[int, int] = (192, 128),
    gop: int = 25,
    b_frames: int = 0,
    pixel_aspect: Fraction | None = None,
    turn: Callable[[Image], Image] | None = None,
    rotation: float | None = None,
    portrait: bool = False,
    container_options: dict[str, str] | None = None,
    full_range: bool = False,
    first: int = 0,
) -> list[tuple[Fraction, int]]:
    """Writes frames `first`, `first` + 1 … at `times` (in units of the time base); returns (presentation time in s,
    number)."""
    moments = list(times)
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=25, options={"threads": "1", **(options or {})})
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.time_base = stream.codec_context.time_base = time_base
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = gop, b_frames
        if full_range:
            stream.codec_context.color_range = 2
        if pixel_aspect:
            stream.codec_context.sample_aspect_ratio = pixel_aspect
        if rotation is not None:
            stream.set_display_rotation(rotation)
        for number, moment in enumerate(moments, first):
            picture = numbered(number, *(turned_size(size) if portrait else size))
            frame = av.VideoFrame.from_ndarray(turn(picture) if turn else picture, format="bgr24")
            frame = frame.reformat(format=pix_fmt, dst_color_range=2 if full_range else None)
            frame.pts, frame.time_base = moment, time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return [((moment) * time_base, number) for number, moment in enumerate(moments, first)]


def edit(path: Path, edits: Sequence[tuple[float | None, float]]) -> None:
    """Gives an MP4 file, whose index is at its end, another edit list: what is shown is these stretches of the film,
    each (its start in s, its length in s), one after the other; no start: nothing is shown for so long.

    ISO/IEC 14496-12, 8.6.6; lengths are in units of the film's header, starts in those of the track's.
    """
    data = path.read_bytes()
    header, track = data.index(b"mvhd"), data.index(b"mdhd")
    film_scale, track_scale = (struct.unpack_from(">I", data, box + 16)[0] for box in (header, track))
    old = data.index(b"elst")
    [first] = struct.unpack_from(
        ">i", data, old + 16
    )  # frames that are shown out of order make it larger than 0
    entries = b"".join(
        struct.pack(
            ">iiI", round(length * film_scale), -1 if start is None else first + round(start * track_scale), 1 << 16
        )
        for start, length in edits
    )  # fmt: skip
    body = struct.pack(">II", 0, len(edits)) + entries
    changed = bytearray(data[: old + 4] + body + data[old - 4 + struct.unpack_from(">I", data, old - 4)[0] :])
    for kind in (b"elst", b"edts", b"trak", b"moov"):
        box = changed.index(kind) - 4
        [size] = struct.unpack_from(">I", changed, box)
        struct.pack_into(">I", changed, box, size + len(changed) - len(data))
    path.write_bytes(changed)


def turned_size(size: tuple[int, int]) -> tuple[int, int]:
    return size[1], size[0]


def shown_at(frames: Sequence[tuple[Fraction, int]], t: float) -> int:
    """The number of the frame shown t seconds after the first one, by definition."""
    start = frames[0][0]
    exact = Fraction(t).limit_denominator(10**6)
    return max((number for time, number in frames if time - start <= exact), default=frames[0][1])


def fully_decoded(path: Path) -> list[tuple[Fraction, Any]]:
    """Every frame of a file with its presentation time, the plainest way there is."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        return [
            (frame.pts * frame.time_base, frame)
            for frame in container.decode(stream)
            if frame.pts is not None
        ]
