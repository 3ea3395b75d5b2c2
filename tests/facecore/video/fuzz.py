"""Mutated files and sprite maps thrown at what opens them: no crash, no hang, no error but SourceError, and no more
memory than a file of the largest size takes.

    python -m tests.facecore.video.fuzz DIRECTORY_WITH_FILMS_AND_PICTURES [--minutes 10] [--seed 1]

Every file is opened in a process of its own kind: one worker goes through many, a new one takes over from one that
died or was stopped, and the file that did it is kept. A shorter run is among the tests (test_fuzz.py).
"""

import argparse
import logging
import multiprocessing
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path

import structlog

from facecore.video import Interval, SourceError, open_source
from facecore.video.sprites import parse_sprite_map

LONGEST = 60.0
"""Seconds that one file may take."""
MOST_MEMORY = 2 << 30
"""Bytes of a process: a frame of `PIXELS` takes 150 MB as it is decoded, and 300 MB as it is handed over."""
PIXELS = 10**8
LARGEST = 2 << 20
"""Bytes of a film that are used: a start is enough, and is quicker to go through."""
INTERESTING = (
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\0\0\0",
    b"moov",
    b"mdat",
    b"trak",
    b"stts",
)


def mutated(data: bytes, rng: random.Random) -> bytes:
    """The data with a few places changed; half of the changes near the start, where the headers are."""
    changed = bytearray(data[:LARGEST])
    for _ in range(rng.choice((1, 2, 5, 20, 100))):
        reach = len(changed) if rng.random() < 0.5 else min(len(changed), 4096)
        place = rng.randrange(max(1, reach))
        match rng.randrange(6):
            case 0:
                changed[place : place + 1] = bytes([rng.randrange(256)])
            case 1:
                changed[place : place + 4] = rng.choice(INTERESTING)
            case 2:
                del changed[place : place + rng.randrange(1, 64)]
            case 3:
                changed[place:place] = rng.randbytes(rng.randrange(1, 64))
            case 4:
                changed[place : place + 32] = changed[: rng.randrange(1, 33)]
            case 5 if rng.random() < 0.2:
                del changed[place:]
    return bytes(changed)


def mutated_map(rng: random.Random) -> bytes:
    cue = b"00:0%d:0%d.000 --> 00:0%d:09.000\ns.jpg#xywh=%d,%d,160,90\n\n"
    numbers = (
        rng.randrange(10),
        rng.randrange(10),
        rng.randrange(10),
        rng.randrange(10**6),
        rng.randrange(10**6),
    )
    return mutated(b"WEBVTT\n\n" + (cue % numbers) * rng.randrange(1, 50), rng)


def open_and_read(path: Path) -> str:
    """What became of a file: "frames", or "refused"."""
    try:
        if path.suffix == ".vtt":
            parse_sprite_map(path.read_bytes())
        else:
            source = open_source(path, Interval(0.5), max_pixels=PIXELS)
            for _, _ in zip(source, range(200), strict=False):
                pass
            source.close()
    except SourceError as error:
        return "refused" if str(error) else "refused without a word"
    return "frames"


def work(films: list[Path], folder: Path, seed: int, reports: Connection) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    rng = random.Random(seed)
    while True:
        kind = rng.random()
        film = rng.choice(films)
        path = folder / (f"case-{seed}.vtt" if kind < 0.2 else f"case-{seed}{film.suffix}")
        path.write_bytes(mutated_map(rng) if kind < 0.2 else mutated(film.read_bytes(), rng))
        reports.send(str(path))
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
        became = open_and_read(path)
        reports.send(became if peak() < MOST_MEMORY else f"{became}, with {peak() >> 20} MiB")


def peak() -> int:
    """Bytes that this process has held at once since it last asked to forget them (proc(5), VmHWM)."""
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert peak is not None
    return int(peak[1]) << 10


def fuzz(films: list[Path], seconds: float, seed: int, keep: Path) -> tuple[Counter[str], list[str]]:
    """How files ended, and what went wrong: the kept files that crashed, hung, or raised something else."""
    outcomes: Counter[str] = Counter()
    failures: list[str] = []
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < end:
            seed += 1
            reports, sender = multiprocessing.Pipe(duplex=False)
            worker = multiprocessing.get_context("spawn").Process(
                target=work, args=(films, Path(folder), seed, sender), daemon=True
            )
            worker.start()
            sender.close()
            path = ""
            while time.monotonic() < end:
                try:
                    if not reports.poll(LONGEST):
                        raise EOFError
                    path = reports.recv()
                    if not reports.poll(LONGEST):
                        raise EOFError
                    became = reports.recv()
                    outcomes[became] += 1
                    if became not in ("frames", "refused"):
                        raise EOFError
                except EOFError:
                    kept = keep / f"{len(failures)}-{Path(path).name}"
                    shutil.copy(path, kept)
                    failures.append(str(kept))
                    break
            worker.kill()
            worker.join()
    return outcomes, failures


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("films", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()))
    given = parser.parse_args()
    films = sorted(path for path in given.films.iterdir() if path.is_file())
    outcomes, failures = fuzz(films, given.minutes * 60, given.seed, given.keep)
    print(dict(outcomes), "failures:", failures)
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
