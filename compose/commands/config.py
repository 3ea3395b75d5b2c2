"""``faces config``: the settings in force, and where each comes from."""

import os
import sys
from typing import Any

import msgspec

from compose.arguments import Commands, output_options
from compose.terminal import print_json
from schemas import config_file
from schemas.redaction import redact
from schemas.settings import Settings, given

SECRET = "(hidden)"  # noqa: S105
SECRETS = frozenset(("FACES_WEBHOOK_SECRET",))


class Setting(msgspec.Struct, frozen=True):
    """A setting.

    Attributes:
        origin: ``environment``, path of the configuration file, or ``default``.
    """

    name: str
    value: Any
    origin: str


def register(commands: Commands) -> None:
    """Adds ``faces config``."""
    parser = commands.add_parser(
        "config", help="print the settings in force, and where each comes from", parents=[output_options()]
    )
    parser.set_defaults(run=run)


def run(as_json: bool) -> int:
    """Prints the settings, as JSON or as lines of a configuration file; returns the exit status."""
    settings, found = Settings.from_env(), given(os.environ)
    rows = [
        Setting(
            field.encode_name,
            _shown(field.encode_name, getattr(settings, field.name)),
            found[field.encode_name].origin if field.encode_name in found else "default",
        )
        for field in msgspec.structs.fields(Settings)
    ]
    if as_json:
        print_json(rows)
        return 0
    file = config_file.locate(os.environ)
    sys.stdout.write(f"# configuration file: {file or f'none (~/.config/{config_file.NAME})'}\n")
    sys.stdout.write("# Lines with # are defaults, or hold a secret that is not shown.\n")
    for row in rows:
        hidden = row.origin == "default" or SECRET in str(row.value) or "***" in str(row.value)
        value = (
            "" if row.value is None else msgspec.json.encode(row.value).decode()
        )  # JSON values are TOML values
        sys.stdout.write(f"{'# ' if hidden else ''}{row.name} = {value}".ljust(50) + f"  # {row.origin}\n")
    return 0


def _shown(name: str, value: Any) -> Any:
    if name in SECRETS and value:
        return SECRET
    return redact(value) if isinstance(value, str) else value
