"""The photographs stage, in every analyze worker: the embedding of the face in an uploaded photograph."""

import asyncio
from collections.abc import Mapping, Sequence

import structlog

from consumers.inference import Models
from consumers.runtime.stage import Completion, Delivery, Outgoing
from consumers.service import Service
from facecore.analyzer import FrameInput
from facecore.video import SourceError
from facecore.video.images import decode
from schemas.envelope import Envelope, open_entry, seal
from schemas.messages import PHOTOGRAPHS, SearchTask
from schemas.observations import FrameFaces
from schemas.questions import Answer, Probe, SeenFace
from schemas.store.replies import Questions

log = structlog.get_logger(__name__)

NO_FACE = "No face was found in the photograph."


class PhotographsStage:
    """Consumer group ``photographs`` on ``faces:photographs``: somebody waits for each, so that they have a stream of
    their own beside the frames of films, and go between two batches of those."""

    name = "photographs"
    group = "photographs"
    batch_size = 1
    linger = 0.0
    concurrency = 2
    max_run = 60.0
    downstream: Sequence[tuple[str, int]] = ()

    def __init__(self, service: Service, models: Models) -> None:
        self._service = service
        self._models = models
        self._questions = Questions(service.redis, service.partitions.home)
        self.stream = service.names.photographs
        self.dead_stream = service.names.dead
        self.max_attempts = service.settings.max_attempts

    def decode(self, entry_id: str, fields: Mapping[bytes, bytes]) -> Envelope[SearchTask]:
        return open_entry(fields, PHOTOGRAPHS)

    async def start(self) -> None:
        await self._models.load()

    async def stop(self) -> None:
        """The models belong to the process."""

    async def handle(self, batch: Sequence[Delivery[SearchTask]]) -> Sequence[Completion | Exception]:
        return [await self._look(delivery.envelope) for delivery in batch]

    def on_dead_letter(self, envelope: Envelope[SearchTask], reason: str) -> Completion:
        """Whoever asked waits in vain."""
        return Completion()

    async def _look(self, envelope: Envelope[SearchTask]) -> Completion:
        task = envelope.body
        probe = await self._questions.probe(task.question)
        if probe is None:
            return Completion()
        if probe.photograph:
            try:
                limit = self._service.settings.max_pixels
                image = await asyncio.to_thread(decode, probe.photograph, limit)
            except SourceError as error:
                await self._questions.reply(task.question, Answer(status=422, detail=str(error)))
                return Completion()
            frame = FrameInput(0, 0.0, image, self._service.settings.min_confidence, False)
            seen, *_ = await self._models.run(self.name, lambda: self._models.analyzer.analyze([frame]))
            if not seen.faces:
                await self._questions.reply(task.question, Answer(status=422, detail=NO_FACE))
                return Completion()
            await self._questions.put(task.question, _of_largest(seen))
        message = seal("search", "", task.question, task, traceparent=envelope.traceparent)
        return Completion(publish=(Outgoing(self._service.names.collections, message),))


def _of_largest(seen: FrameFaces) -> Probe:
    def area(box: tuple[float, float, float, float]) -> float:
        return (box[2] - box[0]) * (box[3] - box[1])

    face = max(seen.faces, key=lambda face: area(face.box))
    x_min, y_min, x_max, y_max = (round(side) for side in face.box)
    return Probe(
        embedding=face.embedding,
        model=seen.provenance.pack,
        seen=SeenFace(
            bbox=(x_min, y_min, x_max, y_max), confidence=round(face.confidence, 4), faces=len(seen.faces)
        ),
    )
