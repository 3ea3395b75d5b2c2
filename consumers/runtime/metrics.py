"""What a worker counts, for Prometheus. One registry a process; every series is labelled with the stage."""

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
SECONDS = (0.001, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 10, 30, 120, 600, 3600)


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._families = {
            name: kind(f"stream_{name}", text, ["stage"], registry=self.registry, **extra)
            for name, kind, text, extra in _FAMILIES
        }

    def stage(self, name: str) -> "StageMetrics":
        return StageMetrics({family: metric.labels(name) for family, metric in self._families.items()})

    def serve(self, port: int) -> None:
        """Answers GET /metrics on a thread of its own."""
        start_http_server(port, registry=self.registry)


class StageMetrics:
    """The series of one stage."""

    def __init__(self, series: dict[str, Any]) -> None:
        self.processed: Counter = series["processed"]
        self.duplicates: Counter = series["duplicates"]
        self.dropped: Counter = series["dropped"]
        self.failed: Counter = series["failed"]
        self.retried: Counter = series["retried"]
        self.dead: Counter = series["dead"]
        self.gone: Counter = series["gone"]
        self.recovered: Counter = series["recovered"]
        self.leases_lost: Counter = series["leases_lost"]
        self.groups_created: Counter = series["groups_created"]
        self.consumers_reaped: Counter = series["consumers_reaped"]
        self.in_flight: Gauge = series["in_flight"]
        self.paused: Gauge = series["paused"]
        self.lag: Gauge = series["lag"]
        self.pending: Gauge = series["pending"]
        self.delayed: Gauge = series["delayed"]
        self.oldest: Gauge = series["oldest_entry_age_seconds"]
        self.batch: Histogram = series["batch_size"]
        self.seconds: Histogram = series["handler_seconds"]


_FAMILIES: tuple[tuple[str, Any, str, dict[str, Any]], ...] = (
    ("processed", Counter, "Messages completed", {}),
    ("duplicates", Counter, "Messages whose unit had an outcome already", {}),
    ("dropped", Counter, "Messages of records that have ended", {}),
    ("failed", Counter, "Handler errors, one a message", {}),
    ("retried", Counter, "Messages sent to the delay set", {}),
    ("dead", Counter, "Messages that became dead letters", {}),
    ("gone", Counter, "Pending entries that were deleted by somebody else", {}),
    ("recovered", Counter, "Entries claimed from workers that let their lease run out", {}),
    ("leases_lost", Counter, "Entries that another worker took over", {}),
    ("groups_created", Counter, "Consumer groups that had to be created", {}),
    ("consumers_reaped", Counter, "Idle consumers removed", {}),
    ("in_flight", Gauge, "Messages held by this worker", {}),
    ("paused", Gauge, "1 while a stream further down is too long to read more", {}),
    ("lag", Gauge, "Entries not delivered yet: length of the stream minus pending; scale on this", {}),
    ("pending", Gauge, "Entries delivered and not acknowledged", {}),
    ("delayed", Gauge, "Messages waiting for their retry", {}),
    ("oldest_entry_age_seconds", Gauge, "Age of the first entry of the stream", {}),
    ("batch_size", Histogram, "Messages a handler call", {"buckets": SIZES}),
    ("handler_seconds", Histogram, "Seconds a handler call", {"buckets": SECONDS}),
)
