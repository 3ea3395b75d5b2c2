"""Metrics: the Prometheus series of a worker process, each labelled with its stage."""

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

BATCH_SIZE_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128)
"""Messages."""
HANDLER_SECONDS_BUCKETS = (0.001, 0.005, 0.025, 0.1, 0.5, 1, 2.5, 10, 30, 120, 600, 3600)


class Metrics:
    """Registry of one process, with the metric families that all stages share."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._families = {
            name: kind(f"stream_{name}", text, ["stage"], registry=self.registry, **extra)
            for name, kind, text, extra in _FAMILIES
        }

    def stage(self, name: str) -> "StageMetrics":
        """Returns the series of a stage."""
        return StageMetrics({family: metric.labels(name) for family, metric in self._families.items()})

    def serve(self, port: int) -> None:
        """Answers GET /metrics in a thread of its own."""
        start_http_server(port, registry=self.registry)


class StageMetrics:
    """The series of one stage; `_FAMILIES` describes them."""

    def __init__(self, series: dict[str, Any]) -> None:
        self.processed: Counter = series["processed"]
        self.duplicates: Counter = series["duplicates"]
        self.dropped: Counter = series["dropped"]
        self.failed: Counter = series["failed"]
        self.retried: Counter = series["retried"]
        self.dead: Counter = series["dead"]
        self.deleted: Counter = series["gone"]
        self.recovered: Counter = series["recovered"]
        self.leases_lost: Counter = series["leases_lost"]
        self.groups_created: Counter = series["groups_created"]
        self.consumers_reaped: Counter = series["consumers_reaped"]
        self.in_flight: Gauge = series["in_flight"]
        self.paused: Gauge = series["paused"]
        self.lag: Gauge = series["lag"]
        self.callers: Gauge = series["callers"]
        self.pending: Gauge = series["pending"]
        self.delayed: Gauge = series["delayed"]
        self.oldest: Gauge = series["oldest_entry_age_seconds"]
        self.batch: Histogram = series["batch_size"]
        self.seconds: Histogram = series["handler_seconds"]


_FAMILIES: tuple[tuple[str, Any, str, dict[str, Any]], ...] = (
    ("processed", Counter, "Messages completed", {}),
    ("duplicates", Counter, "Messages whose unit had an outcome already", {}),
    ("dropped", Counter, "Messages of jobs that had ended", {}),
    ("failed", Counter, "Messages for which the handler returned or raised an error", {}),
    ("retried", Counter, "Messages scheduled for a retry", {}),
    ("dead", Counter, "Messages that became dead letters", {}),
    ("gone", Counter, "Pending entries that another client deleted from the stream", {}),
    ("recovered", Counter, "Pending entries claimed after their lease expired", {}),
    ("leases_lost", Counter, "Entries that another worker claimed from this one", {}),
    ("groups_created", Counter, "Consumer groups that were missing and created again", {}),
    ("consumers_reaped", Counter, "Idle consumers removed from the group", {}),
    ("in_flight", Gauge, "Entries that this worker owns", {}),
    ("paused", Gauge, "1 while a downstream stream is above its high-water mark, else 0", {}),
    ("lag", Gauge, "Entries not delivered yet, and messages in the fair queue; scale on this", {}),
    ("callers", Gauge, "Callers with messages in the fair queue", {}),
    ("pending", Gauge, "Entries delivered and not acknowledged", {}),
    ("delayed", Gauge, "Messages in the delay set", {}),
    ("oldest_entry_age_seconds", Gauge, "Age of the first entry of the stream", {}),
    ("batch_size", Histogram, "Messages per handler call", {"buckets": BATCH_SIZE_BUCKETS}),
    ("handler_seconds", Histogram, "Duration of a handler call", {"buckets": HANDLER_SECONDS_BUCKETS}),
)
