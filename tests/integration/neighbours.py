"""The services around this one as they speak: vision-api's requests, and what the clients require of the answers.

The structs are those of the Go client in the plugin for Stash and of vision-api's models; what has a default may be
missing there.
"""

from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec


def as_vision_api(video: Path, job_id: str, **parameters: Any) -> dict[str, Any]:
    """The payload as vision-api sends it."""
    return {
        "source": str(video),
        "original_source": str(video),
        "source_id": "12345",
        "job_id": f"faces-{job_id}",
        "parameters": {
            "face_min_confidence": 0.5,
            "face_min_quality": 0.0,
            "max_faces": 50,
            "sampling_interval": 2.0,
            "enable_deduplication": True,
            "embedding_similarity_threshold": 0.6,
            "detect_demographics": True,
            "scene_boundaries": None,
            "use_sprites": False,
            "sprite_vtt_url": None,
            "sprite_image_url": None,
            "enhancement": {
                "enabled": False,
                "quality_trigger": 0.5,
                "model": "codeformer",
                "fidelity_weight": 0.5,
            },
            **parameters,
        },
    }


class Submitted(msgspec.Struct):
    job_id: str
    status: str
    created_at: datetime


class Status(msgspec.Struct):
    job_id: str
    status: str
    progress: float
    created_at: datetime
    stage: str
    message: str
    started_at: datetime | None = None
    completed_at: datetime | None = None
    error: str = ""
    result_summary: dict[str, Any] = {}


class Box(msgspec.Struct):
    x_min: int
    y_min: int
    x_max: int
    y_max: int


class Components(msgspec.Struct):
    size: float
    pose: float
    occlusion: float
    sharpness: float


class Quality(msgspec.Struct):
    composite: float
    components: Components


class Occlusion(msgspec.Struct):
    occluded: bool
    probability: float


class Landmarks(msgspec.Struct):
    left_eye: tuple[int, int]
    right_eye: tuple[int, int]
    nose: tuple[int, int]
    mouth_left: tuple[int, int]
    mouth_right: tuple[int, int]


class Detection(msgspec.Struct):
    frame_index: int
    timestamp: float
    bbox: Box
    confidence: float
    quality: Quality
    pose: str
    landmarks: Landmarks
    enhanced: bool
    occlusion: Occlusion


class Demographics(msgspec.Struct):
    age: int = 0
    gender: str = ""
    emotion: str = ""


class Face(msgspec.Struct):
    face_id: str
    embedding: list[float]
    detections: list[Detection]
    representative_detection: Detection
    demographics: Demographics | None = None


class FrameEnhancement(msgspec.Struct):
    enabled: bool
    quality_trigger: float | None
    model: str
    fidelity_weight: float


class Metadata(msgspec.Struct):
    source: str
    total_frames: int
    frames_processed: int
    unique_faces: int
    total_detections: int
    processing_time_seconds: float
    method: str
    model: str
    frame_enhancement: FrameEnhancement | None = None


class Results(msgspec.Struct):
    job_id: str
    source_id: str
    status: str
    faces: list[Face]
    metadata: Metadata


class Health(msgspec.Struct):
    status: str
    service: str
    version: str
    model: str
    gpu_available: bool
    active_jobs: int
    cache_size_mb: float
    occlusion_model_loaded: bool
