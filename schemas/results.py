"""Results and other responses, with the specification's names; additions to it are marked."""

from typing import Any, Literal

import msgspec

from schemas.metadata import Metadata

PoseClass = Literal["front", "left", "right", "front-rotate-left", "front-rotate-right"]
JobState = Literal["queued", "processing", "completed", "failed", "cancelled"]
Embeddings = Literal["json", "base64", "none"]
"""Forms of embeddings in a response: numbers, base64 of little-endian 32-bit floats, or left out."""
Thumbnails = Literal["url", "inline"]
"""Forms of thumbnails in a response: addresses, or pictures as ``data:`` addresses."""


class BoundingBox(msgspec.Struct, frozen=True):
    """Pixels of the picture as a player shows it: upright, with square pixels (`schemas.orientation`)."""

    x_min: int
    y_min: int
    x_max: int
    y_max: int


class Landmarks(msgspec.Struct, frozen=True):
    """Pixels as of `BoundingBox`; left and right as they lie in the picture."""

    left_eye: tuple[int, int]
    right_eye: tuple[int, int]
    nose: tuple[int, int]
    mouth_left: tuple[int, int]
    mouth_right: tuple[int, int]


class QualityComponents(msgspec.Struct, frozen=True):
    """The four parts of a quality score, each 0 to 1."""

    size: float
    pose: float
    occlusion: float
    sharpness: float


class Quality(msgspec.Struct, frozen=True):
    """How well a detection shows the face, 0 to 1, and the parts of that score."""

    composite: float
    components: QualityComponents


class PoseAngles(msgspec.Struct, frozen=True):
    """Degrees (an addition)."""

    yaw: float
    pitch: float
    roll: float


class Occlusion(msgspec.Struct, frozen=True):
    """Whether something covers the face, and the classifier's probability of it, 0 to 1."""

    occluded: bool
    probability: float


class Detection(msgspec.Struct, frozen=True, kw_only=True):
    """One face in one sampled frame."""

    frame_index: int  # number of the sample in the job, from 0
    timestamp: float  # seconds
    bbox: BoundingBox
    confidence: float
    quality: Quality
    pose: PoseClass
    pose_angles: PoseAngles
    landmarks: Landmarks
    enhanced: bool
    occlusion: Occlusion
    detector_score: float | None = None  # what the confidence was computed from (an addition)


class Demographics(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Only what the models can tell; a value that would be a guess is left out.

    Attributes:
        age: years.
        age_low, age_high: years; about four of five people are between them (an addition). Left out where the pack's
            model states no range.
    """

    age: int | None = None
    age_low: int | None = None
    age_high: int | None = None
    gender: Literal["M", "F"] | None = None
    emotion: str | None = None


class Appearance(msgspec.Struct, frozen=True):
    """Seconds of the first and the last of the samples in a row that show a person (an addition)."""

    start: float
    end: float


class Nearest(msgspec.Struct, frozen=True):
    """The most similar other face (an addition).

    Attributes:
        similarity: cosine of the best shots, -1 to 1.
        probability: that both faces are one person, from all detections.
    """

    face_id: str
    similarity: float
    probability: float | None = None


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """A known person whom a face is like (an addition).

    Attributes:
        face_id: the enrolled face that is the most similar one.
        similarity: cosine, -1 to 1.
    """

    collection: str
    person_id: str
    label: str
    face_id: str
    similarity: float


PlacedBy = Literal["first", "faces", "later"]


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """Why a face is a person of a library, as of when its film was added (an addition).

    Attributes:
        probability: that it is this person; of the first face of a person, that it is none of those known before.
        similarity: cosine to the person, or of a first face to the most similar one; null: nobody was known.
        by: it is the first face of the person; it was recognised by the faces; or it was put here later, by a
            correction or by grouping anew, which the figures do not show.
    """

    probability: float
    similarity: float | None
    by: PlacedBy = "faces"


class Face(msgspec.Struct, frozen=True, kw_only=True):
    """One person of a job: every detection, embeddings, and what is known of the person."""

    face_id: str
    embedding: list[float]  # of the representative detection: 512, length 1
    demographics: Demographics | None
    detections: list[Detection]
    representative_detection: Detection
    # Additions
    appearances: list[Appearance]
    share: float  # of the analysed frames
    cohesion: float  # mean cosine similarity of the detections to their mean
    nearest: Nearest | None
    weak_detections: int  # whose embedding is less than half as long as those of the job's certain faces
    thumbnail: str  # address of the best shot (JPEG), relative to the result's own
    thumbnail_brightened: bool = (
        False  # the face is nearly black; all figures are those of the original picture
    )
    identifiable: bool = (
        True  # false only with include_unidentifiable: one detection, and nobody knows of whom
    )
    one_person: float | None = None  # probability that all detections are of one person
    # The mean of all detections' embeddings, weighted by quality, length 1: tells people apart better than
    # `embedding`; left out for a single detection
    person_embedding: list[float] | msgspec.UnsetType = msgspec.UNSET
    # With match_collections: known people, most similar first
    matches: list[Match] | msgspec.UnsetType = msgspec.UNSET
    # With a library, as it is now: the person there; null until the library has the film, and for faces that nobody
    # can identify
    person_id: str | msgspec.UnsetType | None = msgspec.UNSET
    label: str | msgspec.UnsetType | None = msgspec.UNSET  # the person's name; null: none so far
    hidden: bool | msgspec.UnsetType = msgspec.UNSET  # whether the person is hidden there
    evidence: Evidence | msgspec.UnsetType | None = msgspec.UNSET


class ResultBody(msgspec.Struct, frozen=True, kw_only=True):
    """The stored part of a result: everything but the ids of the requested job, which the API adds
    (`schemas.store.job_reader.result_json`), so that jobs answered from the cache share one body."""

    status: Literal["completed"]
    faces: list[Face]
    metadata: Metadata


class ResultSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Counts and duration of a completed job."""

    unique_faces: int
    total_detections: int
    frames_processed: int
    processing_time_seconds: float


class Submitted(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to a submission, 202."""

    job_id: str
    status: Literal["queued"]
    created_at: str


class JobStatus(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Answer to a question after a job's status.

    Attributes:
        created_at, started_at, completed_at: RFC 3339; ``completed_at`` is the end of the job, whatever its status.
    """

    job_id: str
    status: JobState
    progress: float
    stage: str
    message: str
    error: str | None = None
    result_summary: ResultSummary | None = None
    created_at: str
    started_at: str | None = None
    completed_at: str | None = None
    cached: bool = False  # an addition: answered by another job with the same content and parameters


class JobEvent(JobStatus, frozen=True, kw_only=True, omit_defaults=True):
    """What an event tells (an addition): the status, and of a running job how many people it has so far.

    Attributes:
        people: as of some seconds ago; None before the first frames are put together, and when the job has ended.
    """

    people: int | None = None


class ListedJob(JobStatus, frozen=True, kw_only=True, omit_defaults=True):
    """A job in a list: its status, what it was asked, and how long it exists.

    Attributes:
        library: the library that keeps its people until they are deleted, whatever becomes of the job.
        kept: whether the job and its result exist until they are deleted.
        expires_in: seconds until they are gone; None while the job runs, and when it is kept.
    """

    video_path: str
    source_id: str | None = None
    library: str | None = None
    kept: bool = False
    expires_in: float | None = None


class JobList(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to a question after the jobs (an addition), the latest first.

    Attributes:
        next: where the list goes on, as `cursor` of the next question; None at its end. A page may hold fewer jobs
            than its limit, even none, when many had to be looked at for the few that were asked for.
    """

    jobs: list[ListedJob]
    next: str | None


class JobResult(ResultBody, frozen=True, kw_only=True):
    """Answer to a question after a job's result."""

    job_id: str
    source_id: str | None


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Answer to a health check; what follows cache_size_mb is an addition."""

    status: str
    service: str
    version: str
    model: str
    gpu_available: bool
    active_jobs: int
    cache_size_mb: float
    providers: tuple[str, ...]
    models: dict[str, str]
    workers: dict[str, int]
    missing: tuple[str, ...]
    occlusion_model_loaded: bool


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Body of an error answer.

    Attributes:
        title: the status in words.
        detail: what went wrong, for the person who reads it.
        field: dotted name of the request's field at fault, as the caller spelled it.
        allowed: what its value may be, in the keywords of JSON Schema: type, minimum, maximum, enum, pattern, …
    """

    title: str
    status: int
    detail: str
    type: str = "about:blank"
    field: str | None = None
    allowed: dict[str, Any] | None = None
