"""Measures a 3-minute film through the whole service, beside a plain loop and beside the limit of the cores.

    python -m tests.bench.whole_path [VIDEO] [--minutes 3] [--pairs 3] [--pack open]

The plain loop is straightforward code: one process that decodes every frame on all cores and analyses one in two
seconds, its faces on all cores. The limit is the processor time of decoding every frame and of the models, each
measured alone, shared out over the cores without a gap. All run in turn; `by_clock` compares seconds (on a machine
that does nothing else), `by_processor` the processor time of all processes together (which others disturb less).
"""

import argparse
import statistics
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import av

from facecore.analyzer import Analyzer, FrameInput
from facecore.video import Interval, open_source
from tests.bench.measure import (
    CORES,
    MODELS,
    Processes,
    Spent,
    clip,
    difference,
    looks,
    looped,
    machine,
    plainly,
    quiet,
    report,
    running,
    spent,
)
from tests.inputs import video_file
from tests.integration.client import Service

INTERVAL_SECONDS = 2.0
BATCH = 8


def plain_loop(film: Path, analyzer: Analyzer) -> int:
    """Returns the faces that a straightforward loop finds."""
    faces, due = 0, 0.0
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for frame in container.decode(stream):
            if frame.time is not None and frame.time >= due:
                image = frame.to_ndarray(format="bgr24")
                faces, due = faces + plainly(analyzer, image, 0), due + INTERVAL_SECONDS
    return faces


def decoded(film: Path) -> Spent:
    """Decodes every frame and does nothing else."""
    with spent() as taken, av.open(str(film)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for _ in container.decode(stream):
            pass
    return taken()


def inferred(film: Path, analyzer: Analyzer) -> Spent:
    """Runs the models alone over the frames that the service samples, in its batches."""
    with closing(open_source(film, Interval(INTERVAL_SECONDS), max_pixels=10**9)) as source:
        inputs = [FrameInput(frame.index, frame.timestamp, frame.image, None) for frame in source]
    with spent() as taken:
        for start in range(0, len(inputs), BATCH):
            analyzer.analyze(inputs[start : start + BATCH])
    return taken()


def served(service: Service, processes: Processes, film: Path, number: int) -> tuple[Spent, dict[str, Any]]:
    with spent(processes.all_cpu) as taken:
        result = service.analyze(
            {"video_path": str(film), "job_id": f"bench-{number}", "parameters": {"cache_duration": 0}}
        )
    return taken(), result


def middle(runs: list[Spent]) -> Spent:
    return Spent(statistics.median(run.wall for run in runs), statistics.median(run.cpu for run in runs))


def figures_of(run: Spent) -> dict[str, float]:
    return {"seconds": round(run.wall, 2), "processor_seconds": round(run.cpu, 2)}


def measure(video: Path, folder: Path, minutes: float, pairs: int, pack: str) -> dict[str, Any]:
    film = looped(video, folder, minutes=minutes)
    analyzer = Analyzer.load(pack, MODELS, device="cpu", threads=CORES)
    runs: dict[str, list[Spent]] = {"plain": [], "decoding": [], "models": [], "service": []}
    results: list[dict[str, Any]] = []
    with running(folder / "service", INSIGHTFACE_MODEL=pack) as service:
        processes = Processes(service)
        before = processes.cpu_by_type()
        for number in range(pairs):
            with spent() as taken:
                plain_faces = plain_loop(film, analyzer)
            runs["plain"].append(taken())
            run, result = served(service, processes, film, number)
            runs["service"].append(run)
            results.append(result)
            runs["decoding"].append(decoded(film))
            runs["models"].append(inferred(film, analyzer))
        by_type = difference(processes.cpu_by_type(), before)
        memory = processes.most_memory()
    analyzer.close()
    medians = {name: middle(found) for name, found in runs.items()}
    service_run, plain = medians["service"], medians["plain"]
    least = medians["decoding"].cpu + medians["models"].cpu
    frames = results[0]["metadata"]["frames_processed"]
    pairs_of = list(zip(runs["plain"], runs["service"], strict=True))
    return {
        "film": looks(film),
        "pack": pack,
        "frames": frames,
        "faces": {"plain": plain_faces, "service": results[0]["metadata"]["total_detections"]},
        "runs": {name: figures_of(run) for name, run in medians.items()},
        "jobs_per_minute": round(60 / service_run.wall, 2),
        "frames_per_second": round(frames / service_run.wall, 2),
        "times_plain_loop": {
            "by_clock": round(statistics.median(p.wall / s.wall for p, s in pairs_of), 2),
            "by_processor": round(statistics.median(p.cpu / s.cpu for p, s in pairs_of), 2),
        },
        "of_the_limit": {
            "by_clock": round(least / CORES / service_run.wall, 2),
            "by_processor": round(least / service_run.cpu, 2),
        },
        "service_processor_seconds_a_job": {name: round(value / pairs, 2) for name, value in by_type.items()},
        "service_most_megabytes": memory,
        "plain_processor_seconds": [round(run.cpu, 2) for run in runs["plain"]],
        "service_processor_seconds": [round(run.cpu, 2) for run in runs["service"]],
        "plain_seconds": [round(run.wall, 2) for run in runs["plain"]],
        "service_seconds": [round(run.wall, 2) for run in runs["service"]],
        "plain_over_service": round(plain.wall / service_run.wall, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("video", type=video_file, nargs="?")
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--pack", default="open")
    given = parser.parse_args()
    quiet()
    where = machine()
    with tempfile.TemporaryDirectory() as folder:
        video = given.video or clip("nggyup_720p.mp4", Path(folder))
        report(measure(video, Path(folder), given.minutes, given.pairs, given.pack), where)


if __name__ == "__main__":
    main()
