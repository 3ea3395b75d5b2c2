"""``faces analyze``: finds the people in videos with the stages of the service and an embedded server."""

import argparse
import asyncio
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from compose.arguments import DEFAULT_LIBRARY, Commands, data_option
from compose.terminal import print_json
from schemas.settings import Settings, SettingsError

if TYPE_CHECKING:  # rich takes a while to import, api.pages more
    from rich.console import Console

    from compose.local_jobs import LocalJob
    from schemas.store.additions import Addition


def register(commands: Commands) -> None:
    """Adds ``faces analyze``."""
    parser = commands.add_parser(
        "analyze", help="find the people in videos, without a running service", parents=[data_option()]
    )
    parser.add_argument(
        "sources", nargs="+", metavar="SOURCE", help="a video, a picture, a directory or a glob pattern"
    )
    parser.add_argument(
        "--set", action="append", default=[], type=_assignment, metavar="NAME=VALUE", dest="assignments",
        help="a parameter of the request, nested names with dots: enhancement.enabled=true",
    )  # fmt: skip
    parser.add_argument(
        "--out", metavar="FILE", help="write the results as JSON; DIR/: one file for each source"
    )
    parser.add_argument(
        "--report", metavar="FILE", help="write an HTML page with the people; DIR/: one for each source"
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write a table, one row for each detection")
    parser.add_argument(
        "--parquet", type=Path, metavar="FILE", help="write the same table as Parquet (extra parquet)"
    )
    parser.add_argument(
        "--json", action="store_true", dest="as_json", help="print a line of JSON for each source"
    )
    parser.add_argument(
        "--resume", action="store_true",
        help="skip sources with a complete result in --out DIR/ that is newer than they are; parameters are"
        " not compared",
    )  # fmt: skip
    parser.add_argument(
        "--verbose", action="store_true", help="show the log of the stages, and the traceback of an error"
    )
    parser.set_defaults(run=run)


def run(
    sources: Sequence[str],
    assignments: Sequence[tuple[str, Any]],
    out: str | None,
    report: str | None,
    csv: Path | None,
    parquet: Path | None,
    as_json: bool,
    resume: bool,
    data: Path,
    verbose: bool,
) -> int:
    """Analyses the sources, prints their people and writes the files.

    Returns:
        Exit status: 0 when every job completed, 1 when one failed, 2 when nothing could be started.
    """
    from redis.exceptions import RedisError
    from rich.console import Console
    from rich.text import Text

    from compose.local_jobs import LocalJob, analyze
    from compose.outputs import OutputError, OutputOptions, Outputs
    from compose.sources import NoSource, expand
    from compose.supervisor import ProcessFailed
    from models.fetch import ModelsUnavailable, ensure
    from schemas.file_names import printable
    from schemas.requests import RequestError, to_request

    console = Console(stderr=True)
    parameters = {"library": os.environ.get("FACES_LIBRARY", DEFAULT_LIBRARY)} | _nested(assignments)
    run_id = secrets.token_hex(6)  # a library keeps the ids of jobs
    try:
        settings = Settings.from_env()
        request = to_request({"video_path": "?", "parameters": parameters})
        found, notes = expand(sources)
        for note in notes:
            console.print(Text(note, "yellow"))
        outputs = Outputs(OutputOptions(out, report, csv, parquet, resume), found)
        jobs = [
            LocalJob(
                source,
                msgspec.structs.replace(request, video_path=source.text),
                job_id=f"local-{run_id}-{number}",
                result=outputs.finished(source),
                fault=source.fault,
            )
            for number, source in enumerate(found)
        ]
        unfinished = [job for job in jobs if job.result is None and not job.fault]
        finished = sum(job.is_done for job in jobs)
        films = []
        if unfinished:
            ensure(settings.pack, settings.models_path)
            films = asyncio.run(analyze(settings, unfinished, outputs, console, verbose))
        outputs.write_together([job.result for job in jobs if job.result])
    except (
        SettingsError, RequestError, NoSource, OutputError, ModelsUnavailable, ProcessFailed, RedisError, OSError
    ) as error:  # fmt: skip
        console.print(Text(printable(f"faces analyze: {error}"), "red"))
        if verbose:
            console.print_exception()
        return 2
    except KeyboardInterrupt:
        return 130
    if films:
        _keep(settings, films, data, as_json, console)
    if finished:
        console.print(f"{finished} of {len(jobs)} sources were done already")
    for job in jobs:
        _print(job, as_json, console)
    if any(job.result for job in jobs) and outputs.places:
        console.print(Text(printable(f"written to {', '.join(outputs.places)}")))
    return 0 if all(job.is_done for job in jobs) else 1


def _keep(
    settings: Settings, films: "Sequence[Addition]", data: Path, as_json: bool, console: "Console"
) -> None:
    """Adds the films to the library of the data directory, and prints who is in them, whichever file it is."""
    from redis.exceptions import RedisError
    from rich.console import Console
    from rich.text import Text

    from compose.local_library import keep
    from compose.supervisor import ProcessFailed
    from compose.tables import library_table
    from schemas.file_names import printable

    try:
        people = asyncio.run(keep(settings, films, data.expanduser()))
    except (ProcessFailed, RedisError, OSError) as error:
        note = f"The people were not added to the library {films[0].library}: {error}"
        console.print(Text(printable(note), "yellow"))
        return
    if not as_json:
        Console().print(library_table(films[0].library, people, len(films)))


def _print(job: "LocalJob", as_json: bool, console: "Console") -> None:
    """Prints the result as a line of JSON or as a table of people; errors and warnings to standard error."""
    from rich.console import Console
    from rich.text import Text

    from compose.tables import people_table
    from schemas.file_names import printable
    from schemas.results import JobResult

    if not job.is_done:
        console.print(Text(printable(f"{job.source.path}: {job.error}"), "red"))
    if as_json:
        failure = {"video_path": job.source.text, "status": "failed", "error": job.error}
        print_json(msgspec.Raw(job.result or msgspec.json.encode(failure)))
    if job.result is not None:
        result = msgspec.json.decode(job.result, type=JobResult)
        if not as_json:
            Console().print(people_table(result))
        for warning in result.metadata.warnings:
            console.print(Text(printable(f"{job.source.path}: {warning}"), "yellow"))


def _assignment(text: str) -> tuple[str, Any]:
    """Argument type: ``name=value``; the value is JSON where it can be decoded, else a string."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        return name, msgspec.json.decode(value)
    except msgspec.DecodeError:
        return name, value


def _nested(assignments: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Parameters as nested objects: ``a.b=1`` becomes ``{"a": {"b": 1}}``."""
    parameters: dict[str, Any] = {}
    for path, value in assignments:
        *parents, last = path.split(".")
        fields = parameters
        for parent in parents:
            fields = fields.setdefault(parent, {})
        fields[last] = value
    return parameters
