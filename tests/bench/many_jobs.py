"""Measures 200 clips at once with 1 to 4 analyze workers, short jobs beside a long one, one caller beside another,
memory over time.

    python -m tests.bench.many_jobs [VIDEO] [--jobs 200] [--workers 1,2,3,4] [--busy-jobs 1000] [--soak-minutes 2]

All workers share the cores of this machine, so more of them cannot be faster than the cores are: `times_one_worker`
near 1 means that more workers cost nothing. `fairness` compares the 95th percentile of short jobs, sent one by one,
while a long film is analysed and without it. `callers` compares that of a job of a minute while another caller has a
thousand clips waiting and without these: a job that comes alone, and (`in_a_row`) jobs of which each is sent when the
one before has ended, so that both callers have work all the time and each gets half of the turns. The soak sends clip
after clip and watches the memory of every process; 0 minutes leave it out.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from redis import Redis

from schemas.names import Names
from tests.bench.measure import (
    Processes,
    clip,
    difference,
    finished,
    looks,
    looped,
    machine,
    quiet,
    report,
    running,
    spent,
)
from tests.inputs import video_file
from tests.integration.client import Service
from tests.waiting import eventually

TIMEOUT_SECONDS = 1800.0
SHORT_JOBS = 20
MINUTE_JOBS = 20
LONG_MINUTES = 10
LONG_INTERVAL = 0.5
JOBS_BETWEEN = 64
"""Jobs of the other caller, of a frame each, that end from one job that comes alone to the next: as many turns as its
frames and their credit (`schemas.store.fair_queue.FRAMES_CREDIT`) together."""
SOAK_CONCURRENT_JOBS = 8
MAX_MEMORY_GROWTH = 0.05
"""Share by which memory may differ between the second and the last quarter of the soak and count as steady."""
MIN_QUARTERS = 4
"""Looks at the memory, at least, that say whether it is steady."""


def copies(video: Path, folder: Path, count: int) -> list[Path]:
    """Links the clip under as many names, so that no job is answered from the cache."""
    folder.mkdir()
    named = [folder / f"{number}{video.suffix}" for number in range(count)]
    named[0].write_bytes(video.read_bytes())
    for other in named[1:]:
        os.link(named[0], other)
    return named


def submit(service: Service, video: Path, job_id: str, tenant: str = "bench", **parameters: Any) -> None:
    service.submit(
        {
            "video_path": str(video),
            "job_id": job_id,
            "tenant": tenant,
            "parameters": {"cache_duration": 0, **parameters},
        }
    )


def crowd(folder: Path, clips: list[Path], workers: int) -> dict[str, Any]:
    """Submits all clips at once and waits for the last."""
    with running(folder / f"workers-{workers}", "--scale", f"analyze={workers}") as service:
        submit(service, clips[0], "warm-up", sampling_interval=3.3)
        finished(service, TIMEOUT_SECONDS)
        processes = Processes(service)
        before = processes.cpu_by_type()
        with spent(processes.all_cpu) as taken:
            for number, file in enumerate(clips):
                submit(service, file, f"crowd-{number}")
            finished(service, TIMEOUT_SECONDS)
        run = taken()
        frames = sum(
            service.result(f"crowd-{n}")["metadata"]["frames_processed"] for n in range(0, len(clips), 20)
        )
        return {
            "analyze_workers": workers,
            "seconds": round(run.wall, 2),
            "jobs_per_minute": round(60 * len(clips) / run.wall, 1),
            "processor_seconds_a_job": round(run.cpu / len(clips), 4),
            "jobs_per_minute_a_core": round(60 * len(clips) / run.cpu, 1),
            "frames_a_job": frames / len(range(0, len(clips), 20)),
            "processor_seconds": difference(processes.cpu_by_type(), before),
            "most_megabytes": processes.most_memory(),
        }


def short_jobs(service: Service, clips: list[Path], name: str) -> list[float]:
    """Returns the seconds from request to end of jobs sent one after another."""
    taken = []
    with Redis.from_url(service.redis_url) as redis:
        for number, file in enumerate(clips):
            began = time.perf_counter()
            submit(service, file, f"{name}-{number}")
            record = Names().job(f"{name}-{number}").metadata
            eventually(lambda record=record: redis.hexists(record, "ended"), TIMEOUT_SECONDS)  # type: ignore[misc]
            taken.append(time.perf_counter() - began)
    return taken


def fairness(folder: Path, clips: list[Path], film: Path) -> dict[str, Any]:
    with running(folder / "fairness") as service:
        submit(service, clips[0], "warm-up", sampling_interval=3.3)
        finished(service, TIMEOUT_SECONDS)
        alone = short_jobs(service, clips[:SHORT_JOBS], "alone")
        submit(service, film, "long", sampling_interval=LONG_INTERVAL)
        with Redis.from_url(service.redis_url) as redis:
            eventually(lambda: redis.hlen(Names().job("long").outcomes) > 20, TIMEOUT_SECONDS)
            beside = short_jobs(service, clips[SHORT_JOBS : 2 * SHORT_JOBS], "beside")
            done = int(redis.hlen(Names().job("long").outcomes))
            ended = bool(redis.hexists(Names().job("long").metadata, "ended"))
        service.post("/faces/jobs/long/cancel", {})
    return {
        **compared(alone, beside),
        "long_job_ended_meanwhile": ended,
        "long_job_frames_meanwhile": done,
    }


def callers(folder: Path, clips: list[Path], film: Path, busy_jobs: int) -> dict[str, Any]:
    """Compares the jobs of a caller beside none, and beside as many jobs of another caller."""
    sent = 0
    with running(folder / "callers") as service, Redis.from_url(service.redis_url) as redis:

        def fill() -> None:
            nonlocal sent
            for _ in range(busy_jobs - int(redis.zcard(Names().active))):
                submit(service, clips[sent % len(clips)], f"busy-{sent}", "busy")
                sent += 1

        def ended() -> int:
            return sent - int(redis.zcard(Names().active))

        submit(service, clips[0], "warm-up", sampling_interval=3.3)
        finished(service, TIMEOUT_SECONDS)
        alone = short_jobs(service, [film] * MINUTE_JOBS, "quiet-alone")
        beside = list[float]()
        for number in range(MINUTE_JOBS):
            fill()
            until = min(sent, ended() + JOBS_BETWEEN)
            beside += short_jobs(service, [film], f"quiet-beside-{number}")
            eventually(lambda until=until: ended() >= until, TIMEOUT_SECONDS)  # type: ignore[misc]
        fill()
        row = short_jobs(service, [film] * MINUTE_JOBS, "quiet-row")
        left = int(redis.zcard(Names().active))
    return {
        **compared(alone, beside),
        "in_a_row": compared(alone, row),
        "jobs_of_the_other_caller": busy_jobs,
        "of_these_left_at_the_end": left,
    }


def compared(alone: list[float], beside: list[float]) -> dict[str, float]:
    return {
        "alone_p95_seconds": round(p95(alone), 2),
        "beside_p95_seconds": round(p95(beside), 2),
        "alone_median_seconds": round(statistics.median(alone), 2),
        "beside_median_seconds": round(statistics.median(beside), 2),
        "times_alone": round(p95(beside) / p95(alone), 2),
    }


def p95(values: list[float]) -> float:
    return sorted(values)[int(0.95 * (len(values) - 1))]


def soak(folder: Path, clips: list[Path], minutes: float) -> dict[str, Any]:
    """Samples memory while clips are submitted without a pause."""
    with running(folder / "soak") as service, Redis.from_url(service.redis_url) as redis:
        processes, until, sent = Processes(service), time.monotonic() + 60 * minutes, 0
        seen, look = list[dict[str, float]](), time.monotonic()
        while time.monotonic() < until:
            while int(redis.zcard(Names().active)) < SOAK_CONCURRENT_JOBS:
                submit(
                    service, clips[sent % len(clips)], f"soak-{sent}", sampling_interval=0.5 + sent % 7 * 0.1
                )
                sent += 1
            if time.monotonic() >= look:
                seen.append(processes.memory())
                look += max(2.0, minutes * 60 / 60)
            time.sleep(0.05)
        finished(service, TIMEOUT_SECONDS)
        return {
            "minutes": minutes,
            "jobs": sent,
            **growth(seen),
            "most_megabytes": processes.most_memory(),
            "analyze_megabytes": [round(s["analyze"]) for s in seen],
            "server_dead_letters": int(redis.xlen(Names().dead)),
        }


def growth(seen: list[dict[str, float]]) -> dict[str, Any]:
    """Compares the memory of processes early and late; empty when it was looked at too rarely."""
    quarter = len(seen) // MIN_QUARTERS
    if not quarter:
        return {}
    early = {n: statistics.median(s[n] for s in seen[quarter : 2 * quarter]) for n in seen[0]}
    late = {n: statistics.median(s[n] for s in seen[-quarter:]) for n in seen[0]}
    return {
        "second_quarter_megabytes": early,
        "last_quarter_megabytes": late,
        "steady": {name: late[name] <= (1 + MAX_MEMORY_GROWTH) * early[name] + 2 for name in early},
    }


def measure(
    video: Path, folder: Path, jobs: int, workers: list[int], busy_jobs: int, soak_minutes: float
) -> dict[str, Any]:
    clips = copies(video, folder / "clips", max(jobs, 2 * SHORT_JOBS))
    rows = [crowd(folder, clips[:jobs], count) for count in workers]
    return {
        "film": looks(video),
        "jobs": jobs,
        "crowds": rows,
        "times_one_worker": {
            "by_clock": [round(rows[0]["seconds"] / row["seconds"], 2) for row in rows],
            "by_processor": [
                round(rows[0]["processor_seconds_a_job"] / row["processor_seconds_a_job"], 2) for row in rows
            ],
        },
        "fairness": fairness(folder, clips, looped(video, folder, minutes=LONG_MINUTES)),
        "callers": callers(folder, clips, looped(video, folder, minutes=1), busy_jobs),
        **({"soak": soak(folder, clips, soak_minutes)} if soak_minutes > 0 else {}),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("video", type=video_file, nargs="?")
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--workers", default="1,2,3,4")
    parser.add_argument("--busy-jobs", type=int, default=1000)
    parser.add_argument("--soak-minutes", type=float, default=2.0)
    given = parser.parse_args()
    quiet()
    where = machine()
    workers = [int(count) for count in given.workers.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        video = given.video or clip("asl_student_manA.mkv", Path(folder))
        report(measure(video, Path(folder), given.jobs, workers, given.busy_jobs, given.soak_minutes), where)


if __name__ == "__main__":
    main()
