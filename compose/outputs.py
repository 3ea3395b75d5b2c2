"""Writes the files of ``faces analyze`` atomically, and finds those of an earlier run."""

import hashlib
import io
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from compose.sources import Source
from schemas.requests import Parameters
from schemas.results import JobResult

if TYPE_CHECKING:  # slow to import, and all options are checked before
    from api.pages.report import Reported
    from schemas.store.pictures import Pictures

MAX_NAME_BYTES = 240
"""Length of an output file's name; file systems allow 255 bytes, and the unfinished file has a longer name."""
KEPT_NAME_BYTES = 200
"""Length of the beginning of a longer name that is kept before its hash."""


class OutputError(ValueError):
    """The output options cannot be followed, or a file cannot be written; the text has a line for each mistake."""


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


class Shown(NamedTuple):
    """What a page shows of a source."""

    result: bytes
    pictures: "Pictures"
    parameters: Parameters

    def reported(self) -> "Reported":
        """Decodes it."""
        from api.pages.report import Reported

        result = msgspec.json.decode(self.result, type=JobResult)
        return Reported(result.job_id, result.source_id, result, self.pictures, self.parameters)


class Outputs:
    """The output files of a set of sources.

    Raises:
        OutputError: names all options that cannot be followed, or the directory that cannot be written to.
    """

    def __init__(self, options: OutputOptions, sources: Sequence[Source]) -> None:
        self._options = options
        self._many = len(sources) > 1
        self._shown: dict[str, Shown] = {}
        self._order = [source.path for source in sources]
        if mistakes := list(self._mistakes(sources)):
            raise OutputError("\n".join(mistakes))
        for place in self.places:
            _prepare(Path(place) if _is_directory(place) else Path(place).parent)

    def _mistakes(self, sources: Sequence[Source]) -> Iterator[str]:
        """Yields a sentence for each option that cannot be followed; nothing is made or written."""
        options = self._options
        if options.resume and not (options.out and (_is_directory(options.out) or not self._many)):
            yield "--resume needs a result file for each source: --out DIR/ (with the slash)"
        if options.resume and options.report and self._many and not _is_directory(options.report):
            yield "--resume cannot add finished sources to one --report file: use --report DIR/"
        if options.parquet is not None and find_spec("pyarrow") is None:
            yield "--parquet needs the package pyarrow: pip install 'pyarrow>=24'"
        for option, place, ending in (("--out", options.out, ".json"), ("--report", options.report, ".html")):
            if place and not (_is_directory(place) or Path(place).suffix or os.path.lexists(place)):
                yield (
                    f"{option} {place}: there is no such directory; to make it, add a slash: {option} {place}/"
                    f" (or name a file: {place}{ending})"
                )
        for option, table in (("--csv", options.csv), ("--parquet", options.parquet)):
            if table is not None and table.is_dir():
                yield f"{option} {table}: this is a directory; the table of all sources is one file"
        names = Counter(source.name for source in sources)
        twice = next((name for name, count in names.items() if count > 1), None)
        if twice and any(place and _is_directory(place) for place in (options.out, options.report)):
            yield f"two sources are named {twice}: their output files would be the same"
        paths = {os.path.realpath(source.path) for source in sources if not source.is_address}
        files = [place for place in self.places if not _is_directory(place)]
        for place, count in Counter(map(os.path.realpath, files)).items():
            if count > 1:
                yield f"{place} is named by two options"
            if place in paths:
                yield f"{place} is a source and would be overwritten"
            elif os.path.exists(place) and not os.path.isfile(place):  # noqa: PTH110, PTH113
                yield f"{place} is no file that can be replaced"

    @property
    def wants_report(self) -> bool:
        """Whether `write` needs the pictures of people."""
        return self._options.report is not None

    def finished(self, source: Source) -> bytes | None:
        """With `resume`, the result of an earlier run: complete, of this source, and newer than the source."""
        out, page = self._file(self._options.out, source, ".json"), self._page(source)
        if not self._options.resume or out is None or (page and not os.path.isfile(page)):  # noqa: PTH113
            return None
        video = Path(source.path)
        try:
            if not video.is_file() or video.stat().st_mtime > out.stat().st_mtime:
                return None
            written = out.read_bytes()
            result = msgspec.json.decode(written, type=JobResult)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None
        return written if result.metadata.video_path == source.text else None

    def write(self, source: Source, result: bytes, pictures: "Pictures", parameters: Parameters) -> None:
        """Writes the files of one source."""
        if self.wants_report:
            from api.pages import report

            shown = self._shown[source.path] = Shown(result, pictures, parameters)
            if (page := self._page(source)) is not None:
                _write(page, report.render([shown.reported()]))
        if (out := self._file(self._options.out, source, ".json")) is not None:
            _write(out, result)  # last: `finished` takes this file as the sign that all are written

    def write_again(self, source: Source, result: bytes) -> None:
        """Writes the files of a source with another result of the same job, which says who its people are."""
        if (shown := self._shown.get(source.path)) is not None:
            self.write(source, result, shown.pictures, shown.parameters)
            return
        if (page := self._page(source)) is not None:  # of an earlier run: the pictures are in the page alone
            from api.pages import report

            _write(page, report.renamed(page.read_bytes(), msgspec.json.decode(result, type=JobResult).faces))
        if (out := self._file(self._options.out, source, ".json")) is not None:
            _write(out, result)

    def write_together(self, results: Sequence[bytes]) -> None:
        """Writes the files that hold all sources."""
        from api.pages import report
        from compose.tables import write_csv, write_parquet

        out = self._options.out
        if out and self._many and not _is_directory(out) and results:
            _write(Path(out), b"[" + b",\n".join(results) + b"]")
        shown = [self._shown[path] for path in self._order if path in self._shown]
        if shown and self._many and self._options.report and not _is_directory(self._options.report):
            _write(Path(self._options.report), report.render([one.reported() for one in shown]))
        for place, write in ((self._options.csv, write_csv), (self._options.parquet, write_parquet)):
            if place is not None:
                table = io.BytesIO()
                write((msgspec.json.decode(result, type=JobResult) for result in results), table)
                _write(place, table.getvalue())

    @property
    def places(self) -> list[str]:
        """The files and directories that were asked for."""
        wanted = (self._options.out, self._options.report, self._options.csv, self._options.parquet)
        return [str(place) for place in wanted if place is not None]

    @property
    def how_to_go_on(self) -> str:
        """What to do after an interruption, as a sentence."""
        if self._options.resume:
            return "The same command goes on with the others."
        if self._options.out and (_is_directory(self._options.out) or not self._many):
            return "The same command with --resume goes on with the others."
        return "The same command starts anew; with --out DIR/ --resume it would go on with the others."

    def _page(self, source: Source) -> Path | None:
        return self._file(self._options.report, source, ".html")

    def _file(self, place: str | None, source: Source, suffix: str) -> Path | None:
        """The file of this source alone; None where it shares one with others or has none."""
        if place is None:
            return None
        if _is_directory(place):
            return Path(place, _shortened(PurePath(source.name), suffix))
        return None if self._many else Path(place)


def _is_directory(place: str) -> bool:
    return place.endswith("/") or Path(place).is_dir()


def _shortened(path: PurePath, suffix: str) -> PurePath:
    """Returns the path with the suffix added; a name too long for that ends in a hash of the whole name."""
    name = os.fsencode(path.name + suffix)
    if len(name) <= MAX_NAME_BYTES:
        return path.with_name(path.name + suffix)
    beginning = name[:KEPT_NAME_BYTES].decode(errors="ignore")
    return path.with_name(f"{beginning}~{hashlib.sha256(name).hexdigest()[:16]}{suffix}")


def _prepare(directory: Path) -> None:
    """Makes the directory before any work is done, so that an error costs nothing."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{directory} cannot be created: {error.strerror}") from error
    if not os.access(directory, os.W_OK):
        raise OutputError(f"{directory} is not writable")


def _write(path: Path, content: bytes) -> None:
    """Writes a file, or nothing.

    Raises:
        OutputError: the volume is full or not writable.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise OutputError(f"{path} cannot be written: {(error.strerror or str(error)).lower()}") from error
