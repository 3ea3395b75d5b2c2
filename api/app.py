"""The aiohttp application."""

from collections.abc import AsyncIterator

from aiohttp import web

from api import health, jobs, metrics
from api.errors import answer_errors
from api.keys import JOBS, PARTITIONS, READER, REDIS, SETTINGS
from schemas.connection import connect
from schemas.job_states import JobReader
from schemas.jobs import Jobs
from schemas.names import Partitions
from schemas.settings import Settings


def create_app(settings: Settings) -> web.Application:
    """The application; it connects to the server when it starts and needs no worker to run."""
    app = web.Application(
        middlewares=[metrics.count_requests, answer_errors], client_max_size=settings.max_body_bytes
    )
    app[SETTINGS] = settings
    app[PARTITIONS] = Partitions(settings.prefix, settings.partitions)
    app.add_routes(jobs.routes)
    app.add_routes(health.routes)
    app.add_routes(metrics.routes)
    app.cleanup_ctx.append(_connection)
    return app


async def _connection(app: web.Application) -> AsyncIterator[None]:
    redis = connect(app[SETTINGS].redis_url)
    app[REDIS] = redis
    app[JOBS] = Jobs(redis, app[PARTITIONS], app[SETTINGS], metrics.JOBS_ENDED)
    app[READER] = JobReader(redis, app[PARTITIONS])
    yield
    await redis.aclose()
