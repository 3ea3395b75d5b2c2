"""Measures sampling of a long film, beside a full decode and beside OpenCV seeking to every sample.

    python -m tests.bench.decoding VIDEO... [--minutes 20] [--interval 2] [--threads 2] [--pairs 3]

Every film is looped to the length, and all ways run in turn: compare the ratios, seconds depend on the machine.
`exact` counts samples whose picture is the one that a full decode shows at that moment.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np

from facecore.video import Interval, open_source, probe
from facecore.video.keyframes import Segment, at_keyframes, keyframe_times, segments
from facecore.video.picture import Image, to_image
from facecore.video.sequential import Clock
from tests.facecore.video.films import loop_film
from tests.inputs import video_file

MAX_PIXELS = 10**8
Sampler = Callable[[Path, float, int], Iterator[Image]]


def ours(film: Path, interval: float, threads: int) -> Iterator[Image]:
    for sample in open_source(film, Interval(interval), max_pixels=MAX_PIXELS, threads=threads):
        yield sample.image


def keyframes(film: Path, interval: float, threads: int) -> Iterator[Image]:
    plan = at_keyframes(
        Interval(interval), probe(film, max_pixels=MAX_PIXELS), keyframe_times(film, max_pixels=MAX_PIXELS)
    )
    for sample in open_source(film, plan, max_pixels=MAX_PIXELS, threads=threads):
        yield sample.image


def everything(film: Path, interval: float, threads: int) -> Iterator[Image]:
    """Decodes every frame, converts the sampled ones."""
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count, stream.codec_context.thread_type = threads, "AUTO"
        assert stream.time_base is not None
        start, due, shown = stream.start_time or 0, 0, None
        clock = Clock(container, stream)  # AVI has no presentation times, and what FFmpeg makes up is wrong
        for frame in container.decode(stream):
            frame.pts = clock.read(frame)
            while shown is not None and start + due * interval / stream.time_base < frame.pts:
                yield to_image(shown, stream.sample_aspect_ratio, stream.codec_context.name)
                due += 1
            shown = frame
        if (
            shown is not None
            and shown.pts is not None
            and start + due * interval / stream.time_base <= shown.pts
        ):
            yield to_image(shown, stream.sample_aspect_ratio, stream.codec_context.name)


def opencv_seeking(film: Path, interval: float, threads: int) -> Iterator[Image]:
    """Seeks to every sample, as OpenCV's examples do."""
    capture = cv2.VideoCapture(str(film), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, threads])
    length = capture.get(cv2.CAP_PROP_FRAME_COUNT) / capture.get(cv2.CAP_PROP_FPS)
    for index in range(int(length / interval) + 1):
        capture.set(cv2.CAP_PROP_POS_MSEC, 1000 * index * interval)
        there, image = capture.read()
        if there:
            yield image
    capture.release()


WAYS: dict[str, Sampler] = {
    "everything": everything, "opencv seeking": opencv_seeking, "selective": ours, "keyframes": keyframes,
}  # fmt: skip


def fingerprint(image: Image) -> int:
    return hash(image[::7, ::7].tobytes())


class Took(NamedTuple):
    """Wall-clock seconds and CPU seconds of all cores; other programs change the first only."""

    clock: float
    cores: float


def run(sampler: Sampler, film: Path, interval: float, threads: int) -> tuple[Took, list[int]]:
    started, used = time.perf_counter(), time.process_time()
    prints = [fingerprint(image) for image in sampler(film, interval, threads)]
    return Took(time.perf_counter() - started, time.process_time() - used), prints


def part(film: Path, interval: float, segment: Segment) -> list[int]:
    found = open_source(
        film, Interval(interval), start_index=segment.first, end_index=segment.end, max_pixels=MAX_PIXELS
    )
    return [fingerprint(sample.image) for sample in found]


def in_parts(workers: int, film: Path, interval: float, parts: list[Segment]) -> tuple[Took, list[int]]:
    with ProcessPoolExecutor(workers) as pool:
        list(pool.map(abs, range(workers)))  # processes are there before the clock runs
        started = time.perf_counter()
        found = list(pool.map(part, [film] * len(parts), [interval] * len(parts), parts))
        clock = time.perf_counter() - started
    return Took(clock, float("nan")), [print_ for prints in found for print_ in prints]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("videos", nargs="+", type=video_file)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--interval", type=float, default=2.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for video in given.videos:
            film = Path(folder) / f"film{video.suffix}"
            loop_film(video, film, seconds=60 * given.minutes)
            report(film, video.name, given)


def report(film: Path, name: str, given: argparse.Namespace) -> None:
    seconds: dict[str, list[Took]] = {way: [] for way in WAYS}
    prints: dict[str, list[int]] = {}
    for _ in range(given.pairs):
        for way, sampler in WAYS.items():
            took, prints[way] = run(sampler, film, given.interval, given.threads)
            seconds[way].append(took)
    times = keyframe_times(film, max_pixels=MAX_PIXELS)
    info = probe(film, max_pixels=MAX_PIXELS)
    parts = segments(Interval(given.interval), info, times, length=120.0)
    for workers in (1, 2, 4):
        took, prints[f"{workers} workers"] = in_parts(workers, film, given.interval, parts)
        seconds[f"{workers} workers"] = [took]
    base = median(seconds["everything"])
    truth = prints["everything"]
    print(
        f"{name}: {info.duration:.0f} s, {info.width} x {info.height}, {len(times)} keyframes, {len(parts)} parts"
    )
    for way, taken in seconds.items():
        exact = int(np.sum([a == b for a, b in zip(prints[way], truth, strict=False)]))
        took = median(taken)
        print(
            f"  {way:16} {took.clock:7.2f} s {base.clock / took.clock:6.2f} x  {took.cores:7.2f} s of cores"
            f" {base.cores / took.cores:6.2f} x  {exact} of {len(truth)} exact"
        )


def median(taken: list[Took]) -> Took:
    return Took(*(statistics.median(seconds) for seconds in zip(*taken, strict=True)))


if __name__ == "__main__":
    main()
