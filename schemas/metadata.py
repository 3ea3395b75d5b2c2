"""Metadata of a result: how it came about, with the specification's names; additions to it are marked."""

from typing import Literal

import msgspec

from schemas.orientation import FrameServerPicture, SourcePicture
from schemas.requests import Enhancement

FrameSource = Literal["decoder", "image", "album", "sprites", "frame-server", "frame-server-scenes"]
STILLS: frozenset[FrameSource] = frozenset({"image", "album"})
"""Frame sources whose frames are pictures, which have an order and no times."""
"""Ways to obtain the frames of a source."""


class FailedFrame(msgspec.Struct, frozen=True):
    """A frame that could not be analysed (an addition)."""

    frame_index: int
    reason: str


class Rejected(msgspec.Struct, frozen=True):
    """Detections that are not in the result, by reason (an addition)."""

    low_confidence: int = 0
    low_quality: int = 0
    max_faces: int = 0


class EnhancementReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the enhancement that was asked for (an addition).

    Attributes:
        requested_frames: frames with a face below the quality trigger.
        enhanced_faces: detections in the result that come from an enhanced picture.
        kept_frames: requested frames whose original faces stand.
        reasons: why they stand, and how many frames each.
    """

    requested_frames: int
    enhanced_faces: int
    kept_frames: int
    reasons: dict[str, int]


class Film(msgspec.Struct, frozen=True, kw_only=True):
    """Properties of a video or picture as its file states them (an addition); None: unknown.

    Attributes:
        width, height: pixels as displayed: rotated, and with square pixels.
        duration: seconds of the picture.
        fps: average frames a second.
        codec: FFmpeg's name of the decoder, or the format of a picture.
        frames: number of frames.
        stored: how the file stores its pictures.
        served: the Frame Server's own pictures.
    """

    width: int | None = None
    height: int | None = None
    duration: float | None = None
    fps: float | None = None
    codec: str | None = None
    frames: int | None = None
    stored: SourcePicture | None = None
    served: FrameServerPicture | None = None


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """How a result came about: frames, models and settings, what was left out, warnings.

    Attributes:
        source: the same as ``video_path``, as vision-api and its clients call it.
        source_type: what the source is; ``url`` when it was downloaded.
        method: how frames were obtained, in the words of vision-api and its clients.
        frame_source: how frames were obtained, in this service's words; scenes that the Frame Server samples in its
            own way are ``frame-server-scenes``.
        frame_enhancement: enhancement that was requested. ``enabled`` says which picture boxes and landmarks belong
            to: it is false, since they are always pixels of the frame without enhancement.
        frame_width, frame_height: size in pixels of the frames that boxes and landmarks belong to; null where the
            frames differ in size, as in an album.
        rotation_applied: whether the frames are rotated and mirrored as the file asks; null: this host does not have
            the file, and they are as the Frame Server or the sprite map gives them.
        pixel_aspect_applied: whether pixels of the frames are square; null as above.
        source_picture: how the file stores its pictures; null: not known, or an album.
        reused_frames: frames that were not analysed again, since their picture had been, in an earlier job or this
            one.
        frame_server_picture: where boxes and landmarks lie in the Frame Server's own pictures; null as above.
    """

    video_path: str
    source: str = ""  # results of earlier versions lack what has a default
    source_type: Literal["video", "image", "url"] = "video"
    total_frames: int  # frames of the video where their number is known, otherwise samples
    frames_processed: int  # samples that were analysed
    unique_faces: int
    total_detections: int
    processing_time_seconds: float
    method: str  # "ffmpeg", "opencv_cpu" or "sprites"
    model: str
    frame_enhancement: Enhancement | None = None
    # Additions
    frame_source: FrameSource = "decoder"
    providers: list[str]
    detector_sizes: list[int]
    min_confidence: float | None
    sharpness_method: str | None
    occlusion_model: str | None
    rejected: Rejected
    failed_frames: list[FailedFrame]
    failed_frames_count: int
    enhancement: EnhancementReport | None
    warnings: list[str]
    # A person who can be seen for longer is in at least one analysed sample: seconds between the two samples that
    # are farthest apart. null for single pictures
    shortest_sure_appearance_seconds: float | None = None
    sampled_frames: int = 0  # samples taken from the source
    reused_frames: int = 0  # samples whose picture had been analysed before
    # Of the source; null: unknown, or an album or a sprite map
    width: int | None = None  # pixels as displayed
    height: int | None = None
    duration: float | None = None  # seconds
    fps: float | None = None  # average frames a second
    codec: str | None = None
    # Detections that show too little to tell people apart; see include_unidentifiable
    unidentifiable: int = 0
    # The frame of reference of boxes and landmarks
    frame_width: int | None = None
    frame_height: int | None = None
    rotation_applied: bool | None = None
    pixel_aspect_applied: bool | None = None
    source_picture: SourcePicture | None = None
    frame_server_picture: FrameServerPicture | None = None
