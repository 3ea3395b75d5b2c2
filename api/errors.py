"""Every error is an answer in JSON: problem details (RFC 9457) with the field at fault where there is one."""

import math

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from api.queries import QueryError
from api.responses import problem
from schemas.requests import RequestError
from schemas.store.collections import Busy, Refused
from schemas.store.jobs import JobExists, QueueFull

KEPT = ("Allow", "Retry-After", "WWW-Authenticate")
"""Headers of an error that its answer carries on."""
log = structlog.get_logger(__name__)


class TooOften(Exception):
    """A caller asks more often than allowed; again in `after` seconds."""

    def __init__(self, after: float) -> None:
        super().__init__("You ask more often than is allowed; slow down.")
        self.after = max(1, math.ceil(after))


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns what handlers raise into answers; what nobody expected is logged with its trace."""
    try:
        return await handler(request)
    except QueryError as error:
        return problem(400, error.problem, field=error.field, allowed=error.allowed)
    except RequestError as error:  # 422 is for what a body says
        return problem(422 if error.field else 400, error.problem, field=error.field, allowed=error.allowed)
    except TooOften as error:
        return problem(429, str(error), headers={"Retry-After": str(error.after)})
    except QueueFull as error:
        return problem(429, str(error), headers={"Retry-After": str(error.retry_after)})
    except JobExists as error:
        return problem(409, str(error), field="job_id")
    except Busy as error:
        return problem(503, str(error), headers={"Retry-After": "5"})
    except Refused as error:
        return problem(409, str(error))
    except web.HTTPException as error:
        if error.status < 400:
            raise
        kept = {name: error.headers[name] for name in KEPT if name in error.headers}
        return problem(error.status, error.text or error.reason, headers=kept)
    except (RedisConnectionError, RedisTimeoutError) as error:
        log.warning("server unreachable", error=str(error))
        return problem(503, "The Redis server cannot be reached.", headers={"Retry-After": "2"})
    except Exception:
        log.exception("request failed", method=request.method, path=request.path)
        return problem(500, "An error in this service; its log has the details.")
