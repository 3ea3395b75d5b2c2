"""Turnings: all eight ways in which a picture can lie, by tags and by look."""

from fractions import Fraction
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest

from consumers.sources.films import displayed, film_of, is_ambiguous, shown, shown_like
from facecore.video import Interval, open_source, probe
from facecore.video.picture import Image
from facecore.video.upright import (
    EXIF_TURNINGS,
    TURNINGS,
    UPRIGHT,
    Turning,
    by_opencv,
    look,
    remaining,
    turned,
    turning_like,
)
from schemas.orientation import SourcePicture
from tests.facecore.video.lying import as_displayed, lying, lying_film, lying_photograph

QUARTER_TURN = Turning(True, True, False)


@pytest.fixture(scope="module")
def picture(group_photograph: Path) -> Image:
    return np.asarray(cv2.resize(cv2.imread(str(group_photograph)), (480, 288)), np.uint8)


def difference(one: Image, other: Image) -> float:
    return float(np.abs(one[4:-4, 4:-4].astype(int) - other[4:-4, 4:-4]).mean())


def test_turnings_are_a_group(picture: Image) -> None:
    for whole, done in product(TURNINGS, TURNINGS):
        assert np.array_equal(turned(turned(picture, done), remaining(whole, done)), turned(picture, whole))
    rotated = {0: picture, 90: np.rot90(picture, -1), 180: np.rot90(picture, 2), 270: np.rot90(picture)}
    for turning in TURNINGS:
        expected = rotated[turning.rotation][:, :: -1 if turning.mirrored else 1]
        assert np.array_equal(turned(picture, turning), expected)


def test_the_turning_is_found_by_the_look(picture: Image) -> None:
    for turning in TURNINGS:
        small = cv2.resize(lying(picture, turning), None, fx=0.4, fy=0.7)
        assert turning_like(np.asarray(small, np.uint8), look(picture), UPRIGHT) == turning
    black = np.zeros_like(picture)
    assert turning_like(black, look(black), QUARTER_TURN) == QUARTER_TURN, (
        "the expected one, where nothing tells"
    )


@pytest.mark.parametrize("aspect", [Fraction(1), Fraction(4, 3), Fraction(16, 11)], ids=str)
def test_pictures_of_the_frame_server_become_those_of_a_player(
    picture: Image, tmp_path: Path, aspect: Fraction
) -> None:
    """As OpenCV reads them, and unturned; boxes can be placed in them by the matrix of the result."""
    for turning in TURNINGS if aspect == 1 else (UPRIGHT, QUARTER_TURN, Turning(False, True, False)):
        film = lying_film(tmp_path / "film.mp4", [picture] * 2, turning, aspect)
        [sample] = open_source(film, Interval(1.0), max_pixels=10**6)
        info = probe(film, max_pixels=10**6)
        assert difference(sample.image, picture) < 8
        _, served = cv2.VideoCapture(str(film)).read()
        stored = turned(served, remaining(UPRIGHT, by_opencv(info.turning)))
        display, described = displayed(info, served, look(sample.image))
        for sent in (served, stored) if not is_ambiguous(info) else (served,):
            image = shown(sent, display)
            assert image.shape == picture.shape and difference(image, picture) < 8
        assert shown_like(served, 480, 288, look(picture)).shape[:2][::-1] == pytest.approx(
            (480, 288), rel=0.5
        )
        assert difference(cv2.resize(shown_like(served, 480, 288, look(picture)), (480, 288)), picture) < 8
        for facts in (described.served, film_of(info).served):
            assert facts is not None and (facts.height, facts.width) == served.shape[:2]
            assert difference(as_displayed(served, facts.matrix, 480, 288), picture) < 8
        assert described.stored == SourcePicture(
            width=stored.shape[1],
            height=stored.shape[0],
            rotation=turning.rotation,
            mirrored=turning.mirrored,
            pixel_aspect=pytest.approx(float(aspect), rel=0.01),
        )


def test_pictures_with_exif_are_described(picture: Image, tmp_path: Path) -> None:
    for orientation, form in product(range(1, 9), ("JPEG", "TIFF", "PNG")):
        name = tmp_path / f"{orientation}.{form.lower()}"
        path = lying_photograph(name, picture, orientation, form)
        info = probe(path, max_pixels=10**6)
        assert info.turning == EXIF_TURNINGS.get(orientation, UPRIGHT)
        _, served = cv2.VideoCapture(str(path)).read()  # as it is stored
        facts = film_of(info).served
        assert facts is not None and not facts.measured
        assert difference(as_displayed(served, facts.matrix, 480, 288), picture) < 8
