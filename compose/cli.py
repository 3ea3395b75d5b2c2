"""The ``faces`` command."""

import argparse
import inspect
import io
import os
import sys
from importlib.metadata import version

from compose.commands import (
    analyze,
    completion,
    dead,
    doctor,
    jobs,
    keys,
    library,
    migrate,
    models,
    people,
    plan,
    up,
)
from compose.failures import Failures

COMMANDS = (up, analyze, people, library, jobs, dead, keys, plan, doctor, migrate, models, completion)
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
    parameters = inspect.signature(arguments.run).parameters
    status: int = arguments.run(**{name: getattr(arguments, name) for name in parameters})
    return status


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands. Each leaf sets ``run``, whose parameters are names of its arguments."""
    parser = argparse.ArgumentParser(prog="faces", description="Finds the people in videos.")
    parser.add_argument("--version", action="version", version=f"faces {version('faces')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    for command in COMMANDS:
        command.register(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
