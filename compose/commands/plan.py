"""``faces plan``: how many workers of each stage a load needs, by simulation with measured service times."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from compose.arguments import Commands, number, output_options
from compose.terminal import print_json

if TYPE_CHECKING:  # only needed to plan
    from compose.capacity.load import Arrivals, Load, Stage
    from compose.capacity.search import Plan


def register(commands: Commands) -> None:
    """Adds ``faces plan``."""
    parser = commands.add_parser(
        "plan", help="how many workers of each stage a load needs", parents=[output_options()]
    )
    parser.add_argument("--jobs-per-hour", type=number(1e-4, 1e9), required=True, metavar="N")
    parser.add_argument(
        "--minutes", type=number(1e-4, 1e6), required=True, metavar="M", help="length of a film"
    )
    parser.add_argument(
        "--interval", type=number(0.1, 86_400), default=2.0, metavar="S",
        help="seconds between samples (default 2)",
    )  # fmt: skip
    parser.add_argument(
        "--faces", type=number(0, 1000), default=2.0, metavar="N",
        help="faces in a frame, on average (default 2)",
    )  # fmt: skip
    parser.add_argument(
        "--arrivals", choices=("steady", "poisson", "burst"), default="poisson",
        help="at equal distances, at random (default), or all jobs of an hour at once",
    )  # fmt: skip
    parser.add_argument(
        "--gpu", type=number(0.01, 1e6), metavar="FPS",
        help="frames/s of an analyze worker on its GPU, as measured by python -m tests.bench.gpu",
    )  # fmt: skip
    parser.add_argument(
        "--cores", type=number(0.1, 1024), default=2.0, metavar="N",
        help="cores of an analyze worker (default 2)",
    )  # fmt: skip
    parser.add_argument(
        "--within", type=number(1, 1000), default=4.0, metavar="TIMES", dest="slowdown",
        help="95 %% of the jobs take at most TIMES as long as one alone (default 4)",
    )  # fmt: skip
    parser.add_argument(
        "--times", type=Path, metavar="FILE", help="service times of python -m tests.bench.service_times"
    )
    parser.set_defaults(run=run)


def run(
    jobs_per_hour: float,
    minutes: float,
    interval: float,
    faces: float,
    arrivals: "Arrivals",
    gpu: float | None,
    cores: float,
    slowdown: float,
    times: Path | None,
    as_json: bool,
) -> int:
    """Prints the plan; returns the exit status."""
    from compose.capacity.load import SERVICE_TIMES, Film, Load, PlanError, read_times
    from compose.capacity.search import plan

    film = Film(minutes=minutes, interval=interval, faces=faces)
    load = Load(jobs_per_hour=jobs_per_hour, film=film, arrivals=arrivals)
    per_worker: dict[Stage, float] = {"frames": 1.0, "analyze": 1.0 if gpu else cores, "finalize": 1.0}
    try:
        found = plan(load, read_times(times or SERVICE_TIMES, gpu), per_worker, slowdown)
    except PlanError as error:
        sys.stderr.write(f"faces plan: {error}\n")
        return 1
    if as_json:
        print_json(found)
    else:
        _print(found, load)
    return 0


def _print(found: "Plan", load: "Load") -> None:
    from rich.console import Console
    from rich.table import Table

    film, console = load.film, Console()
    table = Table(box=None, header_style="underline")
    for name in ("stage", "workers", "cores", "busy"):
        table.add_column(name, justify="left" if name == "stage" else "right")
    for stage, workers in found.workers.items():
        table.add_row(stage, str(workers), f"{found.cores[stage]:g}", f"{100 * found.busy[stage]:.0f} %")
    console.print(
        f"{load.jobs_per_hour:g} jobs an hour of {film.minutes:g} min, {film.frames} frames each",
        highlight=False,
    )
    console.print(table)
    console.print(
        f"Time of a job: {found.turnaround_p50:g} s median, {found.turnaround_p95:g} s 95th percentile"
        f" (of which waiting: {found.wait_p95:g} s), {found.alone:g} s alone.\n"
        f"Frames in the server: {found.frames_megabytes:g} MB at most.\nService times: {found.times}",
        highlight=False,
    )
