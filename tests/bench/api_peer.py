"""The FastAPI service that `tests.bench.api` compares with: the same responses from the same Redis server.

It uses response models, as FastAPI's tutorial does, and runs in an environment of its own: fastapi,
uvicorn[standard], redis[hiredis].
"""

import json
import os
import secrets
from contextlib import asynccontextmanager
from typing import Any, Literal

import uvicorn
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, Field
from redis.asyncio import Redis


class Summary(BaseModel):
    unique_faces: int
    total_detections: int
    frames_processed: int
    processing_time_seconds: float


class Status(BaseModel):
    job_id: str
    status: Literal["queued", "processing", "completed", "failed", "cancelled"]
    progress: float
    stage: str
    message: str
    error: str | None = None
    result_summary: Summary | None = None


class Box(BaseModel):
    x_min: int
    y_min: int
    x_max: int
    y_max: int


class Components(BaseModel):
    size: float
    pose: float
    occlusion: float
    sharpness: float


class Quality(BaseModel):
    composite: float
    components: Components


class Angles(BaseModel):
    yaw: float
    pitch: float
    roll: float


class Landmarks(BaseModel):
    left_eye: tuple[int, int]
    right_eye: tuple[int, int]
    nose: tuple[int, int]
    mouth_left: tuple[int, int]
    mouth_right: tuple[int, int]


class Occlusion(BaseModel):
    occluded: bool
    probability: float


class Detection(BaseModel):
    frame_index: int
    timestamp: float
    bbox: Box
    confidence: float
    quality: Quality
    pose: str
    pose_angles: Angles
    landmarks: Landmarks
    enhanced: bool
    occlusion: Occlusion


class Demographics(BaseModel):
    age: int | None = None
    gender: Literal["M", "F"] | None = None
    emotion: str | None = None


class Face(BaseModel):
    face_id: str
    embedding: list[float]
    demographics: Demographics | None
    detections: list[Detection]
    representative_detection: Detection
    appearances: list[dict[str, float]]
    share: float
    cohesion: float
    nearest: dict[str, Any] | None
    weak_detections: int
    thumbnail: str


class Result(BaseModel):
    job_id: str
    source_id: str | None
    status: str
    faces: list[Face]
    metadata: dict[str, Any]


class Request(BaseModel):
    video_path: str
    source_id: str | None = None
    job_id: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$")
    parameters: dict[str, Any] = {}


class Submitted(BaseModel):
    job_id: str
    status: Literal["queued"]
    created_at: str


@asynccontextmanager
async def lifespan(app: FastAPI):  # type: ignore[no-untyped-def]
    async with Redis.from_url(os.environ["REDIS_URL"]) as redis:
        app.state.redis = redis
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/faces/jobs/{job_id}/status", response_model=Status)
async def status(job_id: str) -> Status:
    redis: Redis = app.state.redis
    record = await redis.hgetall(f"faces-service:job:{job_id}:metadata")
    if not record:
        raise HTTPException(404)
    done = await redis.hlen(f"faces-service:job:{job_id}:outcomes")
    total = int(record.get(b"units") or record.get(b"expected") or 0)
    summary = record.get(b"summary")
    state = record[b"status"].decode()
    return Status(
        job_id=job_id,
        status=state,
        progress=1.0 if state == "completed" else done / total if total else 0.0,
        stage=state,
        message=f"{done} of {total} frames analysed",
        error=record[b"error"].decode() if b"error" in record else None,
        result_summary=Summary.model_validate_json(summary) if summary else None,
    )


@app.get("/faces/jobs/{job_id}/results", response_model=Result)
async def results(job_id: str) -> Result:
    redis: Redis = app.state.redis
    record = await redis.hgetall(f"faces-service:job:{job_id}:metadata")
    if record.get(b"status") != b"completed":
        raise HTTPException(409)
    parts = await redis.hgetall(f"faces-service:job:{job_id}:result")
    body = (
        b"".join(parts[b"part:%d" % n] for n in range(int(parts[b"parts"])))
        if b"parts" in parts
        else parts[b"body"]
    )
    return Result(job_id=job_id, source_id=None, **json.loads(body))


@app.post("/faces/analyze", response_model=Submitted, status_code=202)
async def analyze(request: Request) -> Submitted:
    redis: Redis = app.state.redis
    if await redis.xlen("faces:requests") > 1_000_000:
        raise HTTPException(429)
    job_id = request.job_id or f"faces-{secrets.token_hex(12)}"
    body = request.model_dump_json()
    await redis.hset(f"faces-service:job:{job_id}:metadata", mapping={"request": body, "status": "queued"})
    await redis.expire(f"faces-service:job:{job_id}:metadata", 604800)
    await redis.xadd("faces:requests", {"json": body})
    return Submitted(job_id=job_id, status="queued", created_at="now")


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["FACES_PORT"]), loop="uvloop", http="httptools",
                access_log=False, log_level="warning")  # fmt: skip
