"""The version of this installation, with the commit that it was built from."""

import subprocess
from importlib.metadata import version
from pathlib import Path

COMMIT = Path(__file__).with_name("commit.txt")
"""Written into wheels and source archives by setup.py; a checkout has none."""


def described() -> str:
    """Version and commit: "1.0.0 (3771474f0a1b)"."""
    commit = COMMIT.read_text().strip() if COMMIT.is_file() else _of_checkout()
    return f"{version('faces')} ({commit or 'commit unknown'})"


def _of_checkout() -> str:
    root = Path(__file__).parents[1]
    if not (root / ".git").exists():
        return ""
    try:
        command = ["git", "-C", str(root), "rev-parse", "--short=12", "HEAD"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):  # no git, or a checkout of another user
        return ""
