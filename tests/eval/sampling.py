"""Measures sampling of files against a full decode: `python -m tests.eval.sampling FILE… [--interval 2]`.

One row a file: the strategy that its structure allowed, frames decoded for each one that is used (all of them where
everything is decoded), and how many samples show the very picture that an independent decode of the whole file shows
at that moment. Ends with 1 when a sample does not.
"""

import argparse
import logging
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import structlog

from facecore.video import Interval, open_source
from facecore.video.keyframes import keyframe_times
from facecore.video.picture import to_image
from tests.inputs import run_command, video_file

PIXELS = 10**8
COLUMNS = "{:32} {:>10} {:>10} {:>7} {:>7} {:>8} {:>8} {:>7}  {}"


def every_frame(path: Path) -> tuple[list[tuple[Fraction, av.VideoFrame]], Fraction, Fraction | None]:
    """Presentation time in s and frame, in order of time; when the stream starts; the shape of its pixels."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        frames = list(container.decode(stream))
        assert stream.time_base is not None
        start = (stream.start_time or 0) * stream.time_base
        rate, aspect = stream.average_rate, stream.sample_aspect_ratio
    if path.suffix == ".avi":  # no presentation times: the order in which frames are shown is their time
        assert rate is not None
        return [(start + Fraction(i) / rate, frame) for i, frame in enumerate(frames)], start, aspect
    timed = [
        (frame.pts * frame.time_base, frame) for frame in frames if frame.pts is not None and frame.time_base
    ]
    timed.sort(key=lambda entry: entry[0])
    if (
        path.suffix in (".mkv", ".webm") and timed
    ):  # FFmpeg states when the first frame begins that has a decoding time
        start = min(start, timed[0][0])
    return timed, start, aspect


def row(path: Path, interval: Fraction) -> tuple[str, bool]:
    frames, start, aspect = every_frame(path)
    exact = count = 0
    used = set()
    with closing(open_source(path, Interval(float(interval)), max_pixels=PIXELS)) as source:
        for sample in source:
            t = start + interval * sample.index
            number = max((n for n, (time, _) in enumerate(frames) if time <= t), default=0)
            used.add(number)
            count += 1
            exact += np.array_equal(sample.image, to_image(frames[number][1], aspect, source.info.codec))
        decoded, warnings = source.tally.decoded, source.warnings
    keys = len(keyframe_times(path, max_pixels=PIXELS, info=source.info))
    line = COLUMNS.format(
        path.name, source.info.codec, source.strategy, len(frames), keys,
        decoded, f"{decoded / max(1, len(used)):.1f}", f"{exact}/{count}", "; ".join(warnings),
    )  # fmt: skip
    return line, exact == count


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=video_file)
    parser.add_argument("--interval", type=Fraction, default=Fraction(2))
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    heads = ("file", "codec", "strategy", "frames", "keys", "decoded", "per used", "exact", "warnings")
    print(COLUMNS.format(*heads))
    good = True
    for path in given.files:
        line, exact = row(path, given.interval)
        print(line, flush=True)
        good = good and exact
    return not good


if __name__ == "__main__":
    run_command(main)
