"""``python -m consumers TYPE…``: runs the stages of these worker types in this process (schemas.topology)."""

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import structlog
import uvloop
from redis.asyncio import Redis
from redis.exceptions import RedisError

from consumers.deadlines import sweep
from consumers.processes import build_stages
from consumers.runtime.connection import (
    ServerError,
    ServerUnreachable,
    check_server,
    retry_until_available,
)
from consumers.runtime.metrics import Metrics
from consumers.runtime.stage import Stage
from consumers.runtime.sweeper import Sweeper
from consumers.runtime.tracing import Tracing, TracingUnavailable
from consumers.runtime.worker import Worker
from consumers.service import Service, Shared
from facecore.errors import DeviceUnavailable
from models.fetch import ModelsUnavailable
from schemas.logs import configure_logs
from schemas.names import Partitions
from schemas.settings import Settings, SettingsError
from schemas.store import lua, workers
from schemas.store.connection import connect
from schemas.store.job_metrics import JobMetrics
from schemas.store.jobs import Jobs
from schemas.store.migration import MigrationDenied, migrate
from schemas.topology import WORKER_TYPES

if TYPE_CHECKING:
    from facecore.analyzer import Analyzer

log = structlog.get_logger(__name__)

EXIT_PERMANENT = 2
"""Exit status: a restart cannot help, as when a setting is wrong."""
EXIT_TRANSIENT = 1
"""Exit status: a restart may help, as when the server was unreachable."""
PERMANENT_ERRORS = (
    SettingsError, ServerError, ModelsUnavailable, DeviceUnavailable, TracingUnavailable, MigrationDenied,
)  # fmt: skip
"""Errors that a restart does not help against."""
SWEEP_INTERVAL_SECONDS = 10.0
"""Between two checks of the deadlines of active jobs."""
LOAD_INTERVAL_SECONDS = 1.0
"""Between two checks whether the server has all scripts."""


def main() -> int:
    """Runs the workers until SIGTERM; returns the exit status."""
    types = [worker_type.name for worker_type in WORKER_TYPES]
    parser = argparse.ArgumentParser(prog="python -m consumers", description=__doc__)
    parser.add_argument("types", nargs="+", choices=types, metavar="TYPE", help=", ".join(types))
    worker_types = parser.parse_args().types
    status, reasons = 0, list[str]()
    try:
        settings = Settings.from_env()
        configure_logs(settings)
        uvloop.run(_run(settings, worker_types))
    except* ServerUnreachable as errors:
        status, reasons = EXIT_TRANSIENT, _texts(errors)
    except* PERMANENT_ERRORS as errors:
        status, reasons = EXIT_PERMANENT, _texts(errors)
    for reason in reasons:
        sys.stderr.write(f"faces {' '.join(worker_types)}: {reason}\n")
    return status


def _texts(errors: BaseExceptionGroup[BaseException]) -> list[str]:
    """Returns the distinct texts of the errors in a group and in its nested groups."""
    texts = [
        text
        for error in errors.exceptions
        for text in (_texts(error) if isinstance(error, BaseExceptionGroup) else [str(error)])
    ]
    return list(dict.fromkeys(texts))


async def _run(settings: Settings, worker_types: Sequence[str]) -> None:
    redis = connect(settings.redis_url)
    await check_server(redis)
    partitions = Partitions(settings.prefix, settings.partitions)
    metrics, tracing = Metrics(), Tracing.from_env()
    jobs = Jobs(redis, partitions, settings, JobMetrics(metrics.registry))
    services = [Service(redis, names, settings, jobs, partitions) for names in partitions.all]
    if settings.metrics_port:
        _serve(metrics, settings.metrics_port)
    if "finalize" in worker_types:
        await retry_until_available("move data of an earlier version", migrate, redis, partitions)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    shared = Shared()
    try:
        async with asyncio.TaskGroup() as group:
            for worker_type in worker_types:
                for stage in build_stages(worker_type, services, shared):
                    group.create_task(_run_worker(services[0], stage, metrics, tracing, stop))
            if "finalize" in worker_types:
                group.create_task(_keep_scripts_loaded(redis, stop))
                for service in services:
                    group.create_task(_sweeper(service).run(stop))
    finally:
        shared.close()
        if tracing is not None:
            await asyncio.to_thread(tracing.close)
        await redis.aclose()


def _serve(metrics: Metrics, port: int) -> None:
    try:
        metrics.serve(port)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise SettingsError(
            f"FACES_METRICS_PORT: cannot listen on port {port}: {reason}; "
            "each worker process of a machine needs one of its own"
        ) from error


async def _keep_scripts_loaded(redis: Redis, stop: asyncio.Event) -> None:
    """Loads the scripts of all workers, also after the server has lost them: other processes may have no right to."""
    while not stop.is_set():
        await retry_until_available("load scripts", lua.ensure_loaded, redis)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOAD_INTERVAL_SECONDS):
                await stop.wait()


def _sweeper(service: Service) -> Sweeper:
    """Returns the sweeper that enforces the job deadlines of a partition."""
    return Sweeper(service.redis, service.names.active, SWEEP_INTERVAL_SECONDS, partial(sweep, service))


async def _run_worker(
    service: Service, stage: Stage, metrics: Metrics, tracing: Tracing | None, stop: asyncio.Event
) -> None:
    """Runs the worker of one stage, announced to the health check while it runs.

    Args:
        service: of any partition; only what all partitions share is used.
    """
    settings = service.settings
    consumer = f"{settings.worker}.{stage.name}" if settings.worker else _default_consumer(stage.name)
    worker = Worker(
        settings.redis_url,
        stage,
        consumer=consumer,
        lease=settings.lease,
        metrics=metrics,
        record_span=tracing.record if tracing else None,
    )
    async with AsyncExitStack() as cleanup:
        cleanup.push_async_callback(stage.stop)
        await stage.start()
        cleanup.push_async_callback(_withdraw, service, consumer)
        heartbeat = asyncio.create_task(_announce(service, stage, consumer))
        cleanup.callback(heartbeat.cancel)
        log.info("ready", stage=stage.name, consumer=consumer)
        await worker.run(stop)


@runtime_checkable
class _WithModels(Protocol):
    @property
    def analyzer(self) -> "Analyzer": ...
    @property
    def observer(self) -> str: ...


async def _announce(service: Service, stage: Stage, consumer: str) -> None:
    """Publishes periodically, for the health check, that this worker is alive and which models it has loaded."""
    loaded = stage.analyzer.describe() if isinstance(stage, _WithModels) else None
    observer = stage.observer if isinstance(stage, _WithModels) else ""
    while True:
        info = workers.WorkerInfo(
            stage=stage.name,
            consumer=consumer,
            pack=loaded.pack if loaded else None,
            providers=loaded.providers if loaded else (),
            models=loaded.models if loaded else {},
            observer=observer,
            min_confidence=loaded.min_confidence if loaded else None,
        )
        try:
            await workers.announce(service.redis, service.partitions.home, info)
        except (RedisError, OSError) as error:
            log.warning("worker announcement failed", error=str(error) or type(error).__name__)
        await asyncio.sleep(workers.ANNOUNCE_SECONDS)


async def _withdraw(service: Service, consumer: str) -> None:
    try:
        await workers.withdraw(service.redis, service.partitions.home, consumer)
    except (RedisError, OSError) as error:  # the announcement expires
        log.warning("worker withdrawal failed", error=str(error) or type(error).__name__)


def _default_consumer(stage: str) -> str:
    return f"{stage}-{socket.gethostname()}-{os.getpid()}"


if __name__ == "__main__":
    sys.exit(main())
