"""Name of an observer: of all that decides, besides the picture itself, what the analyze stage sees in a picture."""

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path

import msgspec
import onnxruntime

from facecore.analyzer import Description
from schemas.settings import Settings

LIBRARIES = ("numpy", "opencv-python-headless", "av", "pillow")
"""Distributions, beside ONNX Runtime, whose version may change a picture or what is seen in it."""
NAME_DIGITS = 16
"""Hexadecimal digits of a name."""


def observer_of(description: Description, settings: Settings) -> str:
    """Returns the name of an observer: its models, where they run, versions of libraries, and the code."""
    seen = [description.pack, description.providers, description.models, settings.tensorrt, _code()]
    return hashlib.sha256(msgspec.json.encode(seen, order="deterministic")).hexdigest()[:NAME_DIGITS]


@cache
def _code() -> str:
    """Returns a hash of the code that samples and analyses, and of the versions of the libraries that it uses."""
    versions = [onnxruntime.__version__, *map(version, LIBRARIES)]
    digest, root = hashlib.sha256(" ".join(versions).encode()), Path(__file__).resolve().parents[1]
    for file in sorted(path for room in ("facecore", "consumers") for path in (root / room).rglob("*.py")):
        digest.update(f"\0{file.relative_to(root)}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()
