"""``faces library list | rebuild | reembed | delete``: libraries of people across films."""

import asyncio
import secrets
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from compose.arguments import DEFAULT_LIBRARY, Commands, service_options
from compose.failures import sentence
from compose.terminal import print_json, print_table
from schemas.library import NewVector
from schemas.library_records import Erasure
from schemas.settings import Settings

if TYPE_CHECKING:
    from compose.local_library import LocalLibrary


def register(commands: Commands) -> None:
    """Adds ``faces library`` and its actions."""
    library = commands.add_parser(
        "library", help="list, rebuild, embed anew or delete libraries of people across films"
    )
    actions = library.add_subparsers(required=True, metavar="ACTION")
    parents = [service_options()]
    listed = actions.add_parser("list", help="list libraries", parents=parents)
    listed.set_defaults(run=run, action="list", names=[])
    for action, text in (
        ("rebuild", "replay the log, and correct what readers see"),
        ("reembed", "embed faces of another model pack anew, from their pictures"),
        ("delete", "erase libraries, with the jobs of their films"),
    ):
        parser = actions.add_parser(action, help=text, parents=parents)
        parser.add_argument("names", nargs="+", metavar="NAME")
        parser.set_defaults(run=run, action=action)


def run(action: str, names: list[str], data: Path | None, as_json: bool) -> int:
    """Applies the action to each library; returns the exit status."""
    from redis.exceptions import RedisError

    from compose.supervisor import ProcessFailed
    from facecore.errors import DeviceUnavailable
    from models.fetch import ModelsUnavailable
    from schemas.settings import SettingsError

    try:
        return asyncio.run(_run(action, names, data, as_json))
    except BrokenPipeError:  # `… | head`
        raise
    except (SettingsError, ProcessFailed, ModelsUnavailable, DeviceUnavailable, RedisError, OSError) as error:
        sys.stderr.write(f"faces library {action}: {sentence(error, data or 'the data directory')}\n")
        return 1


async def _run(action: str, names: list[str], data: Path | None, as_json: bool) -> int:
    from compose.local_library import local_library, user_name

    failed = False
    async with local_library(Settings.from_env(), DEFAULT_LIBRARY, data) as local:
        if action == "list":
            infos = [await local.reader.info(name) for name in await local.store.all()]
            if as_json:
                print_json(infos)
                return 0
            print_table(
                ("library", "created", "people", "named", "films", "faces", "corrections", "questions"),
                (
                    (one.name, one.created_at, *map(str, (one.people, one.named, one.films, one.faces,
                     one.corrections, one.suggestions)))
                    for one in infos if one is not None
                ),
            )  # fmt: skip
            return 0
        for name in names:
            local.name = name
            if await local.reader.version(name) is None:
                sys.stderr.write(f"faces library {action}: there is no library {name!r}\n")
                failed = True
            elif action == "rebuild":
                wrong = await local.rebuild()
                sys.stdout.write(
                    f"{name}: {wrong} stored values were wrong\n" if wrong else f"{name}: as it was\n"
                )
            elif action == "reembed":
                done, left = await _reembed(local)
                sys.stdout.write(f"{name}: {done} of its faces embedded anew\n")
                if left:
                    sys.stdout.write(f"{name}: {left} have no fit picture; analyse their films again\n")
            else:
                order = Erasure(correction_id=secrets.token_hex(12), by=user_name(), at=round(time.time(), 3))
                failed |= (await local.order(order)).status >= 400
    return 1 if failed else 0


async def _reembed(local: "LocalLibrary") -> tuple[int, int]:
    """Embeds the faces of other packs with the models of the settings, which are loaded when there are such faces."""
    from facecore.analyzer import Analyzer
    from facecore.library.pictures import embed

    settings, loaded = Settings.from_env(), list[Analyzer]()

    def embed_all(pictures: Mapping[str, bytes]) -> tuple[NewVector, ...]:
        if not loaded:
            threads = settings.worker_threads
            loaded.append(
                Analyzer.load(settings.pack, settings.models_path, device=settings.device, threads=threads)
            )
        return embed(loaded[0], pictures)

    try:
        return await local.reembed(embed_all, settings.pack)
    finally:
        for analyzer in loaded:
            analyzer.close()
