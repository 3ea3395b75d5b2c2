"""Checks after the chaos run: one event and one webhook for every end, and nothing left behind."""

import itertools
import threading
from collections import defaultdict
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
from redis import Redis
from redis.exceptions import ResponseError

from schemas.names import Names
from tests.chaos.faults import GROUPS
from tests.chaos.publishers import Job
from tests.integration.client import Service
from tests.waiting import eventually


class Receiver:
    """Receives webhooks, on a free port.

    Attributes:
        ends: by job, the state that each webhook reports, by the id of the webhook: a repeated one is the same.
    """

    def __init__(self) -> None:
        self.ends: defaultdict[str, dict[str, str]] = defaultdict(dict)
        ends = self.ends

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                data = msgspec.json.decode(body)["data"]
                ends[data["job_id"]][self.headers["webhook-id"]] = data["status"]
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def __enter__(self) -> "Receiver":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def check(service: Service, jobs: Sequence[Job], receiver: Receiver) -> None:
    """Waits until the streams are empty, then compares what is there with what must be."""
    with Redis.from_url(service.redis_url) as redis:
        _no_entry_is_left(redis)
        _each_run_ended_once(redis, jobs, receiver)
        _only_requests_of_others_were_refused(redis, jobs)
        _no_key_is_left(redis, jobs)


def _no_entry_is_left(redis: Redis) -> None:
    """No entry is queued, pending or delayed, no consumer outlives its worker, no job is active."""
    for stream, group in GROUPS.items():
        eventually(lambda: redis.xlen(stream) == 0)  # noqa: B023
        eventually(lambda: redis.exists(Names().delayed(stream)) == 0)  # noqa: B023
        eventually(lambda: _gone(redis, stream, group) == [])  # noqa: B023
        pending: Any = redis.xpending(stream, group)
        assert pending["pending"] == 0, (stream, pending)
    assert redis.zcard(Names().active) == 0, redis.zrange(Names().active, 0, -1)


def _gone(redis: Redis, stream: str, group: str) -> list[str]:
    """Returns consumers without a live worker."""
    try:
        consumers: Any = redis.xinfo_consumers(stream, group)
    except ResponseError:  # the group was destroyed, and its workers have not noticed yet
        return ["?"]
    alive: Any = redis.hkeys(Names().workers)
    return [consumer["name"] for consumer in consumers if consumer["name"] not in alive]


def _each_run_ended_once(redis: Redis, jobs: Sequence[Job], receiver: Receiver) -> None:
    """The events of a job are the ends that its publisher saw, in their order, and so are its webhooks."""
    events: defaultdict[str, list[str]] = defaultdict(list)
    entries: Any = redis.xrange(Names().events)
    for _, fields in entries:
        events[fields[b"job_id"].decode()].append(fields[b"status"].decode())
    for job in jobs:
        seen = events[job.job_id]
        if job.repeated:  # a publication that arrived twice after the job had failed is another run
            assert len(seen) <= len(job.ends) + job.repeated, (job, seen)
            seen = [status for status, _ in itertools.groupby(seen)]
        assert seen == job.ends, (job, events[job.job_id])
        webhooks = sorted(receiver.ends[job.job_id].values())
        assert webhooks == sorted(events[job.job_id]), (job, events[job.job_id], webhooks)


def _only_requests_of_others_were_refused(redis: Redis, jobs: Sequence[Job]) -> None:
    letters: Any = redis.xrange(Names().dead)
    refused = {fields[b"job"].decode() for _, fields in letters if b"another request" in fields[b"reason"]}
    others = [fields for _, fields in letters if b"another request" not in fields[b"reason"]]
    assert not others, others
    missing = {job.job_id for job in jobs if job.refused} - refused
    assert not missing, missing


def _no_key_is_left(redis: Redis, jobs: Sequence[Job]) -> None:
    """Every key of a job belongs to a record and expires; of deleted jobs and of frames there is none."""
    keys = {key.decode() for key in redis.scan_iter()}
    lasting = {key for key in keys if redis.ttl(key) == -1}
    names = Names()
    assert lasting <= {*GROUPS, names.events, names.shared_events, names.jobs, names.dead}, lasting
    of_jobs = {key for key in keys if key.startswith((names.stream("job:"), f"{names.shared}:job:"))} - {
        names.tombstone(job.job_id) for job in jobs
    }
    deleted = {
        keys_of(job.job_id).metadata.removesuffix("metadata")
        for job in jobs if job.deleted
        for keys_of in (names.job, names.copies)
    }  # fmt: skip
    back = [key for key in of_jobs if any(key.startswith(start) for start in deleted)]
    assert not back, f"keys of deleted jobs: {back}"
    frames = [key for key in of_jobs if ":frame:" in key or key.endswith(":frames")]
    assert not frames, f"frames: {frames}"
    observers: Any = redis.hkeys(names.observed)
    assert not {job.job_id for job in jobs if job.deleted} & {job.decode() for job in observers}
    orphans = [key for key in of_jobs if names.kept(f"{key.rpartition(':')[0]}:metadata") not in keys]
    assert not orphans, f"keys without a job: {orphans}"
