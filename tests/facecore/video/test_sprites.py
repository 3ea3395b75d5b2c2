"""Tiles of sprite sheets are cut at their boxes and have the middle of their cue's time; missing ones are skipped."""

from io import BytesIO

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from facecore.video import SourceError
from facecore.video.images import decode, encode
from facecore.video.sprites import MAX_TILES, MAX_VTT_BYTES, Sprites, Tile, parse_sprite_map
from tests.facecore.video import bombs
from tests.facecore.video.clips import number_in, numbered

WIDTH, HEIGHT, ACROSS = 160, 96, 5


def grid(first: int, count: int) -> bytes:
    """Numbered tiles, row by row."""
    rows = -(-count // ACROSS)
    sheet = np.zeros((rows * HEIGHT, ACROSS * WIDTH, 3), np.uint8)
    for place in range(count):
        top, left = place // ACROSS * HEIGHT, place % ACROSS * WIDTH
        sheet[top : top + HEIGHT, left : left + WIDTH] = numbered(first + place, WIDTH, HEIGHT)
    return encode(sheet, 95)


def box(place: int) -> str:
    return f"{place % ACROSS * WIDTH},{place // ACROSS * HEIGHT},{WIDTH},{HEIGHT}"


def cue(start: str, end: str, payload: str) -> str:
    return f"{start} --> {end}\n{payload}\n\n"


def vtt(*cues: str, header: str = "WEBVTT\n\n") -> bytes:
    return (header + "".join(cues)).encode()


def tiles(map_: bytes, grids: dict[str, bytes], **options: int) -> list[tuple[int, float, int]]:
    sprites = Sprites(parse_sprite_map(map_), grids, max_pixels=10**8, **options)
    return [(tile.index, tile.timestamp, number_in(tile.image)) for tile in sprites]


CUES = [cue(f"00:00:{4 * i:02}.000", f"00:00:{4 * i + 4:02}.000", f"s.jpg#xywh={box(i)}") for i in range(12)]


def test_tiles_come_in_order_at_the_middle_of_their_time() -> None:
    found = tiles(vtt(*CUES), {"s.jpg": grid(700, 12)})
    assert found == [(i, 4 * i + 2.0, 700 + i) for i in range(12)]
    assert tiles(vtt(*reversed(CUES)), {"s.jpg": grid(700, 12)}) == found
    assert tiles(vtt(*CUES), {"s.jpg": grid(700, 12)}, start_index=7) == found[7:]
    assert tiles(vtt(*CUES), {"s.jpg": grid(700, 12)}, start_index=12) == []


def test_tiles_of_a_sheet_that_is_turned_by_its_exif_are_cut_from_the_upright_one() -> None:
    sheet = decode(grid(700, 12))
    data, exif = BytesIO(), Pillow.Exif()
    exif[0x0112] = 6
    stored = Pillow.fromarray(np.ascontiguousarray(np.rot90(sheet[:, :, ::-1])))
    stored.save(data, "JPEG", quality=95, exif=exif.tobytes())
    assert [number for _, _, number in tiles(vtt(*CUES), {"s.jpg": data.getvalue()})] == list(range(700, 712))


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("header", ["WEBVTT\n\n", "\ufeffWEBVTT - sprites\n\nNOTE made by hand\n\n", ""])
def test_all_line_ends_and_headers_are_accepted(newline: str, header: str) -> None:
    map_ = vtt(*CUES, header=header).replace(b"\n", newline.encode())
    assert [number for _, _, number in tiles(map_, {"s.jpg": grid(0, 12)})] == list(range(12))


@pytest.mark.parametrize(
    ("start", "end", "middle"),
    [
        ("00:00:01.000", "00:00:02.000", 1.5), ("00:01.000", "00:02.000", 1.5), ("59:59.500", "01:00:00.500", 3600.0),
        ("100:00:00.000", "100:00:01.000", 360000.5), ("00:05.000", "00:05.000", 5.0),
    ],
)  # fmt: skip
def test_times_with_and_without_hours(start: str, end: str, middle: float) -> None:
    [tile] = parse_sprite_map(vtt(cue(start, end, "s.jpg#xywh=1,2,30,40"))).tiles
    assert tile == Tile(middle, "s.jpg", (1, 2, 30, 40))


@pytest.mark.parametrize(
    ("payload", "name", "there"),
    [
        ("s.jpg#xywh=0,0,160,96", "s.jpg", True), ("#xywh=0,0,160,96", "", True),
        ("a/b%20c.jpg#xywh=pixel:0,0,160,96", "a/b c.jpg", True), ("/abs/s.jpg#xywh=0,0,160,96", "/abs/s.jpg", True),
        ("https://media.test/s.jpg?x=1#xywh=0,0,160,96", "https://media.test/s.jpg?x=1", True),
        ("s.jpg#xywh=percent:0,0,50,50", "", False), ("s.jpg#xywh=-1,0,160,96", "", False),
        ("s.jpg#xywh=0,0,160", "", False), ("s.jpg#t=10", "", False),
    ],
)  # fmt: skip
def test_names_of_pictures(payload: str, name: str, there: bool) -> None:
    map_ = vtt(cue("00:00.000", "00:01.000", payload))
    if there:
        [tile] = parse_sprite_map(map_).tiles
        assert (tile.grid, tile.box) == (name, (0, 0, 160, 96))
    else:
        with pytest.raises(SourceError, match="has no tiles"):
            parse_sprite_map(map_)


def test_settings_and_identifiers_of_cues_are_no_tiles() -> None:
    map_ = vtt(
        f"1\n00:00.000 --> 00:01.000 align:start\ns.jpg#xywh={box(3)}\nmore text\n\n", "STYLE\n::cue {}\n"
    )
    assert tiles(map_, {"s.jpg": grid(0, 5)}) == [(0, 0.5, 3)]


def test_several_grids_and_a_whole_picture_as_a_tile() -> None:
    map_ = vtt(
        cue("00:00.000", "00:01.000", f"a.jpg#xywh={box(0)}"), cue("00:01.000", "00:02.000", f"b.jpg#xywh={box(1)}"),
        cue("00:02.000", "00:03.000", f"a.jpg#xywh={box(2)}"), cue("00:03.000", "00:04.000", "c.jpg"),
    )  # fmt: skip
    assert parse_sprite_map(map_).grids == ("a.jpg", "b.jpg", "c.jpg")
    grids = {"a.jpg": grid(10, 5), "b.jpg": grid(20, 5), "c.jpg": encode(numbered(99), 95)}
    assert [number for _, _, number in tiles(map_, grids)] == [10, 21, 12, 99]


def test_missing_tiles_are_skipped_without_a_gap_in_the_numbers() -> None:
    cues = [*CUES[:3], cue("00:00:12.000", "00:00:16.000", "lost.jpg#xywh=0,0,160,96"), *CUES[4:]]
    cues.insert(5, cue("00:00:17.000", "00:00:18.000", "s.jpg#xywh=5000,0,160,96"))
    cues.insert(7, cue("00:00:19.000", "00:00:18.000", f"s.jpg#xywh={box(0)}"))
    sprites = Sprites(parse_sprite_map(vtt(*cues)), {"s.jpg": grid(0, 12)}, max_pixels=10**8)
    assert [(tile.index, number_in(tile.image)) for tile in sprites] == list(
        enumerate([0, 1, 2, *range(4, 12)])
    )
    assert sprites.expected == 11
    warnings = "; ".join(sprites.warnings)
    assert "'lost.jpg' is missing" in warnings
    assert "lies outside its picture" in warnings
    assert "ends before it starts" in warnings


@pytest.mark.parametrize("grids", [{}, {"s.jpg": b"no picture"}, {"s.jpg": grid(0, 5)[:40]}])
def test_a_map_without_a_usable_tile_is_refused(grids: dict[str, bytes]) -> None:
    with pytest.raises(SourceError, match="has no usable tile"):
        list(Sprites(parse_sprite_map(vtt(*CUES)), grids, max_pixels=10**8))


def test_a_grid_with_too_many_pixels_is_not_decoded() -> None:
    with pytest.raises(SourceError, match="cannot be used"):
        list(Sprites(parse_sprite_map(vtt(*CUES)), {"s.jpg": grid(0, 12)}, max_pixels=1000))


def test_a_million_cues_are_refused() -> None:
    one = b"00:00.000 --> 00:01.000\n#xywh=0,0,9,9\n"
    with pytest.raises(SourceError, match=f"more than {MAX_TILES} tiles"):
        parse_sprite_map(b"WEBVTT\n\n" + one * (MAX_VTT_BYTES // len(one) - 1))
    with pytest.raises(SourceError, match="larger than 16 MiB"):
        parse_sprite_map(b"WEBVTT\n\n" + one * 1_000_000)


@pytest.mark.parametrize(
    "map_",
    [b"", b"WEBVTT", b"\xff\xfe\x00", b"\n" * 1_000_000, b"0" * (8 << 20), b"00:00.000 --> " * 500_000],
)
def test_a_map_without_tiles_is_refused(map_: bytes) -> None:
    with pytest.raises(SourceError, match="has no tiles"):
        parse_sprite_map(map_)


def test_a_picture_given_as_the_map_is_named() -> None:
    with pytest.raises(SourceError, match="sprite_vtt_url must name a WebVTT file"):
        parse_sprite_map(grid(0, 5))


def test_more_grids_than_a_film_can_have_are_refused() -> None:
    with pytest.raises(SourceError, match="more than 256 pictures"):
        parse_sprite_map(vtt(*(cue("00:00.000", "00:01.000", f"{i}.jpg#xywh=0,0,99,99") for i in range(300))))


def test_tiles_of_a_png_grid() -> None:
    sheet = cv2.imdecode(np.frombuffer(grid(40, 5), np.uint8), cv2.IMREAD_COLOR)
    png = cv2.imencode(".png", sheet)[1].tobytes()
    assert [number for *_, number in tiles(vtt(*CUES[:5]), {"s.jpg": png})] == [40, 41, 42, 43, 44]


def test_tiles_that_alternate_between_large_pictures_are_refused_before_they_are_decoded() -> None:
    names = ("a.png", "b.png")
    cues = [cue(f"00:{i // 60:02}:{i % 60:02}.000", f"00:59:59.{i:03}", names[i % 2]) for i in range(200)]
    grids = dict.fromkeys(names, bombs.png(1000))
    assert len(Sprites(parse_sprite_map(vtt(*cues)), grids, max_pixels=10**7)._usable) == 200
    with pytest.raises(
        SourceError, match=r"change their picture 200 times, so that 200000000 pixels .*MAX_PIXELS"
    ):
        Sprites(parse_sprite_map(vtt(*cues)), grids, max_pixels=10**6)
