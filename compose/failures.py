"""Reports errors that a command does not handle: as one sentence, or as a traceback with ``--verbose``."""

import os
import sys
from types import TracebackType

OURS = frozenset(("compose", "consumers", "facecore", "models", "redis", "schemas"))
"""Packages whose error texts are sentences; other errors are reported with their type."""

NO_SERVICE = "no faces up runs here: start it, name its directory with --data, or a server with REDIS_URL"
"""What to do where no server answers and none was named."""


class Failures:
    """An exception hook (`sys.excepthook`); the exit status stays 1.

    Args:
        command: printed before the sentence.
        verbose: print the traceback instead.
    """

    def __init__(self, command: str, verbose: bool) -> None:
        self._command = command
        self._verbose = verbose

    def __call__(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        """Reports the error; an interrupt and a closed output pipe (``faces … | head``) silently."""
        if issubclass(kind, BrokenPipeError):  # the interpreter must not write to the pipe at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        elif self._verbose:
            sys.__excepthook__(kind, error, trace)
        elif not issubclass(kind, KeyboardInterrupt):
            sys.stderr.write(f"faces {self._command}: {sentence(error)}\n")


def sentence(error: BaseException, place: object = "") -> str:
    """The error as one sentence, without a traceback.

    Args:
        place: what an error of the system is about where it names no file itself, as when a disk is full.
    """
    kind, text = type(error), str(error)
    if isinstance(error, OSError) and error.strerror and error.errno:
        text = f"{error.filename or place or kind.__name__}: {error.strerror.lower()}"
    if (
        kind.__module__.startswith("redis")
        and kind.__name__ == "ConnectionError"
        and not os.environ.get("REDIS_URL")
    ):
        return f"{text} ({NO_SERVICE})"
    if isinstance(error, OSError) or kind.__module__.partition(".")[0] in OURS:
        return text or kind.__name__
    return f"{kind.__name__}: {text} (an error in this program; --verbose shows where)"
