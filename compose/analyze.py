"""``faces analyze``: videos in, people out, through the same stages as the service, on a server of its own."""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import msgspec
from redis.asyncio import Redis
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from compose.server import embedded_server, wait_for_server
from compose.supervisor import Child, ProcessFailed, Supervisor, clean_environment
from consumers import outcomes
from facecore.people import gather
from models.fetch import ModelsUnavailable, ensure
from schemas.job_states import JobReader, JobState, result_json
from schemas.jobs import Jobs, QueueFull
from schemas.names import Names, Partitions
from schemas.observations import FrameFaces
from schemas.requests import RequestError, to_request
from schemas.results import JobResult
from schemas.settings import Settings, SettingsError

POLL = 0.1
COUNT_EVERY = 10
"""People so far are counted at every tenth look: that costs a clustering."""
STAGES = (["frames", "enhance", "finalize"], ["analyze"])


@dataclass
class Watched:
    """A job and what is known of it so far."""

    source: str
    job_id: str
    bar: TaskID
    state: JobState | None = None
    result: bytes | None = None
    frames: dict[str, FrameFaces] = field(default_factory=dict)


def analyze(sources: Sequence[str], parameters: dict[str, Any], out: Path | None, verbose: bool) -> int:
    """Analyses the sources and prints their people.

    Returns:
        Exit status: 0 when every job completed, 1 when one failed, 2 when nothing could be started.
    """
    console = Console(stderr=True)
    try:
        settings = Settings.from_env()
        requests = [
            to_request({"video_path": str(Path(s).absolute()), "parameters": parameters}) for s in sources
        ]
        ensure(settings.pack, settings.models_path)
        roots = _roots([request.video_path for request in requests])
        watched = asyncio.run(_analyze(settings, requests, roots, console, verbose))
    except (SettingsError, RequestError, ModelsUnavailable, ProcessFailed) as error:
        console.print(Text(f"faces analyze: {error}", "red"))
        return 2
    except KeyboardInterrupt:
        return 130
    results = [msgspec.json.decode(w.result, type=JobResult) for w in watched if w.result]
    for result in results:
        Console().print(_table(result))
    for failed in (w for w in watched if w.result is None):
        reason = failed.state.error if failed.state else "its record has vanished"
        console.print(Text(f"{failed.source}: {reason}", "red"))
    if out is not None and results:
        whole = [w.result for w in watched if w.result]
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_bytes(whole[0] if len(sources) == 1 else b"[" + b",\n".join(whole) + b"]")
        console.print(f"written to {out}")
    return 0 if len(results) == len(watched) else 1


def _roots(paths: Sequence[str]) -> str:
    """What the stages may read: the files that were named, which the setting can only hold without separators."""
    return os.sep if any(os.pathsep in path for path in paths) else os.pathsep.join(paths)


async def _analyze(
    settings: Settings, requests: Sequence[Any], roots: str, console: Console, verbose: bool
) -> list[Watched]:
    stopped = asyncio.ensure_future(asyncio.Event().wait())
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.cancel)
    supervisor = Supervisor(sys.stderr if verbose else None)
    with tempfile.TemporaryDirectory(prefix="faces-") as data:
        server, url = embedded_server(Path(data), 0)
        supervisor.start(server)
        try:
            work = asyncio.ensure_future(_work(settings, requests, roots, url, supervisor, console))
            failure = asyncio.ensure_future(supervisor.wait())
            await asyncio.wait([work, failure, stopped], return_when=asyncio.FIRST_COMPLETED)
            for task in (work, failure):
                if task.done():
                    return cast("list[Watched]", task.result())
                task.cancel()
            raise KeyboardInterrupt
        finally:
            await supervisor.stop(within=0)  # the jobs have ended, and the server's data goes with it


async def _work(
    settings: Settings,
    requests: Sequence[Any],
    roots: str,
    url: str,
    supervisor: Supervisor,
    console: Console,
) -> list[Watched]:
    await wait_for_server(url)
    for stages in STAGES:
        environment = clean_environment(
            REDIS_URL=url,
            FACES_MEDIA_ROOTS=roots,
            FACES_PARTITIONS="1",
            LOG_FORMAT="console",
            FACES_WORKER="local",
        )
        command = [sys.executable, "-m", "consumers", *stages]
        supervisor.start(Child("+".join(stages), command, environment))
    partitions = Partitions(settings.prefix)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[sampled]} frames sampled, {task.completed:.0f} analysed,"),
        TextColumn("{task.fields[people]} people so far"),
        TimeElapsedColumn(),
    )
    async with Redis.from_url(url, socket_timeout=10) as redis:
        jobs = Jobs(redis, partitions, settings)
        with Progress(*columns, console=console) as progress:
            watched = []
            for number, request in enumerate(requests):
                bar = progress.add_task(Path(request.video_path).name, total=None, sampled=0, people=0)
                watched.append(Watched(request.video_path, f"local-{number}", bar))
                await _submit(jobs, request, watched[-1].job_id)
            await _follow(JobReader(redis, partitions), redis, partitions.home, watched, progress)
    return watched


async def _submit(jobs: Jobs, request: Any, job_id: str) -> None:
    while True:
        try:
            await jobs.submit(request, job_id)
        except QueueFull:
            await asyncio.sleep(POLL)
        else:
            return


async def _follow(
    reader: JobReader, redis: Redis, names: Names, watched: Sequence[Watched], progress: Progress
) -> None:
    """Until every job has ended; a result is taken as soon as it is there, since it expires."""
    looks = 0
    while running := [w for w in watched if w.state is None or not w.state.ended]:
        for job in running:
            state = job.state = await reader.read(job.job_id)
            if state is None:
                raise ProcessFailed(f"the record of {job.source} has vanished")
            people: int | None = None
            if state.status == "completed" and state.summary is not None:
                stored = await reader.result(state)
                job.result = result_json(state, stored.body) if stored else None
                people, done = state.summary.unique_faces, state.summary.frames_processed
                progress.update(job.bar, total=done, completed=done, sampled=done, people=people)
            elif not state.ended:
                if looks % COUNT_EVERY == 0 and state.done > len(job.frames):
                    people = await _people_so_far(redis, names, job, state)
                if people is not None:
                    progress.update(job.bar, people=people)
                progress.update(
                    job.bar, total=state.expected or None, completed=state.done, sampled=state.sampled
                )
        looks += 1
        await asyncio.sleep(POLL)


async def _people_so_far(redis: Redis, names: Names, job: Watched, state: JobState) -> int:
    """The people among the frames analysed so far, as finalize would count them."""
    keys = names.job(state.alias or state.job_id)
    told = cast("dict[bytes, bytes]", await redis.hgetall(keys.outcomes))
    fields = {
        f"{unit.decode()}{outcome.field}"
        for unit, outcome in ((u, outcomes.decode(v)) for u, v in told.items())
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


def _table(result: JobResult) -> Table:
    metadata = result.metadata
    table = Table(
        title=Text(Path(metadata.video_path).name),
        box=None,
        header_style="underline",
        padding=(0, 1, 0, 0),
        pad_edge=False,
        caption=f"{metadata.unique_faces} people in {metadata.frames_processed} frames, times in s",
    )
    for name in ("person", "seen", "from", "to", "best", "quality", "pose", "age", "gender", "emotion"):
        right = name in ("seen", "from", "to", "best", "quality", "age")
        table.add_column(name, justify="right" if right else "left", no_wrap=True)
    for face in result.faces:
        best, told = face.representative_detection, face.demographics
        table.add_row(
            face.face_id,
            str(len(face.detections)),
            f"{face.detections[0].timestamp:.1f}",
            f"{face.detections[-1].timestamp:.1f}",
            f"{best.timestamp:.1f}",
            f"{best.quality.composite:.2f}",
            best.pose,
            str(told.age) if told and told.age is not None else "",
            (told.gender or "") if told else "",
            (told.emotion or "") if told else "",
        )
    return table
