"""Options and argument types that several commands share."""

import argparse
import math
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
"""What a command adds its parser to."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors name the nearest command or option, and the help of the command at fault."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Refuses unknown options where they stand, with the usage of that command."""
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown:
            known = self._option_string_actions
            near = [get_close_matches(text.partition("=")[0], known, n=1) for text in unknown]
            hint = "".join(f"; did you mean {match[0]}?" for match in near[:1] if match)
            self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        return parsed, unknown

    def error(self, message: str) -> NoReturn:
        """Prints usage, the error and where the help is; exits with 2."""
        if wrong := re.search(r"invalid choice: '(.*)' \(choose from (.*?)\)$", message):
            names = re.findall(r"[\w-]+", wrong[2])
            if near := get_close_matches(wrong[1], names, n=1):
                message += f"; did you mean {near[0]}?"
        self.print_usage(sys.stderr)
        self.exit(2, f"{self.prog}: error: {message}\n{self.prog} --help explains the options.\n")


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


def service_options() -> argparse.ArgumentParser:
    """Parent parser of commands that ask a service: ``--data``, ``--json`` and ``--verbose``."""
    return argparse.ArgumentParser(add_help=False, parents=[output_options(), data_option()])


def count(text: str) -> int:
    """Argument type: a whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def number(low: float, high: float) -> Callable[[str], float]:
    """Argument type: a number of a range."""

    def parsed(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {low:,g} to {high:,g}")
        return value

    return parsed


def to_type(command: str, data: Path | None = None) -> str:
    """A command of this program as a person can type it here: by the path by which this one was called, where no PATH
    leads to it, and for the data directory that was named."""
    called, found = Path(sys.argv[0]), shutil.which("faces")
    unknown = called.name == "faces" and not (found and called.exists() and called.samefile(found))
    command = f"{shlex.quote(str(called)) if unknown else 'faces'} {command}"
    return command if data is None else f"{command} --data {shlex.quote(str(data))}"


DEFAULT_LIBRARY = "home"
"""The library of `faces up` and `faces analyze`, where FACES_LIBRARY names none."""


def data_option() -> argparse.ArgumentParser:
    """Parent parser with ``--data``, the data directory of `faces up`; None where it is not given."""
    parent = argparse.ArgumentParser(add_help=False)
    parent.add_argument(
        "--data", type=Path, metavar="DIR",
        help="data directory of faces up (default: that of FACES_DATA, else ~/.local/share/faces)",
    )  # fmt: skip
    return parent
