"""Measures embedding, pose and attributes on labelled photographs.

    python -m tests.eval.faces --images DIR [--pack open]

DIR holds a directory of photographs for each person; the face with the largest box counts. Prints JSON:

- separation: cosine similarities of pairs of the same person and of different ones, the rate of found pairs at given
  rates of false matches, the area under the ROC curve, the rate at which both errors are equal;
- reference: the largest difference of an embedding of length 1 to the one that InsightFace's alignment and the bare
  network give, a photograph at a time;
- mirror: how the pose changes in the mirror image (yaw and roll turn round, classes swap sides), age and gender not;
- tilted: the roll found in copies turned by known angles;
- poses, age, gender, emotion: against tests.eval.labels, of all faces and of those with a value.
"""

import argparse
import os
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import structlog
from insightface.utils.face_align import norm_crop
from numpy.typing import NDArray

from facecore.align import FaceInImage, Image
from facecore.analyzer import Analyzer, FrameInput
from facecore.attributes import GENDER_MIN_PROBABILITY, FaceAttributes
from facecore.geometry import area
from facecore.quality import pose_class
from facecore.vectors import from_bytes, unit
from schemas.cgroups import usable_cores
from schemas.observations import ObservedFace
from tests.eval.demographics import attributes_of
from tests.eval.labels import EMOTIONS, PEOPLE, POSES
from tests.inputs import people_folder, require_pairs, run_command

MIN_CONFIDENCE = 0.3
"""Several photographs are filled by the face, which costs the detector confidence."""
TILTS = (-30.0, -20.0, 20.0, 30.0)
EMBEDDER_INPUT = {"open": (127.0, 128.0)}
"""Mean and deviation of the input; of other packs InsightFace's own."""
FALSE_MATCHES = (1e-3, 1e-2, 1e-1)
SWAPPED = {"left": "right", "right": "left", "front-rotate-left": "front-rotate-right",
           "front-rotate-right": "front-rotate-left"}  # fmt: skip


def largest(analyzer: Analyzer, image: Image) -> ObservedFace | None:
    (found,) = analyzer.analyze([FrameInput(0, 0.0, image, MIN_CONFIDENCE)])
    return max(found.faces, key=lambda face: float(area(face.box)), default=None)


def separation(people: list[str], faces: list[ObservedFace]) -> dict[str, Any]:
    vectors = unit(from_bytes([face.embedding for face in faces]))
    pairs = list(combinations(range(len(faces)), 2))
    cosines = np.array([float(vectors[a] @ vectors[b]) for a, b in pairs])
    same = np.array([people[a] == people[b] for a, b in pairs])
    matches, others = np.sort(cosines[same]), np.sort(cosines[~same])[::-1]
    found = {
        f"found_at_false_match_rate_{rate:g}": share(matches > others[int(rate * len(others))])
        for rate in FALSE_MATCHES
    }
    errors = [(share(matches < t), share(others >= t)) for t in np.linspace(-0.2, 1, 601)]
    return {
        "pairs": {"same": int(same.sum()), "different": int((~same).sum())},
        "same": percentiles(matches),
        "different": percentiles(others),
        **found,
        "area_under_roc": round(float(np.mean(matches[:, None] > others[None])), 5),
        "equal_error_rate": min((max(pair) for pair in errors), default=0.0),
    }


def mirror(faces: list[ObservedFace], mirrored: list[ObservedFace | None]) -> dict[str, Any]:
    pairs = [(face, other) for face, other in zip(faces, mirrored, strict=True) if other is not None]
    swapped = [
        pose_class(b.angles) == SWAPPED.get(pose_class(a.angles), pose_class(a.angles)) for a, b in pairs
    ]
    return {
        "faces": len(pairs),
        "class_swaps_sides": share(swapped),
        "yaw_sum_degrees": mean([abs(a.angles.yaw + b.angles.yaw) for a, b in pairs]),
        "roll_sum_degrees": mean([abs(a.angles.roll + b.angles.roll) for a, b in pairs]),
        "pitch_difference_degrees": mean([abs(a.angles.pitch - b.angles.pitch) for a, b in pairs]),
    }


def mirrored_attributes(
    said: list[FaceAttributes], mirrored: list[FaceAttributes | None]
) -> dict[str, float]:
    pairs = [(one, other) for one, other in zip(said, mirrored, strict=True) if other is not None]
    return {
        "age_difference_years": mean([abs((a.age or 0.0) - (b.age or 0.0)) for a, b in pairs]),
        "male_difference": mean([abs((a.male or 0.0) - (b.male or 0.0)) for a, b in pairs]),
    }


def tilted(analyzer: Analyzer, images: list[Image], faces: list[ObservedFace]) -> dict[str, float]:
    """Mean of the roll's change in copies turned clockwise by so many degrees."""
    changes: dict[str, float] = {}
    for degrees in TILTS:
        seen = []
        for image, face in zip(images, faces, strict=True):
            middle = ((face.box[0] + face.box[2]) / 2, (face.box[1] + face.box[3]) / 2)
            turn = cv2.getRotationMatrix2D(middle, -degrees, 1.0)
            copy = cv2.warpAffine(image, turn, image.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
            if (found := largest(analyzer, np.asarray(copy, np.uint8))) is not None:
                seen.append(found.angles.roll - face.angles.roll)
        changes[f"{degrees:+g}"] = round(float(np.median(seen)), 1)
    return changes


def reference(analyzer: Analyzer, images: list[Image], faces: list[ObservedFace]) -> dict[str, float]:
    """The same faces, cut by InsightFace and given to the network alone."""
    pack = analyzer._pack
    differences, cosines = list[float](), list[float]()
    for image, face in zip(images, faces, strict=True):
        (found,) = pack.detector.detect([image], analyzer._workers)
        points = found.landmarks[int(np.abs(found.boxes - np.array(face.box)).sum(1).argmin())]
        sample = pack.embedder.prepare(FaceInImage(image, face.box, points))
        cut = np.asarray(norm_crop(image, points), np.uint8)
        mean, std = EMBEDDER_INPUT.get(pack.name, (127.5, 127.5))
        plain = ((cut[:, :, ::-1].astype(np.float32) - mean) / std).transpose(2, 0, 1)
        session = pack.embedder.session
        outputs = [
            np.ravel(session.run(None, {session.get_inputs()[0].name: given[None]})[0])
            for given in (np.ascontiguousarray(plain), sample)
        ]
        one, ours = (output / np.linalg.norm(output) for output in outputs)
        served = unit(from_bytes([face.embedding])[0])
        differences.append(float(np.abs(served - ours).max()))
        cosines.append(float(one @ served))
    return {
        "largest_difference_to_the_network_alone": float(f"{max(differences):.2g}"),
        "least_cosine_to_insightface_alignment": round(min(cosines), 6),
    }


def poses(names: list[str], faces: list[ObservedFace], mirrored: list[ObservedFace | None]) -> dict[str, Any]:
    """By the class a viewer sees: photographs, and how many get it, and its opposite in their mirror image."""
    table = {}
    for wanted in sorted(set(POSES.values())):
        pairs = [
            (pose_class(face.angles), other and pose_class(other.angles))
            for name, face, other in zip(names, faces, mirrored, strict=True)
            if POSES.get(name) == wanted
        ]
        table[wanted] = {
            "photographs": len(pairs),
            "right": sum(one == wanted for one, _ in pairs),
            "right_in_mirror_image": sum(other == SWAPPED.get(wanted, wanted) for _, other in pairs),
        }
    return table


def age(people: list[str], said: list[FaceAttributes]) -> dict[str, float]:
    """Errors in years, and those of always saying the median."""
    known = [(PEOPLE[person][1], face.age) for person, face in zip(people, said, strict=True)
             if person in PEOPLE and face.age is not None]  # fmt: skip
    ages = np.array([true for true, _ in known], np.float64)
    errors = np.abs(ages - np.array([age for _, age in known]))
    return {
        "faces": len(known),
        "mean_error": mean(list(errors)),
        "largest_error": round(float(errors.max(initial=0.0)), 1),
        "mean_error_of_the_median": mean(list(np.abs(ages - np.median(ages)))) if known else 0.0,
    }


def gender(people: list[str], said: list[FaceAttributes]) -> dict[str, float]:
    known = [(PEOPLE[person][0] == "M", face.male) for person, face in zip(people, said, strict=True)
             if person in PEOPLE]  # fmt: skip
    right = [(man, male) for man, male in known if male is not None]
    answered = [
        (man, male) for man, male in right if not 1 - GENDER_MIN_PROBABILITY < male < GENDER_MIN_PROBABILITY
    ]
    return {
        "faces": len(right),
        "right_of_all": share([(male > 0.5) == man for man, male in right]),
        "answered": len(answered),
        "right_of_answered": share([(male > 0.5) == man for man, male in answered]),
        "share_of_the_more_frequent": share([man for man, _ in right]),
    }


def emotion(
    analyzer: Analyzer, names: list[str], images: list[Image], faces: list[ObservedFace]
) -> dict[str, Any]:
    """Compares emotions with labels: faces, how many have a value, and the share of these that is right."""
    seen = [(EMOTIONS[n], analyzer.portrait(i, f)) for n, i, f in zip(names, images, faces, strict=True)
            if n in EMOTIONS]  # fmt: skip
    emotions = analyzer.emotions([portrait for _, portrait in seen])
    pairs = [(wanted, emotion) for (wanted, _), emotion in zip(seen, emotions, strict=True)]
    answers = [(wanted, emotion) for wanted, emotion in pairs if emotion is not None]
    return {
        "faces": len(pairs),
        "answered": len(answers),
        "right_of_answered": share([wanted == emotion for wanted, emotion in answers]),
        "share_of_the_most_frequent": share([wanted == "happy" for wanted, _ in pairs]),
        "by_emotion": {
            kind: {
                "faces": sum(wanted == kind for wanted, _ in pairs),
                "answered": sum(wanted == kind for wanted, _ in answers),
                "right": sum(wanted == kind == emotion for wanted, emotion in answers),
            }
            for kind in sorted(set(EMOTIONS.values()))
        },
    }


def share(values: Any) -> float:
    return round(float(np.mean(values)), 4) if len(values) else 0.0


def mean(values: list[float]) -> float:
    return round(float(np.mean(values)), 2) if values else 0.0


def percentiles(values: NDArray[np.float64]) -> dict[str, float]:
    return {f"p{p}": round(float(np.percentile(values, p)), 3) for p in (0, 5, 50, 95, 100)}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=people_folder, required=True, metavar="DIR")
    parser.add_argument("--pack", default="open")
    arguments = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout is the report's
    models = Path(os.environ.get("INSIGHTFACE_MODELS_CACHE", "~/.insightface")).expanduser()
    analyzer = Analyzer.load(arguments.pack, models, device="cpu", threads=usable_cores())
    people, names, images, faces = list[str](), list[str](), list[Image](), list[ObservedFace]()
    for file in sorted(arguments.images.glob("*/*")):
        image = cv2.imread(str(file))
        if image is None:
            continue
        picture = np.asarray(image, np.uint8)
        if (face := largest(analyzer, picture)) is not None:
            people.append(file.parent.name)
            names.append(file.stem)
            images.append(picture)
            faces.append(face)
    require_pairs(people, arguments.images)
    mirrors = [np.ascontiguousarray(image[:, ::-1]) for image in images]
    flipped = [largest(analyzer, image) for image in mirrors]
    said = [attributes_of(analyzer, image, [face])[0] for image, face in zip(images, faces, strict=True)]
    said_mirrored = [
        None if face is None else attributes_of(analyzer, image, [face])[0]
        for image, face in zip(mirrors, flipped, strict=True)
    ]
    found = {
        "photographs": len(faces),
        "people": len(set(people)),
        "separation": separation(people, faces),
        "reference": reference(analyzer, images, faces),
        "mirror": mirror(faces, flipped) | mirrored_attributes(said, said_mirrored),
        "tilted": tilted(analyzer, images, faces),
        "poses": poses(names, faces, flipped),
        "age": age(people, said),
        "gender": gender(people, said),
        "emotion": emotion(analyzer, names, images, faces),
    }
    print(msgspec.json.format(msgspec.json.encode(found)).decode())
    return 0


if __name__ == "__main__":
    run_command(main)
