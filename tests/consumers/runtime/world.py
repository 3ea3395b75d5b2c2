"""World of a runtime test: a server, jobs, workers in this process and in others, and a final check for leftovers."""

import asyncio
import contextlib
import multiprocessing
from collections.abc import AsyncIterator
from typing import Any, cast

from redis.asyncio import Redis

from consumers.runtime.metrics import Metrics, StageMetrics
from consumers.runtime.tracing import RecordSpan
from consumers.runtime.worker import Worker
from schemas.envelope import seal
from tests.consumers.runtime import chain
from tests.consumers.runtime.chain import STAGES, TTL, Job, Keys, Stage
from tests.waiting import eventually_async

LEASE = 0.5

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.consumers.runtime.chain"])


class World:
    """One key prefix on one server, and the processes started for a test."""

    def __init__(self, url: str, redis: Redis, prefix: str) -> None:
        self.url = url
        self.redis = redis
        self.keys = Keys(prefix)
        self.children: list[Any] = []

    async def submit(self, job: str, *kinds: str) -> None:
        """Submits a job with one unit of each kind."""
        await self.record(job)
        await self.redis.xadd(self.keys.jobs, cast("Any", seal("job", job, "", Job(kinds))))

    async def record(self, job: str, **fields: str | int) -> None:
        await self.redis.hset(self.keys.record(job), mapping={"created": "1", **fields})
        await self.redis.expire(self.keys.record(job), TTL)

    async def add_unit(self, job: str, n: int, kind: str = "ok") -> str:
        message = self.keys.unit(job, n, kind)
        return cast("bytes", await self.redis.xadd(message.stream, cast("Any", message.fields))).decode()

    @contextlib.asynccontextmanager
    async def worker(
        self,
        name: str,
        consumer: str = "c1",
        *,
        stage: Stage | None = None,
        lease: float = LEASE,
        drain: float = 5.0,
        record_span: RecordSpan | None = None,
        **settings: Any,
    ) -> AsyncIterator["InProcess"]:
        stage = stage or STAGES[name](name, self.redis, self.keys)
        for setting, value in settings.items():
            setattr(stage, setting, value)
        metrics = Metrics()
        worker = Worker(
            self.url,
            stage,
            consumer=consumer,
            lease=lease,
            first_backoff=0.05,
            metrics=metrics,
            record_span=record_span,
            drain=drain,
        )
        stop = asyncio.Event()
        running = asyncio.create_task(worker.run(stop))
        try:
            yield InProcess(metrics.stage(name), stop, running)
        finally:
            stop.set()
            await running

    def spawn(self, name: str, consumer: str, *, lease: float = LEASE, **settings: Any) -> Any:
        """Starts a worker in a process of its own."""
        child = _processes.Process(
            target=chain.process, args=(self.url, self.keys.prefix, name, consumer, lease, settings)
        )
        child.start()
        self.children.append(child)
        return child

    async def ended(self, *jobs: str) -> None:
        for job in jobs:
            await eventually_async(lambda job=job: self.redis.hexists(self.keys.record(job), "ended"))

    async def outcomes(self, job: str) -> dict[int, bytes]:
        outcomes = cast("dict[bytes, bytes]", await self.redis.hgetall(self.keys.outcomes(job)))
        return {int(unit): value for unit, value in sorted(outcomes.items(), key=lambda item: int(item[0]))}

    async def runs(self, job: str, n: int) -> int:
        return int(await self.redis.hget(self.keys.runs, f"{job}/{n}") or 0)

    async def pending(self, stream: str, group: str) -> list[dict[str, Any]]:
        return cast("list[dict[str, Any]]", await self.redis.xpending_range(stream, group, "-", "+", 1000))

    async def dead(self) -> int:
        return int(await self.redis.xlen(self.keys.dead))

    async def assert_nothing_left(self) -> None:
        """Asserts that no entry, no pending entry, no retry and no key without TTL is left."""
        for name in STAGES:
            stream = getattr(self.keys, name)
            assert await self.redis.xlen(stream) == 0, f"{stream} is not empty"
            assert await self.redis.zcard(f"{stream}:delayed") == 0
            for group in await self.redis.xinfo_groups(stream) if await self.redis.exists(stream) else ():
                assert group["pending"] == 0
        streams = {getattr(self.keys, name).encode() for name in STAGES} | {self.keys.dead.encode()}
        async for key in self.redis.scan_iter():
            assert key in streams or await self.redis.pttl(key) > 0, f"{key} has no TTL"

    async def end_children(self) -> None:
        for child in self.children:
            if child.is_alive():
                child.kill()
            await asyncio.to_thread(child.join, 10)


class InProcess:
    """A worker in the test's own process."""

    def __init__(self, metrics: StageMetrics, stop: asyncio.Event, task: asyncio.Task[None]) -> None:
        self.metrics = metrics
        self.stop = stop
        self.task = task


def count(metric: Any) -> int:
    return int(metric._value.get())
