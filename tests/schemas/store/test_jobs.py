"""The job record on a real server: submitting, sharing results, ending once, expiry."""

import math
import time

import msgspec
import pytest

from schemas.requests import AnalyzeRequest, Parameters
from schemas.store.job_reader import result_json
from schemas.store.submissions import JobExists, QueueFull
from tests.schemas.store.records import BODY, REQUEST, SUMMARY, Records


@pytest.mark.parametrize("parts", [0, 2])
async def test_progress_is_never_above_its_total(records: Records, parts: int) -> None:
    await records.running("a")
    counts = {f"sampled:{part}": 4 for part in range(parts)} if parts else {"sampled": 8}
    await records.jobs.note("a", expected=5, **({"parts": parts} if parts else {}), **counts)
    outcomes = records.names.job("a").outcomes
    for done in range(8):
        await records.redis.hset(outcomes, str(done), "x")  # type: ignore[misc]
        state = await records.reader.read("a")
        assert state and state.done == done + 1 <= state.sampled <= state.expected == 8
        assert state.progress <= 0.95
    await records.redis.expire(outcomes, 60)


async def test_a_job_is_queued_then_processed_then_completed(records: Records) -> None:
    submitted = await records.jobs.submit(REQUEST, "a")
    assert (submitted.job_id, submitted.status) == ("a", "queued")
    state = await records.reader.read("a")
    assert state and (state.status, state.stage, state.progress) == ("queued", "queued", 0)
    assert await records.jobs.begin("a", REQUEST)
    assert await records.status("a") == "processing"
    assert await records.jobs.complete("a", BODY, SUMMARY, keep=60)
    state = await records.reader.read("a")
    assert state and (state.status, state.progress, state.summary) == ("completed", 1.0, SUMMARY)
    stored = await records.reader.result(state)
    assert stored
    answer = msgspec.json.decode(result_json(state, stored.body))
    assert list(answer)[:3] == ["job_id", "source_id", "status"] and answer["source_id"] == "s"


async def test_submitting_is_idempotent(records: Records) -> None:
    first = await records.jobs.submit(REQUEST, "a")
    assert await records.jobs.submit(REQUEST, "a") == first
    assert await records.redis.xlen(records.names.accepted) == 1
    with pytest.raises(JobExists):
        await records.jobs.submit(AnalyzeRequest(video_path="/other.mp4"), "a")


async def test_a_full_queue_refuses(records: Records) -> None:
    for number in range(3):
        await records.jobs.submit(REQUEST, str(number))
    with pytest.raises(QueueFull) as refused:
        await records.jobs.submit(REQUEST, "late")
    assert refused.value.retry_after > 0
    assert await records.reader.read("late") is None


async def test_a_job_ends_once(records: Records) -> None:
    await records.running("a")
    assert await records.jobs.fail("a", "broken")
    assert not await records.jobs.complete("a", BODY, SUMMARY, keep=60)
    assert not await records.jobs.cancel("a")
    state = await records.reader.read("a")
    assert state and (state.status, state.error) == ("failed", "broken")
    assert await records.events() == [("a", "failed")]
    assert not await records.jobs.begin("a", REQUEST)


async def test_equal_jobs_share_the_result_of_the_first(records: Records) -> None:
    await records.running("a", "b", "c")
    assert not await records.jobs.join("a", "key", 60)
    assert await records.jobs.join("b", "key", 60)
    assert await records.status("b") == "processing"
    await records.jobs.complete("a", BODY, SUMMARY, keep=60)
    assert await records.status("b") == "completed"
    assert await records.jobs.join("c", "key", 60)
    assert await records.status("c") == "completed"
    assert sorted(await records.events()) == [("a", "completed"), ("b", "completed"), ("c", "completed")]
    assert await records.redis.zcard(records.names.active) == 0


async def test_a_redelivered_job_stays_the_leader_of_equal_jobs(records: Records) -> None:
    await records.running("a")
    assert not await records.jobs.join("a", "key", 60)
    assert await records.jobs.begin("a", REQUEST)
    assert not await records.jobs.join("a", "key", 60)


async def test_a_failed_job_answers_no_other(records: Records) -> None:
    await records.running("a", "b")
    await records.jobs.join("a", "key", 60)
    await records.jobs.fail("a", "broken")
    assert not await records.jobs.join("b", "key", 60)


async def test_an_uncached_result_answers_no_other_job(records: Records) -> None:
    await records.running("a", "b")
    await records.jobs.join("a", "key", 60)
    await records.jobs.complete("a", BODY, SUMMARY, keep=0)
    assert await records.status("a") == "completed"
    assert not await records.jobs.join("b", "key", 60)


async def test_a_result_with_failed_frames_answers_no_other_job(records: Records) -> None:
    await records.running("a", "b")
    await records.jobs.join("a", "key", 60)
    await records.jobs.complete("a", BODY, SUMMARY, keep=600, whole=False)
    assert await records.redis.ttl(records.names.job("a").result) > 590
    assert not await records.jobs.join("b", "key", 60)


async def test_cancelling_a_job_leaves_its_equals_running(records: Records) -> None:
    await records.running("a", "b", "c")
    for job in "abc":
        await records.jobs.join(job, "key", 60)
    assert await records.jobs.cancel("a") and await records.jobs.cancel("b")
    assert not await records.jobs.cancel("a")
    assert [await records.status(job) for job in "abc"] == ["cancelled", "cancelled", "processing"]
    assert await records.jobs.complete("a", BODY, SUMMARY, keep=60)
    assert [await records.status(job) for job in "abc"] == ["cancelled", "cancelled", "completed"]


async def test_jobs_are_listed_and_deleted(records: Records) -> None:
    await records.running("a", "b", "c")
    assert not await records.jobs.delete("b"), "it is running"
    await records.jobs.fail("b", "broken")
    assert [state.job_id for state in (await records.reader.latest(2)).states] == ["c", "b"]
    assert await records.jobs.delete("b")
    assert [state.job_id for state in (await records.reader.latest(10)).states] == ["c", "a"]
    await records.redis.delete(records.names.job("a").metadata)
    assert [state.job_id for state in (await records.reader.latest(10)).states] == ["c"]
    assert await records.redis.zscore(records.names.jobs, "a") is None


async def test_a_request_under_the_id_of_another_leaves_that_job_alone(records: Records) -> None:
    await records.running("a")
    with pytest.raises(JobExists):
        await records.jobs.begin("a", AnalyzeRequest(video_path="/other.mp4"))
    with pytest.raises(JobExists):
        await records.jobs.accept(AnalyzeRequest(video_path="/other.mp4"), "a", time.time())
    with pytest.raises(JobExists):
        await records.jobs.refuse(REQUEST, "a", time.time(), "invalid", "digest of the invalid request")
    assert await records.status("a") == "processing"
    assert await records.events() == []
    assert await records.jobs.accept(REQUEST, "a", time.time())
    assert await records.jobs.begin("a", REQUEST), "the same request is the same job"
    assert await records.redis.xlen(records.names.accepted) == 0, "it is not begun a second time"


async def test_a_deleted_job_is_not_started_by_its_queued_request(records: Records) -> None:
    await records.jobs.submit(REQUEST, "a")
    assert await records.jobs.cancel("a") and await records.jobs.delete("a")
    assert not await records.jobs.begin("a", REQUEST)
    assert await records.reader.read("a") is None
    assert await records.events() == [("a", "cancelled")]


async def test_a_job_whose_record_has_expired_is_not_started(records: Records) -> None:
    await records.jobs.submit(REQUEST, "a")
    await records.redis.delete(records.names.job("a").metadata)
    assert not await records.jobs.begin("a", REQUEST)


async def test_a_deleted_job_is_started_only_by_what_was_published_later(records: Records) -> None:
    before = time.time()
    assert await records.jobs.accept(REQUEST, "a", before)
    assert await records.jobs.cancel("a") and await records.jobs.delete("a")
    assert not await records.jobs.accept(REQUEST, "a", before)
    assert not await records.jobs.begin("a", REQUEST)
    assert await records.jobs.accept(REQUEST, "a", time.time() + 1)
    assert await records.jobs.begin("a", REQUEST)


async def test_workers_do_not_see_where_the_end_of_a_job_is_sent(records: Records) -> None:
    request = AnalyzeRequest(video_path="/v.mp4", callback_url="https://hooks.test/?token=secret")
    for job in "ab":
        assert await records.jobs.accept(request, job, time.time()) and await records.jobs.begin(job, request)
        await records.jobs.join(job, "faces:cache:k:job_id", 60)
    stored = {key.decode(): await records.redis.dump(key) for key in await records.redis.keys()}
    holding = sorted(key for key, value in stored.items() if value and b"token" in value)
    assert holding == [records.names.job(job).callbacks for job in "ab"]
    state = await records.reader.read("a")
    assert state and await records.reader.request(state) == request
    assert await records.jobs.accept(request, "a", time.time()), "the same request is the same job"
    with pytest.raises(JobExists):
        await records.jobs.submit(msgspec.structs.replace(request, callback_url="https://other.test/"), "a")
    for job in "ab":
        await records.jobs.cancel(job)
        assert await records.jobs.delete(job)
    assert await records.redis.exists(*(records.names.job(job).callbacks for job in "ab")) == 0


async def test_an_invalid_request_that_was_published_ends_with_the_reason(records: Records) -> None:
    published = time.time()
    for _ in range(2):  # a redelivery changes nothing
        await records.jobs.refuse(
            AnalyzeRequest(video_path="?"), "a", published, "The request is invalid.", "digest"
        )
    state = await records.reader.read("a")
    assert state and (state.status, state.error) == ("failed", "The request is invalid.")
    assert await records.events() == [("a", "failed")]
    assert await records.redis.xlen(records.names.accepted) == 0


async def test_a_deleted_job_can_be_submitted_anew(records: Records) -> None:
    await records.running("a")
    assert await records.jobs.cancel("a") and await records.jobs.delete("a")
    await records.running("a")
    assert await records.status("a") == "processing"


async def test_cancelling_and_deleting_a_job_leaves_those_that_it_answers_for(records: Records) -> None:
    await records.running("a", "b")
    for job in "ab":
        await records.jobs.join(job, "key", 60)
    assert await records.jobs.cancel("a") and await records.jobs.delete("a")
    assert await records.reader.read("a") is None
    assert not await records.jobs.delete("a")
    assert await records.status("b") == "processing"
    assert await records.jobs.complete("a", BODY, SUMMARY, keep=60)
    assert await records.status("b") == "completed"
    assert await records.events() == [("a", "cancelled"), ("b", "completed")]
    assert await records.redis.zcard(records.names.active) == 0
    state = await records.reader.read("b")
    assert state and await records.reader.result(state)


async def test_a_deleted_result_stays_for_those_that_it_answers_for_and_no_longer(records: Records) -> None:
    await records.running("a", "b", "c")
    assert await records.jobs.accept(REQUEST, "d", time.time()) and await records.jobs.begin("d", REQUEST)
    for job in "ab":
        await records.jobs.join(job, "key", 60)
    await records.jobs.complete("a", BODY, SUMMARY, keep=60)
    assert await records.jobs.join("c", "key", 60)
    assert await records.jobs.delete("a")
    assert await records.reader.read("a") is None
    for job in "bc":
        state = await records.reader.read(job)
        assert state and state.status == "completed" and await records.reader.result(state)
    assert not await records.jobs.join("d", "key", 60), "a deleted job answers no further one"
    assert await records.jobs.delete("b") and await records.jobs.delete("c")
    left = [key.decode() for job in "abc" for key in await records.redis.keys(f"faces-service:job:{job}:*")]
    assert sorted(left) == [f"faces-service:job:{job}:deleted" for job in "abc"]


async def test_a_job_that_is_kept_exists_until_it_is_deleted(records: Records) -> None:
    await records.running("a", "b")
    await records.running("c", "d")
    assert not await records.jobs.keep("a"), "it runs"
    for job in "ab":
        await records.jobs.join(job, "key", 60)
    await records.jobs.complete("a", BODY, SUMMARY, keep=60)
    state = await records.reader.read("a")
    assert state and not state.kept and state.expires_in and 0 < state.expires_in <= 300
    assert await records.jobs.keep("b") and await records.jobs.keep("b")
    for job in "cd":
        assert await records.jobs.join(job, "key", 60), "which shortens nothing"
    for job, kept in {"a": True, "b": True, "c": False}.items():  # a holds the result of b
        state = await records.reader.read(job)
        assert state and state.kept == kept and (state.expires_in is None) == kept
    century = 99 * 365 * 86400
    a, b = records.names.job("a"), records.names.job("b")
    for key in (a.metadata, a.result, b.metadata, "faces:job:a:metadata", "faces:job:a:result"):
        assert await records.redis.ttl(key) > century, key

    assert await records.jobs.delete("a") and await records.reader.read("a") is None
    assert await records.redis.ttl(a.result) > century, "b holds it"
    c = records.names.job("c")
    await records.redis.delete(c.metadata, c.callbacks, "faces:job:c:metadata")  # expires
    assert await records.jobs.delete("b")
    assert 0 < await records.redis.ttl(a.result) <= 300, "only d holds it, which is not kept"
    assert await records.jobs.delete("d")
    assert [key for key in await records.redis.keys("faces*:job:*") if b"deleted" not in key] == []


async def test_people_who_are_erased_leave_the_results_of_kept_jobs_too(records: Records) -> None:
    request = AnalyzeRequest(video_path="/v", parameters=Parameters(match_collections=["c"]))
    matched = records.names.collection("c").matched
    await records.jobs.submit(request, "a")
    assert await records.jobs.begin("a", request) and await records.jobs.complete("a", BODY, SUMMARY, keep=60)
    await records.redis.zadd(matched, {"person-1 a": 5.0, "person-1 b": 6.0})
    assert await records.jobs.keep("a")
    assert await records.redis.zrange(matched, 0, -1, withscores=True) == [
        (b"person-1 b", 6),
        (b"person-1 a", math.inf),
    ]
    assert await records.jobs.delete("a")
    assert await records.redis.zrange(matched, 0, -1, withscores=True) == [
        (b"person-1 a", 0),
        (b"person-1 b", 6),
    ]
    await records.redis.delete(matched)


async def test_nothing_is_stored_of_a_job_that_was_deleted(records: Records) -> None:
    await records.running("a")
    keys = records.names.job("a")
    assert await records.keeps("a")
    assert await records.jobs.cancel("a") and await records.jobs.delete("a")
    assert not await records.keeps("a")
    assert not await records.jobs.complete("a", BODY, SUMMARY, keep=60)
    assert await records.redis.exists(*keys) == 0


async def test_ids_that_would_name_other_keys_are_unknown(records: Records) -> None:
    for job_id in ("", "a/b", "{x}", "a b", "x" * 200, "ä"):
        assert await records.reader.read(job_id) is None


async def test_the_list_of_jobs_stays_short_although_nobody_reads_it(records: Records) -> None:
    await records.redis.zadd(records.names.jobs, {f"expired-{number}": number for number in range(2000)})
    await records.running("lasting")
    for number in range(400):
        job_id = f"job-{number}"
        await records.running(job_id)
        await records.jobs.fail(job_id, "broken")
        await records.redis.delete(records.names.job(job_id).metadata)  # as when it expires
        await records.handled()
    assert await records.redis.zcard(records.names.jobs) < 100
    assert await records.redis.zscore(records.names.jobs, "lasting") is not None
