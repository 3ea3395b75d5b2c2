"""A directory of pictures as one job."""

import csv
import os
import shutil
from pathlib import Path

import cv2
import pytest

from schemas.file_names import to_text
from tests.integration.client import Service
from tests.waiting import eventually


@pytest.fixture
def album(tmp_path: Path, group_photograph: Path) -> Path:
    """The same photograph twice, one that is damaged, one that cannot be read, and what is no picture."""
    image = cv2.imread(str(group_photograph))
    cv2.imwrite(str(tmp_path / "a.jpg"), image)
    cv2.imwrite(str(tmp_path / "c.png"), image)
    (tmp_path / "b.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:400])
    (tmp_path / "d.jpg").symlink_to("/nowhere/at all.jpg")
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / "more").mkdir()
    return tmp_path


def test_people_are_found_across_the_pictures_which_have_no_times(service: Service, album: Path) -> None:
    result = service.analyze({"video_path": str(album), "parameters": {"library": "albums"}})
    assert result["metadata"]["frame_source"] == "album"
    assert len(result["faces"]) == 6
    assert {d["frame_index"] for face in result["faces"] for d in face["detections"]} == {0, 2}
    damaged, missing = result["metadata"]["failed_frames"]
    assert damaged["frame_index"] == 1 and "JPEG" in damaged["reason"]
    assert missing["frame_index"] == 3
    people = eventually(lambda: service.get("/faces/libraries/albums/people").json.get("people"))
    assert [(one["seconds"], one["pictures"], one["detections"]) for one in people] == 6 * [(0.0, 2, 2)]
    path = f"/faces/libraries/albums/people/{people[0]['person_id']}"
    (seen,) = service.get(f"{path}/appearances").json["films"]
    assert (seen["appearances"], seen["seconds"], seen["pictures"]) == ([], 0.0, [1, 3])
    together = service.get(f"{path}/together").json["together"]
    assert [(one["seconds"], one["pictures"]) for one in together] == 5 * [(0.0, 2)]
    assert len(service.get(f"/faces/libraries/albums/films/{seen['film_id']}?since=50").json["people"]) == 6
    assert (
        service.get(f"/faces/libraries/albums/films/{seen['film_id']}/people.vtt").body.strip() == b"WEBVTT"
    )
    rows = list(
        csv.DictReader(service.get("/faces/libraries/albums/appearances.csv").body.decode().splitlines())
    )
    assert sorted((row["start"], row["end"], row["picture"]) for row in rows) == 6 * [("", "", "1")] + 6 * [
        ("", "", "3")
    ]


def test_another_picture_in_the_directory_changes_the_result(service: Service, album: Path) -> None:
    first = service.submit({"video_path": str(album)})
    service.wait_for_end(first)
    (album / "b.jpg").unlink()
    (album / "d.jpg").unlink()
    whole = service.submit({"video_path": str(album)})
    service.wait_for_end(whole)
    assert service.result(whole)["metadata"]["sampled_frames"] == 2
    again = service.submit({"video_path": str(album)})
    assert service.wait_for_end(again)["cached"]
    shutil.copy(album / "a.jpg", album / "e.jpg")
    more = service.submit({"video_path": str(album)})
    assert "cached" not in service.wait_for_end(more)
    assert service.result(more)["metadata"]["sampled_frames"] == 3


def test_a_list_of_pictures_is_one_job_in_its_order(service: Service, album: Path) -> None:
    listed = [str(album / name) for name in ("c.png", "b.jpg", "a.jpg")]
    job = service.submit({"images": listed})
    assert service.wait_for_end(job)["status"] == "completed"
    result = service.result(job)
    assert result["metadata"]["video_path"] == listed[0]
    assert len(result["faces"]) == 6
    assert {d["frame_index"] for face in result["faces"] for d in face["detections"]} == {0, 2}
    assert [frame["frame_index"] for frame in result["metadata"]["failed_frames"]] == [1]


def test_the_order_of_a_list_is_part_of_the_request(service: Service, album: Path) -> None:
    listed = [str(album / name) for name in ("c.png", "a.jpg")]
    service.analyze({"images": listed})
    assert service.wait_for_end(service.submit({"images": listed}))["cached"]
    turned = service.submit({"images": listed[::-1], "video_path": listed[0]})
    assert "cached" not in service.wait_for_end(turned)


@pytest.mark.parametrize(
    ("image", "reason"),
    [("/nowhere/a.jpg", "no file"), ("/proc/self/environ", "operating system"), ("/tmp", "a directory")],
)
def test_a_list_with_another_file_type_is_refused(
    service: Service, album: Path, image: str, reason: str
) -> None:
    ended = service.wait_for_end(service.submit({"images": [str(album / "a.jpg"), image]}))
    assert ended["status"] == "failed" and image in ended["error"] and reason in ended["error"]


@pytest.mark.parametrize("images", [[], [""], ["a\0b"], "a.jpg", [1]])
def test_images_must_be_a_list_of_paths(service: Service, images: object) -> None:
    answer = service.post("/faces/analyze", {"video_path": "/media/a.jpg", "images": images})
    assert answer.status in (400, 422) and answer.json["field"].startswith("images")


def test_a_directory_without_pictures_is_refused(service: Service, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a picture")
    ended = service.wait_for_end(service.submit({"video_path": str(tmp_path)}))
    assert ended["status"] == "failed" and "a directory without pictures" in ended["error"]


def test_a_folder_of_network_storage_gives_its_pictures_and_names_the_rest(
    service: Service, album: Path
) -> None:
    latin = os.fsencode(album) + b"/caf\xe9\n\x1b[2J.jpg"
    Path(os.fsdecode(latin)).write_bytes((album / "a.jpg").read_bytes())
    (album / "._a.jpg").write_bytes(b"resource fork")
    (album / "@eaDir").mkdir()
    (album / "film.mp4").write_bytes(b"film")
    result = service.analyze({"video_path": str(album)})
    assert len(result["faces"]) == 6 and result["metadata"]["frames_processed"] == 3
    warnings = "\n".join(result["metadata"]["warnings"])
    for clause in ("1 hidden", "1 of the operating system (@eaDir)", "1 a folder", "1 no video", "1 a video"):
        assert f"Not in the album: {clause}" in warnings


def test_a_path_that_is_not_utf_8_is_requested_as_a_url(service: Service, album: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(album) + b"/Gr\xfc\xdfe"))
    folder.mkdir()
    shutil.copy(album / "a.jpg", folder / "100%.jpg")
    for path in (to_text(folder), to_text(folder / "100%.jpg")):
        result = service.analyze({"video_path": path})
        assert path.startswith("file:///") and result["metadata"]["video_path"] == path
        assert len(result["faces"]) == 6
