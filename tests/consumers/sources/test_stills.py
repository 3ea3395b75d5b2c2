"""Which samples count as the same picture: noise of a codec, and nothing of a face."""

from collections.abc import Iterator

import cv2
import numpy as np
from skimage.data import astronaut

from consumers.sources.stills import SAME_LEVELS, SAMPLES_PER_GROUP, encoded, group_start, is_same
from facecore.identifiability import MIN_CONTRAST
from facecore.video import SampledFrame
from facecore.video.picture import Image

FACE_PIXELS = 16


def scene(x: int, y: int, level: int = 127) -> Image:
    """A small face on grey, at the border of rows that are compared first or between them."""
    face = cv2.resize(
        astronaut()[0:210, 160:300], (FACE_PIXELS, FACE_PIXELS * 3 // 2), interpolation=cv2.INTER_AREA
    )
    picture = np.full((180, 320, 3), level, np.uint8)
    picture[y : y + face.shape[0], x : x + face.shape[1]] = face
    return picture


def test_a_small_face_that_moves_by_a_pixel_is_another_picture_and_noise_is_not() -> None:
    noise = np.random.default_rng(1).integers(0, SAME_LEVELS + 1, (180, 320, 3), np.uint8)
    for x, y in ((100, 3), (200, 64), (300, 150)):
        still = scene(x, y)
        assert is_same(still, np.where(still < 128, still + noise, still - noise))
        for dx, dy in ((1, 0), (0, 1), (-1, 0), (0, -1)):
            assert not is_same(still, scene(x + dx, y + dy))
    assert not is_same(scene(10, 10), scene(10, 10)[:, :160])


def test_no_face_that_tells_people_apart_appears_on_a_plain_ground_unseen() -> None:
    assert 2 * SAME_LEVELS < MIN_CONTRAST
    plain = np.full((180, 320, 3), 100, np.uint8)
    faint = plain + np.where(scene(100, 100) < 128, 0, np.uint8(MIN_CONTRAST))
    assert not any(is_same(faint, plain + np.uint8(level)) for level in range(int(MIN_CONTRAST) + 1))


def test_resumed_work_gives_the_samples_the_same_pictures_and_small_changes_do_not_add_up() -> None:
    pictures = [scene(100, 100, 100 + 3 * number) for number in range(40)]
    pictures[20:36] = [scene(100, 100)] * 16

    def samples(start: int) -> Iterator[SampledFrame]:
        return (
            SampledFrame(number, float(number), pictures[number]) for number in range(start, len(pictures))
        )

    whole = [picture for _, picture in encoded(samples(0), 0, lambda image: image.tobytes())]
    assert [len(set(whole[start : start + 8])) for start in (0, 24)] == [3, 1]
    assert all(
        np.abs(np.frombuffer(given, np.uint8).astype(int) - shown.ravel()).max() <= SAME_LEVELS
        for given, shown in zip(whole, pictures, strict=True)
    )
    for first in range(0, len(pictures), 5):
        assert first - group_start(first) < SAMPLES_PER_GROUP
        found = list(encoded(samples(group_start(first)), first, lambda image: image.tobytes()))
        assert [sample.index for sample, _ in found] == list(range(first, len(pictures)))
        assert [picture for _, picture in found] == whole[first:]
