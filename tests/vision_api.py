"""A double of vision-api and of its viewer, as far as they use a Redis server that they share with this service.

They read the keys of all services themselves: the list of jobs, the state and the result of a job; and they clear the
cache, of everything or of one job.
"""

import json
from datetime import datetime
from typing import Any

from redis import Redis

SERVICES = ("vision", "faces", "scenes", "semantics", "objects", "captions")


class VisionApi:
    """Reads what the real programs read, by the same commands, and refuses what their models refuse."""

    def __init__(self, url: str) -> None:
        self._redis: Any = Redis.from_url(url, encoding="utf-8", decode_responses=True)

    def close(self) -> None:
        self._redis.close()

    def jobs(self, status: str | None = None, results: bool = False) -> list[dict[str, Any]]:
        """``GET /vision/jobs``, the newest first."""
        found = []
        for key in [key for name in SERVICES for key in self._redis.keys(f"{name}:job:*:metadata")]:
            service, _, job_id, *_ = key.split(":")
            if not (text := self._redis.get(key)):
                continue
            job = json.loads(text) | {"service": service, "job_id": job_id}
            if status and job.get("status") != status:
                continue
            if results and (text := self._redis.get(f"{service}:job:{job_id}:results")):
                job["results"] = json.loads(text)
            _check(job, ("source", "source_id", "created_at", "started_at", "completed_at"))
            found.append(job | {"progress": float(job.get("progress", 0.0))})
        return sorted(found, key=lambda job: datetime.fromisoformat(job["created_at"]), reverse=True)

    def status(self, job_id: str) -> dict[str, Any] | None:
        """``GET /vision/jobs/{job_id}/status``; None: 404."""
        for service in SERVICES:
            if text := self._redis.get(f"{service}:job:{job_id}:metadata"):
                job: dict[str, Any] = json.loads(text)
                assert isinstance(job["status"], str) and isinstance(job["created_at"], str), job
                assert isinstance(job.get("progress", 0.0), float | int), job
                assert isinstance(job.get("result_summary", {}), dict), job
                _check(job, ("stage", "message", "started_at", "completed_at", "error"))
                return job
        return None

    def results(self, job_id: str) -> dict[str, Any] | int:
        """``GET /vision/jobs/{job_id}/results``, or the status of the error."""
        state = self.status(job_id)
        if state is None:
            return 404
        if state["status"] != "completed":
            return 409
        text = self._redis.get(f"faces:job:{job_id}:results")
        if not text:
            return 404
        body: dict[str, Any] = json.loads(text)
        assert isinstance(body["metadata"], dict) and isinstance(body["job_id"], str), body
        return body

    def clear_cache(self) -> int:
        """``POST /api/admin/clear-cache``; returns how many keys were deleted."""
        return sum(self._delete(f"{name}:*") for name in (*SERVICES[:-1], "frames"))

    def clear_job(self, job_id: str) -> None:
        """``POST /api/admin/clear-cache`` for one job of this service."""
        self._delete(f"faces:job:{job_id}:*")
        for key in self._redis.scan_iter("faces:cache:*", count=500):
            if self._redis.get(key) == job_id:
                self._redis.delete(key)

    def _delete(self, pattern: str) -> int:
        deleted, cursor = 0, "0"
        while True:
            cursor, keys = self._redis.scan(cursor, match=pattern, count=500)
            deleted += self._redis.delete(*keys) if keys else 0
            if not int(cursor):
                return deleted


def _check(job: dict[str, Any], texts: tuple[str, ...]) -> None:
    for name in texts:
        assert job.get(name) is None or isinstance(job[name], str), (name, job)
