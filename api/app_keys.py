"""Keys of what handlers find in the application and in a request."""

import asyncio

from aiohttp import web
from redis.asyncio import Redis

from schemas.addresses import AllowList
from schemas.names import Partitions
from schemas.settings import Settings
from schemas.store.api_keys import ApiKey, ApiKeys
from schemas.store.collections import Collections
from schemas.store.job_reader import JobReader
from schemas.store.jobs import Jobs
from schemas.store.libraries import Libraries
from schemas.store.library_reader import LibraryReader
from schemas.store.previews import Previews
from schemas.store.replies import Replies

SETTINGS = web.AppKey("settings", Settings)
REDIS = web.AppKey("redis", Redis)
PARTITIONS = web.AppKey("partitions", Partitions)
JOBS = web.AppKey("jobs", Jobs)
API_KEYS = web.AppKey("api_keys", ApiKeys)
READER = web.AppKey("reader", JobReader)
PREVIEWS = web.AppKey("previews", Previews)
CALLBACK_HOSTS = web.AppKey("callback_hosts", AllowList)
"""Hosts that a callback_url may name."""
COLLECTIONS = web.AppKey("collections", Collections)
LIBRARIES = web.AppKey("libraries", Libraries)
LIBRARY_READER = web.AppKey("library_reader", LibraryReader)
REPLIES = web.AppKey("replies", Replies)
KEYS_REQUIRED = web.AppKey("keys_required", bool)
"""Whether requests need an API key."""
KEY = web.RequestKey("key", ApiKey)
"""The key that the request came with."""
STOPPING = web.AppKey("stopping", asyncio.Event)
"""Set when the process is asked to stop; ends event streams."""


def key_name(request: web.Request) -> str:
    """Returns the name of the key that a request came with; empty when it has none."""
    key = request.get(KEY)
    return key.name if key else ""
