"""What is checked is what is read: a source is opened once, below its root, and read through its descriptor."""

import gc
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from consumers.sources.album import AlbumSource, listed_pictures, pictures_in
from consumers.sources.content import Version
from consumers.sources.safety import open_source_file
from consumers.sources.segmentation import check_unchanged
from facecore.video import Interval, SourceError, open_source
from schemas.opened_file import open_below
from tests.consumers.sources.flipping_links import INSIDE, OUTSIDE, flipping_media, outcomes


def test_a_flipping_link_never_leads_out_of_the_roots(tmp_path: Path) -> None:
    with flipping_media(tmp_path) as media:
        found = outcomes(media, 3000)
    assert found[OUTSIDE] == 0
    assert found[INSIDE] > 100 and found[b"refused"] > 0, found


def test_a_link_set_after_the_path_was_resolved_is_refused(tmp_path: Path) -> None:
    root = tmp_path.resolve() / "media"
    (root / "shelf").mkdir(parents=True)
    (tmp_path / "film.mp4").write_bytes(OUTSIDE)
    (root / "shelf" / "film.mp4").symlink_to(tmp_path / "film.mp4")
    (root / "way").symlink_to(tmp_path)
    for path in (root / "shelf" / "film.mp4", root / "way" / "film.mp4"):
        with pytest.raises(OSError):
            open_below(root, path)


def test_the_file_that_was_opened_is_read_whatever_its_name_leads_to(tmp_path: Path, film: Path) -> None:
    source = tmp_path / "film.mp4"
    source.write_bytes(film.read_bytes())
    opened = open_source_file(str(source), [tmp_path.resolve()])
    source.unlink()
    source.symlink_to("/etc/passwd")
    assert len(list(open_source(opened, Interval(1.0), max_pixels=10**8))) == 10
    with pytest.raises(SourceError, match="was changed"):
        check_unchanged(opened, "film.mp4", Version(opened.status.st_mtime, None))


def test_a_descriptor_is_closed_with_its_last_reference(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"x")

    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    gc.collect()
    before = descriptors()
    opened = [open_source_file(str(tmp_path / "film.mp4"), [tmp_path.resolve()]) for _ in range(5)]
    assert descriptors() == before + 5
    opened.clear()
    assert descriptors() == before


@pytest.fixture
def album(tmp_path: Path) -> Path:
    for name in ("a.jpg", "c.jpg", "d.jpg"):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "b.jpg").symlink_to("b.jpg")
    return tmp_path.resolve()


@pytest.mark.parametrize("listed", [False, True])
async def test_a_link_to_itself_costs_one_picture_and_is_named(album: Path, listed: bool) -> None:
    names = [str(album / name) for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg")]
    pictures = (
        listed_pictures(names, [album])
        if listed
        else pictures_in(open_source_file(str(album), [album]), [album])
    )
    with ThreadPoolExecutor(1) as pool:
        source = AlbumSource(pictures, 0, pool, [album])
        frames = await source.next_chunk()
    assert [frame.picture for frame in frames] == [b"a.jpg", b"", b"c.jpg", b"d.jpg"]
    [warning] = source.warnings
    assert warning.startswith(f"Picture 1: {album}/b.jpg cannot be resolved") and "symbolic links" in warning


async def test_a_picture_that_was_replaced_since_it_was_identified_is_not_read(album: Path) -> None:
    (album / "outside").mkdir()
    pictures = pictures_in(open_source_file(str(album), [album]), [album])
    version = pictures.version
    os.utime(album / "a.jpg", (1, 1))
    assert pictures_in(open_source_file(str(album), [album]), [album]).version != version
    assert pictures_in(open_source_file(str(album), [album]), [album]).content == pictures.content
    with ThreadPoolExecutor(1) as pool:
        assert len(await AlbumSource(pictures, 0, pool, [album]).next_chunk()) == 4
    (album / "a.jpg").write_bytes(b"x.jpg")
    assert pictures_in(open_source_file(str(album), [album]), [album]).content != pictures.content
    with ThreadPoolExecutor(1) as pool, pytest.raises(SourceError, match=r"a\.jpg was changed"):
        await AlbumSource(pictures, 0, pool, [album]).next_chunk()
