"""Prometheus metrics: requests answered, queue lengths, jobs, workers, memory of the Redis server."""

import asyncio

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

from api.app_keys import PARTITIONS, REDIS
from api.endpoints import Endpoint, Endpoints
from schemas.store import workers
from schemas.store.connection import memory
from schemas.store.job_metrics import JobMetrics
from schemas.store.queues import active_jobs, dead_letters, measure
from schemas.topology import WORKER_TYPES

endpoints = Endpoints()
registry = CollectorRegistry()
REQUESTS = Counter(
    "faces_http_requests", "Requests answered", ["method", "route", "status"], registry=registry
)
SECONDS = Histogram("faces_http_request_seconds", "Time to answer", ["route"], registry=registry)
JOBS_ENDED = JobMetrics(registry)
_STREAM = ["stream", "stage"]
LENGTH = Gauge("faces_stream_entries", "Outstanding entries of a stream", _STREAM, registry=registry)
PENDING = Gauge("faces_stream_pending", "Entries that a worker holds", _STREAM, registry=registry)
OLDEST = Gauge("faces_stream_oldest_seconds", "Age of a stream's first entry", _STREAM, registry=registry)
ACTIVE = Gauge("faces_jobs_active", "Jobs that have not ended", registry=registry)
DEAD = Gauge("faces_dead_letters", "Messages that were given up", registry=registry)
WORKERS = Gauge("faces_workers", "Workers alive", ["stage"], registry=registry)
MEMORY = Gauge("faces_server_memory_bytes", "Memory the server uses", registry=registry)
MEMORY_LIMIT = Gauge("faces_server_memory_limit_bytes", "Memory it may use, 0: any", registry=registry)


@endpoints.add(Endpoint("GET", "/metrics", "read", None, limited=False))
async def metrics(request: web.Request) -> web.Response:
    """Measures queues, jobs, workers and memory now, and renders all metrics."""
    redis, partitions = request.app[REDIS], request.app[PARTITIONS]
    for queue in await measure(redis, partitions.all):
        LENGTH.labels(queue.stream, queue.stage).set(queue.entries)
        PENDING.labels(queue.stream, queue.stage).set(queue.held)
        OLDEST.labels(queue.stream, queue.stage).set(queue.oldest_seconds)
    ACTIVE.set(await active_jobs(redis, partitions))
    DEAD.set(await dead_letters(redis, partitions))
    alive = await workers.alive(redis, partitions.home)
    for worker_type in WORKER_TYPES:
        WORKERS.labels(worker_type.name).set(sum(worker.stage == worker_type.name for worker in alive))
    usage = await memory(redis)
    MEMORY.set(usage["used_memory"])
    MEMORY_LIMIT.set(usage["maxmemory"])
    return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})


@web.middleware
async def count_requests(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Counts a request and its duration by route: the pattern of the path, so that ids make no new series."""
    resource = request.match_info.route.resource
    route = resource.canonical if resource else "unknown"
    began = asyncio.get_running_loop().time()
    response = await handler(request)
    SECONDS.labels(route).observe(asyncio.get_running_loop().time() - began)
    REQUESTS.labels(request.method, route, response.status).inc()
    return response
