"""Every network of the open pack gives the same values for a full or padded batch as for single faces; devices."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from facecore.align import IMAGENET_MEAN, IMAGENET_STD, FaceInImage, Image, to_sample
from facecore.analyzer import Analyzer
from facecore.attributes import FaceAttributes
from facecore.detection.centerface import reader
from facecore.detection.detector import HINT_SCORE
from facecore.device import CPU, CUDA, TENSORRT, Device, TensorRT, check_session, choose_device, open_session
from facecore.errors import DeviceUnavailable
from facecore.model import Model, Workers
from facecore.packs import Pack, load_open
from models.centerface import CANDIDATE_SCORE
from models.fetch import ModelsUnavailable, ensure
from schemas.observations import Angles
from tests.eval.batches import attribute_differences, differences, emotions, in_batches
from tests.eval.collages import MOST, crowd, faces_of
from tests.facecore.conftest import as_frame

TOLERANCE = 1e-4
ROLES = ("embedding", "pose", "age and gender")


@pytest.fixture(scope="module")
def pack(models_path: Any) -> Pack:
    return load_open("open", ensure("open", models_path), choose_device("cpu"))


@pytest.fixture(scope="module")
def faces(analyzer: Analyzer, group: Image) -> list[FaceInImage]:
    workers = Workers(1)
    try:
        found = analyzer._pack.detector.detect([group], workers)[0]
    finally:
        workers.close()
    assert len(found.boxes) == 6
    return [
        FaceInImage(group, (float(b[0]), float(b[1]), float(b[2]), float(b[3])), points)
        for b, points in zip(found.boxes, found.landmarks, strict=True)
    ]


def numbers(value: Any) -> list[float]:
    if isinstance(value, Angles):
        return [value.yaw, value.pitch, value.roll]
    if isinstance(value, FaceAttributes):
        return [number for number in value if number is not None]
    return [float(number) for number in np.ravel(value)]


@pytest.mark.parametrize(
    ("mean", "std"), [(0.0, 255.0), (127.5, 128.0), (IMAGENET_MEAN * 255, IMAGENET_STD * 255)]
)
def test_a_sample_has_every_bit_of_plain_arithmetic(mean: Any, std: Any) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    for image in (noise, noise[3:9, 5:8], noise[:, :, ::-1], noise[::-1, ::2]):
        sample = to_sample(image, mean, std)
        plain = (image[:, :, ::-1].astype(np.float32) - mean) / std
        assert sample.flags.c_contiguous
        assert sample.tobytes() == plain.transpose(2, 0, 1).astype(np.float32).tobytes()


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("batch", [4, 16])
def test_a_batch_equals_singles(pack: Pack, faces: list[FaceInImage], role: str, batch: int) -> None:
    models: list[Model[FaceInImage, Any]] = [
        pack.embedder,
        *([pack.pose] if pack.pose else []),
        *pack.attributes,
    ]
    model = models[ROLES.index(role)]
    workers = Workers(2)
    try:
        alone = workers.start(replace(model, batch=1), faces)()
        together = workers.start(replace(model, batch=batch), faces)()
    finally:
        workers.close()
    assert len(alone) == len(together) == 6
    for one, many in zip(alone, together, strict=True):
        assert numbers(one) == pytest.approx(numbers(many), abs=TOLERANCE)
    assert len({tuple(numbers(value)) for value in alone}) == 6  # and it does look at the faces


def test_a_batch_of_pictures_equals_single_pictures(pack: Pack, group: Image) -> None:
    half = np.ascontiguousarray(group[::2, ::2])
    pictures = [group, np.ascontiguousarray(group[:, ::-1]), half, np.zeros_like(group), group[:300]]
    workers = Workers(2)
    batched = replace(pack.detector, model=replace(pack.detector.model, read=reader(4), batch=4))
    try:
        alone = pack.detector.detect(pictures, workers)
        together = batched.detect(pictures, workers)
    finally:
        workers.close()
    for one, many in zip(alone, together, strict=True):
        assert np.allclose(one.boxes, many.boxes, atol=0.01)
        assert np.allclose(one.landmarks, many.landmarks, atol=0.01)
        assert np.allclose(one.scores, many.scores, atol=TOLERANCE)
    assert [len(found.boxes) for found in together][:4] == [6, 6, 6, 0]


def test_a_picture_gives_the_faces_that_its_full_square_gives(pack: Pack, group: Image) -> None:
    pictures = [group[:rows, :columns] for rows, columns in ((536, 900), (700, 900), (512, 780), (600, 491))]
    workers = Workers(2)
    try:
        covered = pack.detector.detect(pictures, workers)
        full = replace(pack.detector, full=True).detect(pictures, workers)
    finally:
        workers.close()
    for found, in_square in zip(covered, full, strict=True):
        one, square = (faces.where(faces.scores > 0.5) for faces in (found, in_square))
        assert len(one.boxes) == len(square.boxes) > 0
        assert np.allclose(one.boxes, square.boxes, atol=3)
        assert np.allclose(one.landmarks, square.landmarks, atol=3)


def test_the_detectors_graph_gives_every_hint() -> None:
    assert CANDIDATE_SCORE == HINT_SCORE


def test_gpu_batches_of_crowds_give_the_same_faces(analyzer: Analyzer, models_path: Any) -> None:
    """All models at once, occlusion too, over frames of several sizes with 0 to 40 faces."""
    batched = in_batches(Analyzer.load("open", models_path, device="cpu", threads=2))
    squares, rng = faces_of(analyzer), np.random.default_rng(3)
    frames = [as_frame(crowd(squares, count, rng), i) for i, count in enumerate((0, 1, MOST, 7))]
    try:
        together = batched.analyze(frames)
        alone = [analyzer.analyze([frame])[0] for frame in frames]
        logits = emotions(batched, squares) - emotions(analyzer, squares)
        of_attributes = attribute_differences(batched, analyzer, squares)
    finally:
        batched.close()
    assert [len(found.faces) for found in alone][:2] == [0, 1] and len(alone[2].faces) >= 30
    most = differences(alone, together) | of_attributes
    assert most.keys() >= {"embedding", "occlusion", "sharpness", "angles", "age", "male", "box"}
    for name, difference in most.items():  # boxes, angles and ages are rounded to hundredths
        hundredths = name in ("box", "landmarks", "angles", "age", "age_low", "age_high")
        assert difference <= (0.0101 if hundredths else TOLERANCE), name
    assert np.abs(logits).max() < 1e-3


def test_emotions_in_a_batch(pack: Pack, analyzer: Analyzer, group: Image) -> None:
    assert pack.emotion is not None
    portraits = [
        np.ascontiguousarray(group[y : y + 200, x : x + 200]) for x, y in ((20, 230), (700, 310), (430, 240))
    ]
    workers = Workers(1)
    try:
        together = workers.start(replace(pack.emotion, batch=4), portraits)()
    finally:
        workers.close()
    assert together == analyzer.emotions(portraits)


def test_the_detectors_canvas_follows_the_shorter_side(pack: Pack) -> None:
    def size(height: int, width: int, **changes: Any) -> int:
        return replace(pack.detector, **changes).size_for(np.zeros((height, width, 3), np.uint8))

    assert [size(360, 640), size(500, 500), size(1500, 4000), size(1501, 4000)] == [320, 640, 640, 640]
    assert [size(499, 900), size(499, 1280)] == [320, 320]
    assert [size(1500, 4000, largest=1024), size(1501, 4000, largest=1024)] == [640, 1024]
    assert size(100, 100, fixed=640) == 640


@pytest.mark.skipif(
    "CUDAExecutionProvider" in __import__("onnxruntime").get_available_providers(), reason="CUDA is there"
)
def test_cuda_is_refused_where_there_is_none() -> None:
    with pytest.raises(DeviceUnavailable, match="INSIGHTFACE_DEVICE"):
        choose_device("cuda")
    with pytest.raises(DeviceUnavailable, match="INSIGHTFACE_TENSORRT is fp16"):
        choose_device("auto", TensorRT("fp16", Path("engines")))
    assert not choose_device("auto").gpu


def test_a_damaged_graph_is_named(models_path: Any, tmp_path: Any) -> None:
    broken = tmp_path / "fr_pose.onnx"
    broken.write_bytes((ensure("open", models_path) / "fr_pose.onnx").read_bytes()[:-5000])
    with pytest.raises(ModelsUnavailable, match=r"fr_pose\.onnx.*faces models verify"):
        open_session(broken, choose_device("cpu"))


def test_a_silent_fall_back_to_the_cpu_is_an_error(models_path: Any) -> None:
    """A session that was to run on CUDA and says that it does not."""
    session = open_session(ensure("open", models_path) / "fr_pose.onnx", Device("cpu", False))
    check_session(session, Device("auto", True))
    with pytest.raises(DeviceUnavailable, match="could not start CUDA"):
        check_session(session, Device("cuda", True))


def test_tensorrt_engines_are_stored_by_model_file_and_release(tmp_path: Path) -> None:
    """ONNX Runtime would load an engine built from other weights."""
    first, second = tmp_path / "model.onnx", tmp_path / "other" / "model.onnx"
    second.parent.mkdir()
    first.write_bytes(b"weights")
    second.write_bytes(b"other weights")
    half = Device("cuda", True, TensorRT("fp16", tmp_path / "engines"))
    single = Device("cuda", True, TensorRT("fp32", tmp_path / "engines"))

    (tensorrt, options), (cuda, _), cpu = half.providers(first)
    assert [tensorrt, cuda, cpu] == [TENSORRT, CUDA, CPU]
    assert options["trt_fp16_enable"] == 1 and single.providers(first)[0][1]["trt_fp16_enable"] == 0
    folder = Path(options["trt_engine_cache_path"])
    assert folder.is_dir() and folder.is_relative_to(tmp_path / "engines")
    assert onnxruntime.__version__ in folder.name
    assert half.providers(second)[0][1]["trt_engine_cache_path"] != str(folder)
    assert half.providers(first)[0][1] == options


def test_engines_that_cannot_be_stored_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"weights")
    (tmp_path / "engines").write_bytes(b"a file")
    with pytest.raises(DeviceUnavailable, match="INSIGHTFACE_ENGINES_CACHE"):
        Device("cuda", True, TensorRT("fp32", tmp_path / "engines")).providers(tmp_path / "model.onnx")


def test_a_silent_fall_back_from_tensorrt_is_an_error(models_path: Any) -> None:
    session = open_session(ensure("open", models_path) / "fr_pose.onnx", Device("cpu", False))
    with pytest.raises(DeviceUnavailable, match="could not start TensorRT"):
        check_session(session, Device("auto", True, TensorRT("fp32", Path("engines"))))
