"""What is planned for: films, when their jobs arrive, and the processor time that each stage needs for them."""

import random
from pathlib import Path
from typing import Literal, get_args

import msgspec

Stage = Literal["frames", "analyze", "finalize"]
STAGES: tuple[Stage, ...] = get_args(Stage)
Arrivals = Literal["steady", "poisson", "burst"]
SERVICE_TIMES = Path(__file__).parents[1] / "service_times.json"
"""Written by ``python -m tests.bench.service_times``."""


class PlanError(ValueError):
    """No plan can be made; the text says why."""


class ServiceTimes(msgspec.Struct, frozen=True, kw_only=True):
    """Processor seconds of each piece of work.

    Attributes:
        source: where the figures come from: benchmark, machine, time.
        frames_job, frames_minute, frames_frame: of the frames stage for a job, a minute of film, a sampled frame.
        analyze_frame, analyze_face, analyze_job: of the analyze stage for a frame, for a face in it, and for age,
            gender and emotion of a job's people.
        finalize_job, finalize_frame: of the finalize stage, both runs of a job together.
        rest_job, rest_frame: of the server and the API.
        frame_bytes: size of a frame that waits between the stages.
    """

    source: str
    frames_job: float
    frames_minute: float
    frames_frame: float
    analyze_frame: float
    analyze_face: float
    analyze_job: float
    finalize_job: float
    finalize_frame: float
    rest_job: float
    rest_frame: float
    frame_bytes: int


class Film(msgspec.Struct, frozen=True, kw_only=True):
    """The source of a job.

    Attributes:
        minutes: length.
        interval: seconds between samples.
        faces: in a frame, on average.
    """

    minutes: float
    interval: float = 2.0
    faces: float = 2.0

    @property
    def frames(self) -> int:
        """How many frames are sampled."""
        return max(1, int(60 * self.minutes / self.interval) + 1)


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs that arrive at a rate, all with the same film.

    Attributes:
        arrivals: ``steady``: at equal distances; ``poisson``: at random (a Poisson process); ``burst``: all jobs of
            an hour at its start.
    """

    jobs_per_hour: float
    film: Film
    arrivals: Arrivals = "poisson"


def read_times(file: Path, gpu_frames_per_second: float | None = None) -> ServiceTimes:
    """Reads service times.

    Args:
        gpu_frames_per_second: replaces the times of the analyze stage; as ``python -m tests.bench.gpu`` prints it.

    Raises:
        PlanError: the file cannot be read.
    """
    try:
        times = msgspec.json.decode(file.read_bytes(), type=ServiceTimes)
    except (OSError, msgspec.DecodeError) as error:
        raise PlanError(f"{file}: {error}") from error
    if gpu_frames_per_second is None:
        return times
    return msgspec.structs.replace(
        times,
        source=f"{times.source}; analyze: {gpu_frames_per_second:g} frames/s on a GPU, as given",
        analyze_frame=1 / gpu_frames_per_second,
        analyze_face=0.0,
    )


def arrivals_of(load: Load, count: int, seed: int = 1) -> list[tuple[float, Film]]:
    """When the first jobs arrive, in seconds, and with which film."""
    distance, generator, now = 3600 / load.jobs_per_hour, random.Random(seed), 0.0
    arrivals = []
    for number in range(count):
        arrivals.append((now, load.film))
        if load.arrivals == "steady":
            now += distance
        elif load.arrivals == "poisson":
            now += generator.expovariate(1 / distance)
        else:
            now = 3600.0 * ((number + 1) // max(1, round(load.jobs_per_hour)))
    return arrivals


def demand(times: ServiceTimes, film: Film) -> dict[Stage, float]:
    """Processor seconds of each stage for one job."""
    frames = film.frames
    return {
        "frames": times.frames_job + times.frames_minute * film.minutes + times.frames_frame * frames,
        "analyze": times.analyze_job + frames * (times.analyze_frame + film.faces * times.analyze_face),
        "finalize": times.finalize_job + times.finalize_frame * frames,
    }
