"""Clustering measures: pairwise, B-cubed (Bagga and Baldwin 1998), and the error in the number of people."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Score(NamedTuple):
    """Precision, recall and F1 over pairs of faces and B-cubed (Bagga & Baldwin, 1998), 0-1; and how many
    people too many (or, negative, too few) there are."""

    precision: float
    recall: float
    f1: float
    b3_precision: float
    b3_recall: float
    b3_f1: float
    people: int


def score(found: NDArray[np.int64], truth: NDArray[np.int64]) -> Score:
    """The agreement of labels (n,) with the true ones (n,). A share of nothing counts as 1."""
    labels, rows = np.unique(found, return_inverse=True)
    persons, columns = np.unique(truth, return_inverse=True)
    table = np.zeros((len(labels), len(persons)))
    np.add.at(table, (rows, columns), 1)
    of_label, of_person = table.sum(axis=1), table.sum(axis=0)
    right, said, real = (float((x * (x - 1) / 2).sum()) for x in (table, of_label, of_person))
    precision, recall = right / said if said else 1.0, right / real if real else 1.0
    n = max(len(found), 1)
    b3_precision = float((table**2 / of_label[:, None]).sum()) / n
    b3_recall = float((table**2 / of_person).sum()) / n
    return Score(
        precision, recall, _f1(precision, recall), b3_precision, b3_recall, _f1(b3_precision, b3_recall),
        len(labels) - len(persons),
    )  # fmt: skip


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
