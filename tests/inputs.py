"""Inputs of the commands in tests.eval and tests.bench: what is missing, empty or another kind is said in a sentence.

The types of arguments check what can be seen at once. What turns out later, such as that no photograph shows a face,
is raised as `Unusable`; `run_command` ends the command with the text.
"""

import json
import sys
from argparse import ArgumentTypeError
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import cv2
import numpy as np
from numpy.typing import NDArray

from facecore.align import Image
from facecore.video.errors import SourceError
from facecore.video.properties import probe

MAX_PIXELS = 10**9
LEAST_FEATURES = 2
"""People of a file of features."""


class Unusable(Exception):
    """There is nothing to measure; the text says why, and what is expected."""


def run_command(main: Callable[[], object]) -> NoReturn:
    """Runs a command; ends with its status, or with the text about an input that cannot be used."""
    try:
        sys.exit(main())  # type: ignore[arg-type]
    except (Unusable, ArgumentTypeError, SourceError, OSError) as error:
        sys.exit(f"{Path(sys.argv[0]).stem}: {error}")


def video_file(text: str) -> Path:
    """A film or picture that can be read."""
    try:
        probe(Path(text), max_pixels=MAX_PIXELS)
    except SourceError as error:
        raise ArgumentTypeError(str(error)) from error
    return Path(text)


def there(text: str) -> Path:
    """A file or folder that exists and is not empty."""
    path = Path(text)
    if not path.exists():
        raise ArgumentTypeError(f"There is nothing at {text}.")
    if not (any(path.iterdir()) if path.is_dir() else path.stat().st_size):
        raise ArgumentTypeError(f"{text} is empty.")
    return path


def people_folder(text: str) -> Path:
    """A folder with a folder of photographs for each person."""
    path = there(text)
    if not any(file.is_file() for file in path.glob("*/*")):
        raise ArgumentTypeError(f"{text} has no photographs; expected PERSON/PHOTOGRAPH in it.")
    return path


def data_folder(text: str) -> Path:
    """A folder of test data: films with the people in them, photographs by person."""
    path = there(text)
    missing = [name for name in ("videos", "images", "FACES_640.json") if not (path / name).exists()]
    if missing:
        raise ArgumentTypeError(f"{text} has no {', '.join(missing)}; expected a folder of test data.")
    return path


def features(text: str) -> Path:
    """A file of embeddings of photographs and the names of their people (NumPy's .npz)."""
    path = there(text)
    try:
        with np.load(path, allow_pickle=False) as stored:
            people = {str(name).rpartition("_")[0] for name in stored["names"]}
            fits = len(stored["names"]) == len(stored["embeddings"])
    except (ValueError, KeyError, TypeError, IndexError, OSError) as error:
        raise ArgumentTypeError(f"{text} is no .npz file with embeddings and names.") from error
    if not fits or len(people) < LEAST_FEATURES:
        raise ArgumentTypeError(f"{text} has no embeddings with the names of several people.")
    return path


def labels(text: str) -> Path:
    """A file of labels: JSON with an entry for each video."""
    path = there(text)
    try:
        found = json.loads(path.read_text())
    except (ValueError, OSError) as error:
        raise ArgumentTypeError(f"{text} is no JSON.") from error
    if not isinstance(found, dict) or not found:
        raise ArgumentTypeError(f"{text} has no labels; expected an entry for each video.")
    return path


def picture(file: Path) -> Image:
    """Reads a photograph."""
    image = cv2.imread(str(file))
    if image is None:
        raise Unusable(f"{file} is no picture that can be read.")
    return np.asarray(image, np.uint8)


def require_pairs(people: Sequence[str], where: Path) -> None:
    """Raises Unusable unless photographs are of at least two people, and two of one of them."""
    counts = Counter(people)
    if len(counts) < 2 or max(counts.values()) < 2:
        raise Unusable(
            f"Faces were found in {len(people)} photographs of {len(counts)} people in {where}; expected at least two"
            " people, one of them in two photographs."
        )


def require(found: Sequence[Any] | NDArray[Any], what: str) -> None:
    """Raises Unusable with this text when nothing was found."""
    if not len(found):
        raise Unusable(what)
