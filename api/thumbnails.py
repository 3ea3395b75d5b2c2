"""Sends pictures of faces, in the width at which a page shows them."""

import asyncio
import re
from io import BytesIO

from aiohttp import hdrs, web
from PIL import Image

from api.compression import weights
from api.endpoints import Content, parameter
from api.queries import QueryError

WIDTH_PATTERN = "^[0-9]{1,4}$"
LEAST_WIDTH = 16
"""Pixels."""
WEBP_QUALITY = 60
"""0-100: a face of 128 pixels takes 1.5 kB, its JPEG of 256 pixels about 10 kB."""
BLANK = parameter("blank", "query", description="204 in place of an error, which a browser would log")
"""Parameter of the pictures and films in our pages (api.pages.browsers)."""
_NUMBER = re.compile("[0-9]{1,4}")
PICTURE = Content({"image/jpeg": None, "image/webp": None}, "JPEG; with `width`, WebP")
PARAMETERS = [
    parameter(
        "width", "query", pattern=WIDTH_PATTERN, description="Width of the picture in pixels, if it has more"
    ),
    BLANK,
]


async def send_picture(request: web.Request, jpeg: bytes, headers: dict[str, str]) -> web.Response:
    """A stored picture, made smaller where `width` asks for that and the caller takes WebP."""
    width, type_ = _width(request), "image/jpeg"
    if width is not None and weights(request.headers.get(hdrs.ACCEPT, "")).get("image/webp"):
        jpeg, type_ = await asyncio.to_thread(_smaller, jpeg, width), "image/webp"
    return web.Response(body=jpeg, content_type=type_, headers=headers | {hdrs.VARY: hdrs.ACCEPT})


def _width(request: web.Request) -> int | None:
    text = request.query.get("width")
    if text is None:
        return None
    if not _NUMBER.fullmatch(text):
        raise QueryError(
            "width", "Expected a number of pixels.", {"type": "string", "pattern": WIDTH_PATTERN}
        )
    return max(LEAST_WIDTH, int(text))


def _smaller(jpeg: bytes, width: int) -> bytes:
    with Image.open(BytesIO(jpeg)) as picture:
        picture.thumbnail((width, width), Image.Resampling.LANCZOS)
        encoded = BytesIO()
        picture.save(encoded, "WEBP", quality=WEBP_QUALITY, method=2)
    return encoded.getvalue()
