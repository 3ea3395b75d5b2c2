"""Lists the licences of all dependencies, from their metadata, and of model weights, from the catalog.

    python -m tests.licences > compose/LICENCES.md

A test compares the file with the output.
"""

import sys
from collections.abc import Iterator
from importlib.metadata import metadata
from pathlib import Path

from packaging.requirements import Requirement

from models import catalog

REQUIREMENTS = Path(__file__).parents[1] / "requirements"
LINUX = {
    "python_full_version": "3.12.0", "python_version": "3.12", "sys_platform": "linux", "platform_system": "Linux"
}  # fmt: skip
UNSTATED = {
    "insightface": "MIT",  # in its README; https://github.com/deepinsight/insightface
    "onnxruntime-gpu": "MIT License",  # as onnxruntime, which is built from the same source
    "scikit-image": "BSD-3-Clause",  # the field holds the text of several licences
    "scipy": "BSD-3-Clause",
}
"""Where the metadata say nothing, or too much for a table."""


def main() -> int:
    sys.stdout.write(page())
    return 0


def page() -> str:
    lines = [
        "# Licences",
        "",
        "Faces itself: MIT. This list is written by `python -m tests.licences > compose/LICENCES.md`.",
        "",
        "## Dependencies",
        "",
        "Packages of `requirements/cpu.txt` and `requirements/gpu.txt` on Linux.",
        "",
        "| Distribution | Licence |",
        "|---|---|",
        *(f"| {name} | {licence_of(name)} |" for name in sorted({*locked("cpu"), *locked("gpu")})),
        "",
        "## Model weights",
        "",
        "| Pack | File | Source | Licence |",
        "|---|---|---|---|",
        "| all | occlusion_resnet18.onnx | this repository, `models/occlusion/` | MIT |",
        *(
            f"| {model.pack} | {model.file} | {model.source} | {model.licence} |"
            for pack in catalog.PACKS
            for model in catalog.files_of(pack)
        ),
        "",
    ]
    return "\n".join(lines)


def locked(extra: str) -> Iterator[str]:
    """Returns the distributions that the locked requirements of an extra install on Linux."""
    for line in (REQUIREMENTS / f"{extra}.txt").read_text().splitlines():
        if line and not line.startswith((" ", "#")):
            requirement = Requirement(line.rstrip("\\ "))
            if requirement.marker is None or requirement.marker.evaluate(LINUX):
                yield requirement.name


def licence_of(name: str) -> str:
    """Returns the licence in a distribution's metadata, the newest field first."""
    if name in UNSTATED:
        return UNSTATED[name]
    if name.startswith("nvidia-"):  # CUDA and cuDNN, which the gpu extra alone installs
        return "LicenseRef-NVIDIA-Proprietary"
    fields = metadata(name)
    classifiers = [
        text.rpartition(" :: ")[2]
        for text in fields.get_all("Classifier") or []
        if text.startswith("License ::")
    ]
    text = fields.get("License-Expression") or fields.get("License") or ", ".join(classifiers)
    if not text or "\n" in text:
        text = ", ".join(classifiers)
    if not text:
        raise LookupError(f"{name} states no licence: look it up and add it to UNSTATED")
    return text


if __name__ == "__main__":
    sys.exit(main())
