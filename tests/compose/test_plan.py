"""The model behind `faces plan`: what must hold for any load, and plans that a reader can check by hand."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compose.capacity.load import (
    SERVICE_TIMES,
    STAGES,
    Film,
    Load,
    PlanError,
    ServiceTimes,
    arrivals_of,
    demand,
    read_times,
)  # fmt: skip
from compose.capacity.search import plan
from compose.capacity.simulation import Fleet, simulate

ONE_SECOND = ServiceTimes(
    source="made up",
    frames_job=0.1, frames_minute=0.6, frames_frame=0.01, analyze_frame=0.05, analyze_face=0.025, analyze_job=0.1,
    finalize_job=0.02, finalize_frame=0.0, rest_job=0.0, rest_frame=0.0, frame_bytes=100_000,
)  # fmt: skip
OWN_CORES = {"frames": 1.0, "analyze": 2.0, "finalize": 1.0}

counts = st.integers(1, 4)
films = st.builds(
    Film, minutes=st.floats(0.05, 20), interval=st.sampled_from([0.5, 2.0, 5.0]), faces=st.floats(0, 5)
)
fleets = st.builds(
    lambda frames, analyze, finalize, shared: Fleet(
        workers={"frames": frames, "analyze": analyze, "finalize": finalize}, cores=OWN_CORES, shared=shared
    ),
    counts, counts, counts, st.one_of(st.none(), st.floats(0.5, 16)),
)  # fmt: skip
crowds = st.lists(st.tuples(st.floats(0, 100), films), min_size=1, max_size=12).map(
    lambda jobs: sorted(jobs, key=lambda job: job[0])
)


def work(times: ServiceTimes, film: Film) -> float:
    return sum(demand(times, film).values())


@given(fleet=fleets, arrivals=crowds)
@settings(deadline=None, max_examples=30)
def test_every_job_ends_and_no_stage_does_more_than_its_cores_can(fleet: Fleet, arrivals: list) -> None:
    outcome = simulate(ONE_SECOND, fleet, arrivals)
    assert len(outcome.turnaround) == len(arrivals)
    assert all(0 <= wait <= whole for wait, whole in zip(outcome.waits, outcome.turnaround, strict=True))
    assert all(0 < busy <= 1 + 1e-6 for busy in outcome.utilization.values())
    total = sum(work(ONE_SECOND, film) for _, film in arrivals)
    if fleet.shared is not None:
        assert outcome.makespan >= total / fleet.shared - 1e-6
        assert sum(outcome.utilization.values()) * outcome.makespan * fleet.shared == pytest.approx(total)
    for (_, film), whole in zip(arrivals, outcome.turnaround, strict=True):
        needs = demand(ONE_SECOND, film)
        samplers = fleet.shared or fleet.workers["frames"]  # parts of a film may keep all shared cores busy
        assert whole >= needs["frames"] / samplers - 1e-6
        assert whole >= needs["analyze"] / 2 / fleet.workers["analyze"] - 1e-6


@given(fleet=fleets, arrivals=crowds, factor=st.sampled_from([0.25, 0.5, 2.0, 8.0]))
@settings(deadline=None, max_examples=30)
def test_work_that_takes_longer_by_a_factor_makes_all_times_longer_by_it(
    fleet: Fleet, arrivals: list, factor: float
) -> None:
    """By powers of two, which floats multiply by exactly: what ends at the same time still does."""
    slower = msgspec.structs.replace(
        ONE_SECOND,
        **{name: factor * getattr(ONE_SECOND, name) for name in ONE_SECOND.__struct_fields__
           if isinstance(getattr(ONE_SECOND, name), float)},
    )  # fmt: skip
    once = simulate(ONE_SECOND, fleet, arrivals)
    scaled = simulate(slower, fleet, [(at * factor, film) for at, film in arrivals])
    assert scaled.turnaround == pytest.approx(tuple(factor * t for t in once.turnaround), rel=1e-3, abs=1e-3)


@given(film=films, load=st.floats(1, 400))
@settings(deadline=None, max_examples=8)
def test_a_plan_keeps_its_promises(film: Film, load: float) -> None:
    found = plan(Load(jobs_per_hour=load, film=film), ONE_SECOND, OWN_CORES, slowdown=6.0)
    needs = demand(ONE_SECOND, film)
    assert found.alone - 0.1 <= found.turnaround_p50 <= found.turnaround_p95 <= 6.0 * found.alone + 0.6
    for stage in STAGES:
        assert found.workers[stage] * OWN_CORES[stage] * 3600 >= load * needs[stage]


def test_one_job_by_hand() -> None:
    """A frame alone: opening, decoding and encoding it, looking at it, finalize, emotions, finalize."""
    film = Film(minutes=0.01, faces=2.0)
    fleet = Fleet(workers=dict.fromkeys(STAGES, 1), cores=OWN_CORES, threads=1)
    whole = 0.1 + 0.6 * 0.01 + 0.01 + (0.05 + 2 * 0.025) + 0.1 + 0.02
    assert simulate(ONE_SECOND, fleet, [(0.0, film)]).turnaround[0] == pytest.approx(whole)


def test_more_cores_share_a_crowd_until_something_else_is_full() -> None:
    """Analysis is most of the work: twice the workers take half the time, until the frames worker is the limit."""
    crowd = [(0.0, Film(minutes=1.0, faces=8.0))] * 40

    def seconds(workers: int) -> float:
        fleet = Fleet(workers={"frames": 1, "analyze": workers, "finalize": 1}, cores=OWN_CORES)
        return simulate(ONE_SECOND, fleet, crowd).makespan

    one, two, many = seconds(1), seconds(2), seconds(32)
    assert two == pytest.approx(one / 2, rel=0.1)
    least = 40 * demand(ONE_SECOND, crowd[0][1])["frames"]
    assert least <= many <= 1.2 * least


def test_a_long_film_is_sampled_by_as_many_workers_as_there_are() -> None:
    """Decoding is all the work; a film of one part is one worker's, whatever their number."""
    decoding = msgspec.structs.replace(ONE_SECOND, frames_minute=60.0, analyze_frame=0.0, analyze_face=0.0)

    def seconds(workers: int, minutes: float) -> float:
        fleet = Fleet(workers={"frames": workers, "analyze": 1, "finalize": 1}, cores=OWN_CORES)
        return simulate(decoding, fleet, [(0.0, Film(minutes=minutes))]).makespan

    assert seconds(4, 60) == pytest.approx(seconds(1, 60) / 4, rel=0.1)
    assert seconds(4, 5) == pytest.approx(seconds(1, 5))


def test_jobs_that_come_all_at_once_wait_longest() -> None:
    film = Film(minutes=2.0)
    waits = {}
    for pattern in ("steady", "poisson", "burst"):
        load = Load(jobs_per_hour=600, film=film, arrivals=pattern)
        fleet = Fleet(workers=dict.fromkeys(STAGES, 1), cores=OWN_CORES)
        waits[pattern] = sum(simulate(ONE_SECOND, fleet, arrivals_of(load, 100)).turnaround)
    assert waits["steady"] <= waits["poisson"] <= waits["burst"]


def test_a_fleet_that_cannot_be_is_refused() -> None:
    with pytest.raises(PlanError, match="workers of one stage"):
        plan(Load(jobs_per_hour=10**9, film=Film(minutes=90)), ONE_SECOND, OWN_CORES, slowdown=4.0)
    with pytest.raises(PlanError, match="FACES_MAX_FRAMES"):
        plan(Load(jobs_per_hour=1, film=Film(minutes=10**6)), ONE_SECOND, OWN_CORES, slowdown=4.0)
    with pytest.raises(ValueError, match="every stage needs a worker"):
        simulate(ONE_SECOND, Fleet(workers={**dict.fromkeys(STAGES, 1), "analyze": 0}, cores=OWN_CORES), [])


def test_the_command_plans_with_the_times_that_are_shipped_and_with_a_gpu(tmp_path: Path) -> None:
    def faces_plan(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "compose.cli", "plan", "--jobs-per-hour", "60", "--minutes", "10"]
        return subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)

    planned = msgspec.json.decode(faces_plan("--json").stdout)
    assert planned["times"] == read_times(SERVICE_TIMES).source
    assert planned["turnaround_p50"] >= planned["alone"], "no job is faster than one alone"
    assert planned["workers"]["analyze"] >= 1 and all(share <= 0.85 for share in planned["busy"].values())
    with_gpu = msgspec.json.decode(faces_plan("--gpu", "200", "--json").stdout)
    assert with_gpu["workers"]["analyze"] == 1 and "200 frames/s" in with_gpu["times"]
    rare = msgspec.json.decode(faces_plan("--jobs-per-hour", "0.0001", "--minutes", "1", "--json").stdout)
    assert set(rare["workers"].values()) == {1}, "a clock of years is coarse, and goes on"
    for option in ("--faces=-1", "--faces=nan", "--jobs-per-hour=many", "--within=0.5", "--cores=1e9"):
        refused = faces_plan(option)
        assert refused.returncode == 2 and "is not a number from" in refused.stderr
    missing = faces_plan("--times", str(tmp_path / "none.json"))
    assert missing.returncode == 1 and "none.json" in missing.stderr


def test_one_job_beside_a_thousand_of_another_caller_takes_at_most_twice_its_time_alone() -> None:
    """The 95th percentile of 20 such jobs, one after the other; the other caller has clips, or films in parts."""
    fleet = Fleet(workers=dict.fromkeys(STAGES, 1), cores=OWN_CORES, shared=2.0)
    job = Film(minutes=1.0)
    alone = simulate(ONE_SECOND, fleet, [(0.0, job)]).turnaround[0]
    for minutes, count in ((0.15, 1000), (12.0, 100)):
        crowd = [(0.0, Film(minutes=minutes), "busy")] * count
        beside = [(5.0 + 10.0 * n, job, "quiet") for n in range(20)]
        outcome = simulate(ONE_SECOND, fleet, [*crowd, *beside])
        taken = sorted(outcome.turnaround[count:])
        assert taken[18] <= 2.0 * alone, f"{taken} s beside films of {minutes} min, {alone:.1f} s alone"
        assert outcome.makespan > 5.0 + 10.0 * 20, "the other caller has work all the time"
        first_come = [(at, film) for at, film, *_ in [*crowd, *beside]]
        assert max(simulate(ONE_SECOND, fleet, first_come).turnaround[count:]) > 5.0 * alone, "without turns"
