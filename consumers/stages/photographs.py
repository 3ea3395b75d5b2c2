"""Photographs stage: computes the embedding of the face in an uploaded photograph."""

import asyncio
from collections.abc import Iterator
from typing import Any

import structlog

from consumers.base_stage import OneByOneStage
from consumers.inference import InferenceThread
from consumers.runtime.stage import Completion, Delivery, Outgoing
from consumers.service import Service, Shared
from facecore.analyzer import FrameInput
from facecore.geometry import area
from facecore.library.pictures import embed
from facecore.video import SourceError
from facecore.video.images import decode, decoding_bytes
from schemas.envelope import Envelope, seal
from schemas.library import Reembedded, encode_entry
from schemas.messages import EmbedTask, ReembedTask, SearchTask
from schemas.observations import FrameFaces, ObservedFace
from schemas.questions import Answer, Probe, SeenFace
from schemas.store.library_reader import LibraryReader
from schemas.store.replies import Replies

log = structlog.get_logger(__name__)

VECTORS_TTL_SECONDS = 600
"""Time that the library stage has to take vectors over; what was erased meanwhile is gone after it at the latest."""
NO_FACE = "No face was found in the photograph."
MAX_OTHERS = 100
"""Most boxes of other faces in an answer."""
NOT_IDENTIFIABLE = "The face in the photograph is too dark, too flat or too small to tell people apart."


class PhotographsStage(OneByOneStage[Any]):
    """Consumer group ``photographs`` on ``photographs``, run by every analyze worker.

    A client waits for each photograph: with a stream of its own, it is analysed between two batches of frames.
    """

    concurrency = 2
    max_run = 60.0

    def __init__(self, service: Service, inference: InferenceThread) -> None:
        super().__init__(service, "photographs")
        self._inference = inference
        self._replies = Replies(service.redis, service.partitions.home)

    async def start(self) -> None:
        """Loads the models."""
        await self._inference.load()

    def on_dead_letter(self, envelope: Envelope[Any], reason: str) -> Completion:
        """Goes on with the next faces of a library; the request of a client times out."""
        return self._embedded(envelope.body) if isinstance(envelope.body, EmbedTask) else Completion()

    async def _handle_one(self, delivery: Delivery[Any]) -> Completion:
        match delivery.envelope.body:
            case EmbedTask() as task:
                return await self._embed(task)
            case _:
                return await self._look(delivery.envelope)

    async def _embed(self, task: EmbedTask) -> Completion:
        """Embeds faces from their pictures in a library. What was erased meanwhile has none."""
        redis, home = self._service.redis, self._service.partitions.home
        pictures = await LibraryReader(redis, home).thumbnails(task.library, task.faces)
        faces = await self._inference.run(self.name, lambda: embed(self._inference.analyzer, pictures))
        entry = Reembedded(pack=self._service.settings.pack, faces=faces)
        await redis.set(home.search(task.run), encode_entry(entry), ex=VECTORS_TTL_SECONDS)
        return self._embedded(task)

    def _embedded(self, task: EmbedTask) -> Completion:
        following = ReembedTask(library=task.library, run=task.run, faces=task.faces)
        message = seal("reembed", "", task.run, following)
        return Completion(publish=(Outgoing(self._service.partitions.home.library, message),))

    async def _look(self, envelope: Envelope[SearchTask]) -> Completion:
        task = envelope.body
        probe = await self._replies.probe(task.question)
        if probe is None:
            return Completion()
        if probe.photograph:
            try:
                faces = await self._faces_in(probe.photograph)
            except SourceError as error:
                await self._replies.reply(task.question, Answer(status=422, detail=str(error)))
                return Completion()
            if not faces.faces:
                await self._replies.reply(task.question, Answer(status=422, detail=NO_FACE))
                return Completion()
            face = max(faces.faces, key=lambda face: float(area(face.box)))
            if not face.identifiable:
                await self._replies.reply(task.question, Answer(status=422, detail=NOT_IDENTIFIABLE))
                return Completion()
            await self._replies.replace(task.question, _probe(faces, face))
        message = seal("search", "", task.question, task, traceparent=envelope.traceparent)
        names = self._service.names
        return Completion(publish=(Outgoing(names.library if task.library else names.collections, message),))

    async def _faces_in(self, photograph: bytes) -> FrameFaces:
        """Analyses a photograph; raises SourceError when it cannot be decoded, or would take too much for it."""
        settings, memory = self._service.settings, self._inference.picture_memory
        size = await asyncio.to_thread(decoding_bytes, photograph, settings.max_pixels)
        async with memory.reserve(size):
            image = await asyncio.to_thread(decode, photograph, settings.max_pixels)
            frame = FrameInput(0, 0.0, image, settings.min_confidence)
            faces, *_ = await self._inference.run(
                self.name, lambda: self._inference.analyzer.analyze([frame])
            )
        return faces


def build(service: Service, shared: Shared) -> Iterator[PhotographsStage]:
    """Builds the stage of a partition, with the inference thread of the process."""
    inference = shared.get(InferenceThread, lambda: InferenceThread(service.settings))
    yield PhotographsStage(service, inference)


def _probe(frame: FrameFaces, face: ObservedFace) -> Probe:
    others = [other for other in frame.faces if other is not face]
    others.sort(key=lambda other: -float(area(other.box)))
    return Probe(
        embedding=face.embedding,
        model=frame.provenance.pack,
        seen=SeenFace(
            bbox=_bbox(face),
            confidence=round(face.confidence, 4),
            faces=len(frame.faces),
            others=tuple(map(_bbox, others[:MAX_OTHERS])),
        ),
    )


def _bbox(face: ObservedFace) -> tuple[int, int, int, int]:
    x_min, y_min, x_max, y_max = (round(side) for side in face.box)
    return x_min, y_min, x_max, y_max
