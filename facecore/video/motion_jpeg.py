"""Raw Motion JPEG: a film that is one JPEG picture after another, without a container."""

from os import PathLike
from pathlib import Path

from facecore.video.images import image_size
from facecore.video.scans import jpeg_end

FIRST_BYTES = 32 << 20
"""Beginning of a file in which the second picture starts; a picture of a film is smaller."""
MULTI_PICTURE = b"MPF\0"
"""Identifies a still with further views (CIPA DC-007), which is no film."""


def is_motion_jpeg(path: PathLike[str]) -> bool:
    """Returns whether a JPEG file is followed by another picture of the same size at once."""
    with Path(path).open("rb") as file:
        data = file.read(FIRST_BYTES)
    end = jpeg_end(data)
    if end is None or MULTI_PICTURE in data[:end]:
        return False
    following = b"\xff" + data[end:].lstrip(b"\0\r\n\xff")  # cameras pad pictures, also with fill bytes
    return following.startswith(b"\xff\xd8\xff") and image_size("JPEG", following) == image_size("JPEG", data)
