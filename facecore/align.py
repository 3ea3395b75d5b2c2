"""Cutting faces out of pictures: pure geometry on pixels."""

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
"""Where eyes, nose and corners of the mouth lie in the 112×112 crop that ArcFace networks are trained on
(published with ArcFace, Deng et al. 2019)."""
ALIGNED = 112

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)


class FaceInImage(NamedTuple):
    """A detection and the picture it lies in; the box may reach beyond the picture."""

    image: Image
    box: Box
    landmarks: Points  # (5, 2) float32


def similarity(points: Points, template: Points) -> NDArray[np.float64]:
    """The 2×3 matrix that rotates, scales uniformly and moves ``points`` closest to ``template`` (least squares;
    Umeyama 1991). Points must not all be the same."""
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


def aligned(face: FaceInImage) -> Image:
    """The 112×112 crop that embedders take, black beyond the picture."""
    matrix = similarity(face.landmarks, ARCFACE_TEMPLATE)
    return np.asarray(cv2.warpAffine(face.image, matrix, (ALIGNED, ALIGNED)), np.uint8)


def crop(image: Image, box: Box, size: int) -> Image:
    """The box, resized to ``size``×``size``; beyond the picture its edge is repeated.

    Shrinking averages areas, so that a large face does not turn into a noisy small one.
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
        inside = np.asarray(cv2.copyMakeBorder(inside, *margins, cv2.BORDER_REPLICATE), np.uint8)
    shrinks = inside.shape[0] > size and inside.shape[1] > size
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(inside, (size, size), interpolation=how), np.uint8)


def to_sample(image: Image, mean: NDArray[np.float32] | float, std: NDArray[np.float32] | float) -> Points:
    """(H, W, 3) BGR bytes → (3, H, W) RGB float32, ``(value - mean) / std``."""
    normalised = (image[:, :, ::-1].astype(np.float32) - mean) / std
    return np.ascontiguousarray(normalised.transpose(2, 0, 1), np.float32)


def imagenet_sample(image: Image) -> Points:
    """As `to_sample` with ImageNet's mean and deviation, which are of values 0-1."""
    return to_sample(image, IMAGENET_MEAN * 255, IMAGENET_STD * 255)
