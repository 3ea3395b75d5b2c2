"""Malicious sources are refused with the reason, in bounded time and memory, and the worker survives."""

import gzip
import os
import re
import shutil
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import cv2
import numpy as np
import pytest

from tests.facecore.video import bombs
from tests.integration.client import Service, pids_of
from tests.integration.conftest import run_service

LISTED_ADDRESS = "127.0.0.2"  # no other address inside the network is
MAX_MEMORY_BYTES = 1 << 30
MAX_DOWNLOAD_BYTES = 4 << 20
PACKED = gzip.compress(bytes(64 << 20))


class Site(BaseHTTPRequestHandler):
    """Answers as the path says."""

    film = b""

    def do_GET(self) -> None:
        place = urlsplit(self.path)
        if place.path == "/away":
            self._answer(302, b"", Location=parse_qs(place.query)["to"][0])
        elif place.path == "/page.mp4":
            self._answer(200, b"<html>please sign in</html>", **{"Content-Type": "text/html; charset=utf-8"})
        elif place.path == "/packed.mp4":
            self._answer(200, PACKED, **{"Content-Encoding": "gzip"})
        elif place.path == "/endless.mp4":
            self.send_response(200)
            self.end_headers()
            try:
                while True:
                    self.wfile.write(bytes(1 << 16))
            except ConnectionError:
                return
        elif place.path == "/film.mp4":
            self._answer(200, self.film, **{"Content-Type": "video/mp4"})
        else:
            self._answer(404, b"")

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""


@pytest.fixture(scope="module")
def site(six_people: Path) -> Iterator[str]:
    Site.film = six_people.read_bytes()
    with ThreadingHTTPServer((LISTED_ADDRESS, 0), Site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{LISTED_ADDRESS}:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory, six_people: Path) -> Path:
    """The only directory that may be read, with traps in it."""
    cue = "00:00.000 --> 00:01.000\n{}#xywh=0,0,160,90\n\n"
    outside = tmp_path_factory.mktemp("outside").resolve()
    root = outside / "media"
    root.mkdir()
    for film in (outside / "secret.mp4", root / "film.mp4"):
        shutil.copy(six_people, film)
    (root / "link.mp4").symlink_to(outside / "secret.mp4")
    (root / "up").symlink_to(outside)
    (root / "environ.mp4").symlink_to("/proc/self/environ")
    (root / "zero.mp4").symlink_to("/dev/zero")
    os.mkfifo(root / "pipe.mp4")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(root)  # the name of a socket must be short
        listener.bind("socket.mp4")
        os.chdir(here)
    (root / "huge.png").write_bytes(bombs.png(100_000))
    (root / "large.png").write_bytes(bombs.png(9_000))
    (root / "scans.jpg").write_bytes(bombs.progressive_jpeg(3000, 3000))
    album = root / "album"
    album.mkdir()
    bomb = cv2.imencode(".png", np.zeros((7000, 7000, 3), np.uint8))[1].tobytes()
    for number in range(16):
        (album / f"{number}.png").write_bytes(bomb)
    (album / "scans.jpg").write_bytes(bombs.progressive_jpeg(3000, 3000))
    (album / "large.png").write_bytes(bombs.png(9_000))
    for number in range(60):
        (root / f"grid-{number}.bmp").symlink_to(root / "grid.bmp")
    (root / "grid.bmp").write_bytes(cv2.imencode(".bmp", np.zeros((1000, 1000, 3), np.uint8))[1].tobytes())
    grids = "".join(cue.format(f"grid-{number}.bmp") for number in range(60))
    (root / "grids.vtt").write_text("WEBVTT\n\n" + grids)
    bombs.many_samples(root / "samples.mp4")
    bombs.long_fragment(root / "fragment.mp4")
    bombs.packed_header(root / "packed.mov", 3 << 30)
    (root / "list.m3u8").write_text(f"#EXTM3U\n#EXTINF:10,\n{outside}/secret.mp4\n#EXT-X-ENDLIST\n")
    (root / "concat.mp4").write_text(f"ffconcat version 1.0\nfile '{outside}/secret.mp4'\n")
    (root / "million.vtt").write_text("WEBVTT\n\n" + cue.format("") * 1_000_000)
    many = cue.format("").encode().replace(b",160,90\n\n", b",9,9\n")
    (root / "many.vtt").write_bytes(b"WEBVTT\n\n" + many * (15_000_000 // len(many)))
    for name, grid in (("bomb", "huge.png"), ("out", "../secret.jpg"), ("passwd", "file:///etc/passwd")):
        (root / f"{name}.vtt").write_text("WEBVTT\n\n" + cue.format(grid))
    return root


@pytest.fixture(scope="module")
def guarded(models_path: Path, tmp_path_factory: pytest.TempPathFactory, media: Path) -> Iterator[Service]:
    settings = {
        "FACES_MEDIA_ROOTS": str(media), "FACES_ALLOWED_HOSTS": f"{LISTED_ADDRESS}/32,localhost",
        "FACES_MAX_DOWNLOAD_BYTES": str(MAX_DOWNLOAD_BYTES), "FACES_MAX_MEMORY": str(MAX_MEMORY_BYTES),
    }  # fmt: skip
    yield from run_service(models_path, tmp_path_factory.mktemp("data"), environment=settings)


OUTSIDE = "outside the directories that may be read"
INSIDE = "inside the network (FACES_ALLOWED_HOSTS)"
NOT_LISTED = "not on a host that may be asked"
FILES = {
    "{media}/../secret.mp4": OUTSIDE,
    "{media}/link.mp4": OUTSIDE,
    "{media}/up/secret.mp4": OUTSIDE,
    "{media}/environ.mp4": OUTSIDE,
    "{media}/zero.mp4": OUTSIDE,
    "/proc/self/environ": OUTSIDE,
    "/dev/zero": OUTSIDE,
    "/etc/passwd": OUTSIDE,
    "{media}/pipe.mp4": "is a pipe",
    "{media}/socket.mp4": "is a socket",
    "file://{media}/film.mp4": "not the absolute path of a file",
    "concat:{media}/film.mp4": "not the absolute path of a file",
    "{media}/huge.png": "100000 x 100000 pixels",
    "{media}/scans.jpg": "3000 scans; at most 100",
    "{media}/large.png": "a third of FACES_MAX_MEMORY",
    "{media}/samples.mp4": "has no frame that can be decoded",
    "{media}/fragment.mp4": "Cannot allocate memory",
    "{media}/packed.mov": "Cannot allocate memory",
    "{media}/list.m3u8": "is not a video that can be read",
    "{media}/concat.mp4": "is not a video that can be read",
}
ADDRESSES = {
    "http://127.0.0.1:{port}/film.mp4": INSIDE,
    "http://localhost:{port}/film.mp4": NOT_LISTED,
    "http://localhost/film.mp4": INSIDE,
    "http://2130706433:{port}/film.mp4": NOT_LISTED,
    "http://0x7f000001/film.mp4": NOT_LISTED,
    "http://[::1]:{port}/film.mp4": INSIDE,
    "http://[::ffff:127.0.0.1]:{port}/film.mp4": INSIDE,
    "http://[::127.0.0.1]:{port}/film.mp4": INSIDE,
    "http://169.254.169.254/latest/meta-data": INSIDE,
    "http://example.com/film.mp4": NOT_LISTED,
    "http://[::1": "is not an http or https address",
    "{site}/away?to=http://127.0.0.1:{port}/film.mp4": INSIDE,
    "{site}/away?to=http://169.254.169.254/latest": INSIDE,
    "{site}/away?to=file:///etc/passwd": "is not an http or https address",
    "{site}/away?to=http://[::1": "is not an http or https address",
    "{site}/away?to=/away%3Fto=http://127.0.0.1/": INSIDE,
    "{site}/endless.mp4": "is larger than 4194304 bytes",
    "{site}/packed.mp4": "is served with content encoding gzip",
    "{site}/page.mp4": "is of type text/html",
    "{site}/nothing.mp4": "answered with status 404",
}
MAPS = {
    "{media}/million.vtt": "larger than 16 MiB",
    "{media}/many.vtt": "more than 100000 tiles",
    "{media}/bomb.vtt": "cannot be used",
    "{media}/grids.vtt": "larger than 64 MiB together",
    "{media}/out.vtt": "is missing",
    "{media}/passwd.vtt": "is missing",
    "{media}/pipe.mp4": "is a pipe",
    "{media}/../secret.vtt": OUTSIDE,
    "/proc/self/environ": OUTSIDE,
    "{media}/film.mp4": "has no tiles",
    "http://127.0.0.1:{port}/s.vtt": INSIDE,
    "{site}/endless.mp4": "is larger than 16777216 bytes",
}


def test_every_attack_is_refused_with_its_reason(guarded: Service, media: Path, site: str) -> None:
    def written(place: str) -> str:
        return place.format(media=media, site=site, port=urlsplit(site).port)

    workers = pids_of("consumers frames", guarded)
    requests: list[tuple[dict[str, Any], str]] = [
        *(({"video_path": written(source)}, reason) for source, reason in (FILES | ADDRESSES).items()),
        *(
            (
                {
                    "video_path": str(media / "film.mp4"),
                    "parameters": {"use_sprites": True, "sprite_vtt_url": written(place)},
                },
                reason,
            )
            for place, reason in MAPS.items()
        ),
    ]
    jobs = [(guarded.submit(request), request, reason) for request, reason in requests]
    for job_id, request, reason in jobs:
        status = guarded.wait_for_end(job_id)
        assert status["status"] == "failed" and reason in status["error"], (request, status)
    assert pids_of("consumers frames", guarded) == workers, "nobody died"
    assert all(peak(worker) < 1.5 * MAX_MEMORY_BYTES for worker in workers)


def test_an_album_of_bombs_is_decoded_within_the_memory_of_the_worker(
    guarded: Service, media: Path, six_people: Path
) -> None:
    [analyze] = pids_of("consumers analyze", guarded)
    before = peak(analyze)
    bombs_id = guarded.submit({"video_path": str(media / "album")})
    assert len(guarded.analyze({"video_path": str(media / "film.mp4")})["faces"]) == 6, "others are not hurt"
    assert guarded.wait_for_end(bombs_id)["status"] == "completed"
    failed = guarded.result(bombs_id)["metadata"]["failed_frames"]
    assert [frame["frame_index"] for frame in failed] == [16, 17]
    assert "FACES_MAX_MEMORY" in failed[0]["reason"] and "3000 scans" in failed[1]["reason"]
    assert peak(analyze) - before < MAX_MEMORY_BYTES


@pytest.mark.parametrize("source", ["{media}/film.mp4", "{site}/film.mp4", "{site}/away?to=/film.mp4"])
def test_allowed_sources_are_analysed(guarded: Service, media: Path, site: str, source: str) -> None:
    request = {"video_path": source.format(media=media, site=site)}
    assert len(guarded.analyze(request)["faces"]) == 6
    assert guarded.wait_for_end(guarded.submit(request))["cached"]


def peak(process: int) -> int:
    """Bytes of memory that a process has held at once (proc(5), VmHWM)."""
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    assert peak is not None
    return int(peak[1]) << 10
