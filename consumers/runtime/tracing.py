"""Tracing: one OpenTelemetry span per handled message, as a child of the span in its traceparent.

Requires the extra ``otel``. The SDK reads its own variables (``OTEL_EXPORTER_OTLP_ENDPOINT``, ``OTEL_SERVICE_NAME``,
``OTEL_TRACES_SAMPLER``, …).
"""

import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from consumers.runtime.stage import Delivery

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

ENDPOINT_VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
"""Tracing is on when one of these environment variables is set."""
RecordSpan = Callable[[str, Delivery[Any], float, Exception | None], None]
"""Records a message handled just now: stage name, message, duration in seconds, error if it failed."""


class TracingUnavailable(Exception):
    """Tracing is configured, but the OpenTelemetry SDK is not installed."""


class Tracing:
    """Exports spans in the background.

    Args:
        exporter: where spans go; None: the OTLP endpoint of the environment.

    Raises:
        TracingUnavailable: the extra ``otel`` is not installed.
    """

    def __init__(self, exporter: "SpanExporter | None" = None) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ImportError as error:
            raise TracingUnavailable(
                f"{ENDPOINT_VARIABLES[0]} is set: install the extra otel ({error})"
            ) from error
        self._provider = TracerProvider()
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("faces")

    @classmethod
    def from_env(cls) -> "Tracing | None":
        """Returns None when no endpoint is configured."""
        return cls() if any(os.environ.get(name) for name in ENDPOINT_VARIABLES) else None

    def record(self, stage: str, delivery: Delivery[Any], seconds: float, error: Exception | None) -> None:
        """Records the span of a message that was handled just now."""
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
        """Exports the spans that are left."""
        self._provider.shutdown()
