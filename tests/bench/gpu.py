"""Compares GPU and CPU: same results, frames a second, GPU memory.

    python -m tests.bench.gpu VIDEO [--frames 128] [--pack open] [--batches 1,2,4,8,16,32] [--tensorrt fp16]

Prints JSON: the providers that the sessions use; per batch size the frames a second, and their ratio to the
CPU's in the same run; the memory of the card after each; the largest differences over all faces between the two
devices, and on the device between frames in the largest batch and one by one. Ends with status 1 when other faces are
found, or the cosine of two embeddings is below `MIN_EMBEDDING_COSINE`; with 2 without CUDA. ``--device cpu``
runs the same steps without a GPU. ``--tensorrt fp16`` verifies half precision: the CPU calculates in float32.
"""

import argparse
import platform
import shutil
import statistics
import subprocess
import sys
import time
from contextlib import closing
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Literal

import msgspec
import onnxruntime
import structlog

from facecore.analyzer import Analyzer, FrameInput
from facecore.device import TensorRT
from facecore.errors import DeviceUnavailable
from facecore.geometry import iou
from facecore.vectors import cosine
from facecore.video import Interval, open_source
from schemas.cgroups import usable_cores
from schemas.observations import FrameFaces, ObservedFace
from schemas.settings import Settings
from tests.inputs import video_file

MIN_EMBEDDING_COSINE = 0.999
"""Least cosine similarity of the same face's embeddings: float32 on the CPU, whatever the device calculates in."""
SAME_FACE_MIN_IOU = 0.9
"""Least intersection over union."""
MAX_PIXELS = 100_000_000


def frames_of(video: Path, count: int) -> list[FrameInput]:
    """Returns so many frames; a short film is repeated."""
    with closing(open_source(video, Interval(0.5), max_pixels=MAX_PIXELS)) as decoded:
        images = [frame.image for frame in islice(decoded, count)]
    return [FrameInput(i, float(i), image, None) for i, image in enumerate(islice(cycle(images), count))]


def run(analyzer: Analyzer, frames: list[FrameInput], batch: int) -> tuple[list[FrameFaces], float]:
    """Returns the faces of each frame, and frames a second."""
    found, began = list[FrameFaces](), time.perf_counter()
    for start in range(0, len(frames), batch):
        found += analyzer.analyze(frames[start : start + batch])
    return found, len(frames) / (time.perf_counter() - began)


def card_memory() -> int | None:
    """Returns the MiB in use on the first GPU, or None without nvidia-smi."""
    if shutil.which("nvidia-smi") is None:
        return None
    listed = subprocess.run(
        ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"],
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    return int(listed.stdout.split()[0])


def compare(one: list[FrameFaces], other: list[FrameFaces]) -> dict[str, float]:
    """Returns the largest differences of faces in the same place, and the number of faces without a match."""
    pairs = list[tuple[ObservedFace, ObservedFace]]()
    alone = 0
    for a, b in zip(one, other, strict=True):
        matched = [(x, y) for x in a.faces for y in b.faces if iou(x.box, y.box) >= SAME_FACE_MIN_IOU]
        pairs += matched
        alone += len(a.faces) + len(b.faces) - 2 * len(matched)
    cosines = [cosine(x.embedding, y.embedding) for x, y in pairs]
    return {
        "faces": len(pairs),
        "faces_on_one_side_only": alone,
        "least_embedding_cosine": min(cosines, default=1.0),
        "most_box_pixels": max(
            (abs(p - q) for x, y in pairs for p, q in zip(x.box, y.box, strict=True)), default=0.0
        ),
        "most_confidence": max((abs(x.confidence - y.confidence) for x, y in pairs), default=0.0),
        "most_yaw_degrees": max((abs(x.angles.yaw - y.angles.yaw) for x, y in pairs), default=0.0),
        "most_occlusion": max(
            (abs((x.occlusion_probability or 0.0) - (y.occlusion_probability or 0.0)) for x, y in pairs),
            default=0.0,
        ),
    }


def measure(
    device: Literal["cpu", "cuda"],
    precision: Literal["off", "fp32", "fp16"],
    pack: str,
    video: Path,
    count: int,
    batches: list[int],
) -> dict[str, Any]:
    settings = Settings.from_env()
    models = settings.models_path
    frames = frames_of(video, count)
    cores = usable_cores()
    cpu = Analyzer.load(pack, models, device="cpu", threads=cores)
    expected, cpu_rate = run(cpu, frames, 8)
    began = time.perf_counter()
    tensorrt = None if precision == "off" else TensorRT(precision, settings.engines_path)
    analyzer = Analyzer.load(pack, models, device=device, tensorrt=tensorrt, threads=4)
    loaded = time.perf_counter() - began
    rows = []
    for batch in batches:
        run(analyzer, frames[: 2 * batch], batch)
        rate = statistics.median(run(analyzer, frames, batch)[1] for _ in range(3))
        rows.append(
            {"batch": batch, "frames_per_s": round(rate, 1), "times_cpu": round(rate / cpu_rate, 2),
             "card_mib": card_memory()}
        )  # fmt: skip
    found, _ = run(analyzer, frames, max(batches))
    alone, _ = run(analyzer, frames, 1)
    return {
        "machine": {"cpu": platform.processor() or platform.machine(), "cores": cores},
        "onnxruntime": onnxruntime.__version__,
        "providers": analyzer.describe().providers,
        "tensorrt": precision,
        "models": analyzer.describe().models,
        "load_s": round(loaded, 2),
        "cpu_frames_per_s": round(cpu_rate, 1),
        "batches": rows,
        "against_cpu": compare(expected, found),
        "batch_against_singles": compare(alone, found),
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("video", type=video_file)
    parser.add_argument("--frames", type=int, default=128)
    parser.add_argument("--pack", default="open")
    parser.add_argument("--batches", default="1,2,4,8,16,32")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--tensorrt", choices=["off", "fp32", "fp16"], default="off")
    arguments = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout is the report's
    batches = [int(size) for size in arguments.batches.split(",")]
    try:
        found = measure(
            arguments.device, arguments.tensorrt, arguments.pack, arguments.video, arguments.frames, batches
        )
    except DeviceUnavailable as error:
        parser.error(str(error))
    print(msgspec.json.format(msgspec.json.encode(found)).decode())
    compared = (found["against_cpu"], found["batch_against_singles"])
    return 0 if all(alike(differences) for differences in compared) else 1


def alike(found: dict[str, float]) -> bool:
    return found["least_embedding_cosine"] >= MIN_EMBEDDING_COSINE and not found["faces_on_one_side_only"]


if __name__ == "__main__":
    sys.exit(main())
