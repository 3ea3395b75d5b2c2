"""Measures how much batching changes the numbers of a face: ``python -m tests.eval.batches [--frames 12] [--pack
open]``.

The same frames, of several sizes and with 0 to 40 faces, go through the pack's models one sample at a time and in the
batches that a GPU gets, on the CPU. Prints JSON: the largest difference of every number, by what it is. A face in a
full batch, in a padded one and alone should be the same face: differences are those of float32 sums in another order.
"""

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import structlog

from facecore import attributes, embedding, occlusion, pose, sharpness
from facecore.analyzer import Analyzer, FrameInput
from facecore.attributes import FaceAttributes
from facecore.detection import centerface, scrfd
from facecore.model import Model
from facecore.portraits import FaceInPortrait
from facecore.vectors import from_bytes, unit
from schemas.cgroups import usable_cores
from schemas.observations import FrameFaces
from tests.eval.collages import MOST, crowd, faces_of


def in_batches(analyzer: Analyzer) -> Analyzer:
    """The analyzer, its models in the batches of a GPU where their graphs take any."""
    pack = analyzer._pack
    detector = pack.detector.model
    if detector.batch == 1 and not isinstance(detector.session.get_inputs()[0].shape[0], int):
        wide = centerface.GPU_BATCH if pack.name == "open" else scrfd.GPU_BATCH
        read = centerface.reader(wide) if pack.name == "open" else scrfd.reader(0.4, wide)
        detector = replace(detector, batch=wide, read=read)
    analyzer._pack = replace(
        pack,
        detector=replace(pack.detector, model=detector),
        embedder=wider(pack.embedder, embedding.GPU_BATCH),
        pose=wider(pack.pose, pose.GPU_BATCH),
        attributes=tuple(wider(model, attributes.GPU_BATCH) for model in pack.attributes),
        emotion=wider(pack.emotion, attributes.EMOTION_GPU_BATCH),
    )
    analyzer._occlusion = wider(analyzer._occlusion, occlusion.GPU_BATCH)
    analyzer._sharpness = wider(analyzer._sharpness, sharpness.GPU_BATCH)
    return analyzer


def wider(model: Any, batch: int) -> Any:
    """The model in batches of this size, if it takes any size; None for None."""
    if not isinstance(model, Model) or isinstance(model.session.get_inputs()[0].shape[0], int):
        return model
    return replace(model, batch=batch)


def differences(one: list[FrameFaces], other: list[FrameFaces]) -> dict[str, float]:
    """Largest difference of every number of the faces; of embeddings, of the vectors of length 1.

    Raises:
        ValueError: the two have not the same number of faces in every frame.
    """
    if [len(frame.faces) for frame in one] != [len(frame.faces) for frame in other]:
        raise ValueError("a batch finds other faces than single frames")
    most: dict[str, float] = {}
    pairs = [(a, b) for x, y in zip(one, other, strict=True) for a, b in zip(x.faces, y.faces, strict=True)]
    for a, b in pairs:
        values = {name: (getattr(a, name), getattr(b, name)) for name in FIELDS}
        values["embedding"] = unit(from_bytes([a.embedding, b.embedding]).astype(np.float64))
        values["occlusion"] = (a.occlusion_probability, b.occlusion_probability)
        values["sharpness"] = (a.quality.sharpness, b.quality.sharpness)
        values["angles"] = (msgspec.structs.astuple(a.angles), msgspec.structs.astuple(b.angles))
        for name, (x, y) in values.items():
            if x is not None:
                difference = float(np.abs(np.subtract(x, y, dtype=np.float64)).max())
                most[name] = max(most.get(name, 0.0), difference)
    return most


FIELDS = ("box", "confidence", "landmarks")


def emotions(analyzer: Analyzer, pictures: list[Any]) -> Any:
    """Probabilities as logits, (n, 7), with the analyzer's batch; None without a model."""
    model = analyzer._pack.emotion
    if model is None:
        return None
    logits = replace(model, read=lambda outputs: list(outputs[0]))
    return np.array(analyzer._workers.start(logits, pictures)())


def attribute_differences(one: Analyzer, other: Analyzer, pictures: list[Any]) -> dict[str, float]:
    """Largest difference of each attribute that the packs estimate, of pictures as portraits."""
    faces = [FaceInPortrait(picture, 0.8) for picture in pictures]
    values = [np.array(analyzer.attributes(faces), np.float64) for analyzer in (one, other)]
    most = np.abs(values[0] - values[1]).max(axis=0)
    return {n: float(v) for n, v in zip(FaceAttributes._fields, most, strict=True) if not np.isnan(v)}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--pack", default="open")
    arguments = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout is the report's
    models = Path(os.environ.get("INSIGHTFACE_MODELS_CACHE", "~/.insightface")).expanduser()
    single, batched = (
        Analyzer.load(arguments.pack, models, device="cpu", threads=usable_cores()) for _ in range(2)
    )
    in_batches(batched)
    faces, rng = faces_of(single), np.random.default_rng(1)
    counts = np.linspace(0, MOST, arguments.frames).round().astype(int)
    frames = [FrameInput(i, 0.0, crowd(faces, n, rng), None) for i, n in enumerate(counts)]
    alone = [single.analyze([frame])[0] for frame in frames]
    most = differences(alone, batched.analyze(frames)) | attribute_differences(single, batched, faces)
    one, many = emotions(single, faces), emotions(batched, faces)
    if one is not None:
        most["emotion (logits)"] = float(np.abs(one - many).max())
    found = {
        "faces": [len(frame.faces) for frame in alone],
        "models": single.describe().models,
        "largest_difference": {name: float(f"{value:.2g}") for name, value in most.items()},
    }
    print(msgspec.json.format(msgspec.json.encode(found)).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
