"""Measures the costs that `faces plan` calculates with, and compares its simulation with 1 to 4 workers.

    python -m tests.bench.service_times [--jobs 60] [--workers 1,2,3,4] [--write compose/service_times.json]

Costs are processor seconds of each process type over known work: jobs of one small picture (a job), a film without
faces (a frame), one with them (a face). The check measures what a clip costs where a few of it are at work, then
sends many of it at once to 1 to 4 analyze workers and compares with the simulation, which knows when each was sent
and how many cores others left (`cores_left`, from /proc/stat).
"""

import argparse
import statistics
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from compose.capacity.load import SERVICE_TIMES, Film, ServiceTimes
from compose.capacity.simulation import Fleet, simulate
from facecore.align import Image
from facecore.analyzer import Analyzer
from facecore.people import BEST_SHOTS
from facecore.portraits import FaceInPortrait
from facecore.video import Interval, open_source
from facecore.video.images import encode
from tests.bench.many_jobs import TIMEOUT_SECONDS, copies, submit
from tests.bench.measure import (
    CORES,
    MODELS,
    TICKS_PER_SECOND,
    Processes,
    clip,
    difference,
    finished,
    looped,
    machine,
    quiet,
    report,
    running,
    spent,
)
from tests.integration.client import Service

INTERVAL_SECONDS = 2.0
PICTURES = 20
MINUTES = 2.0
CLIPS_FOR_COST = 24
"""Clips that are at work together while the cost of one is measured: by itself, with the processes falling asleep in
between, one costs up to a quarter more than in a crowd."""
SHARED_PROCESSES = ("api", "server", "enhance")


@dataclass
class Cost:
    """CPU seconds of some jobs by process type, and their numbers of frames and faces."""

    by_type: dict[str, float]
    frames: int
    faces: int

    @property
    def rest(self) -> float:
        return sum(self.by_type[name] for name in SHARED_PROCESSES)


def cost(service: Service, processes: Processes, videos: list[Path], name: str) -> Cost:
    before, frames, faces = processes.cpu_by_type(), 0, 0
    for number, video in enumerate(videos):
        submit(service, video, f"{name}-{number}")
    finished(service, TIMEOUT_SECONDS)
    used = difference(processes.cpu_by_type(), before)
    for number in range(len(videos)):
        metadata = service.result(f"{name}-{number}")["metadata"]
        frames, faces = frames + metadata["frames_processed"], faces + metadata["total_detections"]
    return Cost(used, frames, faces)


def decoding(film: Path) -> tuple[float, int]:
    """Returns CPU seconds of sampling, and bytes of an encoded sample."""
    runs = []
    for _ in range(3):
        with (
            spent() as taken,
            closing(open_source(film, Interval(INTERVAL_SECONDS), max_pixels=10**9)) as source,
        ):
            images = [frame.image for frame in source]
        runs.append(taken().cpu)
    return statistics.median(runs), sum(len(encode(image, 95)) for image in images) // len(images)


def service_times(folder: Path, source: str) -> ServiceTimes:
    empty = looped(clip("noface_cuts_720p.mp4", folder), folder, minutes=MINUTES)
    faces_folder = folder / "faces"
    faces_folder.mkdir()
    crowded = looped(clip("nggyup_720p.mp4", folder), faces_folder, minutes=MINUTES)
    picture = folder / "grey.jpg"
    picture.write_bytes(encode(np.full((192, 320, 3), 90, np.uint8), 90))
    pictures = copies(picture, folder / "pictures", PICTURES)
    analyzer = Analyzer.load("open", MODELS, device="cpu", threads=1)
    portrait: Image = np.full((256, 256, 3), 90, np.uint8)
    with spent() as person:
        for _ in range(5):
            analyzer.emotions([portrait])
            analyzer.attributes([FaceInPortrait(portrait, 1.0)] * BEST_SHOTS)
    analyzer.close()
    decoded, size = decoding(crowded)
    with running(folder / "service") as service:
        processes = Processes(service)
        small = cost(service, processes, pictures, "picture")
        none = cost(service, processes, [empty], "none")
        some = cost(service, processes, [crowded], "some")
    frame = none.by_type["analyze"] / none.frames
    people = person().cpu / 5
    job = {name: value / PICTURES for name, value in small.by_type.items()}
    return ServiceTimes(
        source=source,
        frames_job=job["frames"],
        frames_minute=decoded / MINUTES,
        frames_frame=max(0.0, some.by_type["frames"] - decoded - job["frames"]) / some.frames,
        analyze_frame=frame,
        analyze_face=max(0.0, some.by_type["analyze"] - some.frames * frame - people) / some.faces,
        analyze_job=people,
        finalize_job=job["finalize"],
        finalize_frame=max(0.0, some.by_type["finalize"] - job["finalize"]) / some.frames,
        rest_job=small.rest / PICTURES,
        rest_frame=max(0.0, some.rest - small.rest / PICTURES) / some.frames,
        frame_bytes=size,
    )


def of_clip(one: Cost) -> ServiceTimes:
    """Returns the costs of one clip, spread evenly over its frames."""
    frames = one.frames / CLIPS_FOR_COST
    return ServiceTimes(
        source="the clip among a few",
        frames_job=0.0,
        frames_minute=0.0,
        frames_frame=one.by_type["frames"] / one.frames,
        analyze_frame=one.by_type["analyze"] / one.frames,
        analyze_face=0.0,
        analyze_job=0.0,
        finalize_job=one.by_type["finalize"] / CLIPS_FOR_COST,
        finalize_frame=0.0,
        rest_job=one.rest / frames / CLIPS_FOR_COST,
        rest_frame=0.0,
        frame_bytes=0,
    )


def machine_busy() -> float:
    """Returns CPU seconds of all processes since the machine started."""
    user, nice, system, _, _, irq, softirq, *_ = (
        int(value) for value in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    )
    return (user + nice + system + irq + softirq) / TICKS_PER_SECOND


def check(folder: Path, clips: list[Path], workers: int) -> dict[str, Any]:
    """Returns measured and simulated seconds for so many workers."""
    with running(folder / f"check-{workers}", "--scale", f"analyze={workers}") as service:
        processes = Processes(service)
        submit(service, clips[0], "warm-up")
        finished(service, TIMEOUT_SECONDS)
        one = cost(service, processes, clips[1 : 1 + CLIPS_FOR_COST], "few")
        todo = clips[1 + CLIPS_FOR_COST :]
        before, ours, began, sent = machine_busy(), processes.all_cpu(), time.perf_counter(), list[float]()
        for number, file in enumerate(todo):
            sent.append(time.perf_counter() - began)
            submit(service, file, f"check-{number}")
        finished(service, TIMEOUT_SECONDS)
        elapsed = time.perf_counter() - began
        others = machine_busy() - before - (processes.all_cpu() - ours)
        crowd_cost = (processes.all_cpu() - ours) / len(todo)
    left = CORES - others / elapsed
    frames = one.frames // CLIPS_FOR_COST
    film = Film(minutes=(frames - 1) * INTERVAL_SECONDS / 60, interval=INTERVAL_SECONDS, faces=0.0)
    fleet = Fleet(
        workers={"frames": 1, "analyze": workers, "finalize": 1},
        cores={"frames": 1.0, "analyze": 1.0, "finalize": 1.0},
        shared=left,
        threads=max(1, CORES // workers),
    )
    predicted = simulate(of_clip(one), fleet, [(at, film) for at in sent]).makespan
    return {
        "analyze_workers": workers,
        "cores_left": round(left, 2),
        "measured_seconds": round(elapsed, 2),
        "predicted_seconds": round(predicted, 2),
        "measured_jobs_per_minute": round(60 * len(todo) / elapsed, 1),
        "predicted_jobs_per_minute": round(60 * len(todo) / predicted, 1),
        "predicted_over_measured": round(elapsed / predicted, 3),
        "processor_seconds_a_job": {
            "among_a_few": round((sum(one.by_type.values())) / CLIPS_FOR_COST, 3),
            "in_the_crowd": round(crowd_cost, 3),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=60)
    parser.add_argument("--workers", default="1,2,3,4")
    parser.add_argument("--write", type=Path, nargs="?", const=SERVICE_TIMES, metavar="FILE")
    given = parser.parse_args()
    quiet()
    where = machine()
    source = (
        f"tests.bench.service_times, open pack, {where['processor']}, {where['taken']} UTC,"
        f" load {where['load'][0]:g} of {CORES} cores"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        times = service_times(folder, source)
        clips = copies(
            clip("asl_student_manA.mkv", folder), folder / "clips", given.jobs + CLIPS_FOR_COST + 1
        )
        rows = [check(folder, clips, int(count)) for count in given.workers.split(",")]
    if given.write:
        rounded = {
            name: round(value, 6) if isinstance(value, float) else value
            for name, value in msgspec.to_builtins(times).items()
        }
        given.write.write_bytes(msgspec.json.format(msgspec.json.encode(rounded)) + b"\n")
    report({"service_times": msgspec.to_builtins(times), "check": rows}, where)


if __name__ == "__main__":
    main()
