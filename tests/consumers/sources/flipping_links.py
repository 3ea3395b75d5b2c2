"""``python -m tests.consumers.sources.flipping_links [TRIES]``: opens paths whose links change all the time.

Another process replaces a link and a directory of the media root, so that they lead now to a file inside, now to a
file outside. Prints how often a path was opened, refused, and led outside.
"""

import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from consumers.sources.safety import open_source_file
from facecore.video import SourceError

INSIDE, OUTSIDE = b"inside", b"outside"
FLIP = """
import os, sys
root = sys.argv[1]
os.symlink(f"{root}/../outside", f"{root}/other")
while os.getppid() == int(sys.argv[2]):
    for target in (f"{root}/kept.mp4", f"{root}/../outside/film.mp4"):
        os.symlink(target, f"{root}/new")
        os.replace(f"{root}/new", f"{root}/link.mp4")
    os.rename(f"{root}/shelf", f"{root}/put-away")
    os.rename(f"{root}/other", f"{root}/shelf")
    os.rename(f"{root}/shelf", f"{root}/other")
    os.rename(f"{root}/put-away", f"{root}/shelf")
"""


@contextmanager
def flipping_media(directory: Path) -> Iterator[Path]:
    """Yields a media root with ``link.mp4``, a link that flips, and ``shelf``, a directory that flips."""
    root = directory.resolve() / "media"
    (root / "shelf").mkdir(parents=True)
    (directory / "outside").mkdir()
    (root / "kept.mp4").write_bytes(INSIDE)
    (root / "shelf" / "film.mp4").write_bytes(INSIDE)
    (directory / "outside" / "film.mp4").write_bytes(OUTSIDE)
    flipper = subprocess.Popen([sys.executable, "-c", FLIP, str(root), str(os.getpid())])
    try:
        yield root
    finally:
        flipper.kill()
        flipper.wait()


def outcomes(root: Path, tries: int) -> Counter[bytes]:
    """Opens both paths in turn; counts what was read, or the word of the refusal."""
    found: Counter[bytes] = Counter()
    for number in range(tries):
        source = root / ("link.mp4" if number % 2 else "shelf/film.mp4")
        try:
            found[open_source_file(str(source), [root]).read(100)] += 1
        except SourceError:
            found[b"refused"] += 1
    return found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary, flipping_media(Path(temporary)) as media:
        for content, count in sorted(outcomes(media, int([*sys.argv, "10000"][1])).items()):
            print(f"{content.decode()}: {count}")
