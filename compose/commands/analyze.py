"""``faces analyze``: videos in, people out, through the same stages as the service, on a server of its own."""

import asyncio
import os
import signal
import sys
import tempfile
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError
from rich.console import Console
from rich.progress import TaskID
from rich.text import Text

from api.pages import report
from compose.outputs import OutputError, Outputs, Wanted
from compose.progress import Bars
from compose.server import embedded_server, wait_for_server
from compose.sources import NoSource, Source, expand
from compose.supervisor import Child, ProcessFailed, Supervisor, clean_environment
from compose.tables import people_table
from consumers import outcomes
from facecore.people import gather
from models.fetch import ModelsUnavailable, ensure
from schemas.names import Names, Partitions
from schemas.observations import FrameFaces
from schemas.requests import AnalyzeRequest, RequestError, to_request
from schemas.results import JobResult
from schemas.settings import Settings, SettingsError
from schemas.store.job_reader import JobReader, JobState, result_json
from schemas.store.jobs import Jobs
from schemas.store.pictures import NO_PICTURES
from schemas.topology import WORKER_TYPES

POLL = 0.1
COUNT_EVERY = 10
"""People so far are counted at every tenth look: that costs a clustering."""
AT_ONCE = 8
"""Jobs at once: enough that no stage waits, few enough that every result is taken before it expires."""
LONGEST = 64 << 10
"""Bytes of a setting; the system allows twice as many."""


@dataclass
class Watched:
    """A source, its job and what is known of it so far."""

    source: Source
    request: AnalyzeRequest
    job_id: str
    bar: TaskID | None = None
    state: JobState | None = None
    result: bytes | None = None
    frames: dict[str, FrameFaces] = field(default_factory=dict)
    people: int = 0

    @property
    def error(self) -> str:
        return (self.state.error if self.state else None) or "its record has vanished"


def analyze(given: Sequence[str], parameters: dict[str, Any], wanted: Wanted, verbose: bool) -> int:
    """Analyses the sources, prints their people and writes what is wanted.

    Args:
        given: files, folders, patterns.

    Returns:
        Exit status: 0 when every job completed, 1 when one failed, 2 when nothing could be started.
    """
    console = Console(stderr=True)
    try:
        settings = Settings.from_env()
        sources = expand(given)
        outputs = Outputs(wanted, sources)
        watched = [
            Watched(source, to_request({"video_path": source.path, "parameters": parameters}), f"local-{n}")
            for n, source in enumerate(sources)
        ]
        for done in watched:
            done.result = outputs.finished(done.source)
        if todo := [w for w in watched if w.result is None]:
            ensure(settings.pack, settings.models_path)
            asyncio.run(_analyze(settings, todo, outputs, console, verbose))
        outputs.write_together([w.result for w in watched if w.result])
    except (
        SettingsError, RequestError, NoSource, OutputError, ModelsUnavailable, ProcessFailed, RedisError, OSError
    ) as error:  # fmt: skip
        console.print(Text(f"faces analyze: {error}", "red"))
        if verbose:
            console.print_exception()
        return 2
    except KeyboardInterrupt:
        return 130
    if skipped := len(watched) - len(todo):
        console.print(f"{skipped} of {len(watched)} sources were done already")
    for source in watched:
        _print(source, wanted.json, console)
    if any(w.result for w in watched) and outputs.places:
        console.print(Text(f"written to {', '.join(outputs.places)}"))
    return 0 if all(w.result for w in watched) else 1


def _print(done: Watched, as_json: bool, console: Console) -> None:
    """A line of JSON for each source, else a table of its people; what failed is said to people in any case."""
    if done.result is None:
        console.print(Text(f"{done.source.path}: {done.error}", "red"))
    if as_json:
        failed = {"video_path": done.source.path, "status": "failed", "error": done.error}
        sys.stdout.write((done.result or msgspec.json.encode(failed)).decode() + "\n")
    elif done.result is not None:
        Console().print(people_table(msgspec.json.decode(done.result, type=JobResult)))


def _roots(paths: Sequence[str]) -> str:
    """What the stages may read: the files that were named, as far as the setting can hold them."""
    joined = os.pathsep.join(paths)
    return os.sep if any(os.pathsep in p for p in paths) or len(joined.encode()) > LONGEST else joined


async def _analyze(
    settings: Settings, watched: Sequence[Watched], outputs: Outputs, console: Console, verbose: bool
) -> None:
    stopped = asyncio.ensure_future(asyncio.Event().wait())
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.cancel)
    supervisor = Supervisor(sys.stderr if verbose else None)
    with tempfile.TemporaryDirectory(prefix="faces-") as data:
        server, url = embedded_server(Path(data), 0)
        supervisor.start(server)
        try:
            work = asyncio.ensure_future(_work(settings, watched, outputs, url, supervisor, console))
            failure = asyncio.ensure_future(supervisor.wait())
            await asyncio.wait([work, failure, stopped], return_when=asyncio.FIRST_COMPLETED)
            for task in (work, failure):
                if task.done():
                    return task.result()
                task.cancel()
            raise KeyboardInterrupt
        finally:
            await supervisor.stop(within=0)  # the jobs have ended, and the server's data goes with it


async def _work(
    settings: Settings,
    watched: Sequence[Watched],
    outputs: Outputs,
    url: str,
    supervisor: Supervisor,
    console: Console,
) -> None:
    await wait_for_server(url)
    roots = _roots([w.source.path for w in watched])
    required = [worker_type.name for worker_type in WORKER_TYPES if worker_type.required]
    for worker_types in ([name for name in required if name != "analyze"], ["analyze"]):
        environment = clean_environment(
            REDIS_URL=url,
            FACES_MEDIA_ROOTS=roots,
            FACES_PARTITIONS="1",
            LOG_FORMAT="console",
            FACES_WORKER="local",
        )
        command = [sys.executable, "-m", "consumers", *worker_types]
        supervisor.start(Child("+".join(worker_types), command, environment))
    partitions = Partitions(settings.prefix)
    async with Redis.from_url(url, socket_timeout=10) as redis:
        jobs, reader = Jobs(redis, partitions, settings), JobReader(redis, partitions)
        waiting, running = deque(watched), list[Watched]()
        looks = 0
        with Bars(console, len(watched)) as bars:
            while waiting or running:
                while waiting and len(running) < AT_ONCE:
                    job = waiting.popleft()
                    job.bar = bars.begin(job.source.name)
                    await jobs.submit(job.request, job.job_id)
                    running.append(job)
                for job in running:
                    await _look(reader, job, outputs)
                    await _show(redis, partitions.home, job, bars, looks % COUNT_EVERY == 0)
                running = [job for job in running if job.state is None or not job.state.ended]
                looks += 1
                await asyncio.sleep(POLL)


async def _look(reader: JobReader, job: Watched, outputs: Outputs) -> None:
    """How far the job is; a result is taken, and written, as soon as it is there, since it expires."""
    state = job.state = await reader.read(job.job_id)
    if state is None:
        raise ProcessFailed(f"the record of {job.source.path} has vanished")
    if state.status != "completed" or (stored := await reader.result(state)) is None:
        return
    job.result = result_json(state, stored.body)
    pictures = NO_PICTURES
    if outputs.wants_report:
        result = msgspec.json.decode(job.result, type=JobResult)
        pictures = await reader.pictures(state, [face.face_id for face in result.faces[: report.PEOPLE]])
    await asyncio.to_thread(outputs.write, job.source, job.result, pictures, job.request.parameters)


async def _show(redis: Redis, names: Names, job: Watched, bars: Bars, count: bool) -> None:
    """Moves the job's bar; `count`: the people so far too."""
    state, bar = job.state, job.bar
    assert state is not None and bar is not None
    if state.ended:
        bars.end(bar, job.source.name, state)
        return
    if count and state.done > len(job.frames):
        job.people = await _people_so_far(redis, names, job, state)
    bars.show(bar, state, job.people)


async def _people_so_far(redis: Redis, names: Names, job: Watched, state: JobState) -> int:
    """The people among the frames analysed so far, as finalize would count them."""
    keys = names.job(state.alias or state.job_id)
    told = cast("dict[bytes, bytes]", await redis.hgetall(keys.outcomes))
    fields = {
        f"{unit.decode()}{outcome.field}"
        for unit, outcome in ((u, outcomes.decode_outcome(v)) for u, v in told.items())
        if outcome.state != "failed"
    }
    if new := sorted(fields - job.frames.keys()):
        stored = cast("list[bytes | None]", await redis.hmget(keys.faces, new))
        job.frames |= {
            name: msgspec.msgpack.decode(value, type=FrameFaces)
            for name, value in zip(new, stored, strict=True)
            if value is not None
        }
    parameters = state.request.parameters
    people = await asyncio.to_thread(
        gather,
        list(job.frames.values()),
        threshold=parameters.embedding_similarity_threshold,
        deduplicate=parameters.enable_deduplication,
        sampling_interval=parameters.sampling_interval,
        min_quality=parameters.min_quality or 0.0,
        max_faces=parameters.max_faces,
    )
    return len(people.persons)
