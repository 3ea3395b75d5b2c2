"""Job records on a real server, for tests."""

from typing import Any

from redis.asyncio import Redis

from schemas.metadata import Metadata, Rejected
from schemas.names import Partitions
from schemas.requests import AnalyzeRequest
from schemas.results import ResultBody, ResultSummary
from schemas.settings import Settings
from schemas.store.fair_queue import turns, waiting
from schemas.store.job_reader import JobReader
from schemas.store.jobs import Jobs
from schemas.store.run_data import HashFields, Kept, keep_all

REQUEST = AnalyzeRequest(video_path="/v.mp4", source_id="s")
SUMMARY = ResultSummary(unique_faces=0, total_detections=0, frames_processed=1, processing_time_seconds=0.5)
BODY = ResultBody(
    status="completed",
    faces=[],
    metadata=Metadata(
        video_path="/v.mp4", total_frames=1, frames_processed=1, unique_faces=0, total_detections=0,
        processing_time_seconds=0.5, method="ffmpeg", model="open", providers=[], detector_sizes=[640],
        min_confidence=0.5, sharpness_method="sobel", occlusion_model=None, rejected=Rejected(),
        failed_frames=[], failed_frames_count=0, enhancement=None, warnings=[],
    ),
)  # fmt: skip


class Records:
    def __init__(self, redis: Redis) -> None:
        self.redis, partitions = redis, Partitions()
        self.names = partitions.home
        settings = Settings.from_env({"FACES_MAX_QUEUED_JOBS": "3", "CACHE_TTL": "1000"})
        self.jobs, self.reader = Jobs(redis, partitions, settings), JobReader(redis, partitions)

    async def running(self, *job_ids: str) -> None:
        for job_id in job_ids:
            await self.jobs.submit(REQUEST, job_id)
            assert await self.jobs.begin(job_id, REQUEST)
        await self.handled()

    async def handled(self) -> None:
        """Does what the frames stage does with accepted jobs."""
        accepted = self.names.accepted
        await self.redis.delete(waiting(accepted), turns(accepted))
        await self.redis.xtrim(accepted, 0)

    async def keeps(self, job_id: str, run_id: str = "") -> bool:
        """Whether data that a run of a job makes are stored."""
        keys = self.names.job(job_id)
        data = [Kept(keys.metadata, run_id, [HashFields(key, 60, {"0": b"data"})]) for key in keys[2:-1]]
        stored = set(await keep_all(self.redis, data))
        assert len(stored) == 1
        return stored.pop()

    async def run_of(self, job_id: str) -> str:
        return (await self.redis.hget(self.names.job(job_id).metadata, "run") or b"").decode()

    async def status(self, job_id: str) -> str:
        state = await self.reader.read(job_id)
        assert state is not None
        return state.status

    async def events(self) -> list[tuple[str, str]]:
        entries: Any = await self.redis.xrange(self.names.events)
        return [(fields[b"job_id"].decode(), fields[b"status"].decode()) for _, fields in entries]
