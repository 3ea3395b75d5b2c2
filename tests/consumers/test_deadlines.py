"""Every accepted job ends: job deadlines, and jobs without a finalize message."""

import pytest

from consumers.deadlines import sweep
from consumers.service import Service
from schemas.envelope import open_entry
from schemas.messages import FinalizeTask
from schemas.requests import AnalyzeRequest
from schemas.store.job_reader import JobReader

REQUEST = AnalyzeRequest(video_path="/v.mp4")


async def begun(service: Service, job_id: str) -> None:
    await service.jobs.submit(REQUEST, job_id)
    assert await service.jobs.begin(job_id, REQUEST)


async def test_a_job_past_its_deadline_fails_and_says_so(service: Service) -> None:
    await begun(service, "late")
    await begun(service, "in-time")
    await service.redis.zadd(service.names.active, {"late": 1.0})
    await sweep(service)
    reader = JobReader(service.redis, service.partitions)
    late, in_time = await reader.read("late"), await reader.read("in-time")
    assert late is not None and late.status == "failed" and "6 hours" in (late.error or "")
    assert in_time is not None and in_time.status == "processing"
    assert await service.redis.zscore(service.names.active, "late") is None


@pytest.mark.parametrize(("outcomes", "finalized"), [(1, False), (2, True)])
async def test_a_complete_job_without_a_finalize_message_is_finalized_once(
    service: Service, outcomes: int, finalized: bool
) -> None:
    await begun(service, "job")
    keys = service.names.job("job")
    await service.jobs.note("job", units=2)
    for number in range(outcomes):
        await service.redis.hset(keys.outcomes, str(number), b"\x91\xa8analysed")
    await sweep(service)
    await sweep(service)
    entries = await service.redis.xrange(service.names.finalize)
    assert [open_entry(fields, {"finalize": FinalizeTask}).job for _, fields in entries] == [
        "job"
    ] * finalized
