"""``faces models list | fetch | verify``: the model packs on this machine."""

import sys
from itertools import groupby

from compose.arguments import Commands, output_options
from compose.terminal import print_json
from schemas.settings import Settings


def register(commands: Commands) -> None:
    """Adds ``faces models`` and its actions."""
    models = commands.add_parser("models", help="list, fetch or verify model packs on this machine")
    actions = models.add_subparsers(required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="list known and installed packs", parents=[output_options()])
    listing.set_defaults(run=list_models)
    for action, run, text in (
        ("fetch", install, "download and install a pack"),
        ("verify", verify, "check the files of a pack against their hashes"),
    ):
        parser = actions.add_parser(action, help=text, parents=[output_options()])
        parser.add_argument("pack", nargs="?", help="default: the pack of INSIGHTFACE_MODEL")
        parser.set_defaults(run=run)


def list_models(as_json: bool) -> int:
    """Prints one line a file under its pack, without wrapping; returns the exit status."""
    from rich.console import Console

    from models import fetch

    directory = Settings.from_env().models_path
    if as_json:
        print_json(fetch.list_models(directory))
        return 0
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"in {directory}")
    for pack, group in groupby(fetch.list_models(directory), key=lambda row: row.pack):
        rows = list(group)
        console.print(f"\n[bold]{pack}[/bold]  {' · '.join(dict.fromkeys(row.licence for row in rows))}")
        for row in rows:
            size = f"{row.size / 1e6:.1f} MB" if row.size else ""
            console.print(
                f"  {row.state:<8} {row.role:<11} {row.file:<26} {size:>8}  {row.source}", markup=False
            )
    return 0


def install(pack: str | None, as_json: bool) -> int:
    """Installs a pack; returns the exit status."""
    from models import fetch

    settings = Settings.from_env()
    name = pack or settings.pack
    directory = fetch.fetch(name, settings.models_path)
    if as_json:
        print_json({"pack": name, "directory": str(directory)})
    else:
        sys.stdout.write(f"{name} is in {directory}\n")
    return 0


def verify(pack: str | None, as_json: bool) -> int:
    """Checks a pack, prints its problems.

    Returns:
        Exit status: 0 when it is complete and undamaged.
    """
    from models import fetch

    settings = Settings.from_env()
    name = pack or settings.pack
    problems = fetch.verify(name, settings.models_path)
    if as_json:
        print_json({"pack": name, "problems": problems})
    else:
        for problem in problems:
            sys.stderr.write(f"{problem}\n")
        sys.stdout.write(f"{name}: {'not usable as it is' if problems else fetch.soundness(name)}\n")
    return 1 if problems else 0
