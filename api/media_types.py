"""Media types of films and pictures, by the signature at the beginning of the file; its name says nothing."""

SIGNATURE_BYTES = 4096
"""Bytes of a file that are looked at."""
_PREFIXES = {
    b"\xff\xd8\xff": "image/jpeg",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
    b"BM": "image/bmp",
    b"II*\x00": "image/tiff",
    b"MM\x00*": "image/tiff",
    b"OggS": "video/ogg",
    b"FLV\x01": "video/x-flv",
    b"\x00\x00\x01\xba": "video/mpeg",
    b"\x00\x00\x01\xb3": "video/mpeg",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": "video/x-ms-asf",
    b".RMF": "application/vnd.rn-realmedia",
    b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02": "application/mxf",
}
_BRANDS = {
    b"avif": "image/avif", b"avis": "image/avif", b"heic": "image/heic", b"heix": "image/heic",
    b"mif1": "image/heif", b"msf1": "image/heif", b"qt  ": "video/quicktime",
}  # fmt: skip
"""Major brands of ISO base media files; the others are video/mp4."""
_BOXES = frozenset((b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"))
"""Boxes that QuickTime files may begin with."""
_TS_PACKET_BYTES, _TS_SYNC = 188, 0x47


def media_type(head: bytes) -> str | None:
    """The media type of a film or picture; None: it is none that is known.

    Args:
        head: the first `SIGNATURE_BYTES` of the file, or all of a shorter one.
    """
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "video/mp4")
    if head[4:8] in _BOXES:
        return "video/quicktime"
    if head[:4] == b"\x1aE\xdf\xa3":
        return "video/webm" if b"webm" in head[:64] else "video/x-matroska"
    if head[:4] == b"RIFF":
        return {b"AVI ": "video/x-msvideo", b"WEBP": "image/webp"}.get(head[8:12])
    for start in (0, 4):  # M2TS puts four bytes before each packet
        step = _TS_PACKET_BYTES + start
        syncs = head[start::step][:4]
        if len(syncs) == 4 and set(syncs) == {_TS_SYNC}:
            return "video/mp2t"
    return next((type_ for prefix, type_ in _PREFIXES.items() if head.startswith(prefix)), None)
