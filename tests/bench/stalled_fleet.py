"""Measures how long commands hold the server while a fleet with a million pending entries has stalled.

    python -m tests.bench.stalled_fleet [--entries 1000000] [--workers 4] [--seconds 20]

A hundred workers read all entries and died. `calls_ms` is the server's processor time of single calls, median and
longest: elapsed time would count, on a busy machine, when the server has no core. Then workers drain the stream, and,
in the same run, one of entries that nobody has read.
"""

import argparse
import asyncio
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import structlog
from redis.asyncio import Redis

from consumers.runtime import scripts
from consumers.runtime.connection import ensure_group
from consumers.runtime.leases import RENEWALS_PER_CALL
from consumers.runtime.recovery import CLAIMS_PER_CALL, ENTRIES_PER_SCAN
from consumers.runtime.scripts import Owner
from consumers.runtime.stage import Completion
from consumers.runtime.worker import Worker
from schemas.store import lua
from schemas.store.connection import connect
from tests.bench.measure import machine, report
from tests.bench.streams import GROUP, STREAM, Idle, fill
from tests.consumers.runtime.servers import Server, binary

DEAD_WORKERS = 100
LEASE, LONG_LEASE, SHORT_LEASE = 3.0, 3600.0, 0.5
REPEATS = 40


class Processor:
    """The processor time of the server."""

    def __init__(self, pid: int) -> None:
        self._file = Path(f"/proc/{pid}/schedstat")

    def ms(self) -> float:
        return int(self._file.read_text().split()[0]) / 1e6

    async def of(self, call: Callable[[], Awaitable[object]]) -> float:
        await asyncio.sleep(0.01)  # the server waits, and its time has been added up
        before = self.ms()
        await call()
        await asyncio.sleep(0.01)
        return self.ms() - before


async def read_by_the_dead(redis: Redis, entries: int) -> list[str]:
    """Reads all entries; returns those of the last worker, which renews and completes them."""
    share, ids = entries // DEAD_WORKERS, list[str]()
    for number in range(DEAD_WORKERS):
        ids.clear()
        for start in range(0, share, 1000):
            reply: Any = await redis.xreadgroup(
                GROUP, f"w-{number}", {STREAM: ">"}, count=min(1000, share - start)
            )
            ids += [entry.decode() for entry, _ in reply[0][1]]
    return ids


async def calls(redis: Redis, processor: Processor, ids: list[str]) -> dict[str, Any]:
    """Measures the calls of the runtime one by one, while all entries are pending."""
    last = Owner(STREAM, GROUP, f"w-{DEAD_WORKERS - 1}")
    heir, scan, cursor = Owner(STREAM, GROUP, "heir"), "{b}:scan", b"-"
    run, limits = partial(lua.run, redis), {"suspect_deliveries": 3, "max_suspects": 1}

    async def claim(lease: float, limit: int) -> None:
        nonlocal cursor
        cursor, *_ = await run(
            scripts.claim_expired(heir, scan, lease, cursor, limit, max_scanned=ENTRIES_PER_SCAN, **limits)
        )

    measured: dict[str, Callable[[int], Awaitable[object]]] = {
        "PING": lambda _: redis.ping(),
        "look for expired leases, none": lambda _: claim(LONG_LEASE, 8),
        "claim 8": lambda _: claim(SHORT_LEASE, 8),
        f"claim {CLAIMS_PER_CALL}": lambda _: claim(SHORT_LEASE, CLAIMS_PER_CALL),
        f"renew {RENEWALS_PER_CALL}": lambda _: run(scripts.renew(last, ids[-RENEWALS_PER_CALL:])),
        "complete": lambda n: run(scripts.complete(last, ids[n], Completion())),
        "release 64": lambda n: run(scripts.release(last, "nobody", 60.0, ids[100 + 64 * n : 164 + 64 * n])),
        "remove idle consumers": lambda _: run(scripts.remove_idle(heir, 60.0)),
        "XPENDING": lambda _: redis.xpending(STREAM, GROUP),
        "XINFO GROUPS": lambda _: redis.xinfo_groups(STREAM),
    }
    found = {}
    for name, call in measured.items():
        await call(REPEATS)  # sends the script
        taken = [await processor.of(partial(call, n)) for n in range(REPEATS)]
        found[name] = [round(statistics.median(taken), 2), round(max(taken), 2)]
    return found


async def drained(
    url: str, redis: Redis, workers: int, seconds: float, processor: Processor
) -> dict[str, Any]:
    """Lets workers run for a while."""
    stop = asyncio.Event()
    before, used, began = int(await redis.xlen(STREAM)), processor.ms(), time.perf_counter()
    running = [
        asyncio.create_task(Worker(url, Idle(4), consumer=f"heir-{n}", lease=LEASE).run(stop))
        for n in range(workers)
    ]
    while time.perf_counter() - began < seconds and await redis.xlen(STREAM):
        await asyncio.sleep(0.1)
    done, elapsed = before - int(await redis.xlen(STREAM)), time.perf_counter() - began
    stop.set()
    await asyncio.gather(*running)
    spent = processor.ms() - used
    return {
        "messages_per_second": round(done / elapsed),
        "server_processor_us_per_message": round(1000 * spent / max(1, done), 1),
    }


async def measure(entries: int, workers: int, seconds: float, folder: Path) -> dict[str, Any]:
    server = Server(binary("valkey", folder), folder / "server")
    server.start()
    try:
        async with connect(server.url) as redis:
            processor = Processor(int(cast("Any", await redis.info("server"))["process_id"]))
            await ensure_group(redis, STREAM, GROUP)
            await fill(redis, entries)
            ids = await read_by_the_dead(redis, entries)
            single = await calls(redis, processor, ids)
            await redis.delete("{b}:scan")
            stalled = await drained(server.url, redis, workers, seconds, processor)
            await redis.flushall()
            await ensure_group(redis, STREAM, GROUP)
            await fill(redis, entries)
            fresh = await drained(server.url, redis, workers, seconds, processor)
            return {"calls_ms": single, "stalled": stalled, "nobody_has_read": fresh}
    finally:
        server.stop()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=20.0)
    given = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    where = machine()
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(measure(given.entries, given.workers, given.seconds, Path(folder)))
    report({"entries": given.entries, "workers": given.workers, **found}, where)
    return 0


if __name__ == "__main__":
    sys.exit(main())
