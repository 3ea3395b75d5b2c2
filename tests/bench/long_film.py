"""Measures memory and cost per frame over a film of two hours: both must stay level.

    python -m tests.bench.long_film [VIDEO] [--minutes 120] [--interval 4]

A small clip is looped to the length. Memory of every process and of Redis is sampled meanwhile; the CPU time per
frame is compared between the second and the last fifth of the frames. One frames worker samples the
parts of the film one after another.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from redis import Redis

from schemas.names import Names
from tests.bench.measure import Processes, clip, looks, looped, machine, quiet, report, running
from tests.inputs import video_file
from tests.integration.client import Service

JOB = "long"
SAMPLE_SECONDS = 1.0
TIMEOUT_SECONDS = 3600.0
FIFTHS = 5


def watched(service: Service, film: Path, interval: float) -> list[dict[str, Any]]:
    """Samples progress, CPU time and memory from the start of the job to its end."""
    processes, names = Processes(service), Names()
    keys, seen = names.job(JOB), list[dict[str, Any]]()
    service.submit(
        {
            "video_path": str(film),
            "job_id": JOB,
            "parameters": {"sampling_interval": interval, "cache_duration": 0},
        }
    )
    until = time.monotonic() + TIMEOUT_SECONDS
    with Redis.from_url(service.redis_url) as redis:
        while True:
            ended = redis.hexists(keys.metadata, "ended")
            used: Any = redis.info("memory")
            if not ended:
                seen.append(
                    {
                        "at": time.monotonic(),
                        "done": int(redis.hlen(keys.outcomes)),
                        "cpu": processes.cpu_by_type(),
                        "megabytes": processes.memory(),
                        "server_data_megabytes": used["used_memory"] / 1e6,
                    }
                )
            else:
                return seen
            assert time.monotonic() < until, "the film takes too long"
            time.sleep(SAMPLE_SECONDS)


def costs(seen: list[dict[str, Any]]) -> list[dict[str, float]]:
    """Returns CPU milliseconds per frame of each fifth of the film, by process type."""
    last, found = seen[-1]["done"], []
    for fifth in range(FIFTHS):
        part = [s for s in seen if last * fifth / FIFTHS <= s["done"] <= last * (fifth + 1) / FIFTHS]
        if not part or part[-1]["done"] == part[0]["done"]:
            raise SystemExit("the film is too short to compare its fifths: give more --minutes")
        frames = part[-1]["done"] - part[0]["done"]
        each = {
            name: 1000 * (part[-1]["cpu"][name] - part[0]["cpu"][name]) / frames for name in part[0]["cpu"]
        }
        found.append(
            {**{name: round(value, 2) for name, value in each.items()}, "all": round(sum(each.values()), 2)}
        )
    return found


def measure(video: Path, folder: Path, minutes: float, interval: float) -> dict[str, Any]:
    film = looped(video, folder, minutes=minutes)
    with running(folder / "service") as service:
        seen = watched(service, film, interval)
        metadata = service.result(JOB)["metadata"]
        most = Processes(service).most_memory()
        aof = sum(file.stat().st_size for file in (folder / "service").rglob("*.aof"))
    fifths = costs(seen)
    middle = [s for s in seen if seen[-1]["done"] * 0.2 <= s["done"] <= seen[-1]["done"] * 0.4]
    late = [s for s in seen if seen[-1]["done"] * 0.8 <= s["done"]]
    return {
        "film": looks(film),
        "frames": metadata["frames_processed"],
        "faces": metadata["total_detections"],
        "seconds": round(seen[-1]["at"] - seen[0]["at"], 1),
        "milliseconds_a_frame_by_fifth": fifths,
        "last_fifth_times_second": round(fifths[-1]["all"] / fifths[1]["all"], 3),
        "most_megabytes": most,
        "megabytes_last_fifth_times_second": {
            name: round(
                statistics.median(s["megabytes"][name] for s in late)
                / statistics.median(s["megabytes"][name] for s in middle),
                3,
            )
            for name in most
        },
        "server_data_most_megabytes": round(max(s["server_data_megabytes"] for s in seen), 1),
        "server_append_only_megabytes": round(aof / 1e6, 1),
        "over_time": {
            "done": [s["done"] for s in seen],
            "server_data_megabytes": [round(s["server_data_megabytes"], 1) for s in seen],
            "analyze_megabytes": [round(s["megabytes"]["analyze"]) for s in seen],
            "frames_megabytes": [round(s["megabytes"]["frames"]) for s in seen],
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("video", type=video_file, nargs="?")
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--interval", type=float, default=4.0)
    given = parser.parse_args()
    quiet()
    where = machine()
    with tempfile.TemporaryDirectory() as folder:
        video = given.video or clip("carphone_176.mp4", Path(folder))
        report(measure(video, Path(folder), given.minutes, given.interval), where)


if __name__ == "__main__":
    main()
