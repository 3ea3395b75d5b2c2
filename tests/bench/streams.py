"""Measures messages a second of the stream runtime, beside a bare redis-py loop in the same run.

    python -m tests.bench.streams

One worker, a handler that does nothing, batches of 100; FastStream and taskiq-redis are measured too if installed.
Compare the ratios: the figures themselves depend on the machine.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import structlog
import uvloop
from redis.asyncio import Redis

from consumers.runtime.connection import ensure_group
from consumers.runtime.stage import Completion, Delivery, FanIn, Outgoing
from consumers.runtime.worker import Worker
from schemas.envelope import Envelope, entry_time, open_entry, seal
from schemas.store.connection import connect
from tests.bench.measure import machine, report
from tests.bench.peers import Peer, available
from tests.consumers.runtime.chain import Unit
from tests.consumers.runtime.servers import Server, binary

BATCH = 100
STREAM, GROUP = "{b}:in", "g"
TIMED_MESSAGES = 600  # messages whose latency is measured
MESSAGES_PER_SECOND = 200  # messages/s while latency is measured


class Idle:
    """A stage that does nothing; notes when each message arrived."""

    name, stream, group, dead_stream = "bench", STREAM, GROUP, "{b}:dead"
    delay_set, scan = "{b}:delayed", "{b}:scan"
    batch_size = BATCH
    linger = 0.0
    max_run = 60.0
    max_attempts = 3
    fair = False
    downstream: Sequence[tuple[str, int]] = ()

    def __init__(self, concurrency: int, *, fan_in: bool = False) -> None:
        self.concurrency = concurrency
        self.seen: list[tuple[float, float]] = []
        self.done = 0
        then = Outgoing("{b}:end", seal("end", "job", "", Unit(0, "end")))
        self._fan_in = FanIn("{b}:record", "{b}:outcomes", then) if fan_in else None

    def decode(self, entry_id: str, fields: Mapping[bytes, bytes]) -> Envelope[Any]:
        return open_entry(fields, {"unit": Unit})

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def handle(self, batch: Sequence[Delivery[Unit]]) -> Sequence[Completion | Exception]:
        now = time.time()
        self.seen += [(entry_time(delivery.entry_id), now) for delivery in batch]
        self.done += len(batch)
        if self._fan_in is None:
            return [Completion() for _ in batch]
        return [Completion(self._fan_in, str(d.envelope.body.n), b"done") for d in batch]

    def on_dead_letter(self, envelope: Envelope[Any], reason: str) -> Completion:
        return Completion()


Consumer = Callable[[str], Any]


@asynccontextmanager
async def bare(url: str) -> AsyncIterator[Callable[[], list[tuple[float, float]]]]:
    """The smallest consumer group reader: reads 100 entries, acknowledges and deletes them in one round trip."""
    seen: list[tuple[bytes, float]] = []

    async def loop(redis: Redis) -> None:
        while True:
            answer = cast(
                "Any", await redis.xreadgroup(GROUP, "bare", {STREAM: ">"}, count=BATCH, block=2000)
            )
            for _, entries in answer or ():
                now = time.time()
                seen.extend((entry_id, now) for entry_id, _ in entries)
                ids = [entry_id for entry_id, _ in entries]
                async with redis.pipeline(transaction=False) as pipe:
                    pipe.xack(STREAM, GROUP, *ids)
                    pipe.xdel(STREAM, *ids)
                    await pipe.execute()

    async with connect(url, waits=2.0) as redis:
        await ensure_group(redis, STREAM, GROUP)
        task = asyncio.create_task(loop(redis))
        try:
            yield lambda: [(entry_time(entry_id.decode()), now) for entry_id, now in seen]
        finally:
            while not task.done():  # redis-py may lose a cancellation, see `connection.retry_until_available`
                task.cancel()
                await asyncio.wait([task], timeout=0.1)


def runtime(concurrency: int, *, fan_in: bool) -> Consumer:
    @asynccontextmanager
    async def consume(url: str) -> AsyncIterator[Callable[[], list[tuple[float, float]]]]:
        stage, stop = Idle(concurrency, fan_in=fan_in), asyncio.Event()
        running = asyncio.create_task(Worker(url, stage, consumer="bench").run(stop))
        try:
            yield lambda: stage.seen
        finally:
            stop.set()
            await running

    return consume


async def fill(redis: Redis, count: int) -> None:
    await redis.hset("{b}:record", "units", str(10**9))
    for start in range(0, count, 1000):
        async with redis.pipeline(transaction=False) as pipe:
            for n in range(start, min(start + 1000, count)):
                pipe.xadd(STREAM, cast("Any", seal("unit", "job", str(n), Unit(n, "ok"))))
            await pipe.execute()


async def until_empty(redis: Redis) -> None:
    while await redis.xlen(STREAM):
        await asyncio.sleep(0.005)


async def commands(redis: Redis) -> int:
    """Returns the reads on the server's sockets; a pipeline mostly counts once."""
    return int((await redis.info("stats"))["total_reads_processed"])


async def measure(consumer: Consumer, url: str, count: int) -> dict[str, float]:
    async with connect(url) as redis:
        await redis.flushall()
        await fill(redis, count)
        await ensure_group(redis, STREAM, GROUP)
        reads, cpu, began = await commands(redis), time.process_time(), time.perf_counter()
        async with consumer(url) as _:
            await until_empty(redis)
            elapsed, used = time.perf_counter() - began, time.process_time() - cpu
            polls = elapsed / 0.005
            trips = await commands(redis) - reads - polls
        await redis.flushall()
        await ensure_group(redis, STREAM, GROUP)
        async with consumer(url) as _:
            began = time.perf_counter()
            await fill(redis, count)
            await until_empty(redis)
            both = time.perf_counter() - began
        await redis.flushall()
        await ensure_group(redis, STREAM, GROUP)
        await redis.hset("{b}:record", "units", str(10**9))
        async with consumer(url) as seen:
            await asyncio.sleep(0.5)  # connections are there
            for n in range(TIMED_MESSAGES):
                await redis.xadd(STREAM, cast("Any", seal("unit", "job", str(n), Unit(n, "ok"))))
                await asyncio.sleep(1 / MESSAGES_PER_SECOND)
            await until_empty(redis)
            late = sorted(1000 * (done - made) for made, done in seen())
    return figures(count, elapsed, both, late, used, trips)


async def measure_peer(peer: Peer, url: str, count: int) -> dict[str, float]:
    """As `measure`, but done means that the handler has seen it: how a peer acknowledges is left to it."""
    async with connect(url) as redis:
        await redis.flushall()
        async with peer(url) as (publish, consume):
            async with consume():
                await publish(time.time())  # the group is there
                await asyncio.sleep(0.5)
            for _ in range(count):
                await publish(0.0)
            reads, cpu, began = await commands(redis), time.process_time(), time.perf_counter()
            async with consume() as seen:
                while len(seen()) < count:
                    await asyncio.sleep(0.005)
                elapsed, used = time.perf_counter() - began, time.process_time() - cpu
                trips = await commands(redis) - reads
            async with consume() as seen:
                began = time.perf_counter()
                for _ in range(count):
                    await publish(0.0)
                while len(seen()) < count:
                    await asyncio.sleep(0.005)
                both = time.perf_counter() - began
            async with consume() as seen:
                await asyncio.sleep(0.5)
                for _ in range(TIMED_MESSAGES):
                    await publish(time.time())
                    await asyncio.sleep(1 / MESSAGES_PER_SECOND)
                while len(seen()) < TIMED_MESSAGES:
                    await asyncio.sleep(0.005)
                late = sorted(1000 * (done - made) for made, done in seen())
    return figures(count, elapsed, both, late, used, trips)


def figures(
    count: int, elapsed: float, both: float, late: list[float], used: float, trips: float
) -> dict[str, float]:
    return {
        "drained/s": count / elapsed,
        "produced and consumed/s": count / both,
        "p50 ms": statistics.median(late),
        "p99 ms": late[int(len(late) * 0.99)],
        "CPU µs/message": 1e6 * used / count,
        "reads of the server/message": max(0.0, trips) / count,
    }


async def run(count: int, folder: Path) -> None:
    where = machine()
    server = Server(binary("valkey", folder), folder)
    server.start()
    ours: dict[str, Consumer] = {
        "bare loop": bare,
        "runtime": runtime(2, fan_in=False),
        "runtime, outcomes and fan-in": runtime(2, fan_in=True),
    }
    try:
        rows = {name: await measure(consumer, server.url, count) for name, consumer in ours.items()}
        for name, peer in available().items():
            rows[name] = await measure_peer(peer, server.url, count // 10)
    finally:
        server.stop()
    ratios = {
        name: round(rows["runtime"]["drained/s"] / row["drained/s"], 2)
        for name, row in rows.items()
        if name != "runtime"
    }
    rounded = {name: {what: round(value, 2) for what, value in row.items()} for name, row in rows.items()}
    report({"messages": count, "rows": rounded, "runtime_times_drained": ratios}, where)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=30_000)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(30),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    with tempfile.TemporaryDirectory() as folder:
        uvloop.run(run(parser.parse_args().messages, Path(folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
