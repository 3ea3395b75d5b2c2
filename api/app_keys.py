"""What the handlers find in the application."""

import asyncio

from aiohttp import web
from redis.asyncio import Redis

from schemas.addresses import AllowList
from schemas.names import Partitions
from schemas.settings import Settings
from schemas.store.api_keys import ApiKeys
from schemas.store.collections import Collections
from schemas.store.job_reader import JobReader
from schemas.store.jobs import Jobs
from schemas.store.previews import Previews
from schemas.store.replies import Replies

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
REPLIES = web.AppKey("replies", Replies)
GUARDED = web.AppKey("guarded", bool)
"""Whether callers must show a key."""
CALLER = web.RequestKey("caller", str)
"""The name of the key that a caller showed."""
STOPPING = web.AppKey("stopping", asyncio.Event)
"""Set when the server is asked to stop, for what would go on."""
