"""Measures a growing library: ``python -m tests.eval.library --data DIR``.

Films and photographs come to a library one after the other, in several orders:

- photographs: each photograph of ``lfw/features.npz`` is a film of one face;
- composed: films of several people each, made of these photographs, with exact truth;
- footage: the labelled videos and photographs of DIR, analysed with the open pack.

Half of the people of the photographs were used to choose the constants of `facecore.library`; the figures are of the
other half. Beside it, on the same embeddings: the incremental DBSCAN of immich, and the most similar person above a
cosine. Pairs and B-cubed count faces of different films; a wrong join is a face that joins a person most of whose
faces are of somebody else; a question is answered with the truth, most useful first.
"""

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import structlog
from numpy.typing import NDArray

from facecore.analyzer import Analyzer
from facecore.library.evidence import LEAST_SIMILARITY, Calibration, Strength, expected
from facecore.library.resolve import DEFAULTS, Thresholds, joins, nearest, place
from facecore.library.view import View
from facecore.vectors import from_bytes, unit
from schemas.collections import MATCH_THRESHOLD
from schemas.library import Correction, Differ, Entry, Merge
from tests.eval.crowd import HALVES, Photographs, half, load
from tests.eval.library_material import Shot, composed, footage, photographs
from tests.eval.methods import by_immich
from tests.inputs import features, run_command, there

ORDERS = 3
ANSWERS = 20
COMPOSED_FILMS = 400
REACH = {"precision": 0.995, "recall": 0.90, "recall_answered": 0.97, "order": 0.01, "ece": 0.05}
BINS = 10


class Outcome(NamedTuple):
    """What became of a library: person of each face by its id, and what happened on the way."""

    people: dict[str, str]
    wrong_joins: int = 0
    joins: int = 0
    questions: int = 0
    right_answers: int = 0
    expected_wrong: float = 0.0
    sure: tuple[tuple[float, bool], ...] = ()
    answered: dict[str, str] | None = None


def grow(shots: Sequence[Shot], thresholds: Thresholds = DEFAULTS) -> Outcome:
    """Lets the films come to a library of Faces, then answers its first questions."""
    view, truth = View(), _truth(shots)
    wrong = joined = count = yes = 0
    expected = 0.0
    sure: list[tuple[float, bool]] = []

    def append(entry: Entry) -> None:
        nonlocal count
        count += 1
        view.apply(f"{count}-0", entry)

    def whose(person: str) -> str | None:
        names = [n for face in view.person(person).faces if (n := truth[face])]
        return Counter(names).most_common(1)[0][0] if names else None

    for shot in shots:
        film = place(view, shot.film, thresholds)
        sure_of = [face.sureness for face in film.faces]
        best = nearest(view, from_bytes([face.prototype for face in film.faces]), "open", 1, sure_of)
        for placed, face, near in zip(film.placements, film.faces, best, strict=True):
            name = truth[face.face_id]
            if name and near and (other := whose(near[0].person_id)):
                sure.append((near[0].probability, other == name))
            if name and placed.person_id and (other := whose(placed.person_id)):
                joined += 1
                wrong += other != name
                expected += 1 - placed.probability
        append(film)
        while due := joins(view, film.film_id, thresholds):
            for one in due:
                a, b = whose(one.person_id), whose(one.other_id)
                if a and b:
                    joined += 1
                    wrong += a != b
                    expected += 1 - one.probability
                append(one)
    questions = len(view.suggestions())
    people = {face: view.face(face).person_id for face in truth}
    for _ in range(ANSWERS):
        if not (asked := view.suggestions(1)):
            break
        one, other = asked[0].person_id, asked[0].other_id
        right = whose(one) == whose(other) is not None
        yes += right
        change = Merge(person_id=one, other_id=other) if right else Differ(one=one, other=other)
        view.check(change)
        append(Correction(correction_id=str(count), change=change))
    answered = {face: view.face(face).person_id for face in truth}
    return Outcome(people, wrong, joined, questions, yes, expected, tuple(sure), answered)


def immich(shots: Sequence[Shot]) -> Outcome:
    """Clusters as immich does (see tests.eval.methods): faces come one after the other."""
    faces = [face for shot in shots for face in shot.film.faces]
    labels = by_immich(unit(from_bytes([face.prototype for face in faces])), arriving=True)
    return Outcome({face.face_id: str(label) for face, label in zip(faces, labels, strict=True)})


def nearest_person(shots: Sequence[Shot]) -> Outcome:
    """Gives each face to the person with the most similar mean face above the threshold of collections."""
    people: dict[str, str] = {}
    faces = [face for shot in shots for face in shot.film.faces]
    sums, means = (np.zeros((len(faces), 512), np.float32) for _ in range(2))
    count = 0
    for face, vector in zip(faces, from_bytes([face.prototype for face in faces]), strict=True):
        cosines = means[:count] @ vector
        person = int(cosines.argmax()) if count else 0
        if not count or cosines[person] < MATCH_THRESHOLD:
            person, count = count, count + 1
        sums[person] += vector
        means[person] = unit(sums[person])
        people[face.face_id] = str(person)
    return Outcome(people)


METHODS: dict[str, Callable[[Sequence[Shot]], Outcome]] = {
    "faces": grow,
    "immich (DBSCAN)": immich,
    "nearest person": nearest_person,
}


def measured(shots: list[Shot], orders: int) -> dict[str, Any]:
    """Returns the figures of each method: means over the orders, and how much the order changes."""
    truth = _truth(shots)
    report: dict[str, Any] = {
        "films": len(shots),
        "labelled": sum(name is not None for name in truth.values()),
        "people": len({name for name in truth.values() if name}),
    }
    for name, method in METHODS.items():
        outcomes = []
        for seed in range(orders):
            order = np.random.default_rng(seed).permutation(len(shots))
            outcomes.append(method([shots[i] for i in order]))
        scores = [_across(shots, outcome.people) for outcome in outcomes]
        row = {key: float(np.mean([score[key] for score in scores])) for key in scores[0]}
        row |= _order_changes(shots, [outcome.people for outcome in outcomes])
        if outcomes[0].answered:
            answered = [_across(shots, outcome.answered or {}) for outcome in outcomes]
            row["precision_answered"] = float(np.mean([score["precision"] for score in answered]))
            row["recall_answered"] = float(np.mean([score["recall"] for score in answered]))
            for field in ("joins", "wrong_joins", "expected_wrong", "questions", "right_answers"):
                row[field] = float(np.mean([getattr(outcome, field) for outcome in outcomes]))
            row["ece"] = float(np.mean([calibration_error(outcome.sure) for outcome in outcomes]))
        report[name] = row
    return report


def calibration_error(sure: Sequence[tuple[float, bool]]) -> float:
    """Returns the expected calibration error: mean difference of probability and share that is right, over bins."""
    values = np.array(sure, float).reshape(-1, 2)
    bins = np.minimum((values[:, 0] * BINS).astype(int), BINS - 1)
    return float(
        sum(abs((values[bins == b, 0] - values[bins == b, 1]).sum()) for b in range(BINS))
        / max(len(values), 1)
    )


def _truth(shots: Sequence[Shot]) -> dict[str, str | None]:
    return {
        face.face_id: name for shot in shots for face, name in zip(shot.film.faces, shot.truth, strict=True)
    }


def _across(shots: Sequence[Shot], people: dict[str, str]) -> dict[str, float]:
    """Scores over labelled faces, of which two count when they are of different films."""
    films, truth, found = _labelled(shots, people)
    other_film = films[:, None] != films[None]
    same, said = (truth[:, None] == truth[None]) & other_film, (found[:, None] == found[None]) & other_film
    right = same & said
    itself = np.eye(len(films), dtype=bool)
    return {
        "precision": float(right.sum() / max(said.sum(), 1)) if said.any() else 1.0,
        "recall": float(right.sum() / max(same.sum(), 1)) if same.any() else 1.0,
        "b3_precision": float(((right | itself).sum(1) / (said | itself).sum(1)).mean()),
        "b3_recall": float(((right | itself).sum(1) / (same | itself).sum(1)).mean()),
        "people_too_many": len(np.unique(found)) - len(np.unique(truth)),
    }


def _labelled(
    shots: Sequence[Shot], people: dict[str, str]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    rows = [
        (shot.film.film_id, name, people[face.face_id])
        for shot in shots
        for face, name in zip(shot.film.faces, shot.truth, strict=True)
        if name
    ]
    films, truth, found = (np.unique(column, return_inverse=True)[1] for column in zip(*rows, strict=True))
    return films, truth, found


def _order_changes(shots: Sequence[Shot], outcomes: list[dict[str, str]]) -> dict[str, float]:
    """Returns the share of pairs of faces that another order decides otherwise: of all, and of joined ones."""
    pairs = []
    for people in outcomes:
        _, _, found = _labelled(shots, people)
        pairs.append(found[:, None] == found[None])
    changes = [(one != other).sum() for i, one in enumerate(pairs) for other in pairs[:i]]
    joined = [(one | other).sum() - len(one) for i, one in enumerate(pairs) for other in pairs[:i]]
    size = len(pairs[0]) * (len(pairs[0]) - 1)
    return {
        "order": float(np.mean(changes) / max(size, 1)) if changes else 0.0,
        "order_of_joined": float(sum(changes) / max(sum(joined), 1)) if changes else 0.0,
    }


def fit(some: Photographs, seed: int = 0) -> dict[str, Any]:
    """Fits a calibration (`facecore.library.evidence.Calibration`) on sets of one to eight photographs a person."""
    lengths = np.linalg.norm(some.embeddings.astype(np.float64), axis=1)
    units = unit(some.embeddings.astype(np.float64))
    rows = [np.flatnonzero(some.people == name) for name in np.unique(some.people)]
    several = [(units[r] @ units[r].T, lengths[r]) for r in rows if len(r) > 1]
    mean = float(np.mean([c[np.triu_indices(len(c), 1)].mean() for c, _ in several]))
    noises = [Calibration(mean, noise, (0.0,) * 5, 0.0) for noise in np.arange(1.0, 8.0, 0.1).round(1)]
    errors = [np.mean([_noise_error(c, of, calibrated) for c, of in several]) for calibrated in noises]
    calibrated = noises[int(np.argmin(errors))]
    rng = np.random.default_rng(seed)
    parts = []
    for n, m in [(n, m) for n in (1, 2, 4, 8) for m in (1, 2, 4, 8) if n <= m]:
        able = [r for r in rows if len(r) >= n + m]
        drawn = [rng.permutation(r)[: n + m] for r in able for _ in range(6)]
        same = [[_mean(units, lengths, part) for part in (r[:n], r[n:])] for r in drawn]
        cosines = np.array([one @ other for (one, _), (other, _) in same])
        sure = [Strength(k, np.array([pair[i][1] for pair in same])) for i, k in ((0, n), (1, m))]
        pairs = [(cosines, expected(*sure, calibrated), 1.0)]
        one, other = (
            [(i, *_mean(units, lengths, rng.permutation(r)[:k])) for i, r in enumerate(rows) if len(r) >= k]
            for k in (n, m)
        )
        strangers = np.array([i for i, *_ in one])[:, None] != np.array([i for i, *_ in other])[None]
        cosines = np.array([v for _, v, _ in one]) @ np.array([v for _, v, _ in other]).T
        mine, others = (np.array([u for *_, u in side]) for side in (one, other))
        likely = expected(Strength(n, mine[:, None]), Strength(m, others[None]), calibrated)
        pairs.append((cosines[strangers], likely[strangers], 0.0))
        for values, e, truth in pairs:
            s = np.maximum(values, LEAST_SIMILARITY)
            weight = np.full_like(s, len(able) / len(s))  # people and strangers count the same
            parts.append((np.stack((np.ones_like(s), s, s * s, e, e * s), 1), np.full_like(s, truth), weight))
    features, truth, weight = (np.concatenate(column) for column in zip(*parts, strict=True))
    weights = np.zeros(features.shape[1])
    for _ in range(50):  # Newton's method
        p = 1 / (1 + np.exp(-np.clip(features @ weights, -700, 700)))
        gradient = features.T @ (weight * (truth - p))
        curvature = (features * (weight * p * (1 - p))[:, None]).T @ features + 1e-6 * np.eye(len(weights))
        step = np.linalg.solve(curvature, gradient)
        weights += np.clip(step, -20, 20)
    return {"similarity": round(mean, 3), "noise": calibrated.noise, "weights": weights.round(3).tolist()}


def _noise_error(cosines: NDArray[Any], lengths: NDArray[Any], calibrated: Calibration) -> float:
    """Returns the mean squared difference of a person's similarities to those that the noise lets expect."""
    i, j = np.triu_indices(len(lengths), 1)
    likely = expected(Strength(1.0, lengths[i]), Strength(1.0, lengths[j]), calibrated)
    return float(((cosines[i, j] - likely) ** 2).mean())


def _mean(units: NDArray[Any], lengths: NDArray[Any], rows: NDArray[Any]) -> tuple[NDArray[Any], float]:
    """Returns the mean face of photographs, as `facecore.library.vectors` computes it, and their mean length."""
    return unit(lengths[rows] @ units[rows]), float(lengths[rows].mean())


def table(name: str, part: dict[str, Any]) -> str:
    """Returns the figures of a part for people."""
    lines = [f"{name}: {part['films']} films, {part['labelled']} labelled faces of {part['people']} people"]
    for method in METHODS:
        row = part[method]
        lines.append(
            f"  {method:16} pairs P {row['precision']:.4f} R {row['recall']:.3f}  "
            f"B-cubed P {row['b3_precision']:.4f} R {row['b3_recall']:.3f}  "
            f"people {row['people_too_many']:+.1f}  other orders change {row['order']:.3%} of pairs "
            f"({row['order_of_joined']:.1%} of joined ones)"
        )
        if "ece" in row:
            lines.append(
                f"{'':19}{row['wrong_joins']:.1f} of {row['joins']:.0f} joins wrong, {row['expected_wrong']:.1f} "
                f"expected; {row['questions']:.0f} questions; after {ANSWERS} answers "
                f"P {row['precision_answered']:.4f} R {row['recall_answered']:.3f}, {row['right_answers']:.0f} yes; "
                f"calibration error {row['ece']:.3f}"
            )
    return "\n".join(lines)


def main() -> None:
    """Prints a table, or JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.eval.library", description=__doc__)
    parser.add_argument(
        "--data", type=there, required=True, help="folder of videos, photographs and features"
    )
    parser.add_argument("--half", choices=tuple(HALVES), default="held out")
    parser.add_argument("--part", action="append", choices=("photographs", "composed", "footage"), default=[])
    parser.add_argument("--orders", type=int, default=ORDERS)
    parser.add_argument("--join", type=float, default=DEFAULTS.join)
    parser.add_argument("--merge", type=float, default=DEFAULTS.merge)
    parser.add_argument("--fit", action="store_true", help="print a calibration fitted on this half instead")
    parser.add_argument(
        "--models",
        type=Path,
        default=Path(os.environ.get("FACES_TEST_MODELS") or "~/.insightface").expanduser(),
    )
    parser.add_argument("--json", action="store_true", help="print JSON, a line for each part")
    options = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    some = half(load(features(str(options.data / "lfw" / "features.npz"))), options.half)
    if options.fit:
        print(json.dumps(fit(some), indent=1))
        return
    thresholds = Thresholds(join=options.join, merge=options.merge)
    METHODS["faces"] = lambda shots: grow(shots, thresholds)
    wanted = options.part or ["photographs", "composed", "footage"]
    material: dict[str, Callable[[], list[Shot]]] = {
        "photographs": lambda: photographs(some),
        "composed": lambda: composed(some, COMPOSED_FILMS, 0),
        "footage": lambda: _footage(options.data, options.models),
    }
    for name in wanted:
        part = measured(material[name](), options.orders)
        print(json.dumps({name: part}) if options.json else table(name, part), flush=True)


def _footage(data: Path, models: Path) -> list[Shot]:
    analyzer = Analyzer.load("open", models, device="cpu", threads=2)
    try:
        return footage(data, analyzer)
    finally:
        analyzer.close()


if __name__ == "__main__":
    run_command(main)
