"""Cutting and aligning faces, and turning pictures into network inputs."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from facecore.geometry import Box

Image = NDArray[np.uint8]
"""(H, W, 3), blue-green-red."""
Points = NDArray[np.float32]

ARCFACE_TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]],
    np.float32,
)
"""Eyes, nose and corners of the mouth, x and y, in the 112×112 crop that ArcFace networks are trained on (Deng et al.
2019)."""
ALIGNED_SIDE = 112
"""Pixels."""
IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)
"""Of RGB values 0-1."""


class FaceInImage(NamedTuple):
    """A detected face and its picture. The box may reach beyond the picture."""

    image: Image
    box: Box
    landmarks: Points  # (5, 2) float32


def similarity_transform(points: Points, template: Points) -> NDArray[np.float64]:
    """Returns the 2×3 matrix that rotates, scales and moves ``points`` onto ``template`` with the least squared error
    (Umeyama 1991). The points must not all be equal."""
    source, target = points.astype(np.float64), template.astype(np.float64)
    from_center, to_center = source.mean(0), target.mean(0)
    covariance = (target - to_center).T @ (source - from_center) / len(source)
    u, singular, vt = np.linalg.svd(covariance)
    signs = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = (u * signs) @ vt
    scale = (singular * signs).sum() / ((source - from_center) ** 2).sum() * len(source)
    matrix = np.empty((2, 3))
    matrix[:, :2] = scale * rotation
    matrix[:, 2] = to_center - matrix[:, :2] @ from_center
    return matrix


def tilt(landmarks: Points) -> float:
    """Returns by how many degrees, -180 to 180, a head is tilted clockwise, as seen in the picture."""
    matrix = similarity_transform(landmarks, ARCFACE_TEMPLATE)
    return float(np.degrees(np.arctan2(-matrix[1, 0], matrix[0, 0])))


def aligned(face: FaceInImage) -> Image:
    """Returns the aligned 112×112 crop that embedders take, black beyond the picture."""
    matrix = similarity_transform(face.landmarks, ARCFACE_TEMPLATE)
    return np.asarray(cv2.warpAffine(face.image, matrix, (ALIGNED_SIDE, ALIGNED_SIDE)), np.uint8)


def crop(image: Image, box: Box, size: int, *, plain: bool = False) -> Image:
    """Cuts out a box and resizes it to ``size``×``size``.

    Beyond the picture its edge is repeated, which the networks read best, or, when ``plain``, there is the mean
    colour of the part inside, for people. Shrinking averages areas, which avoids aliasing.
    """
    height, width = image.shape[:2]
    x_min, y_min = int(np.floor(box[0])), int(np.floor(box[1]))
    x_max, y_max = max(int(np.ceil(box[2])), x_min + 1), max(int(np.ceil(box[3])), y_min + 1)
    inside = image[
        np.clip(y_min, 0, height - 1) : np.clip(y_max, 1, height),
        np.clip(x_min, 0, width - 1) : np.clip(x_max, 1, width),
    ]
    margins = (max(0, -y_min), max(0, y_max - height), max(0, -x_min), max(0, x_max - width))
    if any(margins):
        edge = cv2.BORDER_CONSTANT if plain else cv2.BORDER_REPLICATE
        inside = np.asarray(cv2.copyMakeBorder(inside, *margins, edge, value=cv2.mean(inside)), np.uint8)
    shrinks = inside.shape[0] > size and inside.shape[1] > size
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(inside, (size, size), interpolation=interpolation), np.uint8)


def to_sample(image: Image, mean: NDArray[np.float32] | float, std: NDArray[np.float32] | float) -> Points:
    """Converts (H, W, 3) BGR bytes to (3, H, W) RGB float32, ``(value - mean) / std``."""
    sample = np.array(cv2.split(image)[::-1], np.float32)  # planes: arithmetic on interleaved colours is slow
    sample -= np.reshape(np.float32(mean), (-1, 1, 1))
    sample /= np.reshape(np.float32(std), (-1, 1, 1))
    return sample


def imagenet_sample(image: Image) -> Points:
    """Converts as `to_sample`, with the mean and standard deviation of ImageNet."""
    return to_sample(image, IMAGENET_MEAN * 255, IMAGENET_STD * 255)
