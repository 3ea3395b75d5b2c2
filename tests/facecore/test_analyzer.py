"""The open pack on real photographs."""

import itertools
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from facecore.align import FaceInImage, Image
from facecore.analyzer import Analyzer
from facecore.attributes import EMOTIONS
from facecore.quality import size_score
from facecore.turning import upright
from schemas.observations import FrameFaces, ObservedFace
from tests.eval.demographics import attributes_of
from tests.facecore.conftest import Look, as_frame


def vector(face: ObservedFace) -> NDArray[np.float64]:
    values = np.frombuffer(face.embedding, "<f4").astype(np.float64)
    return values / np.linalg.norm(values)


def test_six_people_on_the_group_photograph(analyzer: Analyzer, group: Image) -> None:
    found = analyzer.analyze([as_frame(group, index=7)])[0]
    assert (found.index, found.timestamp, found.width, found.height) == (7, 3.5, 1280, 886)
    assert (len(found.faces), found.low_confidence, found.detector_size) == (6, 0, 640)
    assert [f.confidence for f in found.faces] == sorted((f.confidence for f in found.faces), reverse=True)
    for face in found.faces:
        x_min, y_min, x_max, y_max = face.box
        assert 0 <= x_min < x_max <= 1280
        assert 0 <= y_min < y_max <= 886
        points = np.array(face.landmarks).reshape(5, 2)
        assert (points > [x_min, y_min]).all()
        assert (points < [x_max, y_max]).all()
        assert points[0, 0] < points[1, 0]  # left eye, right eye, as they lie in the picture
        assert points[:2, 1].max() < points[2, 1] < points[3:, 1].min()
        assert len(face.embedding) == 512 * 4
        assert np.linalg.norm(np.frombuffer(face.embedding, "<f4")) > 1.0
        assert all(0 <= value <= 1 for value in msgspec.structs.astuple(face.quality))
    similar = [float(vector(a) @ vector(b)) for a, b in itertools.combinations(found.faces, 2)]
    assert max(similar) < 0.4  # six different people


def test_provenance_names_what_was_used(analyzer: Analyzer, group: Image) -> None:
    found = analyzer.analyze([as_frame(group, min_confidence=0.6)])[0].provenance
    assert (found.pack, found.providers) == ("open", ("CPUExecutionProvider",))
    assert found.detector.startswith("centerface@")
    assert found.embedder.startswith("fr_feature@")
    assert found.min_confidence == 0.6
    models = analyzer.describe().models
    assert (models["detector"], models["occlusion"]) == (found.detector, found.occlusion)
    assert (models["sharpness"], models["detector_sizes"]) == (found.sharpness, "320, 640")
    assert (
        analyzer.analyze([as_frame(group)])[0].provenance.min_confidence == analyzer.describe().min_confidence
    )


def test_a_frame_does_not_depend_on_its_batch_or_on_threads(models_path: Path, group: Image) -> None:
    flipped = np.ascontiguousarray(group[:, ::-1])
    small = np.asarray(cv2.resize(group, None, fx=0.5, fy=0.5), np.uint8)
    tall = np.ascontiguousarray(group[:, 400:900])
    empty = np.full((360, 640, 3), 127, np.uint8)
    crowd = np.tile(small, (2, 2, 1))
    pictures = [group, empty, flipped, small, tall, crowd, group]
    frames = [as_frame(image, index) for index, image in enumerate(pictures)]

    def encoded(results: list[FrameFaces]) -> list[bytes]:
        return [msgspec.msgpack.encode(result) for result in results]

    one = Analyzer.load("open", models_path, device="cpu", threads=1)
    three = Analyzer.load("open", models_path, device="cpu", threads=3)
    try:
        alone = [one.analyze([frame])[0] for frame in frames]
        assert encoded(three.analyze(frames[::-1])[::-1]) == encoded(alone)
    finally:
        one.close()
        three.close()
    assert [len(result.faces) for result in alone][:2] == [6, 0]
    assert len(alone[5].faces) > 16, "more than a batch"


def test_low_confidence_is_counted_not_returned(analyzer: Analyzer, group: Image) -> None:
    everyone = analyzer.analyze([as_frame(group)])[0]
    bar = sorted(face.confidence for face in everyone.faces)[3]
    strict = analyzer.analyze([as_frame(group, min_confidence=bar)])[0]
    assert (len(strict.faces), strict.low_confidence) == (3, 3 + everyone.low_confidence)
    assert strict.faces == everyone.faces[:3]


def test_no_frames_give_no_results(analyzer: Analyzer) -> None:
    assert analyzer.analyze([]) == []
    assert analyzer.emotions([]) == analyzer.attributes([]) == []


@pytest.mark.parametrize("shape", [(1, 1), (8, 2000), (2000, 8), (33, 31)])
def test_pictures_of_any_shape(look: Look, shape: tuple[int, int]) -> None:
    assert look(np.zeros((*shape, 3), np.uint8)).faces == ()


def test_faces_cut_by_the_border_stay_inside(look: Look, group: Image) -> None:
    left = look(group).faces[0]
    cut = np.ascontiguousarray(group[:, int(left.box[0] + 30) :])
    for face in look(cut).faces:
        assert 0 <= face.box[0] < face.box[2] <= cut.shape[1]
        assert 0 <= face.box[1] < face.box[3] <= cut.shape[0]


def test_size_is_that_of_the_source_not_of_the_canvas(look: Look, group: Image) -> None:
    for face in look(group).faces:
        assert face.quality.size == pytest.approx(size_score(face.box), abs=1e-6)
    half = look(np.asarray(cv2.resize(group, None, fx=0.5, fy=0.5), np.uint8))
    assert max(face.quality.size for face in half.faces) < 0.25


def test_portraits_are_small_squares_that_show_an_emotion(analyzer: Analyzer, group: Image) -> None:
    faces = analyzer.analyze([as_frame(group)])[0].faces
    portraits = [analyzer.portrait(group, face) for face in faces]
    assert all(p.shape[0] == p.shape[1] <= 256 and p.dtype == np.uint8 for p in portraits)
    emotions = analyzer.emotions(portraits)
    assert emotions.count("happy") >= 5  # all six laugh or smile
    assert set(emotions) <= {*EMOTIONS, None}
    assert [analyzer.emotions([p])[0] for p in portraits] == emotions


@pytest.mark.parametrize("turn", [None, cv2.ROTATE_90_CLOCKWISE])
def test_portraits_show_age_and_gender_as_the_picture_does(
    analyzer: Analyzer, group: Image, turn: int | None
) -> None:
    picture = group if turn is None else np.ascontiguousarray(cv2.rotate(group, turn), np.uint8)
    faces = analyzer.analyze([as_frame(picture)])[0].faces
    said = attributes_of(analyzer, picture, faces)
    (model,) = analyzer._pack.attributes
    for face, one in zip(faces, said, strict=True):
        assert one.age is not None and one.age_low is not None and one.age_high is not None
        assert 10 < one.age_low < one.age < one.age_high < 80
        assert one.male is not None and 0 <= one.male <= 1
        landmarks = np.array(face.landmarks, np.float32).reshape(5, 2)
        head = upright(FaceInImage(picture, face.box, landmarks)).face
        (seen,) = model.run([head])
        assert seen.age == pytest.approx(one.age, abs=4) and seen.male == pytest.approx(one.male, abs=0.2)
    if turn is None:
        assert [sum(low <= one.male <= high for one in said if one.male is not None)
                for low, high in ((0, 0.2), (0.8, 1))] == [3, 3]  # fmt: skip
