"""The similarity that a merge needs grows with the crowd, and a film with few people is left to the threshold."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facecore.clustering import cluster
from facecore.strangers import DEFAULT_TAIL, FEW_CLUSTERS, TAILS, WRONG_MERGES, crowd_threshold
from tests.eval.crowd import DRAWS, THRESHOLD, detections, draw, half, load
from tests.eval.measures import score

counts = st.integers(1, 10**6)


def test_a_few_people_are_judged_by_the_callers_threshold_alone() -> None:
    assert all(crowd_threshold(DEFAULT_TAIL, n, 200) == -1.0 for n in range(FEW_CLUSTERS + 1))
    two_views_of_a_person = THRESHOLD**2 * 0.87  # see facecore.clustering.cluster
    assert all(crowd_threshold(DEFAULT_TAIL, 8, merges) < two_views_of_a_person for merges in (0, 20, 5000))


@given(counts, counts)
def test_more_clusters_never_need_less(clusters: int, merges: int) -> None:
    now, then = (crowd_threshold(DEFAULT_TAIL, n, merges) for n in (clusters, clusters + 1))
    assert now <= then


@given(counts, counts)
def test_more_merges_never_need_more(clusters: int, merges: int) -> None:
    now, then = (crowd_threshold(DEFAULT_TAIL, clusters, n) for n in (merges, merges + 1))
    assert now >= then


def test_the_expected_number_of_wrong_merges_is_the_budget() -> None:
    """With 1,000 clusters left after 1,000 merges, strangers reach the threshold in 40 of the 499,500 pairs."""
    least = crowd_threshold(DEFAULT_TAIL, 1000, 1000)
    chance = 10.0 ** -np.interp(least, DEFAULT_TAIL, np.arange(1, len(DEFAULT_TAIL) + 1))
    assert abs(chance * 499_500 - WRONG_MERGES * 1000) < 1e-6 * 499_500


def test_every_tail_falls() -> None:
    assert all(list(tail) == sorted(set(tail)) for tail in TAILS.values())


@pytest.mark.parametrize("size", [10, 30, 50])
def test_few_people_are_kept_apart_as_well_as_a_crowd_is(shared_data: Path, size: int) -> None:
    """In each draw of people who were not used to choose the constants."""
    photographs = half(load(shared_data / "lfw" / "features.npz"), "held out")
    scores = []
    for seed in range(DRAWS):
        drawn = draw(photographs, size, seed)
        _, truth = np.unique(drawn.people, return_inverse=True)
        scores.append(score(cluster(detections(drawn), THRESHOLD, sampling_interval=2.0), truth))
    assert min(one.precision for one in scores) >= 0.99
    assert max(abs(one.people) for one in scores) <= 2
    assert np.mean([one.b3_f1 for one in scores]) >= 0.97
