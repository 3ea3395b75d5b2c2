"""Classifies the emotions of the people of jobs from their best shots."""

from collections.abc import Sequence
from functools import partial
from itertools import chain
from typing import Any, cast

from consumers.inference import InferenceThread
from consumers.known_pictures import KnownPictures
from consumers.runtime.stage import Delivery
from consumers.service import Service
from facecore.analyzer import Analyzer
from facecore.video.images import decode
from schemas.messages import FinalizeTask

SHOTS_PER_TURN = 32
"""Best shots per use of the inference thread, before other stages get a turn: about a second on two cores."""


class Emotions:
    """The emotion model, and what is known from it of crops."""

    def __init__(self, service: Service, inference: InferenceThread, known: KnownPictures) -> None:
        self._service = service
        self._inference = inference
        self._known = known

    async def classify(self, lane: str, batch: Sequence[Delivery[Any]]) -> list[FinalizeTask]:
        """Classifies the best shots of all jobs of a batch together, since large batches use the cores better.

        Args:
            lane: lane of the fair lock of the inference thread.
            batch: messages with a PortraitsTask.
        """
        rows, sources = await self._shots(batch)
        known, observer = dict[bytes, str | None](), self._inference.observer
        for row, source in zip(rows, sources, strict=True):
            known |= await self._known.emotions(source, observer, row) if source else {}
        found = await self._classified(
            lane, [shot for shot in dict.fromkeys(chain(*rows)) if shot is not None and shot not in known]
        )
        for delivery, row, source in zip(batch, rows, sources, strict=True):
            new = {shot: found[shot] for shot in row if shot is not None and shot in found}
            if source and new:
                job, run = delivery.envelope.job, delivery.envelope.run
                await self._known.keep_emotions(source, observer, job, run, new)
        emotions = known | found
        return [
            FinalizeTask(emotions=tuple(None if shot is None else emotions[shot] for shot in row))
            for row in rows
        ]

    async def _shots(self, batch: Sequence[Delivery[Any]]) -> tuple[list[list[bytes | None]], list[str]]:
        """Reads the encoded best shots of each job, None for a missing one, and the name of its source."""
        async with self._service.redis.pipeline(transaction=False) as pipe:
            for delivery in batch:
                keys = self._service.names.job(delivery.envelope.job)
                pipe.hmget(keys.portraits, list(delivery.envelope.body.portraits))
                pipe.hget(keys.metadata, "observed")
            replies = await pipe.execute()
        sources = cast("list[bytes | None]", replies[1::2])
        return replies[::2], [(source or b"").decode() for source in sources]

    async def _classified(self, lane: str, shots: Sequence[bytes]) -> dict[bytes, str | None]:
        """Returns the emotion in each shot; None when none is certain enough."""
        emotions = dict[bytes, str | None]()
        for start in range(0, len(shots), SHOTS_PER_TURN):
            turn = shots[start : start + SHOTS_PER_TURN]
            found = await self._inference.run(lane, partial(_classify, self._inference.analyzer, turn))
            emotions |= zip(turn, found, strict=True)
        return emotions


def _classify(analyzer: Analyzer, shots: Sequence[bytes]) -> list[str | None]:
    return analyzer.emotions([decode(shot) for shot in shots])
