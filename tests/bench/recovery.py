"""Measures lease renewal during long work, and the recovery of a dead worker's entries.

    python -m tests.bench.recovery [--work 90] [--lease 10] [--queued 1000000]

Prints JSON: how often the long handler ran and was delivered while two workers read; how many entries of the dead
worker were claimed among a million queued ones, in how many calls of the script and milliseconds.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, cast

from redis.asyncio import Redis

from consumers.runtime import scripts
from consumers.runtime.connection import ensure_group
from consumers.runtime.scripts import Owner
from schemas.store import lua
from schemas.store.connection import connect
from tests.bench.measure import report
from tests.consumers.runtime.chain import log_warnings_only
from tests.consumers.runtime.servers import Server, binary
from tests.consumers.runtime.world import World
from tests.waiting import eventually_async

DEAD_WORKER_ENTRIES = 100
ENTRIES_PER_PIPELINE = 5000


async def long_work(world: World, seconds: float, lease: float) -> dict[str, Any]:
    await world.record("job", units=1)
    await world.add_unit("job", 0, f"sleep:{seconds}")
    deliveries = set()
    async with (
        world.worker("units", "one", lease=lease, max_run=seconds * 2),
        world.worker("units", "other", lease=lease, max_run=seconds * 2),
    ):
        await eventually_async(lambda: world.redis.hexists(world.keys.runs, "job/0"))
        while pending := await world.pending(world.keys.units, "units"):
            deliveries.add(pending[0]["times_delivered"])
            await asyncio.sleep(0.2)
    runs = await world.runs("job", 0)
    return {"work_s": seconds, "lease_s": lease, "runs": runs, "delivery_counts": sorted(deliveries)}


async def recovery(redis: Redis, world: World, queued: int) -> dict[str, Any]:
    stream, group = world.keys.units, "units"
    await ensure_group(redis, stream, group)
    for sent in range(0, DEAD_WORKER_ENTRIES + queued, ENTRIES_PER_PIPELINE):
        async with redis.pipeline(transaction=False) as pipe:
            for _ in range(min(ENTRIES_PER_PIPELINE, DEAD_WORKER_ENTRIES + queued - sent)):
                pipe.xadd(stream, {"json": "{}"})
            await pipe.execute()
    held = cast("list[Any]", await redis.xreadgroup(group, "dead", {stream: ">"}, count=DEAD_WORKER_ENTRIES))
    assert len(held[0][1]) == DEAD_WORKER_ENTRIES
    heir, claimed, calls, cursor = Owner(stream, group, "heir"), 0, 0, b"-"
    await asyncio.sleep(0.6)  # the lease of the dead one runs out
    began = time.perf_counter()
    while claimed < DEAD_WORKER_ENTRIES:
        cursor, entries, *_ = await lua.run(
            redis,
            scripts.claim_expired(
                heir, f"{stream}:scan", 0.5, cursor, 10, suspect_deliveries=3, max_suspects=1, max_scanned=200
            ),
        )
        claimed, calls = claimed + len(entries), calls + 1
    elapsed = (time.perf_counter() - began) * 1000
    assert await redis.xlen(stream) == DEAD_WORKER_ENTRIES + queued
    return {"queued": queued, "claimed": claimed, "calls": calls, "ms": round(elapsed, 1)}


async def measure(work: float, lease: float, queued: int, folder: Path) -> dict[str, Any]:
    server = Server(binary("valkey", folder), folder / "server")
    server.start()
    try:
        async with connect(server.url) as redis:
            world = World(server.url, redis, "{t}")
            long = await long_work(world, work, lease)
            await redis.flushall()
            return {"long_work": long, "recovery": await recovery(redis, world, queued)}
    finally:
        server.stop()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=float, default=90.0, metavar="SECONDS")
    parser.add_argument("--lease", type=float, default=10.0, metavar="SECONDS")
    parser.add_argument("--queued", type=int, default=1_000_000)
    arguments = parser.parse_args()
    log_warnings_only()
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(measure(arguments.work, arguments.lease, arguments.queued, Path(folder)))
    report(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
