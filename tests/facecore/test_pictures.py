"""The same person is found in every picture format: upright, in true colours, with the same embedding."""

import struct
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageCms

from consumers.additions import THUMBNAIL_PIXELS
from facecore.align import Image
from facecore.analyzer import Analyzer, FrameInput
from facecore.contact_sheet import thumbnail
from facecore.library.pictures import embed
from facecore.vectors import cosine, from_bytes, unit
from facecore.video import SourceError
from facecore.video.images import decode, decoding_bytes, encode, picture_size
from tests.facecore.conftest import Look

ROOT = Path(__file__).resolve().parents[2]


def astronaut() -> Image:
    from skimage.data import astronaut

    return np.ascontiguousarray(astronaut())  # type: ignore[no-untyped-call]


COLLINS = Pillow.fromarray(astronaut()).resize((512, 512), box=(97, 0, 353, 256))
GREY = np.asarray(COLLINS.convert("L"))


def test_a_picture_in_a_library_gives_nearly_the_embedding_of_the_photograph(analyzer: Analyzer) -> None:
    (frame,) = analyzer.analyze([FrameInput(0, 0.0, decode(saved("PNG")), None)])
    (face,) = frame.faces
    kept = thumbnail(encode(analyzer.portrait(decode(saved("PNG")), face), 90), THUMBNAIL_PIXELS)
    nobody = encode(np.zeros((128, 128, 3), np.uint8), 90)
    (seen,) = embed(analyzer, {"job/none": nobody, "job/face_0": kept, "job/broken": b"no picture"})
    assert seen.face_id == "job/face_0" and cosine(seen.prototype, face.embedding) > 0.85


def saved(form: str, picture: Pillow.Image = COLLINS, **options: Any) -> bytes:
    data = BytesIO()
    picture.save(data, form, **options)
    return data.getvalue()


def lying(orientation: int, form: str, **options: Any) -> bytes:
    """Stored so that this EXIF orientation shows it upright."""
    p = np.asarray(COLLINS)
    stored = {3: p[::-1, ::-1], 5: p.transpose(1, 0, 2), 6: np.rot90(p, 1), 8: np.rot90(p, -1)}[orientation]
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    return saved(form, Pillow.fromarray(np.ascontiguousarray(stored)), exif=exif.tobytes(), **options)


def on_glass() -> Pillow.Image:
    """Her head and shoulders; the rest is transparent black."""
    pixels = np.array(COLLINS.convert("RGBA"))
    rows, columns = np.mgrid[:512, :512]
    pixels[(columns - 256) ** 2 + (rows - 250) ** 2 > 250**2] = 0
    return Pillow.fromarray(pixels)


def profile(*primaries: tuple[float, float, float]) -> bytes:
    """An ICC profile with these red, green and blue (XYZ, D50) and a gamma of 2.2."""

    def fixed(*values: float) -> bytes:
        return struct.pack(f">{len(values)}i", *(round(v * 65536) for v in values))

    curve = b"curv\0\0\0\0" + struct.pack(">IHxx", 1, round(2.2 * 256))
    tags = {b"wtpt": b"XYZ \0\0\0\0" + fixed(0.9642, 1, 0.8249), b"cprt": b"text\0\0\0\0free\0\0\0\0"}
    tags[b"desc"] = b"desc\0\0\0\0" + struct.pack(">I", 4) + b"abc\0" + bytes(80)
    for name, color in zip("rgb", primaries, strict=True):
        tags[f"{name}XYZ".encode()] = b"XYZ \0\0\0\0" + fixed(*color)
        tags[f"{name}TRC".encode()] = curve
    table, body = b"", b""
    for name_, data in tags.items():
        table += name_ + struct.pack(">II", 132 + 12 * len(tags) + len(body), len(data))
        body += data
    head = struct.pack(">I4xI12s12x4s", 132 + len(table + body), 0x02400000, b"mntrRGB XYZ ", b"acsp")
    head += bytes(28) + fixed(0.9642, 1, 0.8249)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


DISPLAY_P3 = profile((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841))
SWAPPED = profile((0.1431, 0.0606, 0.7141), (0.3851, 0.7169, 0.0971), (0.4361, 0.2225, 0.0139))


def profiled(form: str, icc: bytes, **options: Any) -> bytes:
    source = ImageCms.createProfile("sRGB")
    target = ImageCms.ImageCmsProfile(BytesIO(icc))
    picture = ImageCms.profileToProfile(COLLINS, source, target, outputMode="RGB")
    assert picture is not None
    return saved(form, picture, icc_profile=icc, **options)


def sixteen_bits(pixels: Image, extension: str) -> bytes:
    return cv2.imencode(extension, pixels.astype(np.uint16) * 257)[1].tobytes()


def heic(orientation: int) -> bytes:
    pytest.importorskip("pillow_heif", reason="HEIC is in the extra heic").register_heif_opener()
    return lying(orientation, "HEIF", quality=95)


BGR = np.asarray(COLLINS)[:, :, ::-1]
PICTURES = {
    "AVIF turned by irot": lambda: lying(6, "AVIF", quality=97),
    "AVIF turned and mirrored": lambda: lying(5, "AVIF", quality=97),
    "HEIC turned by irot": lambda: heic(6),
    "HEIC turned and mirrored": lambda: heic(5),
    "MPO, turned by EXIF": lambda: lying(
        8, "MPO", save_all=True, append_images=[Pillow.new("RGB", (512, 512))], quality=95
    ),
    "TIFF": lambda: saved("TIFF", compression="tiff_lzw"),
    "TIFF, 16 bit": lambda: sixteen_bits(BGR, ".tiff"),
    "TIFF, CMYK": lambda: saved("TIFF", COLLINS.convert("CMYK")),
    "TIFF, turned by EXIF": lambda: lying(6, "TIFF"),
    "transparent PNG": lambda: saved("PNG", on_glass()),
    "transparent PNG, 16 bit": lambda: sixteen_bits(np.asarray(on_glass())[:, :, [2, 1, 0, 3]], ".png"),
    "transparent WebP": lambda: saved("WEBP", on_glass(), lossless=True),
    "transparent AVIF": lambda: saved("AVIF", on_glass(), quality=97),
    "PNG, 16 bit": lambda: sixteen_bits(BGR, ".png"),
    "PNG, turned by EXIF": lambda: lying(6, "PNG"),
    "WebP, turned by EXIF": lambda: lying(6, "WEBP", lossless=True),
    "JPEG, CMYK": lambda: saved("JPEG", COLLINS.convert("CMYK"), quality=95),
    "JPEG, turned by EXIF": lambda: lying(3, "JPEG", quality=95),
    "JPEG in Display P3": lambda: profiled("JPEG", DISPLAY_P3, quality=100, subsampling=0),
    "JPEG with swapped primaries": lambda: profiled("JPEG", SWAPPED, quality=100, subsampling=0),
    "PNG with swapped primaries": lambda: profiled("PNG", SWAPPED),
    "AVIF with swapped primaries": lambda: profiled("AVIF", SWAPPED, quality=97),
}
FROM_FEW_COLOURS = {
    "PNG, grey, 16 bit": lambda: sixteen_bits(GREY, ".png"),
    "TIFF, grey, 16 bit": lambda: sixteen_bits(GREY, ".tiff"),
    "JPEG, grey": lambda: cv2.imencode(".jpg", GREY, [cv2.IMWRITE_JPEG_QUALITY, 97])[1].tobytes(),
    "PNG, palette": lambda: saved("PNG", COLLINS.quantize(256)),
    "GIF": lambda: saved("GIF"),
}


@pytest.fixture(scope="module")
def plain(look: Look) -> tuple[np.ndarray, tuple[float, ...]]:
    [face] = look(decode(saved("PNG"))).faces
    return unit(from_bytes([face.embedding]))[0], face.box


@pytest.mark.parametrize("name", PICTURES | FROM_FEW_COLOURS)
def test_the_same_face_is_found_in_every_format(
    look: Look, plain: tuple[np.ndarray, tuple[float, ...]], name: str
) -> None:
    encoded = (PICTURES | FROM_FEW_COLOURS)[name]()
    image = decode(encoded)
    assert image.shape == (512, 512, 3)
    assert picture_size(encoded, 10**6) == (512, 512)
    assert image.nbytes <= decoding_bytes(encoded)
    [face] = look(image).faces
    assert face.box == pytest.approx(plain[1], abs=8), "upright and in its place"
    similar = float(unit(from_bytes([face.embedding]))[0] @ plain[0])
    assert similar >= (0.99 if name in PICTURES else 0.97), "grey and 256 colours lose something of the face"


def test_transparent_parts_are_white() -> None:
    for form in ("PNG", "WEBP", "AVIF", "TIFF"):
        assert decode(saved(form, on_glass()))[-1, -1].min() >= 250


def test_colours_are_those_of_srgb() -> None:
    for form, options in {"PNG": {}, "WEBP": {"lossless": True}, "TIFF": {}}.items():
        for icc in (DISPLAY_P3, SWAPPED):
            assert np.abs(decode(profiled(form, icc, **options)).astype(int) - BGR).mean() < 1
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for icc in (srgb, b"no profile", DISPLAY_P3[:200]):
        assert np.array_equal(decode(saved("PNG", icc_profile=icc)), BGR), (
            "usual and damaged profiles change nothing"
        )
        jpeg = saved("JPEG", icc_profile=icc)
        assert np.array_equal(decode(jpeg), cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR))


@pytest.mark.parametrize(("head", "reason"), [
    (b"\xff\x0a", "JPEG XL pictures are not supported"), (b"\0\0\0\x0cjP  ", "JPEG 2000 pictures are not supported"),
    (b"8BPS", "Photoshop pictures are not supported"), (b"II*\0\x10\0\0\0CR\2\0", "not a JPEG"),
    (saved("TIFF", Pillow.fromarray(GREY.astype(np.float32))), "TIFF pictures with 32 bits a channel"),
    (saved("TIFF", tiffinfo={50706: b"\1\4\0\0"}), "Camera raw pictures are not supported"),
    (saved("TIFF")[:1000], "TIFF picture cannot be decoded"),
    (saved("AVIF")[:2000], "AVIF picture cannot be decoded"),
])  # fmt: skip
def test_what_cannot_be_shown_is_named(head: bytes, reason: str) -> None:
    with pytest.raises(SourceError, match=reason):
        decode(head.ljust(64, b"\0"))


def test_pictures_of_users_are_decoded_by_one_function() -> None:
    decoders = ("cv2.imdecode(", "cv2.imread(", "Pillow.open(", "open_heif(")
    found = {
        str(file.relative_to(ROOT))
        for room in ("api", "consumers", "facecore", "schemas")
        for file in (ROOT / room).rglob("*.py")
        if any(decoder in file.read_text() for decoder in decoders)
    }
    assert found == {"facecore/video/images.py", "facecore/video/pillow_decoder.py"}


def test_the_size_of_a_picture_is_that_of_the_upright_one() -> None:
    wide = Pillow.fromarray(np.zeros((40, 100, 3), np.uint8))
    exif = Pillow.Exif()
    exif[0x0112] = 6
    for form in ("JPEG", "PNG", "WEBP", "AVIF", "TIFF"):
        assert picture_size(saved(form, wide, exif=exif.tobytes()), 10**6) == (40, 100)
    assert picture_size(encode(np.zeros((40, 100, 3), np.uint8), 90), 10**6) == (100, 40)
