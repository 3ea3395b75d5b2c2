"""Classifies the emotions of the people of jobs from their best shots."""

from collections.abc import Sequence
from functools import partial
from typing import cast

from consumers.inference import InferenceThread
from facecore.analyzer import Analyzer
from facecore.video.images import decode

SHOTS_PER_TURN = 32
"""Best shots per use of the inference thread, before other stages get a turn: about a second on two cores."""


async def classify_emotions(
    inference: InferenceThread, lane: str, shots: Sequence[bytes | None]
) -> list[str | None]:
    """Returns the emotion of each encoded best shot; None for a missing shot, or when no emotion is certain enough.

    Args:
        lane: lane of the fair lock of the inference thread.
    """
    emotions = list[str | None]()
    for start in range(0, len(shots), SHOTS_PER_TURN):
        turn = shots[start : start + SHOTS_PER_TURN]
        emotions += await inference.run(lane, partial(_classify, inference.analyzer, turn))
    return emotions


def _classify(analyzer: Analyzer, shots: Sequence[bytes | None]) -> list[str | None]:
    present = [i for i, shot in enumerate(shots) if shot is not None]
    found = analyzer.emotions([decode(cast("bytes", shots[i])) for i in present])
    emotions: list[str | None] = [None] * len(shots)
    for i, emotion in zip(present, found, strict=True):
        emotions[i] = emotion
    return emotions
