"""Measures the accuracy of clustering: `python -m tests.eval.clustering --media DIR --labels FACES_640.json`.

The file of labels holds, per video, faces as {"t": seconds, "box": [x_min, y_min, x_max, y_max], "person": name
or null}. What the analyzer finds is matched to them by overlap of the boxes; only matched faces count.
"""

import argparse
import itertools
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from facecore import agglomeration, clustering
from facecore.analyzer import Analyzer
from tests.eval.footage import Clip, clips
from tests.eval.measures import Score, score
from tests.eval.methods import METHODS, Method
from tests.inputs import labels, require, run_command, there

DEFAULT = 0.6
THRESHOLDS = (DEFAULT, 0.5, 0.4)
REACH = {"f1": 0.95, "precision": 0.98, "people_error": 0.5}

GRID: dict[str, tuple[float, ...]] = {
    "threshold": (DEFAULT, 0.5, 0.55, 0.65, 0.7),
    "OPPOSITE_VIEWS": (clustering.OPPOSITE_VIEWS, 0.0),
    "SAME_FRAME_MARGIN": (agglomeration.SAME_FRAME_MARGIN, 0.05, 0.25),
    "SAME_FRAME_WEAK_MARGIN": (agglomeration.SAME_FRAME_WEAK_MARGIN, 0.0, 1.0),
    "WEAK_DISCOUNT": (agglomeration.WEAK_DISCOUNT, 0.0, 0.5),
    "SAME_PLACE_IOU": (clustering.SAME_PLACE_IOU, 0.5, 2.0),  # 2.0: switches tracking off
}
"""Parameters to vary: the value in force first, then the alternatives."""


def main() -> None:
    options = _options()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout is the report's
    analyzer = Analyzer.load(options.pack, options.models, device="cpu", threads=2)
    found = list(clips(options.media, options.labels, analyzer, options.interval))
    analyzer.close()
    require([clip for clip in found if clip.known.sum() > 1], "No video has two faces with a known person.")
    report = evaluate(found, options.interval)
    if options.leave_one_out:
        report["leave_one_out"] = leave_one_out(found, options.interval)
    print(json.dumps(report, indent=1) if options.json else table(report))


def evaluate(found: Sequence[Clip], interval: float) -> dict[str, Any]:
    """Every method at every threshold on every clip, and the means over the clips with a pair of known faces."""
    videos = {clip.name: _video(clip, interval) for clip in found}
    rated = [clip.name for clip in found if clip.known.sum() > 1]
    counted = [clip.name for clip in found if clip.empty or clip.known.any()]
    means = {
        run: {
            **{
                field: float(np.mean([videos[name]["methods"][run][field] for name in rated]))
                for field in Score._fields
                if field != "people"
            },
            "people_error": float(np.mean([abs(videos[name]["methods"][run]["people"]) for name in counted])),
        }
        for run in _runs()
    }
    ours, theirs = f"faces@{DEFAULT}", f"greedy@{DEFAULT}"
    mean = means[ours]
    return {
        "videos": videos,
        "mean": means,
        "worse_than_greedy": [
            name
            for name in rated
            if videos[name]["methods"][ours]["f1"] < videos[name]["methods"][theirs]["f1"] - 1e-9
        ],
        "reached": mean["f1"] >= REACH["f1"]
        and mean["precision"] >= REACH["precision"]
        and mean["people_error"] <= REACH["people_error"],
    }


def leave_one_out(found: Sequence[Clip], interval: float) -> list[dict[str, Any]]:
    """For each clip: the values that are best on all others (mean F1; the ones in force where several are),
    and what they and the ones in force give on it."""
    rated = [clip for clip in found if clip.known.sum() > 1]
    grid = [dict(zip(GRID, values, strict=True)) for values in itertools.product(*GRID.values())]
    scores = []
    for values in grid:
        with _in_force(values):
            scores.append([_score(clip, METHODS["faces"], values["threshold"], interval) for clip in rated])
    f1 = np.array([[one.f1 for one in row] for row in scores])
    table = []
    for number, clip in enumerate(rated):
        others = np.delete(f1, number, axis=1).mean(axis=1)
        chosen = int(np.flatnonzero(others >= others.max() - 1e-9)[0])
        table.append(
            {
                "video": clip.name,
                "chosen": grid[chosen],
                "left_out": scores[chosen][number]._asdict(),
                "in_force": scores[0][number]._asdict(),
            }
        )
    return table


def table(report: dict[str, Any]) -> str:
    """The report for people."""
    lines = [f"{'':34}{'pairs: P     R    F1':>22}{'B³: P     R    F1':>20}  people ±"]
    for run, mean in report["mean"].items():
        lines.append(f"{'mean, ' + run:34}{_numbers(mean)}    {mean['people_error']:.2f}")
    for name, video in report["videos"].items():
        lines.append(f"\n{name}: {video['matched']} of {video['labelled']} faces, {video['people']} people")
        for run, one in video["methods"].items():
            lines.append(f"  {run:32}{_numbers(one)}    {one['people']:+d}")
    lines.append(f"\nworse than greedy: {', '.join(report['worse_than_greedy']) or 'none'}")
    lines.append(f"reached {REACH}: {report['reached']}")
    for row in report.get("leave_one_out", ()):
        out, force = row["left_out"], row["in_force"]
        lines.append(
            f"without {row['video']:34} F1 {out['f1']:.3f} P {out['precision']:.3f} {out['people']:+d}, "
            f"in force {force['f1']:.3f} {force['precision']:.3f} {force['people']:+d}  {row['chosen']}"
        )
    return "\n".join(lines)


def _video(clip: Clip, interval: float) -> dict[str, Any]:
    return {
        "labelled": clip.labelled,
        "matched": int(clip.known.sum()),
        "detections": len(clip.detections),
        "people": len(set(clip.truth[clip.known].tolist())),
        "methods": {
            f"{name}@{threshold}": _score(clip, method, threshold, interval)._asdict()
            for name, method in METHODS.items()
            for threshold in THRESHOLDS
        },
    }


def _score(clip: Clip, method: Method, threshold: float, interval: float) -> Score:
    """Of the known faces; in a clip without any face everyone who is found is one too many."""
    labels = method(clip.detections, threshold, interval)
    if clip.empty:
        return Score(1.0, 1.0, 1.0, 1.0, 1.0, 1.0, len(set(labels.tolist())))
    return score(labels[clip.known], clip.truth[clip.known])


def _runs() -> list[str]:
    return [f"{name}@{threshold}" for name in METHODS for threshold in THRESHOLDS]


def _numbers(one: dict[str, float]) -> str:
    pairs = "  ".join(f"{one[field]:.3f}" for field in ("precision", "recall", "f1"))
    faces = "  ".join(f"{one[field]:.3f}" for field in ("b3_precision", "b3_recall", "b3_f1"))
    return f"{pairs:>22}{faces:>23}"


@contextmanager
def _in_force(values: dict[str, float]) -> Iterator[None]:
    """Puts other constants in force for a while."""
    before = []
    for name, value in values.items():
        for module in (clustering, agglomeration):
            if hasattr(module, name):
                before.append((module, name, getattr(module, name)))
                setattr(module, name, value)
    try:
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.eval.clustering", description=__doc__)
    parser.add_argument("--media", type=there, required=True, help="folder of the videos")
    parser.add_argument("--labels", type=labels, required=True, help="file of labels")
    parser.add_argument(
        "--interval", type=float, default=0.5, help="seconds between samples (the labels' grid)"
    )
    parser.add_argument("--pack", default="open", help="model pack")
    parser.add_argument(
        "--models",
        type=Path,
        default=Path(os.environ.get("FACES_TEST_MODELS") or "~/.insightface").expanduser(),
        help="directory of models",
    )
    parser.add_argument("--leave-one-out", action="store_true", help="choose the constants without each clip")
    parser.add_argument("--json", action="store_true", help="print JSON, not a table")
    return parser.parse_args()


if __name__ == "__main__":
    run_command(main)
