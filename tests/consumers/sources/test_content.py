"""The film of a job is what its file held when the job began: a touch or growth is no change."""

import os
from pathlib import Path

import pytest

from consumers.sources.content import BLOCK_BYTES, BLOCKS, GREW, Content, Version, begins_with, content_of
from consumers.sources.opening import on_this_host
from consumers.sources.safety import open_source_file
from consumers.sources.segmentation import check_unchanged
from facecore.video import Interval, SourceError, open_source
from facecore.video.byte_range import ByteRange
from schemas.requests import AnalyzeRequest
from tests.facecore.video.clips import make_clip, number_in
from tests.waiting import eventually


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path.resolve()


@pytest.mark.parametrize("size", [1, BLOCK_BYTES, BLOCKS * BLOCK_BYTES, BLOCKS * BLOCK_BYTES + 1, 5_000_000])
def test_a_change_at_head_middle_or_tail_is_another_content(root: Path, size: int) -> None:
    film = root / "film.ts"
    held = bytearray(os.urandom(size))
    film.write_bytes(held)
    content = content_of(open_source_file(str(film), [root]))
    assert Content.parse(str(content)) == content and begins_with(film, content)
    for place in {0, size // 2 if size <= BLOCKS * BLOCK_BYTES else size - 1, size - 1}:
        changed = held.copy()
        changed[place] ^= 1
        film.write_bytes(changed)
        assert not begins_with(film, content)
    film.write_bytes(held + b"more")
    assert begins_with(film, content)
    film.write_bytes(held[:-1])
    assert not begins_with(film, content)


@pytest.mark.parametrize("is_album", [False, True])
def test_a_file_that_was_changed_in_place_has_another_state_even_with_the_same_blocks_and_time(
    root: Path, is_album: bool
) -> None:
    film = root / "film.jpg"
    film.write_bytes(bytes(2 * BLOCKS * BLOCK_BYTES))
    request = AnalyzeRequest(video_path=str(root if is_album else film))
    before, status = on_this_host(request, [root]), film.stat()
    assert on_this_host(request, [root]).state == before.state

    def changed_in_place() -> bool:
        with film.open("r+b") as file:
            file.seek(BLOCK_BYTES)  # between the first two blocks that are hashed
            file.write(b"x")
        os.utime(film, ns=(status.st_atime_ns, status.st_mtime_ns))
        return film.stat().st_ctime_ns != status.st_ctime_ns

    eventually(changed_in_place)
    after = on_this_host(request, [root])
    assert after.fingerprint == before.fingerprint and after.state != before.state


def test_a_recording_that_grows_is_sampled_as_it_was(root: Path) -> None:
    clip, film = root / "clip.ts", root / "film.ts"
    make_clip(clip)
    whole = clip.read_bytes()
    film.write_bytes(whole[: len(whole) // 2])
    opened = open_source_file(str(film), [root])
    content = content_of(opened)
    before = list(open_source(opened, Interval(1.0), max_pixels=10**8))
    samples = open_source(ByteRange(opened, 0, content.size), Interval(1.0), max_pixels=10**8)
    first = next(samples)
    with film.open("ab") as file:
        file.write(whole[len(whole) // 2 :])
    after = [first, *samples]
    assert [(s.timestamp, number_in(s.image)) for s in after] == [
        (s.timestamp, number_in(s.image)) for s in before
    ]
    assert 2 <= len(after) < 4
    version = Version(opened.status.st_mtime, content)
    assert check_unchanged(opened, "film.ts", version) == [GREW]


def test_a_touch_or_the_same_file_again_is_no_change(root: Path) -> None:
    film, other = root / "film.ts", root / "other.ts"
    for path in (film, other):
        path.write_bytes(b"film")
    opened = open_source_file(str(film), [root])
    version = Version(opened.status.st_mtime, content_of(opened))
    os.utime(film, (1, 1))
    assert check_unchanged(opened, "film.ts", version) == []
    other.replace(film)
    assert check_unchanged(opened, "film.ts", version) == []
    other.write_bytes(b"Film")
    other.replace(film)
    with pytest.raises(SourceError, match=r"film\.ts was changed"):
        check_unchanged(opened, "film.ts", version)
    film.unlink()
    os.mkfifo(film)
    with pytest.raises(SourceError, match=r"film\.ts was changed"):
        check_unchanged(opened, "film.ts", version)


@pytest.mark.parametrize("preallocated", [False, True])
def test_an_mp4_file_that_is_being_copied_is_named(root: Path, preallocated: bool) -> None:
    film = root / "film.mp4"
    make_clip(film)
    whole = film.read_bytes()
    half = len(whole) // 2
    film.write_bytes(whole[:half] + bytes(len(whole) - half if preallocated else 0))
    with pytest.raises(SourceError, match=r"its index \(moov\) is missing. It may still be being copied"):
        open_source(film, Interval(1.0), max_pixels=10**8)
