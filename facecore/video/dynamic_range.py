"""Converts decoded frames and pictures to BGR of standard dynamic range; maps the tones of PQ and HLG.

Transfer functions: PQ (SMPTE ST 2084), HLG (ARIB STD-B67), as in ITU-R BT.2100. Their code numbers, taken for those
of a standard film, give a flat, grey picture.
"""

from functools import cache
from typing import cast

import av
import cv2
import numpy as np
from numpy.typing import NDArray

PQ, HLG, BT2020 = 16, 18, 9
"""Transfer characteristics and primaries (ITU-T H.273)."""
CODE_BITS = 12
"""Precision of the code numbers that are looked up."""
HLG_PEAK_NITS, HLG_GAMMA = 1000.0, 1.2
"""Peak of the nominal display of HLG in cd/m², and the system gamma for it (ITU-R BT.2100)."""
MIN_WHITE_NITS, MAX_WHITE_NITS = 100.0, 1000.0
"""Bounds of white in cd/m². It is 203 in ITU-R BT.2408, and between these in films; brighter is highlight."""
WHITE_QUANTILE = 0.98
"""Share of the pixels up to white; highlights are small."""
PEAK_QUANTILE = 0.999
"""Share of the pixels up to the peak of a frame, so that a few sparks do not set it."""
KNEE = 0.8
"""Share of white up to which tones stay as they are; above, highlights are compressed."""
DISPLAY_GAMMA = 2.4
"""Gamma of a display of standard dynamic range (ITU-R BT.1886)."""
BT2020_TO_BT709 = np.array(
    [[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349], [-0.018151, -0.100579, 1.118730]],
    np.float32,
)
"""Linear RGB of ITU-R BT.2020 to that of BT.709 (ITU-R BT.2087)."""
LUMINANCE = np.array([[0.2627, 0.6780, 0.0593]], np.float32)
"""Weights of linear RGB of ITU-R BT.2020 in the luminance."""
SUBSAMPLING = 8
"""Every so many lines and columns are looked at for the peak."""


def to_bgr(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """Converts a frame to BGR, 8 bit."""
    if frame.color_trc not in (PQ, HLG):
        return cast("NDArray[np.uint8]", frame.to_ndarray(format="bgr24", threads=1))
    codes = cast("NDArray[np.uint16]", frame.to_ndarray(format="rgb48le", threads=1))
    return in_standard_range(codes, frame.color_primaries, frame.color_trc)


def in_standard_range(codes: NDArray[np.uint16], primaries: int, transfer: int) -> NDArray[np.uint8]:
    """Converts a picture in RGB, 16 bit, of PQ or HLG to BGR, 8 bit."""
    light = _light(codes, transfer)
    if primaries == BT2020:
        light = cast("NDArray[np.float32]", cv2.transform(light, BT2020_TO_BT709))
    light = _compressed(np.maximum(light, 0))
    shown = np.power(np.clip(light, 0, 1), 1 / DISPLAY_GAMMA, dtype=np.float32)
    return np.ascontiguousarray((shown[:, :, ::-1] * 255 + 0.5).astype(np.uint8))


def _light(codes: NDArray[np.uint16], transfer: int) -> NDArray[np.float32]:
    """Returns the linear light of the display in cd/m², RGB."""
    light: NDArray[np.float32] = _table(transfer)[codes >> (16 - CODE_BITS)]
    if transfer == HLG:
        luminance = cv2.transform(light, LUMINANCE)[:, :, None] / HLG_PEAK_NITS
        return cast("NDArray[np.float32]", light * np.power(luminance, HLG_GAMMA - 1, dtype=np.float32))
    return light


@cache
def _table(transfer: int) -> NDArray[np.float32]:
    """Returns the light of each code number: of the display for PQ, of the scene for HLG, both in cd/m²."""
    code = np.arange(1 << CODE_BITS) / ((1 << CODE_BITS) - 1)
    if transfer == PQ:
        power = code ** (1 / 78.84375)
        light = 10_000 * (np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (
            1 / 0.1593017578125
        )
    else:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = HLG_PEAK_NITS * np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
    return cast("NDArray[np.float32]", light.astype(np.float32))


def _compressed(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns light as a share of white, with highlights compressed to at most 1 (the curve of Reinhard et al. 2002
    above a knee, on the largest component, so that hues stay)."""
    largest = light[::SUBSAMPLING, ::SUBSAMPLING].max(axis=2)
    bright, peak = (float(value) for value in np.quantile(largest, (WHITE_QUANTILE, PEAK_QUANTILE)))
    white = min(max(bright, MIN_WHITE_NITS), MAX_WHITE_NITS)
    light = light / np.float32(white)
    if peak <= white:
        return light
    largest = light.max(axis=2, keepdims=True)
    over = np.maximum(largest - KNEE, 0) / (1 - KNEE)
    limit = (peak / white - KNEE) / (1 - KNEE)
    mapped = np.where(over > 0, KNEE + (1 - KNEE) * over * (1 + over / limit**2) / (1 + over), largest)
    return cast("NDArray[np.float32]", light * (mapped / np.maximum(largest, 1e-6)).astype(np.float32))
