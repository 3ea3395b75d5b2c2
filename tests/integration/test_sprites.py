"""Sprites through the whole service."""

from pathlib import Path
from typing import Any, cast

import av
import cv2
import numpy as np

from facecore.video import Interval, open_source
from facecore.video.picture import Image
from tests.integration.client import Service


def write_sprites(film: Path, folder: Path, interval: float, scale: float) -> list[Image]:
    """A grid of the film's frames and its map, as players use them; the tiles as they are in the grid."""
    frames = [f.image for f in open_source(film, Interval(interval), max_pixels=10**8)]
    tiles = [cv2.resize(f, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) for f in frames]
    height, width = tiles[0].shape[:2]
    across = 3
    blank = [np.zeros_like(tiles[0])] * (-len(tiles) % across)
    rows = [np.hstack([*tiles, *blank][i : i + across]) for i in range(0, len(tiles), across)]
    cv2.imwrite(str(folder / "sprite.jpg"), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 95])
    cues = [
        f"{clock(i * interval)} --> {clock((i + 1) * interval)}\n"
        f"sprite.jpg#xywh={i % across * width},{i // across * height},{width},{height}"
        for i in range(len(tiles))
    ]
    (folder / "sprite.vtt").write_text("WEBVTT\n\n" + "\n\n".join(cues) + "\n")
    return [cast("Image", tile) for tile in tiles]


def clock(seconds: float) -> str:
    return f"{int(seconds) // 60:02}:{seconds % 60:06.3f}"


def test_sprites_are_cut_and_show_the_people(service: Service, six_people: Path, tmp_path: Path) -> None:
    write_sprites(six_people, tmp_path, 2.0, 0.5)
    parameters = {
        "use_sprites": True, "sprite_vtt_url": str(tmp_path / "sprite.vtt"), "min_confidence": 0.5,
        "sprite_image_url": str(tmp_path / "sprite.jpg"), "enhancement": {"enabled": True},
    }  # fmt: skip
    result = service.analyze({"video_path": str(six_people), "parameters": parameters})
    metadata = result["metadata"]
    assert (metadata["frame_source"], metadata["sampled_frames"], len(result["faces"])) == ("sprites", 6, 6)
    assert metadata["detector_sizes"] == [320]
    assert (metadata["frame_width"], metadata["frame_height"]) == (640, 360), "pixels of a tile"
    assert {d["timestamp"] for face in result["faces"] for d in face["detections"]} <= {
        1.0,
        3.0,
        5.0,
        7.0,
        9.0,
        11.0,
    }
    assert any("not enhanced" in warning for warning in metadata["warnings"])


def test_sprites_show_the_people_of_a_film_of_their_size(
    service: Service, shared_data: Path, tmp_path: Path
) -> None:
    film = shared_data / "videos" / "derived_grid_concat.mp4"
    odd = tmp_path / "My #1 film?"  # letters that mean something in an address
    odd.mkdir()
    tiles = write_sprites(film, odd, 1.0, 0.75)
    with av.open(str(tmp_path / "small.mkv"), "w") as target:
        stream = target.add_stream("ffv1", rate=1)
        stream.height, stream.width = tiles[0].shape[:2]
        stream.pix_fmt = "bgr0"
        for tile in tiles:
            target.mux(stream.encode(av.VideoFrame.from_ndarray(tile, format="bgr24")))
        target.mux(stream.encode(None))
    small = service.analyze(
        {"video_path": str(tmp_path / "small.mkv"), "parameters": {"sampling_interval": 1.0}}
    )
    sprites = {"use_sprites": True, "sprite_vtt_url": str(odd / "sprite.vtt")}
    result = service.analyze({"video_path": str(film), "parameters": sprites})
    assert result["metadata"]["sampled_frames"] == small["metadata"]["sampled_frames"] == len(tiles)
    assert len(result["faces"]) == len(small["faces"]) >= 8
    assert people(result) == people(small)


def people(result: Any) -> list[list[int]]:
    """Of each person the frames that show him or her."""
    return sorted(sorted(d["frame_index"] for d in face["detections"]) for face in result["faces"])
