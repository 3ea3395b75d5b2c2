"""How much at once, and how often: what keeps one caller, or too many, from taking the service from the others."""

import asyncio
from collections import OrderedDict

from aiohttp import web
from aiohttp.typedefs import Handler

from api.endpoints import endpoint_of
from api.errors import TooOften

BURST = 2.0
"""Seconds' worth of requests that a caller who was silent may send at once."""
CALLERS = 10_000
"""Callers that are remembered; the longest silent is forgotten first."""


class Rates:
    """A token bucket for each caller of this process.

    Args:
        rate: requests a second; 0: any number.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._most = max(1.0, rate * BURST)
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str) -> None:
        """Counts a request. Raises TooOften."""
        if not self._rate:
            return
        now = asyncio.get_running_loop().time()
        tokens, seen = self._left.pop(caller, (self._most, now))
        tokens = min(self._most, tokens + (now - seen) * self._rate)
        self._left[caller] = (max(tokens - 1, 0.0) if tokens >= 1 else tokens, now)
        if len(self._left) > CALLERS:
            self._left.popitem(last=False)
        if tokens < 1:
            raise TooOften((1 - tokens) / self._rate)


class Crowd:
    """The requests that are being answered, `most` at once."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.now = 0


RATES = web.AppKey("rates", Rates)
CROWD = web.AppKey("crowd", Crowd)


@web.middleware
async def limit_crowd(request: web.Request, handler: Handler) -> web.StreamResponse:
    endpoint, crowd = endpoint_of(request), request.app[CROWD]
    if endpoint is not None and not endpoint.limited:
        return await handler(request)
    if crowd.now >= crowd.most:
        raise web.HTTPServiceUnavailable(
            text=f"{crowd.most} requests are being answered already; try again.", headers={"Retry-After": "1"}
        )
    crowd.now += 1
    try:
        return await handler(request)
    finally:
        crowd.now -= 1
