"""Films and pictures that are stored lying, mirrored or with other than square pixels, and shown upright."""

import struct
from collections.abc import Iterable
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import cv2
import numpy as np
from PIL import Image as Pillow

from facecore.video.picture import Image
from facecore.video.upright import EXIF_TURNINGS, UPRIGHT, Turning, remaining, stretched, turned

FPS = 25


def lying(picture: Image, turning: Turning, pixel_aspect: Fraction = Fraction(1)) -> Image:
    """The picture as it is stored, so that the turning and square pixels show it."""
    stored = turned(picture, remaining(UPRIGHT, turning))
    height, width = stored.shape[:2]
    return stretched(stored, round(width / pixel_aspect) // 2 * 2, height // 2 * 2)


def lying_film(
    path: Path, pictures: Iterable[Image], turning: Turning, pixel_aspect: Fraction = Fraction(1)
) -> Path:
    """Writes an MP4 film that shows these pictures, 25 a second."""
    with av.open(str(path), "w") as target:
        stream = target.add_stream("libx264", rate=FPS, options={"crf": "10", "preset": "ultrafast"})
        stream.pix_fmt, stream.codec_context.sample_aspect_ratio = "yuv420p", pixel_aspect
        for number, picture in enumerate(pictures):
            stored = lying(picture, turning, pixel_aspect)
            if number == 0:
                stream.height, stream.width = stored.shape[:2]
            target.mux(stream.encode(av.VideoFrame.from_ndarray(stored, format="bgr24")))
        target.mux(stream.encode(None))
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 44  # ISO/IEC 14496-12, 8.3.2: a, b, u, c, d, v, x, y, w
    sign = {True: -1 << 16, False: 1 << 16}
    a, d = (0, 0) if turning.transpose else (sign[turning.mirror], sign[turning.flip])
    b, c = (sign[turning.flip], sign[turning.mirror]) if turning.transpose else (0, 0)
    struct.pack_into(">9i", data, matrix, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def lying_photograph(path: Path, picture: Image, orientation: int, form: str = "JPEG") -> Path:
    """Writes a picture that EXIF shows as this one."""
    stored = lying(picture, EXIF_TURNINGS.get(orientation, UPRIGHT))
    photograph, out = Pillow.fromarray(np.ascontiguousarray(stored[:, :, ::-1])), BytesIO()
    exif = photograph.getexif()
    exif[0x0112] = orientation
    photograph.save(out, form, quality=96, subsampling=0, exif=exif)
    path.write_bytes(out.getvalue())
    return path


def as_displayed(served: Image, matrix: Iterable[float], width: int, height: int) -> Image:
    """A picture of the Frame Server as `metadata.frame_server_picture` places the pixels of the result in it."""
    a, b, c, d, e, f = matrix
    place = np.array(
        [[a, c, e + (a + c - 1) / 2], [b, d, f + (b + d - 1) / 2]]
    )  # from centre to centre of pixels
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(served, place, (width, height), flags=flags), np.uint8)
