"""Measures people in films composed of photographs: ``python -m tests.eval.composed SOURCE… --people 10``.

A source is a folder that holds a folder of photographs for each person, or a picture of a person who is in no other
one. Of the latter, those that resemble somebody else of the film are left out, because they may show the same person.
The film (`tests.eval.scenes`) is encoded, decoded and analysed; the code of the finalize stage groups its faces. What
is found is matched to the truth by overlap of the boxes; the greedy pass gets the same faces.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import structlog

from consumers.job_result import JobFrames, gather_people
from facecore.analyzer import Analyzer, FrameInput
from facecore.geometry import area, clipped, squared
from facecore.people import People
from facecore.result_builder import describe
from facecore.vectors import from_bytes, unit
from schemas.observations import FrameFaces
from schemas.requests import AnalyzeRequest, Parameters
from tests.eval.doubts import Judged, judged_faces
from tests.eval.doubts import table as reliability
from tests.eval.footage import analysed, columns, match
from tests.eval.measures import score
from tests.eval.methods import METHODS
from tests.eval.scenes import HEIGHT, WIDTH, Portrait, Sample, film
from tests.inputs import Unusable, run_command, there

INTERVAL = 0.5
"""Seconds between samples."""
THRESHOLD = 0.6
PHOTOGRAPHS = 4
"""Most photographs of one person."""
SAME_PERSON = 0.4
"""Cosine from which a picture without a name may show somebody who is in the film already; of strangers, one pair in
10,000 is as alike."""
SURROUNDINGS = 2.0
"""Side of what is cut out of a photograph, as a multiple of the longer side of the face's box."""


def portraits(
    sources: Sequence[Path], count: int, analyzer: Analyzer, seed: int
) -> dict[str, list[Portrait]]:
    """Returns the photographs of this many people: first those with a folder.

    Raises:
        Unusable: the sources show fewer people.
    """
    rng = np.random.default_rng(seed)
    folders = sorted(folder for source in sources if source.is_dir() for folder in source.iterdir())
    pictures = sorted(source for source in sources if source.is_file())
    found: dict[str, list[Portrait]] = {}
    known = np.zeros((0, 512), np.float32)
    for place in [*_shuffled(folders, rng), *_shuffled(pictures, rng)]:
        if len(found) == count:
            return found
        files = _shuffled(sorted(place.iterdir()), rng)[:PHOTOGRAPHS] if place.is_dir() else [place]
        seen = [one for file in files if (one := _portrait(file, analyzer))]
        vectors = unit(from_bytes([vector for _, vector in seen]))
        if seen and (place.is_dir() or not (known @ vectors[0] >= SAME_PERSON).any()):
            found[f"{place.parent.name}/{place.name}"] = [one for one, _ in seen]
            known = np.concatenate((known, vectors))
    if len(found) < count:
        raise Unusable(f"The sources show {len(found)} people, not {count}.")
    return found


def _shuffled(paths: list[Path], rng: np.random.Generator) -> list[Path]:
    return [paths[i] for i in rng.permutation(len(paths))]


def _portrait(file: Path, analyzer: Analyzer) -> tuple[Portrait, bytes] | None:
    """Returns the largest face of a picture and its embedding; None without a face."""
    read = cv2.imread(str(file))
    if read is None:
        return None
    image = np.asarray(read, np.uint8)
    (frame,) = analyzer.analyze([FrameInput(0, 0.0, image, None)])
    face = max(frame.faces, key=lambda one: float(area(one.box)), default=None)
    if face is None:
        return None
    x1, y1, x2, y2 = (
        round(v) for v in clipped(squared(face.box, SURROUNDINGS), image.shape[1], image.shape[0])
    )
    x_min, y_min, x_max, y_max = face.box
    return Portrait(image[y1:y2, x1:x2], (x_min - x1, y_min - y1, x_max - x1, y_max - y1)), face.embedding


def encode(samples: Iterator[Sample], file: Path) -> list[dict[str, Any]]:
    """Writes samples as an H.264 film, one every `INTERVAL`; returns the truth as in files of labels."""
    truth: list[dict[str, Any]] = []
    with av.open(str(file), "w") as container:
        stream = container.add_stream(
            "libx264", Fraction(1 / INTERVAL).limit_denominator(), {"crf": "24", "preset": "veryfast"}
        )
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number, sample in enumerate(samples):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(sample.image, format="bgr24")))
            truth += [{"t": number * INTERVAL, "box": box, "person": person} for box, person in sample.faces]
        container.mux(stream.encode())
    return truth


def grouped(frames: list[FrameFaces]) -> People:
    """Returns the people as a job's result lists them."""
    parameters = Parameters(sampling_interval=INTERVAL, max_faces=1_000_000)
    request = AnalyzeRequest(video_path="film.mp4", parameters=parameters)
    return gather_people(JobFrames(request, {}, {}, frames), 0.0)


def measured(frames: list[FrameFaces], truth: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns the scores of the people of a film, of a greedy pass, and what the probabilities are worth."""
    people = grouped(frames)
    places = [(frame.index, position) for frame in frames for position in range(len(frame.faces))]
    seen = columns(frames)
    name_of = dict(zip(places, match(seen, truth, INTERVAL), strict=True))
    label_of = {
        (one.frame.index, one.position): label
        for label, person in enumerate(people.persons)
        for one in person.sightings
    }
    rows = np.array([i for i, place in enumerate(places) if place in label_of])
    known = np.array([name_of[places[i]] is not None for i in rows])
    names = np.unique([name_of[places[i]] for i in rows[known]], return_inverse=True)[1]
    labels = np.array([label_of[places[i]] for i in rows])
    greedy = METHODS["greedy"](seen.take(rows), THRESHOLD, INTERVAL)
    faces = describe(people, None, frames=len(frames))
    shown = [
        [name_of[one.frame.index, one.position] for one in person.sightings] for person in people.persons
    ]
    one, same = judged_faces(faces, [[name for name in some if name] for some in shown])
    return {
        "people": len({mark["person"] for mark in truth}),
        "shown": len(set(names.tolist())),
        "samples": len(frames),
        "faces": len(truth),
        "known": int(known.sum()),
        "unidentifiable": people.unidentifiable,
        "scores": {"faces": score(labels[known], names), "greedy": score(greedy[known], names)},
        "one_person": one,
        "nearest": same,
    }


def table(film: dict[str, Any]) -> str:
    """Returns the figures of a film for people."""
    dark = ", in the dark" if film["dark"] else ""
    lines = [
        f"{film['people']} people, {film['shown']} of them found, {film['samples']} samples{dark}: "
        f"{film['known']} of {film['faces']} faces found and identifiable; {film['seconds']:.0f} s"
    ]
    for method, one in film["scores"].items():
        lines.append(
            f"  {method:8} pairs P {one.precision:.3f} R {one.recall:.3f} F1 {one.f1:.3f}  "
            f"B-cubed P {one.b3_precision:.3f} R {one.b3_recall:.3f} F1 {one.b3_f1:.3f}  people {one.people:+d}"
        )
    return "\n".join(lines)


def main() -> None:
    """Prints a table of each film, and the reliability of the probabilities in all of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.eval.composed", description=__doc__)
    parser.add_argument("sources", type=there, nargs="+", metavar="SOURCE")
    parser.add_argument("--people", type=int, action="append", default=[], help="in a film; may be repeated")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dark", action="store_true", help="all scenes are in the dark")
    parser.add_argument(
        "--keep", type=Path, help="folder for the films and their truth, in the form of labels"
    )
    parser.add_argument("--pack", default="open", help="model pack")
    parser.add_argument(
        "--models",
        type=Path,
        default=Path(os.environ.get("FACES_TEST_MODELS") or "~/.insightface").expanduser(),
        help="directory of models",
    )
    options = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    analyzer = Analyzer.load(options.pack, options.models, device="cpu", threads=2)
    one: Judged = []
    same: Judged = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        for count in options.people or [10]:
            began = time.monotonic()
            cast = portraits(options.sources, count, analyzer, options.seed)
            file = folder / f"composed_{count}{'_dark' if options.dark else ''}.mp4"
            truth = encode(film(cast, np.random.default_rng(options.seed), dark=options.dark), file)
            file.with_suffix(".json").write_text(json.dumps({file.name: truth}))
            found = measured(analysed(file, analyzer, INTERVAL), truth)
            one, same = one + found["one_person"], same + found["nearest"]
            print(table(found | {"dark": options.dark, "seconds": time.monotonic() - began}), flush=True)
    analyzer.close()
    print(reliability("one person", one))
    print(reliability("the nearest is the same", same))


if __name__ == "__main__":
    run_command(main)
