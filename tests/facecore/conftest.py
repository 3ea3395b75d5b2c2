"""Photographs, and an analyzer for each kind of pack."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from facecore.align import Image
from facecore.analyzer import Analyzer, FrameInput
from schemas.observations import FrameFaces

Look = Callable[[Image], FrameFaces]


@pytest.fixture(scope="session")
def analyzer(models_path: Path) -> Iterator[Analyzer]:
    """The open pack on the CPU."""
    loaded = Analyzer.load("open", models_path, device="cpu", threads=2)
    yield loaded
    loaded.close()


@pytest.fixture(scope="session")
def scrfd_root(models_path: Path, shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of models with a pack as InsightFace makes them: a SCRFD detector and an ArcFace-like embedder."""
    root = tmp_path_factory.mktemp("root")
    pack = root / "models" / "scrfd"
    pack.mkdir(parents=True)
    shutil.copy(shared_data / "models" / "scrfd_2.5g_kps.onnx", pack)
    shutil.copy(models_path / "models" / "open" / "fr_feature.onnx", pack)
    return root


@pytest.fixture(scope="session")
def zoo_analyzer(scrfd_root: Path) -> Iterator[Analyzer]:
    """That pack, opened by InsightFace's model zoo."""
    loaded = Analyzer.load("scrfd", scrfd_root, device="cpu", threads=2)
    yield loaded
    loaded.close()


@pytest.fixture(scope="session")
def group(group_photograph: Path) -> Image:
    return read(group_photograph)


@pytest.fixture(scope="session")
def look(analyzer: Analyzer) -> Look:
    return lambda image: analyzer.analyze([as_frame(image)])[0]


def as_frame(image: Image, index: int = 0, min_confidence: float | None = None) -> FrameInput:
    return FrameInput(index, index * 0.5, image, min_confidence)


def read(file: Path) -> Image:
    image = cv2.imread(str(file))
    assert image is not None, file
    return np.asarray(image, np.uint8)
