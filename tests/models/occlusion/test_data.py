"""The training data of the occlusion classifier."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from facecore.align import imagenet_sample
from models.occlusion.data import CLEAN, Epoch, augmented, load, normalised, read_folder, read_mafa, repeated
from models.occlusion.occluders import DECOYS, OCCLUDERS, decoy, occlude
from models.occlusion.painting import Image
from models.occlusion.transplants import with_part_of


def face(side: int = 96) -> Image:
    """A picture with something in it everywhere."""
    rng = np.random.default_rng(4)
    small = rng.integers(60, 200, (8, 8, 3), np.uint8)
    return np.asarray(cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC), np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("clean/a.jpg", "clean/b.png", "occluded/hand_1.jpg", "occluded/mask_1.jpg"):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        assert cv2.imwrite(str(file), face())
    (tmp_path / "clean" / "notes.txt").write_text("not a picture")
    return tmp_path


def test_a_folder_is_read_with_its_types(folder: Path) -> None:
    crops = read_folder(folder)
    assert [(crop.file.name, crop.kind, crop.occluded) for crop in crops] == [
        ("a.jpg", CLEAN, False),
        ("b.png", CLEAN, False),
        ("hand_1.jpg", "hand", True),
        ("mask_1.jpg", "mask", True),
    ]


def test_a_folder_without_a_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected clean"):
        read_folder(tmp_path)


def test_mafa_is_read_as_published(tmp_path: Path) -> None:
    """Two faces in the test file of which one is invalid, one that is cut by the picture's edge in the other."""
    cv2.imwrite(str(tmp_path / "1.jpg"), face(200))
    row = np.zeros((1, 18))
    row[0, :5], row[0, 9] = (50, 60, 40, 80, 1), 3
    invalid, clean = row.copy(), row.copy()
    invalid[0, 4], clean[0, 4] = 3, 2
    label = np.array([(["1.jpg"], np.vstack([row, invalid, clean]))], dtype=[("name", "O"), ("label", "O")])
    savemat(tmp_path / "LabelTestAll.mat", {"LabelTest": label})
    body, unmasked = read_mafa(tmp_path / "LabelTestAll.mat", tmp_path)
    assert (body.kind, unmasked.kind) == ("body", CLEAN)
    assert body.box == (16, 46, 109), "a square of 1.36 times the longer side around the middle of the box"
    assert load(body).shape == (224, 224, 3)
    savemat(tmp_path / "other.mat", {"something": 1})
    with pytest.raises(ValueError, match="not a label file of MAFA"):
        read_mafa(tmp_path / "other.mat", tmp_path)


def test_preprocessing_equals_that_of_the_service() -> None:
    image = face(224)
    assert np.allclose(normalised(image[None])[0], imagenet_sample(image), atol=1e-5)


@pytest.mark.parametrize("kind", OCCLUDERS)
def test_an_occluder_covers_the_face_and_is_reproducible(kind: str) -> None:
    painter, _ = OCCLUDERS[kind]
    image = face()
    for seed in range(20):
        covered = painter(image, np.random.default_rng(seed))
        assert np.array_equal(covered, painter(image, np.random.default_rng(seed)))
        assert covered.shape == image.shape and covered.dtype == np.uint8
        middle = np.abs(covered.astype(int) - image)[24:84, 20:76].max(axis=2) > 25
        assert middle.mean() > 0.04, f"seed {seed} hides too little"


def test_every_kind_of_occluder_and_decoy_is_drawn() -> None:
    rng, image = np.random.default_rng(0), face()
    assert {occlude(image, rng)[1] for _ in range(200)} == set(OCCLUDERS)
    assert len({decoy(image, rng).tobytes() for _ in range(60)}) > len(set(DECOYS))


def test_an_epoch_depends_on_its_seed_alone(folder: Path) -> None:
    crops = read_folder(folder)
    images = [load(crop, 64) for crop in crops]
    one, same, other = (Epoch(crops, images, 48, 40, 1, epoch) for epoch in (0, 0, 1))
    labels = [one[i][1] for i in range(len(one))]
    assert 0.4 < np.mean(labels) < 0.65, "both classes about equally often"
    for i in range(0, len(one), 7):
        assert np.array_equal(one[i][0], same[i][0]) and one[i][0].shape == (3, 48, 48)
    assert any(not np.array_equal(one[i][0], other[i][0]) for i in range(8))


def test_a_part_of_another_crop_covers_its_half_and_leaves_the_other() -> None:
    dark, bright = np.full((96, 96, 3), 40, np.uint8), np.full((96, 96, 3), 220, np.uint8)
    for seed in range(20):
        for kind, covered, free in (("hand", 0.75, 0.1), ("sunglasses", 0.42, 0.95)):
            mixed = with_part_of(dark, bright, kind, np.random.default_rng(seed))
            assert mixed[round(covered * 96), 48].min() > 60, (kind, seed)
            assert np.array_equal(mixed[round(free * 96), 48], dark[0, 0]), (kind, seed)


def test_difficult_clean_crops_are_drawn_more_often() -> None:
    assert repeated([0, 2, 3], np.array([0.9, 1.0, 0.01, 0.34])) == [0, 0, 0, 0, 2, 3, 3, 3]


def test_augmenting_keeps_shape_and_range() -> None:
    rng = np.random.default_rng(2)
    assert all(augmented(face(), rng).shape == (96, 96, 3) for _ in range(100))
