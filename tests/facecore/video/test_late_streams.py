"""Films in which another stream begins in the middle, as in recordings of television."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from facecore.video import Interval, open_source

SECONDS, SOUND_FROM = 10, 6


def write_film(path: Path) -> None:
    """Writes an FLV file whose sound begins after six seconds, and which its header does not announce."""
    with av.open(str(path), "w", format="flv") as container:
        video = container.add_stream("flv1", rate=25)
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        sound = container.add_stream("adpcm_swf", rate=44100, layout="mono")
        for number in range(SECONDS * 25):
            picture = np.full((64, 64, 3), number, np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture)))
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.int16), "s16", "mono")
        silence.sample_rate, silence.pts, silence.time_base = 44100, SOUND_FROM * 44100, Fraction(1, 44100)
        container.mux(video.encode(None))
        container.mux(sound.encode(silence))
    data = bytearray(path.read_bytes())
    data[4] = 1  # flags of the header: pictures alone
    path.write_bytes(data)


def test_a_sound_track_that_begins_late_costs_nothing(tmp_path: Path) -> None:
    write_film(tmp_path / "film.flv")
    source = open_source(tmp_path / "film.flv", Interval(1.0), max_pixels=10**6)
    assert len(list(source)) == SECONDS
    source.close()
