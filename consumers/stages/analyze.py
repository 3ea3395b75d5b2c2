"""Analyze stage: detects and embeds the faces of frames, in batches across jobs."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import Any, Literal, NamedTuple, cast, get_args

import msgspec
import structlog
from numpy import uint8
from numpy.typing import NDArray

from consumers.base_stage import BaseStage
from consumers.emotions import classify_emotions
from consumers.inference import InferenceThread
from consumers.outcomes import FrameOutcome, encode_outcome
from consumers.picture_decoder import Encoded, PictureDecoder
from consumers.runtime.stage import Completion, Delivery, Outgoing
from consumers.service import Service, Shared
from consumers.sources.films import shown, shown_like
from consumers.sources.frame_store import FrameStore
from facecore.analyzer import Analyzer, FrameInput
from facecore.enhancement import at_source_scale, improve, scaled, triggered
from facecore.video.images import encode
from facecore.video.upright import look
from schemas.envelope import Envelope, seal_next
from schemas.messages import EnhanceTask, FinalizeTask, FrameTask, PortraitsTask
from schemas.names import portrait_field
from schemas.observations import FrameFaces
from schemas.store.run_data import Kept, keep_all
from schemas.store.submissions import RECORD_MARGIN_SECONDS

log = structlog.get_logger(__name__)

PORTRAIT_JPEG_QUALITY = 90
MAX_ENHANCED_FACTOR = 16
"""Pixels of an enhanced picture for each of the original one: enhancers enlarge by at most four in each direction."""
NO_ORIGINAL_FACES = "The faces of the original frame are no longer stored."
NO_PICTURE = "The picture of this frame is no longer in the frame store (FACES_FRAME_TTL)."
Image = NDArray[uint8]
Lane = Literal["", "express", "urgent"]


class _Analysis(NamedTuple):
    """The analysis of one picture.

    Attributes:
        seen: faces in the picture of the message.
        first: stored faces of the original frame, which an enhanced picture improves.
    """

    delivery: Delivery[FrameTask]
    seen: FrameFaces
    first: FrameFaces | None
    image: Image

    @property
    def field(self) -> str:
        """Field of the job's hash of faces."""
        task = self.delivery.envelope.body
        return f"{task.index}+" if task.enhanced else str(task.index)

    def faces(self) -> FrameFaces | None:
        """Returns the faces to store; None when the faces of the original frame are no longer stored."""
        task = self.delivery.envelope.body
        if not task.enhanced:
            return self.seen
        if self.first is None or task.enhancement is None:
            return None
        restored = at_source_scale(self.seen, self.first.width, self.first.height)
        return improve(self.first, restored, task.enhancement)


class AnalyzeStage(BaseStage[Any]):
    """Consumer group ``analyze`` on ``frames``, or on its express or urgent stream.

    The three stages of a process share its inference thread, which serves them in turn.
    """

    linger = 0.005
    concurrency = 2  # one batch is read and decoded while the models run on the other

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
        self._decoder = PictureDecoder(inference.picture_memory, self._pixels)
        self.batch_size = settings.batch

    async def start(self) -> None:
        """Loads the models."""
        await self._inference.load()

    async def stop(self) -> None:
        """Ends the threads that decode pictures."""
        self._pixels.shutdown()

    @property
    def analyzer(self) -> Analyzer:
        """The models of the process."""
        return self._inference.analyzer

    async def handle(self, batch: Sequence[Delivery[Any]]) -> Sequence[Completion | Exception]:
        """Analyses the frames of a batch together, then its best shots."""
        frames = [d for d in batch if isinstance(d.envelope.body, FrameTask)]
        portraits = [d for d in batch if isinstance(d.envelope.body, PortraitsTask)]
        done: dict[str, Completion | Exception] = {}
        if frames:
            done.update(zip((d.entry_id for d in frames), await self._frames(frames), strict=True))
        if portraits:
            done.update(zip((d.entry_id for d in portraits), await self._emotions(portraits), strict=True))
        return [done[delivery.entry_id] for delivery in batch]

    def on_dead_letter(self, envelope: Envelope[Any], reason: str) -> Completion:
        """Records the frame as failed; without its best shots, a job ends without emotions."""
        if isinstance(envelope.body, PortraitsTask):
            unknown = FinalizeTask(emotions=(None,) * len(envelope.body.portraits))
            return self._finalize(envelope, unknown)
        task: FrameTask = envelope.body
        return self._end(envelope, FrameOutcome("kept" if task.enhanced else "failed", reason))

    async def _frames(self, batch: Sequence[Delivery[FrameTask]]) -> list[Completion | Exception]:
        """Analyses frames, except those of runs that are over; faces stored by an earlier attempt are reused."""
        stored, ended = await self._stored(batch)
        pictures = await self._store.get_many([(d.envelope.job, d.envelope.body.frame) for d in batch])
        completed: dict[int, Completion] = {}

        async def analyse(images: Mapping[int, Image]) -> None:
            inputs = [_input(batch[i].envelope.body, image) for i, image in images.items()]
            found = await self._inference.run(self.name, lambda: self.analyzer.analyze(inputs))
            analyses = [
                _Analysis(batch[i], await self._with_look(seen, batch[i], image), stored[i][0], image)
                for (i, image), seen in zip(images.items(), found, strict=True)
            ]
            completed.update(zip(images, await self._store_faces(analyses), strict=True))

        encoded = {
            i: _encoded(picture, self._max_pixels(delivery), delivery.envelope.body, stored[i][0])
            for i, (delivery, picture, over) in enumerate(zip(batch, pictures, ended, strict=True))
            if picture is not None and not over
        }
        refused = await self._decoder.each_group(encoded, analyse)
        if dropped := [
            (d.envelope.job, d.envelope.body.frame) for d, over in zip(batch, ended, strict=True) if over
        ]:
            await self._store.delete(dropped)
        completions: list[Completion | Exception] = []
        for i, delivery in enumerate(batch):
            if ended[i]:
                completions.append(Completion())
            elif i in completed:
                completions.append(completed[i])
            else:
                completions.append(self._without_picture(delivery, stored[i], refused.get(i, NO_PICTURE)))
        return completions

    async def _with_look(self, seen: FrameFaces, delivery: Delivery[FrameTask], image: Image) -> FrameFaces:
        """Adds the look of a frame that is to be enhanced."""
        task = delivery.envelope.body
        if task.enhanced or task.enhancement is None or not triggered(seen, task.enhancement):
            return seen
        seen_look = await asyncio.get_running_loop().run_in_executor(self._pixels, look, image)
        return msgspec.structs.replace(seen, look=seen_look)

    def _max_pixels(self, delivery: Delivery[FrameTask]) -> int:
        """Returns the limit of a picture; an enhanced one may be larger than the frame by the enhancer's factor."""
        limit = self._service.settings.max_pixels
        return limit * MAX_ENHANCED_FACTOR if delivery.envelope.body.enhanced else limit

    async def _stored(
        self, batch: Sequence[Delivery[FrameTask]]
    ) -> tuple[list[tuple[FrameFaces | None, FrameFaces | None]], list[bool]]:
        """Reads the stored faces of each frame (original, enhanced), and whether its job's run is over."""
        rows: dict[str, list[int]] = {}
        for i, delivery in enumerate(batch):
            rows.setdefault(delivery.envelope.job, []).append(i)
        async with self._service.redis.pipeline(transaction=False) as pipe:
            for job, indices in rows.items():
                keys = self._service.names.job(job)
                units = [str(batch[i].envelope.body.index) for i in indices]
                pipe.hmget(keys.metadata, ["created", "ended", "run"])
                pipe.hmget(keys.faces, [field for unit in units for field in (unit, unit + "+")])
            replies = await pipe.execute()
        stored: list[tuple[FrameFaces | None, FrameFaces | None]] = [(None, None)] * len(batch)
        over = [False] * len(batch)
        records, hashes = replies[::2], replies[1::2]
        for indices, (created, end, run), fields in zip(rows.values(), records, hashes, strict=True):
            faces = [msgspec.msgpack.decode(f, type=FrameFaces) if f else None for f in fields]
            for i, first, second in zip(indices, faces[::2], faces[1::2], strict=True):
                stored[i] = first, second
                over[i] = created is None or end is not None or not batch[i].envelope.is_of(run)
        return stored, over

    async def _store_faces(self, analyses: Sequence[_Analysis]) -> list[Completion]:
        """Stores the faces and their crops, then deletes the pictures; two round trips for the whole batch."""
        loop = asyncio.get_running_loop()
        found = [analysis.faces() for analysis in analyses]
        pieces = [
            (analysis, faces) for analysis, faces in zip(analyses, found, strict=True) if faces is not None
        ]
        portraits = await asyncio.gather(
            *(
                loop.run_in_executor(self._pixels, self._portraits, analysis, faces)
                for analysis, faces in pieces
            )
        )
        data = [
            kept
            for (analysis, faces), crops in zip(pieces, portraits, strict=True)
            for kept in self._data(analysis, faces, crops)
        ]
        await keep_all(self._service.redis, data)
        await self._store.delete(
            [
                (analysis.delivery.envelope.job, analysis.delivery.envelope.body.frame)
                for analysis, _ in pieces
            ]
        )
        return [
            self._end(
                analysis.delivery.envelope,
                FrameOutcome("failed", NO_ORIGINAL_FACES),
            )
            if faces is None
            else self._next(analysis.delivery, faces)
            for analysis, faces in zip(analyses, found, strict=True)
        ]

    def _data(self, analysis: _Analysis, faces: FrameFaces, crops: dict[str, bytes]) -> Iterator[Kept]:
        """Yields what is stored of a frame."""
        envelope = analysis.delivery.envelope
        keys, ttl = self._service.names.job(envelope.job), self._service.settings.job_deadline
        encoded = {analysis.field: msgspec.msgpack.encode(faces)}
        for key, fields in ((keys.faces, encoded), (keys.portraits, crops)):
            if fields:
                yield Kept(keys.metadata, key, envelope.run, ttl + RECORD_MARGIN_SECONDS, fields)

    def _portraits(self, analysis: _Analysis, faces: FrameFaces) -> dict[str, bytes]:
        """Crops the faces that this picture shows best. Faces are in source pixels; the picture may be larger."""
        scale, enhanced = analysis.image.shape[1] / faces.width, analysis.delivery.envelope.body.enhanced
        return {
            portrait_field(faces.index, position, enhanced): encode(
                self.analyzer.portrait(analysis.image, scaled(face, scale, scale)), PORTRAIT_JPEG_QUALITY
            )
            for position, face in enumerate(faces.faces)
            if face.enhanced == enhanced
        }

    def _next(self, delivery: Delivery[FrameTask], faces: FrameFaces) -> Completion:
        """Completes a frame, or sends it to the enhance stage when it needs enhancement."""
        task, envelope = delivery.envelope.body, delivery.envelope
        if task.enhanced:
            if any(face.enhanced for face in faces.faces):
                return self._end(envelope, FrameOutcome("enhanced"))
            return self._end(envelope, FrameOutcome("kept", "; ".join(faces.kept)))
        if task.enhancement is None or not triggered(faces, task.enhancement):
            return self._end(envelope, FrameOutcome("analysed"))
        due = EnhanceTask(task=task)
        message = seal_next(envelope, "enhance", str(task.index), due)
        return Completion(publish=(Outgoing(self._service.names.enhance, message),))

    def _without_picture(
        self,
        delivery: Delivery[FrameTask],
        stored: tuple[FrameFaces | None, FrameFaces | None],
        reason: str,
    ) -> Completion:
        """Completes a frame without a picture: an earlier attempt may have stored its faces before it was lost."""
        task = delivery.envelope.body
        faces = stored[1] if task.enhanced else stored[0]
        if faces is not None:
            return self._next(delivery, faces)
        return self._end(delivery.envelope, FrameOutcome("kept" if task.enhanced else "failed", reason))

    def _end(self, envelope: Envelope[Any], outcome: FrameOutcome) -> Completion:
        return Completion(
            fan_in=self._service.fan_in(envelope),
            unit=str(envelope.body.index),
            outcome=encode_outcome(outcome),
        )

    async def _emotions(self, batch: Sequence[Delivery[PortraitsTask]]) -> list[Completion]:
        """Classifies the emotions of all people of all jobs together, since large batches use the cores better."""
        service = self._service
        async with service.redis.pipeline(transaction=False) as pipe:
            for delivery in batch:
                fields = delivery.envelope.body.portraits
                pipe.hmget(service.names.job(delivery.envelope.job).portraits, list(fields))
            rows = cast("list[list[bytes | None]]", await pipe.execute())
        shots = [shot for row in rows for shot in row]
        remaining = iter(await classify_emotions(self._inference, self.name, shots))
        tasks = [FinalizeTask(emotions=tuple(islice(remaining, len(row)))) for row in rows]
        return [self._finalize(delivery.envelope, task) for delivery, task in zip(batch, tasks, strict=True)]


def build(service: Service, shared: Shared) -> Iterator[AnalyzeStage]:
    """Builds the stages of a partition, one per lane, with the inference thread of the process."""
    inference = shared.get(InferenceThread, lambda: InferenceThread(service.settings))
    for lane in get_args(Lane):
        yield AnalyzeStage(service, inference, lane)


def _encoded(picture: bytes, max_pixels: int, task: FrameTask, original: FrameFaces | None) -> Encoded:
    """Returns the picture of a frame, with what makes it the one that a player shows.

    Args:
        original: the stored faces of the frame that an enhanced picture improves.
    """
    if task.enhanced and original is not None:
        like = partial(shown_like, width=original.width, height=original.height, look=original.look)
        return Encoded(picture, max_pixels, like)
    if (display := task.display) is not None:
        return Encoded(
            picture, max_pixels, partial(shown, display=display), 3 * display.width * display.height
        )
    return Encoded(picture, max_pixels)


def _input(task: FrameTask, image: Image) -> FrameInput:
    return FrameInput(task.index, task.timestamp, image, task.min_confidence, task.demographics)
