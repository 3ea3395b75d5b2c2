"""What a result says about the models that made it, and about what it can have missed."""

import msgspec
import pytest

from consumers.job_result import JobFrames, build_result, demographics_of, gather_people, result_warnings
from consumers.outcomes import FrameOutcome
from schemas.messages import FinalizeTask
from schemas.observations import FrameFaces
from schemas.requests import AnalyzeRequest, Parameters
from schemas.results import Demographics
from tests.facecore.faces import face, frame, person


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


@pytest.mark.parametrize(
    ("numbers", "method", "seconds"),
    [
        ((0, 1, 2), "decoder", 2.0),
        ((0, 1, 7, 8), "decoder", 6.0),
        ((5,), "sprites", 5.0),
        ((0, 9), "album", None),
    ],
)
def test_a_result_names_the_shortest_appearance_that_it_cannot_have_missed(
    numbers: tuple[int, ...], method: str, seconds: float | None
) -> None:
    made = job(*(frame(number, []) for number in numbers))
    made.record.update(method=method, started="0")
    body = build_result(made, gather_people(made, 0.0), FinalizeTask(), None)
    assert body.metadata.shortest_sure_appearance_seconds == seconds


def test_emotions_of_a_worker_of_an_earlier_version_are_used_and_no_age_is_invented() -> None:
    made = job(frame(0, [face(person(0)), face(person(1), x=500, dark=True)]))
    people = gather_people(made, 0.0)
    said = demographics_of(people, FinalizeTask(emotions=("happy", "happy")))
    assert said == [Demographics(emotion="happy"), Demographics()], "nearly black faces show no emotion"
    assert demographics_of(people, FinalizeTask()) is None


def test_without_people_nobody_joins_a_library_and_the_result_says_so() -> None:
    parameters = Parameters(library="home", enable_deduplication=False)
    made = job(frame(0, []))
    made = msgspec.structs.replace(
        made, request=AnalyzeRequest(video_path="/v.mp4", parameters=parameters), record={"method": "image"}
    )
    body = build_result(made, gather_people(made, 0.0), FinalizeTask(), None)
    assert any("added to library home" in warning for warning in body.metadata.warnings)
