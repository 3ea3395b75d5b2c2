"""Memory of the process: whether an allocation failed because of the file, or because others use the memory."""

import re
import resource
from pathlib import Path

import cv2


def used_bytes() -> int:
    """Returns the memory that this process uses, without files and without what it only reserved, such as the stacks
    of threads; 0 where the system does not state it."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:  # another system than Linux
        return 0
    found = re.search(r"^RssAnon:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) << 10 if found else 0


def raise_if_short(error: Exception) -> None:
    """Raises MemoryError when an allocation failed while half of the memory limit of the process is in use.

    With less in use, the file asked for an absurd amount, as damaged ones do: that is an error of the file.
    """
    if isinstance(error, MemoryError) or (isinstance(error, cv2.error) and error.code == cv2.Error.StsNoMem):
        limit, _ = resource.getrlimit(resource.RLIMIT_DATA)
        if limit != resource.RLIM_INFINITY and used_bytes() > limit // 2:
            raise MemoryError(str(error)) from error
