"""Whether the service can work, and with what; figures for Prometheus."""

import asyncio
from collections import Counter as Counted
from importlib.metadata import version

import msgspec
from aiohttp import web
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from api.errors import Handler
from api.keys import PARTITIONS, REDIS, SETTINGS
from schemas import workers
from schemas.connection import memory
from schemas.documents import asyncapi, openapi
from schemas.job_metrics import JobMetrics
from schemas.names import Partitions
from schemas.results import Health

routes = web.RouteTableDef()
registry = CollectorRegistry()
REQUESTS = Counter(
    "faces_http_requests", "Requests answered", ["method", "route", "status"], registry=registry
)
SECONDS = Histogram("faces_http_request_seconds", "Time to answer", ["route"], registry=registry)
LENGTH = Gauge("faces_stream_entries", "Outstanding entries of a stream", ["stream"], registry=registry)
PENDING = Gauge("faces_stream_pending", "Entries that a worker holds", ["stream"], registry=registry)
ACTIVE = Gauge("faces_jobs_active", "Jobs that have not ended", registry=registry)
WORKERS = Gauge("faces_workers", "Workers alive", ["stage"], registry=registry)
JOBS_ENDED = JobMetrics(registry)
STAGES = ("frames", "analyze", "enhance", "finalize")


@routes.get("/faces/health")
async def health(request: web.Request) -> web.Response:
    """200 when every stage has a worker, else 200 with status "degraded": jobs are accepted and will wait."""
    app = request.app
    redis, partitions = app[REDIS], app[PARTITIONS]
    alive = await workers.alive(redis, partitions.home)
    analyzers = [worker for worker in alive if worker.pack]
    counts = {stage: sum(w.stage == stage for w in alive) for stage in STAGES}
    missing = tuple(stage for stage, count in counts.items() if not count)
    body = Health(
        status="degraded" if missing else "healthy",
        service="faces-service",
        version=version("faces"),
        model=analyzers[0].pack or "" if analyzers else app[SETTINGS].pack,
        gpu_available=any("CUDAExecutionProvider" in worker.providers for worker in analyzers),
        active_jobs=await _active(redis, partitions),
        cache_size_mb=round((await memory(redis))["used_memory"] / 1e6, 1),
        providers=tuple(sorted({provider for worker in analyzers for provider in worker.providers})),
        models=analyzers[0].models if analyzers else {},
        workers=counts,
        missing=missing,
    )
    return web.Response(body=msgspec.json.encode(body), content_type="application/json")


@routes.get("/metrics")
async def metrics(request: web.Request) -> web.Response:
    redis, partitions = request.app[REDIS], request.app[PARTITIONS]
    lengths, held = Counted[str](), Counted[str]()
    for names in partitions.all:
        for key, group in names.groups.items():
            stream = key.removeprefix(f"{names.prefix}:")
            lengths[stream] += await redis.xlen(key)
            held[stream] += await _pending(redis, key, group)
    for stream in lengths:
        LENGTH.labels(stream).set(lengths[stream])
        PENDING.labels(stream).set(held[stream])
    ACTIVE.set(await _active(redis, partitions))
    alive = await workers.alive(redis, partitions.home)
    for stage in STAGES:
        WORKERS.labels(stage).set(sum(worker.stage == stage for worker in alive))
    return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


@routes.get("/faces/openapi.json")
async def describe_rest(_: web.Request) -> web.Response:
    return web.Response(body=msgspec.json.encode(openapi()), content_type="application/json")


@routes.get("/faces/asyncapi.json")
async def describe_streams(request: web.Request) -> web.Response:
    prefix = request.app[PARTITIONS].home.prefix
    return web.Response(body=msgspec.json.encode(asyncapi(prefix)), content_type="application/json")


async def _active(redis: Redis, partitions: Partitions) -> int:
    return sum([int(await redis.zcard(names.active)) for names in partitions.all])


async def _pending(redis: Redis, stream: str, group: str) -> int:
    try:
        return int((await redis.xpending(stream, group))["pending"])
    except ResponseError:
        return 0  # no worker has made the group yet: nothing is held


@web.middleware
async def count_requests(request: web.Request, handler: Handler) -> web.StreamResponse:
    route = request.match_info.route.resource
    name = route.canonical if route else "unknown"
    began = asyncio.get_running_loop().time()
    response = await handler(request)
    SECONDS.labels(name).observe(asyncio.get_running_loop().time() - began)
    REQUESTS.labels(request.method, name, response.status).inc()
    return response
