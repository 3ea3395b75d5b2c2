"""Small faces in large and wide pictures are found by looking again."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.data import astronaut

from facecore.align import Image
from facecore.analyzer import Analyzer
from facecore.detection.detector import _hints
from facecore.detection.tiles import MAX_TILES, divide, inside, too_coarse, whole
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
    ("width", "height", "side"), [(854, 480, 28), (1280, 499, 28), (3840, 2160, 48), (6000, 800, 40)]
)
def test_small_faces_in_large_and_wide_pictures(
    analyzer: Analyzer, portrait: tuple[Image, Box], width: int, height: int, side: int
) -> None:
    picture, boxes = composed(*portrait, width, height, side)
    assert len(boxes) == 8
    assert found(analyzer, picture, boxes) >= 7
    assert len(analyzer._pack.detector.detect([picture], analyzer._workers)[0].boxes) <= 10


@pytest.mark.parametrize(
    ("width", "height", "portrait_height"),
    [(1280, 499, 120), (1280, 500, 120), (1280, 501, 120), (854, 480, 90), (720, 480, 90), (6000, 4000, 300)],
)
def test_eight_portraits_are_eight_faces(
    analyzer: Analyzer, width: int, height: int, portrait_height: int
) -> None:
    """Whole portraits, whose faces are a sixth as wide; at 6000×4000 a body looks like a face from afar."""
    portrait = np.ascontiguousarray(astronaut()[:, :, ::-1])  # type: ignore[no-untyped-call]
    detector = analyzer._pack.detector
    (seen,) = detector.detect([portrait], analyzer._workers)
    box = tuple(float(side) for side in seen.boxes[0])
    side = (box[2] - box[0]) * portrait_height / len(portrait)
    picture, boxes = composed(portrait, box, width, height, side)  # type: ignore[arg-type]
    assert found(analyzer, picture, boxes) == 8
    (seen,) = detector.detect([picture], analyzer._workers)
    assert (detector.confidence(seen.scores) >= detector.min_confidence).sum() == 8


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
    plan = analyzer._pack.detector._plan(np.zeros((height, width, 3), np.uint8))
    assert (plan.tiles, plan.larger) == ((), None)
    assert plan.whole.canvas.size == (320 if height < 500 else 640)


@pytest.mark.parametrize("side", [24, 150])
def test_small_films_are_looked_at_again_only_where_a_face_is_small(
    analyzer: Analyzer, portrait: tuple[Image, Box], side: int
) -> None:
    detector = analyzer._pack.detector
    plan = detector._plan(composed(*portrait, 854, 480, side)[0])
    assert (plan.tiles, plan.whole.canvas.size) == ((), 320)
    assert plan.larger is not None and plan.larger.canvas.size == 640
    (seen,) = detector._look([plan.whole], analyzer._workers)
    assert _hints(seen, plan.whole) == (side == 24)


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


def test_what_lies_inside_a_much_larger_face() -> None:
    face = np.array([[100, 100, 500, 600]], np.float32)
    boxes = np.array([[150, 200, 250, 300], [450, 100, 700, 350], [100, 100, 480, 600]], np.float32)
    assert inside(boxes, face)[:, 0].tolist() == [True, False, False]
