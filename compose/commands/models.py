"""``faces models list | fetch | verify``."""

import sys
from itertools import groupby
from typing import Any

import msgspec
from rich.console import Console

from models import fetch
from schemas.settings import Settings


def run(action: str, pack: str | None, as_json: bool) -> int:
    """The exit status: 0 when what was asked for is there and whole."""
    settings = Settings.from_env()
    act = {"list": _list, "fetch": _fetch, "verify": _verify}[action]
    return act(pack or settings.pack, settings, as_json)


def _list(_: str, settings: Settings, as_json: bool) -> int:
    """One line a file, under its pack; wide lines are left to the terminal."""
    if as_json:
        _say(fetch.list_models(settings.models_path))
        return 0
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"in {settings.models_path}")
    for pack, group in groupby(fetch.list_models(settings.models_path), key=lambda row: row.pack):
        rows = list(group)
        console.print(f"\n[bold]{pack}[/bold]  {' · '.join(dict.fromkeys(row.licence for row in rows))}")
        for row in rows:
            size = f"{row.size / 1e6:.1f} MB" if row.size else ""
            console.print(
                f"  {row.state:<8} {row.role:<11} {row.file:<26} {size:>8}  {row.source}", markup=False
            )
    return 0


def _fetch(pack: str, settings: Settings, as_json: bool) -> int:
    directory = fetch.fetch(pack, settings.models_path)
    if as_json:
        _say({"pack": pack, "directory": str(directory)})
    else:
        sys.stdout.write(f"{pack} is in {directory}\n")
    return 0


def _verify(pack: str, settings: Settings, as_json: bool) -> int:
    problems = fetch.verify(pack, settings.models_path)
    if as_json:
        _say({"pack": pack, "problems": problems})
        return 1 if problems else 0
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    sys.stdout.write(f"{pack}: {'damaged' if problems else 'whole'}\n")
    return 1 if problems else 0


def _say(told: Any) -> None:
    sys.stdout.write(msgspec.json.encode(told).decode() + "\n")
