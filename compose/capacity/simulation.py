"""A discrete-event simulation of the stages: queues in front of workers, which share cores.

Events are arrivals of jobs and ends of tasks, taken from a heap in order of time (Law, Simulation Modeling and
Analysis, chapter 1). A worker holds as many tasks as its stage runs at once; how tasks share cores says
compose.capacity.host. A long film is sampled in parts of equal length, wherever its keyframes are. Callers take turns
in front of each stage, as in the service. Left out: the network, the time that a message travels, and crashes.
"""

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from compose.capacity.fair_queue import FairQueue
from compose.capacity.host import EPSILON, Host, Task
from compose.capacity.load import STAGES, Film, ServiceTimes, Stage

FRAMES_PER_CHUNK = 4
"""Frames that the frames stage gets and publishes together (as consumers.sources.frames)."""
MAX_CHUNKS_PER_JOB = 64
"""A longer film has larger chunks, so that a plan takes seconds."""
FRAMES_CREDIT = 32
"""Frames by which a caller of whom none waits is ahead of others (as schemas.store.fair_queue)."""
GIVE_WAY_SECONDS = 1.0
"""Pause of a job that has given its place to one of another caller (as consumers.publishing)."""
UNLIMITED_CORES = 1e9

Arrival = tuple[float, Film] | tuple[float, Film, str]
"""Seconds, film, and the caller where there are several."""


class Fleet(msgspec.Struct, frozen=True, kw_only=True):
    """The workers, their cores and their settings.

    Attributes:
        workers: of each stage.
        cores: of each worker, by stage, where each has its own; ignored with `shared`.
        shared: cores that all workers, the server and the API share; None: every worker has its own.
        threads: that an analyze worker uses at most.
        jobs_per_worker, batch, window, high_water, segment: as FACES_JOBS_PER_WORKER, FACES_BATCH,
            FACES_JOB_WINDOW, FACES_FRAMES_HIGH_WATER and FACES_SEGMENT_SECONDS.
    """

    workers: Mapping[Stage, int]
    cores: Mapping[Stage, float]
    shared: float | None = None
    threads: int = 2
    jobs_per_worker: int = 4
    batch: int = 8
    window: int = 64
    high_water: int = 512
    segment: float = 300.0


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What the simulation measured.

    Attributes:
        turnaround: seconds from the arrival of each job to its end, in order of arrival.
        waits: seconds from the arrival of each job until its sampling began.
        utilization: share of its cores that each stage used until the last job ended.
        makespan: seconds from the first arrival to the last end.
        peak_frames: frames published and not analysed, at most.
    """

    turnaround: tuple[float, ...]
    waits: tuple[float, ...]
    utilization: Mapping[Stage, float]
    makespan: float
    peak_frames: int


@dataclass(eq=False)
class _Worker:
    host: Host
    free: int


@dataclass(eq=False)
class _Job:
    arrived: float
    film: Film
    caller: str = ""
    begun: float = 0.0
    ended: float = 0.0
    published: int = 0
    analysed: int = 0
    segments: deque["_Segment"] = field(default_factory=deque)
    """Those that are not queued yet."""


@dataclass(eq=False)
class _Segment:
    """Frames of a job that one worker samples in a row; all frames of a short film.

    Attributes:
        turn: frames published since a worker began, or went on, with it.
    """

    job: _Job
    left: int
    turn: int = 0


class _Simulation:
    """One run: the clock, the workers, the queues in front of them, the events to come."""

    def __init__(self, times: ServiceTimes, fleet: Fleet) -> None:
        self.times, self.fleet = times, fleet
        shared = Host(fleet.shared) if fleet.shared is not None else None
        slots: dict[Stage, int] = {"frames": fleet.jobs_per_worker, "analyze": 1, "finalize": 2}
        self.workers: dict[Stage, list[_Worker]] = {
            stage: [
                _Worker(shared or Host(fleet.cores[stage]), slots[stage]) for _ in range(fleet.workers[stage])
            ]
            for stage in STAGES
        }
        self.samplers = [_Worker(worker.host, fleet.jobs_per_worker) for worker in self.workers["frames"]]
        self.rest = shared or Host(UNLIMITED_CORES)
        self.used: dict[Stage, float] = dict.fromkeys(STAGES, 0.0)
        self.now = 0.0
        self.requests: FairQueue[_Job | _Segment] = FairQueue()
        self.segments: FairQueue[_Segment] = FairQueue()
        self.frames: FairQueue[tuple[_Job, int]] = FairQueue(FRAMES_CREDIT)
        self.portraits: deque[_Job] = deque()
        self.finalize: FairQueue[tuple[_Job, bool]] = FairQueue()
        self.stalled: deque[Callable[[], None]] = deque()
        self.batch = fleet.batch
        self.frames_in_flight = self.peak_frames = 0
        self.events: list[tuple[float, int, int, Host | _Job | Callable[[], None]]] = []
        self.counter = itertools.count()

    def run(self, arrivals: Iterable[Arrival]) -> list[_Job]:
        jobs = [_Job(*arrival) for arrival in arrivals]
        if len({job.caller for job in jobs}) > 1:
            self.batch = small_batch(self.fleet.batch, self.fleet.threads)
        for job in jobs:
            heapq.heappush(self.events, (job.arrived, next(self.counter), 0, job))
        while self.events:
            self.now, _, version, subject = heapq.heappop(self.events)
            if callable(subject):
                subject()
            elif isinstance(subject, _Job):
                self.requests.add(subject.caller, subject)
                self._look_again()  # workers may give way to it
            elif version != subject.version:
                continue
            else:
                subject.advance(self.now)
                for task in subject.take_ended():
                    task.on_end()
                self._schedule(subject)
            self._dispatch()
        return jobs

    def _start(self, host: Host, work: float, parallel: float, on_end: Callable[[], None]) -> None:
        host.start(self.now, Task(max(work, EPSILON * 2), parallel, on_end))
        self._schedule(host)

    def _schedule(self, host: Host) -> None:
        host.version += 1
        if host.tasks:
            heapq.heappush(self.events, (host.next_end(), next(self.counter), host.version, host))

    def _dispatch(self) -> None:
        """Gives queued work to free workers."""
        while self.requests and (worker := _free(self.workers["frames"])):
            request = self.requests.take()
            if isinstance(request, _Job):
                self._open(worker, request)
            else:
                self._sample(worker, request, self.requests)
        while self.segments and (worker := _free(self.samplers)):
            self._sample(worker, self.segments.take(), self.segments)
        while (self.frames or self.portraits) and (worker := _free(self.workers["analyze"])):
            if self.portraits:
                self._recognize_emotions(worker, self.portraits.popleft())
            else:
                self._analyze(worker, self._batch())
        while self.finalize and (worker := _free(self.workers["finalize"])):
            self._finalize(worker, *self.finalize.take())

    def _work(
        self, stage: Stage, worker: _Worker, work: float, parallel: float, on_end: Callable[[], None]
    ) -> None:
        """Occupies a slot of the worker until the work is done."""
        worker.free -= 1
        self.used[stage] += work

        def ended() -> None:
            worker.free += 1
            on_end()

        self._start(worker.host, work, parallel, ended)

    def _open(self, worker: _Worker, job: _Job) -> None:
        """Opens the source. The worker samples a short film at once; segments of a long one are queued."""
        job.begun = self.now
        frames, count = job.film.frames, max(1, math.ceil(60 * job.film.minutes / self.fleet.segment))

        def opened() -> None:
            if count == 1 or frames < count:
                self._sample(worker, _Segment(job, frames), self.requests)
                return
            sizes = [frames * (n + 1) // count - frames * n // count for n in range(count)]
            job.segments.extend(_Segment(job, size) for size in sizes)
            for _ in range(min(count, max(1, self.fleet.window // FRAMES_PER_CHUNK))):
                self.segments.add(job.caller, job.segments.popleft())

        self._work("frames", worker, self.times.frames_job, 1.0, opened)

    def _sample(self, worker: _Worker, segment: _Segment, source: FairQueue[Any]) -> None:
        """Gets and publishes the next frames; under back-pressure the worker waits and keeps its slot, unless work of
        another caller waits in the queue that the segment came from."""
        fleet, job, film, times = self.fleet, segment.job, segment.job.film, self.times
        if not segment.left:
            if job.segments:
                self.segments.add(job.caller, job.segments.popleft())
            return
        under_way = self.frames_in_flight + self.frames.waiting[job.caller]
        has_room = job.published - job.analysed < fleet.window and under_way < fleet.high_water
        contended = len(source) > 0 and source.first()[0] != job.caller
        if contended and (segment.turn >= fleet.window or not has_room):
            segment.turn = 0
            self._later(GIVE_WAY_SECONDS, lambda: source.add(job.caller, segment))
            return
        if not has_room:
            worker.free -= 1

            def resume() -> None:
                worker.free += 1
                self._sample(worker, segment, source)

            self.stalled.append(resume)
            return
        count = min(max(FRAMES_PER_CHUNK, film.frames // MAX_CHUNKS_PER_JOB), segment.left)
        work = count * (times.frames_frame + times.frames_minute * film.minutes / film.frames)

        def published() -> None:
            segment.left -= count
            segment.turn += count
            job.published += count
            self.frames_in_flight += count
            self.peak_frames = max(self.peak_frames, self.frames_in_flight)
            self.frames.add(job.caller, (job, count), count)
            self._sample(worker, segment, source)

        self._work("frames", worker, work, 1.0, published)

    def _batch(self) -> list[tuple[_Job, int]]:
        """Takes as many frames as fit a batch, across jobs; at least one chunk."""
        batch, room = [], max(self.batch, self.frames.first()[1])
        while self.frames and self.frames.first()[1] <= room:
            batch.append(self.frames.take())
            room -= batch[-1][1]
        return batch

    def _analyze(self, worker: _Worker, batch: Sequence[tuple[_Job, int]]) -> None:
        times = self.times
        work = sum(
            count * (times.analyze_frame + job.film.faces * times.analyze_face) for job, count in batch
        )
        parallel = float(min(self.fleet.threads, sum(count for _, count in batch)))

        def analysed() -> None:
            for job, count in batch:
                job.analysed += count
                self.frames_in_flight -= count
                self._other_work(count * times.rest_frame)
                if job.analysed >= job.film.frames:
                    self.finalize.add(job.caller, (job, False))
            self._look_again()

        self._work("analyze", worker, work, parallel, analysed)

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        heapq.heappush(self.events, (self.now + seconds, next(self.counter), 0, action))

    def _look_again(self) -> None:
        """Lets the workers that wait for room look again."""
        stalled, self.stalled = self.stalled, deque()
        for resume in stalled:
            resume()

    def _recognize_emotions(self, worker: _Worker, job: _Job) -> None:
        threads = float(self.fleet.threads)
        self._work(
            "analyze",
            worker,
            self.times.analyze_job,
            threads,
            lambda: self.finalize.add(job.caller, (job, True)),
        )

    def _finalize(self, worker: _Worker, job: _Job, last: bool) -> None:
        """Runs twice a job: before its emotions are recognised, and after."""
        times = self.times

        def finalized() -> None:
            if last:
                job.ended = self.now
                self._other_work(times.rest_job)
            else:
                self.portraits.append(job)

        work = (times.finalize_job + times.finalize_frame * job.film.frames) / 2
        self._work("finalize", worker, work, 1.0, finalized)

    def _other_work(self, work: float) -> None:
        """The server and the API use cores too, where cores are shared."""
        if self.fleet.shared is not None and work > 0:
            self._start(self.rest, work, 1.0, lambda: None)


def small_batch(full: int, threads: int) -> int:
    """Returns the frames in a batch while several callers send frames (as consumers.batch_size)."""
    return max(full // 2, min(full, 2 * threads))


def _free(workers: Sequence[_Worker]) -> _Worker | None:
    """The worker with the most free slots: it is the first to read more."""
    most = max(workers, key=lambda worker: worker.free)
    return most if most.free else None


def simulate(times: ServiceTimes, fleet: Fleet, arrivals: Iterable[Arrival]) -> Outcome:
    """Simulates jobs from their arrivals until all have ended.

    Args:
        arrivals: seconds and film of each job, and its caller, in order of time.

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
        utilization={stage: simulation.used[stage] / (total[stage] * makespan) for stage in STAGES},
        makespan=makespan,
        peak_frames=simulation.peak_frames,
    )
