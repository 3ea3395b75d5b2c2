"""Labelled face crops from folders or from the MAFA data set (Ge et al. 2017), and their augmentation."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from models.occlusion.occluders import decoy, occlude
from models.occlusion.painting import Image
from models.occlusion.transplants import with_part_of

SIDE = 224
CLEAN = "clean"
IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)
"""Of RGB values 0-1."""
SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}
MAFA_MARGIN = 1.36
"""Side of the square crop in longer sides of MAFA's box; the same as in the service."""
MAFA_TYPES = {1: "simple", 2: "complex", 3: "body"}
"""MAFA's types of occluders: plain man-made objects, patterned ones, parts of the body (hands, hair)."""
MAFA_UNMASKED, MAFA_INVALID = 2, 3

CLEAN_SHARE, SYNTHETIC_SHARE = 0.36, 0.16
"""Shares of an epoch: clean crops, and clean crops with a drawn occluder."""
CLEAN_PART_SHARE, OCCLUDED_PART_SHARE = 0.07, 0.1
"""Shares of clean crops with a part of another clean crop, and of an occluded one; the rest of an epoch are
photographed occlusions."""
DIFFICULT_TIMES = 6
"""A clean crop is drawn 1 + 6 p times as often, where p is its probability of occlusion by the weights so far, up to
0.5."""
DECOYS_ON_CLEAN, DECOYS_ON_OCCLUDED = 0.3, 0.12
"""Probability of drawing an object that hides nothing; also on occluded crops, so that drawing is no sign of a
class."""
SIDEWAYS, DARK = 0.06, 0.12
"""Probability that a crop lies on its side or head, and that it is as dark as in a dim scene."""
TYPE_WEIGHTS = {"hand": 3.0, "film": 2.0}
"""A type is sampled in proportion to the square root of its count times this weight: hands are few and varied."""


@dataclass(frozen=True, slots=True)
class Crop:
    """A labelled face crop.

    Attributes:
        kind: ``clean``, or the type of the occluder.
        box: x, y and side of a square in pixels; None: the whole file.
    """

    file: Path
    kind: str
    box: tuple[int, int, int] | None = None

    @property
    def occluded(self) -> bool:
        """Returns whether the face is occluded."""
        return self.kind != CLEAN


def read_folder(directory: Path) -> list[Crop]:
    """Reads ``clean/*`` and ``occluded/<type>_*`` of a folder, sorted by name.

    Raises:
        ValueError: a class has no pictures.
    """
    crops = []
    for label in (CLEAN, "occluded"):
        files = sorted(file for file in (directory / label).glob("*") if file.suffix.lower() in SUFFIXES)
        if not files:
            raise ValueError(f"no pictures in {directory / label}: expected clean/* and occluded/<type>_*")
        crops += [Crop(file, CLEAN if label == CLEAN else _type_of(file)) for file in files]
    return crops


def read_mafa(labels: Path, images: Path) -> list[Crop]:
    """Reads MAFA's ``LabelTrainAll.mat`` or ``LabelTestAll.mat``.

    Every face of the training file is occluded, so that training on MAFA needs clean faces from another source. The
    test file also has unmasked faces, and invalid ones, which are skipped.

    Args:
        images: directory of the pictures.

    Raises:
        ValueError: the file is neither of the two.
    """
    from scipy.io import loadmat

    matrix = loadmat(str(labels))
    if "label_train" in matrix:
        rows, name, kind_at, face_type_at = matrix["label_train"][0], "imgName", 12, None
    elif "LabelTest" in matrix:
        rows, name, kind_at, face_type_at = matrix["LabelTest"][0], "name", 9, 4
    else:
        raise ValueError(f"{labels} is not a label file of MAFA: it has neither label_train nor LabelTest")
    crops = []
    for row in rows:
        file = images / str(row[name][0])
        for face in np.atleast_2d(row["label"]).astype(int):
            x, y, width, height = (int(value) for value in face[:4])
            state = None if face_type_at is None else int(face[face_type_at])
            if state == MAFA_INVALID or width <= 0 or height <= 0:
                continue
            kind = CLEAN if state == MAFA_UNMASKED else MAFA_TYPES.get(int(face[kind_at]), "unknown")
            side = round(max(width, height) * MAFA_MARGIN)
            crops.append(Crop(file, kind, (x + width // 2 - side // 2, y + height // 2 - side // 2, side)))
    return crops


def load(crop: Crop, side: int = SIDE) -> Image:
    """Loads a crop as (side, side, 3) uint8 BGR; beyond the picture its edge is repeated.

    Raises:
        ValueError: the file is not a picture.
    """
    image = cv2.imread(str(crop.file), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"cannot read {crop.file} as a picture")
    picture = np.asarray(image, np.uint8)
    if crop.box is not None:
        x, y, size = crop.box
        height, width = picture.shape[:2]
        margins = (max(0, -y), max(0, y + size - height), max(0, -x), max(0, x + size - width))
        wide = np.asarray(cv2.copyMakeBorder(picture, *margins, cv2.BORDER_REPLICATE), np.uint8)
        picture = wide[y + margins[0] : y + margins[0] + size, x + margins[2] : x + margins[2] + size]
    return resized(picture, side)


def resized(image: Image, side: int) -> Image:
    """Resizes a picture to a square; shrinking averages areas, as in the service."""
    shrinks = image.shape[0] > side and image.shape[1] > side
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (side, side), interpolation=how), np.uint8)


def normalised(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Converts (N, H, W, 3) BGR bytes to (N, 3, H, W) RGB float32, normalised for ImageNet networks."""
    rgb = images[..., ::-1].astype(np.float32) / 255
    return np.ascontiguousarray(((rgb - IMAGENET_MEAN) / IMAGENET_STD).transpose(0, 3, 1, 2))


def augmented(image: Image, rng: Generator) -> Image:
    """Augments a crop: random geometry, light and degradation, with the same distribution for both classes, so that
    sharpness, size and compression do not separate them."""
    if rng.random() < SIDEWAYS:
        image = np.ascontiguousarray(np.rot90(image, int(rng.integers(1, 4))))
    image = degraded(_relit(_moved(image, rng), rng), rng)
    if rng.random() < DARK:
        image = np.asarray(image * rng.uniform(0.15, 0.6), np.uint8)
    return image


def degraded(image: Image, rng: Generator) -> Image:
    """Degrades a crop at random: lower resolution, blur, motion blur, noise, JPEG compression."""
    side = image.shape[0]
    if rng.random() < 0.35:
        small = int(rng.uniform(0.22, 0.9) * side)
        how = (cv2.INTER_AREA, cv2.INTER_LINEAR)[int(rng.integers(2))]
        image = np.asarray(cv2.resize(image, (small, small), interpolation=how), np.uint8)
        back = (cv2.INTER_LINEAR, cv2.INTER_CUBIC)[int(rng.integers(2))]
        image = np.asarray(cv2.resize(image, (side, side), interpolation=back), np.uint8)
    if rng.random() < 0.2:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), side * rng.uniform(0.003, 0.018)), np.uint8)
    if rng.random() < 0.08:
        length = max(3, int(side * rng.uniform(0.02, 0.07)))
        kernel = np.zeros((length, length), np.float32)
        kernel[length // 2] = 1 / length
        turn = cv2.getRotationMatrix2D((length / 2 - 0.5, length / 2 - 0.5), rng.uniform(0, 180), 1.0)
        kernel = np.asarray(cv2.warpAffine(kernel, turn, (length, length)), np.float32)
        image = np.asarray(cv2.filter2D(image, -1, kernel / max(float(kernel.sum()), 1e-3)), np.uint8)
    if rng.random() < 0.15:
        noise = rng.normal(0, rng.uniform(2, 12), image.shape).astype(np.float32)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        _, coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 95))])
        image = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
    return image


def _moved(image: Image, rng: Generator) -> Image:
    """Mirrors, rotates (up to about 25°), scales by 0.85-1.25, squeezes and shifts (up to 8 %) a crop."""
    side = image.shape[0]
    if rng.random() < 0.5:
        image = image[:, ::-1]
    turn = np.radians(rng.normal(0, 9))
    scale, squeeze = rng.uniform(0.85, 1.25), rng.uniform(0.9, 1.1)
    cos, sin = np.cos(turn) * scale, np.sin(turn) * scale
    matrix = np.array([[cos * squeeze, sin], [-sin * squeeze, cos]])
    shift = side / 2 - matrix @ np.full(2, side / 2) + rng.uniform(-0.08, 0.08, 2) * side
    warp = np.column_stack([matrix, shift])
    edge = cv2.BORDER_REPLICATE if rng.random() < 0.8 else cv2.BORDER_CONSTANT
    moved = cv2.warpAffine(
        np.ascontiguousarray(image), warp, (side, side), flags=cv2.INTER_LINEAR, borderMode=edge
    )
    return np.asarray(moved, np.uint8)


def _relit(image: Image, rng: Generator) -> Image:
    """Changes brightness, contrast, gamma and colour balance; sometimes converts to grey."""
    if rng.random() < 0.1:
        image = np.repeat(
            np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)[:, :, None], 3, axis=2
        )
    level = np.arange(256, dtype=np.float32) / 255
    curve = (level ** np.exp(rng.normal(0, 0.3)) - 0.5) * rng.uniform(0.75, 1.25) + 0.5 + rng.normal(0, 0.08)
    cast = 1 + rng.normal(0, 0.07, 3)
    table = np.clip(curve[:, None] * cast * 255, 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(image, np.ascontiguousarray(table[None])), np.uint8)


@dataclass(frozen=True, slots=True)
class _Sample:
    """Crop number ``index``; with a part of crop ``partner`` over it, or with a drawn occluder."""

    index: int
    partner: int | None = None
    drawn: bool = False


class Epoch:
    """The samples of one epoch, drawn by type. A sample depends only on seed, epoch and position.

    Items are (3, side, side) uint8 RGB with the class: 0 clean, 1 occluded. Everything is drawn at the side of
    ``images`` and then shrunk, as the network shrinks its input.

    Args:
        images: the crops' pictures, in the same order.
        difficulty: a probability of occlusion for every crop, by weights trained so far. Clean crops with a high one
            are drawn more often.
    """

    def __init__(
        self,
        crops: Sequence[Crop],
        images: Sequence[Image],
        side: int,
        size: int,
        seed: int,
        epoch: int,
        difficulty: NDArray[np.float64] | None = None,
    ) -> None:
        self._crops, self._images, self._side = crops, images, side
        self._seed = (seed, epoch)
        rng = np.random.default_rng([*self._seed, 0])
        kinds: dict[str, list[int]] = {}
        for i, crop in enumerate(crops):
            kinds.setdefault(crop.kind, []).append(i)
        clean = kinds[CLEAN]
        often = clean if difficulty is None else repeated(clean, difficulty)

        def photographed(count: int, shares: dict[str, float]) -> list[int]:
            total = sum(shares.values())
            return [
                i
                for kind, share in shares.items()
                for i in _drawn(kinds[kind], round(count * share / total), rng)
            ]

        shares = {
            kind: len(found) ** 0.5 * TYPE_WEIGHTS.get(kind, 1.0)
            for kind, found in kinds.items()
            if kind != CLEAN
        }
        real = 1 - CLEAN_SHARE - CLEAN_PART_SHARE - OCCLUDED_PART_SHARE - SYNTHETIC_SHARE
        self._plan = [_Sample(i) for i in _drawn(often, round(size * CLEAN_SHARE), rng)]
        self._plan += [_Sample(i) for i in photographed(round(size * real), shares)]
        self._plan += [_Sample(i, drawn=True) for i in _drawn(clean, round(size * SYNTHETIC_SHARE), rng)]
        partners = _drawn(clean, round(size * CLEAN_PART_SHARE), rng)
        partners += photographed(round(size * OCCLUDED_PART_SHARE), shares)
        self._plan += [
            _Sample(i, partner)
            for i, partner in zip(_drawn(clean, len(partners), rng), partners, strict=True)
        ]
        rng.shuffle(self._plan)

    def __len__(self) -> int:
        return len(self._plan)

    def __getitem__(self, position: int) -> tuple[NDArray[np.uint8], int]:
        sample = self._plan[position]
        rng = np.random.default_rng([*self._seed, 1, position])
        image, crop = self._images[sample.index], self._crops[sample.index]
        occluded = sample.drawn or crop.occluded
        if sample.partner is not None:
            other = self._crops[sample.partner]
            image = with_part_of(image, self._images[sample.partner], other.kind, rng)
            occluded = other.occluded
        if sample.drawn:
            image, _ = occlude(image, rng)
        if rng.random() < (DECOYS_ON_OCCLUDED if occluded else DECOYS_ON_CLEAN):
            image = decoy(image, rng)
        image = resized(augmented(image, rng), self._side)
        return np.ascontiguousarray(image[:, :, ::-1].transpose(2, 0, 1)), int(occluded)


def _type_of(file: Path) -> str:
    return file.stem.split("_", 1)[0]


def repeated(clean: list[int], difficulty: NDArray[np.float64]) -> list[int]:
    """Returns indices of clean crops, the more difficult ones up to four times."""
    times = 1 + np.rint(DIFFICULT_TIMES * np.minimum(difficulty[clean], 0.5)).astype(int)
    return [int(i) for i in np.repeat(clean, times)]


def _drawn(indices: list[int], count: int, rng: Generator) -> list[int]:
    """Draws indices at random, each equally often up to a difference of one."""
    rounds = [rng.permutation(indices) for _ in range(-(-count // len(indices)))]
    return [int(i) for i in np.concatenate(rounds)[:count]] if rounds else []
