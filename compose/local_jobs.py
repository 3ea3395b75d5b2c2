"""Runs jobs on this machine: an embedded server and one process for each group of stages, until all jobs ended."""

import asyncio
import os
import signal
import socket
import sys
import tempfile
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from redis.asyncio import Redis
from rich.console import Console
from rich.progress import TaskID
from yarl import URL

from api.pages import report
from compose.local_library import additions
from compose.local_observations import LocalObservations
from compose.outputs import OutputError, Outputs
from compose.progress import Bars
from compose.server import embedded_server, wait_for_server
from compose.sources import HOST, Source
from compose.supervisor import Child, ProcessFailed, Supervisor, clean_environment
from schemas.names import Names, Partitions
from schemas.requests import AnalyzeRequest
from schemas.results import JobResult, ResultBody
from schemas.settings import Settings
from schemas.store import workers
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
READY_SECONDS = 1800.0
"""Longest wait for the models; TensorRT builds its engines first."""
LIBRARY_SECONDS = 60.0
"""Longest wait for the library stage once all jobs have ended."""
MAX_ROOTS_BYTES = 64 << 10
"""Length of FACES_MEDIA_ROOTS; Linux allows 128 KiB for a variable."""


@dataclass
class LocalJob:
    """A source, its job and the job's latest state.

    Attributes:
        result: JSON, once the job is completed.
        fault: why its result could not be written.
        people: how many were found so far.
        is_identified: whether the result was changed, to say who its people are in the library.
    """

    source: Source
    request: AnalyzeRequest
    job_id: str
    result: bytes | None = None
    bar: TaskID | None = None
    state: JobState | None = None
    people: int = 0
    fault: str = ""
    is_identified: bool = False

    @property
    def analysis(self) -> str:
        """The job that has analysed the source, in this run or the one that its result is from; empty: none."""
        if self.state is not None:
            return self.state.alias or self.job_id
        return self._result().job_id if self.result else ""

    def identities(self) -> dict[str, str | None]:
        """Who the result says that its faces are in the library; empty where an earlier run used no library."""
        said = {face.face_id: face.person_id for face in self._result().faces}
        if self.state is None and all(person is msgspec.UNSET for person in said.values()):
            return {}
        return {face: person or None for face, person in said.items()}

    def identify(self, fields: Mapping[str, Mapping[str, Any]]) -> None:
        """Adds to the result who its faces are, by face id."""
        result = self._result()
        faces = [msgspec.structs.replace(face, **fields.get(face.face_id, {})) for face in result.faces]
        if faces != result.faces:
            body = ResultBody(status=result.status, faces=faces, metadata=result.metadata)
            self.result, self.is_identified = result_json(result, msgspec.json.encode(body)), True

    def _result(self) -> JobResult:
        return msgspec.json.decode(self.result or b"", type=JobResult)

    @property
    def is_done(self) -> bool:
        """Whether the job is completed and its result is written."""
        return self.result is not None and not self.fault

    @property
    def error(self) -> str:
        """Why the job is not done."""
        return (
            self.source.fault
            or self.fault
            or (self.state.error if self.state else None)
            or "the job record is missing"
        )


async def analyze(
    settings: Settings,
    jobs: Sequence[LocalJob],
    outputs: Outputs,
    data_directory: Path | None,
    console: Console,
    verbose: bool,
) -> tuple[list[Addition], bool]:
    """Runs the jobs and writes each result as soon as its job is completed.

    Returns:
        what the jobs add to the library that their requests name; whether SIGINT or SIGTERM stopped the work early.

    Args:
        data_directory: keeps what is seen in the sources; None: that of the settings.
        console: for progress.
        verbose: the log of all processes goes to standard error.

    Raises:
        ProcessFailed: a process cannot be kept running, or a job record is missing.
    """
    interrupted = asyncio.ensure_future(asyncio.Event().wait())
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, interrupted.cancel)
    supervisor = Supervisor(sys.stderr if verbose else None)
    with tempfile.TemporaryDirectory(prefix="faces-") as data:
        async with embedded_server(Path(data), durable=False) as (server, url):
            supervisor.start(server)
            kept = LocalObservations(settings, data_directory, url, console)
            work = asyncio.ensure_future(_run(settings, jobs, outputs, url, supervisor, console, kept))
            failure = asyncio.ensure_future(supervisor.wait())
            try:
                await asyncio.wait([work, failure, interrupted], return_when=asyncio.FIRST_COMPLETED)
                if failure.done():
                    failure.result()  # raises
                stopped = not work.done()
                if stopped:
                    work.cancel()
                    await asyncio.wait([work])
                else:
                    work.result()  # raises what it raised
                await kept.take_back([job.job_id for job in jobs])
                return await _additions(settings, jobs, url), stopped
            finally:
                work.cancel()
                failure.cancel()
                await asyncio.gather(work, failure, return_exceptions=True)
                await supervisor.stop(within=0)  # no job is left, and the server's data is temporary


async def _run(
    settings: Settings,
    jobs: Sequence[LocalJob],
    outputs: Outputs,
    url: str,
    supervisor: Supervisor,
    console: Console,
    kept: LocalObservations,
) -> None:
    await wait_for_server(url)
    _start_workers(supervisor, url, _media_roots(jobs), await _allowed_hosts(settings, jobs))
    await kept.bring([job.request for job in jobs])
    partitions = Partitions(settings.prefix)
    async with Redis.from_url(url, socket_timeout=10) as redis:
        await _all_ready(redis, partitions.home)
        store, reader, previews = (
            Jobs(redis, partitions, settings),
            JobReader(redis, partitions),
            Previews(redis, partitions),
        )
        waiting, running = deque(enumerate(jobs)), list[tuple[int, LocalJob]]()
        polls = 0
        with Bars(console, [job.source for job in jobs]) as bars:
            while waiting or running:
                while waiting and len(running) < MAX_RUNNING_JOBS:
                    number, job = waiting.popleft()
                    job.bar = bars.begin(number, job.source.name)
                    await store.submit(job.request, job.job_id)
                    running.append((number, job))
                for number, job in running:
                    state = await _poll(reader, job, outputs)
                    if polls % POLLS_PER_PREVIEW == 0:
                        await previews.ask(state)
                        job.people = await previews.count(state) or job.people
                    assert job.bar is not None
                    if state.ended:
                        bars.end(number, job.bar, job.source.name, state)
                    else:
                        bars.show(number, job.bar, state, job.people)
                bars.tick()
                running = [entry for entry in running if entry[1].state is None or not entry[1].state.ended]
                polls += 1
                await asyncio.sleep(POLL_SECONDS)


async def _additions(settings: Settings, jobs: Sequence[LocalJob], url: str) -> list[Addition]:
    """Waits until the workers have added what is done to the library of the temporary server; reads it."""
    library = jobs[0].request.parameters.library  # the same for all
    if library is None or not any(job.is_done for job in jobs):
        return []
    deadline = time.monotonic() + LIBRARY_SECONDS
    names = Partitions(settings.prefix).home
    async with Redis.from_url(url, socket_timeout=10) as redis:
        while await redis.xlen(names.library) or await redis.zcard(f"{names.library}:delayed"):
            if time.monotonic() > deadline:
                raise ProcessFailed(f"the people were not added to the library within {LIBRARY_SECONDS:g} s")
            await asyncio.sleep(POLL_SECONDS)
        return [addition async for addition in additions(redis, names, library)]


async def _all_ready(redis: Redis, names: Names) -> None:
    """Waits until every stage has loaded its models; one that cannot start ends the run (`Supervisor.wait`)."""
    deadline = time.monotonic() + READY_SECONDS
    required = {worker_type.name for worker_type in WORKER_TYPES if worker_type.required}
    while True:
        if required <= {worker.stage for worker in await workers.alive(redis, names)}:
            return
        if time.monotonic() > deadline:
            raise ProcessFailed(f"the models are not loaded after {READY_SECONDS:g} s")
        await asyncio.sleep(POLL_SECONDS)


def _start_workers(supervisor: Supervisor, url: str, media_roots: str, allowed_hosts: str) -> None:
    environment = clean_environment(
        REDIS_URL=url,
        FACES_MEDIA_ROOTS=media_roots,
        FACES_ALLOWED_HOSTS=allowed_hosts,
        FACES_PARTITIONS="1",
        LOG_FORMAT="console",
        FACES_WORKER="local",
        PYTHONUTF8="1",  # names of files are UTF-8 in every locale (schemas.file_names)
    )
    required = [worker_type.name for worker_type in WORKER_TYPES if worker_type.required]
    for names in ([name for name in required if name != "analyze"], ["analyze"]):
        supervisor.start(Child("+".join(names), [sys.executable, "-m", "consumers", *names], environment))


def _media_roots(jobs: Sequence[LocalJob]) -> str:
    """FACES_MEDIA_ROOTS: the source files alone; all files where the variable cannot hold their paths, or where a
    sprite map names others."""
    paths = [job.source.path for job in jobs if not job.source.is_address]
    joined = os.pathsep.join(paths)
    fits = len(os.fsencode(joined)) <= MAX_ROOTS_BYTES and not any(os.pathsep in path for path in paths)
    return joined if fits and not jobs[0].request.parameters.use_sprites else os.sep


async def _allowed_hosts(settings: Settings, jobs: Sequence[LocalJob]) -> str:
    """FACES_ALLOWED_HOSTS: those of the settings, and the hosts that the user named, wherever they lead."""
    parameters = jobs[0].request.parameters  # the same for all
    named = [job.source.path for job in jobs if job.source.is_address]
    named += [url for url in (parameters.sprite_vtt_url, parameters.sprite_image_url) if url]
    entries = dict.fromkeys(settings.hosts)
    for url in map(URL, named):
        if url.host is None or not HOST.fullmatch(url.host):
            continue  # a path, or a host that its job refuses
        if not (url.is_default_port() or ":" in url.host):
            entries[f"{url.host}:{url.port}"] = None
        elif ":" not in url.host:
            entries[url.host] = None
        try:
            found = await asyncio.get_running_loop().getaddrinfo(url.host, None, type=socket.SOCK_STREAM)
        except OSError:
            continue  # its job fails, with the reason
        entries |= {str(address[0]).partition("%")[0]: None for *_, address in found}
    return ",".join(entries)


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
