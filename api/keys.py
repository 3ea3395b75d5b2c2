"""What the handlers find in the application."""

from aiohttp import web
from redis.asyncio import Redis

from schemas.job_states import JobReader
from schemas.jobs import Jobs
from schemas.names import Partitions
from schemas.settings import Settings

SETTINGS = web.AppKey("settings", Settings)
REDIS = web.AppKey("redis", Redis)
PARTITIONS = web.AppKey("partitions", Partitions)
JOBS = web.AppKey("jobs", Jobs)
READER = web.AppKey("reader", JobReader)
