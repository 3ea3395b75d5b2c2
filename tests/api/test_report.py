"""The report page: hostile names stay text, no outside requests, durations, contact sheets."""

from html.parser import HTMLParser
from typing import Any

import msgspec
import pytest

from api.pages import report
from api.pages.report import Reported
from schemas.metadata import Metadata, Rejected
from schemas.requests import Parameters, Scene
from schemas.results import (
    Appearance,
    BoundingBox,
    Detection,
    Face,
    JobResult,
    Landmarks,
    Nearest,
    Occlusion,
    PoseAngles,
    Quality,
    QualityComponents,
)
from schemas.store.pictures import MAX_TILES, NO_PICTURES, strip_positions


class Page(HTMLParser):
    """What a browser would see: every element with its attributes, and the text of the scripts."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self._within = ""
        self.feed(page.decode())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._within = dict(attrs).get("id") or tag

    def handle_data(self, data: str) -> None:
        self.texts[self._within] = self.texts.get(self._within, "") + data

    @property
    def data(self) -> Any:
        return msgspec.json.decode(self.texts["data"])


DETECTION = Detection(
    frame_index=1, timestamp=2.0, bbox=BoundingBox(1, 2, 30, 40), confidence=0.9,
    quality=Quality(0.7, QualityComponents(0.5, 0.6, 1.0, 0.8)), pose="left", pose_angles=PoseAngles(-20, 1, 2),
    landmarks=Landmarks((5, 9), (20, 9), (12, 15), (7, 25), (18, 25)), enhanced=False,
    occlusion=Occlusion(False, 0.1),
)  # fmt: skip


def result(name: str) -> JobResult:
    """A result in which every text that could come from a stranger is `name`."""
    face = Face(
        face_id=name, embedding=[0.0] * 512, demographics=None, detections=[DETECTION],
        representative_detection=DETECTION, appearances=[Appearance(2.0, 2.0)], share=0.5, cohesion=1.0,
        nearest=Nearest(name, 0.1), weak_detections=0, thumbnail="faces/face_0/thumbnail",
    )  # fmt: skip
    metadata = Metadata(
        video_path=f"/films/{name}", total_frames=4, frames_processed=4, unique_faces=1, total_detections=1,
        processing_time_seconds=0.1, method="ffmpeg", model=name, providers=[name], detector_sizes=[320],
        min_confidence=None, sharpness_method=None, occlusion_model=None, rejected=Rejected(), failed_frames=[],
        failed_frames_count=0, enhancement=None, warnings=[name],
    )  # fmt: skip
    return JobResult(status="completed", faces=[face], metadata=metadata, job_id="job-1", source_id=name)


def render(name: str, parameters: Parameters = Parameters()) -> Page:  # noqa: B008
    body = result(name)
    return Page(report.render([Reported(body.job_id, body.source_id, body, NO_PICTURES, parameters)]))


HARMLESS = render("film.mp4")


@pytest.mark.parametrize(
    "name",
    [
        '</script><img src=x onerror="alert(1)">',
        "</SCRIPT ><script>alert(1)</script>",
        "<!--<script>",
        '"><svg onload=alert(1)>',
        "</title></style><body onload=alert(1)>",
        "{{data}}{{policy}}{{title}}",
        "\u2028\u2029&lt;&#60;script&#62;",
        "javascript:alert(1)//' onclick='x",
    ],
)
def test_a_hostile_name_is_text_and_nothing_else(name: str) -> None:
    page = render(name)
    assert page.elements == HARMLESS.elements
    assert page.texts["script"] == HARMLESS.texts["script"]
    (data,) = page.data
    assert data["source_id"] == data["people"][0]["id"] == data["metadata"]["warnings"][0] == name
    assert data["metadata"]["video_path"] == f"/films/{name}"


def test_the_policy_allows_the_page_s_own_script_and_nothing_else() -> None:
    (policy,) = (
        attributes["content"]
        for tag, attributes in HARMLESS.elements
        if tag == "meta" and "http-equiv" in attributes
    )
    assert policy is not None
    assert policy == report.PAGE.policy
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy and "http" not in policy


def test_the_report_requests_nothing() -> None:
    for tag, attributes in HARMLESS.elements:
        assert not attributes.keys() & {"src", "action", "srcset", "style"}, tag
        assert attributes.get("href") in (None, "data:,", "./"), "no picture for the tab, and the way back"
        assert not [name for name in attributes if name.startswith("on")], tag
    assert "url(" not in HARMLESS.texts["style"] and "@import" not in HARMLESS.texts["style"]


def test_the_duration_follows_from_scenes_or_the_interval() -> None:
    (sampled,) = render("a", Parameters(sampling_interval=10.0)).data
    assert (sampled["length"], sampled["scenes"]) == (30.0, [])
    scenes = [Scene(start_timestamp=0.0, end_timestamp=7.5)]
    (marked,) = render("a", Parameters(scene_boundaries=scenes)).data
    assert (marked["length"], marked["scenes"]) == (7.5, [[0.0, 7.5]])


@pytest.mark.parametrize("detections", [1, 2, 11, 12, 13, 1000])
def test_a_contact_sheet_has_the_first_the_last_and_some_between(detections: int) -> None:
    shown = strip_positions(detections)
    assert (shown[0], shown[-1], len(shown)) == (0, detections - 1, min(detections, MAX_TILES))
    assert shown == sorted(set(shown))


def test_several_jobs_are_one_page() -> None:
    jobs = [Reported(name, None, result(name), NO_PICTURES, Parameters()) for name in ("a", "b")]
    page = Page(report.render(jobs))
    assert [job["job_id"] for job in page.data] == ["a", "b"]
    assert page.texts["title"].startswith("People in 2 videos")
