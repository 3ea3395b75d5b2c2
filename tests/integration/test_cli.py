"""The command line, as typed."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest


@pytest.fixture
def faces(models_path: Path):  # type: ignore[no-untyped-def]
    def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "compose.cli", *arguments],
            env={**os.environ, "INSIGHTFACE_MODELS_CACHE": str(models_path), "COLUMNS": "160", **environment},
            capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip

    return run


def test_analyze_prints_the_people_and_writes_the_result(faces, six_people: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / "made" / "result.json"
    done = faces("analyze", str(six_people), "--set", "min_confidence=0.5", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "6 people" in done.stdout and "face_5" in done.stdout
    result = msgspec.json.decode(out.read_bytes())
    assert len(result["faces"]) == 6 and result["metadata"]["video_path"] == str(six_people)


def test_analyze_takes_several_sources_and_names_the_one_that_failed(
    faces, six_people: Path, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    broken = tmp_path / "broken.mp4"
    broken.write_text("no video")
    out = tmp_path / "results.json"
    done = faces(
        "analyze", str(six_people), str(broken), "--set", "enhancement.enabled=true", "--out", str(out)
    )
    assert done.returncode == 1
    assert "broken.mp4" in done.stderr and "6 people" in done.stdout
    results = msgspec.json.decode(out.read_bytes())
    assert [len(result["faces"]) for result in results] == [6]
    assert results[0]["metadata"]["enhancement"] is not None


@pytest.mark.parametrize("assignment", ["max_faces=0", "enhancement.model=waifu2x", "min_confidence=much"])
def test_analyze_refuses_a_parameter_before_it_starts(faces, six_people: Path, assignment: str) -> None:  # type: ignore[no-untyped-def]
    done = faces("analyze", str(six_people), "--set", assignment)
    assert done.returncode == 2
    assert assignment.partition("=")[0] in done.stderr and "Traceback" not in done.stderr


def test_models_are_listed_and_verified(faces) -> None:  # type: ignore[no-untyped-def]
    assert "centerface.onnx" in faces("models", "list").stdout
    verified = faces("models", "verify", "open")
    assert verified.returncode == 0, verified.stderr


def test_a_pack_that_cannot_be_had_is_named(faces, tmp_path: Path, six_people: Path) -> None:  # type: ignore[no-untyped-def]
    done = faces(
        "analyze", str(six_people), INSIGHTFACE_MODEL="no_such_pack", INSIGHTFACE_MODELS_CACHE=str(tmp_path)
    )
    assert done.returncode == 2
    assert "no_such_pack" in done.stderr and str(tmp_path) in done.stderr and "Traceback" not in done.stderr


def test_a_setting_that_makes_no_sense_is_named(faces, six_people: Path) -> None:  # type: ignore[no-untyped-def]
    done = faces("analyze", str(six_people), FACES_MIN_QUALITY="seven")
    assert done.returncode == 2 and "FACES_MIN_QUALITY" in done.stderr
