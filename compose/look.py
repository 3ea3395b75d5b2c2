"""``python -m compose.look PAGE``: shows the people of a report page in the terminal, where it can show pictures.

The terminal is asked for the graphics protocol of kitty (https://sw.kovidgoyal.net/kitty/graphics-protocol) and, by
its device attributes, for sixels (https://vt100.net/docs/vt3xx-gp/chapter14.html). iTerm2 and WezTerm are known by
their environment (https://iterm2.com/documentation-images.html). Elsewhere nothing is written.
"""

import io
import json
import os
import re
import select
import sys
import termios
import time
import tty
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from facecore.contact_sheet import contact_sheet

SIDE_PIXELS, MOST_PEOPLE = 112, 10
"""Side of a portrait, and how many are shown."""
ANSWER_SECONDS = 1.0
"""Longest wait for the terminal's answer; all terminals answer the last question at once."""
QUESTION = b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[c"
"""Can you show this pixel (kitty), and what are you (primary device attributes)?"""
CHUNK_CHARACTERS = 4096
"""Base64 in one command of kitty's protocol."""
COLOURS = 255


def main() -> None:
    """Shows the pictures of the page that the first argument names."""
    if sys.stdout.isatty() and (show := way_of(os.environ, answer)) is not None:
        pictures = list(portraits(Path(sys.argv[1]).read_text()))[:MOST_PEOPLE]
        if pictures:
            picture = Image.open(io.BytesIO(contact_sheet(pictures, SIDE_PIXELS)))
            sys.stdout.write(f"{show(picture)}\n")


def portraits(page: str) -> Iterator[bytes]:
    """Yields the pictures of the people of a report page, as JPEG."""
    for data in re.findall(r'(?<=id="data">)[^<]*(?=</script>)', page):
        for job in json.loads(data):
            for person in job["people"]:
                if person["picture"]:
                    yield b64decode(person["picture"].partition(",")[2])


def way_of(environment: Mapping[str, str], ask: Callable[[], bytes]) -> Callable[[Image.Image], str] | None:
    """Returns the encoder of pictures for this terminal; None: it shows none.

    Args:
        ask: returns the terminal's answer to `QUESTION`.
    """
    if environment.get("TERM", "dumb") == "dumb" or "TMUX" in environment or "STY" in environment:
        return None  # multiplexers do not pass pictures on
    if (
        environment.get("TERM_PROGRAM") in ("iTerm.app", "WezTerm")
        or environment.get("LC_TERMINAL") == "iTerm2"
    ):
        return iterm
    said = ask()
    if b"_Gi=31;OK" in said:
        return kitty
    attributes = re.search(rb"\x1b\[\?([\d;]+)c", said)
    return sixel if attributes and b"4" in attributes[1].split(b";")[1:] else None


def answer() -> bytes:
    """Asks the terminal; returns what it says within a second."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return b""
    before, said, until = termios.tcgetattr(terminal), b"", time.monotonic() + ANSWER_SECONDS
    try:
        tty.setcbreak(terminal, termios.TCSAFLUSH)
        os.write(terminal, QUESTION)
        while not re.search(rb"\x1b\[\?[\d;]+c", said) and (left := until - time.monotonic()) > 0:
            if select.select([terminal], [], [], left)[0]:
                said += os.read(terminal, 1024)
    finally:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
        os.close(terminal)
    return said


def kitty(picture: Image.Image) -> str:
    """A picture in the graphics protocol of kitty."""
    text = b64encode(_png(picture)).decode()
    chunks = [text[start : start + CHUNK_CHARACTERS] for start in range(0, len(text), CHUNK_CHARACTERS)]
    return "".join(
        f"\x1b_G{'a=T,f=100,q=2,' if number == 0 else ''}m={int(number < len(chunks) - 1)};{chunk}\x1b\\"
        for number, chunk in enumerate(chunks)
    )


def iterm(picture: Image.Image) -> str:
    """A picture as iTerm2 takes it."""
    png = _png(picture)
    return f"\x1b]1337;File=inline=1;size={len(png)};width={picture.width}px:{b64encode(png).decode()}\x07"


def sixel(picture: Image.Image) -> str:
    """A picture as sixels: columns of six pixels, one colour after the other."""
    small = picture.convert("RGB").quantize(COLOURS)
    pixels, palette = np.asarray(small), np.asarray(small.getpalette()).reshape(-1, 3)
    lines = [f'\x1bPq"1;1;{small.width};{small.height}']
    lines += [
        f"#{index};2;" + ";".join(str(round(value * 100 / 255)) for value in colour)
        for index, colour in enumerate(palette)
    ]
    bits = 1 << np.arange(6)
    for top in range(0, small.height, 6):
        band = pixels[top : top + 6]
        for colour in np.unique(band):
            columns = ((band == colour) * bits[: len(band), None]).sum(axis=0)
            lines.append(f"#{colour}{''.join(chr(63 + column) for column in columns)}$")
        lines.append("-")
    return "".join([*lines, "\x1b\\"])


def _png(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


if __name__ == "__main__":
    main()
