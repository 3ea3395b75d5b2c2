"""Measures latencies: first frame after a cold and a warm start, a cached result, a short clip end to end.

    python -m tests.bench.starts [VIDEO] [--pairs 7]

`short_clip.more_than_models_seconds` is the clip's time from the request to the completed job less the time of the
models alone over the same frames, measured beside it; `cached.milliseconds` is from the request to the whole result
is read: submit, status until completed, result.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from redis import Redis

from facecore.analyzer import Analyzer, FrameInput
from facecore.people import BEST_SHOTS
from facecore.portraits import FaceInPortrait, aspect
from facecore.video import Interval, open_source
from schemas.names import Names
from tests.bench.measure import CORES, MODELS, clip, looks, machine, quiet, report, running, spent
from tests.inputs import video_file
from tests.integration.client import Service

INTERVAL_SECONDS = 2.0
POLL_SECONDS = 0.002
TIMEOUT_SECONDS = 120.0
COLD_STARTS = 2


def until(look: Callable[[], object]) -> float:
    """Returns the seconds until the condition is true."""
    began = time.perf_counter()
    while not look():
        assert time.perf_counter() - began < TIMEOUT_SECONDS
        time.sleep(POLL_SECONDS)
    return time.perf_counter() - began


def fresh(video: Path, job_id: str) -> dict[str, Any]:
    """Returns a request that neither reads nor writes the cache."""
    return {"video_path": str(video), "job_id": job_id, "parameters": {"cache_duration": 0}}


def first_frame(service: Service, video: Path, job_id: str) -> float:
    """Returns the seconds from the request to the first outcome of a frame."""
    with Redis.from_url(service.redis_url) as redis:
        outcomes = Names().job(job_id).outcomes
        began = time.perf_counter()
        service.submit(fresh(video, job_id))
        until(lambda: redis.exists(outcomes))
        taken = time.perf_counter() - began
    service.wait_for_end(job_id)
    return taken


def whole_job(service: Service, video: Path, job_id: str) -> tuple[float, int]:
    """Returns the seconds from the request to the end of the job, and its number of people."""
    with Redis.from_url(service.redis_url) as redis:
        metadata = Names().job(job_id).metadata
        began = time.perf_counter()
        service.submit(fresh(video, job_id))
        until(lambda: redis.hexists(metadata, "ended"))
        taken = time.perf_counter() - began
    return taken, len(service.result(job_id)["faces"])


def cached(service: Service, video: Path, job_id: str) -> float:
    """Returns the seconds from the request to the result of a job answered from the cache."""
    began = time.perf_counter()
    service.submit({"video_path": str(video), "job_id": job_id})
    until(lambda: service.get(f"/faces/jobs/{job_id}/status").json["status"] == "completed")
    service.result(job_id)
    taken = time.perf_counter() - began
    assert service.get(f"/faces/jobs/{job_id}/status").json["cached"]
    return taken


def models_alone(analyzer: Analyzer, video: Path, people: int) -> float:
    """Returns the seconds of the models over the clip's frames in one batch and over the people's best shots."""
    with closing(open_source(video, Interval(INTERVAL_SECONDS), max_pixels=10**9)) as source:
        inputs = [FrameInput(frame.index, frame.timestamp, frame.image, None) for frame in source]
    with spent() as taken:
        found = analyzer.analyze(inputs)
        faces = [
            FaceInPortrait(analyzer.portrait(inputs[f.index].image, face), aspect(face))
            for f in found
            for face in f.faces
        ]
        assert len(faces) >= people
        analyzer.emotions([face.image for face in faces[:people]])
        analyzer.attributes(faces[: people * BEST_SHOTS])
    return taken().wall


def measure(video: Path, folder: Path, pairs: int) -> dict[str, Any]:
    cold, ready = [], []
    for number in range(COLD_STARTS):
        began = time.perf_counter()
        with running(folder / f"cold-{number}") as service:
            ready.append(time.perf_counter() - began)
            cold.append(ready[-1] + first_frame(service, video, "first"))
    analyzer = Analyzer.load("open", MODELS, device="cpu", threads=CORES)
    warm, short, models, answers = [], [], [], []
    with running(folder / "warm") as service:
        service.analyze({"video_path": str(video), "job_id": "to-be-cached"})
        for number in range(pairs):
            warm.append(first_frame(service, video, f"warm-{number}"))
            seconds, people = whole_job(service, video, f"short-{number}")
            short.append(seconds)
            models.append(models_alone(analyzer, video, people))
            answers.append(cached(service, video, f"cached-{number}"))
    analyzer.close()
    more = [whole - alone for whole, alone in zip(short, models, strict=True)]
    return {
        "film": looks(video),
        "cold": {
            "seconds_to_ready": round(statistics.median(ready), 2),
            "seconds_to_first_frame": round(statistics.median(cold), 2),
        },
        "warm": {"seconds_to_first_frame": round(statistics.median(warm), 3)},
        "cached": {
            "milliseconds": round(1000 * statistics.median(answers), 1),
            "milliseconds_at_best": round(1000 * min(answers), 1),
        },
        "short_clip": {
            "seconds": round(statistics.median(short), 3),
            "models_seconds": round(statistics.median(models), 3),
            "more_than_models_seconds": round(statistics.median(more), 3),
            "more_than_models_seconds_at_best": round(min(more), 3),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("video", type=video_file, nargs="?")
    parser.add_argument("--pairs", type=int, default=7)
    given = parser.parse_args()
    quiet()
    where = machine()
    with tempfile.TemporaryDirectory() as folder:
        video = given.video or clip("hamilton_9s.mp4", Path(folder))
        report(measure(video, Path(folder), given.pairs), where)


if __name__ == "__main__":
    main()
