"""Builds the result of a job from what its frames left in Redis."""

import time
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal, cast

import msgspec

from consumers.outcomes import FrameOutcome, decode_outcome
from consumers.service import Service
from consumers.sources.http import is_address
from consumers.thresholds import rejection_warnings
from facecore.people import People, gather
from facecore.result_builder import describe
from schemas.envelope import Envelope
from schemas.messages import FinalizeTask
from schemas.metadata import STILLS, EnhancementReport, FailedFrame, Film, FrameSource, Metadata
from schemas.observations import FrameFaces, Provenance
from schemas.requests import AnalyzeRequest, Enhancement
from schemas.results import Demographics, Match, ResultBody, ResultSummary
from schemas.store.clock import server_time

METHODS: dict[FrameSource, str] = {
    "decoder": "ffmpeg", "image": "ffmpeg", "album": "ffmpeg", "sprites": "sprites", "frame-server": "opencv_cpu",
    "frame-server-scenes": "opencv_cpu",
}  # fmt: skip
"""The words of vision-api's clients for how frames are obtained: of the Frame Server, its default method."""
MAX_LISTED_FAILED_FRAMES = 100
"""Failed frames that a result lists; its metadata counts all of them."""
FRAMES_PER_READ = 256
"""Frames whose faces are read in one round trip."""


class JobFrames(msgspec.Struct, frozen=True):
    """Everything stored of a job, read before its people are put together.

    Attributes:
        record: fields of the job record, without the request.
        outcomes: outcome of each frame, by its index.
        frames: faces of the frames that did not fail, in order of time.
        began: monotonic time of this process at which the job began.
    """

    request: AnalyzeRequest
    record: dict[str, str]
    outcomes: dict[int, FrameOutcome]
    frames: list[FrameFaces]
    began: float = 0.0

    @property
    def run(self) -> str:
        """The run that the frames are of."""
        return self.record.get("run", "")


async def read_frames(service: Service, envelope: Envelope[Any]) -> JobFrames | None:
    """Reads what is stored of the job of a message; None when its run is over."""
    job_id = envelope.job
    redis, keys = service.redis, service.names.job(job_id)
    record = cast("dict[bytes, bytes]", await redis.hgetall(keys.metadata))
    if not record or b"ended" in record or not envelope.is_of(record.get(b"run")):
        return None
    encoded = cast("dict[bytes, bytes]", await redis.hgetall(keys.outcomes))
    outcomes = {int(unit): decode_outcome(value) for unit, value in encoded.items()}
    fields = [
        f"{index}{outcome.field}" for index, outcome in sorted(outcomes.items()) if outcome.state != "failed"
    ]
    frames = []
    for start in range(0, len(fields), FRAMES_PER_READ):
        stored = await redis.hmget(keys.faces, fields[start : start + FRAMES_PER_READ])
        frames += [msgspec.msgpack.decode(cast("bytes", f), type=FrameFaces) for f in stored]
    request = msgspec.msgpack.decode(record.pop(b"request"), type=AnalyzeRequest)
    began = time.monotonic() - (await server_time(redis, keys.metadata) - float(record[b"started"]))
    return JobFrames(request, {k.decode(): v.decode() for k, v in record.items()}, outcomes, frames, began)


def gather_people(job: JobFrames, min_quality: float) -> People:
    """Groups the faces of a job into people.

    Args:
        min_quality: the service's default, for requests that set none.
    """
    parameters = job.request.parameters
    return gather(
        job.frames,
        threshold=parameters.embedding_similarity_threshold,
        deduplicate=parameters.enable_deduplication,
        sampling_interval=_interval(job),
        min_quality=min_quality if parameters.min_quality is None else parameters.min_quality,
        max_faces=parameters.max_faces,
        include_unidentifiable=parameters.include_unidentifiable,
        divisions=parameters.divisions.divisions if parameters.divisions else (),
    )


def build_result(
    job: JobFrames, people: People, task: FinalizeTask, matches: Sequence[list[Match]] | None
) -> ResultBody:
    """Builds the result body of a job.

    Args:
        task: carries the people's demographics and why some were not matched.
        matches: one list per person; None when the request names no collections.
    """
    provenance = job.frames[0].provenance
    frame_source = cast("FrameSource", job.record["method"])
    film = msgspec.json.decode(job.record.get("film", "{}"), type=Film)
    failed = [
        FailedFrame(index, outcome.reason)
        for index, outcome in sorted(job.outcomes.items())
        if outcome.state == "failed"
    ]
    metadata = Metadata(
        video_path=job.request.video_path,
        source=job.request.video_path,
        source_type=_source_type(job.request.video_path, frame_source),
        total_frames=film.frames or len(job.outcomes),
        frames_processed=len(job.frames),
        unique_faces=len(people.persons),
        total_detections=people.detections,
        processing_time_seconds=round(time.monotonic() - job.began, 3),
        method=METHODS[frame_source],
        model=provenance.pack,
        frame_enhancement=_frame_enhancement(job.request.parameters.enhancement),
        frame_source=frame_source,
        providers=list(dict.fromkeys(name for used in _provenances(job) for name in used.providers)),
        detector_sizes=sorted({frame.detector_size for frame in job.frames}),
        min_confidence=provenance.min_confidence,
        sharpness_method=provenance.sharpness,
        occlusion_model=provenance.occlusion,
        rejected=people.rejected,
        unidentifiable=people.unidentifiable,
        failed_frames=failed[:MAX_LISTED_FAILED_FRAMES],
        failed_frames_count=len(failed),
        enhancement=_enhancement(job, people),
        warnings=[
            *result_warnings(job),
            *rejection_warnings(job.frames, people.min_quality),
            *_unidentifiable(people),
            *_not_added(job),
            *task.unmatched,
        ],
        shortest_sure_appearance_seconds=_largest_gap(job),
        sampled_frames=len(job.outcomes),
        reused_frames=sum(outcome.reused for outcome in job.outcomes.values()),
        width=film.width,
        height=film.height,
        duration=film.duration,
        fps=film.fps,
        codec=film.codec,
        **_frame_of_reference(job, film),
    )
    return ResultBody(
        status="completed",
        faces=describe(
            people,
            demographics_of(people, task),
            matches,
            frames=len(job.frames),
        ),
        metadata=metadata,
    )


def demographics_of(people: People, task: FinalizeTask) -> list[Demographics] | None:
    """Returns the demographics of each person, without emotions of faces that are nearly black; None where they were
    not estimated."""
    if task.emotions is None:
        return None
    attributes = task.attributes or (Demographics(),) * len(people.persons)
    return [
        msgspec.structs.replace(said, emotion=None if person.best.face.dark else emotion)
        for person, said, emotion in zip(people.persons, attributes, task.emotions, strict=True)
    ]


def summarize(body: ResultBody) -> ResultSummary:
    """Returns the figures of a result that the event of the job carries."""
    return ResultSummary(
        unique_faces=body.metadata.unique_faces,
        total_detections=body.metadata.total_detections,
        frames_processed=body.metadata.frames_processed,
        processing_time_seconds=body.metadata.processing_time_seconds,
    )


def all_frames_failed(job: JobFrames) -> str:
    """Returns the error of a job without a single analysed frame, with the three most frequent reasons."""
    reasons = Counter(outcome.reason for outcome in job.outcomes.values()).most_common(3)
    listed = "; ".join(f"{reason.rstrip('.')} ({count} frames)" for reason, count in reasons)
    return f"None of the {len(job.outcomes)} frames could be analysed: {listed}"


def source_warnings(job: JobFrames) -> list[str]:
    """Returns the warnings of the source, in order of the film's segments and without repetitions."""
    encoded = [job.record.get("warnings", "[]")]
    encoded += [job.record.get(f"warnings:{part}", "[]") for part in range(int(job.record.get("parts", 0)))]
    return list(
        dict.fromkeys(text for texts in encoded for text in msgspec.json.decode(texts, type=list[str]))
    )


def result_warnings(job: JobFrames) -> list[str]:
    """Returns the warnings of the source, then those about the models."""
    warnings = source_warnings(job)
    if any(used.occlusion is None for used in _provenances(job)):
        warnings.append("No occlusion model is installed: every quality score counts occlusion as 1.0.")
    if len({msgspec.structs.replace(used, providers=()) for used in _provenances(job)}) > 1:
        warnings.append(
            "The workers used different models: the metadata of this result names those of its first frame."
        )
    return warnings


def _interval(job: JobFrames) -> float:
    """Returns the seconds between samples; adaptive sampling may have chosen fewer than the request."""
    parameters = job.request.parameters
    if parameters.sampling != "adaptive":
        return parameters.sampling_interval
    times = [frame.timestamp for frame in job.frames]
    return min([parameters.sampling_interval, *(later - earlier for earlier, later in pairwise(times))])


def _largest_gap(job: JobFrames) -> float | None:
    """Returns the seconds between the two analysed samples that are farthest apart, the start of the film included;
    None for pictures, which have no time. The last sample is at most an interval before the end of the film."""
    if job.record["method"] in STILLS:
        return None
    parameters = job.request.parameters
    regular = parameters.scene_boundaries is None and not parameters.use_sprites
    times = [0.0, *(frame.timestamp for frame in job.frames)]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    return round(max(*gaps, _interval(job) if regular else 0.0), 3)


def _source_type(video_path: str, frame_source: FrameSource) -> Literal["video", "image", "url"]:
    if is_address(video_path):
        return "url"
    return "image" if frame_source in STILLS else "video"


def _frame_enhancement(requested: Enhancement) -> Enhancement | None:
    """Returns the enhancement for clients that crop faces from pictures of the Frame Server: with ``enabled`` they
    would crop from its enhanced pictures, which are larger than the coordinates of the boxes."""
    return msgspec.structs.replace(requested, enabled=False) if requested.enabled else None


def _unidentifiable(people: People) -> list[str]:
    if not people.unidentifiable:
        return []
    one = people.unidentifiable == 1
    shows = "1 detection shows" if one else f"{people.unidentifiable} detections show"
    return [
        f"{shows} too little to tell people apart (nearly black, flat or few pixels) and "
        f"{'counts' if one else 'count'} as no person; include_unidentifiable adds {'it' if one else 'them'}."
    ]


def _not_added(job: JobFrames) -> list[str]:
    parameters = job.request.parameters
    if not parameters.library or parameters.enable_deduplication:
        return []
    return [
        f"Nobody was added to library {parameters.library}: without enable_deduplication there are no people."
    ]


def _enhancement(job: JobFrames, people: People) -> EnhancementReport | None:
    if not job.request.parameters.enhancement.enabled:
        return None
    kept = Counter(o.reason for o in job.outcomes.values() if o.state == "kept")
    return EnhancementReport(
        requested_frames=sum(o.state in ("kept", "enhanced") for o in job.outcomes.values()),
        enhanced_faces=sum(s.face.enhanced for p in people.persons for s in p.sightings),
        kept_frames=kept.total(),
        reasons=dict(sorted(kept.items())),
    )


def _frame_of_reference(job: JobFrames, film: Film) -> dict[str, Any]:
    """Returns the metadata that say which pixels boxes and landmarks are."""
    sizes = {(frame.width, frame.height) for frame in job.frames}
    width, height = sizes.pop() if len(sizes) == 1 else (None, None)
    is_album = job.record["method"] == "album"  # whose pictures this service decodes one by one
    applied = True if is_album or film.stored is not None else None
    is_whole = (width, height) == (film.width, film.height)  # not one view of a stereoscopic film
    has_served = is_whole and not is_address(job.request.video_path)
    return {
        "frame_width": width,
        "frame_height": height,
        "rotation_applied": applied,
        "pixel_aspect_applied": applied,
        "source_picture": film.stored,
        "frame_server_picture": film.served if has_served else None,
    }


def _provenances(job: JobFrames) -> list[Provenance]:
    """The models that analysed the frames, without repetitions: workers may differ."""
    return list(dict.fromkeys(frame.provenance for frame in job.frames))
