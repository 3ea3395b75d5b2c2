"""The files that ``faces analyze`` writes, each at once or not at all, and which of them are there already."""

import io
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from api.pages import report
from api.pages.report import Reported
from compose.sources import Source
from compose.tables import NoParquet, need_parquet, write_csv, write_parquet
from schemas.requests import Parameters
from schemas.results import JobResult
from schemas.store.pictures import Pictures


class OutputError(ValueError):
    """The outputs that were asked for contradict each other; the text says how."""


@dataclass(frozen=True)
class OutputOptions:
    """The files to write.

    Attributes:
        out, report: a file, or a directory for one file of each source: one that exists, or ends in a slash.
        csv, parquet: one table of all sources.
        resume: sources with a complete result are skipped.
    """

    out: str | None = None
    report: str | None = None
    csv: Path | None = None
    parquet: Path | None = None
    resume: bool = False


class Outputs:
    """Where the results of these sources go.

    Raises:
        OutputError: several sources would go to one file that can hold one, or a place cannot be written to.
    """

    def __init__(self, options: OutputOptions, sources: Sequence[Source]) -> None:
        self._options = options
        self._many = len(sources) > 1
        self._reported: dict[str, Reported] = {}
        self._order = [source.path for source in sources]
        if options.resume and not (options.out and (_is_directory(options.out) or not self._many)):
            raise OutputError("--resume needs a file for each source: --out DIRECTORY/ (with the slash)")
        if options.resume and options.report and self._many and not _is_directory(options.report):
            raise OutputError(
                "--resume keeps no pictures of what is done for one --report of all: --report DIRECTORY/"
            )
        if options.parquet is not None:
            try:
                need_parquet()
            except NoParquet as error:
                raise OutputError(f"--parquet: {error}") from error
        names = Counter(source.name for source in sources)
        twice = next((name for name, count in names.items() if count > 1), None)
        if twice and any(place and _is_directory(place) for place in (options.out, options.report)):
            raise OutputError(f"two sources are called {twice}: their outputs would be one file")
        for place in self.places:
            _prepare(Path(place) if _is_directory(place) else Path(place).parent)

    @property
    def wants_report(self) -> bool:
        return self._options.report is not None

    def finished(self, source: Source) -> bytes | None:
        """The result of an earlier run, with `resume`: whole, of this source, and younger than the source."""
        out, page = self._file(self._options.out, source, ".json"), self._page(source)
        if not self._options.resume or out is None or not out.is_file() or (page and not page.is_file()):
            return None
        video = Path(source.path)
        if not video.is_file() or video.stat().st_mtime > out.stat().st_mtime:
            return None
        written = out.read_bytes()
        try:
            result = msgspec.json.decode(written, type=JobResult)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        return written if result.metadata.video_path == source.path else None

    def write(self, source: Source, result: bytes, pictures: Pictures, parameters: Parameters) -> None:
        """The files of one source, as soon as its job is completed."""
        if self.wants_report:
            told = msgspec.json.decode(result, type=JobResult)
            reported = Reported(told.job_id, told.source_id, told, pictures, parameters)
            if (page := self._page(source)) is not None:
                _write(page, report.render([reported]))
            else:
                self._reported[source.path] = reported
        if (out := self._file(self._options.out, source, ".json")) is not None:
            _write(out, result)  # the last one: with it the source counts as finished

    def write_together(self, results: Sequence[bytes]) -> None:
        """The files that hold all sources, at the end."""
        out = self._options.out
        if out and self._many and not _is_directory(out) and results:
            _write(Path(out), b"[" + b",\n".join(results) + b"]")
        if self._options.report and self._reported:
            pages = [self._reported[path] for path in self._order if path in self._reported]
            _write(Path(self._options.report), report.render(pages))
        for place, write in ((self._options.csv, write_csv), (self._options.parquet, write_parquet)):
            if place is not None:
                table = io.BytesIO()
                write((msgspec.json.decode(result, type=JobResult) for result in results), table)
                _write(place, table.getvalue())

    @property
    def places(self) -> list[str]:
        """What was asked for, to be named at the end."""
        wanted = (self._options.out, self._options.report, self._options.csv, self._options.parquet)
        return [str(place) for place in wanted if place is not None]

    def _page(self, source: Source) -> Path | None:
        return self._file(self._options.report, source, ".html")

    def _file(self, place: str | None, source: Source, suffix: str) -> Path | None:
        """The file of this source alone; None where there is none."""
        if place is None:
            return None
        if _is_directory(place):
            return Path(place) / (source.name + suffix)
        return None if self._many else Path(place)


def _is_directory(place: str) -> bool:
    return place.endswith("/") or Path(place).is_dir()


def _prepare(directory: Path) -> None:
    """Makes the directory: better refused now than when the work is done."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{directory} cannot be made: {error.strerror}") from error
    if not os.access(directory, os.W_OK):
        raise OutputError(f"{directory} cannot be written to")


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(content)
    part.replace(path)
