"""The list of jobs: pages, and filters by status, source and time."""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

from redis.asyncio import Redis

from schemas.requests import AnalyzeRequest, Parameters, Scene
from schemas.store.jobs import Jobs
from tests.api.conftest import Client, Start


async def pages(api: Client, query: str) -> list[list[str]]:
    found, cursor = [], ""
    while True:
        answer: Any = await (await api.get(f"/faces/jobs?{query}{cursor}")).json()
        found.append([job["job_id"] for job in answer["jobs"]])
        if answer["next"] is None:
            return found
        cursor = f"&cursor={answer['next']}"


async def listed(api: Client, query: str) -> list[str]:
    return list(chain.from_iterable(await pages(api, query)))


async def submitted(jobs: Jobs, count: int) -> list[str]:
    names = [f"job-{number}" for number in range(count)]
    await asyncio.gather(
        *(jobs.submit(AnalyzeRequest(video_path="/v.mp4", source_id=f"s{n[-1]}"), n) for n in names)
    )
    return names


async def test_pages_show_every_job_once_when_all_have_the_same_time(
    start: Start, jobs: Jobs, redis: Redis
) -> None:
    names = await submitted(jobs, 700)
    await redis.zadd("faces-service:jobs", dict.fromkeys(names, 1795520628435))
    api = await start()
    found = await pages(api, "limit=100")
    assert [len(page) for page in found[:7]] == [100] * 7
    assert sorted(job for page in found for job in page) == sorted(names)


async def test_filters_apply_to_all_jobs_not_to_a_page(start: Start, jobs: Jobs) -> None:
    names = await submitted(jobs, 40)
    for name in ("job-3", "job-30"):
        await jobs.cancel(name)
    api = await start()
    assert sorted(await listed(api, "limit=1&status=cancelled")) == ["job-3", "job-30"]
    wanted = sorted(name for name in names if name[-1] == "3")
    assert sorted(await listed(api, "limit=3&source_id=s3")) == wanted
    assert await listed(api, "source_id=null") == []
    request = AnalyzeRequest(video_path="/v.mp4", parameters=Parameters(library="home"))
    await jobs.submit(request, "at-home")
    assert await listed(api, "limit=7&library=home") == ["at-home"]
    assert sorted(await listed(api, "limit=7&library=")) == sorted(names)
    assert await listed(api, "job_id=job-3&status=cancelled") == ["job-3"]
    assert await listed(api, "job_id=job-3&library=home") == await listed(api, "job_id=gone") == []
    assert await pages(api, "status=cancelled&source_id=s0") == [["job-30"]]


async def test_a_job_that_has_failed_or_is_gone_has_no_people_and_that_is_no_error(
    start: Start, jobs: Jobs
) -> None:
    await submitted(jobs, 1)
    await jobs.cancel("job-0")
    api = await start()
    for name in ("job-0", "gone"):
        answer = await api.get(f"/faces/jobs/{name}/people")
        assert (answer.status, await answer.json()) == (200, [])


async def test_jobs_are_listed_by_creation_time(start: Start, jobs: Jobs, redis: Redis) -> None:
    await submitted(jobs, 10)
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    for number in range(10):
        moment = noon + timedelta(hours=number)
        await redis.zadd("faces-service:jobs", {f"job-{number}": int(moment.timestamp() * 1000)})
    api = await start()
    hours = "created_after=2026-01-01T14:00:00Z&created_before=2026-01-01T18:00:00%2B01:00"
    for limit in (1, 2, 50):
        assert await listed(api, f"limit={limit}&{hours}") == ["job-4", "job-3", "job-2"]


async def test_jobs_that_have_expired_are_no_longer_listed(start: Start, jobs: Jobs, redis: Redis) -> None:
    await submitted(jobs, 3)
    await redis.delete("faces-service:job:job-1:metadata")
    api = await start()
    assert sorted(await listed(api, "limit=1")) == ["job-0", "job-2"]
    assert await redis.zcard("faces-service:jobs") == 2


async def test_lists_and_states_do_not_read_requests(start: Start, jobs: Jobs, redis: Redis) -> None:
    """Ten requests of 2 MB: less than 100 KB leave the server for a page of them, their states and events."""
    scenes = [Scene(start_timestamp=n, end_timestamp=n + 1) for n in range(60_000)]
    for number in range(10):
        request = AnalyzeRequest(
            video_path="/v.mp4", source_id=f"s{number}", parameters=Parameters(scene_boundaries=scenes)
        )
        await jobs.submit(request, f"job-{number}")
    api = await start()
    before = (await redis.info("stats"))["total_net_output_bytes"]
    answer: Any = await (await api.get("/faces/jobs?limit=10")).json()
    assert {(job["video_path"], job["source_id"]) for job in answer["jobs"]} == {
        ("/v.mp4", f"s{number}") for number in range(10)
    }
    assert await listed(api, "source_id=s3") == ["job-3"]
    assert (await api.get("/faces/jobs/job-3/status")).status == 200
    assert (await redis.info("stats"))["total_net_output_bytes"] - before < 100_000


async def test_the_list_of_dead_letters_does_not_read_their_messages(start: Start, redis: Redis) -> None:
    """Thirty letters of 1 MB, more than are read at a time: less than 100 KB leave the server."""
    for number in range(30):
        letter = {
            "body": b"x" * (1 << 20),
            "stage": "frames",
            "reason": f"damaged {number}",
            "attempts": 4,
            "replays": 1,
        }
        await redis.xadd("faces-service:dead", letter)
    api = await start()
    before = (await redis.info("stats"))["total_net_output_bytes"]
    answer: Any = await (await api.get("/faces/dead")).json()
    assert [letter["reason"] for letter in answer["letters"]] == [f"damaged {n}" for n in range(30)]
    assert {(letter["stage"], letter["attempts"], letter["replays"]) for letter in answer["letters"]} == {
        ("frames", 4, 1)
    }
    assert answer["total"] == 30 and answer["letters"][0]["given_up"] > 1e9
    assert (await redis.info("stats"))["total_net_output_bytes"] - before < 100_000


async def test_a_record_of_an_earlier_version_is_listed(start: Start, jobs: Jobs, redis: Redis) -> None:
    await submitted(jobs, 2)
    await redis.hdel("faces-service:job:job-1:metadata", "video_path", "source_id")
    answer: Any = await (await (await start()).get("/faces/jobs")).json()
    assert {(job["video_path"], job["source_id"]) for job in answer["jobs"]} == {
        ("/v.mp4", "s0"), ("/v.mp4", "s1"),
    }  # fmt: skip
