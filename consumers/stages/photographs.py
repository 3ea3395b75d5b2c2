"""The photographs stage, in every analyze worker: the embedding of the face in an uploaded photograph."""

import asyncio
from collections.abc import Iterator

import structlog

from consumers.base_stage import OneByOneStage
from consumers.inference import InferenceThread
from consumers.runtime.stage import Completion, Delivery, Outgoing
from consumers.service import Service, Shared
from facecore.analyzer import FrameInput
from facecore.geometry import area
from facecore.video import SourceError
from facecore.video.images import decode
from schemas.envelope import Envelope, seal
from schemas.messages import SearchTask
from schemas.observations import FrameFaces
from schemas.questions import Answer, Probe, SeenFace
from schemas.store.replies import Questions

log = structlog.get_logger(__name__)

NO_FACE = "No face was found in the photograph."


class PhotographsStage(OneByOneStage[SearchTask]):
    """Consumer group ``photographs`` on ``faces:photographs``: somebody waits for each, so that they have a stream of
    their own beside the frames of films, and go between two batches of those."""

    concurrency = 2
    max_run = 60.0

    def __init__(self, service: Service, inference: InferenceThread) -> None:
        super().__init__(service, "photographs")
        self._inference = inference
        self._questions = Questions(service.redis, service.partitions.home)

    async def start(self) -> None:
        await self._inference.load()

    def on_dead_letter(self, envelope: Envelope[SearchTask], reason: str) -> Completion:
        """Whoever asked waits in vain."""
        return Completion()

    async def _handle_one(self, delivery: Delivery[SearchTask]) -> Completion:
        envelope, task = delivery.envelope, delivery.envelope.body
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
            seen, *_ = await self._inference.run(self.name, lambda: self._inference.analyzer.analyze([frame]))
            if not seen.faces:
                await self._questions.reply(task.question, Answer(status=422, detail=NO_FACE))
                return Completion()
            await self._questions.put(task.question, _of_largest(seen))
        message = seal("search", "", task.question, task, traceparent=envelope.traceparent)
        return Completion(publish=(Outgoing(self._service.names.collections, message),))


def build(service: Service, shared: Shared) -> Iterator[PhotographsStage]:
    """The stage on its stream, with the models of the process."""
    inference = shared.get(InferenceThread, lambda: InferenceThread(service.settings))
    yield PhotographsStage(service, inference)


def _of_largest(seen: FrameFaces) -> Probe:
    face = max(seen.faces, key=lambda face: float(area(face.box)))
    x_min, y_min, x_max, y_max = (round(side) for side in face.box)
    return Probe(
        embedding=face.embedding,
        model=seen.provenance.pack,
        seen=SeenFace(
            bbox=(x_min, y_min, x_max, y_max), confidence=round(face.confidence, 4), faces=len(seen.faces)
        ),
    )
