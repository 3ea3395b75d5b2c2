"""The analyze stage: finds the faces of frames, in batches across jobs. The only one that loads face models."""

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Any, Literal, NamedTuple, cast, get_args

import msgspec
import structlog
from numpy import uint8
from numpy.typing import NDArray

from consumers.base_stage import BaseStage
from consumers.inference import InferenceThread
from consumers.outcomes import FrameOutcome, encode_outcome
from consumers.runtime.stage import Completion, Delivery, Outgoing
from consumers.service import Service, Shared
from consumers.sources.frame_store import FrameStore
from facecore.analyzer import Analyzer, FrameInput
from facecore.enhancement import at_source_scale, improve, scaled, triggered
from facecore.video import SourceError
from facecore.video.images import decode, encode
from schemas.envelope import Envelope, seal
from schemas.messages import EnhanceTask, FinalizeTask, FrameTask, PortraitsTask
from schemas.names import portrait_field
from schemas.observations import FrameFaces

log = structlog.get_logger(__name__)

PORTRAIT_QUALITY = 90
PORTRAITS_A_TURN = 32
"""Best shots looked at before others get their turn: about a second of two cores."""
Image = NDArray[uint8]
Lane = Literal["", "express", "urgent"]


class _Look(NamedTuple):
    """What was seen in the picture of a message; `first`: what is stored of an earlier look at this frame."""

    delivery: Delivery[FrameTask]
    seen: FrameFaces
    first: FrameFaces | None
    image: Image

    @property
    def field(self) -> str:
        """Where it is stored under the job."""
        task = self.delivery.envelope.body
        return f"{task.index}+" if task.enhanced else str(task.index)

    def faces(self) -> FrameFaces | None:
        """What is to be stored; None when the first look, which this one improves, is lost."""
        task = self.delivery.envelope.body
        if not task.enhanced:
            return self.seen
        if self.first is None or task.enhancement is None:
            return None
        restored = at_source_scale(self.seen, self.first.width, self.first.height)
        return improve(self.first, restored, task.enhancement)


class AnalyzeStage(BaseStage[Any]):
    """Consumer group ``analyze`` on ``faces:frames``, or on one of the streams beside it for what is urgent or soon
    done. All hand their batches to the one thread of the models, where they take turns."""

    linger = 0.005
    concurrency = 2  # one batch is fetched and decoded while the other is in the models

    def __init__(self, service: Service, inference: InferenceThread, lane: Lane = "") -> None:
        super().__init__(service, "analyze", lane)
        settings = service.settings
        self._store = FrameStore(
            service.redis,
            service.names,
            ttl=settings.frame_ttl,
            directory=settings.frame_store,
            frame_roots=settings.shared_roots,
        )
        self._inference = inference
        self._pixels = ThreadPoolExecutor(settings.worker_threads, "pixels")
        self.batch_size = settings.batch

    async def start(self) -> None:
        await self._inference.load()

    async def stop(self) -> None:
        self._pixels.shutdown()

    @property
    def analyzer(self) -> Analyzer:
        return self._inference.analyzer

    async def handle(self, batch: Sequence[Delivery[Any]]) -> Sequence[Completion | Exception]:
        frames = [d for d in batch if isinstance(d.envelope.body, FrameTask)]
        portraits = [d for d in batch if isinstance(d.envelope.body, PortraitsTask)]
        done: dict[str, Completion | Exception] = {}
        if frames:
            done.update(zip((d.entry_id for d in frames), await self._frames(frames), strict=True))
        if portraits:
            done.update(zip((d.entry_id for d in portraits), await self._emotions(portraits), strict=True))
        return [done[delivery.entry_id] for delivery in batch]

    def on_dead_letter(self, envelope: Envelope[Any], reason: str) -> Completion:
        if isinstance(envelope.body, PortraitsTask):  # the job does without emotions
            unknown = FinalizeTask(emotions=(None,) * len(envelope.body.portraits))
            return self._finalize(envelope, unknown)
        task: FrameTask = envelope.body
        return self._end(envelope, FrameOutcome("kept" if task.enhanced else "failed", reason))

    async def _frames(self, batch: Sequence[Delivery[FrameTask]]) -> list[Completion | Exception]:
        """Frames of ended jobs are dropped; what an earlier attempt has stored is not done again."""
        stored, ended = await self._known(batch)
        pictures = await self._store.get_many([(d.envelope.job, d.envelope.body.frame) for d in batch])
        loop = asyncio.get_running_loop()
        decoded = await asyncio.gather(
            *(
                loop.run_in_executor(self._pixels, _picture, None if gone else picture)
                for picture, gone in zip(pictures, ended, strict=True)
            )
        )
        todo = [i for i, image in enumerate(decoded) if not isinstance(image, str)]
        inputs = [_input(batch[i].envelope.body, cast("Image", decoded[i])) for i in todo]
        seen: dict[int, FrameFaces] = {}
        if inputs:
            found = await self._inference.run(self.name, lambda: self.analyzer.analyze(inputs))
            seen = dict(zip(todo, found, strict=True))
        looks = [_Look(batch[i], seen[i], stored[i][0], cast("Image", decoded[i])) for i in todo]
        kept = dict(zip(todo, await self._keep(looks), strict=True))
        if dropped := [
            (d.envelope.job, d.envelope.body.frame) for d, over in zip(batch, ended, strict=True) if over
        ]:
            await self._store.delete(dropped)
        completions: list[Completion | Exception] = []
        for i, delivery in enumerate(batch):
            if ended[i]:
                completions.append(Completion())
            elif i in kept:
                completions.append(kept[i])
            else:
                completions.append(self._without_picture(delivery, stored[i], str(decoded[i])))
        return completions

    async def _known(
        self, batch: Sequence[Delivery[FrameTask]]
    ) -> tuple[list[tuple[FrameFaces | None, FrameFaces | None]], list[bool]]:
        """What is stored of each frame (first look, look at the enhanced picture), and whether its job ended."""
        rows: dict[str, list[int]] = {}
        for i, delivery in enumerate(batch):
            rows.setdefault(delivery.envelope.job, []).append(i)
        async with self._service.redis.pipeline(transaction=False) as pipe:
            for job, indices in rows.items():
                keys = self._service.names.job(job)
                units = [str(batch[i].envelope.body.index) for i in indices]
                pipe.hmget(keys.metadata, ["created", "ended"])
                pipe.hmget(keys.faces, [field for unit in units for field in (unit, unit + "+")])
            answers = await pipe.execute()
        stored: list[tuple[FrameFaces | None, FrameFaces | None]] = [(None, None)] * len(batch)
        over = [False] * len(batch)
        for indices, (created, end), fields in zip(rows.values(), answers[::2], answers[1::2], strict=True):
            known = [msgspec.msgpack.decode(f, type=FrameFaces) if f else None for f in fields]
            for i, first, second in zip(indices, known[::2], known[1::2], strict=True):
                stored[i], over[i] = (first, second), created is None or end is not None
        return stored, over

    async def _keep(self, looks: Sequence[_Look]) -> list[Completion]:
        """Stores what was seen and how the faces look, then drops the pictures; two round trips for all of them."""
        names, loop = self._service.names, asyncio.get_running_loop()
        found = [look.faces() for look in looks]
        pieces = [(look, faces) for look, faces in zip(looks, found, strict=True) if faces is not None]
        portraits = await asyncio.gather(
            *(loop.run_in_executor(self._pixels, self._portraits, look, faces) for look, faces in pieces)
        )
        async with self._service.redis.pipeline(transaction=False) as pipe:
            for (look, faces), pictures in zip(pieces, portraits, strict=True):
                keys = names.job(look.delivery.envelope.job)
                pipe.hset(keys.faces, look.field, cast("Any", msgspec.msgpack.encode(faces)))
                if pictures:
                    pipe.hset(keys.portraits, mapping=cast("dict[Any, Any]", pictures))
            for job in {look.delivery.envelope.job for look, _ in pieces}:
                pipe.expire(names.job(job).faces, self._service.running_job_ttl)
                pipe.expire(names.job(job).portraits, self._service.running_job_ttl)
            await pipe.execute()
        await self._store.delete(
            [(look.delivery.envelope.job, look.delivery.envelope.body.frame) for look, _ in pieces]
        )
        return [
            self._end(look.delivery.envelope, FrameOutcome("failed", "the first look at this frame is lost"))
            if faces is None
            else self._next(look.delivery, faces)
            for look, faces in zip(looks, found, strict=True)
        ]

    def _portraits(self, look: _Look, faces: FrameFaces) -> dict[str, bytes]:
        """Crops of the faces this picture shows best; faces are in source pixels, the picture may be larger."""
        scale, enhanced = look.image.shape[1] / faces.width, look.delivery.envelope.body.enhanced
        return {
            portrait_field(faces.index, position, enhanced): encode(
                self.analyzer.portrait(look.image, scaled(face, scale, scale)), PORTRAIT_QUALITY
            )
            for position, face in enumerate(faces.faces)
            if face.enhanced == enhanced
        }

    def _next(self, delivery: Delivery[FrameTask], faces: FrameFaces) -> Completion:
        """The frame is done, unless an enhancement of it is due."""
        task, envelope = delivery.envelope.body, delivery.envelope
        if task.enhanced:
            if any(face.enhanced for face in faces.faces):
                return self._end(envelope, FrameOutcome("enhanced"))
            return self._end(envelope, FrameOutcome("kept", "; ".join(faces.kept)))
        if task.enhancement is None or not triggered(faces, task.enhancement):
            return self._end(envelope, FrameOutcome("analysed"))
        due = EnhanceTask(task=task)
        message = seal("enhance", envelope.job, str(task.index), due, traceparent=envelope.traceparent)
        return Completion(publish=(Outgoing(self._service.names.enhance, message),))

    def _without_picture(
        self,
        delivery: Delivery[FrameTask],
        stored: tuple[FrameFaces | None, FrameFaces | None],
        reason: str,
    ) -> Completion:
        """An earlier attempt may have stored the faces and dropped the picture before it could say so."""
        task = delivery.envelope.body
        faces = stored[1] if task.enhanced else stored[0]
        if faces is not None:
            return self._next(delivery, faces)
        return self._end(delivery.envelope, FrameOutcome("kept" if task.enhanced else "failed", reason))

    def _end(self, envelope: Envelope[Any], outcome: FrameOutcome) -> Completion:
        return Completion(
            fan_in=self._service.fan_in(envelope.job, envelope.traceparent),
            unit=str(envelope.body.index),
            outcome=encode_outcome(outcome),
        )

    async def _emotions(self, batch: Sequence[Delivery[PortraitsTask]]) -> list[Completion]:
        """Of all people of all jobs at once, so that no core waits while a job has one person."""
        service = self._service
        async with service.redis.pipeline(transaction=False) as pipe:
            for delivery in batch:
                wanted = delivery.envelope.body.portraits
                pipe.hmget(service.names.job(delivery.envelope.job).portraits, list(wanted))
            rows = cast("list[list[bytes | None]]", await pipe.execute())
        pictures = [picture for row in rows for picture in row]
        emotions = list[str | None]()
        for start in range(0, len(pictures), PORTRAITS_A_TURN):
            part = pictures[start : start + PORTRAITS_A_TURN]
            emotions += await self._inference.run(self.name, partial(self._tell_emotions, part))
        told = iter(emotions)
        answers = [FinalizeTask(emotions=tuple(islice(told, len(row)))) for row in rows]
        return [
            self._finalize(delivery.envelope, answer) for delivery, answer in zip(batch, answers, strict=True)
        ]

    def _tell_emotions(self, pictures: Sequence[bytes | None]) -> list[str | None]:
        there = [i for i, picture in enumerate(pictures) if picture is not None]
        told = self.analyzer.emotions([decode(cast("bytes", pictures[i])) for i in there])
        emotions: list[str | None] = [None] * len(pictures)
        for i, emotion in zip(there, told, strict=True):
            emotions[i] = emotion
        return emotions


def build(service: Service, shared: Shared) -> Iterator[AnalyzeStage]:
    """A stage for each lane, all with the models of the process."""
    inference = shared.get(InferenceThread, lambda: InferenceThread(service.settings))
    for lane in get_args(Lane):
        yield AnalyzeStage(service, inference, lane)


def _picture(encoded: bytes | None) -> Image | str:
    """The decoded picture, or why there is none."""
    if encoded is None:
        return "the picture of this frame is no longer in the frame store"
    try:
        return decode(encoded)
    except SourceError as error:
        return str(error)


def _input(task: FrameTask, image: Image) -> FrameInput:
    return FrameInput(task.index, task.timestamp, image, task.min_confidence, task.demographics)
