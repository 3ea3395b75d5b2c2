"""Recognises audio files by their first bytes."""

KINDS = {
    b"ID3": "MP3",
    b"\xff\xfb": "MP3",
    b"\xff\xf3": "MP3",
    b"\xff\xf2": "MP3",
    b"\xff\xf1": "AAC",
    b"\xff\xf9": "AAC",
    b"fLaC": "FLAC",
    b"\x0bw": "AC-3",
    b"#!AMR": "AMR",
    b"caff": "CAF",
    b"MThd": "MIDI",
    b"MAC ": "Monkey's Audio",
    b"wvpk": "WavPack",
    b".snd": "AU",
}
"""First bytes of audio files, and the name of the format."""
KINDS_IN_CHUNKS = {(b"RIFF", b"WAVE"): "WAV", (b"FORM", b"AIFF"): "AIFF", (b"FORM", b"AIFC"): "AIFF"}
"""The same, for the first four bytes and those from the ninth on."""


def audio_kind(head: bytes) -> str | None:
    """Returns the audio format of a file with these first bytes; None: it is no audio file that is known."""
    chunk = KINDS_IN_CHUNKS.get((head[:4], head[8:12]))
    return chunk or next((name for start, name in KINDS.items() if head.startswith(start)), None)
