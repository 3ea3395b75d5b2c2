"""The analyze request: its fields with their defaults, ranges and meanings, and how it is parsed.

Each field of `AnalyzeRequest`, `Parameters` and `Enhancement` is documented below its definition; its range is in its
type. Callers of vision-api spell some of them differently: `REQUEST_SPELLINGS`, `PARAMETER_SPELLINGS`.
"""

import hashlib
import math
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from schemas.divisions import Divisions
from schemas.names import CALLER, COLLECTION, LIBRARY, Priority
from schemas.schema_errors import MAX_NAME_LENGTH, allowed, locate, unknown_fields, unknown_name

Fraction = Annotated[float, Meta(ge=0.0, le=1.0)]
Timestamp = Annotated[float, Meta(ge=0.0, le=1e9)]
EnhancementModel = Literal["codeformer", "gfpgan"]
SamplingMode = Literal["interval", "keyframes", "adaptive"]
Text = Annotated[str, Meta(max_length=4096)]
LibraryName = Annotated[str, Meta(pattern=rf"^({LIBRARY.pattern})?(?!\n)$")]
CollectionName = Annotated[str, Meta(pattern=rf"^{COLLECTION.pattern}(?!\n)$")]
FilePath = Annotated[str, Meta(min_length=1, max_length=4096, pattern=r"^[^\x00]*$")]

MAX_PATHS_LENGTH = 1 << 21
"""Most characters of all paths of a request's pictures: 10,000 paths of 200."""
REQUEST_SPELLINGS = {"source": "video_path", "scene_id": "source_id"}
PARAMETER_SPELLINGS = {"face_min_confidence": "min_confidence", "face_min_quality": "min_quality"}
"""Field names of vision-api, each with the specification's name of the same field; both are accepted."""
IGNORED_FIELDS = frozenset({"original_source", "source_type"})
"""Fields of a request that vision-api and its clients send and that change nothing here."""


class RequestError(ValueError):
    """A request that cannot be accepted.

    Attributes:
        field: dotted name of the field as the caller spelled it; empty when the body as a whole is at fault.
        problem: what is wrong with it, as a sentence.
        allowed: keywords of JSON Schema for the values it may have; None when unknown.
    """

    def __init__(self, field: str, problem: str, allowed: dict[str, Any] | None = None) -> None:
        if allowed and "enum" in allowed:
            problem += f"; expected {' or '.join(str(choice) for choice in allowed['enum'])}"
        super().__init__(f"{field}: {problem}" if field else problem)
        self.field = field
        self.problem = problem
        self.allowed = allowed


def _require_finite(struct: msgspec.Struct) -> None:
    for name in struct.__struct_fields__:
        value = getattr(struct, name)
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name} must be a finite number")


class Scene(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A scene of the video, in seconds."""

    start_timestamp: Timestamp
    end_timestamp: Timestamp
    """Seconds from the start of the video, 0 or more; not before `start_timestamp`."""
    duration: float | None = None
    """Accepted and ignored."""

    def __post_init__(self) -> None:
        _require_finite(self)
        if self.end_timestamp < self.start_timestamp:
            raise ValueError("end_timestamp lies before start_timestamp")


class Enhancement(msgspec.Struct, frozen=True, kw_only=True):
    """Improving faces of low quality through the Frame Server."""

    enabled: bool = False
    """Whether faces of low quality are improved; needs FRAME_SERVER_URL."""
    quality_trigger: Fraction | None = None
    """Composite quality below which a face is improved; None: FACES_ENHANCEMENT_QUALITY_TRIGGER (0.5)."""
    model: EnhancementModel = "codeformer"
    """Restoration model of the Frame Server."""
    fidelity_weight: Fraction = 0.5
    """CodeFormer's weight: 0 favours quality, 1 likeness to the original."""

    def __post_init__(self) -> None:
        _require_finite(self)


class Parameters(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters of a job, in the specification's spelling, with its defaults and ranges."""

    min_confidence: Fraction | None = None
    """Probability that a detection is a face, below which it is dropped and counted; None: FACES_MIN_CONFIDENCE, else
    the model pack's own (open: 0.8)."""
    min_quality: Fraction | None = None
    """Composite quality, after enhancement, below which detections are dropped; None: FACES_MIN_QUALITY (0.0)."""
    max_faces: Annotated[int, Meta(ge=1, le=1_000_000)] = 50
    """Most people in the result: those present in most frames."""
    sampling_interval: Annotated[float, Meta(ge=0.1, le=86_400.0)] = 2.0
    """Seconds between sampled frames; shorter appearances can be missed. The minimum is that of vision-api and the
    Frame Server; FACES_MAX_FRAMES bounds the work."""
    sampling: SamplingMode = "interval"
    """``keyframes`` moves each moment to the nearest keyframe within half an interval, which is cheaper to decode;
    for files that this service decodes itself. ``adaptive`` takes about 20 samples of a film shorter than 20 s."""
    enable_deduplication: bool = True
    """Whether detections of one person are grouped; false: every detection is a face of its own."""
    include_unidentifiable: bool = False
    """Whether faces that show too little to tell people apart (nearly black, flat, a few pixels) are in the result,
    each as a face of its own; false: they are only counted."""
    embedding_similarity_threshold: Fraction = 0.6
    """Cosine similarity from which two faces are one person."""
    detect_demographics: bool = True
    """Whether age, gender and emotion are estimated."""
    scene_boundaries: Annotated[list[Scene], Meta(max_length=100_000)] | None = None
    """Scenes of the video; the start, middle and end of each are sampled instead of regular intervals."""
    use_sprites: bool = False
    """Whether to analyse sprite sheets (thumbnail tiles) instead of the video."""
    sprite_vtt_url: Text | None = None
    """WebVTT file that lists the tiles; required with `use_sprites`."""
    sprite_image_url: Text | None = None
    """Address of the sprite sheet where all tiles lie on one, in place of the one that the WebVTT file names."""
    cache_duration: Annotated[int, Meta(ge=0, le=30 * 86400)] | None = None
    """Seconds that the result is kept and answers equal requests; 0: equal requests run again. None: CACHE_TTL
    (3600)."""
    enhancement: Enhancement = Enhancement()
    """Improving faces of low quality; off by default."""
    match_collections: Annotated[list[CollectionName], Meta(max_length=16)] = []
    """Collections of known people in which each person of the video is looked up."""
    library: LibraryName | None = None
    """Library that the people of the video are added to, and recognized from other videos; empty: none. None:
    FACES_LIBRARY, else none. Without `enable_deduplication` there are no people to add."""
    divisions: Divisions | None = None
    """Detections that are somebody else than they would be taken for. None: those that people named in the film's
    library."""

    def __post_init__(self) -> None:
        _require_finite(self)
        if self.use_sprites and not self.sprite_vtt_url:
            raise ValueError("use_sprites needs sprite_vtt_url")


class AnalyzeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A video to find the people in.

    Attributes:
        callback_url: where the end of the job is to be told, on a host that the operator allows.
        images: pictures that are one source, each a frame, in this order; ``video_path`` is then a name for them, by
            default the first one's path.
    """

    video_path: FilePath
    """Video, picture or folder of pictures below an allowed root (FACES_MEDIA_ROOTS), or an HTTP address."""
    images: Annotated[list[FilePath], Meta(min_length=1, max_length=10_000)] | None = None
    source_id: Annotated[str, Meta(max_length=256)] | None = None
    """Name of the source at the caller; returned in results, lists of jobs, pages and webhooks."""
    job_id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}(?!\n)$")] | None = None
    """Id of the job; None: the service chooses one."""
    lenient: bool = False
    """Whether unknown fields are ignored; otherwise a request with one is refused."""
    priority: Priority = "normal"
    """Each priority has its own streams and workers, so that none waits for another."""
    callback_url: Annotated[str, Meta(max_length=2048, pattern=r"^https?://")] | None = None
    tenant: Annotated[str, Meta(pattern=rf"^{CALLER.pattern}(?!\n)$")] | UnsetType = UNSET
    """Whose job it is: callers take turns, in proportion to their weights (FACES_SHARES). Where keys are needed, it
    is the name of the key; only a key with the scope ``admin`` may give another."""
    parameters: Parameters = Parameters()

    def __post_init__(self) -> None:
        if sum(map(len, self.images or ())) > MAX_PATHS_LENGTH:
            raise ValueError(f"the paths of images have more than {MAX_PATHS_LENGTH} characters together")
        if self.images and self.parameters.use_sprites:
            raise ValueError("images and use_sprites are two sources")


def film_id(request: AnalyzeRequest) -> str:
    """Returns the id of a film in libraries, a hash of its source: the same for every analysis of it."""
    source = msgspec.msgpack.encode((request.video_path, request.images))
    return f"film-{hashlib.sha256(source).hexdigest()[:24]}"


FIELDS = {
    "": (*AnalyzeRequest.__struct_fields__, *REQUEST_SPELLINGS),
    "parameters.": (*Parameters.__struct_fields__, *PARAMETER_SPELLINGS),
    "parameters.enhancement.": Enhancement.__struct_fields__,
}
"""Names of the fields of a request, in all spellings, by the path of their object."""


def parse_request(body: bytes) -> AnalyzeRequest:
    """Decodes and validates an analyze request from JSON.

    Raises:
        RequestError: malformed JSON, a missing field, a value of the wrong type or out of range, or both
            spellings of one value with different contents.
    """
    try:
        try:
            data = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RequestError("", f"The body is not JSON: {error}") from error
        return to_request(data)
    except RecursionError as error:  # comparing deep values
        raise RequestError("", "The body is nested too deeply.") from error


def to_request(data: Any) -> AnalyzeRequest:
    """Validates an analyze request from decoded JSON or msgpack; raises RequestError as `parse_request` does.

    Null counts as not given, and a number as text ("0.5") as the number, since callers send both. An unknown field
    is refused with the nearest known one, unless the request is `lenient`.
    """
    if not isinstance(data, dict):
        raise RequestError("", "The body must be an object.")
    spoken: dict[str, str] = {}
    fields = _one_spelling(data, REQUEST_SPELLINGS, "", spoken)
    parameters = fields.get("parameters")
    if isinstance(parameters, dict):
        parameters = _one_spelling(parameters, PARAMETER_SPELLINGS, "parameters.", spoken)
        if isinstance(parameters.get("enhancement"), dict):
            parameters["enhancement"] = _given(parameters["enhancement"])
        fields["parameters"] = parameters
    if "video_path" not in fields:
        if not (isinstance(fields.get("images"), list) and fields["images"]):
            _refuse_unknown(fields)
            raise RequestError(
                "video_path", "The request must name a video (video_path, or source) or images."
            )
        fields["video_path"] = fields["images"][0]
    try:
        request = msgspec.convert(fields, AnalyzeRequest, strict=False)
    except msgspec.ValidationError as error:
        _refuse_unknown(fields)  # a required field that is missing may be misspelt
        name, problem = locate(error)
        raise RequestError(spoken.get(name, name), problem, allowed(AnalyzeRequest, name)) from error
    _refuse_unknown(fields)
    return request


def _refuse_unknown(fields: dict[str, Any]) -> None:
    """Raises RequestError for the first field that a request does not have, unless it is `lenient`."""
    if str(fields.get("lenient", False)).lower() in ("true", "1"):
        return
    for path, name in unknown_fields(fields, AnalyzeRequest):
        if path not in FIELDS or (not path and name in IGNORED_FIELDS):
            continue  # scenes come with all fields of the service that detects them
        elsewhere = {
            field: f"{place}{field}" if place else f"{field}, outside of parameters"
            for place, names in FIELDS.items()
            if place != path
            for field in names
        }
        raise RequestError(path + name[:MAX_NAME_LENGTH], unknown_name(name, FIELDS[path], elsewhere))


def _one_spelling(
    given: dict[Any, Any], spellings: dict[str, str], path: str, spoken: dict[str, str]
) -> dict[str, Any]:
    """Renames fields to the specification's spelling; `spoken` collects what the caller wrote, for errors."""
    fields = _given(given)
    for other, name in spellings.items():
        if other not in fields:
            continue
        value = fields.pop(other)
        if name in fields:
            if not _same(fields[name], value):
                raise RequestError(
                    path + other, f"{other} and {name} are one parameter and were given different values."
                )
            if isinstance(value, str):  # of a text and a number, the number must be allowed too
                continue
        fields[name] = value
        spoken[path + name] = path + other
    return fields


def _same(one: Any, other: Any) -> bool:
    """Whether two values are equal, one of them perhaps a number as text; in Python 0 is False."""
    if isinstance(one, bool) != isinstance(other, bool):
        return False
    if isinstance(one, str) != isinstance(other, str):
        try:
            return float(one) == float(other)
        except (TypeError, ValueError, OverflowError):
            return False
    return bool(one == other)


def _given(fields: dict[Any, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in fields.items() if value is not None}
