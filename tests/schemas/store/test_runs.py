"""Jobs that run again, and work that goes on for others, on a real server."""

import time
from functools import partial
from typing import Any, cast

import msgspec
import pytest

from schemas.requests import AnalyzeRequest
from schemas.store import dead_letters
from schemas.store.fair_queue import length
from schemas.store.submissions import JobExists
from tests.schemas.store.records import BODY, REQUEST, SUMMARY, Records


async def test_a_job_that_failed_or_was_cancelled_runs_again_when_it_is_submitted_again(
    records: Records,
) -> None:
    for end in (partial(records.jobs.fail, "a", "broken"), partial(records.jobs.cancel, "a")):
        await records.running("a")
        await records.keeps("a")
        assert await end()
        assert await records.jobs.submit(REQUEST, "a")
        assert await records.status("a") == "queued"
        assert await records.redis.exists(*records.names.job("a")[1:]) == 0, (
            "nothing is left of the first run"
        )
        assert await records.jobs.cancel("a")
    await records.running("a")
    assert await records.jobs.complete("a", BODY, SUMMARY, keep=60)
    await records.jobs.submit(REQUEST, "a")
    assert await records.status("a") == "completed"
    ends = ["failed", "cancelled", "cancelled", "cancelled", "completed"]
    assert await records.events() == [("a", end) for end in ends]


async def test_a_run_that_is_over_changes_nothing_of_the_next_one(records: Records) -> None:
    await records.running("a")
    first = await records.run_of("a")
    await records.jobs.fail("a", "broken")
    assert not await records.jobs.begin("a", REQUEST, first), "a redelivery of its message"
    await records.running("a")
    assert await records.run_of("a") != first
    assert not await records.jobs.begin("a", REQUEST, first)
    assert not await records.keeps("a", first)
    assert not await records.jobs.fail("a", "broken", run_id=first)
    assert not await records.jobs.complete("a", BODY, SUMMARY, keep=60, run_id=first)
    assert await records.jobs.join("a", "key", 60, first), "there is nothing to do"
    await records.jobs.note("a", first, units=1)
    assert await records.redis.hmget(records.names.job("a").metadata, ["units", "alias"]) == [None, None]
    assert await records.redis.exists(*records.names.job("a")[1:], records.names.cache("key")) == 0
    assert await records.status("a") == "processing"
    assert await records.keeps("a", await records.run_of("a"))


async def test_a_request_published_before_a_failure_is_answered_by_it(records: Records) -> None:
    published = time.time() - 1
    assert await records.jobs.accept(REQUEST, "a", published)
    assert await records.jobs.fail("a", "broken")
    assert await records.jobs.accept(REQUEST, "a", published)
    assert await records.status("a") == "failed"
    assert await records.jobs.accept(REQUEST, "a", time.time())
    assert await records.status("a") == "queued"
    assert await length(records.redis, records.names.accepted) == 2


async def test_repeating_a_submission_starts_no_second_run(records: Records) -> None:
    began = time.time() - 1
    await records.jobs.submit(REQUEST, "a")
    await records.jobs.fail("a", "broken")
    await records.jobs.submit(REQUEST, "a", repeats=began)
    assert await records.status("a") == "failed"


async def test_jobs_that_a_failed_one_answered_keep_their_end_when_it_runs_again(records: Records) -> None:
    await records.running("a", "b", "c")
    for job in "abc":
        await records.jobs.join(job, "key", 60)
    assert await records.jobs.fail("a", "broken")
    assert await records.jobs.delete("c")
    await records.running("a")
    assert [await records.status(job) for job in "ab"] == ["processing", "failed"]
    state = await records.reader.read("b")
    assert state and state.error == "broken"
    await records.running("b")
    assert await records.jobs.fail("a", "broken again")
    assert await records.status("b") == "processing"
    assert sorted(await records.events()) == [("a", "failed")] * 2 + [("b", "failed"), ("c", "failed")]


async def test_a_job_that_joined_another_one_and_was_cancelled_runs_again(records: Records) -> None:
    await records.running("a", "b")
    for job in "ab":
        await records.jobs.join(job, "key", 60)
    assert await records.jobs.cancel("b")
    await records.running("b")
    assert await records.status("b") == "processing"
    assert await records.jobs.join("b", "key", 60)
    assert await records.jobs.complete("a", BODY, SUMMARY, keep=60)
    assert await records.status("b") == "completed"
    assert await records.events() == [("b", "cancelled"), ("a", "completed"), ("b", "completed")]


@pytest.mark.parametrize("others_first", [False, True])
async def test_a_cancelled_job_whose_work_goes_on_for_others_takes_it_up_again(
    records: Records, others_first: bool
) -> None:
    await records.running("a", "b")
    for job in "ab":
        await records.jobs.join(job, "key", 60)
    assert await records.jobs.cancel("a")
    if others_first:
        assert await records.jobs.complete("a", BODY, SUMMARY, keep=60)
        assert await records.status("a") == "cancelled"
    await records.jobs.submit(REQUEST, "a")
    if not others_first:
        assert await records.status("a") == "processing"
        assert await records.jobs.complete("a", BODY, SUMMARY, keep=60)
    assert [await records.status(job) for job in "ab"] == ["completed", "completed"]
    assert sorted(await records.events()) == [("a", "cancelled"), ("a", "completed"), ("b", "completed")]


async def test_work_that_nobody_waits_for_any_more_stops_and_leaves_nothing(records: Records) -> None:
    for deleted in (False, True):
        await records.running("a", "b")
        for job in "ab":
            await records.jobs.join(job, "key", 60)
        await records.keeps("a")
        assert await records.jobs.cancel("a")
        if deleted:
            assert await records.jobs.delete("a")
        assert await records.jobs.cancel("b")
        assert await records.redis.exists(*records.names.job("a")[1:-1]) == 0
        assert await records.redis.zcard(records.names.active) == 0
        assert not await records.keeps("a")
        assert await records.status("b") == "cancelled"
        assert await records.jobs.delete("b")
        if not deleted:
            assert await records.status("a") == "cancelled"
            assert await records.jobs.delete("a")
    left = {key.decode() for key in await records.redis.keys("faces-service:job:*")}
    assert left == {"faces-service:job:a:deleted", "faces-service:job:b:deleted"}
    assert sorted(await records.events()) == [("a", "cancelled")] * 2 + [("b", "cancelled")] * 2


async def test_an_id_whose_deleted_job_works_on_for_others_is_refused_until_they_end(
    records: Records,
) -> None:
    await records.running("a", "b")
    for job in "ab":
        await records.jobs.join(job, "key", 60)
    assert await records.jobs.cancel("a") and await records.jobs.delete("a")
    with pytest.raises(JobExists, match="deleted"):
        await records.jobs.submit(REQUEST, "a")
    assert await records.jobs.cancel("b")
    await records.jobs.submit(REQUEST, "a")


async def test_an_end_is_not_cancelled_in_those_that_it_answered(records: Records) -> None:
    await records.running("a", "b")
    for job in "ab":
        await records.jobs.join(job, "key", 60)
    assert await records.jobs.complete("a", BODY, SUMMARY, keep=60)
    assert not await records.jobs.cancel("b")
    assert await records.status("b") == "completed"


async def test_replaying_the_message_of_a_failed_job_runs_it_again_unless_it_was_deleted(
    records: Records,
) -> None:
    await records.jobs.submit(AnalyzeRequest(video_path="/v.mp4", callback_url="http://127.0.0.1:9/"), "a")
    ((_, fields),) = cast("Any", await records.redis.xrange(records.names.accepted))
    letter = {
        "stage": "frames", "stream": records.names.accepted, "job": "a", "type": "analyze", "reason": "broken",
        "error": "", "text": "", "trace": "", "attempts": 4, "deliveries": 1, "first": 1.0, "worker": "w",
        "replays": 0, "traceparent": "", "body": fields[b"msgpack"], "body_field": "msgpack",
        "headers": msgspec.msgpack.encode({}), "message": b"", "record": "", "outcomes": "",
    }  # fmt: skip
    for outcome, status in (("sent", "queued"), ("ended", None)):
        entry = await records.redis.xadd(records.names.dead, cast("Any", letter))
        dead = await dead_letters.show(records.redis, records.names.dead, entry.decode())
        assert dead is not None and await records.jobs.fail("a", "broken")
        if status is None:
            assert await records.jobs.delete("a")
        replayed = await dead_letters.replay(records.redis, records.names.dead, dead, records.jobs)
        state = await records.reader.read("a")
        assert (replayed, state and state.status) == (outcome, status)
    await records.redis.unlink(records.names.dead)


async def test_a_job_whose_answer_has_expired_is_not_answered_by_a_later_run(records: Records) -> None:
    await records.running("a", "b")
    for job in "ab":
        await records.jobs.join(job, "key", 60)
    await records.jobs.complete("a", BODY, SUMMARY, keep=60)
    await records.redis.unlink(*records.names.job("a"))
    await records.running("a")
    assert await records.reader.read("b") is None
    await records.running("b")
    assert await records.status("b") == "processing"
