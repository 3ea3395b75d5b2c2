"""Spans for OpenTelemetry: one for every message handled, under the span that its traceparent names.

Needs the extra ``otel``. The SDK reads its own variables (``OTEL_EXPORTER_OTLP_ENDPOINT``, ``OTEL_SERVICE_NAME``,
``OTEL_TRACES_SAMPLER``, …).
"""

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from consumers.runtime.stage import Delivery

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

ASKED_FOR = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
Record = Callable[[str, Delivery[Any], float, Exception | None], None]
"""Notes that a stage has handled a message just now: name, message, seconds it took, how it failed."""


class TracingUnavailable(Exception):
    """Spans are asked for, and there is nothing to make them with."""


class Tracing:
    """Hands spans to an exporter, in the background.

    Raises:
        TracingUnavailable: the extra ``otel`` is not installed.
    """

    def __init__(self, exporter: "SpanExporter | None" = None) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError as error:
            raise TracingUnavailable(f"{ASKED_FOR[0]} is set; install the extra otel: {error}") from error
        self._provider = TracerProvider()
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("faces")

    @classmethod
    def from_env(cls) -> "Tracing | None":
        """None where no endpoint is named."""
        return cls() if any(os.environ.get(name) for name in ASKED_FOR) else None

    def record(self, stage: str, delivery: Delivery[Any], seconds: float, error: Exception | None) -> None:
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        envelope, ended = delivery.envelope, time.time_ns()
        span = self._tracer.start_span(
            f"{stage} {envelope.type}",
            TraceContextTextMapPropagator().extract({"traceparent": envelope.traceparent}),
            SpanKind.CONSUMER,
            {
                "messaging.system": "redis",
                "messaging.message.id": envelope.id,
                "faces.job": envelope.job,
                "faces.attempt": delivery.attempt,
            },
            start_time=ended - int(seconds * 1e9),
        )
        if error is not None:
            span.record_exception(error)
            span.set_attribute("error.type", type(error).__name__)
        span.end(ended)

    def close(self) -> None:
        """Hands over what has not been sent."""
        self._provider.shutdown()
