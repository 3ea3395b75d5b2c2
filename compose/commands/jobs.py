"""``faces jobs list | show | again | cancel | keep | delete``: the jobs of a service."""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from compose import service
from compose.arguments import Commands, count, service_options
from compose.terminal import local_time, print_json, print_table
from schemas.names import Partitions
from schemas.settings import Settings

if TYPE_CHECKING:  # redis takes long to import
    from schemas.store.job_reader import JobReader, JobState
    from schemas.store.jobs import Jobs


def register(commands: Commands) -> None:
    """Adds ``faces jobs`` and its actions."""
    jobs = commands.add_parser("jobs", help="list, show, repeat, cancel, keep or delete jobs")
    actions = jobs.add_subparsers(required=True, metavar="ACTION")
    newest = actions.add_parser("list", help="list jobs, newest first", parents=[service_options()])
    newest.add_argument(
        "--limit", type=count, default=50, metavar="N", help="at most N (default %(default)s)"
    )
    newest.set_defaults(run=list_jobs)
    for action, text in (
        ("show", "print the state and the people; all of the result with --json"),
        ("again", "submit the same request as a new job, print its id"),
        ("cancel", "cancel jobs that wait or run"),
        ("keep", "keep completed jobs and their results until they are deleted"),
        ("delete", "delete jobs that have ended, with their results"),
    ):
        parser = actions.add_parser(action, help=text, parents=[service_options()])
        parser.add_argument("job_ids", nargs="+", metavar="JOB_ID")
        parser.set_defaults(run=run, action=action)


def list_jobs(limit: int, data: Path | None, as_json: bool) -> int:
    """Prints the newest jobs; returns the exit status."""
    states = asyncio.run(_newest(service.settings(data), limit))
    if as_json:
        print_json(states)
        return 0
    print_table(("job", "submitted", "status", "people", "source, or why it failed"), map(_row, states))
    return 0


def _row(state: "JobState") -> tuple[str, ...]:
    people = str(state.summary.unique_faces) if state.summary else ""
    running = f"{state.progress:.0%}" if state.status == "processing" else state.status
    name = state.video_path.rpartition("/")[2] or state.video_path
    source = f"{name}: {state.error}" if state.error else state.video_path
    return state.job_id, local_time(state.created), running, people, source


def run(action: str, job_ids: Sequence[str], data: Path | None, as_json: bool) -> int:
    """Applies the action to each job, prints the outcomes.

    Returns:
        Exit status: 0 when it could be done for every job.
    """
    outcomes = asyncio.run(_run(service.settings(data), action, job_ids))
    if as_json:
        print_json(outcomes)
    else:
        for outcome in outcomes:
            _print(action, outcome)
    return 0 if all(outcome["done"] for outcome in outcomes) else 1


async def _newest(settings: Settings, limit: int) -> "list[JobState]":
    from schemas.store.connection import connect
    from schemas.store.job_reader import JobReader

    async with connect(settings.redis_url) as redis:
        reader = JobReader(redis, Partitions(settings.prefix, settings.partitions))
        return (await reader.latest(limit)).states


async def _run(settings: Settings, action: str, job_ids: Sequence[str]) -> list[dict[str, Any]]:
    from schemas.store.connection import connect
    from schemas.store.job_reader import JobReader
    from schemas.store.jobs import Jobs

    partitions = Partitions(settings.prefix, settings.partitions)
    async with connect(settings.redis_url) as redis:
        reader, jobs = JobReader(redis, partitions), Jobs(redis, partitions, settings)
        outcomes = []
        for job_id in job_ids:
            match action:
                case "show":
                    outcomes.append(await _show(reader, job_id))
                case "again":
                    outcomes.append(await _resubmit(reader, jobs, partitions, job_id))
                case "cancel":
                    outcomes.append({"job_id": job_id, "done": await jobs.cancel(job_id)})
                case "keep":
                    outcomes.append({"job_id": job_id, "done": await jobs.keep(job_id)})
                case _:
                    outcomes.append({"job_id": job_id, "done": await jobs.delete(job_id)})
        return outcomes


async def _show(reader: "JobReader", job_id: str) -> dict[str, Any]:
    """The state of the job and, when it is completed, its result."""
    from schemas.store.job_reader import result_json

    state = await reader.read(job_id)
    if state is None:
        return {"job_id": job_id, "done": False}
    stored = await reader.result(state)
    result = msgspec.Raw(result_json(state, stored.body)) if stored else None
    return {"job_id": job_id, "done": True, "state": state, "result": result}


async def _resubmit(reader: "JobReader", jobs: "Jobs", partitions: Partitions, job_id: str) -> dict[str, Any]:
    """Submits the request of the job as a new job."""
    state = await reader.read(job_id)
    request = await reader.request(state) if state else None
    if request is None:
        return {"job_id": job_id, "done": False}
    request = msgspec.structs.replace(request, job_id=None)
    submitted = await jobs.submit(request, partitions.new_job_id(request.video_path))
    return {"job_id": job_id, "done": True, "new_job_id": submitted.job_id}


def _print(action: str, outcome: dict[str, Any]) -> None:
    from rich.console import Console

    from compose.tables import notes, people_table
    from schemas.file_names import printable
    from schemas.results import JobResult

    if not outcome["done"]:
        sys.stderr.write(f"faces jobs {action}: {outcome['job_id']}: {REFUSALS[action]}\n")
    elif "new_job_id" in outcome:
        sys.stdout.write(f"{outcome['new_job_id']}\n")
    elif "state" in outcome:
        state: JobState = outcome["state"]
        for name, value in (
            ("job", state.job_id),
            ("source", state.video_path),
            ("status", f"{state.status}, {state.progress:.0%} done" if not state.ended else state.status),
            ("submitted", local_time(state.created)),
            (
                "frames",
                f"{state.done} of {state.expected} analysed" if not state.ended and state.expected else None,
            ),
            ("ended", local_time(state.ended_at) if state.ended_at else None),
            ("answered by", state.alias),
            ("kept", "until it is deleted" if state.kept else None),
            (
                "gone in",
                f"{state.expires_in / 60:.0f} min" if state.expires_in is not None else None,
            ),
            ("error", state.error),
        ):
            if value:
                sys.stdout.write(f"{name:<12}{printable(value)}\n")
        if outcome["result"] is not None:
            result = msgspec.json.decode(outcome["result"], type=JobResult)
            console = Console()
            console.print(people_table(result, console.width))
            for note in notes(result):
                sys.stdout.write(f"{printable(note)}\n")
        elif state.status == "completed":
            sys.stdout.write("The result has expired.\n")


REFUSALS = {
    "show": "no such job",
    "again": "no such job",
    "cancel": "no such job, or it has ended",
    "keep": "no such job, or it has no result",
    "delete": "no such job, or it has not ended",
}
