"""The process of finalize loads the scripts of all workers: others may have no right to."""

import subprocess
import sys
from pathlib import Path

import pytest
from redis import Redis as BlockingRedis
from redis.asyncio import Redis
from redis.exceptions import NoScriptError

import schemas
from schemas.store import lua
from schemas.store.server_errors import is_unavailable, unavailable_reason

ROOM = Path(schemas.__file__).parents[1]
KNOWN_TO_FINALIZE = """
from importlib import import_module
import consumers.__main__
from schemas import topology
from schemas.names import Names
from schemas.store import lua
for stage in topology.stages(Names()):
    if topology.process_of(stage) == "finalize":
        import_module(f"consumers.stages.{stage.name}")
print(*lua._known)
"""


def test_finalize_knows_every_script() -> None:
    done = subprocess.run(
        [sys.executable, "-c", KNOWN_TO_FINALIZE], capture_output=True, text=True, check=True, timeout=120
    )
    for package in ("schemas.store", "consumers.runtime"):
        for file in ROOM.joinpath(*package.split("."), "scripts").glob("*.lua"):
            if not file.read_text().startswith("-- Prepended"):
                assert lua.load(package, file.stem).sha in done.stdout.split(), file


async def test_scripts_are_loaded_again_after_the_server_has_lost_them(valkey: str) -> None:
    script = lua.load("schemas.store", "now")
    async with Redis.from_url(valkey) as redis:
        await redis.script_flush()
        await lua.ensure_loaded(redis)
        assert await redis.script_exists(script.sha) == [True]


def test_a_script_that_nobody_has_loaded_yet_is_waited_for(valkey: str) -> None:
    with BlockingRedis.from_url(valkey) as redis, pytest.raises(NoScriptError) as missing:
        redis.evalsha("0" * 40, 0)
    assert is_unavailable(missing.value)
    assert "finalize" in (unavailable_reason(missing.value) or "")
