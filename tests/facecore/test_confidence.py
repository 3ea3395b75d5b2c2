"""What a detector's score says about the probability that a detection is a face."""

import cv2
import numpy as np
import pytest

from facecore.align import Image
from facecore.analyzer import Analyzer
from facecore.detection import centerface
from facecore.video import Interval, open_source
from tests.facecore.conftest import as_frame
from tests.material import SHARED_DATA


def test_the_confidence_rises_with_the_score_and_keeps_its_range(analyzer: Analyzer) -> None:
    detector = analyzer._pack.detector
    scores = np.linspace(0.2, 1.0, 801, dtype=np.float32)
    confidences = detector.confidence(scores)
    assert (np.diff(confidences) >= 0).all()
    assert 0 < confidences[0] < 0.05
    assert confidences[-1] == 1
    assert detector.confidence(np.array([0.5], np.float32))[0] == pytest.approx(centerface.MIN_CONFIDENCE)


def test_a_threshold_for_clean_films_keeps_plain_faces(analyzer: Analyzer, group: Image) -> None:
    """Raw scores of five of these six faces are below 0.9 when the picture is small and dim."""
    dim = cv2.resize(group, None, fx=0.3, fy=0.3, interpolation=cv2.INTER_AREA) // 3
    found = analyzer.analyze([as_frame(dim, min_confidence=0.9)])[0]
    assert len(found.faces) == 6
    assert sum((face.detector_score or 0.0) < 0.9 for face in found.faces) >= 3


def test_the_score_and_the_confidences_of_the_rejected_are_kept(analyzer: Analyzer, group: Image) -> None:
    everyone, strict = analyzer.analyze([as_frame(group), as_frame(group, 1, min_confidence=1.0)])
    assert all(0.5 <= (face.detector_score or 0.0) <= face.confidence for face in everyone.faces)
    rejected = sorted((face.confidence for face in everyone.faces if face.confidence < 1), reverse=True)
    kept = strict.rejected_confidences[: len(rejected)]
    assert all(0 <= value - lower < 0.0101 for lower, value in zip(kept, rejected, strict=True))


FILMS = (
    "asl_again_manA.mkv",
    "derived_intel_three_people.mp4",
    "goldeneye_rotate.mp4",
    "skeleton_1080p_two.mp4",
)
"""Films in which no detection has a score of 0.9."""


@pytest.mark.skipif(not (SHARED_DATA / "videos").is_dir(), reason="the test films are not there")
@pytest.mark.parametrize("name", FILMS)
def test_a_threshold_for_clean_films_keeps_the_faces_of_real_films(analyzer: Analyzer, name: str) -> None:
    detector = analyzer._pack.detector
    samples = open_source(SHARED_DATA / "videos" / name, Interval(2.0), max_pixels=100_000_000)
    found = [detector.detect([sample.image], analyzer._workers)[0].scores for sample in samples]
    confidences = detector.confidence(np.concatenate(found))
    assert (confidences >= 0.9).sum() >= 0.9 * (confidences >= detector.min_confidence).sum() > 0
