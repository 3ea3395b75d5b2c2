"""Every file name has one spelling as text, and cannot act on a terminal."""

import os

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from schemas.file_names import printable, to_path, to_text


@given(st.binary(min_size=1, max_size=60).filter(lambda name: b"\0" not in name))
def test_every_name_survives_a_request(name: bytes) -> None:
    path = os.fsdecode(b"/" + name)
    text = msgspec.json.decode(msgspec.json.encode(to_text(path)))
    assert to_path(text) == path
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(text)) == text


def test_only_names_that_are_not_utf_8_are_spelled_as_urls() -> None:
    assert to_text("/é%41?#.mp4") == "/é%41?#.mp4"
    assert to_text(os.fsdecode(b"/caf\xe9 %.mp4")) == "file:///caf%E9%20%25.mp4"
    assert to_path("file:///etc/passwd") == "file:///etc/passwd"


def test_a_name_cannot_move_the_cursor() -> None:
    assert printable("a\nb\x1b[2J\r\u202egpj\udce9") == r"a\nb\x1b[2J\r\u202egpj\udce9"
    assert printable("日本語\u3000👩\u200d👧 é.mp4") == "日本語\u3000👩\u200d👧 é.mp4"
