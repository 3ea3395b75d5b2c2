"""Bodies that schemathesis cannot make itself: bytes of an upload. Imported by schemathesis."""

import schemathesis  # type: ignore[import-not-found]  # in an environment of its own
from hypothesis import strategies

schemathesis.openapi.media_type("application/offset+octet-stream", strategies.binary(max_size=1000))
