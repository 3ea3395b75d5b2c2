"""Faces found in a frame: plain values that facecore writes and the finalize stage reads."""

import msgspec


class Angles(msgspec.Struct, frozen=True, array_like=True):
    """Head pose in degrees. yaw < 0: the face looks to the left of the picture; pitch > 0: up;
    roll > 0: the head is tilted clockwise as seen in the picture."""

    yaw: float
    pitch: float
    roll: float


class QualityScore(msgspec.Struct, frozen=True, array_like=True):
    """Quality components, each 0-1 (facecore.quality has the formulas)."""

    size: float
    pose: float
    occlusion: float
    sharpness: float


class ObservedFace(msgspec.Struct, frozen=True, kw_only=True):
    """One face in one frame. Coordinates are pixels of the source frame.

    Attributes:
        box: x_min, y_min, x_max, y_max.
        confidence: that the detection is a face, 0-1 (`facecore.detection.detector.Detector.confidence`).
        landmarks: left eye, right eye, nose, left and right corner of the mouth (as they lie in the picture),
            x and y of each: 10 numbers.
        embedding: 512 little-endian float32, not normalised: the longer, the more certain the embedder is.
        angles: head pose.
        native_angles: False when the angles were estimated from the landmarks.
        quality: the four components.
        occlusion_probability: that the face is occluded, 0-1; None without a model.
        detector_score: the score behind the confidence, 0-1; None: from a worker of an earlier version.
        enhanced: the values come from an enhanced frame (the embedding never does).
        identifiable: the picture shows enough of the face to tell people apart.
        dark: the face is nearly black, and its portrait is brightened.
    """

    box: tuple[float, float, float, float]
    confidence: float
    landmarks: tuple[float, float, float, float, float, float, float, float, float, float]
    embedding: bytes
    angles: Angles
    native_angles: bool
    quality: QualityScore
    occlusion_probability: float | None = None
    enhanced: bool = False
    detector_score: float | None = None
    identifiable: bool = True
    dark: bool = False


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """Models that produced the values; providers as reported by the inference sessions."""

    pack: str
    detector: str
    embedder: str
    providers: tuple[str, ...]
    sharpness: str  # "topiq_nr", "clipiqa" or "sobel": three different scales
    occlusion: str | None  # name of the classifier; None: no model, occlusion counts as 1.0
    min_confidence: float  # the threshold in force


class FrameFaces(msgspec.Struct, frozen=True, kw_only=True):
    """The faces of one frame.

    Attributes:
        index: number of the sample in the job, from 0.
        timestamp: seconds from the start of the video.
        detector_size: side of the detector's square input, pixels.
        low_confidence: number of detections dropped for their confidence.
        rejected_confidences: of these detections, two decimals.
        kept: why faces due for enhancement kept their original values, each reason once.
        look: of the frame (`facecore.video.upright.look`), by which the enhanced picture is turned; empty without
            enhancement.
        picture: name of the picture in `schemas.store.observations`; empty: it is not kept there.
    """

    index: int
    timestamp: float
    width: int
    height: int
    faces: tuple[ObservedFace, ...]
    detector_size: int
    low_confidence: int
    provenance: Provenance
    kept: tuple[str, ...] = ()
    rejected_confidences: tuple[float, ...] = ()
    look: bytes = b""
    picture: str = ""


class Sampling(msgspec.Struct, frozen=True, array_like=True):
    """The samples of a completed job, kept for jobs that sample its source alike.

    Attributes:
        observer: of the pictures (`consumers.observer.observer_of`).
        method: how the frames were obtained, as in the job record.
        film: encoded schemas.metadata.Film.
        warnings: problems of the source.
        samples: timestamp in seconds and picture of each, in order.
    """

    observer: str
    method: str
    film: str
    warnings: tuple[str, ...]
    samples: tuple[tuple[float, str], ...]
