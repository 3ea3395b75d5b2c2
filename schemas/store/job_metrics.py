"""How jobs end and how long they take, for Prometheus. Each process counts the jobs that it ends itself."""

from prometheus_client import CollectorRegistry, Counter, Histogram

SECONDS = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400)


class JobMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._ended = Counter("faces_jobs_ended", "Jobs ended", ["status"], registry=registry)
        self._seconds = Histogram(
            "faces_job_seconds", "From submission to the end", ["status"], buckets=SECONDS, registry=registry
        )

    def ended(self, status: str, seconds: float) -> None:
        self._ended.labels(status).inc()
        self._seconds.labels(status).observe(seconds)
