"""On real films too, the sampled frames are those that an independent decode of everything shows."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from facecore.video import Interval, open_source
from facecore.video.picture import to_image
from tests.conftest import SHARED_DATA

CLIPS = sorted((SHARED_DATA / "videos").glob("*.*")) if (SHARED_DATA / "videos").is_dir() else []


def everything(path: Path) -> tuple[list[tuple[Fraction, av.VideoFrame]], Fraction, Fraction | None]:
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
    return sorted(timed, key=lambda entry: entry[0]), start, aspect


@pytest.mark.parametrize("path", CLIPS or [None], ids=lambda path: path.name if path else "none")
def test_samples_are_what_a_full_decode_shows(path: Path | None, shared_data: Path) -> None:
    assert path is not None
    frames, start, aspect = everything(path)
    for interval in (Fraction(2), Fraction(1, 2), Fraction(7, 100)):
        source = open_source(path, Interval(float(interval)), max_pixels=10**8, threads=2)
        count = 0
        for sample in source:
            t = start + interval * sample.index
            shown = [frame for time, frame in frames if time <= t] or [frames[0][1]]
            assert np.array_equal(sample.image, to_image(shown[-1], aspect)), (sample.index, sample.timestamp)
            count += 1
        last = frames[-1][0] - start
        assert last / interval < count <= last / interval + 2
        assert count == source.expected
        assert source.warnings == []
        assert source.strategy == ("sequential" if path.suffix == ".avi" else "selective")
