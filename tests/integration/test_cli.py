"""The command line as users type it."""

import csv
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import onnxruntime
import pyarrow.parquet
import pytest

from schemas.file_names import to_text
from tests.api.test_report import Page
from tests.facecore.video.films import loop_film
from tests.waiting import eventually


@pytest.fixture
def faces(models_path: Path, tmp_path: Path):  # type: ignore[no-untyped-def]
    mine = {
        "INSIGHTFACE_MODELS_CACHE": str(models_path),
        "COLUMNS": "160",
        "FACES_DATA": str(tmp_path / "data"),
    }

    def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "compose.cli", *arguments],
            env={**os.environ, **mine, **environment},
            capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip

    return run


def test_analyze_prints_the_people_and_says_when_a_threshold_rejects_them_without_a_new_analysis(
    faces, six_people: Path, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    out = tmp_path / "made" / "result.json"
    done = faces("analyze", str(six_people), "--set", "min_confidence=0.5", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "6 people" in done.stdout and "face_5" in done.stdout
    result = msgspec.json.decode(out.read_bytes())
    assert len(result["faces"]) == 6 and result["metadata"]["video_path"] == str(six_people)
    assert result["metadata"]["reused_frames"] == 0

    done = faces("analyze", str(six_people), "--set", "min_confidence=1", "--out", str(out))
    assert done.returncode == 0, done.stderr
    metadata = msgspec.json.decode(out.read_bytes())["metadata"]
    assert metadata["reused_frames"] == metadata["sampled_frames"], "the data directory keeps what was seen"
    assert "0 people" in done.stdout
    assert "Faces were seen; all detections were rejected. min_confidence 1 rejected" in " ".join(
        done.stderr.split()
    )


def test_analyze_takes_several_sources_and_names_the_one_that_failed(
    faces, six_people: Path, group_photograph: Path, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    broken = tmp_path / "broken.mp4"
    broken.write_text("no video")
    out, report = tmp_path / "made" / "results.json", tmp_path / "people.html"
    done = faces(
        "analyze", str(six_people), str(broken), str(group_photograph), "--set", "enhancement.enabled=true",
        "--set", "enhancement.quality_trigger=1", "--out", str(out), "--report", str(report), FACES_LIBRARY="home",
    )  # fmt: skip
    assert done.returncode == 1
    assert "broken.mp4" in done.stderr and "6 people" in done.stdout
    assert "film added" not in done.stdout + done.stderr, "the log of the stages is for --verbose"
    assert "loading models" in done.stderr and "no face will be enhanced" in done.stderr
    assert "not enhanced: No Frame Server is configured" in done.stderr
    assert " of 3 sources" in done.stderr, "how far it is, without a terminal"
    results = msgspec.json.decode(out.read_bytes())
    assert [len(result["faces"]) for result in results] == [6, 6] and "face_5" in done.stdout
    assert results[0]["metadata"]["video_path"] == str(six_people)
    assert results[0]["metadata"]["enhancement"] is not None
    film, photograph = ({face["person_id"] for face in result["faces"]} for result in results)
    assert film == photograph and len(film) == 6, "the same people in both files"
    assert "6 people in 2 files; library home" in done.stdout and all(one in done.stdout for one in film)
    shown = Page(report.read_bytes()).data
    assert [{person["person_id"] for person in job["people"]} for job in shown] == [film, film]


@pytest.mark.skipif("CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="CUDA is there")
def test_a_missing_gpu_is_an_error(faces, six_people: Path) -> None:  # type: ignore[no-untyped-def]
    done = faces("analyze", str(six_people), INSIGHTFACE_DEVICE="cuda")
    assert done.returncode == 2
    assert "INSIGHTFACE_DEVICE is cuda" in done.stderr and "Traceback" not in done.stderr


def test_analysing_a_folder_resumes_after_an_interruption(faces, six_people: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    footage, out, pages = tmp_path / "footage", tmp_path / "out", tmp_path / "pages"
    (footage / "day 2").mkdir(parents=True)
    for name in ("a.mp4", "day 2/a.mp4", "day 2/notes.txt"):
        shutil.copy(six_people, footage / name)
    library = {"FACES_LIBRARY": "home"}
    options = ("--out", f"{out}/", "--report", f"{pages}/", "--resume", "--json")
    first = faces("analyze", str(footage), *options, **library)
    assert first.returncode == 0, first.stderr
    lines = [msgspec.json.decode(line) for line in first.stdout.splitlines()]
    assert [line["metadata"]["video_path"] for line in lines] == [
        str(footage / "a.mp4"), str(footage / "day 2" / "a.mp4"),
    ]  # fmt: skip
    assert len(Page((pages / "day 2" / "a.mp4.html").read_bytes()).data[0]["people"]) == 6
    (out / "a.mp4.json").write_bytes((out / "a.mp4.json").read_bytes()[:1000])  # cut off
    kept = (out / "day 2" / "a.mp4.json").stat().st_mtime_ns
    second = faces("analyze", str(footage / "*.mp4"), str(footage), *options, **library)
    assert second.returncode == 0, second.stderr
    assert "1 of 2 films were done already" in second.stderr
    assert len(msgspec.json.decode((out / "a.mp4.json").read_bytes())["faces"]) == 6
    assert (out / "day 2" / "a.mp4.json").stat().st_mtime_ns == kept
    third = faces("analyze", str(footage), *options, **library)
    assert third.returncode == 0 and sorted(third.stdout.splitlines()) == sorted(second.stdout.splitlines())
    results = [msgspec.json.decode(line)["faces"] for line in third.stdout.splitlines()]
    assert {face["person_id"] for face in results[0]} == {face["person_id"] for face in results[1]}
    assert faces("people", "name", results[0][0]["person_id"], "=1+1 & </script>").returncode == 0
    table = tmp_path / "all.csv"
    fourth = faces("analyze", str(footage), *options[:-1], "--csv", str(table), **library)
    assert fourth.returncode == 0, fourth.stderr
    assert "6 people in 2 files; library home" in fourth.stdout and "=1+1 & </script>" in fourth.stdout
    for name in ("a.mp4", "day 2/a.mp4"):  # results of earlier runs show the names of today
        (shown,) = Page((pages / f"{name}.html").read_bytes()).data
        people = msgspec.json.decode((out / f"{name}.json").read_bytes())["faces"]
        assert "=1+1 & </script>" in {one["label"] for one in people} & {
            one["label"] for one in shown["people"]
        }
        assert all(one["picture"] for one in shown["people"])
    rows = list(csv.DictReader(table.read_text().splitlines()))
    labels = [row["label"] for row in rows]
    assert "'=1+1 & </script>" in labels, "a spreadsheet does not take the name for a formula"
    assert all(int(row["age_low"]) <= int(row["age"]) <= int(row["age_high"]) for row in rows)
    assert f" {rows[0]['age_low']}-{rows[0]['age_high']} " in fourth.stdout, "the table shows the range"


def test_an_interruption_keeps_what_is_done_and_says_how_to_go_on(
    faces, six_people: Path, tmp_path: Path, models_path: Path
) -> None:  # type: ignore[no-untyped-def]
    longer, out = tmp_path / "longer.mp4", tmp_path / "out"
    loop_film(six_people, longer, seconds=600)  # so long that it is never done first
    options = [str(six_people), str(longer), "--out", f"{out}/", "--csv", str(tmp_path / "all.csv")]
    with subprocess.Popen(
        [sys.executable, "-m", "compose.cli", "analyze", *options],
        env={**os.environ, "INSIGHTFACE_MODELS_CACHE": str(models_path), "FACES_DATA": str(tmp_path / "data")},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as started:  # fmt: skip
        eventually(lambda: (out / f"{six_people.name}.json").exists() or started.poll() is not None)
        started.send_signal(signal.SIGINT)
        printed, said = started.communicate(timeout=120)
    assert started.returncode == 130, said
    assert "6 people" in printed and (tmp_path / "all.csv").is_file()
    assert "stopped: 1 of 2 films are done. The same command with --resume goes on with" in " ".join(
        said.split()
    )
    assert "longer.mp4: " not in said, "what was not done is no failure"


@pytest.mark.parametrize("language", ["C", "C.UTF-8"])
def test_a_bad_name_costs_itself_in_every_locale(
    faces, group_photograph: Path, tmp_path: Path, language: str
) -> None:  # type: ignore[no-untyped-def]
    picture, footage, out = group_photograph.read_bytes(), tmp_path / "footage", tmp_path / "out"
    footage.mkdir()
    names = [
        b"caf\xe9.jpg",
        b"a\nb\x1b[2J.jpg",
        b"-x%41?#.jpg",
        b"\xe2\x98\x83" * 82 + b".jpg",
        b"\xf0\x9f\x98\x80.jpg",
    ]
    for name in names:
        (footage / os.fsdecode(name)).write_bytes(picture)
    (footage / "gone.jpg").symlink_to(footage / "nowhere.jpg")
    (footage / "loop.jpg").symlink_to(footage / "loop.jpg")
    (out / "gone.jpg.json").mkdir(parents=True)
    (out / "-x%41?#.jpg.json").mkdir()  # this result cannot be written
    done = faces(
        "analyze", str(footage), "/nowhere/*.mp4", "--json", "--out", f"{out}/", "--report", f"{out}/",
        LC_ALL=language, LANG=language, PYTHONIOENCODING="ascii",
    )  # fmt: skip
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert "\x1b" not in done.stderr and r"a\nb\x1b[2J.jpg" in done.stderr
    lines = [msgspec.json.decode(line) for line in done.stdout.splitlines()]
    by_path = {line.get("video_path") or line["metadata"]["video_path"]: line for line in lines}
    assert by_path.keys() == {to_text(file) for file in [*footage.iterdir(), "/nowhere/*.mp4"]}
    completed = {path for path, line in by_path.items() if line["status"] == "completed"}
    assert completed == {to_text(footage / os.fsdecode(name)) for name in names}
    written = [msgspec.json.decode(file.read_bytes()) for file in out.glob("*.json") if file.is_file()]
    assert len(written) == 4 and all(len(result["faces"]) == 6 for result in written)
    assert len(list(out.glob("*.html"))) == 5
    said = " ".join(done.stderr.split())
    assert "cannot be written" in said and "no file matches" in said


def test_the_table_has_a_row_for_every_detection_and_the_page_needs_no_server(
    faces, six_people: Path, tmp_path: Path
) -> None:  # type: ignore[no-untyped-def]
    broken = tmp_path / "broken.mp4"
    broken.write_text("no video")
    done = faces(
        "analyze", str(broken), str(six_people), "--csv", str(tmp_path / "d.csv"), "--json",
        "--parquet", str(tmp_path / "d.parquet"), "--report", str(tmp_path / "page.html"), FACES_LIBRARY="home",
    )  # fmt: skip
    assert done.returncode == 1 and "broken.mp4" in done.stderr and "analysed" in done.stderr
    failed, result = (msgspec.json.decode(line) for line in done.stdout.splitlines())
    assert failed["status"] == "failed" and failed["video_path"] == str(broken) and failed["error"]
    with (tmp_path / "d.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    columns = pyarrow.parquet.read_table(tmp_path / "d.parquet")
    typed = columns.to_pylist()
    assert columns.column_names == list(rows[0]) and len(typed) == len(rows)
    for text, row in zip(rows, typed, strict=True):
        assert text == {
            k: "" if v is None else str(int(v) if isinstance(v, bool) else v) for k, v in row.items()
        }
    listed = [
        (row["face_id"], row["person_id"], float(row["timestamp"]), float(row["quality"])) for row in rows
    ]
    assert all(person.startswith("person-") for _, person, _, _ in listed)
    assert listed == [
        (face["face_id"], face["person_id"], detection["timestamp"], detection["quality"]["composite"])
        for face in result["faces"]
        for detection in face["detections"]
    ]
    for face in result["faces"]:
        mine = [row for row in rows if row["face_id"] == face["face_id"]]
        assert {int(row["appearance"]) for row in mine} == set(range(1, len(face["appearances"]) + 1))
        assert sum(row["representative"] == "1" for row in mine) == 1
    (shown,) = Page((tmp_path / "page.html").read_bytes()).data
    assert len(shown["people"]) == 6
    assert all(person["picture"] and person["strip"] for person in shown["people"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.mp4", "b.mp4", "--report", "page.html", "--out", "out/", "--resume"], "--report"),
        (["a.mp4", "b.mp4", "--resume"], "--resume"),
        (["x/a.mp4", "y/a.mp4", "--out", "out/"], "a.mp4"),
        (["nothing*.mp4"], "nothing*.mp4: no file matches this pattern"),
        (["rtsp://camera/1"], "addresses begin with http"),
        (["tests/test_house.py", "--out", "no_such"], "to make it, add a slash: --out no_such/"),
        (["tests/compose"], "tests/compose"),
        (["tests/test_house.py", "--out", "/dev/null/x.json"], "/dev/null"),
    ],
)
def test_errors_are_one_sentence(faces, arguments: list[str], message: str) -> None:  # type: ignore[no-untyped-def]
    done = faces("analyze", *arguments)
    assert done.returncode == 2
    assert message in done.stderr.replace("\n", "") and "Traceback" not in done.stderr


@pytest.mark.parametrize("assignment", ["max_faces=0", "enhancement.model=waifu2x", "min_confidence=much"])
def test_analyze_refuses_a_parameter_before_it_starts(faces, six_people: Path, assignment: str) -> None:  # type: ignore[no-untyped-def]
    done = faces("analyze", str(six_people), "--set", assignment)
    assert done.returncode == 2
    assert assignment.partition("=")[0] in done.stderr and "Traceback" not in done.stderr


def test_models_are_listed_and_verified(faces) -> None:  # type: ignore[no-untyped-def]
    assert "centerface.onnx" in faces("models", "list").stdout
    verified = faces("models", "verify", "open")
    assert verified.returncode == 0, verified.stderr


def test_an_unavailable_pack_is_named(faces, tmp_path: Path, six_people: Path) -> None:  # type: ignore[no-untyped-def]
    done = faces(
        "analyze", str(six_people), INSIGHTFACE_MODEL="no_such_pack", INSIGHTFACE_MODELS_CACHE=str(tmp_path)
    )
    assert done.returncode == 2
    assert "no_such_pack" in done.stderr and str(tmp_path) in done.stderr and "Traceback" not in done.stderr


def test_an_invalid_setting_is_named(faces, six_people: Path) -> None:  # type: ignore[no-untyped-def]
    done = faces("analyze", str(six_people), FACES_MIN_QUALITY="seven")
    assert done.returncode == 2 and "FACES_MIN_QUALITY" in done.stderr


def test_an_error_prints_a_trace_only_with_verbose(faces) -> None:  # type: ignore[no-untyped-def]
    away = {"REDIS_URL": "redis://127.0.0.1:1/0"}
    refused = faces("jobs", "list", **away)
    assert (
        refused.returncode == 1
        and refused.stderr.startswith("faces jobs: ")
        and refused.stderr.count("\n") == 1
    )
    assert "Traceback" in faces("jobs", "list", "--verbose", **away).stderr
    wrong = faces("models", "verify", INSIGHTFACE_MODEL="no_such_pack")
    assert wrong.returncode == 1 and "no_such_pack" in wrong.stderr and "Traceback" not in wrong.stderr


def test_models_answer_in_json(faces) -> None:  # type: ignore[no-untyped-def]
    listed = msgspec.json.decode(faces("models", "list", "--json").stdout)
    assert {"centerface.onnx"} <= {row["file"] for row in listed}
    assert msgspec.json.decode(faces("models", "verify", "open", "--json").stdout) == {
        "pack": "open",
        "problems": [],
    }


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_the_command(faces, shell: str) -> None:  # type: ignore[no-untyped-def]
    script = faces("completion", shell).stdout
    assert "_ARGCOMPLETE" in script and "faces" in script
    if shutil.which(shell):
        checked = subprocess.run([shell, "-n"], input=script, text=True, capture_output=True, check=False)
        assert checked.returncode == 0, checked.stderr


def test_a_bash_completes_actions(faces, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    command = Path(sys.executable).with_name("faces")
    script = tmp_path / "complete.bash"
    script.write_text(
        faces("completion", "bash").stdout
        + f"""
COMP_WORDS=(faces dead re) COMP_CWORD=2 COMP_LINE='faces dead re' COMP_POINT=13 COMP_TYPE=9
_python_argcomplete {command} re dead
echo "${{COMPREPLY[@]}}"
"""
    )
    done = subprocess.run(["bash", str(script)], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.split() == ["replay"], done.stderr
