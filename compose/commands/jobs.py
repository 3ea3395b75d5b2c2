"""``faces jobs list | show | again | cancel | delete``: the jobs on the server of REDIS_URL."""

import asyncio
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from compose.arguments import Commands, output_options
from compose.terminal import print_json, print_table
from schemas.names import Partitions
from schemas.settings import Settings

if TYPE_CHECKING:  # redis takes long to import
    from schemas.store.job_reader import JobReader, JobState
    from schemas.store.jobs import Jobs


def register(commands: Commands) -> None:
    """Adds ``faces jobs`` and its actions."""
    jobs = commands.add_parser("jobs", help="list, show, repeat, cancel or delete jobs (server: REDIS_URL)")
    actions = jobs.add_subparsers(required=True, metavar="ACTION")
    newest = actions.add_parser("list", help="list jobs, newest first", parents=[output_options()])
    newest.add_argument("--limit", type=int, default=50, metavar="N", help="at most N (default %(default)s)")
    newest.set_defaults(run=list_jobs)
    for action, text in (
        ("show", "print state and result"),
        ("again", "submit the same request as a new job, print its id"),
        ("cancel", "cancel jobs that wait or run"),
        ("delete", "delete jobs that have ended, with their results"),
    ):
        parser = actions.add_parser(action, help=text, parents=[output_options()])
        parser.add_argument("job_ids", nargs="+", metavar="JOB_ID")
        parser.set_defaults(run=run, action=action)


def list_jobs(limit: int, as_json: bool) -> int:
    """Prints the newest jobs; returns the exit status."""
    states = asyncio.run(_newest(Settings.from_env(), limit))
    if as_json:
        print_json(states)
        return 0
    print_table(
        ("job", "submitted", "status", "progress", "people", "source"),
        (
            (
                state.job_id, state.created_at, state.status, f"{state.progress:.0%}",
                str(state.summary.unique_faces) if state.summary else state.error or "",
                state.video_path,
            )
            for state in states
        ),
    )  # fmt: skip
    return 0


def run(action: str, job_ids: Sequence[str], as_json: bool) -> int:
    """Applies the action to each job, prints the outcomes.

    Returns:
        Exit status: 0 when it could be done for every job.
    """
    outcomes = asyncio.run(_run(Settings.from_env(), action, job_ids))
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
    if not outcome["done"]:
        sys.stderr.write(f"faces jobs {action}: {outcome['job_id']}: {REFUSALS[action]}\n")
    elif "new_job_id" in outcome:
        sys.stdout.write(f"{outcome['new_job_id']}\n")
    elif "state" in outcome:
        for part in (outcome["state"], outcome["result"]):
            if part is not None:
                sys.stdout.write(msgspec.json.format(msgspec.json.encode(part)).decode() + "\n")


REFUSALS = {
    "show": "no such job",
    "again": "no such job",
    "cancel": "no such job, or it has ended",
    "delete": "no such job, or it has not ended",
}
