"""Reads the packets of one stream of a file."""

from collections.abc import Iterator

from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from facecore.stopping import stoppable


def packets_of(container: InputContainer, stream: VideoStream) -> "Iterator[Packet[VideoStream]]":
    """Yields the packets of a stream, then an empty one that drains its decoder, until the work is to stop.

    PyAV is not asked for more after that: where another stream began in the middle of the file, as in a recording of
    television, it raises IndexError.
    """
    for packet in stoppable(container.demux(stream)):
        yield packet
        if not packet.size and packet.pts is None and packet.dts is None and packet.pos is None:
            return
