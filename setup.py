"""Builds wheel and source archive with the commit that they are made from (compose.version reads it)."""

import os
import shutil
import subprocess
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

ROOT = Path(__file__).parent
COMMIT = Path("compose", "commit.txt")


def write_commit(directory: str) -> None:
    """Writes the commit into a tree that is being built: FACES_COMMIT, that of a source archive, or git's."""
    unpacked, target = ROOT / COMMIT, Path(directory, COMMIT)
    commit = os.environ.get("FACES_COMMIT", "")
    if not commit and unpacked.is_file():
        commit = unpacked.read_text()
    elif not commit and (ROOT / ".git").exists():
        command = ["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"]
        commit = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    if commit.strip():
        target.unlink(missing_ok=True)  # a source archive may be built from links
        target.write_text(f"{commit.strip()}\n")


class Build(build_py):
    """Adds the commit to a wheel; leaves out modules of earlier builds and of the client's own distribution."""

    def run(self) -> None:
        """Builds."""
        if not self.editable_mode:
            shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()
        if not self.editable_mode:
            write_commit(self.build_lib)

    def find_package_modules(self, package: str, directory: str) -> list[tuple[str, str, str]]:
        """Returns package, name and file of each module of a package."""
        modules = super().find_package_modules(package, directory)
        return [module for module in modules if module[:2] != ("schemas.client", "backend")]


class Archive(sdist):
    """Adds the commit to a source archive."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        """Fills the tree."""
        super().make_release_tree(base_dir, files)
        write_commit(base_dir)


setup(cmdclass={"build_py": Build, "sdist": Archive})
