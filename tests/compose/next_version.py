"""A worker as the next version may be: its messages have fields that this version does not know.

python -m tests.compose.next_version STAGE…
"""

import sys
from typing import Any

import msgspec

from schemas import envelope


class Encoder:
    """Adds a field to every envelope, and to every body."""

    def encode(self, message: Any) -> bytes:
        fields = msgspec.to_builtins(message, builtin_types=(bytes,))
        fields["tenant"] = "next"
        if isinstance(fields["body"], dict):
            fields["body"]["hint"] = {"since": "next"}
        return msgspec.msgpack.encode(fields)


envelope._encoder = Encoder()  # type: ignore[assignment]

if __name__ == "__main__":
    from consumers.__main__ import main

    sys.exit(main())
