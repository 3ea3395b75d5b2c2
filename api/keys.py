"""What the handlers find in the application."""

import asyncio

from aiohttp import web
from redis.asyncio import Redis

from schemas.addresses import AllowList
from schemas.api_keys import ApiKeys
from schemas.collections import Collections
from schemas.job_states import JobReader
from schemas.jobs import Jobs
from schemas.names import Partitions
from schemas.previews import Previews
from schemas.questions import Questions
from schemas.settings import Settings

SETTINGS = web.AppKey("settings", Settings)
REDIS = web.AppKey("redis", Redis)
PARTITIONS = web.AppKey("partitions", Partitions)
JOBS = web.AppKey("jobs", Jobs)
ACCESS = web.AppKey("access", ApiKeys)
READER = web.AppKey("reader", JobReader)
PREVIEWS = web.AppKey("previews", Previews)
CALLBACKS = web.AppKey("callbacks", AllowList)
"""Hosts that may be told of the ends of jobs."""
COLLECTIONS = web.AppKey("collections", Collections)
QUESTIONS = web.AppKey("questions", Questions)
GUARDED = web.AppKey("guarded", bool)
"""Whether callers must show a key."""
CALLER = web.RequestKey("caller", str)
"""The name of the key that a caller showed."""
STOPPING = web.AppKey("stopping", asyncio.Event)
"""Set when the server is asked to stop, for what would go on."""
