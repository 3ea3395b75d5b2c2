"""Measures age and gender, by face, by person, and by person from all detections, on labelled photographs and films.

    python -m tests.eval.demographics --data DIR [--pack open]

DIR is the directory of the test data. Prints a table of three parts: photographs of the people who were used to
choose how the networks are fed, photographs of others, and people in films (sampled every 0.5 s), with

- age: mean error in years, that of always saying the part's median, and the share of true ages in the stated range;
- gender: share of answers that are right (a probability of at least 0.8), and how many have one.

Values are estimated from the crops that a job keeps. A person's are those of a result: of the best shots, weighted by
quality.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import structlog

from facecore.align import Image
from facecore.analyzer import Analyzer, FrameInput
from facecore.attributes import FaceAttributes, of_person
from facecore.geometry import area
from facecore.people import Person, Sighting
from facecore.portraits import PORTRAIT_JPEG_QUALITY, FaceInPortrait, aspect
from facecore.quality import composite
from facecore.video import Interval, open_source
from facecore.video.images import decode, encode
from schemas.cgroups import usable_cores
from schemas.observations import FrameFaces, ObservedFace
from schemas.results import Demographics
from tests.eval.footage import match, since_first_frame
from tests.eval.labels import CHOSEN, FILM_PEOPLE, PEOPLE
from tests.inputs import data_folder, picture, require, run_command

MIN_CONFIDENCE = 0.3
"""Several photographs are filled by the face, which costs the detector confidence."""
INTERVAL = 0.5
"""Seconds between the labels of films."""


Said = dict[bytes, FaceAttributes]
"""What is estimated of faces, by their embedding."""


class Subject(NamedTuple):
    """A person of one part, with the truth, every detection, and what is estimated of each."""

    part: str
    sex: str
    age: int | None
    sightings: list[Sighting]
    said: Said


class Row(NamedTuple):
    """Figures of some answers; None where there is none to count."""

    answers: int
    age_error: float | None
    error_of_the_median: float | None
    in_range: float | None
    genders: int
    right_genders: float | None


def attributes_of(analyzer: Analyzer, image: Image, faces: Sequence[ObservedFace]) -> list[FaceAttributes]:
    """Returns age and gender of faces as a job estimates them: from the crops that it keeps."""
    crops = [encode(analyzer.portrait(image, face), PORTRAIT_JPEG_QUALITY) for face in faces]
    return analyzer.attributes(
        [FaceInPortrait(decode(crop), aspect(face)) for crop, face in zip(crops, faces, strict=True)]
    )


def subjects(data: Path, analyzer: Analyzer) -> Iterator[Subject]:
    for person, (sex, age) in PEOPLE.items():
        part = "photographs, chosen on" if person.startswith(CHOSEN) else "photographs, others"
        seen, said = [], Said()
        for number, file in enumerate(sorted((data / "images" / person).iterdir())):
            image = picture(file)
            (frame,) = analyzer.analyze([FrameInput(number, float(number), image, MIN_CONFIDENCE)])
            if frame.faces:
                face = max(frame.faces, key=lambda face: float(area(face.box)))
                seen.append(Sighting(frame.faces.index(face), frame, face))
                (said[face.embedding],) = attributes_of(analyzer, image, [face])
        yield Subject(part, sex, age, seen, said)
    labels = json.loads((data / "FACES_640.json").read_text())
    for film, people in FILM_PEOPLE.items():
        said = Said()
        frames = list(_look(analyzer, data / "videos" / film, said))
        seen = [Sighting(i, frame, face) for frame in frames for i, face in enumerate(frame.faces)]
        names = match(since_first_frame(frames), labels[film], INTERVAL)
        for name, (sex, age) in people.items():
            mine = [sighting for sighting, of in zip(seen, names, strict=True) if of == name]
            yield Subject("people in films", sex, age, mine, said)


def _look(analyzer: Analyzer, film: Path, said: Said) -> Iterator[FrameFaces]:
    """Analyses a film, and adds what is estimated of its faces."""
    samples = open_source(film, Interval(INTERVAL), max_pixels=100_000_000)
    try:
        while some := list(islice(samples, 8)):
            found = analyzer.analyze(
                [FrameInput(s.index, s.timestamp, s.image, MIN_CONFIDENCE) for s in some]
            )
            for sample, frame in zip(some, found, strict=True):
                estimates = attributes_of(analyzer, sample.image, frame.faces)
                said.update(zip((face.embedding for face in frame.faces), estimates, strict=True))
            yield from found
    finally:
        samples.close()


def said_of(sightings: Sequence[Sighting], said: Said) -> Demographics:
    """What a result says of a person from these detections."""
    return of_person([(said[s.face.embedding], composite(s.face.quality)) for s in sightings])


def best_shots(sightings: Sequence[Sighting]) -> list[Sighting]:
    """The best shots among a person's detections."""
    best = max(sightings, key=lambda s: (composite(s.face.quality), s.face.confidence, -s.frame.timestamp))
    return Person(list(sightings), best).best_shots


def row(answers: Sequence[tuple[str, int | None, Demographics]]) -> Row:
    dated = [(age, said) for _, age, said in answers if age is not None and said.age is not None]
    truth = np.array([age for age, _ in dated])
    ranges = [(said.age_low, said.age_high) for _, said in dated]
    inside = [low <= age <= high for (low, high), age in zip(ranges, truth, strict=True) if low and high]
    said_genders = [(sex, said.gender) for sex, _, said in answers if said.gender is not None]
    return Row(
        len(answers),
        _mean(np.abs(truth - np.array([said.age for _, said in dated])) if dated else []),
        _mean(np.abs(truth - np.median(truth)) if dated else []),
        _mean(inside),
        len(said_genders),
        _mean([sex == said for sex, said in said_genders]),
    )


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if len(values) else None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=data_folder, required=True, metavar="DIR")
    parser.add_argument("--pack", default="open")
    options = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout is the report's
    models = Path(os.environ.get("INSIGHTFACE_MODELS_CACHE", "~/.insightface")).expanduser()
    analyzer = Analyzer.load(options.pack, models, device="cpu", threads=usable_cores())
    found = [subject for subject in subjects(options.data, analyzer) if subject.sightings]
    analyzer.close()
    require(found, f"No face of a person of known age was found in {options.data}.")
    for part in dict.fromkeys(subject.part for subject in found):
        mine = [subject for subject in found if subject.part == part]
        single = [(s.sex, s.age, said_of([sighting], s.said)) for s in mine for sighting in s.sightings]
        whole = [(s.sex, s.age, said_of(best_shots(s.sightings), s.said)) for s in mine]
        every = [(s.sex, s.age, said_of(s.sightings, s.said)) for s in mine]
        for kind, answers in (("faces", single), ("people", whole), ("people by all detections", every)):
            values = [
                f"{name} {value:.2f}" if isinstance(value, float) else f"{name} {value}"
                for name, value in row(answers)._asdict().items()
            ]
            print(f"{part}, {kind}: {', '.join(values)}")


if __name__ == "__main__":
    run_command(main)
