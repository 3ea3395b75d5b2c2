"""Analyze stage: detects and embeds the faces of frames, in batches across jobs."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Literal, NamedTuple, get_args

import msgspec
import structlog
from numpy import uint8
from numpy.typing import NDArray

from consumers.base_stage import BaseStage
from consumers.best_shots import BestShots
from consumers.inference import InferenceThread
from consumers.known_pictures import KnownPictures, PictureOf
from consumers.outcomes import FrameOutcome, encode_outcome
from consumers.picture_decoder import Encoded, PictureDecoder
from consumers.reuse import picture_name
from consumers.runtime.stage import Completion, Delivery, Outgoing
from consumers.service import Service, Shared
from consumers.sources.films import shown, shown_like
from consumers.sources.frame_store import FrameStore
from consumers.stored_frames import SeenFrame, StoredFrame, read_stored, store_seen
from consumers.threads import map_in_threads
from facecore.analyzer import Analyzer, FrameInput
from facecore.enhancement import at_source_scale, improve, scaled, triggered
from facecore.portraits import PORTRAIT_JPEG_QUALITY
from facecore.video.images import encode
from facecore.video.upright import look
from schemas.envelope import Envelope, seal_next
from schemas.messages import EnhanceTask, FinalizeTask, FrameTask, PortraitsTask
from schemas.names import portrait_field
from schemas.observations import FrameFaces

log = structlog.get_logger(__name__)

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
        picture: under which they are kept for later jobs; None: they are not.
    """

    delivery: Delivery[FrameTask]
    seen: FrameFaces
    first: FrameFaces | None
    image: Image
    picture: PictureOf | None

    @property
    def field(self) -> str:
        """Field of the job's hash of faces."""
        task = self.delivery.envelope.body
        return f"{task.index}+" if task.enhanced else str(task.index)

    def faces(self) -> FrameFaces | None:
        """Returns the faces to store; None when the faces of the original frame are no longer stored."""
        task = self.delivery.envelope.body
        if not task.enhanced:
            name = self.picture.name if self.picture else ""
            return msgspec.structs.replace(self.seen, picture=name)
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
        self._known = KnownPictures(service)
        self._best_shots = BestShots(service, inference)
        self._threads = settings.worker_threads
        self._pixels = ThreadPoolExecutor(self._threads, "pixels")
        self._decoder = PictureDecoder(inference.picture_memory, self._pixels, self._threads)

    @property
    def batch_size(self) -> int:
        """Frames in a batch: FACES_BATCH, or fewer."""
        return self._inference.batch.size

    def decode(self, entry_id: str, fields: Mapping[bytes, bytes]) -> Envelope[Any]:
        """Decodes a message, and notes whose job it is of."""
        envelope = super().decode(entry_id, fields)
        self._inference.batch.note(envelope.caller)
        return envelope

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

    @property
    def observer(self) -> str:
        """Name of what this process sees pictures with."""
        return self._inference.observer

    async def handle(self, batch: Sequence[Delivery[Any]]) -> Sequence[Completion | Exception]:
        """Analyses the frames of a batch together, then its best shots."""
        frames = [d for d in batch if isinstance(d.envelope.body, FrameTask)]
        portraits = [d for d in batch if isinstance(d.envelope.body, PortraitsTask)]
        done: dict[str, Completion | Exception] = {}
        if frames:
            done.update(zip((d.entry_id for d in frames), await self._frames(frames), strict=True))
        if portraits:
            tasks = await self._best_shots.look(self.name, portraits)
            done.update(
                (d.entry_id, self._finalize(d.envelope, task))
                for d, task in zip(portraits, tasks, strict=True)
            )
        return [done[delivery.entry_id] for delivery in batch]

    def on_dead_letter(self, envelope: Envelope[Any], reason: str) -> Completion:
        """Records the frame as failed; without its best shots, a job ends without demographics."""
        if isinstance(envelope.body, PortraitsTask):
            unknown = FinalizeTask(emotions=(None,) * len(envelope.body.portraits))
            return self._finalize(envelope, unknown)
        task: FrameTask = envelope.body
        return self._end(envelope, FrameOutcome("kept" if task.enhanced else "failed", reason))

    async def _frames(self, batch: Sequence[Delivery[FrameTask]]) -> list[Completion | Exception]:
        """Analyses frames, except those of runs that are over; faces stored by an earlier attempt are reused, and so
        is what was seen in the same picture before."""
        stored = await read_stored(self._service, self._store, batch)
        completed: dict[int, Completion] = {}
        present = {
            i: of_job.picture
            for i, of_job in enumerate(stored)
            if of_job.picture is not None and not of_job.is_over
        }
        named = await self._names(batch, stored, present)

        async def analyse(images: Mapping[int, Image]) -> None:
            inputs = [_input(batch[i].envelope.body, image) for i, image in images.items()]
            found = await self._inference.run(self.name, lambda: self.analyzer.analyze(inputs))
            analyses = [
                _Analysis(
                    batch[i], await self._with_look(seen, batch[i], image), stored[i].first, image, named[i]
                )
                for (i, image), seen in zip(images.items(), found, strict=True)
            ]
            completed.update(zip(images, await self._store_faces(analyses), strict=True))

        refused: dict[int, str] = {}
        left = list(present)
        while left:
            completed |= await self._taken_over(batch, {i: named[i] for i in left})
            now, later = _distinct({i: named[i] for i in left if i not in completed})
            encoded = {
                i: _encoded(present[i], self._max_pixels(batch[i]), batch[i].envelope.body, stored[i].first)
                for i in now
            }
            refused |= await self._decoder.each_group(encoded, analyse)
            left = later
        if dropped := [
            (d.envelope.job, d.envelope.body.frame) for d, s in zip(batch, stored, strict=True) if s.is_over
        ]:
            await self._store.delete(dropped)
        completions: list[Completion | Exception] = []
        for i, delivery in enumerate(batch):
            if stored[i].is_over:
                completions.append(Completion())
            elif i in completed:
                completions.append(completed[i])
            else:
                completions.append(self._without_picture(delivery, stored[i], refused.get(i, NO_PICTURE)))
        return completions

    async def _names(
        self,
        batch: Sequence[Delivery[FrameTask]],
        stored: Sequence[StoredFrame],
        pictures: Mapping[int, bytes],
    ) -> dict[int, PictureOf | None]:
        """Returns the pictures by their names; None where no observations are used. Enhanced pictures, and those that
        are to be enhanced, are looked at each time."""
        used = [
            i
            for i in pictures
            if stored[i].source
            and not batch[i].envelope.body.enhanced
            and batch[i].envelope.body.enhancement is None
        ]
        names = await map_in_threads(
            self._pixels, self._threads, lambda i: self._named(batch[i], stored[i], pictures[i]), used
        )
        return dict.fromkeys(pictures) | dict(zip(used, names, strict=True))

    def _named(self, delivery: Delivery[FrameTask], stored: StoredFrame, picture: bytes) -> PictureOf:
        task, envelope = delivery.envelope.body, delivery.envelope
        default = self.analyzer.describe().min_confidence
        threshold = default if task.min_confidence is None else task.min_confidence
        return PictureOf(
            job_id=envelope.job,
            run=envelope.run,
            source=stored.source,
            name=picture_name(self.observer, self._max_pixels(delivery), task.display, picture),
            frame=task.index,
            timestamp=task.timestamp,
            min_confidence=threshold,
        )

    async def _taken_over(
        self, batch: Sequence[Delivery[FrameTask]], named: Mapping[int, PictureOf | None]
    ) -> dict[int, Completion]:
        """Completes the frames whose picture has been analysed before."""
        taken = await self._known.take([picture for picture in named.values() if picture is not None])
        done = [i for i, picture in named.items() if picture in taken]
        await self._store.delete([(batch[i].envelope.job, batch[i].envelope.body.frame) for i in done])
        return {i: self._end(batch[i].envelope, FrameOutcome("analysed", reused=True)) for i in done}

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

    async def _store_faces(self, analyses: Sequence[_Analysis]) -> list[Completion]:
        """Stores the faces and their crops, and deletes the pictures, in one round trip for the whole batch."""
        found = [analysis.faces() for analysis in analyses]
        pieces = [
            (analysis, faces) for analysis, faces in zip(analyses, found, strict=True) if faces is not None
        ]
        shown = [piece for piece in pieces if piece[1].faces]
        cropped = await map_in_threads(
            self._pixels, self._threads, lambda piece: self._portraits(*piece), shown
        )
        crops = {analysis.delivery.entry_id: of for (analysis, _), of in zip(shown, cropped, strict=True)}
        seen = [
            SeenFrame(
                analysis.delivery.envelope,
                analysis.field,
                faces,
                crops.get(analysis.delivery.entry_id, {}),
                analysis.picture,
            )
            for analysis, faces in pieces
        ]
        await store_seen(self._service, self._store, self._known, seen)
        return [
            self._end(
                analysis.delivery.envelope,
                FrameOutcome("failed", NO_ORIGINAL_FACES),
            )
            if faces is None
            else self._next(analysis.delivery, faces)
            for analysis, faces in zip(analyses, found, strict=True)
        ]

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
        share = self._service.share(envelope)
        return Completion(publish=(Outgoing(self._service.names.enhance, message, share),))

    def _without_picture(
        self,
        delivery: Delivery[FrameTask],
        stored: StoredFrame,
        reason: str,
    ) -> Completion:
        """Completes a frame without a picture: an earlier attempt may have stored its faces before it was lost."""
        task = delivery.envelope.body
        faces = stored.second if task.enhanced else stored.first
        if faces is not None:
            return self._next(delivery, faces)
        return self._end(delivery.envelope, FrameOutcome("kept" if task.enhanced else "failed", reason))

    def _end(self, envelope: Envelope[Any], outcome: FrameOutcome) -> Completion:
        return Completion(
            fan_in=self._service.fan_in(envelope),
            unit=str(envelope.body.index),
            outcome=encode_outcome(outcome),
        )


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
    return FrameInput(task.index, task.timestamp, image, task.min_confidence)


def _distinct(named: Mapping[int, PictureOf | None]) -> tuple[list[int], list[int]]:
    """Returns the frames to analyse now, and those with the picture of one of them, which may take what is seen."""
    now, later, names = list[int](), list[int](), set[tuple[str, str]]()
    for i, picture in named.items():
        if picture is not None and (picture.source, picture.name) in names:
            later.append(i)
            continue
        now.append(i)
        if picture is not None:
            names.add((picture.source, picture.name))
    return now, later
