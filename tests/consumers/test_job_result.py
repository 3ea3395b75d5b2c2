"""Warnings of a result about the models that made it."""

import msgspec
import pytest

from consumers.job_result import JobFrames, result_warnings
from consumers.outcomes import FrameOutcome
from schemas.observations import FrameFaces
from schemas.requests import AnalyzeRequest
from tests.facecore.faces import frame


def job(*frames: FrameFaces) -> JobFrames:
    return JobFrames(
        AnalyzeRequest(video_path="/v.mp4"),
        {},
        {f.index: FrameOutcome("analysed") for f in frames},
        [*frames],
    )


def seen_by(number: int, **provenance: object) -> FrameFaces:
    made = frame(number, [])
    return msgspec.structs.replace(
        made, provenance=msgspec.structs.replace(made.provenance, **{"occlusion": "o@1", **provenance})
    )


@pytest.mark.parametrize("other", [{"sharpness": "topiq_nr"}, {"occlusion": "o@2"}, {"detector": "d2"}])
def test_workers_with_different_models_cause_a_warning(other: dict[str, object]) -> None:
    [warning] = result_warnings(job(seen_by(0), seen_by(1, **other)))
    assert "different models" in warning


def test_workers_on_different_devices_cause_none() -> None:
    assert result_warnings(job(seen_by(0), seen_by(1, providers=("CUDAExecutionProvider",)))) == []
