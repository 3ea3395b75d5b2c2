"""``faces analyze``: finds the people in videos with the stages of the service and an embedded server."""

import asyncio
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from compose.arguments import DEFAULT_LIBRARY, Commands, data_option, to_type
from compose.terminal import print_json
from schemas.settings import Settings, SettingsError

if TYPE_CHECKING:  # slow to import
    from rich.console import Console

    from compose.local_jobs import LocalJob
    from compose.local_library import Recurring
    from compose.sources import Source
    from schemas.requests import AnalyzeRequest
    from schemas.store.additions import Addition


def register(commands: Commands) -> None:
    """Adds ``faces analyze``."""
    parser = commands.add_parser(
        "analyze", help="find the people in videos, without a running service", parents=[data_option()]
    )
    parser.add_argument(
        "sources", nargs="+", metavar="SOURCE",
        help="a video, a picture, a directory, a glob pattern or an http address",
    )  # fmt: skip
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", dest="assignments",
        help="a parameter of the request; nested names with dots: enhancement.enabled=true; lists as JSON or with"
        " commas",
    )  # fmt: skip
    parser.add_argument(
        "--out", metavar="FILE", help="write the results as JSON; DIR/: one file for each source"
    )
    parser.add_argument(
        "--report", metavar="FILE", help="write an HTML page with the people; DIR/: one for each source"
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write a table, one row for each detection")
    parser.add_argument(
        "--parquet",
        type=Path,
        metavar="FILE",
        help="write the same table as Parquet (needs the package pyarrow)",
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
    assignments: Sequence[str],
    out: str | None,
    report: str | None,
    csv: Path | None,
    parquet: Path | None,
    as_json: bool,
    resume: bool,
    data: Path | None,
    verbose: bool,
) -> int:
    """Analyses the sources, prints their people and writes the files.

    Everything that shows without decoding is checked first; only then is anything slow imported or started.

    Returns:
        Exit status: 0 when every job completed, 1 when one failed, 2 when nothing could be started, 130 when
        interrupted.
    """
    from rich.console import Console
    from rich.text import Text

    from compose.outputs import OutputError, OutputOptions, Outputs
    from compose.parameters import WrongParameters, parse
    from compose.sources import expand, noun
    from schemas.file_names import printable

    console = Console(stderr=True)
    mistakes: list[str] = []
    try:
        settings = Settings.from_env()
    except SettingsError as error:
        settings = Settings()
        mistakes.append(str(error))
    none = os.environ.get("FACES_LIBRARY") == ""  # not set is another thing
    try:
        request = parse(assignments, {"library": None if none else settings.library or DEFAULT_LIBRARY})
        os.fspath(settings.models_path)
        if request.parameters.library and data is None:
            os.fspath(settings.data_path)  # both need a home directory
    except WrongParameters as error:
        mistakes += [f"--set {mistake}" for mistake in error.mistakes]
    except SettingsError as error:
        mistakes.append(str(error))
    found, notes = expand(sources)
    for note in notes:
        console.print(Text(note, "yellow"))
    try:
        outputs = Outputs(OutputOptions(out, report, csv, parquet, resume), found)
    except OutputError as error:
        mistakes += str(error).splitlines()
    if mistakes or all(source.fault for source in found):
        for mistake in mistakes:
            console.print(Text(printable(f"faces analyze: {mistake}"), "red"), soft_wrap=True)
        for source in found:
            if source.fault:
                _print_failure(source, source.fault, as_json, console)
        return 2
    for note in _doubts(settings, request):
        console.print(Text(note, "yellow"), soft_wrap=True)
    earlier = [outputs.finished(source) for source in found]
    to_do = sum(result is None and not source.fault for source, result in zip(found, earlier, strict=True))
    if finished := len(found) - earlier.count(None):
        console.print(f"{finished} of {len(found)} {noun(found)} were done already")
    if to_do:
        console.print("loading models …")

    from redis.exceptions import RedisError

    from compose.local_jobs import LocalJob, analyze
    from compose.supervisor import ProcessFailed
    from compose.tables import library_table
    from models.fetch import ModelsUnavailable, ensure, is_installed
    from schemas.logs import configure_logs

    # This process adds to the library as a stage does; standard output is for results.
    configure_logs(msgspec.structs.replace(settings, log_level="WARNING", log_format="console"))

    run_id = secrets.token_hex(6)  # a library keeps the ids of jobs
    jobs = [
        LocalJob(
            source,
            msgspec.structs.replace(request, video_path=source.text),
            f"local-{run_id}-{number}",
            result,
        )
        for number, (source, result) in enumerate(zip(found, earlier, strict=True))
    ]
    films, interrupted = list["Addition"](), False
    try:
        if to_do:
            if not is_installed(settings.pack, settings.models_path):
                console.print(f"fetching the model pack {settings.pack} …")
            ensure(settings.pack, settings.models_path)
            unfinished = [job for job in jobs if job.result is None and not job.source.fault]
            films, interrupted = asyncio.run(analyze(settings, unfinished, outputs, data, console, verbose))
        library = request.parameters.library or ""
        people = _keep(settings, library, films, data, jobs, console) if library else []
        for job in jobs:
            if job.result and job.is_identified:
                outputs.write_again(job.source, job.result)
        outputs.write_together([job.result for job in jobs if job.result])
    except (OutputError, ModelsUnavailable, ProcessFailed, RedisError, OSError) as error:
        text = str(error).removeprefix("faces analyze: ")  # as the process of that name reports it
        console.print(Text(printable(f"faces analyze: {text}"), "red"), soft_wrap=True)
        if verbose:
            console.print_exception()
        return 2
    for job in jobs:
        if job.is_done or not interrupted:
            _print(job, as_json, console)
    if people and not as_json:
        Console().print(library_table(library, people, sum(job.is_done for job in jobs)))
        named = "" if library == (settings.library or DEFAULT_LIBRARY) else f" --library {library}"
        listing = to_type(f"people list{named}", data)
        console.print(Text(f"all people of the library: {listing}"), soft_wrap=True)
    if any(job.result for job in jobs) and outputs.places:
        console.print(Text(printable(f"written to {', '.join(outputs.places)}")), soft_wrap=True)
    if interrupted:
        done = sum(job.is_done for job in jobs)
        console.print(f"stopped: {done} of {len(jobs)} {noun(found)} are done. {outputs.how_to_go_on}")
        return 130
    return 0 if all(job.is_done for job in jobs) else 1


def _doubts(settings: Settings, request: "AnalyzeRequest") -> Iterator[str]:
    """Yields a sentence for each parameter that has no effect here."""
    parameters = request.parameters
    if parameters.enhancement.enabled and not settings.frame_server_url:
        yield "enhancement.enabled: no face will be enhanced, since FRAME_SERVER_URL names no Frame Server"
    if parameters.match_collections:
        yield "match_collections: nobody will be named, since collections belong to a service (faces up)"


def _keep(
    settings: Settings,
    library: str,
    films: "Sequence[Addition]",
    data: Path | None,
    jobs: "Sequence[LocalJob]",
    console: "Console",
) -> "list[Recurring]":
    """Adds the films to the library of the data directory, and to the results who their people are there, those of an
    earlier run among them; returns these people."""
    from redis.exceptions import RedisError
    from rich.text import Text

    from compose.local_library import keep
    from compose.supervisor import ProcessFailed
    from schemas.file_names import printable

    known = [(job, faces) for job in jobs if job.is_done and (faces := job.identities())]
    if not (films or known):
        return []
    try:
        kept = asyncio.run(
            keep(settings, library, films, data, [(job.analysis, faces) for job, faces in known])
        )
    except (ProcessFailed, RedisError, OSError) as error:
        note = f"The people were not added to the library {library}: {error}"
        console.print(Text(printable(note), "yellow"))
        return []
    for (job, _), fields in zip(known, kept.fields, strict=True):
        job.identify(fields)
    return kept.people


def _print(job: "LocalJob", as_json: bool, console: "Console") -> None:
    """Prints the result as a line of JSON or as a table of people; errors and notes to standard error."""
    from rich.console import Console
    from rich.text import Text

    from compose.tables import notes, people_table
    from schemas.file_names import printable
    from schemas.results import JobResult

    if not job.is_done:
        _print_failure(job.source, job.error, as_json and job.result is None, console)
    if job.result is not None:
        result = msgspec.json.decode(job.result, type=JobResult)
        if as_json:
            print_json(msgspec.Raw(job.result))
        else:
            terminal = Console()
            terminal.print(people_table(result, terminal.width))
        for note in notes(result):
            console.print(Text(printable(f"{job.source.path}: {note}"), "yellow"), soft_wrap=True)


def _print_failure(source: "Source", error: str, as_json: bool, console: "Console") -> None:
    from rich.text import Text

    from schemas.file_names import printable

    console.print(Text(printable(f"{source.path}: {error}"), "red"), soft_wrap=True)
    if as_json:
        print_json({"video_path": source.text, "status": "failed", "error": error})
