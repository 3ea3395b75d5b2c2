"""Turns tilted heads, up to those upside down, upright, before networks and people see them.

A detector finds such faces, but places their box and landmarks badly. So it looks once more at each, in a patch that
is turned upright.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from facecore.align import FaceInImage, Points, tilt
from facecore.detection.detector import Detector
from facecore.geometry import iou
from facecore.model import Workers

UPRIGHT_DEGREES = 25.0
"""Heads that are tilted less are seen as they are; those of 58 ordinary photographs are tilted by at most 18. From 22
degrees on age, gender and occlusion are nearer to those of the upright head when it is turned."""
LYING_DEGREES = 45.0
"""From this tilt on the landmarks of a second look are better than the first."""
AGREEING_DEGREES = 10.0
"""Below that tilt, the first landmarks stand if the turned head is upright to this tolerance: landmarks that say 28
may be those of a head tilted by 60."""
PATCH_SCALE, PATCH_MAX_SIDE = 3.0, 499
"""Side of the turned patch in longer sides of the box, which leaves room for the detector and the widest crop; its
limit in pixels. From 500 on the detector would take a larger input, at twice the time, and see nothing better; the
networks' crops are half of a patch, and at most 256 pixels."""
LOOKS = 2
"""The first landmarks of a tilted head may be wrong by a quarter turn, those of a second look hardly are."""
SAME_FACE_IOU = 0.3
"""Least overlap (intersection over union) of the turned box and the one that is found in the patch."""


class Turned(NamedTuple):
    """A face in an upright patch.

    Attributes:
        degrees: tilt that was undone, clockwise; 0: the face as it was.
        matrix: 2×3, from the picture to the patch; None: the face as it was.
    """

    face: FaceInImage
    degrees: float = 0.0
    matrix: NDArray[np.float64] | None = None


def upright(face: FaceInImage, *, plain: bool = False) -> Turned:
    """Turns a head that is tilted, up to lying down or upside down, upright.

    Args:
        plain: as in `facecore.align.crop`.
    """
    degrees = tilt(face.landmarks)
    if abs(degrees) <= UPRIGHT_DEGREES:
        return Turned(face)
    x_min, y_min, x_max, y_max = face.box
    width, height = x_max - x_min, y_max - y_min
    wanted = PATCH_SCALE * max(width, height)
    side = max(1, min(PATCH_MAX_SIDE, round(wanted)))
    scale = side / wanted
    center = ((x_min + x_max) / 2, (y_min + y_max) / 2)
    matrix = np.asarray(cv2.getRotationMatrix2D(center, degrees, scale), np.float64)
    matrix[:, 2] += side / 2 - np.array(center)
    rows, columns = face.image.shape[:2]
    inside = face.image[
        max(0, min(rows - 1, int(y_min))) : max(1, int(y_max)),
        max(0, min(columns - 1, int(x_min))) : max(1, int(x_max)),
    ]
    edge = cv2.BORDER_CONSTANT if plain else cv2.BORDER_REPLICATE
    patch = cv2.warpAffine(face.image, matrix, (side, side), borderMode=edge, borderValue=cv2.mean(inside))
    half_width, half_height = (height, width) if lies(degrees) else (width, height)
    half_width, half_height = half_width * scale / 2, half_height * scale / 2
    box = (side / 2 - half_width, side / 2 - half_height, side / 2 + half_width, side / 2 + half_height)
    return Turned(
        FaceInImage(np.asarray(patch, np.uint8), box, _moved(face.landmarks, matrix)), degrees, matrix
    )


def lies(degrees: float) -> bool:
    """Checks whether a head with this tilt lies on its side: its box is as wide as it is tall upright."""
    return LYING_DEGREES < abs(degrees) < 180 - LYING_DEGREES


def look_again(
    faces: Sequence[FaceInImage], detector: Detector, workers: Workers
) -> tuple[list[FaceInImage], list[Turned]]:
    """Turns the tilted heads among some faces upright and finds their faces once more.

    Returns:
        The faces in their pictures, tilted ones with their new landmarks, and all of them upright.
    """
    seen, heads = list(faces), [upright(face) for face in faces]
    tilted = [number for number, head in enumerate(heads) if head.matrix is not None]
    for _ in range(LOOKS if tilted else 0):
        found = detector.detect([heads[number].face.image for number in tilted], workers)
        again = []
        for number, detections in zip(tilted, found, strict=True):
            head, matrix = heads[number], heads[number].matrix
            overlap = iou(detections.boxes, np.array(head.face.box, np.float32))
            # without a matrix, the look before found the head upright
            if matrix is None or overlap.max(initial=0.0) < SAME_FACE_IOU:
                continue
            best = int(overlap.argmax())
            landmarks = detections.landmarks[best]
            if abs(head.degrees) <= LYING_DEGREES and abs(tilt(landmarks)) <= AGREEING_DEGREES:
                continue
            back = np.asarray(cv2.invertAffineTransform(matrix), np.float64)
            seen[number] = seen[number]._replace(landmarks=_moved(landmarks, back))
            if abs(tilt(landmarks)) > UPRIGHT_DEGREES:
                heads[number] = upright(seen[number])
                again.append(number)
                continue
            x_min, y_min, x_max, y_max = (float(side) for side in detections.boxes[best])
            face = FaceInImage(head.face.image, (x_min, y_min, x_max, y_max), landmarks)
            heads[number] = head._replace(face=face)
        tilted = again
    return seen, heads


def _moved(points: Points, matrix: NDArray[np.float64]) -> Points:
    return (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
