"""Occlusion and sharpness models are used if their files exist, and named in the provenance."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from facecore.align import Image
from facecore.analyzer import Analyzer
from models.fetch import SHIPPED_OCCLUSION
from schemas.observations import FrameFaces
from tests.facecore.conftest import as_frame


def write_graph(file: Path, side: int, weights: list[list[float]]) -> None:
    """A graph of the published interface: (N, 3, side, side) → a linear map of the picture's mean colour."""
    matrix = np.array(weights, np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["input"], ["mean"]),
            helper.make_node("Flatten", ["mean"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], ["output"]),
        ],
        "extra",
        [helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, ["batch", 3, side, side])],
        [helper.make_tensor_value_info("output", onnx.TensorProto.FLOAT, ["batch", matrix.shape[1]])],
        [numpy_helper.from_array(matrix, "weights")],
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), file)


@pytest.fixture
def root(models_path: Path, tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "open").symlink_to(models_path.resolve() / "models" / "open")
    return tmp_path


def seen(root: Path, image: Image) -> FrameFaces:
    analyzer = Analyzer.load("open", root, device="cpu", threads=2)
    try:
        return analyzer.analyze([as_frame(image)])[0]
    finally:
        analyzer.close()


@pytest.fixture
def without_shipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr("models.fetch.SHIPPED_OCCLUSION", tmp_path / "none.onnx")
    yield


def test_without_extra_models_the_provenance_names_none(
    root: Path, group: Image, without_shipped: None
) -> None:
    found = seen(root, group)
    assert (found.provenance.sharpness, found.provenance.occlusion) == ("sobel", None)
    assert {(face.occlusion_probability, face.quality.occlusion) for face in found.faces} == {(None, 1.0)}


def test_the_probability_is_that_of_being_occluded(root: Path, group: Image) -> None:
    """Class 1 of the softmax, not the winner's confidence: bright faces are "free" with this graph."""
    write_graph(root / "models" / "extras" / "occlusion_classifier.onnx", 224, [[2, -2], [0, 0], [0, 0]])
    found = seen(root, group)
    assert found.provenance.occlusion is not None
    assert found.provenance.occlusion.startswith("occlusion_classifier@")
    for face in found.faces:
        assert face.occlusion_probability is not None
        assert face.quality.occlusion == pytest.approx(1 - 0.75 * face.occlusion_probability, abs=1e-5)
    dark = seen(root, (group * 0.1).astype(np.uint8))
    assert not dark.faces or min(f.occlusion_probability or 0 for f in dark.faces) > 0.9
    probabilities = [face.occlusion_probability for face in found.faces]
    assert len(set(probabilities)) == len(probabilities)


@pytest.mark.parametrize(
    ("file", "side", "method"), [("topiq_nr.onnx", 384, "topiq_nr"), ("clipiqa_plus.onnx", 224, "clipiqa")]
)
def test_sharpness_by_the_network_that_is_there(
    root: Path, group: Image, file: str, side: int, method: str
) -> None:
    write_graph(root / "models" / "extras" / file, side, [[1 / 3], [1 / 3], [1 / 3]])
    found = seen(root, group)
    assert found.provenance.sharpness == method
    for face in found.faces:  # this graph tells the crop's mean brightness, 0-1
        x_min, y_min, x_max, y_max = (round(v) for v in face.box)
        expected = group[y_min:y_max, x_min:x_max].mean() / 255
        assert face.quality.sharpness == pytest.approx(expected, abs=0.03)


def test_topiq_comes_before_clip_iqa(root: Path, group: Image) -> None:
    for file, side in (("clipiqa_plus.onnx", 224), ("topiq_nr.onnx", 384)):
        write_graph(root / "models" / "extras" / file, side, [[1], [0], [0]])
    assert seen(root, group).provenance.sharpness == "topiq_nr"


@pytest.mark.skipif(not SHIPPED_OCCLUSION.is_file(), reason="no occlusion model is shipped")
def test_the_shipped_occlusion_model_is_used(root: Path, group: Image) -> None:
    found = seen(root, group)
    assert (found.provenance.occlusion or "").startswith(SHIPPED_OCCLUSION.stem)
    assert all(face.occlusion_probability is not None for face in found.faces)
