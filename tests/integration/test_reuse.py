"""Jobs on a source that was observed before: the results of a fresh analysis, to the byte, without one."""

import os
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from compose.demo import SHOTS, make_video
from tests.integration.client import Service, without_times

FRESH = {"cache_duration": 0}


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory, group_photograph: Path) -> Path:
    path = tmp_path_factory.mktemp("reuse") / "film.mp4"
    make_video(group_photograph, path, SHOTS[1:3])
    return path


def pictures(service: Service, result: dict[str, Any]) -> list[bytes | None]:
    """Best shots and contact sheets; a person who was seen once has none of these."""
    base = f"/faces/jobs/{result['job_id']}/faces"
    paths = [
        f"{base}/face_{n}/{kind}" for n in range(len(result["faces"])) for kind in ("thumbnail", "strip")
    ]
    answers = [service.get(path) for path in paths]
    return [answer.body if answer.status == 200 else None for answer in answers]


def test_other_parameters_give_the_result_of_a_fresh_analysis_without_one(
    service: Service, film: Path
) -> None:
    def run(**parameters: Any) -> dict[str, Any]:
        wanted = {"sampling_interval": 2.0, "min_confidence": 0.3, "library": "", **parameters}
        result: dict[str, Any] = service.analyze({"video_path": str(film), "parameters": wanted})
        return result

    base = run(detect_demographics=False)
    frames = base["metadata"]["frames_processed"]
    assert frames > 1 and len(base["faces"]) > 1
    seen = sorted(d["confidence"] for face in base["faces"] for d in face["detections"])
    halved = run(sampling_interval=1.0)
    again = {
        "half the interval": ({"sampling_interval": 1.0}, halved, frames),
    }
    last_stage = {
        "grouping": {
            "embedding_similarity_threshold": 0.3, "min_quality": 0.45, "max_faces": 2,
            "include_unidentifiable": True,
        },
        "detections": {
            "enable_deduplication": False, "detect_demographics": False,
            "min_confidence": seen[len(seen) // 2],
        },
    }  # fmt: skip
    again |= {name: (changed, run(**changed), frames) for name, changed in last_stage.items()}
    for name, (changed, result, known) in again.items():
        fresh = run(**changed, **FRESH)
        assert result["metadata"]["reused_frames"] >= known, name
        assert fresh["metadata"]["reused_frames"] == 0
        assert without_times(result) == without_times(fresh), name
        assert pictures(service, result) == pictures(service, fresh), name
    assert all(face["demographics"]["age"] for face in again["grouping"][1]["faces"])
    rejected = again["detections"][1]["metadata"]["rejected"]["low_confidence"]
    assert rejected > base["metadata"]["rejected"]["low_confidence"], (
        "some faces are beneath the higher threshold"
    )


def test_a_source_is_known_by_its_content_until_a_job_of_it_is_deleted(
    service: Service, tmp_path: Path, group_photograph: Path
) -> None:
    picture, copy, link = tmp_path / "picture.png", tmp_path / "copy.png", tmp_path / "link.png"
    image = np.asarray(cv2.imread(str(group_photograph)))[2:, 1:]  # seen by no other test

    def reused(path: Path, threshold: float) -> tuple[int, dict[str, Any]]:
        parameters = {"embedding_similarity_threshold": threshold, "detect_demographics": False}
        result: dict[str, Any] = service.analyze({"video_path": str(path), "parameters": parameters})
        return result["metadata"]["reused_frames"], result

    cv2.imwrite(str(picture), image)
    assert reused(picture, 0.1)[0] == 0
    shutil.copy(picture, copy)
    os.utime(copy)
    assert reused(picture, 0.2)[0] == reused(copy, 0.3)[0] == 1
    link.symlink_to(copy)
    known, result = reused(link, 0.3)
    assert known == 1 and result["metadata"]["source"] == str(link), "the name that was asked for"
    times, half = picture.stat(), np.ascontiguousarray(image[:, : image.shape[1] // 2])
    cv2.imwrite(str(picture), half)
    os.utime(picture, ns=(times.st_atime_ns, times.st_mtime_ns))
    known, result = reused(picture, 0.4)
    assert known == 0 and result["metadata"]["frame_width"] == half.shape[1], "is another source"
    cv2.imwrite(str(picture), image)
    known, result = reused(picture, 0.5)
    assert known == 1 and result["metadata"]["frame_width"] == image.shape[1]
    assert service.delete(f"/faces/jobs/{result['job_id']}").status == 204
    assert reused(copy, 0.6)[0] == 0, "was erased with the job"
