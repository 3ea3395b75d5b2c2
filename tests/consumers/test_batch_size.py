"""Batches are smaller while several callers send frames."""

import pytest

from compose.capacity.simulation import small_batch
from consumers import batch_size
from consumers.batch_size import BatchSize


@pytest.mark.parametrize(
    ("full", "threads", "small"), [(8, 2, 4), (8, 1, 4), (8, 4, 8), (32, 4, 16), (2, 2, 2), (1, 1, 1)]
)
def test_batches_are_small_for_as_long_as_callers_change(
    full: int, threads: int, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = BatchSize(full, threads)
    for _ in range(3):
        batch.note("")
    assert batch.size == full, "one caller"
    batch.note("other")
    batch.note("other")
    assert batch.size == small == small_batch(full, threads)
    monkeypatch.setattr(batch_size, "COMPANY_SECONDS", 0.0)
    assert batch.size == full, "a while after the last change"
