"""Requests: two spellings of each parameter, defaults, ranges, errors that name the field."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.requests import AnalyzeRequest, Parameters, RequestError, Scene, parse_request, to_request

fractions = st.floats(0, 1)


def test_defaults_follow_the_specification() -> None:
    parameters = to_request({"video_path": "/v.mp4"}).parameters
    assert parameters == Parameters(
        min_confidence=None, min_quality=None, max_faces=50, sampling_interval=2.0, enable_deduplication=True,
        embedding_similarity_threshold=0.6, scene_boundaries=None, use_sprites=False, cache_duration=None,
    )  # fmt: skip
    assert parameters.enhancement.model == "codeformer" and parameters.enhancement.fidelity_weight == 0.5
    assert parameters.enhancement.enabled is False


@given(confidence=fractions, quality=fractions)
def test_both_spellings_are_one_parameter(confidence: float, quality: float) -> None:
    ours = {"video_path": "/v.mp4", "parameters": {"min_confidence": confidence, "min_quality": quality}}
    theirs = {
        "source": "/v.mp4",
        "parameters": {"face_min_confidence": confidence, "face_min_quality": quality},
    }
    both = {
        "source": "/v.mp4", "video_path": "/v.mp4",
        "parameters": {**ours["parameters"], **theirs["parameters"]},
    }  # type: ignore[dict-item]  # fmt: skip
    assert to_request(ours) == to_request(theirs) == to_request(both)


@given(one=fractions, other=fractions)
def test_two_values_for_one_parameter_are_refused(one: float, other: float) -> None:
    request = {"source": "/v.mp4", "parameters": {"min_quality": one, "face_min_quality": other}}
    if one == other:
        assert to_request(request).parameters.min_quality == one
        request["parameters"] = {"min_quality": one, "face_min_quality": str(other)}
        assert to_request(request).parameters.min_quality == one
    else:
        with pytest.raises(RequestError, match="different values") as refused:
            to_request(request)
        assert refused.value.field == "parameters.face_min_quality"


def test_null_counts_as_not_given() -> None:
    plain = to_request({"source": "/v.mp4"})
    noisy = to_request(
        {"source": "/v.mp4", "job_id": None, "original_source": "x", "source_type": "video",
         "parameters": {"scene_boundaries": None, "min_quality": None, "enhancement": {"model": None}}}
    )  # fmt: skip
    assert noisy == plain


def test_what_the_neighbours_send_is_accepted() -> None:
    """Fields of vision-api, its clients and the scenes service."""
    scene = {
        "scene_number": 1,
        "start_timestamp": 0,
        "end_timestamp": 2,
        "start_frame": 0,
        "end_frame": 50,
        "duration": 2,
    }
    request = to_request(
        {"source": "/v.mp4", "original_source": "http://a/v.mp4", "scene_id": "7", "source_type": "video",
         "parameters": {"face_min_confidence": "0.9", "sampling_interval": 0.25, "scene_boundaries": [scene],
                        "enhancement": {"enabled": False, "quality_trigger": 0.5}}}
    )  # fmt: skip
    assert (request.source_id, request.parameters.sampling_interval) == ("7", 0.25)
    assert request.parameters.scene_boundaries == [Scene(start_timestamp=0, end_timestamp=2, duration=2)]


@pytest.mark.parametrize(
    ("request_", "field", "nearest"),
    [
        ({"sorce_id": "a"}, "sorce_id", "source_id"),
        ({"parameters": {"sampling_interva": 1}}, "parameters.sampling_interva", "sampling_interval"),
        ({"parameters": {"face_min_confidense": 1}}, "parameters.face_min_confidense", "face_min_confidence"),
        ({"parameters": {"Max-Faces": 1}}, "parameters.Max-Faces", "max_faces"),
        ({"parameters": {"enhancement": {"fidelity": 1}}}, "parameters.enhancement.fidelity", "fidelity_weight"),
        ({"parameters": {"dedup": 1}}, "parameters.dedup", "enable_deduplication"),
        ({"sampling_interval": 1}, "sampling_interval", "parameters.sampling_interval"),
        ({"parameters": {"job_id": "a"}}, "parameters.job_id", "job_id, outside of parameters"),
        ({"quality_triger": 1}, "quality_triger", "parameters.enhancement.quality_trigger"),
    ],
)  # fmt: skip
def test_an_unknown_field_is_refused_with_the_nearest_name(
    request_: dict[str, Any], field: str, nearest: str
) -> None:
    with pytest.raises(RequestError, match=rf"Unknown name( here)?; did you mean {nearest}\?") as refused:
        to_request({"source": "/v.mp4", **request_})
    assert refused.value.field == field
    assert to_request({"source": "/v.mp4", "lenient": True, **request_}).video_path == "/v.mp4"


@pytest.mark.parametrize(
    ("request_", "nearest"),
    [
        ({"Source": "/v.mp4"}, "source"),
        ({"videoPath": "/v.mp4", "lenient": False}, "video_path"),
        ({"parameters": {"video_path": "/v.mp4"}}, "video_path, outside of parameters"),
        ({"source": "/v", "parameters": {"use_sprites": True, "sprite_vtt_ur": "/v.vtt"}}, "sprite_vtt_url"),
    ],
)
def test_a_misspelt_field_that_is_required_is_named(request_: dict[str, Any], nearest: str) -> None:
    with pytest.raises(RequestError, match=rf"did you mean {nearest}\?"):
        to_request(request_)
    with pytest.raises(RequestError, match=r"must name a video|needs sprite_vtt_url"):
        to_request({**request_, "lenient": "true"})


@given(interval=st.floats(0.1, 1000), faces=st.integers(1, 1000), demographics=st.booleans())
def test_numbers_and_booleans_may_be_texts(interval: float, faces: int, demographics: bool) -> None:
    values = {"sampling_interval": interval, "max_faces": faces, "detect_demographics": demographics}
    texts = {name: str(value).lower() for name, value in values.items()}
    assert to_request({"source": "/v", "parameters": texts}) == to_request(
        {"source": "/v", "parameters": values}
    )


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_values_that_are_not_numbers_are_refused(number: str) -> None:
    with pytest.raises(RequestError):
        parse_request(b'{"source": "/v.mp4", "parameters": {"sampling_interval": %s}}' % number.encode())


def test_nan_from_msgpack_is_refused() -> None:
    with pytest.raises(RequestError) as refused:
        to_request({"source": "/v.mp4", "parameters": {"sampling_interval": float("nan")}})
    assert "finite" in refused.value.problem or ">=" in refused.value.problem


def test_a_scene_ends_after_it_starts() -> None:
    request = {
        "source": "/v",
        "parameters": {"scene_boundaries": [{"start_timestamp": 2, "end_timestamp": 1}]},
    }
    with pytest.raises(RequestError, match="before"):
        to_request(request)
    request["parameters"] = {"scene_boundaries": [{"start_timestamp": 1, "end_timestamp": 1}]}
    assert to_request(request).parameters.scene_boundaries == [Scene(start_timestamp=1, end_timestamp=1)]


@given(st.binary(max_size=200))
def test_any_bytes_parse_to_a_request_or_are_refused(body: bytes) -> None:
    try:
        assert isinstance(parse_request(body), AnalyzeRequest)
    except RequestError as refused:
        assert refused.problem


names = st.sampled_from([*Parameters.__struct_fields__, "parameters", "source", "video_path"])
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=6),
    max_leaves=12,
)


@given(json_values)
def test_any_value_parses_to_a_request_or_is_refused(data: object) -> None:
    try:
        request = to_request(data)
    except RequestError as refused:
        assert refused.problem
    else:
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(request), type=AnalyzeRequest) == request


@pytest.mark.parametrize(
    "body",
    [
        {"video_path": "/v", "images": ["/" + "x" * 4000] * 600},
        {"video_path": "/v", "parameters": {"sampling_interval": 1e6}},
        {
            "video_path": "/v",
            "parameters": {"scene_boundaries": [{"start_timestamp": 0, "end_timestamp": 1e12}]},
        },
    ],
)
def test_lists_and_intervals_are_bounded_together(body: dict[str, object]) -> None:
    with pytest.raises(RequestError):
        parse_request(msgspec.json.encode(body))


@pytest.mark.parametrize(("one", "other"), [(0, "0"), ("0", 0)])
def test_a_number_is_no_path_beside_an_equal_text(one: object, other: object) -> None:
    with pytest.raises(RequestError, match="str") as refused:
        to_request({"source": one, "video_path": other})
    assert refused.value.field in ("source", "video_path")


def test_two_spellings_of_a_deeply_nested_value_are_refused() -> None:
    deep = "[" * 900 + "]" * 900
    with pytest.raises(RequestError):
        parse_request(f'{{"source": {deep}, "video_path": {deep}}}'.encode())
