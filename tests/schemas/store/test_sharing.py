"""Programs that share the server read jobs under the specification's names, and may delete all that they know."""

from collections.abc import AsyncIterator

import msgspec
import pytest
from redis.asyncio import Redis

from consumers.runtime.scripts import Owner, check_fan_in, complete
from consumers.runtime.stage import Completion, FanIn, Outgoing
from schemas.store import lua
from schemas.store.job_reader import result_json
from schemas.store.lua import milliseconds
from tests.schemas.store.records import BODY, REQUEST, SUMMARY, Records
from tests.vision_api import VisionApi


@pytest.fixture
async def vision_api(valkey: str) -> AsyncIterator[VisionApi]:
    double = VisionApi(valkey)
    yield double
    double.close()


async def test_other_programs_list_jobs_with_state_progress_and_result(
    records: Records, vision_api: VisionApi
) -> None:
    await records.running("runs", "ends", "fails")
    await records.jobs.submit(REQUEST, "waits")
    await records.jobs.fail("fails", 'it broke: "quotes", ümlauts \x07')
    await records.jobs.complete("ends", BODY, SUMMARY, keep=60)
    await _work(records.redis, records, "runs", done=16, units=32)
    found = {job["job_id"]: job for job in vision_api.jobs(results=True)}
    assert {job: state["status"] for job, state in found.items()} == {
        "waits": "queued", "runs": "processing", "ends": "completed", "fails": "failed",
    }  # fmt: skip
    assert all(job["source"] == "/v.mp4" and job["source_id"] == "s" for job in found.values())
    assert found["runs"]["progress"] == pytest.approx(0.95 / 2) and found["ends"]["progress"] == 1
    for job_id, job in found.items():
        state = await records.reader.read(job_id)
        assert state is not None and (job["stage"], job.get("error")) == (state.stage, state.error)
        assert job["created_at"] == state.created_at
        assert vision_api.status(job_id) is not None
        keys = records.names.job(job_id).metadata, records.names.copies(job_id).metadata
        left = [await records.redis.pttl(key) for key in keys]
        assert abs(left[0] - left[1]) < milliseconds(5), "it lives as long as the record"
    state = await records.reader.read("ends")
    assert state is not None
    stored = await records.reader.result(state)
    assert stored is not None
    result = msgspec.json.decode(result_json(state, stored.body))
    assert found["ends"]["results"] == result == vision_api.results("ends")
    assert found["ends"]["result_summary"] == msgspec.to_builtins(SUMMARY)
    assert await records.redis.get("faces:job:ends:result") == result_json(state, stored.body)
    assert (vision_api.results("runs"), vision_api.results("nobody")) == (409, 404)
    await records.jobs.delete("ends")
    assert vision_api.status("ends") is None and vision_api.results("ends") == 404


async def test_clearing_the_cache_costs_cached_answers_only(records: Records, vision_api: VisionApi) -> None:
    await records.running("leads", "ended", "follows")
    await records.jobs.complete("ended", BODY, SUMMARY, keep=60)
    assert not await records.jobs.join("leads", records_key := "k", 60)
    assert await records.jobs.join("follows", records_key, 60)
    kept = {key: await records.redis.dump(key) for key in await records.redis.keys("faces-service:*")}
    assert vision_api.clear_cache() >= 5 and vision_api.jobs() == []
    assert {key: await records.redis.dump(key) for key in await records.redis.keys("*")} == kept
    assert await records.jobs.complete("leads", BODY, SUMMARY, keep=60)
    assert await records.status("follows") == "completed"
    assert {job["job_id"] for job in vision_api.jobs("completed")} == {"leads", "follows"}, "what ended since"
    state = await records.reader.read("ended")
    assert state is not None and await records.reader.result(state), "its result can still be read"
    await records.jobs.submit(REQUEST, "again")
    assert await records.jobs.begin("again", REQUEST)
    assert not await records.jobs.join("again", records_key, 60), "it is computed again"


async def test_clearing_one_job_leaves_the_others(records: Records, vision_api: VisionApi) -> None:
    await records.running("a", "b")
    for job in "ab":
        assert not await records.jobs.join(job, f"of-{job}", 60)
        await records.jobs.complete(job, BODY, SUMMARY, keep=60)
    vision_api.clear_job("a")
    assert [job["job_id"] for job in vision_api.jobs()] == ["b"]
    assert await records.redis.keys("faces:cache:*") == [b"faces:cache:of-b:job_id"]
    assert await records.status("a") == "completed"


async def test_a_result_that_is_too_large_to_be_read_at_once_is_not_copied(
    records: Records, vision_api: VisionApi
) -> None:
    metadata = msgspec.structs.replace(BODY.metadata, warnings=["x" * (9 << 20)])
    await records.running("a")
    assert await records.jobs.complete(
        "a", msgspec.structs.replace(BODY, metadata=metadata), SUMMARY, keep=60
    )
    assert vision_api.results("a") == 404 and len(vision_api.jobs("completed")) == 1
    state = await records.reader.read("a")
    assert state is not None and await records.reader.result(state)


async def test_what_another_program_has_written_under_the_names_of_copies_disturbs_no_job(
    records: Records,
) -> None:
    copies = records.names.copies("a")
    for key in (*copies, records.names.shared_events):
        await records.redis.hset(key, "not", "ours")
    await records.running("a")
    assert await records.jobs.complete("a", BODY, SUMMARY, keep=60)
    assert await records.events() == [("a", "completed")]
    assert await records.redis.get(copies.metadata)
    await records.redis.delete(records.names.shared_events)


async def _work(redis: Redis, records: Records, job: str, *, done: int, units: int) -> None:
    """Handles so many frames of a job."""
    names = records.names
    keys, run = names.job(job), await records.run_of(job)
    owner = Owner(names.frames, "analyze", "worker")
    await redis.xgroup_create(names.frames, "analyze", "0", mkstream=True)
    fan_in = FanIn(keys.metadata, keys.outcomes, Outgoing(names.finalize, {b"f": b"v"}), run)
    for unit in range(done):
        await redis.xadd(names.frames, {"f": "v"})
        ((_, ((entry, _),)),) = await redis.xreadgroup("analyze", "worker", {names.frames: ">"})
        completion = Completion(fan_in=fan_in, unit=str(unit), units=units)
        await lua.run(redis, complete(owner, entry.decode(), completion))
    await lua.run(redis, check_fan_in(fan_in))  # the sweep
    await redis.delete(names.frames)
