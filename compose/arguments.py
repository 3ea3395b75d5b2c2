"""Options and argument types that several commands share."""

import argparse
import math
from pathlib import Path
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""What a command adds its parser to."""


def verbose_option() -> argparse.ArgumentParser:
    """Parent parser with ``--verbose``."""
    parent = argparse.ArgumentParser(add_help=False)
    parent.add_argument("--verbose", action="store_true", help="show the traceback of an error")
    return parent


def output_options() -> argparse.ArgumentParser:
    """Parent parser with ``--json`` and ``--verbose``."""
    parent = argparse.ArgumentParser(add_help=False, parents=[verbose_option()])
    parent.add_argument("--json", action="store_true", dest="as_json", help="print JSON")
    return parent


def positive(text: str) -> float:
    """Argument type: a finite number above 0."""
    value = float(text)
    if not (0 < value < math.inf):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


DEFAULT_LIBRARY = "home"
"""The library of `faces up` and `faces analyze`, where FACES_LIBRARY names none."""


def data_option() -> argparse.ArgumentParser:
    """Parent parser with ``--data``, the directory of the embedded server."""
    parent = argparse.ArgumentParser(add_help=False)
    parent.add_argument(
        "--data", type=Path, default=Path("~/.local/share/faces").expanduser(), metavar="DIR",
        help="data directory of the embedded server (default %(default)s); not used where REDIS_URL is set",
    )  # fmt: skip
    return parent
