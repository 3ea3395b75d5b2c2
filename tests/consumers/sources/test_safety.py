"""What a request may name as its source, and what it may not."""

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from consumers.sources.safety import open_source_file
from facecore.video import SourceError


@pytest.fixture
def media(tmp_path: Path) -> Path:
    root = tmp_path.resolve() / "media"
    root.mkdir()
    (root / "film.mp4").write_bytes(b"x")
    (root / "empty.mp4").touch()
    (root / "folder").mkdir()
    (tmp_path / "secret.mp4").write_bytes(b"x")
    (tmp_path / "media-of-others").mkdir()
    (tmp_path / "media-of-others" / "film.mp4").write_bytes(b"x")
    return root


def refusal(source: str | Path, *roots: Path) -> str:
    """The reason; nothing that is refused may keep a worker waiting."""
    asking = ThreadPoolExecutor(1).submit(open_source_file, str(source), roots)
    with pytest.raises(SourceError) as raised:
        asking.result(timeout=20)
    return str(raised.value)


def test_a_file_below_a_root_or_itself_a_root_is_found(media: Path) -> None:
    film = media / "film.mp4"
    assert open_source_file(str(film), [media]).path == film
    assert open_source_file(str(film), [film]).path == film
    assert open_source_file(f"{media}/folder/../film.mp4", [Path("/nowhere"), media]).path == film
    assert open_source_file(str(film), [Path("/")]).path == film


def test_a_link_inside_the_roots_is_followed(media: Path) -> None:
    (media / "link.mp4").symlink_to(media / "film.mp4")
    assert open_source_file(str(media / "link.mp4"), [media]).path == media / "film.mp4"


@pytest.mark.parametrize(
    "name",
    [
        "../secret.mp4",
        "folder/../../secret.mp4",
        "../media-of-others/film.mp4",
        "../missing.mp4",
        "../../../etc/passwd",
    ],
)
def test_paths_that_lead_out_are_refused_alike_whether_there_is_a_file_or_not(media: Path, name: str) -> None:
    source = f"{media}/{name}"
    assert (
        refusal(source, media) == f"{source} is outside the directories that may be read (FACES_MEDIA_ROOTS)."
    )


def test_links_that_lead_out_are_refused(media: Path) -> None:
    (media / "link.mp4").symlink_to(media.parent / "secret.mp4")
    (media / "directory").symlink_to(media.parent)
    for source in (media / "link.mp4", media / "directory" / "secret.mp4"):
        assert "is outside the directories that may be read (FACES_MEDIA_ROOTS)" in refusal(source, media)


def test_links_that_go_round_are_refused(media: Path) -> None:
    (media / "a.mp4").symlink_to(media / "b.mp4")
    (media / "b.mp4").symlink_to(media / "a.mp4")
    assert str(media / "a.mp4") in refusal(media / "a.mp4", media)


@pytest.mark.parametrize(
    "source",
    ["/proc/self/environ", "/proc/self/fd/0", "/sys/kernel/notes", "/dev/zero", "/dev/stdin", "/dev/shm/x"],
)
def test_files_of_the_kernel_are_refused_even_where_everything_is_allowed(source: str) -> None:
    reason = refusal(source, Path("/"))
    assert source in reason
    assert "belongs to the operating system" in reason or "is a " in reason or "no file" in reason


def test_a_link_to_a_file_of_the_kernel_is_refused(media: Path) -> None:
    (media / "film.mkv").symlink_to("/proc/self/environ")
    assert "belongs to the operating system" in refusal(media / "film.mkv", Path("/"))


@pytest.mark.parametrize(
    "source",
    [
        "file:///etc/passwd", "http://127.0.0.1/film.mp4", "concat:/a|/b", "film.mp4", "./film.mp4", "~/film.mp4", "",
        "pipe:0", "-i", "\\\\host\\share", "async:http://localhost/",
    ],
)  # fmt: skip
def test_what_is_not_an_absolute_path_is_refused(media: Path, source: str) -> None:
    assert "not the absolute path of a file" in refusal(source, media)


def test_a_nul_character_is_refused(media: Path) -> None:
    assert "not the absolute path" in refusal(f"{media}/film.mp4\0.jpg", media)


def test_an_endless_name_is_refused(media: Path) -> None:
    assert "cannot be" in refusal(f"{media}/{'x' * 5000}", media)


def test_what_is_no_regular_file_is_refused_without_waiting(
    media: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(media / "pipe.mp4")
    monkeypatch.chdir(media)  # the name of a socket must be short
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.mp4")
    assert refusal(media / "pipe.mp4", media) == f"{media}/pipe.mp4 is a pipe, not a video or picture file."
    assert "is a socket" in refusal(media / "socket.mp4", media)


def test_an_empty_or_missing_file_is_refused(media: Path) -> None:
    assert refusal(media / "empty.mp4", media) == f"{media}/empty.mp4 is empty."
    assert refusal(media / "missing.mp4", media) == f"There is no file at {media}/missing.mp4."
    assert refusal(media / "film.mp4" / "more", media) == f"There is no file at {media}/film.mp4/more."


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(media: Path) -> None:
    (media / "film.mp4").chmod(0)
    assert refusal(media / "film.mp4", media) == f"{media}/film.mp4 cannot be read: permission denied."
