"""Sprite sheets: small pictures of a video in a grid, and a WebVTT file that says when each is shown.

https://www.w3.org/TR/webvtt1/ for the file, https://www.w3.org/TR/media-frags/#naming-space for ``#xywh=``.
"""

import re
from collections.abc import Generator, Iterator, Mapping
from typing import Literal
from urllib.parse import unquote

import msgspec

from facecore.video.damage import Damage
from facecore.video.decoder import SampledFrame
from facecore.video.errors import SourceError
from facecore.video.images import HEAD, decode, image_kind, image_size
from facecore.video.picture import Image

MAX_VTT_BYTES = 16 << 20
MAX_TILES = 100_000
MAX_GRIDS = 256
MAX_LINE = 4096
"""Characters: a longer line is no cue, and costs nothing."""
SMALLEST_TILE = 16
"""Pixels a side; there is no face to be seen in less."""

# Hours are left out by some writers, and have more than two digits in none; minutes and seconds are below 60.
_TIME = r"(?:(\d{2,4}):)?([0-5]\d):([0-5]\d)\.(\d{3})"
_TIMING = re.compile(rf"{_TIME}[ \t]+-->[ \t]+{_TIME}(?:[ \t].*)?")
_BOX = re.compile(r"xywh=(?:pixel:)?(\d{1,6}),(\d{1,6}),(\d{1,6}),(\d{1,6})")


class Tile(msgspec.Struct, frozen=True):
    """One small picture.

    Attributes:
        timestamp: seconds; the middle of the time it stands for.
        grid: name of the picture that it is cut from, as the file spells it; empty when it names none.
        box: left, top, width, height in pixels; None for the whole picture.
    """

    timestamp: float
    grid: str
    box: tuple[int, int, int, int] | None


class SpriteMap(msgspec.Struct, frozen=True):
    """The tiles of a WebVTT file in order of time, and what was wrong with the others."""

    tiles: tuple[Tile, ...]
    warnings: tuple[str, ...]

    @property
    def grids(self) -> tuple[str, ...]:
        """Names of the pictures needed, in order of first use."""
        return tuple(dict.fromkeys(tile.grid for tile in self.tiles))


def parse_sprite_map(vtt: bytes) -> SpriteMap:
    """The tiles that a WebVTT file tells of.

    Raises:
        SourceError: it is too large, tells of no tile, of too many, or of too many grids.
    """
    if len(vtt) > MAX_VTT_BYTES:
        raise SourceError(f"The sprite map is larger than {MAX_VTT_BYTES >> 20} MiB.")
    if image_kind(vtt[:HEAD]) is not None:
        raise SourceError("The sprite map is a picture; sprite_vtt_url must name a WebVTT file.")
    damage = Damage()
    tiles: list[Tile] = []
    timing: tuple[float, float] | None = None
    for line in _lines(vtt):
        if (match := _TIMING.fullmatch(line)) is not None:
            if timing is not None:
                damage.report("a cue names no tile", timing[0])
            start, end = _seconds(*match.groups()[:4]), _seconds(*match.groups()[4:])
            timing = (start, end) if end >= start else None
            if timing is None:
                damage.report("a cue ends before it starts", start)
        elif timing is not None and line:
            if (tile := _tile(timing, line)) is None:
                damage.report("a cue names no tile", timing[0])
            else:
                tiles.append(tile)
            if len(tiles) > MAX_TILES:
                raise SourceError(f"The sprite map has more than {MAX_TILES} tiles.")
            timing = None
    if not tiles:
        raise SourceError("The sprite map tells of no tile: there is no cue with a time and #xywh=…")
    tiles.sort(key=lambda tile: tile.timestamp)
    found = SpriteMap(tuple(tiles), tuple(damage.warnings))
    if len(found.grids) > MAX_GRIDS:
        raise SourceError(f"The sprite map names more than {MAX_GRIDS} pictures.")
    return found


class Sprites(Iterator[SampledFrame]):
    """The tiles of a sprite map, cut from their grids. Numbers count the tiles that are there.

    Args:
        sprites: the tiles.
        grids: encoded pictures by the name that the tiles give; one that is missing costs its tiles only.
        start_index: number of the first tile that is wanted.
        max_pixels: the most pixels a grid may have.

    Attributes:
        method: "sprites".
        expected: how many tiles there are.

    Raises SourceError, while iterating, when there is no tile at all.
    """

    method: Literal["sprites"] = "sprites"

    def __init__(
        self, sprites: SpriteMap, grids: Mapping[str, bytes], *, start_index: int = 0, max_pixels: int
    ) -> None:
        self._grids = grids
        self._max_pixels = max_pixels
        self._first = start_index
        self._damage = Damage()
        self._told = sprites.warnings
        self._there = [tile for tile in sprites.tiles if self._is_there(tile)]
        self.expected = len(self._there)
        self._tiles = self._cut()

    def __next__(self) -> SampledFrame:
        return next(self._tiles)

    @property
    def warnings(self) -> list[str]:
        """What is wrong with the map and its grids; empty when nothing is."""
        return [*self._told, *self._damage.warnings]

    def close(self) -> None:
        """Iterating ends."""
        self._tiles.close()

    def _is_there(self, tile: Tile) -> bool:
        encoded = self._grids.get(tile.grid)
        if encoded is None:
            self._damage.report(f"the sprite picture {tile.grid!r} is missing", tile.timestamp)
            return False
        size = image_size(image_kind(encoded[:HEAD]) or "", encoded)
        if size is None or size[0] * size[1] > self._max_pixels:
            self._damage.report(f"the sprite picture {tile.grid!r} cannot be used", tile.timestamp)
            return False
        if tile.box is not None and not _fits(tile.box, size):
            self._damage.report("a tile lies outside its picture", tile.timestamp)
            return False
        return True

    def _cut(self) -> Generator[SampledFrame]:
        if not self._there:
            raise SourceError("The sprite map's pictures have none of its tiles: " + "; ".join(self.warnings))
        name, grid = None, None
        for index, tile in enumerate(self._there[self._first :], self._first):
            if grid is None or tile.grid != name:
                name, grid = tile.grid, decode(self._grids[tile.grid], self._max_pixels)
            yield SampledFrame(index, tile.timestamp, _cut_out(grid, tile.box))


def _lines(vtt: bytes) -> Iterator[str]:
    """Lines without their ends; over-long ones come out empty. Goes through the file once, copying nothing."""
    for line in re.finditer(rb"[^\r\n]*", vtt):
        if line.end() - line.start() <= MAX_LINE:
            yield line.group().decode("utf-8", "replace").strip().removeprefix("\ufeff")
        else:
            yield ""


def _seconds(hours: str | None, minutes: str, seconds: str, thousandths: str) -> float:
    return int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds) + int(thousandths) / 1000


def _tile(timing: tuple[float, float], payload: str) -> Tile | None:
    name, _, fragment = payload.partition("#")
    timestamp = round(sum(timing) / 2, 6)
    if not fragment:
        return Tile(timestamp, unquote(name), None) if name and not name.isspace() else None
    box = _BOX.fullmatch(fragment)
    if box is None:
        return None
    left, top, width, height = (int(number) for number in box.groups())
    return Tile(timestamp, unquote(name), (left, top, width, height))


def _fits(box: tuple[int, int, int, int], size: tuple[int, int]) -> bool:
    left, top, width, height = box
    return min(width, height) >= SMALLEST_TILE and left + width <= size[0] and top + height <= size[1]


def _cut_out(grid: Image, box: tuple[int, int, int, int] | None) -> Image:
    if box is None:
        return grid
    left, top, width, height = box
    return grid[top : top + height, left : left + width].copy()
