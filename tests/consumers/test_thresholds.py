"""Warnings about thresholds that reject most of the faces."""

import msgspec
import pytest

from consumers.thresholds import rejection_warnings
from schemas.observations import FrameFaces
from tests.facecore.faces import face, frame, person


def seen(kept: int, rejected: tuple[float, ...], quality: float = 0.8) -> FrameFaces:
    made = frame(0, [face(person(n), quality=quality) for n in range(kept)])
    strict = msgspec.structs.replace(made.provenance, min_confidence=0.9)
    return msgspec.structs.replace(
        made, rejected_confidences=rejected, low_confidence=len(rejected), provenance=strict
    )


def test_a_confidence_that_rejects_most_faces_is_named_with_one_that_keeps_them() -> None:
    [warning] = rejection_warnings([seen(1, (0.85, 0.8, 0.7, 0.3))], 0.0)
    assert warning == (
        "min_confidence 0.9 rejected 3 of 4 faces; min_confidence 0.7 would keep 3 of these 3."
    )


def test_a_quality_that_rejects_most_faces_is_named_with_one_that_keeps_them() -> None:
    [warning] = rejection_warnings([seen(3, (), quality=0.42), seen(1, ())], 0.5)
    assert warning == "min_quality 0.5 rejected 3 of 4 faces; min_quality 0.42 would keep 3 of these 3."


@pytest.mark.parametrize(
    ("frame_faces", "min_quality", "says"),
    [
        (seen(0, (0.85,)), 0.0, "Faces were seen; all detections were rejected. min_confidence 0.9 rejected 1 of 1"),
        (seen(0, (0.3, 0.2)), 0.0, "No certain face was seen; all detections were rejected. No detection reaches"),
        (seen(2, (), quality=0.1), 0.5, "Faces were seen; all detections were rejected. min_quality 0.5 rejected 2"),
    ],
)  # fmt: skip
def test_a_result_without_people_says_that_all_were_rejected(
    frame_faces: FrameFaces, min_quality: float, says: str
) -> None:
    assert rejection_warnings([frame_faces], min_quality)[0].startswith(says)


def test_few_rejected_faces_and_detections_that_hardly_are_faces_cause_no_warning() -> None:
    assert rejection_warnings([seen(3, (0.8, 0.8, 0.4, 0.3, 0.3))], 0.5) == []
    assert rejection_warnings([seen(0, ())], 0.5) == []
