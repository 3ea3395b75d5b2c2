"""Concurrency and rate limits."""

import asyncio
import math
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web
from aiohttp.typedefs import Handler

from api.app_keys import key_name
from api.endpoints import endpoint_of

BURST_SECONDS = 2.0
"""Capacity of a token bucket: the requests of so many seconds may come at once."""
FREE_SHARE = 4
"""A caller of `SharedSlots` holds at most this many times the slots that are free."""
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


class SlotsTaken(Exception):
    """A caller holds its share of the slots already; the text says of what."""


class SharedSlots:
    """Slots that callers share, none of whom can take all of them.

    A caller gets a slot while it holds less than `FREE_SHARE` times as many as are free (the dynamic threshold of
    Choudhury and Hahne, https://doi.org/10.1109/90.664262): alone up to four fifths, and others always find some.

    Args:
        limit: all slots of this process.
        what: what they are for, in the plural, for the error.
    """

    def __init__(self, limit: int, what: str) -> None:
        self._limit = limit
        self._what = what
        self._held = Counter[str]()

    @contextmanager
    def hold(self, caller: str) -> Iterator[None]:
        """Holds a slot; raises SlotsTaken, at once, when there is none for this caller."""
        free = self._limit - self._held.total()
        if self._held[caller] >= FREE_SHARE * free:
            raise SlotsTaken(f"Too many {self._what} are open already; try again later.")
        self._held[caller] += 1
        try:
            yield
        finally:
            self._held[caller] -= 1
            if not self._held[caller]:
                del self._held[caller]


def caller_of(request: web.Request) -> str:
    """The name of the caller's key, or its address where it sent none."""
    return key_name(request) or request.remote or ""


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
