"""``faces plan``: how many workers of each stage a load needs, by simulation with measured service times."""

import math
import random
import sys
from pathlib import Path
from typing import Literal

import msgspec
from rich.console import Console
from rich.table import Table

from compose.simulation import STAGES, Film, Fleet, Outcome, ServiceTimes, Stage, simulate

TIMES = Path(__file__).parents[1] / "service_times.json"
"""Written by ``python -m tests.bench.service_times``."""
Arrivals = Literal["steady", "poisson", "burst"]
BUSIEST = 0.8
"""Share of its cores that a stage may use: above it, waits grow without measure when jobs come irregularly."""
JOBS = 200
"""Jobs of a simulation: enough for a 95th percentile."""
MOST_WORKERS = 10_000
MOST_STEPS = 60


class PlanError(ValueError):
    """The load cannot be planned for; the text says why."""


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs an hour, each of a film like this; `burst`: those of each hour come together at its start."""

    jobs_per_hour: float
    film: Film
    arrivals: Arrivals = "poisson"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What the load needs, and what it would be like then.

    Attributes:
        workers, cores: of each stage.
        busy: share of those cores in use.
        wait_p95, turnaround_p50, turnaround_p95: seconds.
        alone: seconds that one such job takes, without another, on workers that keep up with the load on average.
        frames_megabytes: of frames in the server, at their most.
        times: where the service times come from.
    """

    workers: dict[str, int]
    cores: dict[str, float]
    busy: dict[str, float]
    wait_p95: float
    turnaround_p50: float
    turnaround_p95: float
    alone: float
    frames_megabytes: float
    times: str


def read_times(file: Path, frames_per_second: float | None = None) -> ServiceTimes:
    """The service times; with the speed of a GPU, as ``tests.bench.gpu`` prints it, the analyze stage's are that.

    Raises:
        PlanError: the file cannot be read.
    """
    try:
        times = msgspec.json.decode(file.read_bytes(), type=ServiceTimes)
    except (OSError, msgspec.DecodeError) as error:
        raise PlanError(f"{file}: {error}") from error
    if frames_per_second is None:
        return times
    return msgspec.structs.replace(
        times,
        source=f"{times.source}; analyze: {frames_per_second:g} frames/s on a GPU, as given",
        analyze_frame=1 / frames_per_second,
        analyze_face=0.0,
    )


def arrivals_of(load: Load, count: int, seed: int = 1) -> list[tuple[float, Film]]:
    """When so many jobs come: at even distances, at random, or all of an hour's at once."""
    between, chance, now, found = 3600 / load.jobs_per_hour, random.Random(seed), 0.0, []
    for number in range(count):
        found.append((now, load.film))
        if load.arrivals == "steady":
            now += between
        elif load.arrivals == "poisson":
            now += chance.expovariate(1 / between)
        else:
            now = 3600.0 * ((number + 1) // max(1, round(load.jobs_per_hour)))
    return found


def demand(times: ServiceTimes, film: Film) -> dict[Stage, float]:
    """Processor seconds of each stage for one job."""
    frames = film.frames
    return {
        "frames": times.frames_job + times.frames_minute * film.minutes + times.frames_frame * frames,
        "analyze": times.analyze_job + frames * (times.analyze_frame + film.faces * times.analyze_face),
        "finalize": times.finalize_job + times.finalize_frame * frames,
    }


def plan(load: Load, times: ServiceTimes, cores: dict[Stage, float], within: float) -> Plan:
    """The smallest fleet found that uses at most `BUSIEST` of any stage's cores, and on which 95 % of the jobs take
    at most ``within`` times as long as one alone. Begins with what the demand needs on average, on which that time is
    taken, then gives one more worker to the stage that is busiest, until it is enough.

    Raises:
        PlanError: no fleet of reasonable size is enough.
    """
    needs = demand(times, load.film)
    workers: dict[Stage, int] = {
        stage: max(1, math.ceil(load.jobs_per_hour / 3600 * needs[stage] / (BUSIEST * cores[stage])))
        for stage in STAGES
    }
    if max(workers.values()) > MOST_WORKERS:
        raise PlanError(f"this load needs {max(workers.values())} workers of one stage")
    fleet = Fleet(workers=workers, cores=cores, threads=max(1, math.floor(cores["analyze"])))
    alone = simulate(times, fleet, [(0.0, load.film)]).turnaround[0]
    for _ in range(MOST_STEPS):
        outcome = simulate(times, msgspec.structs.replace(fleet, workers=workers), arrivals_of(load, JOBS))
        if quantile(outcome.turnaround, 0.95) <= within * alone:
            return _told(workers, cores, outcome, alone, times)
        busiest = max(STAGES, key=lambda stage: outcome.busy[stage])
        workers = {**workers, busiest: workers[busiest] + max(1, workers[busiest] // 10)}
    raise PlanError(
        f"{workers} are not enough for {within:g} times the time of one job; allow more with --within"
    )


def _told(
    workers: dict[Stage, int], cores: dict[Stage, float], outcome: Outcome, alone: float, times: ServiceTimes
) -> Plan:
    return Plan(
        workers={str(stage): count for stage, count in workers.items()},
        cores={stage: workers[stage] * cores[stage] for stage in STAGES},
        busy={stage: round(outcome.busy[stage], 2) for stage in STAGES},
        wait_p95=round(quantile(outcome.waits, 0.95), 1),
        turnaround_p50=round(quantile(outcome.turnaround, 0.5), 1),
        turnaround_p95=round(quantile(outcome.turnaround, 0.95), 1),
        alone=round(alone, 1),
        frames_megabytes=round(outcome.most_frames * times.frame_bytes / 1e6, 1),
        times=times.source,
    )


def quantile(values: tuple[float, ...], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def run(
    load: Load, file: Path, gpu: float | None, cores: dict[Stage, float], within: float, as_json: bool
) -> int:
    """Prints the plan; the exit status."""
    try:
        found = plan(load, read_times(file, gpu), cores, within)
    except PlanError as error:
        sys.stderr.write(f"faces plan: {error}\n")
        return 1
    if as_json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
    else:
        _print(found, load)
    return 0


def _print(found: Plan, load: Load) -> None:
    film, console = load.film, Console()
    table = Table(box=None, header_style="underline")
    for name in ("stage", "workers", "cores", "busy"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    for stage in STAGES:
        busy = f"{100 * found.busy[stage]:.0f} %"
        table.add_row(stage, str(found.workers[stage]), f"{found.cores[stage]:g}", busy)
    console.print(
        f"{load.jobs_per_hour:g} jobs an hour of {film.minutes:g} min, {film.frames} frames each",
        highlight=False,
    )
    console.print(table)
    console.print(
        f"A job takes {found.turnaround_p50:g} s in the middle, {found.turnaround_p95:g} s at the 95th percentile"
        f" (waiting: {found.wait_p95:g} s), {found.alone:g} s alone. Frames in the server: at most"
        f" {found.frames_megabytes:g} MB.\nService times: {found.times}",
        highlight=False,
    )
