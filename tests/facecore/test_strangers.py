"""The similarity that a merge needs grows with the crowd, and a film with few people is left to the threshold."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from facecore.strangers import DEFAULT_TAIL, MIN_BUDGET, TAILS, WRONG_MERGES, crowd_threshold

counts = st.integers(1, 10**6)


def test_a_few_people_are_judged_by_the_callers_threshold_alone() -> None:
    assert crowd_threshold(DEFAULT_TAIL, clusters=3, merges=200) == -1.0


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
    assert MIN_BUDGET < WRONG_MERGES * 1000


def test_every_tail_falls() -> None:
    assert all(list(tail) == sorted(set(tail)) for tail in TAILS.values())
