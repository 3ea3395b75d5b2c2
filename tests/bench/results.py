"""Generates results of a given size for tests and benches."""

import math
import random

from schemas.metadata import Metadata, Rejected
from schemas.results import (
    Appearance,
    BoundingBox,
    Demographics,
    Detection,
    Face,
    Landmarks,
    Nearest,
    Occlusion,
    PoseAngles,
    Quality,
    QualityComponents,
    ResultBody,
)


def result_of(people: int, detections: int) -> ResultBody:
    """Generates a result with so many people and detections of each; equal numbers give equal results."""
    dice = random.Random(people * 1000 + detections)
    faces = [_face(number, detections, dice) for number in range(people)]
    metadata = Metadata(
        video_path="/media/made-up.mp4", total_frames=detections, frames_processed=detections, unique_faces=people,
        total_detections=people * detections, processing_time_seconds=1.0, method="ffmpeg", model="open",
        providers=["CPUExecutionProvider"], detector_sizes=[640], min_confidence=0.5, sharpness_method="sobel",
        occlusion_model=None, rejected=Rejected(), failed_frames=[], failed_frames_count=0, enhancement=None,
        warnings=[],
    )  # fmt: skip
    return ResultBody(status="completed", faces=faces, metadata=metadata)


def _face(number: int, detections: int, dice: random.Random) -> Face:
    vector = [dice.gauss(0, 1) for _ in range(512)]
    length = math.hypot(*vector)
    seen = [_detection(index, dice) for index in range(detections)]
    return Face(
        face_id=f"face_{number}",
        embedding=[round(x / length, 6) for x in vector],
        demographics=Demographics(age=dice.randrange(18, 80), gender="F", emotion="neutral"),
        detections=seen,
        representative_detection=seen[0],
        appearances=[Appearance(0.0, 2.0 * detections)],
        share=1.0,
        cohesion=0.8,
        nearest=Nearest(f"face_{number + 1}", 0.2),
        weak_detections=0,
        thumbnail=f"faces/face_{number}/thumbnail",
    )


def _detection(index: int, dice: random.Random) -> Detection:
    x, y = dice.randrange(1500), dice.randrange(800)
    score = round(dice.random(), 4)
    return Detection(
        frame_index=index,
        timestamp=2.0 * index,
        bbox=BoundingBox(x, y, x + 120, y + 150),
        confidence=score,
        quality=Quality(score, QualityComponents(score, score, score, score)),
        pose="front",
        pose_angles=PoseAngles(1.5, -2.25, 0.5),
        landmarks=Landmarks(
            (x + 30, y + 50), (x + 80, y + 50), (x + 60, y + 80), (x + 40, y + 110), (x + 80, y + 110)
        ),
        enhanced=False,
        occlusion=Occlusion(False, 0.1),
    )
