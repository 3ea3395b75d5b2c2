"""The aiohttp application."""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from api import admin, collections, events, health, jobs, metrics, replies, results, searches
from api.app_keys import (
    ACCESS,
    CALLBACKS,
    COLLECTIONS,
    GUARDED,
    JOBS,
    PARTITIONS,
    PREVIEWS,
    READER,
    REDIS,
    REPLIES,
    SETTINGS,
    STOPPING,
)
from api.auth import check_access, require_keys
from api.cors import allow_origin, answer_preflights, refuse_foreign
from api.endpoints import add_endpoints
from api.errors import answer_errors
from api.limits import CROWD, RATES, Crowd, Rates, limit_crowd
from api.pages import routes as pages
from api.request_id import identify, tell_id
from schemas.addresses import AllowList
from schemas.names import Partitions
from schemas.settings import Settings, SettingsError
from schemas.store.api_keys import ApiKeys
from schemas.store.collections import Collections
from schemas.store.connection import connect
from schemas.store.job_reader import JobReader
from schemas.store.jobs import Jobs
from schemas.store.previews import Previews
from schemas.store.replies import Replies


def create_app(settings: Settings) -> web.Application:
    """The application; it connects to the server when it starts and needs no worker to run."""
    app = web.Application(
        middlewares=[
            metrics.count_requests,
            identify,
            answer_errors,
            answer_preflights,
            refuse_foreign,
            limit_crowd,
            check_access,
        ],
        client_max_size=settings.max_body_bytes,
    )
    app[SETTINGS] = settings
    app[GUARDED] = settings.keys_required
    app[RATES] = Rates(settings.rate)
    app[CROWD] = Crowd(settings.max_requests)
    app[events.OPEN] = set()
    app[CALLBACKS] = _callbacks(settings)
    app[replies.WAITING] = asyncio.Semaphore(replies.MAX_WAITING_CALLERS)
    app[PARTITIONS] = Partitions(settings.prefix, settings.partitions)
    add_endpoints(
        app,
        [module.endpoints for module in (
            jobs, results, events, pages, admin, collections, searches, health, metrics,
        )],
    )  # fmt: skip
    app.on_response_prepare.extend((tell_id, allow_origin))
    app.cleanup_ctx.append(_connection)
    app.on_startup.append(require_keys)
    app.on_shutdown.append(_stop)
    return app


def _callbacks(settings: Settings) -> AllowList:
    try:
        return AllowList.parse(settings.callback_to, "FACES_CALLBACK_HOSTS")
    except ValueError as error:
        raise SettingsError(f"FACES_CALLBACK_HOSTS: {error}") from error


async def _connection(app: web.Application) -> AsyncIterator[None]:
    redis = connect(app[SETTINGS].redis_url)
    app[REDIS] = redis
    app[JOBS] = Jobs(redis, app[PARTITIONS], app[SETTINGS], metrics.JOBS_ENDED)
    app[ACCESS] = ApiKeys(redis, app[PARTITIONS].home)
    app[READER] = JobReader(redis, app[PARTITIONS])
    app[PREVIEWS] = Previews(redis, app[PARTITIONS])
    app[COLLECTIONS] = Collections(redis, app[PARTITIONS].home)
    app[REPLIES] = Replies(redis, app[PARTITIONS].home)
    app[STOPPING] = asyncio.Event()
    yield
    await redis.aclose()


async def _stop(app: web.Application) -> None:
    app[STOPPING].set()
