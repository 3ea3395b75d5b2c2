"""Animated WebP files, of which FFmpeg decodes only the first picture."""

from bisect import bisect_right
from itertools import accumulate
from os import PathLike
from typing import cast

import cv2
import numpy as np

from facecore.video.errors import SourceError
from facecore.video.images import image_kind, image_size, read_file
from facecore.video.memory import raise_if_short
from facecore.video.picture import Image

ANIMATION_FLAG = 0x02
"""Flag in the VP8X chunk (https://developers.google.com/speed/webp/docs/riff_container)."""
MIN_FRAME_SECONDS = 0.01
"""Least duration of a frame; a duration of 0 in a file means "as fast as possible"."""


def is_animation(head: bytes) -> bool:
    """Returns whether a file is an animated WebP, by its first bytes."""
    return (
        image_kind(head) == "WebP"
        and head[12:16] == b"VP8X"
        and len(head) > 20
        and bool(head[20] & ANIMATION_FLAG)
    )


def frame_count(data: bytes) -> int:
    """Returns the number of frames of an animation, or more where its pixels look like the name of a chunk."""
    return data.count(b"ANMF")


class Animation:
    """The decoded frames of an animated WebP.

    Args:
        max_pixels: limit of the pixels of all frames together.

    Raises:
        SourceError: the file is damaged or too large.
    """

    def __init__(self, path: PathLike[str], max_pixels: int) -> None:
        data = read_file(path)
        width, height = image_size("WebP", data) or (0, 0)
        frames = frame_count(data)
        if width * height * frames > max_pixels:
            raise SourceError(
                f"{path} has {frames} frames of {width} x {height} pixels, which are decoded together; at most"
                f" {max_pixels} pixels are allowed (FACES_MAX_PIXELS)."
            )
        try:
            done, animation = cv2.imdecodeanimation(np.frombuffer(data, np.uint8))
        except cv2.error as error:
            raise_if_short(error)
            raise SourceError(f"{path} cannot be decoded: {error.err}.") from error
        if not done or not len(animation.frames):
            raise SourceError(f"{path} cannot be decoded: the file is damaged.")
        self.width, self.height = width, height
        self._frames = [cast("Image", np.ascontiguousarray(frame[:, :, :3])) for frame in animation.frames]
        self._ends = list(accumulate(max(MIN_FRAME_SECONDS, int(ms) / 1000) for ms in animation.durations))

    @property
    def duration(self) -> float:
        """Returns the end of the last frame in seconds."""
        return self._ends[-1]

    def __len__(self) -> int:
        return len(self._frames)

    def shown_at(self, t: float) -> Image | None:
        """Returns the frame shown t seconds after the start; None after the end."""
        number = bisect_right(self._ends, t + 1e-9)
        return self._frames[number] if number < len(self._frames) else None
