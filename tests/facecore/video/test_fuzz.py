"""A few seconds of fuzzing; tests/facecore/video/fuzz.py runs for any time."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from facecore.video import SourceError
from facecore.video.images import decode
from facecore.video.sprites import parse_sprite_map
from tests.facecore.video.clips import make_clip
from tests.facecore.video.fuzz import fuzz


def test_mutated_films_crash_nothing(tmp_path: Path) -> None:
    films = [tmp_path / name for name in ("a.mp4", "b.mkv", "c.ts", "d.avi", "e.gif", "f.webm")]
    for film in films:
        codec = {".gif": "gif", ".webm": "libvpx-vp9", ".avi": "mpeg4"}.get(film.suffix, "libx264")
        make_clip(film, range(30), codec=codec, pix_fmt="rgb8" if codec == "gif" else "yuv420p")
    outcomes, failures = fuzz(films, 6.0, 1, tmp_path)
    assert failures == []
    assert set(outcomes) <= {"frames", "refused"}
    assert outcomes["frames"] and outcomes["refused"]


@given(
    st.binary(max_size=2000) | st.text(alphabet="0123456789:.-> \n#xywh=,sjpg", max_size=400).map(str.encode)
)
def test_any_bytes_as_a_sprite_map(data: bytes) -> None:
    try:
        assert parse_sprite_map(data).tiles
    except SourceError as error:
        assert str(error)


STARTS = (
    b"\xff\xd8\xff\xe0",
    b"\x89PNG\r\n\x1a\n",
    b"RIFF\0\0\0\0WEBP",
    b"GIF89a",
    b"BM" + bytes(8),
    b"\0\0\0\x18ftypavif",
)


@given(st.sampled_from(STARTS), st.binary(max_size=300))
def test_any_bytes_as_a_picture(start: bytes, rest: bytes) -> None:
    try:
        assert decode(start + rest, max_pixels=10**6).ndim == 3
    except SourceError as error:
        assert str(error)
