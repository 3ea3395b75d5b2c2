"""Enhanced pictures: better faces of the same person in the same place replace poor ones; nothing else does."""

from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facecore.enhancement import (
    NO_FACE,
    NOT_BETTER,
    OTHER_PERSON,
    at_source_scale,
    improve,
    scaled,
    triggered,
)
from facecore.quality import composite
from facecore.video.images import encode
from facecore.video.restoring import is_restored
from schemas.observations import FrameFaces, ObservedFace, QualityScore
from schemas.requests import Enhancement
from tests.facecore.faces import face, frame, person

WANTED = Enhancement(enabled=True, quality_trigger=0.5)
POOR, GOOD = 0.3, 0.9


def test_a_better_face_of_the_same_person_replaces_a_poor_one() -> None:
    original = frame(0, [face(person(0), quality=POOR), face(person(1), x=600, quality=GOOD)])
    restored = frame(0, [face(person(0, 0.5), x=104, quality=GOOD), face(person(1), x=600, quality=1.0)])
    improved = improve(original, restored, WANTED)
    first, second = improved.faces
    assert improved.kept == ()
    assert first.enhanced and first.box == restored.faces[0].box and composite(first.quality) > POOR
    assert first.embedding == original.faces[0].embedding, "a restored face is partly invented"
    assert second == original.faces[1], "it was good enough"


@pytest.mark.parametrize(
    ("restored", "reason"),
    [
        pytest.param([], NO_FACE, id="no face"),
        pytest.param([face(person(7), quality=GOOD)], OTHER_PERSON, id="another person"),
        pytest.param([face(person(0), x=900, quality=GOOD)], NO_FACE, id="another place"),
        pytest.param([face(person(0), quality=POOR)], NOT_BETTER, id="not better"),
    ],
)
def test_without_a_better_face_the_original_is_kept(restored: list[ObservedFace], reason: str) -> None:
    original = frame(0, [face(person(0), quality=POOR)])
    assert improve(original, frame(0, restored), WANTED) == msgspec.structs.replace(original, kept=(reason,))


def test_one_restored_face_improves_one_face() -> None:
    twins = [face(person(0), x=100, quality=POOR), face(person(0), x=140, quality=POOR)]
    improved = improve(frame(0, twins), frame(0, [face(person(0), x=110, quality=GOOD)]), WANTED)
    assert sum(f.enhanced for f in improved.faces) == 1


def test_faces_of_an_upscaled_picture_are_measured_at_source_scale() -> None:
    source = frame(0, [face(person(0))])
    doubled: FrameFaces = msgspec.structs.replace(
        source, width=2560, height=1440, faces=tuple(scaled(f, 2, 2) for f in source.faces)
    )
    assert doubled.faces[0].quality.size > 0.7
    back = at_source_scale(doubled, 1280, 720)
    assert np.allclose(back.faces[0].box, source.faces[0].box)
    assert np.allclose(back.faces[0].landmarks, source.faces[0].landmarks)
    assert back.faces[0].quality.size == pytest.approx(0.25 + 0.75 * 40 / 170), (
        "the shorter side is 120 pixels"
    )


@given(st.floats(1, 4), st.floats(1, 4), st.tuples(st.floats(0, 900), st.floats(1, 400), st.floats(1, 400)))
def test_enlarging_a_picture_changes_neither_place_nor_size(
    across: float, down: float, place: tuple[float, float, float]
) -> None:
    x, width, height = place
    source = frame(0, [face(person(0), box=(x, 50.0, x + width, 50.0 + height))])
    source = at_source_scale(source, source.width, source.height)  # the size that the box makes
    larger = msgspec.structs.replace(
        source, width=round(1280 * across), height=round(720 * down),
        faces=tuple(scaled(f, round(1280 * across) / 1280, round(720 * down) / 720) for f in source.faces),
    )  # fmt: skip
    back = at_source_scale(larger, 1280, 720).faces[0]
    assert back.box == pytest.approx(source.faces[0].box, abs=1e-6)
    assert back.quality.size == pytest.approx(source.faces[0].quality.size, abs=1e-6)


def test_only_faces_below_the_trigger_are_due() -> None:
    low, high = QualityScore(0.4, 0.4, 0.4, 0.4), QualityScore(0.6, 0.6, 0.6, 0.6)
    mixed = frame(0, [face(person(0), quality=q.size) for q in (low, high, low)])
    assert triggered(mixed, WANTED) == 2


def test_a_picture_in_another_size_or_coding_is_not_restored(group_photograph: Path) -> None:
    """What an enhancer sends that restores no face; a face that it restores is seen, whatever else it does."""
    photograph = np.asarray(cv2.imread(str(group_photograph)), np.uint8)
    blurred = cv2.GaussianBlur(photograph, (0, 0), 3)
    original = encode(blurred, 95)
    restored = blurred.copy()
    restored[200:330, 480:620] = photograph[200:330, 480:620]
    for scale in (1, 2, 4):
        for quality in (75, 95):
            same, better = (
                encode(cv2.resize(picture, None, fx=scale, fy=scale), quality)
                for picture in (blurred, restored)
            )
            assert not is_restored(original, same)
            assert is_restored(original, better)
    assert not is_restored(original, original)
