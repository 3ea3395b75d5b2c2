"""A process that speaks the Frame Server's protocol, with the faults that a test asks for.

    python -m tests.consumers.sources.frame_server_process PORT VOLUME

Speaks as the real one does: it samples by counting frames, has no timestamps mode (it takes an interval instead),
samples scenes at 25, 50 and 75 % and keeps times to 1/100 s. It reads with OpenCV, which applies the angle of a
film, but neither mirroring, nor EXIF, nor the shape of pixels; frames that OpenCV cannot read come from PyAV,
unturned.
``PUT /faults`` sets what goes wrong:

    failures       the next so many requests are answered with 500
    stalled        status answers "processing" so many times before the job is done
    cached         extract answers with another, already completed job
    documented     the field names of the documentation instead of the code's
    spacing        seconds between frames, whatever was asked for
    lost_files     frames are removed from the volume as soon as the job is done
    lost_frames    frames can't be had over HTTP either
    broken         the job fails
    hangs          requests whose path contains this text are never answered
    no_metadata    responses lack the duration of the film
    first          only so many frames are there
    film           the film that is taken, whatever was asked for: its mount is another than this host's
    enhanced       how often the answer of extract-frame is enlarged; "slow": it never comes; "text": no picture
    restored       the film that enhanced frames are taken from, instead of the one asked for
    models         names of the loaded restoration models: with another one, the frame is sent as it is
    no_single      extract-frame has no frame
    sends          extract-frame states this moment instead of the requested one
    dies_after     after so many frames over HTTP the process ends
    cached_frames  enhanced frames come from the cache, whose responses lack X-Faces-Enhanced
    header         value of X-Faces-Enhanced, whatever was done
    recoded        enhanced frames are coded in another way: with the same pixels, other bytes
    scale          factor of the sides of the frames of jobs
    unturned       numbers of the frames that PyAV reads
"""

import asyncio
import math
import os
import sys
from collections.abc import Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from aiohttp import web

FPS = 25
MODELS = ("codeformer", "gfpgan")
routes = web.RouteTableDef()
faults: dict[str, Any] = {}
jobs: dict[str, dict[str, Any]] = {}
requests: list[list[Any]] = []


def volume() -> Path:
    return Path(sys.argv[2])


@web.middleware
async def misbehave(request: web.Request, handler: Any) -> web.StreamResponse:
    if not request.path.startswith("/faults"):
        requests.append([request.method, request.path, dict(request.query)])
        if faults.get("hangs", " ") in request.path:
            await asyncio.sleep(3600)
        if faults.get("failures", 0) > 0:
            faults["failures"] -= 1
            return web.json_response({"detail": "the model fell over"}, status=500)
    return await handler(request)


@routes.put("/faults")
async def set_faults(request: web.Request) -> web.Response:
    faults.clear()
    requests.clear()
    faults.update(await request.json())
    return web.json_response({})


@routes.get("/faults/requests")
async def list_requests(request: web.Request) -> web.Response:
    return web.json_response(requests)


@routes.get("/frames/health")
async def health(request: web.Request) -> web.Response:
    return web.json_response({"status": "healthy", "service": "frame-server", "version": "1.0.0"})


@routes.post("/frames/extract")
async def extract(request: web.Request) -> web.Response:
    body = await request.json()
    strategy = body["sampling_strategy"]
    body["video_path"] = faults.get("film", body["video_path"])
    if not Path(body["video_path"]).is_file():
        return web.json_response({"detail": "Video not found"}, status=404)
    if strategy["mode"] == "scenes" and not faults.get("documented"):
        return web.json_response({"detail": "unknown mode"}, status=422)
    if strategy["mode"] == "scene_based" and faults.get("documented"):
        return web.json_response({"detail": "unknown mode"}, status=422)
    interval = strategy.get("interval_seconds", 2.0)
    if not 0.1 <= interval <= 10.0:
        return web.json_response({"detail": "interval_seconds out of range"}, status=422)
    job_id = "somebody-elses-job" if faults.get("cached") else body["job_id"]
    jobs[job_id] = {"status": "processing", "left": 0 if faults.get("cached") else faults.get("stalled", 1)}
    scenes = body.get("scene_boundaries") or strategy.get("scene_boundaries")
    times = None
    if scenes:
        times = sorted({t for s in scenes for t in scene_times(s["start_timestamp"], s["end_timestamp"])})
    jobs[job_id]["frames"] = await asyncio.to_thread(
        write_frames, job_id, body["video_path"], faults.get("spacing", interval), times
    )
    status = "completed" if faults.get("cached") else "queued"
    jobs[job_id]["status"] = status
    return web.json_response({"job_id": job_id, "status": status, "estimated_frames": 5}, status=202)


def scene_times(start: float, end: float) -> list[float]:
    """Moments of a scene as the real one samples it: at 25, 50 and 75 %."""
    return [start + part * (end - start) for part in (0.25, 0.5, 0.75)]


def write_frames(job_id: str, video: str, interval: float, times: list[float] | None) -> list[dict[str, Any]]:
    (volume() / job_id).mkdir(exist_ok=True)
    pictures = list(read(video))
    wanted = (
        range(0, len(pictures), round(interval * FPS))
        if times is None
        else [min(round(t * FPS), len(pictures) - 1) for t in times]
    )
    frames = []
    for index, number in enumerate(wanted):
        path = volume() / job_id / f"frame_{index:06d}.jpg"
        scale = faults.get("scale", 1)
        picture = encoded(cv2.resize(pictures[number], None, fx=scale, fy=scale))
        path.write_bytes(picture)
        frames.append({
            "index": index, "timestamp": number / FPS, "path": path, "encoded": picture,
            "duration": len(pictures) / FPS, "size": pictures[number].shape,
        })  # fmt: skip
    return frames


@routes.get("/frames/jobs/{job_id}/status")
async def status(request: web.Request) -> web.Response:
    job = jobs.get(request.match_info["job_id"])
    if job is None:
        return web.json_response({"detail": "Job not found"}, status=404)
    job["left"] -= 1
    if faults.get("broken"):
        job["status"] = "failed"
    elif job["left"] < 0:
        job["status"] = "completed"
    return web.json_response(
        {"status": job["status"], "progress": 0.5, "error": "no GPU" if faults.get("broken") else None}
    )


@routes.get("/frames/jobs/{job_id}/results")
async def results(request: web.Request) -> web.Response:
    job = jobs.get(request.match_info["job_id"])
    if job is None:
        return web.json_response({"detail": "Job not found"}, status=404)
    if job["status"] != "completed":
        return web.json_response({"detail": "Job not completed"}, status=409)
    index, facts = ("frame_index", "video_metadata") if faults.get("documented") else ("index", "metadata")
    duration = "duration" if faults.get("documented") else "video_duration_seconds"
    fps = "fps" if faults.get("documented") else "video_fps"
    if faults.get("lost_files"):
        for frame in job["frames"]:
            frame["path"].unlink(missing_ok=True)
    frames = [
        {
            index: f["index"],
            "timestamp": f["timestamp"],
            "url": f"file://{f['path']}",
            "width": f["size"][1],
            "height": f["size"][0],
        }
        for f in job["frames"]
    ]
    metadata = {} if faults.get("no_metadata") else {duration: job["frames"][0]["duration"], fps: FPS}
    return web.json_response(
        {"frames": frames[: faults.get("first")], facts: {"total_frames": len(frames), **metadata}}
    )


@routes.get("/frames/extract-frame")
async def extract_frame(request: web.Request) -> web.StreamResponse:
    query = request.query
    if faults.get("enhanced") == "slow":
        await asyncio.sleep(3600)
    video = faults.get("film", query["video_path"])
    if not Path(video).is_file():
        return web.json_response({"detail": "Video not found"}, status=404)
    if faults.get("enhanced") == "text":
        return web.Response(text="a friendly page")
    enhanced = query.get("enhance") == "1" and query["model"] in faults.get("models", MODELS)
    film = faults.get("restored", video) if enhanced else video
    moment = round(float(query["timestamp"]), 2)
    picture = await asyncio.to_thread(picture_at, film, math.floor(moment * FPS + 1e-6))
    if picture is None or faults.get("no_single"):
        return web.json_response({"detail": "Failed to extract frame"}, status=400)
    if enhanced:
        factor = faults.get("enhanced", 2)
        picture = cv2.resize(picture, None, fx=factor, fy=factor)
    headers = {
        "X-Timestamp": f"{faults.get('sends', moment):.2f}",
        "X-Resolution": f"{picture.shape[1]}x{picture.shape[0]}",
    }
    if not faults.get("cached_frames"):
        headers["X-Faces-Enhanced"] = faults.get("header", str(int(enhanced)))
    coding = [cv2.IMWRITE_JPEG_OPTIMIZE, 1] if faults.get("recoded") and query.get("enhance") == "1" else []
    return web.Response(body=encoded(picture, coding), content_type="image/jpeg", headers=headers)


def picture_at(film: str, number: int) -> np.ndarray | None:
    """The frame of this number; None when the film has fewer."""
    return next(islice(read(film), number, None), None)


def read(film: str) -> Iterator[np.ndarray]:
    """The frames of a film, or a picture, as OpenCV reads them."""
    capture = cv2.VideoCapture(film)
    unturned = [*by_pyav(film)] if faults.get("unturned") else []
    for number in count():
        is_read, picture = capture.read()
        if not is_read:
            return
        yield unturned[number] if number in faults.get("unturned", []) else picture


def by_pyav(film: str) -> Iterator[np.ndarray]:
    with av.open(film) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="bgr24")


@routes.get("/frames/{job_id}/{number}")
async def frame(request: web.Request) -> web.Response:
    job = jobs.get(request.match_info["job_id"])
    faults["dies_after"] = faults.get("dies_after", 1 << 30) - 1
    if faults["dies_after"] < 0:
        os._exit(1)
    if job is None or faults.get("lost_frames"):
        return web.json_response({"detail": "no such frame"}, status=404)
    return web.Response(
        body=job["frames"][int(request.match_info["number"])]["encoded"], content_type="image/jpeg"
    )


def encoded(picture: np.ndarray, coding: Sequence[int] = ()) -> bytes:
    return cv2.imencode(".jpg", picture, coding)[1].tobytes()


if __name__ == "__main__":
    app = web.Application(middlewares=[misbehave])
    app.add_routes(routes)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
