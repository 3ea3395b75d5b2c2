"""A result as a table: for the terminal, and as CSV with a row for every detection."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

from rich.table import Table
from rich.text import Text

from schemas.results import Face, JobResult

COLUMNS = (
    "source", "face_id", "appearance", "timestamp", "frame_index", "x_min", "y_min", "x_max", "y_max",
    "confidence", "quality", "quality_size", "quality_pose", "quality_occlusion", "quality_sharpness",
    "pose", "yaw", "pitch", "roll", "enhanced", "representative", "age", "gender", "emotion",
)  # fmt: skip


def write_csv(results: Iterable[JobResult], to: TextIO) -> None:
    """One row for each detection; `appearance` counts a person's appearances from 1."""
    rows = csv.writer(to)
    rows.writerow(COLUMNS)
    for result in results:
        for face in result.faces:
            rows.writerows(_rows(result.metadata.video_path, face))


def _rows(source: str, face: Face) -> Iterable[tuple[Any, ...]]:
    told = face.demographics
    for detection in face.detections:
        box, quality, angles = detection.bbox, detection.quality, detection.pose_angles
        parts, time = quality.components, detection.timestamp
        appearance = sum(appearance.start <= time for appearance in face.appearances)
        yield (
            source, face.face_id, appearance, time, detection.frame_index,
            box.x_min, box.y_min, box.x_max, box.y_max, detection.confidence, quality.composite,
            parts.size, parts.pose, parts.occlusion, parts.sharpness,
            detection.pose, angles.yaw, angles.pitch, angles.roll,
            int(detection.enhanced), int(detection == face.representative_detection),
            *((told.age, told.gender, told.emotion) if told else (None, None, None)),
        )  # fmt: skip


def people_table(result: JobResult) -> Table:
    """A row for each person."""
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
