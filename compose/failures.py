"""How a command ends that cannot go on: with a sentence, and with the whole trace where one was asked for."""

import os
import sys
from types import TracebackType

OURS = frozenset(("compose", "consumers", "facecore", "models", "redis", "schemas"))
"""Packages whose errors are sentences for people; the type of any other error is told too."""


class Failures:
    """Takes over what is done with an error that nobody handles; the exit status stays 1.

    Args:
        command: named in front of the sentence.
        verbose: the trace instead of the sentence.
    """

    def __init__(self, command: str, verbose: bool) -> None:
        self._command = command
        self._verbose = verbose

    def __call__(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, BrokenPipeError):  # whoever read the output has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        elif self._verbose:
            sys.__excepthook__(kind, error, trace)
        elif not issubclass(kind, KeyboardInterrupt):
            sys.stderr.write(f"faces {self._command}: {sentence(error)}\n")


def sentence(error: BaseException) -> str:
    """What an error says, without its trace."""
    kind, text = type(error), str(error)
    if isinstance(error, OSError) or kind.__module__.partition(".")[0] in OURS:
        return text or kind.__name__
    return f"{kind.__name__}: {text} (an error in this program; --verbose shows where)"
