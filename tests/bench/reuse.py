"""Measures requests on a source that was analysed before, and a film of slides.

    python -m tests.bench.reuse [VIDEO] [--minutes 3] [--pairs 3]

Of each film, in turn: a job that neither keeps nor uses anything (`cache_duration: 0`), the first one that keeps what
it sees, then requests with another threshold, with higher demands on detections, and with half the interval. Then the
jobs are deleted, and what was kept with them. `of_fresh` compares the processor time of all processes with
that of the job that keeps nothing. `equal` says whether all results are those of jobs that use nothing.
"""

import argparse
import statistics
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from compose.demo import SHOTS, make_video
from consumers.reuse import picture_name
from tests.bench.measure import Processes, Spent, clip, looks, looped, machine, quiet, report, running, spent
from tests.inputs import video_file
from tests.integration.client import Service, without_times

INTERVAL_SECONDS = 2.0
SECONDS_PER_SLIDE = 12
PICTURE_BYTES = 100_000
"""Of a 720p frame between the stages."""
REQUESTS: dict[str, dict[str, Any]] = {
    "first": {},
    "other_threshold": {"embedding_similarity_threshold": 0.7},
    "detections": {"min_confidence": 0.9, "detect_demographics": False, "max_faces": 3},
    "half_the_interval": {"sampling_interval": INTERVAL_SECONDS / 2},
}


def slides(out: Path) -> Path:
    """Writes a film of pictures that stand still."""
    import insightface

    photograph = Path(insightface.__file__).parent / "data" / "images" / "t1.jpg"
    make_video(photograph, out, [(first, first) for first, _ in SHOTS for _ in range(SECONDS_PER_SLIDE // 2)])
    return out


def asked(
    service: Service, processes: Processes, film: Path, **parameters: Any
) -> tuple[Spent, dict[str, Any]]:
    wanted = {"sampling_interval": INTERVAL_SECONDS, "library": "", **parameters}
    with spent(processes.all_cpu) as taken:
        result = service.analyze({"video_path": str(film), "parameters": wanted})
    return taken(), result


def requests(service: Service, processes: Processes, film: Path, pairs: int) -> dict[str, Any]:
    runs: defaultdict[str, list[Spent]] = defaultdict(list)
    reused, equal = {}, []
    for _ in range(pairs):
        runs["fresh"].append(asked(service, processes, film, cache_duration=0)[0])
        jobs = []
        for name, parameters in REQUESTS.items():
            run, result = asked(service, processes, film, **parameters)
            runs[name].append(run)
            metadata = result["metadata"]
            reused[name] = f"{metadata['reused_frames']} of {metadata['frames_processed']}"
            jobs.append(result)
        for job in jobs:
            service.delete(f"/faces/jobs/{job['job_id']}")
    for name, result in zip(REQUESTS, jobs, strict=True):
        _, fresh = asked(service, processes, film, **REQUESTS[name], cache_duration=0)
        equal.append(without_times(fresh) == without_times(result))
    fresh_cpu = statistics.median(run.cpu for run in runs["fresh"])
    return {
        "film": looks(film),
        "seconds": {name: [round(run.wall, 2) for run in some] for name, some in runs.items()},
        "processor_seconds": {name: [round(run.cpu, 2) for run in some] for name, some in runs.items()},
        "of_fresh": {
            name: round(statistics.median(run.cpu for run in some) / fresh_cpu, 3)
            for name, some in runs.items()
        },
        "reused_frames": reused,
        "equal": all(equal),
    }


def naming() -> float:
    """Returns the microseconds that the name of a picture takes."""
    picture, count = bytes(PICTURE_BYTES), 1000
    began = time.process_time()
    for _ in range(count):
        picture_name("0" * 16, 10**8, None, picture)
    return round(1e6 * (time.process_time() - began) / count, 1)


def measure(video: Path, folder: Path, minutes: float, pairs: int) -> dict[str, Any]:
    film = looped(video, folder, minutes=minutes)
    with running(folder / "service") as service:
        processes = Processes(service)
        return {
            "film": requests(service, processes, film, pairs),
            "slides": requests(service, processes, slides(folder / "slides.mp4"), pairs),
            "microseconds_to_name_a_picture": naming(),
        }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("video", type=video_file, nargs="?")
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--pairs", type=int, default=3)
    given = parser.parse_args()
    quiet()
    where = machine()
    with tempfile.TemporaryDirectory() as folder:
        video = given.video or clip("nggyup_720p.mp4", Path(folder))
        report(measure(video, Path(folder), given.minutes, given.pairs), where)


if __name__ == "__main__":
    main()
