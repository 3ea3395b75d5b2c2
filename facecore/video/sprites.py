"""Sprite sheets: thumbnails of a video in grid pictures, and a WebVTT file with the time of each thumbnail.

Formats: https://www.w3.org/TR/webvtt1/, and https://www.w3.org/TR/media-frags/#naming-space for ``#xywh=``.
"""

import re
from collections.abc import Generator, Iterator, Mapping
from itertools import groupby
from math import prod
from typing import Literal
from urllib.parse import unquote

import msgspec

from facecore.video.damage import Damage
from facecore.video.decoder import SampledFrame
from facecore.video.errors import SourceError
from facecore.video.images import HEAD_BYTES, decode, decoding_bytes, image_kind, picture_size
from facecore.video.picture import Image
from facecore.video.sampling import VideoInfo

MAX_VTT_BYTES = 16 << 20
MAX_TILES = 100_000
MAX_GRIDS = 256
MAX_DECODED_FACTOR = 40
"""Most pixels decoded for a map, in multiples of the limit of one grid. Tiles that alternate between two grids have
each of them decoded many times."""
MAX_LINE_BYTES = 4096
"""Longer lines are no cues and are skipped."""
MIN_TILE_SIDE = 16
"""Pixels; smaller tiles cannot show a face."""

# Hours are optional.
_TIME = r"(?:(\d{2,4}):)?([0-5]\d):([0-5]\d)\.(\d{3})"
_TIMING = re.compile(rf"{_TIME}[ \t]+-->[ \t]+{_TIME}(?:[ \t].*)?")
_BOX = re.compile(r"xywh=(?:pixel:)?(\d{1,6}),(\d{1,6}),(\d{1,6}),(\d{1,6})")


class Tile(msgspec.Struct, frozen=True):
    """One thumbnail.

    Attributes:
        timestamp: middle of its cue in seconds.
        grid: name of the grid picture as written in the file; empty if none is named.
        box: left, top, width, height in pixels; None for the whole picture.
    """

    timestamp: float
    grid: str
    box: tuple[int, int, int, int] | None


class SpriteMap(msgspec.Struct, frozen=True):
    """The tiles of a WebVTT file in order of time, and warnings about cues that were skipped."""

    tiles: tuple[Tile, ...]
    warnings: tuple[str, ...]

    @property
    def grids(self) -> tuple[str, ...]:
        """Returns the names of the grid pictures in order of first use."""
        return tuple(dict.fromkeys(tile.grid for tile in self.tiles))


def parse_sprite_map(vtt: bytes) -> SpriteMap:
    """Parses a WebVTT file.

    Raises:
        SourceError: the file is too large, or has no tiles, too many tiles or too many grids.
    """
    if len(vtt) > MAX_VTT_BYTES:
        raise SourceError(f"The sprite map is larger than {MAX_VTT_BYTES >> 20} MiB.")
    if image_kind(vtt[:HEAD_BYTES]) is not None:
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
        raise SourceError("The sprite map has no tiles: it needs cues with a time and #xywh=…")
    tiles.sort(key=lambda tile: tile.timestamp)
    found = SpriteMap(tuple(tiles), tuple(damage.warnings))
    if len(found.grids) > MAX_GRIDS:
        raise SourceError(f"The sprite map names more than {MAX_GRIDS} pictures.")
    return found


class _Grid(msgspec.Struct, frozen=True):
    """A grid picture that can be decoded."""

    encoded: bytes
    size: tuple[int, int]
    decoding_bytes: int


class Sprites(Iterator[SampledFrame]):
    """Iterates over the tiles of a sprite map, cut from their grids. Only usable tiles are numbered.

    Args:
        sprites: the tiles.
        grids: name → encoded picture; tiles of missing grids are skipped.
        start_index: number of the first tile to return.
        max_pixels: limit of the pixels of a grid.

    Attributes:
        method: "sprites".
        info: nothing is known of the video.
        expected: number of usable tiles.
        decoding_bytes: estimated memory of the largest grid; one is decoded at a time.

    Raises:
        SourceError: in the order of the tiles, grids would be decoded too often; while iterating: no tile is usable.
    """

    method: Literal["sprites"] = "sprites"
    info = VideoInfo()

    def __init__(
        self, sprites: SpriteMap, grids: Mapping[str, bytes], *, start_index: int = 0, max_pixels: int
    ) -> None:
        self._grids = {name: grid for name, data in grids.items() if (grid := _grid(data, max_pixels))}
        self._missing = frozenset(sprites.grids) - frozenset(grids)
        self._max_pixels = max_pixels
        self._first = start_index
        self._damage = Damage()
        self._map_warnings = sprites.warnings
        self._usable = [tile for tile in sprites.tiles if self._is_usable(tile)]
        self.expected = len(self._usable)
        self.decoding_bytes = max((grid.decoding_bytes for grid in self._grids.values()), default=0)
        self._check_work()
        self._tiles = self._cut()

    def __next__(self) -> SampledFrame:
        return next(self._tiles)

    @property
    def warnings(self) -> list[str]:
        """Returns the faults of the map and its grids."""
        return [*self._map_warnings, *self._damage.warnings]

    def close(self) -> None:
        """Ends the iteration."""
        self._tiles.close()

    def _is_usable(self, tile: Tile) -> bool:
        if tile.grid in self._missing:
            self._damage.report(f"the sprite picture {tile.grid!r} is missing", tile.timestamp)
            return False
        if (grid := self._grids.get(tile.grid)) is None:
            self._damage.report(f"the sprite picture {tile.grid!r} cannot be used", tile.timestamp)
            return False
        if tile.box is not None and not _fits(tile.box, grid.size):
            self._damage.report("a tile lies outside its picture", tile.timestamp)
            return False
        return True

    def _check_work(self) -> None:
        """Bounds the pixels that are decoded: a grid is decoded when the tile before it has another one."""
        changes = [grid for grid, _ in groupby(tile.grid for tile in self._usable)]
        pixels = sum(prod(self._grids[grid].size) for grid in changes)
        if pixels > MAX_DECODED_FACTOR * self._max_pixels:
            raise SourceError(
                f"The tiles of the sprite map change their picture {len(changes)} times, so that {pixels} pixels"
                f" would be decoded; at most {MAX_DECODED_FACTOR} times FACES_MAX_PIXELS are allowed."
            )

    def _cut(self) -> Generator[SampledFrame]:
        if not self._usable:
            raise SourceError("The sprite map has no usable tile: " + "; ".join(self.warnings))
        name, grid = None, None
        for index, tile in enumerate(self._usable[self._first :], self._first):
            if grid is None or tile.grid != name:
                name, grid = tile.grid, decode(self._grids[tile.grid].encoded, self._max_pixels)
            yield SampledFrame(index, tile.timestamp, _cut_out(grid, tile.box))


def _grid(encoded: bytes, max_pixels: int) -> _Grid | None:
    """Returns a grid picture; None when it is damaged, or too large to be decoded."""
    try:
        size = picture_size(encoded, max_pixels)
        return _Grid(encoded, size, decoding_bytes(encoded, max_pixels))
    except SourceError:
        return None


def _lines(vtt: bytes) -> Iterator[str]:
    """Yields the lines without line ends, over-long lines as empty ones, in one pass without copying the file."""
    for line in re.finditer(rb"[^\r\n]*", vtt):
        if line.end() - line.start() <= MAX_LINE_BYTES:
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
    return min(width, height) >= MIN_TILE_SIDE and left + width <= size[0] and top + height <= size[1]


def _cut_out(grid: Image, box: tuple[int, int, int, int] | None) -> Image:
    if box is None:
        return grid
    left, top, width, height = box
    return grid[top : top + height, left : left + width].copy()
