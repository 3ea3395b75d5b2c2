"""Where the test data lies: real videos and photographs, which are no part of the repository."""

import os
from pathlib import Path

SHARED_DATA = Path(
    os.environ.get("FACES_TEST_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data"
)
