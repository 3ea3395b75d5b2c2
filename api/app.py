"""The aiohttp application."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import structlog
from aiohttp import web
from redis.exceptions import RedisError

from api import (
    admin,
    collections,
    demo,
    event_streams,
    events,
    health,
    jobs,
    libraries,
    library_changes,
    library_events,
    library_films,
    media,
    metrics,
    replies,
    results,
    searches,
    sessions,
    uploads,
)
from api.app_keys import (
    API_KEYS,
    CALLBACK_HOSTS,
    COLLECTIONS,
    JOBS,
    KEYS_REQUIRED,
    LIBRARIES,
    LIBRARY_READER,
    PARTITIONS,
    PREVIEWS,
    READER,
    REDIS,
    REPLIES,
    SETTINGS,
    STOPPING,
)
from api.auth import check_access, require_keys
from api.byte_ranges import DISK, DISK_THREADS
from api.connections import mark_busy, max_connections
from api.cors import add_cors_headers, answer_preflights, refuse_cross_site
from api.endpoints import add_endpoints
from api.errors import answer_errors
from api.hosts import check_host
from api.limits import (
    CONCURRENCY_LIMIT,
    RATE_LIMIT,
    ConcurrencyLimit,
    RateLimit,
    SharedSlots,
    limit_concurrency,
)
from api.pages import film, home
from api.pages import people as people_pages
from api.pages import routes as pages
from api.pages.browsers import answer_browsers
from api.request_id import add_request_id, identify_request
from api.upload_store import UploadStore
from schemas.addresses import AllowList
from schemas.names import Partitions
from schemas.settings import Settings, SettingsError
from schemas.store.api_keys import ApiKeys
from schemas.store.collections import Collections
from schemas.store.connection import connect
from schemas.store.job_reader import JobReader
from schemas.store.jobs import Jobs
from schemas.store.libraries import Libraries
from schemas.store.library_reader import LibraryReader
from schemas.store.migration import migrate
from schemas.store.previews import Previews
from schemas.store.replies import Replies

log = structlog.get_logger(__name__)


def create_app(settings: Settings) -> web.Application:
    """Builds the application, which connects to Redis at start-up; it needs no running worker."""
    app = web.Application(
        middlewares=[
            mark_busy,
            answer_browsers,
            metrics.count_requests,
            identify_request,
            answer_errors,
            check_host,
            answer_preflights,
            refuse_cross_site,
            limit_concurrency,
            check_access,
        ],
        client_max_size=settings.max_body_bytes,
    )
    app[SETTINGS] = settings
    app[KEYS_REQUIRED] = settings.keys_required
    app[RATE_LIMIT] = RateLimit(settings.rate)
    connections = max_connections()  # of which some are left for probes
    app[CONCURRENCY_LIMIT] = ConcurrencyLimit(min(settings.max_requests, connections // 2))
    app[event_streams.OPEN_STREAMS] = SharedSlots(
        min(event_streams.MAX_STREAMS, connections // 4), "event streams"
    )
    app[pages.RENDERING] = asyncio.Lock()
    app[health.DOCUMENTS] = []
    app[media.PLAYERS] = SharedSlots(min(media.MAX_PLAYERS, connections // 4), "films")
    app[demo.MAKING] = asyncio.Lock()
    app[media.BROWSERS] = asyncio.Semaphore(media.MAX_BROWSERS)
    app[uploads.SENDERS] = SharedSlots(uploads.MAX_SENDERS, "uploads")
    if (directory := settings.upload_path) is not None:
        app[uploads.STORE] = UploadStore(directory, settings.max_upload_bytes)
    app[DISK] = ThreadPoolExecutor(DISK_THREADS, thread_name_prefix="media")
    app[CALLBACK_HOSTS] = _callback_hosts(settings)
    app[replies.WAITING] = SharedSlots(replies.MAX_WAITING_CALLERS, "searches")
    app[PARTITIONS] = Partitions(settings.prefix, settings.partitions)
    add_endpoints(
        app,
        [module.endpoints for module in (
            jobs, results, events, home, film, people_pages, pages, admin, collections, libraries, library_films,
            library_changes, library_events, searches, media, uploads, sessions, demo,
            health, metrics,
        )],
    )  # fmt: skip
    app.on_response_prepare.extend((add_request_id, add_cors_headers))
    app.cleanup_ctx.append(_connection)
    app.on_startup.append(require_keys)
    app.on_shutdown.append(_stop)
    return app


def _callback_hosts(settings: Settings) -> AllowList:
    try:
        return AllowList.parse(settings.callback_to, "FACES_CALLBACK_HOSTS")
    except ValueError as error:
        raise SettingsError(f"FACES_CALLBACK_HOSTS: {error}") from error


async def _connection(app: web.Application) -> AsyncIterator[None]:
    redis = connect(app[SETTINGS].redis_url)
    app[REDIS] = redis
    app[JOBS] = Jobs(redis, app[PARTITIONS], app[SETTINGS], metrics.JOBS_ENDED)
    app[API_KEYS] = ApiKeys(redis, app[PARTITIONS].home)
    app[READER] = JobReader(redis, app[PARTITIONS])
    app[PREVIEWS] = Previews(redis, app[PARTITIONS])
    app[COLLECTIONS] = Collections(redis, app[PARTITIONS].home)
    app[LIBRARIES] = Libraries(redis, app[PARTITIONS].home)
    app[LIBRARY_READER] = LibraryReader(redis, app[PARTITIONS].home)
    app[REPLIES] = Replies(redis, app[PARTITIONS].home)
    app[STOPPING] = asyncio.Event()
    await _migrate(app)
    sweeping = asyncio.create_task(uploads.sweep(app))
    yield
    sweeping.cancel()
    app[DISK].shutdown(wait=False, cancel_futures=True)
    await redis.aclose()


async def _migrate(app: web.Application) -> None:
    """Moves the data of an earlier version, before anything is served."""
    try:
        await migrate(app[REDIS], app[PARTITIONS])
    except RedisError as error:  # the process of finalize moves it when the server is back
        log.warning("data of an earlier version not looked for", error=str(error))


async def _stop(app: web.Application) -> None:
    app[STOPPING].set()
