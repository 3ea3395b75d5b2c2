"""Decodes videos, pictures and sprite sheets: the exact frame shown at a given time, as a BGR image."""

from facecore.video.decoder import SampledFrame, Samples, open_source
from facecore.video.errors import SourceError
from facecore.video.properties import probe
from facecore.video.sampling import Interval, Plan, Scenes, Timestamps, VideoInfo

__all__ = [
    "Interval",
    "Plan",
    "SampledFrame",
    "Samples",
    "Scenes",
    "SourceError",
    "Timestamps",
    "VideoInfo",
    "open_source",
    "probe",
]
