"""Small faces in large and wide pictures are found by looking again in tiles."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facecore.align import Image
from facecore.analyzer import Analyzer
from facecore.detection.tiles import MAX_TILES, divide, parts, too_coarse, whole
from facecore.geometry import Box
from tests.eval.recall import composed, found
from tests.facecore.conftest import Look


@pytest.fixture(scope="module")
def portrait(look: Look, group: Image) -> tuple[Image, Box]:
    """One of the six people, and the box of the face in this picture."""
    face = look(group).faces[0]
    x, y, right, bottom = (int(side) for side in face.box)
    margin = 60
    shown = group[max(0, y - margin) : bottom + margin, max(0, x - margin) : right + margin]
    (box,) = (one.box for one in look(np.ascontiguousarray(shown)).faces[:1])
    return np.ascontiguousarray(shown), box


@pytest.mark.parametrize(
    ("width", "height", "side"), [(854, 480, 28), (1280, 499, 28), (3840, 2160, 48), (6000, 800, 56)]
)
def test_small_faces_in_large_and_wide_pictures(
    analyzer: Analyzer, portrait: tuple[Image, Box], width: int, height: int, side: int
) -> None:
    picture, boxes = composed(*portrait, width, height, side)
    assert len(boxes) == 8
    assert found(analyzer, picture, boxes) >= 7
    assert len(analyzer._pack.detector.detect([picture], analyzer._workers)[0].boxes) <= 10


def test_a_large_face_across_all_tiles_is_one_face(look: Look, group: Image) -> None:
    large = np.asarray(cv2.resize(group, (3840, 2658)), np.uint8)
    ordinary = look(group)
    found = look(large)
    assert len(found.faces) == len(ordinary.faces) == 6
    boxes = [face.box for face in ordinary.faces]
    for face in found.faces:
        nearest = min(float(np.abs(np.array(face.box) / 3 - np.array(box)).max()) for box in boxes)
        assert nearest < 15


@pytest.mark.parametrize(
    ("width", "height"), [(640, 360), (640, 480), (1280, 534), (1280, 720), (1920, 800), (1920, 1080)]
)
def test_ordinary_films_cost_one_look(analyzer: Analyzer, width: int, height: int) -> None:
    views = analyzer._pack.detector._views(np.zeros((height, width, 3), np.uint8))
    assert len(views) == 1
    assert views[0].canvas.size == (320 if height < 500 else 640)


@given(st.integers(1, 30_000), st.integers(1, 30_000), st.sampled_from([320, 640, 1024]))
def test_tiles_cover_the_picture_and_are_bounded(width: int, height: int, size: int) -> None:
    tiles = divide(width, height, size, size)
    assert 1 <= len(tiles) <= MAX_TILES
    for starts, length in (
        ({(tile.x, tile.width) for tile in tiles}, width),
        ({(tile.y, tile.height) for tile in tiles}, height),
    ):
        end = 0
        for start, span in sorted(starts):
            assert 0 <= start <= end
            end = start + span
        assert end == length
    assert not too_coarse(640, 360, 320)


def test_what_an_inner_edge_cuts_is_dropped() -> None:
    (first, second, *_) = tiles = divide(3840, 1000, 640, 640)
    edge = float(first.width)
    boxes = np.array([[0, 0, 50, 50], [edge - 50, 20, edge - 1, 80]], np.float32)
    assert whole(boxes, first, 3840, 1000, 4.0).tolist() == [True, False]
    assert whole(boxes[1:], second, 3840, 1000, 4.0).tolist() == [True]
    assert len(tiles) > 1


def test_parts_of_a_face_are_not_faces() -> None:
    face = np.array([[100, 100, 500, 600]], np.float32)
    boxes = np.array([[150, 200, 250, 300], [450, 100, 700, 350], [100, 100, 480, 600]], np.float32)
    assert parts(boxes, face).tolist() == [True, False, False]
