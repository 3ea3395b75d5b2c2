"""Frame outcomes: the values in the outcomes hash of a job, one per frame."""

from typing import Literal

import msgspec


class FrameOutcome(msgspec.Struct, frozen=True, array_like=True):
    """How the analysis of one frame ended.

    Attributes:
        state: "analysed"; "enhanced": the enhanced faces count; "kept": an enhancement was due but failed, the
            original faces count; "failed": the frame has no faces to count.
        reason: why, for "kept" and "failed".
        reused: the picture was not analysed again, since it had been before.
    """

    state: Literal["analysed", "enhanced", "kept", "failed"]
    reason: str = ""
    reused: bool = False

    @property
    def field(self) -> str:
        """Suffix of the field in the job's faces hash that counts. The enhanced faces have a field of their own, so
        that a late redelivery of the original frame cannot overwrite them."""
        return "+" if self.state == "enhanced" else ""


def encode_outcome(outcome: FrameOutcome) -> bytes:
    """Encodes an outcome as MessagePack."""
    return msgspec.msgpack.encode(outcome)


def decode_outcome(value: bytes) -> FrameOutcome:
    """Decodes an outcome from MessagePack."""
    return msgspec.msgpack.decode(value, type=FrameOutcome)
