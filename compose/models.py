"""``faces models list | fetch | verify``."""

import sys

from rich.console import Console
from rich.table import Table

from models import fetch
from schemas.settings import Settings, SettingsError


def run(action: str, pack: str | None) -> int:
    """The exit status: 0 when what was asked for is there and whole."""
    try:
        settings = Settings.from_env()
        return {"list": _list, "fetch": _fetch, "verify": _verify}[action](pack or settings.pack, settings)
    except (SettingsError, fetch.ModelsUnavailable) as error:
        sys.stderr.write(f"faces models {action}: {error}\n")
        return 1


def _list(_: str, settings: Settings) -> int:
    table = Table(caption=f"in {settings.models_path}")
    for name in ("pack", "role", "file", "MB", "state", "source", "licence"):
        table.add_column(name, justify="right" if name == "MB" else "left", overflow="fold")
    for row in fetch.list_models(settings.models_path):
        size = f"{row.size / 1e6:.1f}" if row.size else ""
        table.add_row(row.pack, row.role, row.file, size, row.state, row.source, row.licence)
    Console().print(table)
    return 0


def _fetch(pack: str, settings: Settings) -> int:
    directory = fetch.fetch(pack, settings.models_path)
    sys.stdout.write(f"{pack} is in {directory}\n")
    return 0


def _verify(pack: str, settings: Settings) -> int:
    problems = fetch.verify(pack, settings.models_path)
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    sys.stdout.write(f"{pack}: {'damaged' if problems else 'whole'}\n")
    return 1 if problems else 0
