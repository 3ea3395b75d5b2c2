"""Concurrency and rate limits."""

import asyncio
import math
from collections import OrderedDict

from aiohttp import web
from aiohttp.typedefs import Handler

from api.endpoints import endpoint_of

BURST_SECONDS = 2.0
"""Capacity of a token bucket: the requests of so many seconds may come at once."""
MAX_BUCKETS = 10_000
"""Callers whose bucket is kept; that of the least recent caller is dropped first."""


class RateExceeded(Exception):
    """A caller has sent more requests than the rate limit allows.

    Attributes:
        retry_after: seconds until the next request is accepted, at least 1.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__("You send requests faster than is allowed; wait and try again.")
        self.retry_after = max(1, math.ceil(seconds))


class RateLimit:
    """A token bucket for each caller of this process (https://en.wikipedia.org/wiki/Token_bucket).

    Args:
        rate: tokens, that is requests, a second; 0: no limit.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._capacity = max(1.0, rate * BURST_SECONDS)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, and when counted

    def take(self, caller: str) -> None:
        """Takes a token from the caller's bucket; raises RateExceeded when it is empty."""
        if not self._rate:
            return
        now = asyncio.get_running_loop().time()
        tokens, counted = self._buckets.pop(caller, (self._capacity, now))
        tokens = min(self._capacity, tokens + (now - counted) * self._rate)
        self._buckets[caller] = (max(tokens - 1, 0.0) if tokens >= 1 else tokens, now)
        if len(self._buckets) > MAX_BUCKETS:
            self._buckets.popitem(last=False)
        if tokens < 1:
            raise RateExceeded((1 - tokens) / self._rate)


class ConcurrencyLimit:
    """Counts the requests that are being answered.

    Attributes:
        limit: the most of them.
        active: their number now.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.active = 0


RATE_LIMIT = web.AppKey("rate_limit", RateLimit)
CONCURRENCY_LIMIT = web.AppKey("concurrency_limit", ConcurrencyLimit)


@web.middleware
async def limit_concurrency(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answers 503 while too many requests are being answered; some endpoints are exempt (`Endpoint.limited`)."""
    endpoint, concurrency = endpoint_of(request), request.app[CONCURRENCY_LIMIT]
    if endpoint is not None and not endpoint.limited:
        return await handler(request)
    if concurrency.active >= concurrency.limit:
        raise web.HTTPServiceUnavailable(
            text=f"{concurrency.limit} requests are being answered already; try again later.",
            headers={"Retry-After": "1"},
        )
    concurrency.active += 1
    try:
        return await handler(request)
    finally:
        concurrency.active -= 1
