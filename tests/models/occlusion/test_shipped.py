"""The classifier in the repository, on faces that it was not trained on."""

import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from models.occlusion.evaluate import SHIPPED, Classifier

pytestmark = pytest.mark.timeout(900)  # seconds on an idle machine, minutes on a busy one


@pytest.fixture(scope="module")
def found(shared_data: Path) -> dict[str, object]:
    folder = shared_data / "occlusion" / "val"
    done = subprocess.run(
        [sys.executable, "-m", "models.occlusion.evaluate", "--data", str(folder), "--json"],
        capture_output=True, timeout=880, check=True,
    )  # fmt: skip
    report: dict[str, object] = msgspec.json.decode(done.stdout)
    return report


def test_accuracy_on_occluded_and_free_faces(found: dict[str, float]) -> None:
    assert found["balanced_accuracy"] >= 0.97
    assert found["false_alarm_rate"] <= 0.03


def test_every_type_of_occluder_is_found(found: dict[str, dict[str, dict[str, float]]]) -> None:
    rates = {kind: of["true_positive_rate"] for kind, of in found["by_type"].items()}
    assert rates["mask"] >= 0.98 and rates["sunglasses"] >= 0.96 and rates["hand"] >= 0.92, rates


def test_a_batch_equals_single_faces() -> None:
    classifier = Classifier()
    samples = np.random.default_rng(1).normal(0, 1, (5, 3, 224, 224)).astype(np.float32)
    single = np.concatenate([classifier.logits(sample[None]) for sample in samples])
    assert np.abs(classifier.logits(samples) - single).max() < 1e-4


def test_it_is_small_enough_for_the_repository() -> None:
    assert SHIPPED.stat().st_size < 10e6


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "models.occlusion.evaluate", "--data", str(tmp_path)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and "expected clean" in done.stderr and "Traceback" not in done.stderr


def test_a_file_that_is_no_picture_is_named(tmp_path: Path) -> None:
    for name in ("clean/one.jpg", "occluded/hand_1.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"no picture")
    done = subprocess.run(
        [sys.executable, "-m", "models.occlusion.evaluate", "--data", str(tmp_path)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2 and "one.jpg as a picture" in done.stderr and "Traceback" not in done.stderr
