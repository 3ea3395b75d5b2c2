"""Side data of decoded frames, such as the display matrix."""

import av
from av.sidedata.sidedata import SideDataContainer, Type

NAMED_PROFILES = frozenset({"png", "apng"})
"""Codecs whose frames may have a colour profile with a name. PyAV frees that name twice when the side data of such a
frame is looked at, which ends the process."""


def side_data(frame: av.VideoFrame, kind: Type, codec: str) -> bytes | None:
    """Returns the side data of a kind; None if the frame has none, or comes from a codec in `NAMED_PROFILES`."""
    if codec in NAMED_PROFILES:
        return None
    # `frame.side_data` would create a reference cycle that keeps the frame's pixels until the garbage collector runs,
    # and that is triggered by the number of objects, not by bytes.
    data = SideDataContainer(frame).get(kind)  # type: ignore[call-arg]  # not in its stub
    return None if data is None else bytes(data)
