"""``python -m compose.demo FILE [SHOT …]``: makes a short film from one photograph of a group, for ``make demo``.

SHOT: number of a shot, 1 to 6; by default all of them.
"""

import sys
from collections.abc import Iterator, Sequence
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np
from av.video.stream import VideoStream

from facecore.video.picture import Image

WIDTH, HEIGHT = 1280, 720
FPS = 25
FRAMES_PER_SHOT = 50
"""Frames between two cuts: 2 s, the default sampling interval, so that every sample shows another shot."""

Window = tuple[float, float, float]
"""Left, top and width of a crop, as fractions of the photograph's width; the film's aspect ratio gives the height."""
Shot = tuple[Window, Window]
"""The windows at the first and at the last frame of a shot."""
SHOTS: tuple[Shot, ...] = (
    ((0.00, 0.00, 1.00), (0.04, 0.02, 0.92)),
    ((0.00, 0.10, 0.50), (0.04, 0.10, 0.50)),
    ((0.31, 0.18, 0.40), (0.33, 0.18, 0.38)),
    ((0.55, 0.16, 0.45), (0.53, 0.15, 0.47)),
    ((0.58, 0.00, 0.36), (0.62, 0.00, 0.32)),
    ((0.02, 0.00, 0.96), (0.00, 0.00, 1.00)),
)


def make_video(photograph: Path, out: Path, shots: Sequence[Shot] = SHOTS) -> None:
    """Writes a film, 1280 x 720 at 25 frames a second, that pans over the photograph and cuts between its parts.

    Each shot takes 2 s. The same photograph gives the same frames.

    Raises:
        ValueError: the photograph cannot be decoded.
    """
    image = cv2.imread(str(photograph))
    if image is None:
        raise ValueError(f"{photograph} cannot be decoded as a picture")
    with av.open(str(out), "w") as container:
        stream = _stream(container)
        for number, picture in enumerate(_pictures(cast("Image", image), shots)):
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _stream(container: av.container.OutputContainer) -> VideoStream:
    if "libx264" in av.codecs_available:
        stream = container.add_stream(
            "libx264", rate=FPS, options={"crf": "18", "preset": "veryfast", "threads": "1"}
        )
    else:
        stream = container.add_stream("mpeg4", rate=FPS, bit_rate=8_000_000)
    stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    return stream


def _pictures(image: Image, shots: Sequence[Shot]) -> Iterator[Image]:
    height, width = image.shape[:2]
    for first, last in shots:
        for step in np.linspace(0.0, 1.0, FRAMES_PER_SHOT):
            left, top, crop_width = (width * (a + (b - a) * step) for a, b in zip(first, last, strict=True))
            scale = WIDTH / crop_width
            top = min(top, height - HEIGHT / scale)
            transform = np.array([[scale, 0, -left * scale], [0, scale, -top * scale]])
            yield cast(
                "Image",
                cv2.warpAffine(
                    image, transform, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
                ),
            )


def main() -> None:
    """Makes the film from the photograph of six people in the insightface package, which is not imported."""
    package = find_spec("insightface")
    if len(sys.argv) < 2 or package is None or package.origin is None:
        sys.exit(
            f"{__doc__}\nThe photograph is in the package insightface: pip install --no-deps 'insightface>=2.1,<3'"
        )
    out = Path(sys.argv[1])
    out.parent.mkdir(parents=True, exist_ok=True)
    shots = [SHOTS[int(number) - 1] for number in sys.argv[2:]] or SHOTS
    make_video(Path(package.origin).parent / "data" / "images" / "t1.jpg", out, shots)


if __name__ == "__main__":
    main()
