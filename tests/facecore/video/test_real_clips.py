"""On real films the sampled frames equal those of an independent full decode."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from facecore.video import Interval, open_source
from facecore.video.picture import to_image
from tests.eval.sampling import every_frame
from tests.material import SHARED_DATA

CLIPS = sorted((SHARED_DATA / "videos").glob("*.*")) if (SHARED_DATA / "videos").is_dir() else []


@pytest.mark.parametrize("path", CLIPS or [None], ids=lambda path: path.name if path else "none")
def test_samples_are_what_a_full_decode_shows(path: Path | None, shared_data: Path) -> None:
    assert path is not None
    frames, start, aspect = every_frame(path)
    for interval in (Fraction(2), Fraction(1, 2), Fraction(7, 100)):
        source = open_source(path, Interval(float(interval)), max_pixels=10**8, threads=2)
        count = 0
        for sample in source:
            t = start + interval * sample.index
            shown = [frame for time, frame in frames if time <= t] or [frames[0][1]]
            assert np.array_equal(sample.image, to_image(shown[-1], aspect, source.info.codec)), (
                sample.index,
                sample.timestamp,
            )
            count += 1
        last = frames[-1][0] - start
        assert last / interval < count <= last / interval + 2
        assert count == source.expected
        assert source.warnings == []
        assert source.strategy == ("sequential" if path.suffix == ".avi" else "selective")
