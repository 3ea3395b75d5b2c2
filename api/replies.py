"""Waits for workers' replies to tasks that a caller has asked for."""

import asyncio

from aiohttp import web

from api.app_keys import PARTITIONS, REDIS, REPLIES
from api.responses import problem
from schemas.questions import Answer
from schemas.store import workers

REPLY_TIMEOUT_SECONDS = 10.0
MAX_WAITING_CALLERS = 32
"""Callers of this process that wait at the same time, each with a connection to Redis."""
WAITING = web.AppKey("waiting", asyncio.Semaphore)
"""One permit for each caller that may wait."""


async def wait_for_reply(request: web.Request, question: str) -> Answer | None:
    """The reply to a question; None after `REPLY_TIMEOUT_SECONDS`, or when too many callers wait."""
    waiting = request.app[WAITING]
    if waiting.locked():
        return None
    async with waiting:
        return await request.app[REPLIES].wait(question, REPLY_TIMEOUT_SECONDS)


async def has_workers(request: web.Request, *stages: str) -> bool:
    """Whether each of the stages has a live worker."""
    alive = await workers.alive(request.app[REDIS], request.app[PARTITIONS].home)
    return set(stages) <= {worker.stage for worker in alive}


async def require_workers(request: web.Request, *stages: str) -> None:
    """Raises 503 when no reply can be expected: a stage has no worker, or too many callers wait."""
    if not await has_workers(request, *stages):
        raise web.HTTPServiceUnavailable(
            text=f"No worker runs for {' and '.join(stages)}; start one, or try again later.",
            headers={"Retry-After": "5"},
        )
    if request.app[WAITING].locked():
        raise web.HTTPServiceUnavailable(
            text=f"{MAX_WAITING_CALLERS} callers already wait for replies; try again later.",
            headers={"Retry-After": "1"},
        )


def reply_response(reply: Answer, status: int | None = None) -> web.Response:
    """A worker's reply as a response.

    Args:
        status: instead of the reply's own, when that is no error.
    """
    if reply.status >= 400:
        return problem(reply.status, reply.detail)
    return web.Response(
        status=status or reply.status, body=bytes(reply.body), content_type="application/json"
    )
