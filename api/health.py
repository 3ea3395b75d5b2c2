"""Health probes, and the documents that describe the interfaces."""

import asyncio
from importlib.metadata import version

from aiohttp import web

from api.app_keys import PARTITIONS, REDIS, SETTINGS
from api.endpoints import ENDPOINTS, Endpoint, Endpoints
from api.openapi import html as docs
from api.openapi.asyncapi import asyncapi
from api.openapi.rest import openapi
from api.pages.page import AppPage
from api.responses import json_response
from schemas.results import Health
from schemas.store import workers
from schemas.store.connection import memory
from schemas.store.queues import active_jobs
from schemas.topology import WORKER_TYPES

endpoints = Endpoints()

DOCUMENTS = web.AppKey("documents", list[AppPage])
"""The page of the documents, once it was asked for."""
READY_TTL_SECONDS = 10
"""Lifetime of the key that the readiness probe writes."""


@endpoints.add(Endpoint(
    "GET", "/faces/health", "public", "What the service works with", responses={200: Health}, limited=False
))  # fmt: skip
async def health(request: web.Request) -> web.Response:
    """Reports workers, models and load; "degraded" (still 200) while a stage that jobs need has no worker."""
    app = request.app
    redis, partitions = app[REDIS], app[PARTITIONS]
    alive = await workers.alive(redis, partitions.home)
    analyzers = [worker for worker in alive if worker.pack]
    counts = {kind.name: sum(worker.stage == kind.name for worker in alive) for kind in WORKER_TYPES}
    missing = tuple(kind.name for kind in WORKER_TYPES if kind.required and not counts[kind.name])
    body = Health(
        status="degraded" if missing else "healthy",
        service="faces-service",
        version=version("faces"),
        model=analyzers[0].pack or "" if analyzers else app[SETTINGS].pack,
        gpu_available=any("CUDAExecutionProvider" in worker.providers for worker in analyzers),
        active_jobs=await active_jobs(redis, partitions),
        cache_size_mb=round((await memory(redis))["used_memory"] / 1e6, 1),
        providers=tuple(sorted({provider for worker in analyzers for provider in worker.providers})),
        models=analyzers[0].models if analyzers else {},
        workers=counts,
        missing=missing,
        occlusion_model_loaded=any("occlusion" in worker.models for worker in analyzers),
    )
    return json_response(body)


@endpoints.add(Endpoint("GET", "/faces/live", "public", None, limited=False))
async def live(_: web.Request) -> web.Response:
    """Liveness probe: checks nothing but this process, since a restart repairs nothing else."""
    return json_response({"status": "alive"})


@endpoints.add(Endpoint("GET", "/faces/ready", "public", None, limited=False))
async def ready(request: web.Request) -> web.Response:
    """Readiness probe: 503 while the Redis server accepts no changes (full memory, full disk, a replica)."""
    await request.app[REDIS].set(request.app[PARTITIONS].home.ready, 1, ex=READY_TTL_SECONDS)
    return json_response({"status": "ready"})


@endpoints.add(Endpoint("GET", "/openapi.json", "public", None))
@endpoints.add(Endpoint("GET", "/faces/openapi.json", "public", None))
async def openapi_document(request: web.Request) -> web.Response:
    """Serves the OpenAPI document."""
    return json_response(openapi(request.app[ENDPOINTS].values()))


@endpoints.add(Endpoint("GET", "/faces/docs", "public", None))
async def documentation(request: web.Request) -> web.Response:
    """Serves both documents as a page."""
    rendered = request.app[DOCUMENTS]
    if not rendered:
        rendered.append(await asyncio.to_thread(_documents, request.app))
    return rendered[0].response(request)


def _documents(app: web.Application) -> AppPage:
    prefix = app[PARTITIONS].home.shared
    return docs.page(openapi(app[ENDPOINTS].values()), asyncapi(prefix), prefix)


@endpoints.add(Endpoint("GET", "/faces/asyncapi.json", "public", None))
async def asyncapi_document(request: web.Request) -> web.Response:
    """Serves the AsyncAPI document."""
    return json_response(asyncapi(request.app[PARTITIONS].home.shared))
