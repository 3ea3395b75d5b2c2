"""What became of one frame of a job: the value under its unit in the job's outcomes."""

from typing import Literal

import msgspec


class FrameOutcome(msgspec.Struct, frozen=True, array_like=True):
    """Attributes:
    state: "analysed"; "enhanced": the improved faces count; "kept": an enhancement was due and did not happen,
        the original faces count; "failed": there are no faces to count.
    reason: why, for "kept" and "failed".
    """

    state: Literal["analysed", "enhanced", "kept", "failed"]
    reason: str = ""

    @property
    def field(self) -> str:
        """Suffix of the field in the job's faces hash that counts: what a second look found lies apart, so
        that a late repetition of the first one cannot overwrite it."""
        return "+" if self.state == "enhanced" else ""


def encode_outcome(outcome: FrameOutcome) -> bytes:
    return msgspec.msgpack.encode(outcome)


def decode_outcome(value: bytes) -> FrameOutcome:
    return msgspec.msgpack.decode(value, type=FrameOutcome)
