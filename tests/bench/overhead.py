"""Measures the CPU time per frame that streams and messages add to decoding and detection.

    python -m tests.bench.overhead [--frames 600] [--rounds 3]

A film without a face goes through the service: decoding, encoding, the detector and messages are all there is. The
service's processor time a frame, all processes and the server together, less that of decoding, of encoding and
decoding JPEG, and of the detector, each measured alone in this run, is the overhead. Idle time of the processes,
measured while nothing is to be done, is taken off.
"""

import argparse
import statistics
import tempfile
import time
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from redis import Redis

from facecore.analyzer import Analyzer, FrameInput
from facecore.video import Interval, open_source
from facecore.video.images import decode, encode
from facecore.video.picture import Image
from schemas.names import Names
from tests.bench.measure import MODELS, Processes, difference, looks, machine, quiet, report, running, spent
from tests.integration.client import Service
from tests.waiting import eventually

INTERVAL_SECONDS = 0.5
IDLE_SECONDS = 5.0
JPEG_QUALITY = 95
BATCH = 8
WIDTH, HEIGHT = 320, 192
"""Small, so that what is looked for is not the small difference of two large numbers."""


def film_without_faces(out: Path, frames: int) -> None:
    """Every picture a keyframe and a sample."""
    rng = np.random.default_rng(1)
    with av.open(str(out), "w") as container:
        stream = container.add_stream("mjpeg", rate=Fraction(2))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
        for number in range(frames):
            coarse = rng.integers(0, 255, (HEIGHT // 32, WIDTH // 32, 3), np.uint8)
            frame = av.VideoFrame.from_ndarray(coarse.repeat(32, 0).repeat(32, 1), format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, 2)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def alone(film: Path, analyzer: Analyzer) -> dict[str, float]:
    """Processor seconds of each piece of work by itself, over all frames."""
    with (
        spent() as decoding,
        closing(open_source(film, Interval(INTERVAL_SECONDS), max_pixels=10**9)) as source,
    ):
        images: list[Image] = [frame.image for frame in source]
    with spent() as encoding:
        encoded = [encode(image, JPEG_QUALITY) for image in images]
    with spent() as reading:
        pictures = [decode(picture) for picture in encoded]
    with spent() as models:
        for start in range(0, len(pictures), BATCH):
            batch = pictures[start : start + BATCH]
            analyzer.analyze([FrameInput(i, 0.0, image, None) for i, image in enumerate(batch)])
    return {
        "decoding": decoding().cpu, "encoding": encoding().cpu, "reading": reading().cpu, "models": models().cpu
    }  # fmt: skip


def through(service: Service, film: Path, job_id: str, frames: int) -> None:
    """One job, waited for at the server: asking the API again and again would cost time of its own."""
    parameters = {"sampling_interval": INTERVAL_SECONDS, "cache_duration": 0}
    service.submit({"video_path": str(film), "job_id": job_id, "parameters": parameters})
    with Redis.from_url(service.redis_url) as redis:
        eventually(lambda: redis.hexists(Names().job(job_id).metadata, "ended"), 300)
    assert service.result(job_id)["metadata"]["frames_processed"] == frames


def measure(folder: Path, frames: int, rounds: int) -> dict[str, Any]:
    film = folder / "film.avi"
    film_without_faces(film, frames)
    analyzer = Analyzer.load("open", MODELS, device="cpu", threads=1)
    work: list[dict[str, float]] = []
    whole: list[dict[str, float]] = []
    with running(folder / "service", FACES_THREADS="1") as service:
        processes = Processes(service)
        time.sleep(2)
        before = processes.cpu_by_type()
        time.sleep(IDLE_SECONDS)
        idle = {
            name: value / IDLE_SECONDS for name, value in difference(processes.cpu_by_type(), before).items()
        }
        for number in range(rounds):
            work.append(alone(film, analyzer))
            before, began = processes.cpu_by_type(), time.perf_counter()
            through(service, film, f"bench-{number}", frames)
            elapsed = time.perf_counter() - began
            used = difference(processes.cpu_by_type(), before)
            whole.append({name: used[name] - idle[name] * elapsed for name in used})
    analyzer.close()
    each = {name: 1000 * statistics.median(run[name] for run in work) / frames for name in work[0]}
    types = {name: 1000 * statistics.median(run[name] for run in whole) / frames for name in whole[0]}
    over = [
        1000 * (sum(all_.values()) - sum(one.values())) / frames
        for all_, one in zip(whole, work, strict=True)
    ]
    return {
        "film": looks(film),
        "frames": frames,
        "milliseconds_a_frame": {
            "work": {name: round(value, 2) for name, value in each.items()},
            "service": {name: round(value, 2) for name, value in types.items()},
            "overhead": round(statistics.median(over), 2),
            "overhead_of_each_round": [round(value, 2) for value in over],
        },
        "idle_milliseconds_a_second": {name: round(1000 * value, 1) for name, value in idle.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    quiet()
    where = machine()
    with tempfile.TemporaryDirectory() as folder:
        report(measure(Path(folder), given.frames, given.rounds), where)


if __name__ == "__main__":
    main()
