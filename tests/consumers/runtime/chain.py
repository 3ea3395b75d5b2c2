"""Three small stages that use every part of the runtime: a job is split into units, each unit has an outcome, and the
end is published once. The kind of a unit says what its handler does."""

import asyncio
import os
import resource
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import structlog
from redis.asyncio import Redis

from consumers.runtime.metrics import Metrics
from consumers.runtime.stage import Completion, Delivery, FanIn, NotReady, Outgoing, Reject, Retry
from consumers.runtime.worker import Worker
from schemas.envelope import Envelope, open_entry, seal
from schemas.store.connection import connect

TTL = 3600


class Job(msgspec.Struct, frozen=True):
    kinds: tuple[str, ...]


class Unit(msgspec.Struct, frozen=True):
    n: int
    kind: str


class End(msgspec.Struct, frozen=True):
    pass


class Keys:
    """Key names; a prefix that is a hash tag puts all of them in one slot."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.jobs, self.units, self.ends = f"{prefix}:jobs", f"{prefix}:units", f"{prefix}:ends"
        self.dead = f"{prefix}:dead"
        self.runs = f"{prefix}:runs"  # hash: job/unit → how often its handler has started
        self.fixed = f"{prefix}:fixed"  # exists once the bug of the kinds wait and abort is fixed

    def record(self, job: str) -> str:
        return f"{self.prefix}:job:{job}:record"

    def outcomes(self, job: str) -> str:
        return f"{self.prefix}:job:{job}:outcomes"

    def fan_in(self, job: str) -> FanIn:
        return FanIn(self.record(job), self.outcomes(job), Outgoing(self.ends, seal("end", job, "", End())))

    def unit(self, job: str, n: int, kind: str) -> Outgoing:
        return Outgoing(self.units, seal("unit", job, str(n), Unit(n, kind)))


class Stage:
    linger = 0.0
    batch_size = 8
    concurrency = 1
    max_run = 60.0
    max_attempts = 4
    fair = False
    downstream: Sequence[tuple[str, int]] = ()

    def __init__(self, name: str, redis: Redis, keys: Keys) -> None:
        self.name = self.group = name
        self.stream = getattr(keys, name)
        self.dead_stream = keys.dead
        self.delay_set = f"{self.stream}:delayed"
        self.scan = f"{self.stream}:scan"
        self.redis = redis
        self.keys = keys

    def decode(self, entry_id: str, fields: Mapping[bytes, bytes]) -> Envelope[Any]:
        return open_entry(fields, {"job": Job, "unit": Unit, "end": End})

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def on_dead_letter(self, envelope: Envelope[Any], reason: str) -> Completion:
        return Completion()


class Jobs(Stage):
    """Publishes the units a few at a time; after a crash it continues at the number in the record."""

    batch_size = 1
    concurrency = 2

    async def handle(self, batch: Sequence[Delivery[Job]]) -> Sequence[Completion | Exception]:
        return [await self._split(delivery) for delivery in batch]

    async def _split(self, delivery: Delivery[Job]) -> Completion:
        job, kinds, record = (
            delivery.envelope.job,
            delivery.envelope.body.kinds,
            self.keys.record(delivery.envelope.job),
        )
        sent = int(await self.redis.hget(record, "sent") or 0)
        while sent < len(kinds):
            more = [self.keys.unit(job, n, kinds[n]) for n in range(sent, min(sent + 5, len(kinds)))]
            sent += len(more)
            await delivery.publish(more, record, {"sent": sent})
        return Completion(self.keys.fan_in(job), units=len(kinds))


class Units(Stage):
    def on_dead_letter(self, envelope: Envelope[Unit], reason: str) -> Completion:
        return Completion(self.keys.fan_in(envelope.job), str(envelope.body.n), b"dead")

    async def handle(self, batch: Sequence[Delivery[Unit]]) -> Sequence[Completion | Exception]:
        async with self.redis.pipeline(transaction=False) as pipe:
            for delivery in batch:
                pipe.hincrby(self.keys.runs, f"{delivery.envelope.job}/{delivery.envelope.body.n}", 1)
            pipe.expire(self.keys.runs, TTL)
            await pipe.execute()
        return [await self._do(delivery) for delivery in batch]

    async def _do(self, delivery: Delivery[Unit]) -> Completion | Exception:
        kind, _, argument = delivery.envelope.body.kind.partition(":")
        match kind:
            case "sleep":
                await asyncio.sleep(float(argument))
            case "fail":
                return ValueError("always fails")
            case "flaky" if delivery.attempt < int(argument):
                return Retry("fails this time", 0.05)
            case "reject":
                return Reject("rejected")
            case "wait" if not await self.redis.exists(self.keys.fixed):
                return NotReady(0.05)
            case "abort" if not await self.redis.exists(self.keys.fixed):
                resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
                os.abort()
        return Completion(
            self.keys.fan_in(delivery.envelope.job), str(delivery.envelope.body.n), outcome(delivery)
        )


def outcome(delivery: Delivery[Unit]) -> bytes:
    """Returns the outcome of a unit: the same for every attempt and every worker."""
    return f"{delivery.envelope.job}/{delivery.envelope.body.n}".encode()


class Ends(Stage):
    """Ends the job."""

    batch_size = 1

    async def handle(self, batch: Sequence[Delivery[End]]) -> Sequence[Completion | Exception]:
        for delivery in batch:
            record = self.keys.record(delivery.envelope.job)
            if await self.redis.hexists(record, "units"):
                await self.redis.hset(record, mapping={"ended": "1", "status": "completed"})
        return [Completion() for _ in batch]


STAGES = {"jobs": Jobs, "units": Units, "ends": Ends}


def log_warnings_only() -> None:
    """Configures structlog to write warnings and errors to stderr."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(30),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def process(url: str, prefix: str, name: str, consumer: str, lease: float, settings: dict[str, Any]) -> None:
    """Runs a worker until SIGTERM; the target of a child process."""
    log_warnings_only()
    asyncio.run(_process(url, prefix, name, consumer, lease, settings))


async def _process(
    url: str, prefix: str, name: str, consumer: str, lease: float, settings: dict[str, Any]
) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with connect(url) as redis:
        stage = STAGES[name](name, redis, Keys(prefix))
        for setting, value in settings.items():
            setattr(stage, setting, value)
        await Worker(
            url, stage, consumer=consumer, lease=lease, first_backoff=0.05, metrics=Metrics(), drain=5.0
        ).run(stop)
