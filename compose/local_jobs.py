"""Runs jobs on this machine: an embedded server and one process for each group of stages, until all jobs ended."""

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from redis.asyncio import Redis
from rich.console import Console
from rich.progress import TaskID

from api.pages import report
from compose.local_library import additions
from compose.outputs import OutputError, Outputs
from compose.progress import Bars
from compose.server import embedded_server, wait_for_server
from compose.sources import Source
from compose.supervisor import Child, ProcessFailed, Supervisor, clean_environment
from schemas.names import Names, Partitions
from schemas.requests import AnalyzeRequest
from schemas.results import JobResult
from schemas.settings import Settings
from schemas.store.additions import Addition
from schemas.store.job_reader import JobReader, JobState, result_json
from schemas.store.jobs import Jobs
from schemas.store.pictures import NO_PICTURES
from schemas.store.previews import Previews
from schemas.topology import WORKER_TYPES

POLL_SECONDS = 0.1
POLLS_PER_PREVIEW = 10
"""A preview of the people so far is asked for at every tenth poll."""
MAX_RUNNING_JOBS = 8
"""Enough that no stage waits, few enough that every result is read before it expires."""
LIBRARY_SECONDS = 60.0
"""Longest wait for the library stage once all jobs have ended."""
MAX_ROOTS_BYTES = 64 << 10
"""Length of FACES_MEDIA_ROOTS; Linux allows 128 KiB for a variable."""


@dataclass
class LocalJob:
    """A source, its job and the job's latest state.

    Attributes:
        result: JSON, once the job is completed.
        fault: why the source cannot be analysed, or its result not be written.
        people: how many were found so far.
    """

    source: Source
    request: AnalyzeRequest
    job_id: str
    result: bytes | None = None
    fault: str = ""
    bar: TaskID | None = None
    state: JobState | None = None
    people: int = 0

    @property
    def is_done(self) -> bool:
        """Whether the job is completed and its result is written."""
        return self.result is not None and not self.fault

    @property
    def error(self) -> str:
        """Why the job is not done."""
        return self.fault or (self.state.error if self.state else None) or "the job record is missing"


async def analyze(
    settings: Settings, jobs: Sequence[LocalJob], outputs: Outputs, console: Console, verbose: bool
) -> list[Addition]:
    """Runs the jobs and writes each result as soon as its job is completed.

    Returns:
        what the jobs add to the library that their requests name.

    Args:
        console: for progress.
        verbose: the log of all processes goes to standard error.

    Raises:
        ProcessFailed: a process cannot be kept running, or a job record is missing.
        KeyboardInterrupt: on SIGINT and SIGTERM.
    """
    interrupted = asyncio.ensure_future(asyncio.Event().wait())
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, interrupted.cancel)
    supervisor = Supervisor(sys.stderr if verbose else None)
    with tempfile.TemporaryDirectory(prefix="faces-") as data:
        async with embedded_server(Path(data), durable=False) as (server, url):
            supervisor.start(server)
            try:
                work = asyncio.ensure_future(_run(settings, jobs, outputs, url, supervisor, console))
                failure = asyncio.ensure_future(supervisor.wait())
                await asyncio.wait([work, failure, interrupted], return_when=asyncio.FIRST_COMPLETED)
                if work.done():
                    return work.result()
                if failure.done():
                    failure.result()  # raises
                work.cancel()
                failure.cancel()
                raise KeyboardInterrupt
            finally:
                await supervisor.stop(within=0)  # no job is left, and the server's data is temporary


async def _run(
    settings: Settings,
    jobs: Sequence[LocalJob],
    outputs: Outputs,
    url: str,
    supervisor: Supervisor,
    console: Console,
) -> list[Addition]:
    await wait_for_server(url)
    _start_workers(supervisor, url, _media_roots([job.source.path for job in jobs]))
    partitions = Partitions(settings.prefix)
    async with Redis.from_url(url, socket_timeout=10) as redis:
        store, reader, previews = (
            Jobs(redis, partitions, settings),
            JobReader(redis, partitions),
            Previews(redis, partitions),
        )
        waiting, running = deque(jobs), list[LocalJob]()
        polls = 0
        with Bars(console, len(jobs)) as bars:
            while waiting or running:
                while waiting and len(running) < MAX_RUNNING_JOBS:
                    job = waiting.popleft()
                    job.bar = bars.begin(job.source.name)
                    await store.submit(job.request, job.job_id)
                    running.append(job)
                for job in running:
                    state = await _poll(reader, job, outputs)
                    if polls % POLLS_PER_PREVIEW == 0:
                        await previews.ask(state)
                        job.people = await previews.count(state) or job.people
                    _show(bars, job, state)
                running = [job for job in running if job.state is None or not job.state.ended]
                polls += 1
                await asyncio.sleep(POLL_SECONDS)
        library = jobs[0].request.parameters.library
        return await _additions(redis, partitions.home, library) if library else []


async def _additions(redis: Redis, names: Names, library: str) -> list[Addition]:
    """Waits until the workers have added the films to the library of the temporary server; reads them."""
    deadline = time.monotonic() + LIBRARY_SECONDS
    while await redis.xlen(names.library) or await redis.zcard(f"{names.library}:delayed"):
        if time.monotonic() > deadline:
            raise ProcessFailed(f"the people were not added to the library within {LIBRARY_SECONDS:g} s")
        await asyncio.sleep(POLL_SECONDS)
    return [addition async for addition in additions(redis, names, library)]


def _start_workers(supervisor: Supervisor, url: str, media_roots: str) -> None:
    environment = clean_environment(
        REDIS_URL=url,
        FACES_MEDIA_ROOTS=media_roots,
        FACES_PARTITIONS="1",
        LOG_FORMAT="console",
        FACES_WORKER="local",
        PYTHONUTF8="1",  # names of files are UTF-8 in every locale (schemas.file_names)
    )
    required = [worker_type.name for worker_type in WORKER_TYPES if worker_type.required]
    for names in ([name for name in required if name != "analyze"], ["analyze"]):
        supervisor.start(Child("+".join(names), [sys.executable, "-m", "consumers", *names], environment))


def _media_roots(paths: Sequence[str]) -> str:
    """FACES_MEDIA_ROOTS: the source files alone; all files where the variable cannot hold their paths."""
    joined = os.pathsep.join(paths)
    fits = len(os.fsencode(joined)) <= MAX_ROOTS_BYTES and not any(os.pathsep in path for path in paths)
    return joined if fits else os.sep


async def _poll(reader: JobReader, job: LocalJob, outputs: Outputs) -> JobState:
    """Reads the job's state; reads and writes its result as soon as it is completed, since results expire."""
    state = job.state = await reader.read(job.job_id)
    if state is None:
        raise ProcessFailed(f"the job record of {job.source.path} is missing")
    if state.status != "completed" or (stored := await reader.result(state)) is None:
        return state
    job.result = result_json(state, stored.body)
    pictures = NO_PICTURES
    if outputs.wants_report:
        result = msgspec.json.decode(job.result, type=JobResult)
        pictures = await reader.pictures(state, [face.face_id for face in result.faces[: report.MAX_PEOPLE]])
    try:
        await asyncio.to_thread(outputs.write, job.source, job.result, pictures, job.request.parameters)
    except (
        OutputError
    ) as error:  # its name is too long for the disk, or there is no room: costs this source alone
        job.fault = str(error)
    return state


def _show(bars: Bars, job: LocalJob, state: JobState) -> None:
    assert job.bar is not None
    if state.ended:
        bars.end(job.bar, job.source.name, state)
    else:
        bars.show(job.bar, state, job.people)
