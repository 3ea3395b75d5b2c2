"""Spans: one a message handled, in the trace that the job came with."""

import pytest

pytest.importorskip("opentelemetry.sdk")

from typing import cast

from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from consumers.runtime.tracing import Tracing
from schemas.envelope import seal
from tests.consumers.runtime.chain import Job
from tests.consumers.runtime.world import World

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


async def test_every_message_of_a_job_is_a_span_of_its_trace(lone_world: World) -> None:
    exporter = InMemorySpanExporter()
    tracing = Tracing(exporter)
    await lone_world.record("a")
    message = seal("job", "a", "", Job(("ok", "flaky:2")), traceparent=f"00-{TRACE}-{PARENT}-01")
    await lone_world.redis.xadd(lone_world.keys.jobs, cast("dict[bytes | str, bytes]", message))
    async with (
        lone_world.worker("jobs", record_span=tracing.record),
        lone_world.worker("units", record_span=tracing.record),
        lone_world.worker("ends", record_span=tracing.record),
    ):
        await lone_world.ended("a")
    tracing.close()
    spans = exporter.get_finished_spans()
    job = next(span for span in spans if span.name == "jobs job")
    assert f"{job.context.trace_id:032x}" == TRACE and job.parent and f"{job.parent.span_id:016x}" == PARENT
    assert job.attributes is not None and job.attributes["faces.job"] == "a"
    assert all(span.start_time <= span.end_time for span in spans)
    units = [span for span in spans if span.name == "units unit"]
    assert len(units) == 3, "the second unit is tried twice"
    assert [e.name for span in units for e in span.events] == ["exception"]
