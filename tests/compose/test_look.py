"""Faces in a terminal, on a pseudo terminal that answers as kitty, as xterm with sixels, as others, or not at all."""

import fcntl
import io
import json
import os
import pty
import re
import select
import subprocess
import sys
import termios
from base64 import b64decode, b64encode
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from compose.look import QUESTION, SIDE_PIXELS

PEOPLE = 6
XTERM, SIXEL = b"\x1b[?1;2c", b"\x1b[?62;4;22c"
KITTY = b"\x1b_Gi=31;OK\x1b\\\x1b[?62;c"
REFUSING = b"\x1b_Gi=31;ENOTSUPPORTED:no\x1b\\" + XTERM


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report page of people, each a square of another grey."""
    people = [{"picture": f"data:image/jpeg;base64,{grey(40 * number)}"} for number in range(PEOPLE)]
    page = tmp_path_factory.mktemp("page") / "people.html"
    page.write_text(f'<script type="application/json" id="data">{json.dumps([{"people": people}])}</script>')
    return page


def grey(value: int) -> str:
    return b64encode(cv2.imencode(".jpg", np.full((200, 200, 3), value, np.uint8))[1].tobytes()).decode()


def shown(page: Path, says: bytes, **environment: str) -> bytes:
    """What is written to a terminal that answers the question so."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (40, 100))
    own = {
        name: value
        for name, value in os.environ.items()
        if name not in ("TMUX", "STY", "TERM_PROGRAM", "LC_TERMINAL")
    }
    with subprocess.Popen(
        [sys.executable, "-m", "compose.look", str(page)],
        stdin=slave, stdout=slave, stderr=slave, env={**own, "TERM": "xterm-256color", **environment},
        start_new_session=True, preexec_fn=lambda: fcntl.ioctl(slave, termios.TIOCSCTTY, 0),
    ) as process:  # fmt: skip
        os.close(slave)
        said, asked = b"", False
        while process.poll() is None or select.select([master], [], [], 0)[0]:
            if select.select([master], [], [], 0.05)[0]:
                try:
                    said += os.read(master, 65536)
                except OSError:  # closed at the other end
                    break
            if not asked and QUESTION in said:
                asked = True
                os.write(master, says)
    os.close(master)
    assert process.returncode == 0, said
    return said.replace(QUESTION, b"")


def squares(picture: Image.Image) -> list[int]:
    assert picture.size == (PEOPLE * SIDE_PIXELS, SIDE_PIXELS)
    pixels = np.asarray(picture.convert("L"))
    return [int(pixels[SIDE_PIXELS // 2, SIDE_PIXELS * number + 50]) for number in range(PEOPLE)]


def unsixel(text: str) -> Image.Image:
    """Decodes sixels as far as they are written here."""
    width, height = map(int, re.search(r'"1;1;(\d+);(\d+)', text).groups())  # type: ignore[union-attr]
    colours = {
        int(n): [int(v) * 255 // 100 for v in rgb.split(";")]
        for n, rgb in re.findall(r"#(\d+);2;(\d+;\d+;\d+)", text)
    }
    picture = np.zeros((height + 5, width, 3), np.uint8)
    body = re.sub(r"#\d+;2;\d+;\d+;\d+", "", text[text.index('"') :]).partition("#")[2]
    for band, line in enumerate(f"#{body}".split("-")[:-1]):
        for colour, columns in re.findall(r"#(\d+)([?-~]+)\$", line):
            for x, column in enumerate(columns):
                for bit in range(6):
                    if (ord(column) - 63) >> bit & 1:
                        picture[6 * band + bit, x] = colours[int(colour)]
    return Image.fromarray(picture[:height])


def test_six_faces_are_shown_in_the_way_of_the_terminal(page: Path) -> None:
    said = shown(page, KITTY)
    chunks = re.findall(rb"\x1b_G([^;]*);([^\x1b]*)\x1b\\", said)
    assert b"a=T,f=100" in chunks[0][0] and [head[-3:] for head, _ in chunks] == [b"m=1"] * (
        len(chunks) - 1
    ) + [b"m=0"]
    greys = squares(Image.open(io.BytesIO(b64decode(b"".join(data for _, data in chunks)))))
    assert np.allclose(greys, [40 * number for number in range(PEOPLE)], atol=3)
    (image,) = re.findall(
        rb"\x1b\]1337;File=inline=1;[^:]*:([^\x07]*)\x07", shown(page, b"", TERM_PROGRAM="iTerm.app")
    )
    assert squares(Image.open(io.BytesIO(b64decode(image)))) == greys
    (sixels,) = re.findall(rb"\x1bPq(.*?)\x1b\\", shown(page, SIXEL), re.DOTALL)
    assert np.allclose(squares(unsixel(sixels.decode())), greys, atol=4)


@pytest.mark.parametrize(
    ("says", "environment"),
    [(XTERM, {}), (REFUSING, {}), (b"", {}), (KITTY, {"TMUX": "/tmp/tmux"}), (KITTY, {"TERM": "dumb"})],
    ids=["no pictures", "kitty without them", "silent", "in tmux", "dumb"],
)
def test_other_terminals_get_nothing(page: Path, says: bytes, environment: dict[str, str]) -> None:
    assert shown(page, says, **environment) == b""
