"""Searches the smallest fleet that carries a load: a greedy search over simulated fleets."""

import math
from collections.abc import Mapping, Sequence

import msgspec

from compose.capacity.load import STAGES, Load, PlanError, ServiceTimes, Stage, arrivals_of, demand
from compose.capacity.simulation import Fleet, Outcome, simulate
from schemas.settings import Settings

MAX_UTILIZATION = 0.8
"""Share of its cores that a stage may use: above it, waits grow steeply when jobs arrive irregularly."""
SIMULATED_JOBS = 200
"""Jobs of a simulation: enough for a 95th percentile."""
MAX_WORKERS_PER_STAGE = 10_000
MAX_SEARCH_STEPS = 60


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The fleet that a load needs, and what the simulation measured on it.

    Attributes:
        workers, cores: of each stage.
        busy: share of those cores in use.
        wait_p95, turnaround_p50, turnaround_p95: seconds.
        alone: seconds that one such job takes on this fleet without another.
        frames_megabytes: of frames in the server, at most.
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


def plan(load: Load, times: ServiceTimes, cores: Mapping[Stage, float], slowdown: float) -> Plan:
    """Finds a small fleet that uses at most `MAX_UTILIZATION` of any stage's cores on average, and on which 95 % of
    the jobs take at most ``slowdown`` times as long as one alone.

    Begins with the workers that the average demand needs; then adds a tenth (at least one worker) to the busiest
    stage until the fleet is fast enough. A job alone is one on the same fleet, so that no job is faster.

    Args:
        cores: of one worker of each stage.

    Raises:
        PlanError: no fleet of reasonable size is enough.
    """
    if load.film.frames > (most := Settings().max_frames):
        raise PlanError(
            f"a film of {load.film.frames:,} frames; the limit is {most:,} (FACES_MAX_FRAMES): a longer --interval"
        )
    needs = demand(times, load.film)
    workers: dict[Stage, int] = {
        stage: max(1, math.ceil(load.jobs_per_hour / 3600 * needs[stage] / (MAX_UTILIZATION * cores[stage])))
        for stage in STAGES
    }
    if max(workers.values()) > MAX_WORKERS_PER_STAGE:
        raise PlanError(f"this load needs {max(workers.values()):,} workers of one stage")
    fleet = Fleet(workers=workers, cores=cores, threads=max(1, math.floor(cores["analyze"])))
    arrivals = arrivals_of(load, SIMULATED_JOBS)
    for _ in range(MAX_SEARCH_STEPS):
        fleet = msgspec.structs.replace(fleet, workers=workers)
        alone = simulate(times, fleet, [(0.0, load.film)]).turnaround[0]
        outcome = simulate(times, fleet, arrivals)
        if _quantile(outcome.turnaround, 0.95) <= slowdown * alone:
            return _plan(workers, cores, outcome, alone, times)
        busiest = max(STAGES, key=lambda stage: outcome.utilization[stage])
        workers = {**workers, busiest: workers[busiest] + max(1, workers[busiest] // 10)}
    raise PlanError(
        f"{workers} are not enough for {slowdown:g} times the time of one job; allow more with --within"
    )


def _plan(
    workers: Mapping[Stage, int],
    cores: Mapping[Stage, float],
    outcome: Outcome,
    alone: float,
    times: ServiceTimes,
) -> Plan:
    return Plan(
        workers={str(stage): count for stage, count in workers.items()},
        cores={stage: workers[stage] * cores[stage] for stage in STAGES},
        busy={stage: round(outcome.utilization[stage], 2) for stage in STAGES},
        wait_p95=round(_quantile(outcome.waits, 0.95), 1),
        turnaround_p50=round(_quantile(outcome.turnaround, 0.5), 1),
        turnaround_p95=round(_quantile(outcome.turnaround, 0.95), 1),
        alone=round(alone, 1),
        frames_megabytes=round(outcome.peak_frames * times.frame_bytes / 1e6, 1),
        times=times.source,
    )


def _quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
