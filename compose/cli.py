"""The ``faces`` command."""

import argparse
import inspect
import io
import os
import sys
from typing import Any

from compose.arguments import Parser
from compose.commands import (
    analyze,
    completion,
    config,
    dead,
    doctor,
    down,
    jobs,
    keys,
    library,
    mcp,
    migrate,
    models,
    people,
    plan,
    status,
    up,
)  # fmt: skip
from compose.failures import Failures

COMMANDS = (
    up,
    status,
    down,
    analyze,
    people,
    library,
    mcp,
    jobs,
    dead,
    keys,
    plan,
    doctor,
    config,
    migrate,
    models,
    completion,
)
"""In the order of ``faces --help``. Their modules import nothing slow before they run: completion loads them all."""


def main() -> int:
    """Parses the command line and runs the command; returns the exit status."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(
            errors="backslashreplace"
        )  # as standard error: names of files are in any script
    parser = build_parser()
    if "_ARGCOMPLETE" in os.environ:  # set by a shell that asks for completions
        import argcomplete

        argcomplete.autocomplete(parser)
    arguments = parser.parse_args()
    sys.excepthook = Failures(arguments.command, arguments.verbose)
    if arguments.command in (
        "people",
        "library",
    ):  # they work as a stage does; standard output is for answers
        from schemas.logs import configure_logs
        from schemas.settings import Settings

        configure_logs(Settings(log_level="WARNING", log_format="console"))
    parameters = inspect.signature(arguments.run).parameters
    status: int = arguments.run(**{name: getattr(arguments, name) for name in parameters})
    return status


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands. Each leaf sets ``run``, whose parameters are names of its arguments."""
    parser = Parser(prog="faces", description="Finds the people in videos.")
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and its commit")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    for command in COMMANDS:
        command.register(commands)
    return parser


class _Version(argparse.Action):
    """Prints the version; read only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from compose.version import described

        parser.exit(0, f"faces {described()}\n")


if __name__ == "__main__":
    sys.exit(main())
