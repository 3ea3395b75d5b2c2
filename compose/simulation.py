"""A model of the stages as queues in front of workers that share cores: how long jobs take, and who is busy.

Work is counted in processor seconds. On a host, the tasks at work share the cores evenly, none getting more than it
can use (a fluid model of a fair scheduler); a worker holds as many tasks as its stage works on at once. A long film
is sampled in parts of equal length, wherever its keyframes lie. What the model leaves out: the network, the time that
a message travels, and crashes.
"""

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import msgspec

Stage = Literal["frames", "analyze", "finalize"]
STAGES: tuple[Stage, ...] = get_args(Stage)
CHUNK = 4
"""Frames that the frames stage gets and publishes together (consumers.sources.frames.FRAMES_PER_CHUNK)."""
MOST_CHUNKS = 64
"""Pieces into which the frames of a job are divided: a longer film has larger ones, so that a plan takes seconds."""
EPSILON = 1e-9


class ServiceTimes(msgspec.Struct, frozen=True, kw_only=True):
    """Processor seconds of each piece of work.

    Attributes:
        source: where the figures come from: bench, machine, time.
        frames_job, frames_minute, frames_frame: of the frames stage for a job, a minute of film, a sampled frame.
        analyze_frame, analyze_face, analyze_job: of the analyze stage for a frame, for a face in it, and for a job,
            whose people are asked for their emotions.
        finalize_job, finalize_frame: of the finalize stage.
        rest_job, rest_frame: of the server and the API.
        frame_bytes: of a frame that waits between the stages.
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
    """What a job is about: minutes, seconds between samples, faces in a frame on average."""

    minutes: float
    interval: float = 2.0
    faces: float = 2.0

    @property
    def frames(self) -> int:
        return max(1, int(60 * self.minutes / self.interval) + 1)


class Fleet(msgspec.Struct, frozen=True, kw_only=True):
    """What does the work.

    Attributes:
        workers: of each stage.
        cores: of each worker, by stage, where each has its own; ignored with `shared`.
        shared: cores that all workers, the server and the API share; None: every worker has its own.
        threads: that an analyze worker uses at most.
        jobs_per_worker, batch, window, high_water, part: as FACES_JOBS_PER_WORKER, FACES_BATCH, FACES_JOB_WINDOW,
            FACES_FRAMES_HIGH_WATER and FACES_SEGMENT_SECONDS.
    """

    workers: Mapping[Stage, int]
    cores: Mapping[Stage, float]
    shared: float | None = None
    threads: int = 2
    jobs_per_worker: int = 4
    batch: int = 8
    window: int = 64
    high_water: int = 512
    part: float = 300.0


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the jobs.

    Attributes:
        turnaround: seconds from the arrival of each job to its end, in order of arrival.
        waits: seconds of that before its sampling began.
        busy: share of its cores that each stage used until the last job ended.
        makespan: seconds from the first arrival to the last end.
        most_frames: that waited or were worked on at once.
    """

    turnaround: tuple[float, ...]
    waits: tuple[float, ...]
    busy: Mapping[Stage, float]
    makespan: float
    most_frames: int


@dataclass(eq=False)
class _Task:
    left: float
    parallel: float
    then: Callable[[], None]


@dataclass(eq=False)
class _Host:
    """Cores, the tasks that share them, and until when that has been worked out."""

    cores: float
    tasks: list[_Task] = field(default_factory=list)
    at: float = 0.0
    used: float = 0.0
    version: int = 0

    def rates(self) -> list[float]:
        """Cores that each task gets: an even share, and what others cannot use is shared again."""
        left, found = self.cores, [0.0] * len(self.tasks)
        order = sorted(range(len(self.tasks)), key=lambda i: self.tasks[i].parallel)
        for place, i in enumerate(order):
            found[i] = min(self.tasks[i].parallel, left / (len(order) - place))
            left -= found[i]
        return found

    def advance(self, now: float) -> None:
        for task, rate in zip(self.tasks, self.rates(), strict=True):
            done = min(task.left, rate * (now - self.at))
            task.left -= done
            self.used += done
        self.at = now

    def next_end(self) -> float:
        rates = self.rates()
        return self.at + min(task.left / rate for task, rate in zip(self.tasks, rates, strict=True))


@dataclass(eq=False)
class _Worker:
    host: _Host
    free: int


@dataclass(eq=False)
class _Job:
    number: int
    arrived: float
    film: Film
    begun: float = 0.0
    ended: float = 0.0
    published: int = 0
    done: int = 0
    parts: deque["_Part"] = field(default_factory=deque)  # that do not wait yet


@dataclass(eq=False)
class _Part:
    """Of a job's frames, what one worker samples in a row; of a short film all."""

    job: _Job
    left: int


class _Simulation:
    def __init__(self, times: ServiceTimes, fleet: Fleet) -> None:
        self.times, self.fleet = times, fleet
        shared = _Host(fleet.shared) if fleet.shared is not None else None
        slots: dict[Stage, int] = {"frames": fleet.jobs_per_worker, "analyze": 1, "finalize": 2}
        self.workers: dict[Stage, list[_Worker]] = {
            stage: [
                _Worker(shared or _Host(fleet.cores[stage]), slots[stage])
                for _ in range(fleet.workers[stage])
            ]
            for stage in STAGES
        }
        self.samplers = [_Worker(worker.host, fleet.jobs_per_worker) for worker in self.workers["frames"]]
        self.rest = shared or _Host(1e9)  # the server and the API have cores of their own
        self.used: dict[Stage, float] = dict.fromkeys(STAGES, 0.0)
        self.now = 0.0
        self.requests: deque[_Job] = deque()
        self.parts: deque[_Part] = deque()
        self.frames: deque[tuple[_Job, int]] = deque()
        self.portraits: deque[_Job] = deque()
        self.ends: deque[tuple[_Job, bool]] = deque()
        self.stalled: deque[Callable[[], None]] = deque()
        self.under_way = self.most = 0
        self.events: list[tuple[float, int, int, _Host | _Job]] = []
        self.counter = itertools.count()

    def run(self, arrivals: Iterable[tuple[float, Film]]) -> list[_Job]:
        jobs = [_Job(number, at, film) for number, (at, film) in enumerate(arrivals)]
        for job in jobs:
            heapq.heappush(self.events, (job.arrived, next(self.counter), 0, job))
        while self.events:
            self.now, _, version, what = heapq.heappop(self.events)
            if isinstance(what, _Job):
                self.requests.append(what)
            elif version != what.version:
                continue
            else:
                what.advance(self.now)
                ended = [task for task in what.tasks if task.left <= EPSILON]
                what.tasks = [task for task in what.tasks if task.left > EPSILON]
                for task in ended:
                    task.then()
                self._schedule(what)
            self._dispatch()
        return jobs

    def _start(self, host: _Host, work: float, parallel: float, then: Callable[[], None]) -> None:
        host.advance(self.now)
        host.tasks.append(_Task(max(work, EPSILON * 2), parallel, then))
        self._schedule(host)

    def _schedule(self, host: _Host) -> None:
        host.version += 1
        if host.tasks:
            heapq.heappush(self.events, (host.next_end(), next(self.counter), host.version, host))

    def _dispatch(self) -> None:
        """Gives what waits to who is free."""
        times = self.times
        while self.requests and (worker := _free(self.workers["frames"])):
            job = self.requests.popleft()
            job.begun = self.now
            self._work("frames", worker, times.frames_job, 1.0, self._opened(worker, job))
        while self.parts and (worker := _free(self.samplers)):
            self._sample(worker, self.parts.popleft())
        while (self.frames or self.portraits) and (worker := _free(self.workers["analyze"])):
            if self.portraits:
                job = self.portraits.popleft()
                then = self._asked(worker, job)
                self._work("analyze", worker, times.analyze_job, float(self.fleet.threads), then)
                continue
            batch = self._batch()
            work = sum(
                count * (times.analyze_frame + job.film.faces * times.analyze_face) for job, count in batch
            )
            parallel = float(min(self.fleet.threads, sum(count for _, count in batch)))
            self._work("analyze", worker, work, parallel, self._analysed(worker, batch))
        while self.ends and (worker := _free(self.workers["finalize"])):
            job, last = self.ends.popleft()
            work = (times.finalize_job + times.finalize_frame * job.film.frames) / 2
            self._work("finalize", worker, work, 1.0, self._finalized(worker, job, last))

    def _work(
        self, stage: Stage, worker: _Worker, work: float, parallel: float, then: Callable[[], None]
    ) -> None:
        worker.free -= 1
        self.used[stage] += work

        def ended() -> None:
            worker.free += 1
            then()

        self._start(worker.host, work, parallel, ended)

    def _opened(self, worker: _Worker, job: _Job) -> Callable[[], None]:
        """The worker goes on with a short film; of a long one some parts wait for any worker."""
        frames, many = job.film.frames, max(1, math.ceil(60 * job.film.minutes / self.fleet.part))
        if many == 1 or frames < many:
            return lambda: self._sample(worker, _Part(job, frames))

        def divided() -> None:
            sizes = [frames * (n + 1) // many - frames * n // many for n in range(many)]
            job.parts.extend(_Part(job, size) for size in sizes)
            for _ in range(min(many, max(1, self.fleet.window // CHUNK))):
                self.parts.append(job.parts.popleft())

        return divided

    def _sample(self, worker: _Worker, part: _Part) -> None:
        """Gets and publishes the next frames, when there is room for them; the worker's place stays taken."""
        fleet, job, film, times = self.fleet, part.job, part.job.film, self.times
        if not part.left:
            if job.parts:
                self.parts.append(job.parts.popleft())
            return
        if job.published - job.done >= fleet.window or self.under_way >= fleet.high_water:
            worker.free -= 1

            def resume() -> None:
                worker.free += 1
                self._sample(worker, part)

            self.stalled.append(resume)
            return
        count = min(max(CHUNK, film.frames // MOST_CHUNKS), part.left)
        work = count * (times.frames_frame + times.frames_minute * film.minutes / film.frames)
        self._work("frames", worker, work, 1.0, lambda: self._published(worker, part, count))

    def _published(self, worker: _Worker, part: _Part, count: int) -> None:
        part.left -= count
        part.job.published += count
        self.under_way += count
        self.most = max(self.most, self.under_way)
        self.frames.append((part.job, count))
        self._sample(worker, part)

    def _batch(self) -> list[tuple[_Job, int]]:
        """As many frames as a batch takes, across jobs."""
        batch, room = [], max(self.fleet.batch, self.frames[0][1])
        while self.frames and self.frames[0][1] <= room:
            batch.append(self.frames.popleft())
            room -= batch[-1][1]
        return batch

    def _analysed(self, worker: _Worker, batch: Sequence[tuple[_Job, int]]) -> Callable[[], None]:
        def ended() -> None:
            for job, count in batch:
                job.done += count
                self.under_way -= count
                self._rest(count * self.times.rest_frame)
                if job.done >= job.film.frames:
                    self.ends.append((job, False))
            stalled, self.stalled = self.stalled, deque()
            for resume in stalled:
                resume()

        return ended

    def _asked(self, worker: _Worker, job: _Job) -> Callable[[], None]:
        return lambda: self.ends.append((job, True))

    def _finalized(self, worker: _Worker, job: _Job, last: bool) -> Callable[[], None]:
        def ended() -> None:
            if last:
                job.ended = self.now
                self._rest(self.times.rest_job)
            else:
                self.portraits.append(job)

        return ended

    def _rest(self, work: float) -> None:
        """The server and the API work beside everybody else."""
        if self.fleet.shared is not None and work > 0:
            self._start(self.rest, work, 1.0, lambda: None)


def _free(workers: Sequence[_Worker]) -> _Worker | None:
    """The one that does least, as it asks for more first."""
    most = max(workers, key=lambda worker: worker.free)
    return most if most.free else None


def simulate(times: ServiceTimes, fleet: Fleet, arrivals: Iterable[tuple[float, Film]]) -> Outcome:
    """Lets jobs arrive (seconds, film), in order of time, and all of them end.

    Raises:
        ValueError: no job, or a stage without a worker.
    """
    if min(fleet.workers[stage] for stage in STAGES) < 1:
        raise ValueError("every stage needs a worker")
    simulation = _Simulation(times, fleet)
    jobs = simulation.run(arrivals)
    if not jobs:
        raise ValueError("no job arrives")
    makespan = max(job.ended for job in jobs) - jobs[0].arrived
    total = {
        stage: fleet.shared
        if fleet.shared is not None
        else fleet.workers[stage]
        * (min(fleet.cores[stage], fleet.threads) if stage == "analyze" else fleet.cores[stage])
        for stage in STAGES
    }
    return Outcome(
        turnaround=tuple(job.ended - job.arrived for job in jobs),
        waits=tuple(job.begun - job.arrived for job in jobs),
        busy={stage: simulation.used[stage] / (total[stage] * makespan) for stage in STAGES},
        makespan=makespan,
        most_frames=simulation.most,
    )
