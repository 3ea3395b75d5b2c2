"""Measures sprite tiles a second on one core up to the analyze stage, beside frames of the film.

    python -m tests.bench.tiles [VIDEO] [--tiles 500]

Tiles are parsed, cut, encoded and put into the frame store; the film's frames are decoded instead of cut. Seconds are
CPU seconds, which other programs do not change.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from consumers.sources.frame_store import FrameStore
from facecore.video import Interval, SampledFrame, open_source
from facecore.video.images import encode
from facecore.video.sprites import Sprites, parse_sprite_map
from schemas.names import Names
from schemas.store.connection import connect
from tests.bench.measure import clip, machine, quiet, report
from tests.bench.sprites import make_sprites
from tests.consumers.runtime.servers import Server, binary
from tests.inputs import video_file

MAX_PIXELS = 10**8
JPEG_QUALITY = 95


async def stored(store: FrameStore, samples: Iterable[SampledFrame]) -> int:
    count = 0
    for sample in samples:
        await store.put("job", "", str(sample.index), encode(sample.image, JPEG_QUALITY))
        count += 1
    return count


async def measure(video: Path, folder: Path, tiles: int, url: str) -> dict[str, Any]:
    sprites = make_sprites(video, folder, tiles)
    async with connect(url) as redis:
        await redis.hset(Names("bench").job("job").metadata, "created", "1")
        store = FrameStore(redis, Names("bench"), ttl=600)
        began = time.process_time()
        map_ = parse_sprite_map(sprites.read_bytes())
        grids = {name: (folder / name).read_bytes() for name in map_.grids}
        count = await stored(store, Sprites(map_, grids, max_pixels=MAX_PIXELS))
        by_tile = (time.process_time() - began) / count
        began = time.process_time()
        by_frame = await stored(store, open_source(video, Interval(2.0), max_pixels=MAX_PIXELS))
        by_frame = (time.process_time() - began) / by_frame
    return {
        "tiles": count, "tiles_a_second": round(1 / by_tile), "film_frames_a_second": round(1 / by_frame, 1),
        "ratio": round(by_frame / by_tile, 1),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("video", nargs="?", type=video_file)
    parser.add_argument("--tiles", type=int, default=500)
    given = parser.parse_args()
    quiet()
    where = machine()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(binary("valkey", Path(folder)), Path(folder) / "server")
        server.start()
        try:
            video = given.video or clip("nggyup_720p.mp4", Path(folder))
            figures = asyncio.run(measure(video, Path(folder), given.tiles, server.url))
        finally:
            server.stop()
    report(figures, where)


if __name__ == "__main__":
    main()
