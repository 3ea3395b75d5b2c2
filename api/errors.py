"""Turns exceptions into responses with problem details (RFC 9457)."""

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from redis.exceptions import RedisError

from api.endpoints import endpoint_of
from api.limits import RateExceeded, SlotsTaken
from api.queries import QueryError
from api.responses import problem
from schemas.requests import RequestError
from schemas.store.collections import Busy, Refused
from schemas.store.server_errors import error_text, unavailable_reason
from schemas.store.submissions import JobExists, QueueFull

KEPT_HEADERS = ("Allow", "Retry-After", "WWW-Authenticate")
"""Headers of an HTTP exception that its response keeps."""
CLIENT_CLOSED_REQUEST = 499
"""Status, for the metrics, of a request whose caller has disconnected (nginx's code); it is never sent."""
log = structlog.get_logger(__name__)


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answers what handlers raise with problem details; unexpected errors are logged with their traceback."""
    try:
        return await handler(request)
    except QueryError as error:
        return problem(400, error.problem, field=error.field, allowed=error.allowed)
    except RequestError as error:  # 422: valid JSON with a wrong value
        return problem(422 if error.field else 400, error.problem, field=error.field, allowed=error.allowed)
    except (RateExceeded, QueueFull) as error:
        return problem(429, str(error), headers={"Retry-After": str(error.retry_after)})
    except JobExists as error:
        return problem(409, str(error), field="job_id")
    except SlotsTaken as error:
        return problem(503, str(error), headers={"Retry-After": "1"})
    except Busy as error:
        return problem(503, str(error), headers={"Retry-After": "5"})
    except Refused as error:
        return problem(409, str(error))
    except web.HTTPException as error:
        if error.status < 400:
            raise
        headers = {name: error.headers[name] for name in KEPT_HEADERS if name in error.headers}
        return problem(error.status, _detail(request, error), headers=headers)
    except ConnectionError:  # of the caller: redis-py has a class of its own
        log.debug("client disconnected", method=request.method, path=request.path)
        return web.Response(status=CLIENT_CLOSED_REQUEST)
    except RedisError as error:
        reason = unavailable_reason(error)
        if reason is None:
            return _internal_error(request)
        log.warning("redis unavailable", error=error_text(error))
        return problem(503, reason, headers={"Retry-After": "2"})
    except Exception:  # noqa: BLE001 - answered and logged
        return _internal_error(request)


def _detail(request: web.Request, error: web.HTTPException) -> str:
    """What an HTTP exception says; in words where aiohttp raised it, because no route matches."""
    if isinstance(error, web.HTTPMethodNotAllowed):
        return f"{request.method} is not possible here; use {' or '.join(sorted(error.allowed_methods))}."
    if isinstance(error, web.HTTPNotFound) and endpoint_of(request) is None:
        return f"There is nothing at {request.path[:200]}."
    return error.text or error.reason


def _internal_error(request: web.Request) -> web.Response:
    """500; logs the exception that is being handled."""
    log.exception("request failed", method=request.method, path=request.path)
    return problem(500, "Internal error; the log of the service has the details.")
