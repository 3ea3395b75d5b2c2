"""Makes long films by repeating short ones."""

from pathlib import Path

import av


def loop_film(source: Path, out: Path, *, seconds: float) -> None:
    """The film again and again until it is at least so long, without decoding it."""
    with av.open(str(out), "w") as target:
        stream, offset, length = None, 0, 0.0
        while length < seconds:
            with av.open(str(source)) as container:
                video = container.streams.video[0]
                stream = stream or target.add_stream_from_template(video)
                base, end, last = video.time_base, offset, offset
                for packet in container.demux(video):
                    if not packet.size:
                        continue
                    dts = (
                        last if packet.dts is None else packet.dts + offset
                    )  # Matroska leaves the first ones out
                    packet.pts, packet.dts = (packet.pts or 0) + offset, max(dts, last)
                    last, end = packet.dts + 1, max(end, packet.pts + (packet.duration or 0))
                    packet.stream = stream
                    target.mux(packet)
                offset = max(end, last)
                length = float(offset * base)
