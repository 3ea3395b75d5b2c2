"""Prometheus metrics of ended jobs: status, duration and frames. Each process counts the jobs that it ends itself."""

from prometheus_client import CollectorRegistry, Counter, Histogram

BUCKET_SECONDS = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400)


class JobMetrics:
    """Counters and histogram of ended jobs."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._ended = Counter("faces_jobs_ended", "Jobs ended", ["status"], registry=registry)
        self._seconds = Histogram(
            "faces_job_seconds",
            "From submission to the end",
            ["status"],
            buckets=BUCKET_SECONDS,
            registry=registry,
        )
        self._frames = Counter(
            "faces_frames", "Frames of completed jobs: analysed, or known before", ["how"], registry=registry
        )

    def completed(self, frames: int, reused: int) -> None:
        """Counts the frames of a completed job.

        Args:
            reused: how many of them were not analysed again.
        """
        self._frames.labels("analysed").inc(frames - reused)
        self._frames.labels("reused").inc(reused)

    def ended(self, status: str, seconds: float) -> None:
        """Counts a job that took so many seconds from submission to its end."""
        self._ended.labels(status).inc()
        self._seconds.labels(status).observe(seconds)
