"""pyiqa's networks and their exports, where pyiqa is installed (extra ``models``). The weights are random: the graph
is what is tested, and the trained weights need the open internet."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pyiqa = pytest.importorskip("pyiqa", reason="pyiqa is in the extra models")
torch = pytest.importorskip("torch", reason="torch is in the extra models")

import onnxruntime  # noqa: E402

from facecore import sharpness  # noqa: E402
from facecore.align import FaceInImage  # noqa: E402
from models.export_sharpness import NETWORKS, SCORE_TOLERANCE, difference, export, exportable  # noqa: E402


def topiq() -> Any:
    from pyiqa.archs.topiq_arch import CFANet

    return CFANet(use_ref=False, pretrained=False, backbone_pretrain=False).eval()


def clipiqa(monkeypatch: pytest.MonkeyPatch) -> Any:
    """CLIP with its own ResNet-50's sizes, without its download."""
    from pyiqa.archs import clip_model, clipiqa_arch

    made = clip_model.CLIP(1024, 224, (3, 4, 6, 3), 64, None, 77, 49408, 512, 8, 12).float()
    monkeypatch.setattr(clipiqa_arch, "load", lambda *_: made)
    return clipiqa_arch.CLIPIQA("clipiqa+", pretrained=False).eval()


def test_topiq_is_exported(tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = topiq()
    file = export("topiq_nr", exportable("topiq_nr", network), tmp_path)
    assert difference(network, file, NETWORKS["topiq_nr"].side) < SCORE_TOLERANCE
    assert_scores_faces(file)


def test_clip_iqa_is_exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compared with pyiqa's own network, not with the one whose text is worked out beforehand."""
    torch.manual_seed(1)
    network = clipiqa(monkeypatch)
    file = export("clipiqa+", exportable("clipiqa+", network), tmp_path)
    assert difference(network, file, NETWORKS["clipiqa+"].side) < SCORE_TOLERANCE
    assert_scores_faces(file)


def assert_scores_faces(file: Path) -> None:
    """As the analyze stage uses it; a face of any size gets a score 0-1."""
    _, side = sharpness.METHODS[file.name]
    assert side == NETWORKS[{n.file: name for name, n in NETWORKS.items()}[file.name]].side
    model = sharpness.load(onnxruntime.InferenceSession(str(file)), side)
    image = np.random.default_rng(1).integers(0, 255, (300, 400, 3), np.uint8)
    face = FaceInImage(image, (20.0, 30.0, 200.0, 250.0), np.zeros((5, 2), np.float32))
    (score,) = model.run([face])
    assert 0.0 <= score <= 1.0


def test_preprocessing_equals_that_of_pyiqa(tmp_path: Path) -> None:
    from pyiqa.utils import imread2tensor

    side = NETWORKS["topiq_nr"].side
    image = np.random.default_rng(2).integers(0, 255, (side, side, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    session = onnxruntime_of_identity(side)
    model = sharpness.load(session, side)
    ours = model.prepare(
        FaceInImage(image, (0.0, 0.0, float(side), float(side)), np.zeros((5, 2), np.float32))
    )
    assert np.abs(ours - imread2tensor(str(tmp_path / "a.png")).numpy()).max() < 1e-6


def onnxruntime_of_identity(side: int) -> Any:
    from onnx import TensorProto, helper

    shape = ["N", 3, side, side]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])], "same",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return onnxruntime.InferenceSession(model.SerializeToString())
