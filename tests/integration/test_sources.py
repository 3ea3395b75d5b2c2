"""Frames from the Frame Server, and enhancement of poor faces, through the whole service."""

import math
import urllib.request
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from facecore.video import Interval, open_source
from facecore.video.upright import Turning
from tests.consumers.sources.frame_server_double import ServerProcess
from tests.facecore.video.lying import as_displayed, lying_film
from tests.integration.client import Service
from tests.integration.conftest import run_service
from tests.integration.conversation import Talk, clients, strictness


@pytest.fixture(scope="module")
def double(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path_factory.mktemp("volume").resolve())
    process.start()
    yield process
    process.kill()


@pytest.fixture(scope="module")
def with_server(
    models_path: Path, tmp_path_factory: pytest.TempPathFactory, double: ServerProcess
) -> Iterator[Service]:
    environment = {"FRAME_SERVER_URL": double.url, "FACES_FRAME_ROOTS": str(double.volume)}
    yield from run_service(models_path, tmp_path_factory.mktemp("data"), environment=environment)


@pytest.fixture(scope="module")
def blurred(six_people: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The film of six people, blurred as a bad camera does."""
    out = tmp_path_factory.mktemp("media") / "blurred.mp4"
    with av.open(str(six_people)) as source, av.open(str(out), "w") as target:
        stream = target.add_stream("libx264", rate=25, options={"crf": "20", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        for number, frame in enumerate(source.decode(video=0)):
            small = cv2.resize(frame.to_ndarray(format="bgr24"), (480, 270), interpolation=cv2.INTER_AREA)
            picture = av.VideoFrame.from_ndarray(cv2.resize(small, (1280, 720)), format="bgr24")
            picture.pts, picture.time_base = number, Fraction(1, 25)
            target.mux(stream.encode(picture))
        target.mux(stream.encode(None))
    return out


def places(result: Any) -> list[tuple[int, ...]]:
    return sorted(
        (d["frame_index"], d["bbox"]["x_min"], d["bbox"]["y_min"], d["bbox"]["x_max"], d["bbox"]["y_max"])
        for face in result["faces"]
        for d in face["detections"]
    )


@pytest.mark.parametrize("shared", [True, False], ids=["files on a shared volume", "over HTTP"])
def test_the_frame_server_s_frames_show_the_same_people(
    with_server: Service, service: Service, double: ServerProcess, six_people: Path, shared: bool
) -> None:
    double.faults(lost_files=not shared)
    parameters = {"min_confidence": 0.61 if shared else 0.62}
    result = with_server.analyze({"video_path": str(six_people), "parameters": parameters})
    assert result["metadata"]["frame_source"] == "frame-server"
    assert len(result["faces"]) == 6
    here = service.analyze({"video_path": str(six_people), "parameters": parameters})
    assert here["metadata"]["frame_source"] == "decoder"
    for theirs, ours in zip(places(result), places(here), strict=True):
        assert np.allclose(theirs, ours, atol=3)


@pytest.mark.parametrize(
    ("turning", "aspect", "method"),
    [
        (Turning(True, True, False), Fraction(16, 11), "frame-server"),
        (Turning(False, True, False), Fraction(1), "decoder"),
    ],
    ids=["a quarter turn, wide pixels", "mirrored"],
)
def test_boxes_have_one_frame_of_reference(
    with_server: Service,
    double: ServerProcess,
    group_photograph: Path,
    tmp_path: Path,
    turning: Turning,
    aspect: Fraction,
    method: str,
) -> None:
    """Whoever decodes, however the film is stored: boxes lie on the picture that a player shows, and the result says
    where that lies in the Frame Server's own pictures, restored ones included."""
    width, height = 832, 576
    picture = np.asarray(cv2.resize(cv2.imread(str(group_photograph)), (width, height)), np.uint8)
    blurred = cv2.GaussianBlur(picture, (0, 0), 2)
    cv2.imwrite(str(tmp_path / "blurred.png"), blurred)
    film = lying_film(tmp_path / "film.mp4", [blurred] * 30, turning, aspect)
    sharp = lying_film(tmp_path / "sharp.mp4", [picture] * 30, turning, aspect)
    is_turned = turning.transpose
    double.faults(restored=str(sharp), unturned=[25] if is_turned else [], lost_files=is_turned)
    parameters = {"detect_demographics": False, "sampling_interval": 1.0, "enable_deduplication": False}
    wanted = {"enabled": is_turned, "quality_trigger": 1.0}
    shown = with_server.analyze({"video_path": str(tmp_path / "blurred.png"), "parameters": parameters})
    result = with_server.analyze(
        {"video_path": str(film), "parameters": {**parameters, "enhancement": wanted}}
    )
    metadata = result["metadata"]
    assert metadata["frame_source"] == method
    assert (metadata["frame_width"], metadata["frame_height"]) == (width, height)
    assert metadata["rotation_applied"] is metadata["pixel_aspect_applied"] is True
    expected = [place[1:] for place in places(shown)]
    for number in (0, 1):
        found = [d for d in detections(result) if d["frame_index"] == number]
        assert len(found) == 6 and sum(d["enhanced"] for d in found) >= 3 * is_turned
        for detection in found:
            box = [*detection["bbox"].values()]
            apart = min(np.abs(np.subtract(box, other)).max() for other in expected)
            assert apart <= (8 if detection["enhanced"] else 2), "a restored face has a box of its own"
    address = f"{double.url}/frames/extract-frame?video_path={film}&timestamp=0&enhance=0"
    with urllib.request.urlopen(address) as answer:
        served = cv2.imdecode(np.frombuffer(answer.read(), np.uint8), cv2.IMREAD_COLOR)
    facts = metadata["frame_server_picture"]
    assert (facts["width"], facts["height"]) == (served.shape[1], served.shape[0])
    there = as_displayed(served, facts["matrix"], width, height)
    assert np.abs(there[8:-8, 8:-8].astype(int) - blurred[8:-8, 8:-8]).mean() < 8


def test_frames_at_other_times_than_requested_are_decoded_locally(
    with_server: Service, double: ServerProcess, six_people: Path
) -> None:
    double.faults(spacing=5.0)
    # cache_duration 0: nothing that was seen for earlier requests is used.
    parameters = {"min_confidence": 0.63, "cache_duration": 0}
    result = with_server.analyze({"video_path": str(six_people), "parameters": parameters})
    assert result["metadata"]["frame_source"] == "decoder" and len(result["faces"]) == 6


@pytest.mark.parametrize(
    "faults", [{"first": 3}, {"first": 3, "no_metadata": True}, {"broken": True}], ids=str
)
def test_missing_frames_are_decoded_locally(
    with_server: Service, double: ServerProcess, six_people: Path, faults: dict[str, Any]
) -> None:
    double.faults(**faults)
    parameters = {"detect_demographics": False, "cache_duration": 0}
    result = with_server.analyze({"video_path": str(six_people), "parameters": parameters})
    assert result["metadata"]["frame_source"] == "decoder"
    assert (result["metadata"]["sampled_frames"], len(result["faces"])) == (6, 6)


def test_a_film_that_only_the_frame_server_sees(
    with_server: Service, double: ServerProcess, six_people: Path, tmp_path: Path
) -> None:
    double.faults(film=str(six_people))
    request = {"video_path": str(tmp_path / "on another mount.mp4")}
    result = with_server.analyze(request)
    metadata = result["metadata"]
    assert (metadata["frame_source"], len(result["faces"])) == ("frame-server", 6)
    assert (metadata["frame_width"], metadata["frame_height"]) == (1280, 720)
    assert metadata["rotation_applied"] is metadata["pixel_aspect_applied"] is None, "nobody knows"
    assert metadata["source_picture"] is metadata["frame_server_picture"] is None
    double.faults()
    status = with_server.wait_for_end(with_server.submit(request))
    assert status["status"] == "failed" and "cached" not in status
    assert "There is no file at" in status["error"] and "Video not found" in status["error"]


@pytest.mark.parametrize("faults", [{"lost_frames": True}, {"dies_after": 5}], ids=str)
def test_a_frame_server_that_fails_in_mid_film_costs_nothing(
    with_server: Service, double: ServerProcess, six_people: Path, faults: dict[str, Any]
) -> None:
    """Swept frames, a process that ends: the rest is decoded here, and the result says so."""
    double.faults(lost_files=True, **faults)
    parameters = {"sampling_interval": 1.0, "detect_demographics": False, "cache_duration": 0}
    result = with_server.analyze({"video_path": str(six_people), "parameters": parameters})
    if not double.is_running:
        double.start()
    metadata = result["metadata"]
    assert (metadata["frame_source"], metadata["sampled_frames"], len(result["faces"])) == (
        "frame-server",
        12,
        6,
    )
    (warning,) = [text for text in metadata["warnings"] if "this service decoded the rest" in text]
    assert f"failed at frame {faults.get('dies_after', 0)}" in warning


@pytest.mark.parametrize(
    "single", [True, False], ids=["frame by frame", "as the Frame Server samples scenes"]
)
def test_scenes_of_a_film_that_only_the_frame_server_sees(
    with_server: Service, double: ServerProcess, six_people: Path, tmp_path: Path, single: bool
) -> None:
    double.faults(film=str(six_people), no_single=not single)
    scenes = [{"start_timestamp": 0, "end_timestamp": 4}, {"start_timestamp": 4, "end_timestamp": 10}]
    parameters = {"scene_boundaries": scenes, "detect_demographics": False, "cache_duration": 0}
    request = {"video_path": str(tmp_path / "another mount.mp4"), "parameters": parameters}
    result = with_server.analyze(request)
    times = sorted({d["timestamp"] for d in detections(result)})
    if single:
        assert (result["metadata"]["frame_source"], times) == ("frame-server", [0, 2, 3.98, 4, 7, 9.98])
    else:
        assert (result["metadata"]["frame_source"], times) == (
            "frame-server-scenes",
            [1, 2, 3, 5.52, 7, 8.48],
        )
    here = with_server.analyze({**request, "video_path": str(six_people)})
    assert here["metadata"]["frame_source"] == "decoder", "the Frame Server would seek to each sample"


@pytest.mark.parametrize("factor", [1, 2], ids=["same size", "twice the size"])
def test_poor_faces_are_improved_by_the_enhanced_frame(
    with_server: Service, double: ServerProcess, six_people: Path, blurred: Path, factor: int
) -> None:
    double.faults(restored=str(six_people), enhanced=factor)
    parameters = {
        "min_confidence": 0.5 + factor / 100, "detect_demographics": factor == 1, "enable_deduplication": False,
    }  # fmt: skip
    plain = with_server.analyze({"video_path": str(blurred), "parameters": parameters})
    wanted = {"enabled": True, "quality_trigger": 1.0, "fidelity_weight": 0.1 * factor}
    request = {"video_path": str(blurred), "parameters": {**parameters, "enhancement": wanted}}
    double.faults(restored=str(six_people), enhanced=factor)
    result = with_server.analyze(request)
    report = result["metadata"]["enhancement"]
    assert report["enhanced_faces"] >= 15 and report["requested_frames"] == 6
    assert enhanced_frames(double) == 6, "one request a frame, whatever the number of faces"
    improved = [face for face in result["faces"] if face["representative_detection"]["enhanced"]]
    assert len(improved) == report["enhanced_faces"]
    for face in improved:
        better = face["representative_detection"]
        before = min(
            (f for f in plain["faces"] if first(f)["frame_index"] == better["frame_index"]),
            key=lambda f: math.dist(first(f)["landmarks"]["nose"], better["landmarks"]["nose"]),
        )
        poor = first(before)
        assert math.dist(poor["landmarks"]["nose"], better["landmarks"]["nose"]) < 20, "pixels of the source"
        assert overlap(poor["bbox"], better["bbox"]) > 0.5
        assert better["quality"]["composite"] > poor["quality"]["composite"]
        sizes = (d["quality"]["components"]["size"] for d in (poor, better))
        assert math.isclose(*sizes, abs_tol=0.12), "size is measured at source scale"
        assert face["embedding"] == before["embedding"], "a restored face is partly invented"
        if factor == 1:
            ages = [one["demographics"]["age"] for one in (face, before)]
            assert abs(ages[0] - ages[1]) <= 3, (
                "and so is its age; only the shape of the box is the restored one"
            )
    with_server.analyze({**request, "parameters": {**request["parameters"], "max_faces": 49}})
    assert enhanced_frames(double) == 6, "another job finds the enhanced frames in the cache"


def first(face: Any) -> Any:
    return face["detections"][0]


def overlap(one: Any, other: Any) -> float:
    """Intersection over union of two boxes."""

    def area(box: dict[str, float]) -> float:
        return max(0, box["x_max"] - box["x_min"]) * max(0, box["y_max"] - box["y_min"])

    corners = {k: (max if k.endswith("min") else min)(one[k], other[k]) for k in one}
    return area(corners) / (area(one) + area(other) - area(corners))


def enhanced_frames(double: ServerProcess) -> int:
    """How often the Frame Server was asked to enhance since its faults were last set."""
    return sum(path == "/frames/extract-frame" for _, path, _ in double.requests())


def detections(result: Any) -> list[Any]:
    return [d for face in result["faces"] for d in face["detections"]]


@pytest.mark.parametrize(
    ("faults", "reason"),
    [
        ({"enhanced": "text"}, "not a picture"),
        ({"failures": 1000}, "the model fell over"),
        ({"models": []}, "without enhancement"),
        ({"models": [], "cached_frames": True}, "without enhancement"),
        ({"restored": "noface"}, "shows no face there"),
        ({"restored": "somebody else"}, "shows another person there"),
    ],
    ids=["no picture", "500", "off or another model", "not enhanced, cached", "no face", "another person"],
)
def test_a_failed_enhancement_keeps_the_original_and_says_why(
    with_server: Service,
    double: ServerProcess,
    six_people: Path,
    blurred: Path,
    tmp_path: Path,
    faults: dict[str, Any],
    reason: str,
) -> None:
    parameters: dict[str, Any] = {
        "sampling_interval": 6.0, "detect_demographics": False, "min_confidence": 0.5,
    }  # fmt: skip
    if faults.get("restored") == "noface":
        grey = write_film([np.full((720, 1280, 3), 128, np.uint8)], tmp_path / "grey.mp4")
        faults = {"restored": str(grey)}
    if faults.get("restored") == "somebody else":
        found = with_server.analyze({"video_path": str(blurred), "parameters": parameters})
        first, second = (
            exchanged(f.image, [d["bbox"] for d in detections(found) if d["frame_index"] == number])
            for number, f in enumerate(open_source(six_people, Interval(6.0), max_pixels=10**8))
        )
        faults = {"restored": str(write_film([first] + [second] * 150, tmp_path / "others.mp4"))}
    parameters["enhancement"] = {
        "enabled": True, "quality_trigger": 1.0, "fidelity_weight": sum(map(ord, repr(faults))) % 97 / 97,
    }  # fmt: skip
    double.faults()
    job_id = with_server.submit({"video_path": str(blurred), "parameters": parameters})
    double.faults(**faults)
    status = with_server.wait_for_end(job_id)
    assert status["status"] == "completed", status
    result = with_server.result(job_id)
    report = result["metadata"]["enhancement"]
    assert report["enhanced_faces"] == 0 and report["kept_frames"] == report["requested_frames"] == 2
    assert reason in " ".join(report["reasons"])
    assert not any(d["enhanced"] for face in result["faces"] for d in face["detections"])


def test_a_frame_server_that_times_out(
    models_path: Path, tmp_path: Path, double: ServerProcess, blurred: Path
) -> None:
    environment = {
        "FRAME_SERVER_URL": double.url, "FRAME_SOURCE": "local", "FACES_ENHANCE_TIMEOUT": "1",
        "FACES_MAX_ATTEMPTS": "1",
    }  # fmt: skip
    double.faults(enhanced="slow")
    enhancement = {"enabled": True, "quality_trigger": 1.0, "fidelity_weight": 0.9}
    parameters = {"sampling_interval": 12.0, "detect_demographics": False, "enhancement": enhancement}
    for service in run_service(models_path, tmp_path, environment=environment):
        result = service.analyze({"video_path": str(blurred), "parameters": parameters})
        assert result["metadata"]["total_detections"] == 6
        report = result["metadata"]["enhancement"]
        assert (report["enhanced_faces"], report["kept_frames"]) == (0, 1)
        assert [*report["reasons"]] == ["The Frame Server did not respond within 1 s."]
        assert not any(d["enhanced"] for d in detections(result))


def exchanged(picture: Any, boxes: list[Any]) -> Any:
    """The picture with every face in the place of another one."""
    places = [(slice(b["y_min"], b["y_max"]), slice(b["x_min"], b["x_max"])) for b in boxes]
    changed = picture.copy()
    for place, other in zip(places, [*places[1:], places[0]], strict=True):
        height, width = changed[place].shape[:2]
        changed[place] = cv2.resize(picture[other], (width, height), interpolation=cv2.INTER_AREA)
    return changed


def write_film(pictures: list[Any], out: Path) -> Path:
    with av.open(str(out), "w") as target:
        stream = target.add_stream("libx264", rate=25, options={"crf": "12", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        for picture in pictures:
            target.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        target.mux(stream.encode(None))
    return out


def test_an_address_that_is_not_allowed_fails_the_job(service: Service) -> None:
    for address in ("http://127.0.0.1:1/film.mp4", "https://example.com/film.mp4"):
        status = service.wait_for_end(service.submit({"video_path": address}))
        assert status["status"] == "failed" and "FACES_ALLOWED_HOSTS" in status["error"], status


def test_the_clients_of_vision_api_find_what_they_require(
    with_server: Service, double: ServerProcess, six_people: Path, tmp_path: Path
) -> None:
    """A short part of `python -m tests.integration.conversation`."""
    double.faults()
    talk = Talk(with_server, double, six_people, np.zeros((1, 1, 3), np.uint8), tmp_path)
    for topic in (clients, strictness):
        topic(talk)
    assert len(talk.rows) == 17 and [row for row in talk.rows if not row[-1]] == []
