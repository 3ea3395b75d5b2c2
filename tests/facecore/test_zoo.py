"""Packs in InsightFace's format, opened by its model zoo."""

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from insightface import model_zoo
from insightface.data import get_object
from insightface.utils.face_align import norm_crop

from consumers.thresholds import rejection_warnings
from facecore.align import FaceInImage, Image, aligned
from facecore.analyzer import Analyzer
from facecore.attributes import FaceAttributes
from facecore.detection import scrfd
from facecore.device import choose_device, open_session
from facecore.model import Workers
from facecore.portraits import FaceInPortrait
from facecore.zoo import angles_of
from models.fetch import ModelsUnavailable
from tests.facecore.conftest import as_frame
from tests.facecore.test_analyzer import vector


def test_six_people_on_the_group_photograph(zoo_analyzer: Analyzer, group: Image) -> None:
    found = zoo_analyzer.analyze([as_frame(group)])[0]
    assert len(found.faces) == 6
    assert found.detector_size == 640
    assert found.provenance.pack == "scrfd"
    assert found.provenance.min_confidence == scrfd.MIN_CONFIDENCE_CPU
    assert found.provenance.detector.startswith("scrfd_2.5g_kps@")
    assert {f.native_angles for f in found.faces} == {False}
    assert zoo_analyzer.emotions([group]) == [None]
    assert zoo_analyzer.attributes([FaceInPortrait(group, 1.0)]) == [FaceAttributes()]


def test_scores_of_scrfd_are_confidences_and_a_threshold_beyond_them_is_warned_of(
    zoo_analyzer: Analyzer, group: Image
) -> None:
    plain, strict = zoo_analyzer.analyze([as_frame(group), as_frame(group, 1, min_confidence=0.95)])
    assert all(face.confidence == pytest.approx(face.detector_score, abs=1e-5) for face in plain.faces)
    assert strict.faces == ()
    [warning] = rejection_warnings([strict], 0.0)
    lowest = int(100 * min(face.confidence for face in plain.faces)) / 100
    assert warning == (
        "Faces were seen; all detections were rejected. min_confidence 0.95 rejected 6 of 6 faces; "
        f"min_confidence {lowest:g} would keep 6 of these 6."
    )


def test_boxes_and_embeddings_are_insightfaces_own(
    zoo_analyzer: Analyzer, scrfd_root: Path, group: Image
) -> None:
    pack = scrfd_root / "models" / "scrfd"
    detector = model_zoo.get_model(str(pack / "scrfd_2.5g_kps.onnx"), providers=["CPUExecutionProvider"])
    embedder = model_zoo.get_model(str(pack / "fr_feature.onnx"), providers=["CPUExecutionProvider"])
    rows, points = detector.detect(group, input_size=(640, 640), det_thresh=0.7)
    faces = zoo_analyzer.analyze([as_frame(group)])[0].faces
    assert len(rows) == len(faces)
    for face, row, five in zip(faces, rows, points, strict=True):
        assert np.abs(np.array(face.box) - row[:4]).max() < 0.1
        assert abs(face.confidence - row[4]) < 1e-3
        expected = embedder.get_feat(norm_crop(group, five)).ravel()
        assert vector(face) @ (expected / np.linalg.norm(expected)) > 0.9999


def test_alignment_is_insightfaces_own(group: Image) -> None:
    points = np.array([[100, 120], [160, 118], [130, 150], [108, 180], [152, 182]], np.float32)
    ours = aligned(FaceInImage(group, (80, 80, 180, 200), points)).astype(int)
    assert np.abs(ours - norm_crop(group, points).astype(int)).max() <= 1


def batched(source: Path, target: Path, *, rows: tuple[int, int, int, int] | None) -> Path:
    """A SCRFD that takes any batch. ``rows``: its heads end in rows of all pictures, transposed like this first."""
    model = onnx.load(source)
    graph = model.graph
    graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    values = [output.type.tensor_type.shape.dim[2].dim_value for output in graph.output]
    for output, count in zip(graph.output, values, strict=True):
        shape = ["batch", None, count] if rows is None else [None, count]
        output.CopyFrom(onnx.helper.make_tensor_value_info(output.name, onnx.TensorProto.FLOAT, shape))
    del graph.value_info[:]
    if rows is not None:
        transposed = {node.output[0] for node in graph.node if node.op_type == "Transpose"}
        for node in graph.node:
            if node.op_type == "Transpose":
                del node.attribute[:]
                node.attribute.append(onnx.helper.make_attribute("perm", rows))
            if node.op_type == "Reshape" and node.input[0] in transposed:
                flat = np.array([-1, values[[o.name for o in graph.output].index(target_of(graph, node))]])
                graph.initializer.append(onnx.numpy_helper.from_array(flat, f"{node.name}_rows"))
                node.input[1] = f"{node.name}_rows"
    onnx.save(model, target)
    return target


def target_of(graph: onnx.GraphProto, node: onnx.NodeProto) -> str:
    """The output of the graph that a node leads to, directly or through one more."""
    outputs = {output.name for output in graph.output}
    if node.output[0] in outputs:
        return str(node.output[0])
    return next(str(n.output[0]) for n in graph.node if node.output[0] in n.input and n.output[0] in outputs)


@pytest.mark.parametrize("rows", [None, (2, 3, 0, 1)], ids=["pictures apart", "pictures interleaved"])
def test_a_batch_of_scrfd_equals_single_pictures(
    shared_data: Path, group: Image, tmp_path: Path, rows: tuple[int, int, int, int] | None
) -> None:
    """Newer exports keep the pictures of a batch apart; older ones put them between cells and anchors."""
    source = shared_data / "models" / "scrfd_2.5g_kps.onnx"
    session = open_session(batched(source, tmp_path / "batched.onnx", rows=rows), choose_device("cpu"))
    assert len(session.get_outputs()[0].shape) == (3 if rows is None else 2)
    assert scrfd.batches_like_singles(session, 640, 3)
    detector = scrfd.load(session, "batched", 0.4)
    together = replace(detector, model=replace(detector.model, read=scrfd.reader(0.4, 3), batch=3))
    published = scrfd.load(open_session(source, choose_device("cpu")), "published", 0.4)
    pictures = [group, np.zeros_like(group), np.ascontiguousarray(group[:, ::-1]), group[:400]]
    workers = Workers(2)
    try:
        expected = published.detect(pictures, workers)
        assert [len(found.boxes) >= 4 for found in expected] == [True, False, True, True]
        for answer in (detector.detect(pictures, workers), together.detect(pictures, workers)):
            for one, other in zip(expected, answer, strict=True):
                assert one.boxes.shape == other.boxes.shape
                assert np.allclose(one.boxes, other.boxes, atol=0.01)
                assert np.allclose(one.landmarks, other.landmarks, atol=0.01)
                assert np.allclose(one.scores, other.scores, atol=1e-5)
    finally:
        workers.close()


def test_a_batch_that_mixes_pictures_is_detected(shared_data: Path, tmp_path: Path) -> None:
    """Rows of two dimensions in another order than that of old exports."""
    source = shared_data / "models" / "scrfd_2.5g_kps.onnx"
    file = batched(source, tmp_path / "mixing.onnx", rows=(0, 2, 3, 1))
    assert not scrfd.batches_like_singles(open_session(file, choose_device("cpu")), 640, 2)


@pytest.mark.parametrize(
    ("axis", "degrees", "expected"),
    [("x", 20, (0, 20, 0)), ("y", -20, (-20, 0, 0)), ("y", 20, (20, 0, 0)), ("z", 20, (0, 0, 20))],
)
def test_signs_of_the_zoos_angles(axis: str, degrees: float, expected: tuple[float, float, float]) -> None:
    """Turning InsightFace's mean face (x right, y down, z towards the viewer) gives the angle with our sign."""
    mean = np.asarray(get_object("meanshape_68.pkl"), np.float64)
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = {
        "x": [[1, 0, 0], [0, c, -s], [0, s, c]],
        "y": [[c, 0, s], [0, 1, 0], [-s, 0, c]],
        "z": [[c, -s, 0], [s, c, 0], [0, 0, 1]],
    }[axis]
    turned = mean @ np.array(turn).T
    nose, eyes = turned[30], turned[36:48].mean(0)
    if axis == "y":
        assert np.sign(nose[0] - eyes[0]) == np.sign(degrees)  # looks to the side the nose points to
    if axis == "x":
        assert nose[1] - eyes[1] < mean[30][1] - mean[36:48].mean(0)[1]  # the nose rises
    if axis == "z":
        assert turned[42:48].mean(0)[1] > turned[36:42].mean(0)[1]  # the right eye sinks: clockwise
    angles = angles_of(turned, mean)
    assert (angles.yaw, angles.pitch, angles.roll) == pytest.approx(expected, abs=0.1)


def test_a_directory_without_a_detector_is_refused(models_path: Path, tmp_path: Path) -> None:
    pack = tmp_path / "models" / "half"
    pack.mkdir(parents=True)
    shutil.copy(models_path / "models" / "open" / "fr_feature.onnx", pack)
    with pytest.raises(ModelsUnavailable, match=r"'half'.*no detector"):
        Analyzer.load("half", tmp_path, device="cpu")


def test_a_broken_file_is_named(scrfd_root: Path, tmp_path: Path) -> None:
    shutil.copytree(scrfd_root, tmp_path, dirs_exist_ok=True)
    (tmp_path / "models" / "scrfd" / "zz.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelsUnavailable, match=r"zz\.onnx"):
        Analyzer.load("scrfd", tmp_path, device="cpu")


def test_small_pictures_find_their_faces_too(zoo_analyzer: Analyzer, group: Image) -> None:
    small = np.asarray(cv2.resize(group, None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA), np.uint8)
    assert len(zoo_analyzer.analyze([as_frame(small, min_confidence=0.5)])[0].faces) == 6
