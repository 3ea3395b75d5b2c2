"""The frame of reference of boxes, and how other pictures of the source lie in it.

Boxes and landmarks are pixels of the picture as a player shows it: rotated and mirrored as the file asks, with square
pixels. A file may store it otherwise, and the Frame Server may send it otherwise.
"""

import msgspec


class Display(msgspec.Struct, frozen=True, kw_only=True):
    """How a picture of the Frame Server becomes the picture that a player shows.

    Attributes:
        width, height: pixels of that picture.
        turnings: that the Frame Server's pictures of this source may need, the usual one first: transpose, mirror
            left-right, flip top-bottom, in this order.
        aspect: width divided by height of the upright picture before its pixels are made square.
    """

    width: int
    height: int
    turnings: tuple[tuple[bool, bool, bool], ...]
    aspect: float


class SourcePicture(msgspec.Struct, frozen=True, kw_only=True):
    """How the file stores its pictures (an addition).

    Attributes:
        width, height: pixels as stored.
        rotation: degrees clockwise that the file asks for: 0, 90, 180 or 270.
        mirrored: whether the rotated picture is to be mirrored left-right.
        pixel_aspect: width of a stored pixel divided by its height.
    """

    width: int
    height: int
    rotation: int
    mirrored: bool
    pixel_aspect: float


class FrameServerPicture(msgspec.Struct, frozen=True, kw_only=True):
    """The Frame Server's own pictures of the source, for clients that draw or crop there (an addition).

    Attributes:
        width, height: pixels of its pictures without enhancement.
        matrix: a, b, c, d, e, f, in the order of SVG and of the canvas: the point (x, y) of this result lies at
            (a x + c y + e, b x + d y + f) there.
        measured: whether the Frame Server's picture was compared with the file's; false: it follows from how the
            Frame Server (OpenCV) reads files of this kind.
    """

    width: int
    height: int
    matrix: tuple[float, float, float, float, float, float]
    measured: bool
