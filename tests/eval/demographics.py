"""Measures age and gender, by face and by person, on labelled photographs and films.

    python -m tests.eval.demographics --data DIR [--pack open]

DIR is the directory of the test data. Prints a table of three parts: photographs of the people who were used to
choose how the networks are fed, photographs of others, and people in films (sampled every 0.5 s), with

- age: mean error in years, that of always saying the part's median, and the share of true ages in the stated range;
- gender: share of answers that are right (a probability of at least 0.8), and how many have one.

A person's values are those of a result: of all detections, weighted by quality.
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

from facecore.analyzer import Analyzer, FrameInput
from facecore.geometry import area
from facecore.people import People, Person, Sighting
from facecore.result_builder import describe
from facecore.video import Interval, open_source
from schemas.cgroups import usable_cores
from schemas.metadata import Rejected
from schemas.observations import FrameFaces
from schemas.results import Demographics
from tests.eval.footage import match, since_first_frame
from tests.eval.labels import CHOSEN, FILM_PEOPLE, PEOPLE
from tests.inputs import data_folder, picture, require, run_command

MIN_CONFIDENCE = 0.3
"""Several photographs are filled by the face, which costs the detector confidence."""
INTERVAL = 0.5
"""Seconds between the labels of films."""


class Subject(NamedTuple):
    """A person of one part, with the truth and every detection."""

    part: str
    sex: str
    age: int | None
    sightings: list[Sighting]


class Row(NamedTuple):
    """Figures of some answers; None where there is none to count."""

    answers: int
    age_error: float | None
    error_of_the_median: float | None
    in_range: float | None
    genders: int
    right_genders: float | None


def subjects(data: Path, analyzer: Analyzer) -> Iterator[Subject]:
    for person, (sex, age) in PEOPLE.items():
        part = "photographs, chosen on" if person.startswith(CHOSEN) else "photographs, others"
        seen = []
        for number, file in enumerate(sorted((data / "images" / person).iterdir())):
            image = picture(file)
            (frame,) = analyzer.analyze([FrameInput(number, float(number), image, MIN_CONFIDENCE, True)])
            if frame.faces:
                face = max(frame.faces, key=lambda face: float(area(face.box)))
                seen.append(Sighting(frame.faces.index(face), frame, face))
        yield Subject(part, sex, age, seen)
    labels = json.loads((data / "FACES_640.json").read_text())
    for film, people in FILM_PEOPLE.items():
        frames = list(_look(analyzer, data / "videos" / film))
        seen = [Sighting(i, frame, face) for frame in frames for i, face in enumerate(frame.faces)]
        names = match(since_first_frame(frames), labels[film], INTERVAL)
        for name, (sex, age) in people.items():
            mine = [sighting for sighting, of in zip(seen, names, strict=True) if of == name]
            yield Subject("people in films", sex, age, mine)


def _look(analyzer: Analyzer, film: Path) -> Iterator[FrameFaces]:
    samples = open_source(film, Interval(INTERVAL), max_pixels=100_000_000)
    try:
        while some := list(islice(samples, 8)):
            yield from analyzer.analyze(
                [FrameInput(s.index, s.timestamp, s.image, MIN_CONFIDENCE, True) for s in some]
            )
    finally:
        samples.close()


def said_of(sightings: Sequence[Sighting]) -> Demographics:
    """What a result says of a person with these detections."""
    person = Person(list(sightings), sightings[0])
    (face,) = describe(People([person], Rejected(), 0.0), None, demographics=True, frames=10_000)
    assert face.demographics is not None
    return face.demographics


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
        single = [(s.sex, s.age, said_of([sighting])) for s in mine for sighting in s.sightings]
        whole = [(s.sex, s.age, said_of(s.sightings)) for s in mine]
        for kind, answers in (("faces", single), ("people", whole)):
            values = [
                f"{name} {value:.2f}" if isinstance(value, float) else f"{name} {value}"
                for name, value in row(answers)._asdict().items()
            ]
            print(f"{part}, {kind}: {', '.join(values)}")


if __name__ == "__main__":
    run_command(main)
