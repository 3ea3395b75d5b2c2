"""Responses about queues and dead letters, for operators."""

import msgspec

from schemas.store.dead_letters import LetterSummary, Replayed
from schemas.store.queues import Queue


class Queues(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to a question after the queues.

    Attributes:
        workers: alive, by stage.
    """

    queues: list[Queue]
    workers: dict[str, int]
    dead_letters: int
    active_jobs: int


class ListedLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter as an operator sees it; `faces dead show` has all of it.

    Attributes:
        letter_id: its entry in the stream of dead letters.
        given_up: Unix seconds.
        attempts: tries in all.
        replays: how often it was sent again already.
    """

    letter_id: str
    given_up: float
    stage: str
    job_id: str
    type: str
    reason: str
    error: str
    attempts: int
    replays: int


class DeadLetters(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to a question after the dead letters, oldest first; `total` may be more than are listed."""

    letters: list[ListedLetter]
    total: int


class LetterReplayed(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to a replay.

    Attributes:
        outcome: "sent"; "ended": its job has ended or is gone, so nobody waits for it, and the letter stays;
            "missing": somebody else was faster.
    """

    letter_id: str
    outcome: Replayed


def listed_letter(letter: LetterSummary) -> ListedLetter:
    """Converts a dead letter into its entry of a list."""
    return ListedLetter(
        letter_id=letter.id,
        given_up=letter.last,
        stage=letter.stage,
        job_id=letter.job,
        type=letter.type,
        reason=letter.reason,
        error=letter.error,
        attempts=letter.attempts,
        replays=letter.replays,
    )
