"""Endpoints for operators: queues, dead letters, replaying a dead letter."""

import re
from collections import Counter

from aiohttp import web

from api.app_keys import JOBS, PARTITIONS, REDIS
from api.endpoints import Content, Endpoint, Endpoints
from api.operations import DeadLetters, LetterReplayed, Queues, listed_letter
from api.queries import QueryError
from api.responses import json_response
from schemas.store import queues, workers
from schemas.store.dead_letters import replay, show, summaries
from schemas.topology import WORKER_TYPES

endpoints = Endpoints()

MAX_LETTERS = 200
"""Dead letters in one response."""
LETTER_ID = re.compile(r"[0-9]{1,19}-[0-9]{1,19}")
"""Id of a stream entry: milliseconds and a sequence number, 64 bits each."""


@endpoints.add(
    Endpoint("GET", "/faces/queues", "read", "How the stages' queues stand", responses={200: Queues})
)
async def show_queues(request: web.Request) -> web.Response:
    """Reports the length and age of every queue, and the live workers of every stage."""
    redis, partitions = request.app[REDIS], request.app[PARTITIONS]
    alive = Counter(worker.stage for worker in await workers.alive(redis, partitions.home))
    measured = await queues.measure(redis, partitions.all)
    body = Queues(
        queues=measured,
        workers={
            name: alive[name]
            for name in (*(kind.name for kind in WORKER_TYPES), *(queue.stage for queue in measured))
        },
        dead_letters=await queues.dead_letters(redis, partitions),
        active_jobs=await queues.active_jobs(redis, partitions),
    )
    return json_response(body)


@endpoints.add(
    Endpoint("GET", "/faces/dead", "read", "Messages that were given up", responses={200: DeadLetters})
)
async def list_dead_letters(request: web.Request) -> web.Response:
    """Lists dead letters, oldest first."""
    redis, partitions = request.app[REDIS], request.app[PARTITIONS]
    letters = [
        letter for names in partitions.all for letter in await summaries(redis, names.dead, MAX_LETTERS)
    ]
    letters.sort(key=lambda letter: letter.last)
    return json_response(
        DeadLetters(
            letters=[listed_letter(letter) for letter in letters[:MAX_LETTERS]],
            total=await queues.dead_letters(redis, partitions),
        )
    )


@endpoints.add(Endpoint(
    "POST", "/faces/dead/{letter_id}/replay", "admin", "Send a dead letter again (scope admin)",
    patterns={"letter_id": LETTER_ID}, body=Content({"application/json": {"type": "object"}}),
    responses={200: LetterReplayed}, problems=(400, 404, 415),
))  # fmt: skip
async def replay_dead_letter(request: web.Request) -> web.Response:
    """Sends a message again, with all its attempts.

    Requires a JSON content type: a browser sends that cross-site only after a preflight request (see api.cors).
    """
    letter_id = request.match_info["letter_id"]
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text="Expected Content-Type: application/json.")
    if not LETTER_ID.fullmatch(letter_id):
        raise QueryError(
            "letter_id", f"{letter_id[:100]!r} is not the id of a dead letter; expected two numbers: 0-0."
        )
    redis = request.app[REDIS]
    for names in request.app[PARTITIONS].all:
        if (letter := await show(redis, names.dead, letter_id)) is not None:
            outcome = await replay(redis, names.dead, letter, request.app[JOBS])
            return json_response(LetterReplayed(letter_id=letter_id, outcome=outcome))
    raise web.HTTPNotFound(text=f"There is no dead letter {letter_id}; it may have been replayed already.")
