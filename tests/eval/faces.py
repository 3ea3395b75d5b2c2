"""What embedding, pose and attributes are worth on labelled photographs.

    python -m tests.eval.faces --images DIR [--pack open]

DIR holds a directory of photographs for each person; the face with the largest box counts. Prints JSON:

- separation: cosine similarities of pairs of the same person and of different ones, the rate of found pairs at given
  rates of false matches, the area under the ROC curve, the rate at which both errors are equal;
- mirror: how the pose changes in the mirror image (yaw and roll turn round, classes swap sides), age and gender not;
- tilted: the roll found in copies turned by known angles;
- gender: how often it is right, over all faces and over those it is told of, where the directory's name is in WOMEN.
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
from numpy.typing import NDArray

from facecore.align import Image
from facecore.analyzer import Analyzer, FrameInput
from facecore.description import GENDER_SURE
from facecore.quality import pose_class
from schemas.cores import usable_cores
from schemas.observations import ObservedFace

WOMEN = {"bbt_amy", "bbt_bernadette", "bbt_penny", "eileen_collins", "rose_leslie"}
MIN_CONFIDENCE = 0.3
"""Several photographs are filled by the face, which costs the detector confidence."""
TILTS = (-30.0, -20.0, 20.0, 30.0)
FALSE_MATCHES = (1e-3, 1e-2, 1e-1)
SWAPPED = {"left": "right", "right": "left", "front-rotate-left": "front-rotate-right",
           "front-rotate-right": "front-rotate-left"}  # fmt: skip


def largest(analyzer: Analyzer, image: Image) -> ObservedFace | None:
    (found,) = analyzer.analyze([FrameInput(0, 0.0, image, MIN_CONFIDENCE, True)])
    boxes = [(face.box[2] - face.box[0]) * (face.box[3] - face.box[1]) for face in found.faces]
    return found.faces[int(np.argmax(boxes))] if boxes else None


def separation(people: list[str], faces: list[ObservedFace]) -> dict[str, Any]:
    vectors = np.stack([np.frombuffer(face.embedding, "<f4") for face in faces])
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
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


def gender(people: list[str], faces: list[ObservedFace]) -> dict[str, float]:
    known = [(person not in WOMEN, face.male) for person, face in zip(people, faces, strict=True)]
    right = [(man, male) for man, male in known if male is not None]
    told = [(man, male) for man, male in right if not 1 - GENDER_SURE < male < GENDER_SURE]
    return {
        "faces": len(right),
        "right_of_all": share([(male > 0.5) == man for man, male in right]),
        "told": len(told),
        "right_of_told": share([(male > 0.5) == man for man, male in told]),
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
    parser.add_argument("--images", type=Path, required=True, metavar="DIR")
    parser.add_argument("--pack", default="open")
    told = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout is the report's
    models = Path(os.environ.get("INSIGHTFACE_MODELS_CACHE", "~/.insightface")).expanduser()
    analyzer = Analyzer.load(told.pack, models, device="cpu", threads=usable_cores())
    people, images, faces = list[str](), list[Image](), list[ObservedFace]()
    for file in sorted(told.images.glob("*/*")):
        image = cv2.imread(str(file))
        if image is None:
            continue
        picture = np.asarray(image, np.uint8)
        if (face := largest(analyzer, picture)) is not None:
            people.append(file.parent.name)
            images.append(picture)
            faces.append(face)
    flipped = [largest(analyzer, np.ascontiguousarray(image[:, ::-1])) for image in images]
    found = {
        "photographs": len(faces),
        "people": len(set(people)),
        "separation": separation(people, faces),
        "mirror": mirror(faces, flipped),
        "tilted": tilted(analyzer, images, faces),
        "gender": gender(people, faces),
    }
    print(msgspec.json.format(msgspec.json.encode(found)).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
