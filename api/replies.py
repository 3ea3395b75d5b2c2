"""Waits for workers' replies to tasks that a caller has asked for."""

from contextlib import AbstractContextManager

from aiohttp import web

from api.app_keys import PARTITIONS, REDIS, REPLIES
from api.limits import SharedSlots, caller_of
from api.responses import problem
from schemas.questions import Answer
from schemas.store import workers

REPLY_TIMEOUT_SECONDS = 10.0
MAX_WAITING_CALLERS = 32
"""Callers of this process that wait at the same time, each with a connection to Redis."""
WAITING = web.AppKey("waiting", SharedSlots)
"""Slots of the callers that wait."""


def waiting_slot(request: web.Request) -> AbstractContextManager[None]:
    """A slot for a caller that will wait, to be held before anything is sent; raises SlotsTaken."""
    return request.app[WAITING].hold(caller_of(request))


async def wait_for_reply(request: web.Request, question: str) -> Answer | None:
    """The reply to a question; None after `REPLY_TIMEOUT_SECONDS`. The caller holds a `waiting_slot`."""
    return await request.app[REPLIES].wait(question, REPLY_TIMEOUT_SECONDS)


async def has_workers(request: web.Request, *stages: str) -> bool:
    """Whether each of the stages has a live worker."""
    alive = await workers.alive(request.app[REDIS], request.app[PARTITIONS].home)
    return set(stages) <= {worker.stage for worker in alive}


async def require_workers(request: web.Request, *stages: str) -> None:
    """Raises 503 when a stage has no worker, so that no reply can be expected."""
    if not await has_workers(request, *stages):
        raise web.HTTPServiceUnavailable(
            text=f"No worker runs for {' and '.join(stages)}; start one, or try again later.",
            headers={"Retry-After": "5"},
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
