"""Whether the service can work, and with what; figures for Prometheus."""

import asyncio
from importlib.metadata import version
from typing import Any

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
from redis.exceptions import ResponseError

from api.errors import Handler
from api.keys import NAMES, REDIS, SETTINGS
from schemas import workers
from schemas.documents import asyncapi, openapi
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
STAGES = ("frames", "analyze", "enhance", "finalize")


@routes.get("/faces/health")
async def health(request: web.Request) -> web.Response:
    """200 when every stage has a worker, else 200 with status "degraded": jobs are accepted and will wait."""
    app = request.app
    redis, names = app[REDIS], app[NAMES]
    alive = await workers.alive(redis, names)
    analyzers = [worker for worker in alive if worker.pack]
    counts = {stage: sum(w.stage == stage for w in alive) for stage in STAGES}
    missing = tuple(stage for stage, count in counts.items() if not count)
    memory: dict[str, Any] = await redis.info("memory")
    body = Health(
        status="degraded" if missing else "healthy",
        service="faces-service",
        version=version("faces"),
        model=analyzers[0].pack or "" if analyzers else app[SETTINGS].pack,
        gpu_available=any("CUDAExecutionProvider" in worker.providers for worker in analyzers),
        active_jobs=await redis.zcard(names.active),
        cache_size_mb=round(memory["used_memory"] / 1e6, 1),
        providers=tuple(sorted({provider for worker in analyzers for provider in worker.providers})),
        models=analyzers[0].models if analyzers else {},
        workers=counts,
        missing=missing,
    )
    return web.Response(body=msgspec.json.encode(body), content_type="application/json")


@routes.get("/metrics")
async def metrics(request: web.Request) -> web.Response:
    redis, names = request.app[REDIS], request.app[NAMES]
    for key, group in names.groups.items():
        stream = key.removeprefix(f"{names.prefix}:")
        LENGTH.labels(stream).set(await redis.xlen(key))
        try:
            pending = (await redis.xpending(key, group))["pending"]
        except ResponseError:
            pending = 0  # no worker has made the group yet: nothing is held
        PENDING.labels(stream).set(pending)
    ACTIVE.set(await redis.zcard(names.active))
    alive = await workers.alive(redis, names)
    for stage in STAGES:
        WORKERS.labels(stage).set(sum(worker.stage == stage for worker in alive))
    return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


@routes.get("/faces/openapi.json")
async def describe_rest(_: web.Request) -> web.Response:
    return web.Response(body=msgspec.json.encode(openapi()), content_type="application/json")


@routes.get("/faces/asyncapi.json")
async def describe_streams(request: web.Request) -> web.Response:
    prefix = request.app[NAMES].prefix
    return web.Response(body=msgspec.json.encode(asyncapi(prefix)), content_type="application/json")


@web.middleware
async def count_requests(request: web.Request, handler: Handler) -> web.StreamResponse:
    route = request.match_info.route.resource
    name = route.canonical if route else "unknown"
    began = asyncio.get_running_loop().time()
    response = await handler(request)
    SECONDS.labels(name).observe(asyncio.get_running_loop().time() - began)
    REQUESTS.labels(request.method, name, response.status).inc()
    return response
