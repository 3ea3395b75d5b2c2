"""One end for each run of a job, no key without its job, no job without an end, nothing after a delete."""

from tests.schemas.store.ledger import check


def test_whatever_happens_to_jobs_every_run_ends_once_and_nothing_is_left(valkey: str) -> None:
    check(valkey, 8)
