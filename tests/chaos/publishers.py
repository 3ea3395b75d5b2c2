"""Publishers of the chaos run: they submit, cancel, delete and publish again, and note which ends a job must have."""

import itertools
import random
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from redis import Redis
from redis.exceptions import RedisError

from schemas.names import Names
from tests.chaos.faults import NOT_COPIED
from tests.integration.client import Response, Service, without_times

T = TypeVar("T")
INTERVALS = (0.7, 1.3)
ANSWER_SECONDS, END_SECONDS = 120.0, 900.0
"""Bounds against waiting for ever: for the answer to a call, which is repeated, and for the end of a job."""


@dataclass
class Job:
    """A job and what was seen of it.

    Attributes:
        ends: the states in which its runs ended, in order.
        repeated: publications that may have arrived twice, since the first answer was lost.
        deleted: the service has confirmed that it is deleted.
        refused: another request was published under its id.
    """

    job_id: str
    ends: list[str] = field(default_factory=list)
    repeated: int = 0
    deleted: bool = False
    refused: bool = False


class Publishers:
    """Runs kinds of jobs until they are stopped; each kind is a method that checks what its jobs end in.

    Args:
        callback: receiver of webhooks.
        media: directory for copies of the videos, whose results the cache does not know.
    """

    def __init__(
        self, service: Service, videos: Sequence[Path], media: Path, callback: str, seed: int
    ) -> None:
        self._service = service
        self._redis = Redis.from_url(service.redis_url)
        self._callback = callback
        self._media = media
        self._seed = seed
        self._expected: dict[tuple[Path, float], Any] = {}
        self._requests = [(video, interval) for video in videos for interval in INTERVALS]
        self.jobs: list[Job] = []
        self.compared = 0
        self.kinds: list[Callable[[int, random.Random], None]] = [
            self._published_twice, self._contested, self._streamed, self._cancelled, self._deleted, self._failed,
            self._joined, self._observed,
        ]  # fmt: skip

    def learn(self) -> None:
        """Runs every request once, undisturbed: later results must equal these."""
        for video, interval in self._requests:
            job_id = self._service.submit(
                {"video_path": str(video), "parameters": {"sampling_interval": interval}}
            )
            assert self._service.wait_for_end(job_id)["status"] == "completed"
            self._expected[video, interval] = self._result(job_id)

    def run(self, stop: threading.Event, at_once: int) -> None:
        """Runs jobs, some at the same time, until `stop` is set and each kind has had a turn."""
        numbers, lock, failed = itertools.count(), threading.Lock(), threading.Event()

        def work() -> None:
            while not failed.is_set():
                with lock:
                    number = next(numbers)
                if stop.is_set() and number >= len(self.kinds):
                    return
                try:
                    self.kinds[number % len(self.kinds)](number, random.Random(f"{self._seed} {number}"))
                except BaseException:
                    failed.set()
                    raise

        with ThreadPoolExecutor(at_once) as pool:
            for end in [pool.submit(work) for _ in range(at_once)]:
                end.result()
        self._redis.close()

    def _published_twice(self, number: int, chance: random.Random) -> None:
        """Two publishers, the same id, the same request: one job."""
        job, (body, expected) = self._job(f"twice-{number}"), self._request(number)
        ways = [self._submit, self._publish]
        chance.shuffle(ways)
        for way in ways:
            way(job, body)
        self._completes(job, expected)
        self._publish(job, body)  # what is complete stays as it is

    def _contested(self, number: int, chance: random.Random) -> None:
        """Two publishers, the same id, different requests: the first one's job, and a refusal."""
        job, (body, expected), (other, others) = (
            self._job(f"contested-{number}"), self._request(number), self._request(number + 1),
        )  # fmt: skip
        job.refused = True
        if chance.random() < 0.5:
            self._submit(job, body)
            self._publish(job, chance.choice([other, {**other, "parameters": {"max_faces": 0}}]))
        else:
            self._publish(job, other)
            if self._submit(job, body, refused=True).status == 409:
                expected, job.refused = others, False
        self._completes(job, expected)

    def _streamed(self, number: int, chance: random.Random) -> None:
        """A job that is published to the stream alone."""
        job, (body, expected) = self._job(f"streamed-{number}"), self._request(number)
        self._publish(job, body)
        self._completes(job, expected)

    def _cancelled(self, number: int, chance: random.Random) -> None:
        """A job is cancelled, and published again."""
        job, (body, expected) = self._job(f"{NOT_COPIED}-cancelled-{number}"), self._request(number)
        self._submit(job, body)
        if self._cancel(job, chance) and chance.random() < 0.8:
            chance.choice([self._submit, self._publish])(job, body)
            self._completes(job, expected)

    def _deleted(self, number: int, chance: random.Random) -> None:
        """A job is cancelled and deleted at once."""
        job, (body, _) = self._job(f"{NOT_COPIED}-deleted-{number}"), self._request(number)
        if chance.random() < 0.5:
            self._submit(job, body)
        else:
            self._publish(job, body)
            self._until(lambda: self._status(job, missing_is="") or None)
        self._cancel(job, chance)
        self._delete(job)

    def _failed(self, number: int, chance: random.Random) -> None:
        """A job whose film does not exist fails; when it is published again, the film is there."""
        job, video = self._job(f"{NOT_COPIED}-failed-{number}"), self._media / f"{number}.mp4"
        body, expected = self._request(number, video)
        self._submit(job, body)
        self._ends(job, "failed")
        shutil.copyfile(self._source(number), video)
        chance.choice([self._submit, self._publish])(job, body)
        self._completes(job, expected)

    def _joined(self, number: int, chance: random.Random) -> None:
        """Three equal jobs share the work of the first, which is cancelled and deleted while it runs."""
        video = self._media / f"{number}.mp4"
        shutil.copyfile(self._source(number), video)
        body, expected = self._request(number, video)
        body["parameters"]["cache_duration"] = 3600
        first, second, third = (
            self._job(f"{NOT_COPIED}-{name}-{number}") for name in ("leader", "second", "third")
        )
        self._submit(first, body)
        self._publish(second, body)
        self._submit(third, body)
        if self._cancel(first, chance):
            self._delete(first)
        self._completes(second, expected)
        self._delete(second)
        self._completes(third, expected)
        self._delete(third)

    def _observed(self, number: int, chance: random.Random) -> None:
        """A job whose frames earlier ones have observed, unless one of these was deleted: its result is the same."""
        body, expected = self._request(number)
        body["parameters"] |= {"cache_duration": 3600, "max_faces": 100 + number}  # no other job answers
        job = self._job(f"{NOT_COPIED}-observed-{number}")
        chance.choice([self._submit, self._publish])(job, body)
        self._completes(job, expected)
        if chance.random() < 0.3:
            self._delete(job)

    # What a publisher does

    def _job(self, job_id: str) -> Job:
        job = Job(job_id)
        self.jobs.append(job)
        return job

    def _source(self, number: int) -> Path:
        return self._requests[number % len(self._requests)][0]

    def _request(self, number: int, copy: Path | None = None) -> tuple[dict[str, Any], Any]:
        """Returns the body of a request and the result that it must have."""
        video, interval = self._requests[number % len(self._requests)]
        body = {
            "video_path": str(copy or video),
            "callback_url": self._callback,
            "parameters": {"sampling_interval": interval, "cache_duration": 0},
        }
        expected = self._expected[video, interval]
        if copy is not None:
            paths = {"video_path": str(copy), "source": str(copy)}
            expected = {**expected, "metadata": {**expected["metadata"], **paths}}
        return body, expected

    def _submit(self, job: Job, body: dict[str, Any], refused: bool = False) -> Response:
        """Submits over REST until the service has answered; 409 only where it may refuse."""
        path, wanted = "/faces/analyze", (202, 409) if refused else (202,)
        return self._ask(job, lambda: self._service.post(path, {**body, "job_id": job.job_id}), wanted)

    def _publish(self, job: Job, body: dict[str, Any]) -> None:
        """Publishes to the stream until the server has answered."""
        entry = {"json": msgspec.json.encode({**body, "job_id": job.job_id})}
        tries = itertools.count()

        def add() -> bytes | None:
            job.repeated += next(tries) > 0
            try:
                return self._redis.xadd(Names().requests, entry)  # type: ignore[return-value, arg-type]
            except RedisError:
                return None

        self._until(add)

    def _cancel(self, job: Job, chance: random.Random) -> bool:
        """Cancels a job after a moment; returns whether that was before its end."""
        time.sleep(chance.uniform(0.0, 3.0))
        path = f"/faces/jobs/{job.job_id}/cancel"
        answer = self._ask(None, lambda: self._service.post(path, b""), (200, 409))
        self._ends(job, *(["cancelled"] if answer.status == 200 else ["cancelled", "completed"]))
        return job.ends[-1] == "cancelled"

    def _delete(self, job: Job) -> None:
        path = f"/faces/jobs/{job.job_id}"
        self._ask(None, lambda: self._service.delete(path), (204, 404))
        job.deleted = True
        self._ask(None, lambda: self._service.get(f"{path}/status"), (404,))

    # What it waits for

    def _completes(self, job: Job, expected: Any) -> None:
        self._ends(job, "completed")
        result = self._until(lambda: self._result(job.job_id))
        assert result == expected, f"{job.job_id} came out differently: {_difference(result, expected)}"
        self.compared += 1

    def _ends(self, job: Job, *allowed: str) -> None:
        """Waits for the (next) end of a job; one that was published to the stream may not have begun yet."""
        not_yet = ("queued", "processing", *job.ends[-1:])

        def ended() -> str | None:
            status = self._status(job, missing_is="queued")
            return None if status in not_yet else status

        status = self._until(ended, END_SECONDS)
        assert status in allowed, (job, status, self._service.get(f"/faces/jobs/{job.job_id}/status").json)
        job.ends.append(status)

    def _status(self, job: Job, missing_is: str) -> str | None:
        response = self._service.get(f"/faces/jobs/{job.job_id}/status")
        return (
            missing_is
            if response.status == 404
            else response.json["status"]
            if response.status == 200
            else None
        )

    def _result(self, job_id: str) -> Any:
        response = self._service.get(f"/faces/jobs/{job_id}/results?thumbnails=inline")
        return without_times(response.json) if response.status == 200 else None

    def _ask(self, job: Job | None, call: Callable[[], Response], wanted: tuple[int, ...]) -> Response:
        """Repeats a call while the service cannot answer it; any other answer than the wanted ones is an error."""
        tries = itertools.count()

        def once() -> Response | None:
            if job is not None:
                job.repeated += next(tries) > 0
            response = call()
            assert response.status in (*wanted, 503), (response.status, response.body)
            return response if response.status in wanted else None

        return self._until(once)

    def _until(self, look: Callable[[], T | None], within: float = ANSWER_SECONDS) -> T:
        """Returns what `look` returns as soon as that is true; the API may be unreachable meanwhile."""
        end = time.monotonic() + within
        while True:
            try:
                seen = look()
            except OSError:
                seen = None
            if seen:
                return seen
            assert self._service.process.poll() is None, "the service has ended; see its log"
            assert time.monotonic() < end, f"not within {within} s"
            time.sleep(0.1)


def _difference(result: Any, expected: Any) -> str:
    """Names the first value that differs."""
    for part in ("metadata", "faces"):
        if result[part] != expected[part]:
            pairs = result[part].items() if part == "metadata" else enumerate(result[part])
            for name, value in pairs:
                wanted = expected[part][name] if part == "metadata" or name < len(expected[part]) else None
                if value != wanted:
                    return f"{part} {name}: {str(value)[:300]} instead of {str(wanted)[:300]}"
    return f"{len(result['faces'])} faces instead of {len(expected['faces'])}"
