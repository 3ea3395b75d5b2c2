"""The quality components have the values of the specification."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facecore.align import FaceInImage, Image
from facecore.enhancement import at_source_scale
from facecore.quality import composite, occlusion_score, pose_score, size_score
from facecore.sharpness import sobel
from schemas.observations import Angles, ObservedFace, QualityScore
from tests.facecore.conftest import Look, read

sides = st.floats(0, 5000)
angles = st.floats(-180, 180)
fractions = st.floats(0, 1)
NO_POINTS = np.zeros((5, 2), np.float32)


def test_the_specifications_example() -> None:
    assert round(composite(QualityScore(0.85, 0.92, 0.58, 0.72)), 2) == 0.78


@pytest.mark.parametrize(
    ("side", "score"), [(80, 0.25), (250, 1.0), (165, 0.625), (0, 0.0), (23, 0.0), (4000, 1.0)]
)
def test_size_anchors(side: float, score: float) -> None:
    assert size_score((10.0, 10.0, 10.0 + side, 5000.0)) == pytest.approx(score, abs=1e-12)


@pytest.mark.parametrize(
    ("yaw", "pitch", "score"),
    [(0, 0, 1), (45, 0, 0.25), (0, -45, 0.25), (-45, 45, 0.25), (22.5, 3, 0.625), (90, 0, 0)],
)
def test_pose_anchors(yaw: float, pitch: float, score: float) -> None:
    assert pose_score(Angles(yaw, pitch, 33.0)) == pytest.approx(score)


@pytest.mark.parametrize(("probability", "score"), [(None, 1.0), (0.0, 1.0), (1.0, 0.25), (0.56, 0.58)])
def test_occlusion_anchors(probability: float | None, score: float) -> None:
    assert occlusion_score(probability) == pytest.approx(score)


@given(sides, sides, st.floats(0, 500))
def test_size_is_in_range_and_grows(one: float, other: float, more: float) -> None:
    smaller, larger = size_score((0, 0, one, other)), size_score((0, 0, one + more, other + more))
    assert 0 <= smaller <= larger <= 1


@given(angles, angles, st.floats(0, 1))
def test_pose_is_in_range_and_falls_as_the_head_turns(yaw: float, pitch: float, factor: float) -> None:
    turned, less = pose_score(Angles(yaw, pitch, 0)), pose_score(Angles(yaw * factor, pitch * factor, 0))
    assert 0 <= turned <= less <= 1


@given(fractions, fractions)
def test_occlusion_is_in_range_and_falls(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert 0.25 <= occlusion_score(high) <= occlusion_score(low) <= 1


@given(st.tuples(fractions, fractions, fractions, fractions), st.integers(0, 3), fractions)
def test_composite_is_in_range_and_grows_with_each(
    values: tuple[float, float, float, float], component: int, other: float
) -> None:
    better = list(values)
    better[component] = max(values[component], other)
    assert 0 <= composite(QualityScore(*values)) <= composite(QualityScore(*better)) <= 1 + 1e-12


@pytest.fixture(scope="module")
def portraits(look: Look, shared_data: Path) -> list[tuple[Image, ObservedFace]]:
    images = [read(file) for file in sorted((shared_data / "images").glob("*/*"))[::4]]
    return [(image, look(image).faces[0]) for image in images]


def sharpness(image: Image, face: ObservedFace, scale: float = 1.0) -> float:
    x_min, y_min, x_max, y_max = (value * scale for value in face.box)
    return sobel(FaceInImage(image, (x_min, y_min, x_max, y_max), NO_POINTS))


def test_sobel_falls_with_every_step_of_blur(portraits: list[tuple[Image, ObservedFace]]) -> None:
    for image, face in portraits:
        width = face.box[2] - face.box[0]
        blurred = [
            np.asarray(cv2.GaussianBlur(image, (0, 0), share * width), np.uint8)
            for share in (0.005, 0.01, 0.02, 0.04, 0.08)
        ]
        scores = [sharpness(picture, face) for picture in (image, *blurred)]
        assert scores == sorted(scores, reverse=True)
        assert all(0 <= score <= 1 for score in scores)
        assert scores[0] > 2 * scores[-1]


def test_sobel_hardly_depends_on_the_size_of_the_face(portraits: list[tuple[Image, ObservedFace]]) -> None:
    for image, face in portraits:
        scale = 80 / (face.box[2] - face.box[0])
        small = np.asarray(
            cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8
        )
        assert sharpness(small, face, scale) == pytest.approx(sharpness(image, face), rel=0.12)


def test_sobel_does_not_depend_on_brightness(portraits: list[tuple[Image, ObservedFace]]) -> None:
    for image, face in portraits:
        dim = (image * 0.5).astype(np.uint8)
        assert sharpness(dim, face) == pytest.approx(sharpness(image, face), rel=0.15)


def test_flat_pictures_are_not_sharp() -> None:
    flat = np.full((100, 100, 3), 90, np.uint8)
    assert sobel(FaceInImage(flat, (10, 10, 90, 90), NO_POINTS)) == 0.0


@given(st.integers(0, 2**32 - 1), st.floats(0.5, 3.0), st.floats(0.3, 6.0), st.floats(1.05, 3.0))
@settings(deadline=None, max_examples=60)
def test_sobel_is_in_range_and_falls_with_blur_whatever_the_picture(
    seed: int, slope: float, blur: float, more: float
) -> None:
    """Textures of any roughness: amplitudes fall with frequency to the power of ``slope``."""
    noise = np.random.default_rng(seed).normal(size=(64, 64))
    frequency = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.fftfreq(64)[None]) + 1 / 64
    texture = np.fft.ifft2(np.fft.fft2(noise) / frequency**slope).real
    grey = np.clip(128 + 40 * (texture - texture.mean()) / texture.std(), 0, 255).astype(np.float32)
    pictures = (grey, *(cv2.GaussianBlur(grey, (0, 0), blur * factor) for factor in (1.0, more)))
    scores = [
        sobel(
            FaceInImage(np.repeat(np.rint(p).astype(np.uint8)[:, :, None], 3, 2), (0, 0, 64, 64), NO_POINTS)
        )
        for p in pictures
    ]
    assert 0 <= scores[2] <= scores[1] + 0.01 <= scores[0] + 0.02 <= 1.02


def test_upscaling_a_photograph_does_not_raise_its_size_score(look: Look, shared_data: Path) -> None:
    """Twice the pixels, measured at the scale of the source, are not a larger face."""
    for file in sorted((shared_data / "images").glob("*/*"))[::12]:
        image = read(file)
        larger = np.asarray(cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC), np.uint8)
        height, width = image.shape[:2]
        face = look(image).faces[0]
        same = at_source_scale(look(larger), width, height).faces[0]
        side = min(face.box[2] - face.box[0], face.box[3] - face.box[1])
        assert same.quality.size <= face.quality.size + 0.08 * side * 0.75 / 170  # the detector's own scatter


def test_upscaling_does_not_raise_sharpness(portraits: list[tuple[Image, ObservedFace]]) -> None:
    for image, face in portraits:
        if max(image.shape) > 1000:
            continue
        larger = np.asarray(cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC), np.uint8)
        assert sharpness(larger, face, 2.0) <= sharpness(image, face) * 1.05
