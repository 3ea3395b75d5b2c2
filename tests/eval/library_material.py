"""Films and photographs for a growing library: the people that the analysis finds in them, and who they are."""

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from facecore.analyzer import Analyzer, FrameInput
from facecore.library.prototypes import library_faces
from facecore.people import People, gather
from facecore.result_builder import describe
from facecore.vectors import to_bytes, unit
from schemas.library import FilmEntry, LibraryFace
from schemas.observations import FrameFaces
from tests.eval.crowd import Photographs
from tests.eval.footage import analysed, match, since_first_frame
from tests.inputs import picture

INTERVAL = 0.5
SAME_FOOTAGE = {"derived_hamilton_vp9.webm": "hamilton_9s.mp4"}
"""A video whose faces are labelled in another one, of which it is a copy."""
SAME_PEOPLE = {
    "asl_again_manA.mkv:person": "man A", "asl_student_manA.mkv:person": "man A", "grid_pwij3p.mpg:person": "id2",
    "derived_grid_concat.mp4:id2": "id2", "hamilton_9s.mp4:lin_manuel_miranda": "lin_manuel_miranda",
    "hamilton_9s.mp4:alex_lacamoire": "alex_lacamoire",
}  # fmt: skip
"""Labels of people who are in several films or photographs."""


class Shot(msgspec.Struct):
    """A film or photograph, and who its faces are; None: not labelled."""

    film: FilmEntry
    truth: list[str | None]


def footage(data: Path, analyzer: Analyzer) -> list[Shot]:
    """Returns the labelled videos and the photographs of a folder of test data."""
    marks = json.loads((data / "FACES_640.json").read_text())
    found = [_video(data / "videos" / name, marks, analyzer) for name in sorted(marks) if marks[name]]
    for file in sorted((data / "images").glob("*/*")):
        image = picture(file)
        frames = analyzer.analyze([FrameInput(0, 0.0, image, None)])
        people = _gather(frames)
        name = f"{file.parent.name}/{file.name}"
        largest = max(range(len(people.persons)), key=lambda i: _area(people, i), default=-1)
        truth = [file.parent.name if i == largest else None for i in range(len(people.persons))]
        found.append(_shot(name, people, truth))
    return found


def photographs(some: Photographs) -> list[Shot]:
    """Returns each photograph of a file of features as a film of one face."""
    lengths = np.linalg.norm(some.embeddings, axis=1)
    return [
        Shot(film(f"photo{i}", [(vector, float(length), 1, 0.0)]), [str(person)])
        for i, (vector, length, person) in enumerate(zip(some.embeddings, lengths, some.people, strict=True))
    ]


def composed(some: Photographs, films: int, seed: int, most: int = 12) -> list[Shot]:
    """Returns films of several people each, made of photographs: each person is seen in one to three of theirs."""
    rng = np.random.default_rng(seed)
    left = {
        str(name): list(rng.permutation(np.flatnonzero(some.people == name)))
        for name in np.unique(some.people)
    }
    found = []
    for number in range(films):
        known = [name for name in left if left[name]]
        if not known:
            break
        shares = np.array([len(left[name]) for name in known], float)
        size = min(int(rng.integers(2, most + 1)), len(known))
        cast = rng.choice(known, size, replace=False, p=shares / shares.sum())
        faces = []
        for name in cast:
            rows = [left[name].pop() for _ in range(min(int(rng.integers(1, 4)), len(left[name])))]
            mean = some.embeddings[rows].mean(axis=0)
            spread = 1 - float((unit(some.embeddings[rows]) @ unit(mean)).mean())
            faces.append((mean, float(np.linalg.norm(mean)), len(rows), spread))
        found.append(Shot(film(f"composed{number}", faces), [str(name) for name in cast]))
    return found


def film(name: str, faces: list[tuple[Any, float, int, float]]) -> FilmEntry:
    """Returns a film of faces given as vector, length, number of detections and spread."""
    return FilmEntry(
        film_id=name,
        job_id=name,
        pack="open",
        faces=tuple(
            LibraryFace(
                face_id=f"{name}/face_{i}",
                prototype=to_bytes(unit(vector)),
                sureness=length,
                detections=count,
                spread=spread,
            )
            for i, (vector, length, count, spread) in enumerate(faces)
        ),
    )


def _video(path: Path, marks: dict[str, Any], analyzer: Analyzer) -> Shot:
    frames = analysed(path, analyzer, INTERVAL)
    labelled = SAME_FOOTAGE.get(path.name, path.name)
    marked = marks[labelled]
    if labelled != path.name:  # of another size
        scale = max(f.width for f in frames) / max(m["width"] for m in _streams(path.parent.parent, labelled))
        marked = [{**m, "box": [x * scale for x in m["box"]]} for m in marked]
    labels = match(since_first_frame(frames), marked, INTERVAL)
    places = [(frame.index, i) for frame in frames for i in range(len(frame.faces))]
    of = dict(zip(places, labels, strict=True))
    people = _gather(frames)
    truth: list[str | None] = []
    for person in people.persons:
        names = [n for s in person.sightings if (n := of[s.frame.index, s.position])]
        name = f"{labelled}:{max(sorted(set(names)), key=names.count)}" if names else None
        truth.append(SAME_PEOPLE.get(name, name) if name else None)
    return _shot(path.name, people, truth)


def _streams(data: Path, name: str) -> list[dict[str, Any]]:
    videos = json.loads((data / "LABELS.json").read_text())["videos"]
    return [video for video in videos if video["path"].endswith(name)]


def _gather(frames: list[FrameFaces]) -> People:
    return gather(
        frames, threshold=0.6, deduplicate=True, sampling_interval=INTERVAL, min_quality=0.0, max_faces=1000
    )


def _area(people: People, person: int) -> float:
    x_min, y_min, x_max, y_max = people.persons[person].best.face.box
    return (x_max - x_min) * (y_max - y_min)


def _shot(name: str, people: People, truth: list[str | None]) -> Shot:
    job = name.replace("/", "_").replace(" ", "_")
    faces = describe(people, None, frames=1_000_000)
    identifiable = [face.identifiable for face in faces]
    entry = FilmEntry(film_id=name, job_id=job, pack="open", faces=library_faces(people, job, faces))
    return Shot(entry, [name for name, kept in zip(truth, identifiable, strict=True) if kept])
