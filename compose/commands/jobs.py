"""``faces jobs list | show | again | cancel | delete``: for an operator, on the server of REDIS_URL."""

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from schemas.names import Partitions
from schemas.settings import Settings
from schemas.store.connection import connect
from schemas.store.job_reader import JobReader, JobState, result_json
from schemas.store.jobs import Jobs


def run(action: str, job_ids: Sequence[str], limit: int, as_json: bool) -> int:
    """The exit status: 0 when every job named could be found, and done with what was asked."""
    return asyncio.run(_run(Settings.from_env(), action, job_ids, limit, as_json))


async def _run(settings: Settings, action: str, job_ids: Sequence[str], limit: int, as_json: bool) -> int:
    partitions = Partitions(settings.prefix, settings.partitions)
    async with connect(settings.redis_url) as redis:
        reader, jobs = JobReader(redis, partitions), Jobs(redis, partitions, settings)
        if action == "list":
            _list((await reader.latest(limit)).states, as_json)
            return 0
        outcomes = []
        for job_id in job_ids:
            match action:
                case "show":
                    outcomes.append(await _show(reader, job_id))
                case "again":
                    outcomes.append(await _again(reader, jobs, partitions, job_id))
                case "cancel":
                    outcomes.append({"job_id": job_id, "done": await jobs.cancel(job_id)})
                case _:
                    outcomes.append({"job_id": job_id, "done": await jobs.delete(job_id)})
        _tell(action, outcomes, as_json)
        return 0 if all(outcome["done"] for outcome in outcomes) else 1


async def _show(reader: JobReader, job_id: str) -> dict[str, Any]:
    """The state of the job and, when it is completed, its result."""
    state = await reader.read(job_id)
    if state is None:
        return {"job_id": job_id, "done": False}
    stored = await reader.result(state)
    result = msgspec.Raw(result_json(state, stored.body)) if stored else None
    return {"job_id": job_id, "done": True, "state": state, "result": result}


async def _again(reader: JobReader, jobs: Jobs, partitions: Partitions, job_id: str) -> dict[str, Any]:
    """Submits what the job was asked, as a new job."""
    state = await reader.read(job_id)
    if state is None:
        return {"job_id": job_id, "done": False}
    request = msgspec.structs.replace(state.request, job_id=None)
    submitted = await jobs.submit(request, partitions.new_job_id(request.video_path))
    return {"job_id": job_id, "done": True, "new_job_id": submitted.job_id}


def _tell(action: str, outcomes: Sequence[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        sys.stdout.write(msgspec.json.encode(outcomes).decode() + "\n")
        return
    for outcome in outcomes:
        if not outcome["done"]:
            sys.stderr.write(
                f"faces jobs {action}: no job {outcome['job_id']} that this could be done with\n"
            )
        elif "new_job_id" in outcome:
            sys.stdout.write(f"{outcome['new_job_id']}\n")
        elif "state" in outcome:
            for part in (outcome["state"], outcome["result"]):
                if part is not None:
                    sys.stdout.write(msgspec.json.format(msgspec.json.encode(part)).decode() + "\n")


def _list(states: Sequence[JobState], as_json: bool) -> None:
    if as_json:
        sys.stdout.write(msgspec.json.encode(states).decode() + "\n")
        return
    table = Table()
    for name in ("job", "submitted", "status", "progress", "people", "source"):
        table.add_column(name, overflow="fold")
    for state in states:
        people = str(state.summary.unique_faces) if state.summary else state.error or ""
        table.add_row(
            *(
                Text(cell)
                for cell in (
                    state.job_id, state.created_at, state.status, f"{state.progress:.0%}", people,
                    state.request.video_path,
                )
            )
        )  # fmt: skip
    Console().print(table)
