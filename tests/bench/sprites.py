"""Measures sprite tiles a second, beside a plain loop over the same tiles.

    python -m tests.bench.sprites [VIDEO] [--tiles 400] [--pairs 3]

Tiles of 160 × 90 pixels are cut from the film as sprite makers do, in grids of ten by ten with a WebVTT file. The
plain loop opens the grids and gives each tile to the same models by itself. `at_processor` is what the cores would
process without any other work: tiles for each second of processor time of all processes, times the cores.
Without a film named there are two: one with a face in nearly every tile, one without any.
"""

import argparse
import statistics
import tempfile
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from facecore.analyzer import Analyzer
from facecore.video import Interval, open_source
from facecore.video.images import encode
from facecore.video.picture import Image
from tests.bench.measure import (
    CORES,
    MODELS,
    Processes,
    Spent,
    clip,
    looks,
    machine,
    plainly,
    quiet,
    report,
    running,
    spent,
)
from tests.inputs import video_file

WIDTH, HEIGHT = 160, 90
TILES_PER_ROW = 10
INTERVAL_SECONDS = 0.25
TILE_SECONDS = 5


def make_sprites(video: Path, folder: Path, tiles: int) -> Path:
    """Writes the grids and their WebVTT file; returns its path."""
    source = open_source(video, Interval(INTERVAL_SECONDS), max_pixels=10**9)
    small = [np.asarray(cv2.resize(f.image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)) for f in source]
    pictures = list(islice(cycle(small), tiles))
    lines = ["WEBVTT", ""]
    for first in range(0, tiles, TILES_PER_ROW * TILES_PER_ROW):
        grid = np.zeros((HEIGHT * TILES_PER_ROW, WIDTH * TILES_PER_ROW, 3), np.uint8)
        name = f"sprite-{first}.jpg"
        for number, picture in enumerate(pictures[first : first + TILES_PER_ROW * TILES_PER_ROW]):
            top, left = HEIGHT * (number // TILES_PER_ROW), WIDTH * (number % TILES_PER_ROW)
            grid[top : top + HEIGHT, left : left + WIDTH] = picture
            time = (first + number) * TILE_SECONDS
            lines += [
                f"{_clock(time)} --> {_clock(time + TILE_SECONDS)}",
                f"{name}#xywh={left},{top},{WIDTH},{HEIGHT}",
                "",
            ]
        (folder / name).write_bytes(encode(grid, 90))
    vtt = folder / "sprites.vtt"
    vtt.write_text("\n".join(lines))
    return vtt


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.000"


def tiles_of(folder: Path, count: int) -> list[Image]:
    found: list[Image] = []
    for file in sorted(folder.glob("sprite-*.jpg"), key=lambda path: int(path.stem.split("-")[1])):
        grid = np.asarray(cv2.imread(str(file)), np.uint8)
        found += [
            grid[top : top + HEIGHT, left : left + WIDTH]
            for top in range(0, HEIGHT * TILES_PER_ROW, HEIGHT)
            for left in range(0, WIDTH * TILES_PER_ROW, WIDTH)
        ]
    return found[:count]


def plain_loop(folder: Path, analyzer: Analyzer, count: int) -> int:
    faces = 0
    for number, tile in enumerate(tiles_of(folder, count)):
        faces += plainly(analyzer, tile, number)
    return faces


def measure(video: Path, folder: Path, tiles: int, pairs: int) -> dict[str, Any]:
    vtt = make_sprites(video, folder, tiles)
    analyzer = Analyzer.load("open", MODELS, device="cpu", threads=CORES)
    plain: list[Spent] = []
    served: list[Spent] = []
    with running(folder / "service") as service:
        processes = Processes(service)
        for number in range(pairs):
            with spent() as taken:
                faces = plain_loop(folder, analyzer, tiles)
            plain.append(taken())
            parameters = {
                "use_sprites": True,
                "sprite_vtt_url": str(vtt),
                "sprite_image_url": str(folder / "sprite-0.jpg"),
                "cache_duration": 0,
            }
            with spent(processes.all_cpu) as taken:
                result = service.analyze(
                    {"video_path": str(video), "job_id": f"bench-{number}", "parameters": parameters}
                )
            served.append(taken())
        memory = processes.most_memory()
    analyzer.close()
    metadata = result["metadata"]
    assert metadata["frames_processed"] == tiles, metadata
    return {
        "film": looks(video),
        "tiles": tiles,
        "tile": [WIDTH, HEIGHT],
        "faces": {"plain": faces, "service": metadata["total_detections"]},
        "tiles_per_second": {
            "by_clock": round(tiles / statistics.median(run.wall for run in served), 1),
            "at_processor": round(tiles * CORES / statistics.median(run.cpu for run in served), 1),
            "plain_by_clock": round(tiles / statistics.median(run.wall for run in plain), 1),
            "plain_at_processor": round(tiles * CORES / statistics.median(run.cpu for run in plain), 1),
        },
        "times_plain_loop": {
            "by_clock": round(
                statistics.median(p.wall / s.wall for p, s in zip(plain, served, strict=True)), 2
            ),
            "by_processor": round(
                statistics.median(p.cpu / s.cpu for p, s in zip(plain, served, strict=True)), 2
            ),
        },
        "service_most_megabytes": memory,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("video", type=video_file, nargs="?")
    parser.add_argument("--tiles", type=int, default=400)
    parser.add_argument("--pairs", type=int, default=3)
    given = parser.parse_args()
    quiet()
    where = machine()
    films = []
    for name in ("nggyup_720p.mp4", "noface_cuts_720p.mp4"):
        with tempfile.TemporaryDirectory() as folder:
            video = given.video or clip(name, Path(folder))
            films.append(measure(video, Path(folder), given.tiles, given.pairs))
        if given.video:
            break
    report({"films": films}, where)


if __name__ == "__main__":
    main()
