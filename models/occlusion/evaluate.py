"""Evaluates an occlusion classifier on a folder: ``python -m models.occlusion.evaluate --data DIR --json``.

Needs onnxruntime, not torch. ``--model`` accepts any ONNX file of the same interface: (N, 3, 224, 224) RGB,
normalised for ImageNet → (N, 2) logits, class 1 occluded.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from models.occlusion.data import Crop, load, normalised, read_folder

SHIPPED = Path(__file__).parent / "occlusion_resnet18.onnx"
BATCH = 32
TIMED_FACES, MIN_TIMED_RUNS = 40, 5
"""The latency is the median of this many runs or more, which together process at least this many faces."""


class Classifier:
    """An ONNX classifier on the CPU.

    Raises:
        ValueError: ONNX Runtime cannot open the file.
    """

    def __init__(self, file: Path = SHIPPED) -> None:
        options = onnxruntime.SessionOptions()
        # Spinning threads would take cores from working ones on a shared machine.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                str(file), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime has a dozen exception classes without a common base
            raise ValueError(f"{file} cannot be opened: {error}") from error
        self._input = self._session.get_inputs()[0].name

    def logits(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns the logits, (N, 3, 224, 224) → (N, 2)."""
        outputs: Any = self._session.run(None, {self._input: samples})
        return np.asarray(outputs[0], np.float32)

    def probabilities(self, samples: NDArray[np.float32]) -> NDArray[np.float64]:
        """Returns the probability of class 1, 0-1: (N, 3, 224, 224) → (N,)."""
        logits = self.logits(samples).astype(np.float64)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(powers[:, 1] / powers.sum(axis=1), np.float64)


def evaluate(file: Path, crops: Sequence[Crop]) -> dict[str, Any]:
    """Returns the accuracy of a model on crops, its file size and its time per face."""
    classifier = Classifier(file)
    probabilities = [
        classifier.probabilities(normalised(np.stack([load(crop) for crop in crops[start : start + BATCH]])))
        for start in range(0, len(crops), BATCH)
    ]
    return {
        **figures(crops, np.concatenate(probabilities)),
        "latency_ms_per_face": {str(batch): _latency(classifier, batch) for batch in (1, BATCH)},
        "model": {"file": file.name, "bytes": file.stat().st_size},
    }


def figures(crops: Sequence[Crop], probabilities: NDArray[np.float64]) -> dict[str, Any]:
    """Returns rates, 0-1, at the threshold 0.5; balanced accuracy is the mean of the two classes' rates."""
    predicted = probabilities > 0.5
    truth = np.array([crop.occluded for crop in crops])
    kinds = sorted({crop.kind for crop in crops if crop.occluded})
    hits = {kind: predicted[[crop.kind == kind for crop in crops]] for kind in kinds}
    found, alarms = float(predicted[truth].mean()), float(predicted[~truth].mean())
    return {
        "faces": {"clean": int((~truth).sum()), "occluded": int(truth.sum())},
        "accuracy": round(float((predicted == truth).mean()), 4),
        "balanced_accuracy": round((found + 1 - alarms) / 2, 4),
        "true_positive_rate": round(found, 4),
        "false_alarm_rate": round(alarms, 4),
        "by_type": {
            kind: {"faces": len(hit), "true_positive_rate": round(float(hit.mean()), 4)}
            for kind, hit in hits.items()
        },
    }


def _latency(classifier: Classifier, batch: int) -> float:
    """Returns milliseconds a face of the network alone, on all available cores."""
    samples = np.zeros((batch, 3, 224, 224), np.float32)
    classifier.logits(samples)
    times = []
    for _ in range(max(MIN_TIMED_RUNS, TIMED_FACES // batch)):
        start = perf_counter()
        classifier.logits(samples)
        times.append(perf_counter() - start)
    return round(float(np.median(times)) * 1000 / batch, 2)


def _printed(found: dict[str, Any]) -> str:
    lines = [
        f"{found['faces']['clean']} clean and {found['faces']['occluded']} occluded faces",
        f"accuracy            {found['accuracy']:.2%}",
        f"balanced accuracy   {found['balanced_accuracy']:.2%}",
        f"false alarms        {found['false_alarm_rate']:.2%}",
    ]
    lines += [
        f"found, {kind:<12} {of['true_positive_rate']:.2%} of {of['faces']}"
        for kind, of in found["by_type"].items()
    ]
    lines += [
        f"batch {batch:<2}            {ms} ms a face" for batch, ms in found["latency_ms_per_face"].items()
    ]
    return "\n".join(lines)


def main() -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description="Accuracy of an occlusion classifier, by type of occlusion.")
    parser.add_argument("--data", type=Path, required=True, help="folder with clean/* and occluded/<type>_*")
    parser.add_argument("--model", type=Path, default=SHIPPED, help="ONNX file (default: the one shipped)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args()
    try:
        found = evaluate(args.model, read_folder(args.data))
    except ValueError as error:
        parser.error(str(error))
    print(json.dumps(found, indent=2) if args.json else _printed(found))


if __name__ == "__main__":
    main()
