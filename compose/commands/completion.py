"""``faces completion``: prints the script that lets a shell complete the command line."""

import sys

from compose.arguments import Commands, verbose_option


def register(commands: Commands) -> None:
    """Adds ``faces completion``."""
    parser = commands.add_parser(
        "completion",
        parents=[verbose_option()],
        help="print a shell's completion script: eval it, or save it where the shell looks",
    )
    parser.add_argument("shell", choices=("bash", "zsh", "fish"))
    parser.set_defaults(run=run)


def run(shell: str) -> int:
    """Prints the script; returns the exit status."""
    from argcomplete.shell_integration import shellcode

    sys.stdout.write(shellcode(["faces"], shell=shell))
    return 0
