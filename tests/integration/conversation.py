"""The whole conversation with the services around this one, in a table: what is asked, and what comes back.

    python -m tests.integration.conversation [--only TOPIC…]

The Frame Server is a double that speaks as the real one does (tests/consumers/sources/frame_server_process.py). The
exit status is 1 when an answer is not the promised one.
"""

import argparse
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np

from compose.demo import make_video
from facecore.video.picture import Image
from facecore.video.upright import TURNINGS, UPRIGHT, Turning
from tests.consumers.sources.frame_server_double import ServerProcess
from tests.facecore.video.lying import as_displayed, lying_film, lying_photograph
from tests.integration import neighbours
from tests.integration.client import Service
from tests.integration.conftest import run_service

QUICK = {"detect_demographics": False, "cache_duration": 0}
FAR_PIXELS = 2
"""Largest distance of the sides of one face's boxes."""
WIDTH, HEIGHT = 832, 576
SHAPES = {
    **{f"{t.rotation}°{' mirrored' if t.mirrored else ''}": (t, Fraction(1)) for t in TURNINGS},
    "pixels 4:3": (UPRIGHT, Fraction(4, 3)),
    "pixels 16:11": (UPRIGHT, Fraction(16, 11)),
    "pixels 8:9": (UPRIGHT, Fraction(8, 9)),
    "90°, pixels 16:11": (Turning(True, True, False), Fraction(16, 11)),
    "180°, pixels 4:3": (Turning(False, True, True), Fraction(4, 3)),
}


@dataclass
class Talk:
    """A conversation: the service, the Frame Server double, the film and the picture of six people, and the table."""

    service: Service
    double: ServerProcess
    film: Path
    picture: Image
    folder: Path
    name: str = ""
    rows: list[tuple[str, str, str, bool]] = field(default_factory=list)

    def row(self, asked: str, answer: object, promised: bool) -> None:
        self.rows.append((self.name, asked, str(answer), promised))
        print(f"| {self.name} | {asked} | {answer} | {'yes' if promised else 'NO'} |", flush=True)

    def analyze(self, path: Path | str, **parameters: Any) -> Any:
        return self.service.analyze({"video_path": str(path), "parameters": {**QUICK, **parameters}})


def clients(talk: Talk) -> None:
    """What vision-api, the plugin and viewers ask, and the fields that they require."""
    request = neighbours.as_vision_api(
        talk.film, "talk", face_min_confidence="0.5", sampling_interval="2.0", cache_duration=0
    )
    submitted = talk.service.post("/faces/analyze", request)
    talk.row("vision-api's request, numbers as texts", submitted.status, submitted.status == 202)
    job_id = decoded(submitted.body, neighbours.Submitted).job_id
    first = decoded(talk.service.get(f"/faces/jobs/{job_id}/status").body, neighbours.Status)
    talk.row("status at once", f"{first.status}, {first.progress}", first.status in ("queued", "processing"))
    talk.service.wait_for_end(job_id)
    last = decoded(talk.service.get(f"/faces/jobs/{job_id}/status").body, neighbours.Status)
    times = [last.created_at, last.started_at, last.completed_at]
    talk.row("status at the end", f"{last.status}, {last.progress}", None not in times)
    body = talk.service.get(f"/faces/jobs/{job_id}/results").body
    result = decoded(body, neighbours.Results)
    metadata = result.metadata
    talk.row(
        "results in the Go client's types",
        f"{len(result.faces)} faces, {metadata.source}",
        len(result.faces) == 6,
    )
    talk.row("metadata.method", metadata.method, metadata.method in ("opencv_cpu", "ffmpeg", "sprites"))
    described = [face["demographics"] or {} for face in msgspec.json.decode(body)["faces"]]
    genders = {demographics.get("gender", "absent") for demographics in described}
    talk.row("gender", sorted(genders), genders <= {"M", "F", "absent"})
    health = decoded(talk.service.get("/faces/health").body, neighbours.Health)
    talk.row("GET /faces/health", health.status, health.status == "healthy")
    document = talk.service.get("/openapi.json")
    same = document.body == talk.service.get("/faces/openapi.json").body
    talk.row("GET /openapi.json", document.status, document.status == 200 and same)


def strictness(talk: Talk) -> None:
    """Unknown, misplaced and misspelt fields; numbers as texts; files that do not exist."""
    for body, detail in (
        ({"parameters": {"sampling_interva": 1}}, "did you mean sampling_interval?"),
        ({"parameters": {"face_min_confidance": 1}}, "did you mean face_min_confidence?"),
        ({"parameters": {"enhancement": {"fidelity": 1}}}, "did you mean fidelity_weight?"),
        ({"sampling_interval": 1}, "did you mean parameters.sampling_interval?"),
        ({"sorce_id": "1"}, "did you mean source_id?"),
        ({"parameters": {"sampling_interval": 0.05}}, ">= 0.1"),
    ):
        answer = talk.service.post("/faces/analyze", {"video_path": "/no/film.mp4", **body})
        talk.row(
            str(body), answer.json["detail"][:90], answer.status == 422 and detail in answer.json["detail"]
        )
    for body in ({"lenient": True, "colour": 1}, {"parameters": {"sampling_interval": "0.25"}}):
        answer = talk.service.post("/faces/analyze", {"video_path": str(talk.folder / "missing.mp4"), **body})
        talk.row(str(body), answer.status, answer.status == 202)
    status = talk.service.wait_for_end(answer.json["job_id"])
    talk.row(
        "a missing file", status["error"], status["status"] == "failed" and "no file at" in status["error"]
    )


def strict_settings(talk: Talk) -> None:
    """With FACES_CHECK_SOURCES and FACES_CORS_ORIGINS."""
    answer = talk.service.post("/faces/analyze", {"source": str(talk.folder / "missing.mp4")})
    talk.row("a missing file, FACES_CHECK_SOURCES", answer.json["detail"], answer.status == 404)
    origin = {"Origin": "http://localhost:5020"}
    allowed = talk.service.get("/faces/health", origin).headers.get("Access-Control-Allow-Origin")
    talk.row("a viewer on another port, FACES_CORS_ORIGINS", allowed, allowed == origin["Origin"])


def enhancement(talk: Talk) -> None:
    """Enhanced, not enhanced, and from the cache without a header."""
    blurred = cv2.GaussianBlur(talk.picture, (0, 0), 2)
    poor = lying_film(talk.folder / "poor.mp4", [blurred] * 30, UPRIGHT)
    sharp = str(lying_film(talk.folder / "sharp.mp4", [talk.picture] * 30, UPRIGHT))
    cases: list[tuple[str, dict[str, Any], bool]] = [
        ("on, twice the size", {"restored": sharp}, True),
        ("on, four times the size", {"restored": sharp, "enhanced": 4}, True),
        ("on, same size", {"restored": sharp, "enhanced": 1}, True),
        ("on, from the cache without header", {"restored": sharp, "cached_frames": True}, True),
        ("off: the very same picture", {"models": []}, False),
        ("another model is loaded", {"models": ["gfpgan"]}, False),
        ("off, from the cache without header", {"models": [], "cached_frames": True}, False),
        ("off, cached, other bytes", {"models": [], "cached_frames": True, "recoded": True}, False),
    ]
    for number, (asked, faults, is_enhanced) in enumerate(cases):
        talk.double.faults(**faults)
        wanted = {"enabled": True, "quality_trigger": 1.0, "fidelity_weight": number / 100}
        result = talk.analyze(poor, enhancement=wanted)
        report = result["metadata"]["enhancement"]
        counted = sum(d["enhanced"] for face in result["faces"] for d in face["detections"])
        promised = counted == report["enhanced_faces"] and (
            counted >= 3 if is_enhanced else not counted and report["kept_frames"] == 1
        )
        reasons = "; ".join(report["reasons"])
        talk.row(
            f"enhancement {asked}", f"{counted} of {len(result['faces'])} faces. {reasons}"[:110], promised
        )
    quarter_turn, wide = Turning(True, True, False), Fraction(16, 11)
    stored = {
        "a picture with EXIF 6": [
            lying_photograph(talk.folder / f"{name}.jpg", picture, 6)
            for name, picture in (("poor", blurred), ("sharp", talk.picture))
        ],
        "a film turned by 90°, pixels 16:11": [
            lying_film(talk.folder / f"{name} turned.mp4", [picture] * 30, quarter_turn, wide)
            for name, picture in (("poor", blurred), ("sharp", talk.picture))
        ],
    }
    for asked, (poor, sharp_file) in stored.items():
        talk.double.faults(restored=str(sharp_file))
        result = talk.analyze(poor, enhancement={"enabled": True, "quality_trigger": 1.0})
        counted = result["metadata"]["enhancement"]["enhanced_faces"]
        talk.row(f"enhancement of {asked}", f"{counted} of {len(result['faces'])} faces", counted >= 3)
    form = result["metadata"]["frame_enhancement"]
    talk.row("metadata.frame_enhancement", form, form["model"] == "codeformer" and form["enabled"] is False)


def sampling(talk: Talk) -> None:
    """Short films; start, middle and end of scenes, wherever the film is."""
    talk.double.faults()
    for path, faults in ((talk.film, {}), (talk.folder / "on another mount.mp4", {"film": str(talk.film)})):
        talk.double.faults(**faults)
        metadata = talk.analyze(path, sampling="adaptive")["metadata"]
        frames = metadata["sampled_frames"]
        talk.row("12 s, sampling: adaptive", f"{metadata['frame_source']}, {frames} frames", frames == 20)
    boundaries = [
        {"start_timestamp": 0.0, "end_timestamp": 5.316667},
        {"start_timestamp": 5.316667, "end_timestamp": 12.0},
    ]
    elsewhere = talk.folder / "another mount.mp4"
    for asked, path, faults, source, times in (
        ("the film is here", talk.film, {}, "decoder", 6),
        ("only the Frame Server has it", elsewhere, {"film": str(talk.film)}, "frame-server", 6),
        (
            "it extracts no single frames",
            elsewhere,
            {"film": str(talk.film), "no_single": True},
            "frame-server-scenes",
            6,
        ),
    ):
        talk.double.faults(**faults)
        result = talk.analyze(path, scene_boundaries=boundaries, min_confidence=0.5)
        asked_for = [
            query["timestamp"] for _, path, query in talk.double.requests() if path.endswith("-frame")
        ]
        seen = sorted({d["timestamp"] for face in result["faces"] for d in face["detections"]})
        metadata = result["metadata"]
        promised = (metadata["frame_source"], metadata["sampled_frames"]) == (source, times)
        promised &= "5.32" in asked_for or source != "frame-server"
        talk.row(f"scenes to 5.316667 s: {asked}", f"{metadata['frame_source']}, {seen}", promised)


def failures(talk: Talk) -> None:
    """A Frame Server that ends in mid-film, or has swept its frames."""
    for asked, faults, first in (
        ("it ends after frame 0", {"lost_files": True, "dies_after": 1}, 1),
        ("it ends after five frames", {"lost_files": True, "dies_after": 5}, 5),
        ("its frames are swept", {"lost_files": True, "lost_frames": True}, 0),
        ("its job fails", {"broken": True}, None),
        ("it has fewer frames", {"first": 3}, None),
    ):
        talk.double.faults(**faults)
        result = talk.analyze(talk.film, sampling_interval=1.0)
        if not talk.double.is_running:
            talk.double.start()
        metadata = result["metadata"]
        warned = [w for w in metadata["warnings"] if f"failed at frame {first};" in w]
        promised = metadata["sampled_frames"] == 12 and len(result["faces"]) == 6
        promised &= bool(warned) if first is not None else metadata["frame_source"] == "decoder"
        talk.row(
            f"mid-film: {asked}", "; ".join([metadata["frame_source"], *metadata["warnings"]])[:110], promised
        )
    talk.double.faults(film=str(talk.film), lost_files=True, lost_frames=True)
    result = talk.analyze(talk.folder / "on another mount.mp4")
    promised = (result["metadata"]["sampled_frames"], len(result["faces"])) == (6, 6)
    talk.row("its frames are swept, and only it has the film", result["metadata"]["frame_source"], promised)


def boxes(talk: Talk) -> None:
    """Boxes of the same faces, however a film or a picture is stored and whoever decodes it."""
    plain = talk.folder / "plain.png"
    cv2.imwrite(str(plain), talk.picture)
    expected = [box for _, box in found(talk.analyze(plain))]
    films = {
        name: lying_film(talk.folder / f"{number}.mp4", [talk.picture] * 30, *shape)
        for number, (name, shape) in enumerate(SHAPES.items())
    }
    for name, film in films.items():
        for way, faults in (("volume", {"unturned": [25]}), ("HTTP", {"unturned": [25], "lost_files": True})):
            talk.double.faults(
                **(faults if SHAPES[name][0].rotation in (90, 270) else {**faults, "unturned": []})
            )
            compare(talk, f"{name}, {way}", film, expected)
    talk.double.faults(scale=0.75)
    compare(talk, "0°, the Frame Server's pictures are smaller", films["0°"], expected, 2 * FAR_PIXELS)
    talk.double.faults()
    for orientation in range(1, 9):
        photograph = lying_photograph(talk.folder / f"{orientation}.jpg", talk.picture, orientation)
        compare(talk, f"EXIF {orientation}", photograph, expected)


def compare(talk: Talk, asked: str, path: Path, expected: list[list[int]], most: int = FAR_PIXELS) -> None:
    result = talk.analyze(path, sampling_interval=1.0)
    metadata, places = result["metadata"], found(result)
    far = max(min(max(map(abs, np.subtract(box, other))) for other in expected) for _, box in places)
    address = f"{talk.double.url}/frames/extract-frame?video_path={path}&timestamp=0&enhance=0"
    with urllib.request.urlopen(address) as answer:
        served = np.asarray(cv2.imdecode(np.frombuffer(answer.read(), np.uint8), cv2.IMREAD_COLOR), np.uint8)
    there = as_displayed(served, metadata["frame_server_picture"]["matrix"], WIDTH, HEIGHT)
    difference = np.abs(there[8:-8, 8:-8].astype(int) - talk.picture[8:-8, 8:-8]).mean()
    frames = metadata["frames_processed"]
    promised = len(places) == 6 * frames and far <= most and bool(difference < 12)
    promised &= (metadata["frame_width"], metadata["frame_height"]) == (WIDTH, HEIGHT)
    text = f"{metadata['frame_source']}, {metadata['frame_width']}x{metadata['frame_height']}, {far} px"
    talk.row(f"boxes: {asked}", f"{text}; server's picture by matrix: {difference:.1f}", promised)


def found(result: Any) -> list[tuple[int, list[int]]]:
    """Frame and box of each detection."""
    return sorted(
        (d["frame_index"], [*d["bbox"].values()]) for face in result["faces"] for d in face["detections"]
    )


def decoded(body: bytes, struct: type[Any]) -> Any:
    return msgspec.json.decode(body, type=struct)


AUTO: tuple[Callable[[Talk], None], ...] = (clients, strictness, enhancement, sampling, failures, boxes)
SOURCES: dict[str, tuple[Callable[[Talk], None], ...]] = {
    "auto": AUTO,
    "frame-server": (strict_settings, boxes),
    "local": (boxes,),
}
"""Topics by FRAME_SOURCE."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only", nargs="*", default=[], help="topics: " + ", ".join(t.__name__ for t in AUTO)
    )
    only = parser.parse_args().only
    import insightface

    photograph = Path(insightface.__file__).parent / "data" / "images" / "t1.jpg"
    picture = np.asarray(cv2.resize(cv2.imread(str(photograph)), (WIDTH, HEIGHT)), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        for name in ("volume", *SOURCES):
            (root / name).mkdir()
        make_video(photograph, root / "six people.mp4")
        double = ServerProcess(root / "volume")
        double.start()
        talk = Talk(None, double, root / "six people.mp4", picture, root)  # type: ignore[arg-type]
        print("| FRAME_SOURCE | Asked | Answer | As promised |\n|---|---|---|---|")
        models = Path("~/.insightface").expanduser()
        for source, topics in SOURCES.items():
            environment = {
                "FRAME_SERVER_URL": double.url, "FACES_FRAME_ROOTS": str(double.volume), "FRAME_SOURCE": source,
            }  # fmt: skip
            if source == "frame-server":
                environment |= {"FACES_CHECK_SOURCES": "1", "FACES_CORS_ORIGINS": "http://localhost:5020"}
            for talk.service in run_service(models, root / source, environment=environment):
                for topic in topics:
                    if not only or topic.__name__ in only:
                        talk.name = source
                        topic(talk)
        double.kill()
    return not all(promised for *_, promised in talk.rows)


if __name__ == "__main__":
    sys.exit(main())
