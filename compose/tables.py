"""Results as tables: people for the terminal, detections as CSV and Parquet."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from rich.table import Table
from rich.text import Text

from compose.terminal import counted
from schemas.file_names import printable
from schemas.metadata import STILLS
from schemas.results import Demographics, Face, JobResult
from schemas.table_cells import cell

if TYPE_CHECKING:  # loads the stages
    from compose.local_library import Recurring

COLUMNS = (
    "source", "face_id", "appearance", "timestamp", "frame_index", "x_min", "y_min", "x_max", "y_max",
    "confidence", "quality", "quality_size", "quality_pose", "quality_occlusion", "quality_sharpness",
    "pose", "yaw", "pitch", "roll", "enhanced", "representative", "age", "gender", "emotion",
    "person_id", "label", "age_low", "age_high",
)  # fmt: skip
WIDE_COLUMNS = 75
"""Width of a terminal from which the table of people has all columns."""
PARQUET = {
    **dict.fromkeys(("source", "face_id", "pose", "gender", "emotion", "person_id", "label"), "text"),
    **dict.fromkeys(("appearance", "frame_index", "x_min", "y_min", "x_max", "y_max"), "int"),
    **dict.fromkeys(("age", "age_low", "age_high"), "int"),
    **dict.fromkeys(("enhanced", "representative"), "bool"),
}
"""Types of the columns that are not 64-bit floats."""


def write_csv(results: Iterable[JobResult], to: BinaryIO) -> None:
    """Writes one row for each detection, in UTF-8; column `appearance` numbers a person's appearances from 1."""
    text = io.TextIOWrapper(to, encoding="utf-8", newline="")
    rows = csv.writer(text)
    rows.writerow(COLUMNS)
    for row in _all(results):
        rows.writerow(map(cell, row))
    text.detach()


def write_parquet(results: Iterable[JobResult], to: BinaryIO) -> None:
    """Writes the rows of `write_csv` with the types of `PARQUET`, compressed with Zstandard."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"text": pa.string(), "int": pa.int32(), "float": pa.float64(), "bool": pa.bool_()}
    schema = pa.schema([(name, types[PARQUET.get(name, "float")]) for name in COLUMNS])
    columns = [list(column) for column in zip(*_all(results), strict=True)] or [[] for _ in COLUMNS]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), to, compression="zstd")


def _all(results: Iterable[JobResult]) -> Iterable[tuple[Any, ...]]:
    for result in results:
        for face in result.faces:
            yield from _rows(result.metadata.video_path, face)


def _rows(source: str, face: Face) -> Iterable[tuple[Any, ...]]:
    person = face.demographics
    for detection in face.detections:
        box, quality, angles = detection.bbox, detection.quality, detection.pose_angles
        parts, time = quality.components, detection.timestamp
        appearance = sum(appearance.start <= time for appearance in face.appearances)
        yield (
            source, face.face_id, appearance, time, detection.frame_index,
            box.x_min, box.y_min, box.x_max, box.y_max, detection.confidence, quality.composite,
            parts.size, parts.pose, parts.occlusion, parts.sharpness,
            detection.pose, angles.yaw, angles.pitch, angles.roll,
            detection.enhanced, detection == face.representative_detection,
            *((person.age, person.gender, person.emotion) if person else (None, None, None)),
            face.person_id or None, face.label or None,
            *((person.age_low, person.age_high) if person else (None, None)),
        )  # fmt: skip


def _age(person: Demographics) -> str:
    """Returns the range of the age, or the age where no range is known."""
    if person.age_low is not None and person.age_high is not None:
        return f"{person.age_low}-{person.age_high}"
    return "" if person.age is None else str(person.age)


def notes(result: JobResult) -> list[str]:
    """Sentences about what a user should know before trusting the table: warnings, frames that failed, and
    enhancement that was asked for and not done."""
    metadata = result.metadata
    sentences = list(metadata.warnings)
    if metadata.failed_frames_count:
        total = metadata.failed_frames_count + metadata.frames_processed
        first = metadata.failed_frames[0].reason if metadata.failed_frames else "reason unknown"
        sentences.append(f"{metadata.failed_frames_count} of {total} frames could not be analysed: {first}")
    if metadata.enhancement is not None:
        for reason, frames in metadata.enhancement.reasons.items():
            sentences.append(f"{counted(frames, 'frame was', 'frames were')} not enhanced: {reason}")
    return sentences


def people_table(result: JobResult, columns: int) -> Table:
    """One row for each person.

    Args:
        columns: width of the terminal; quality and pose of the best shot are left out of a narrow one.
    """
    metadata = result.metadata
    wide, stills = columns >= WIDE_COLUMNS, metadata.frame_source in STILLS
    unit = "picture" if stills else "frame"
    where = (
        "numbers of the first, the last and the best" if stills else "first, last and best shot in seconds"
    )
    table = Table(
        title=Text(printable(Path(metadata.video_path).name)),
        box=None,
        header_style="underline",
        padding=(0, 1, 0, 0),
        pad_edge=False,
        caption=f"{counted(metadata.unique_faces, 'person', 'people')} in "
        f"{counted(metadata.frames_processed, f'analysed {unit}', f'analysed {unit}s')}. {unit.capitalize()}s: in how"
        f" many a person was seen; {where}{'; quality 0 to 1' if wide else ''}",
        caption_justify="left",
    )
    for name in ("person", f"{unit}s", "first", "last", "best"):
        table.add_column(name, justify="left" if name == "person" else "right")
    if wide:
        table.add_column("quality", justify="right")
        table.add_column("pose")
    table.add_column("age", justify="right")
    table.add_column("gender")
    table.add_column("emotion")
    for face in result.faces:
        best, person = face.representative_detection, face.demographics
        table.add_row(
            face.face_id,
            str(len(face.detections)),
            *(
                str(seen.frame_index + 1) if stills else f"{seen.timestamp:.1f}"
                for seen in (face.detections[0], face.detections[-1], best)
            ),
            *([f"{best.quality.composite:.2f}", best.pose] if wide else []),
            _age(person) if person else "",
            (person.gender or "") if person else "",
            (person.emotion or "") if person else "",
        )
    return table


def library_table(library: str, people: "Sequence[Recurring]", files: int) -> Table:
    """One row for each person of several files; hidden people are left out."""
    shown = [one for one in people if not one.person.hidden]
    table = Table(
        title=Text("People in all files"),
        box=None,
        header_style="underline",
        padding=(0, 1, 0, 0),
        pad_edge=False,
        caption=f"{counted(len(shown), 'person', 'people')} in {counted(files, 'file', 'files')};"
        f" library {library}",
    )
    for name in ("person", "name", "files", "in library", "seconds", "pictures"):
        table.add_column(name, justify="left" if name in ("person", "name") else "right", no_wrap=True)
    for one in shown:
        table.add_row(
            one.person.person_id,
            Text(printable(one.person.label or "")),
            str(one.files),
            str(one.person.films),
            f"{one.person.seconds:.1f}",
            str(one.person.pictures),
        )
    return table
