"""Jobs whose results the pages show: names that are markup, nobody, and a crowd."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import msgspec

from schemas.names import Partitions
from schemas.requests import AnalyzeRequest
from schemas.results import ResultBody, ResultSummary
from schemas.settings import Settings
from schemas.store.connection import connect
from schemas.store.job_reader import JobReader
from schemas.store.job_record import new_record
from schemas.store.jobs import Jobs
from tests.integration.client import Service
from tests.waiting import eventually

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

HOSTILE = "<img src=x onerror=alert(1)>"
FILM = f"{HOSTILE}{60 * 'o'}.mp4"
SOURCE_ID = "</script><script>alert(2)</script>"


def until(page: "Page", expression: str) -> None:
    """Waits until a condition holds on the page; `wait_for_function` would be refused by its security policy."""
    eventually(lambda: page.evaluate(expression))


def says(element: "Locator", *texts: str) -> None:
    """Waits until an element has these parts of text, whether it is drawn or not."""
    eventually(lambda: all(text in (element.text_content() or "") for text in texts))


def drawn(elements: "Locator", texts: list[str]) -> None:
    """Waits until elements have these texts: one with `content-visibility: auto` has none before it is drawn."""
    eventually(lambda: elements.all_inner_texts() == texts)


def multiply(service: Service, job_id: str, new: str, count: int) -> None:
    """Makes a job whose result has so many people: copies of the people of a real one."""
    with ThreadPoolExecutor(1) as elsewhere:  # in this thread a loop runs already, the browser's
        elsewhere.submit(asyncio.run, _multiplied(service, job_id, new, count)).result()


async def _multiplied(service: Service, job_id: str, new: str, count: int) -> None:
    partitions = Partitions("faces")
    async with connect(service.redis_url) as redis:
        reader, jobs = JobReader(redis, partitions), Jobs(redis, partitions, Settings.from_env({}))
        state = await reader.read(job_id)
        assert state is not None
        stored = await reader.result(state)
        assert stored is not None
        body = msgspec.json.decode(stored.body, type=ResultBody)
        pictures = await reader.pictures(state, [face.face_id for face in body.faces])
        numbered: Any = [(number, body.faces[number % len(body.faces)]) for number in range(count)]
        faces = [msgspec.structs.replace(face, face_id=f"face_{number}") for number, face in numbered]
        metadata = msgspec.structs.replace(body.metadata, unique_faces=count)
        record = new_record(AnalyzeRequest(video_path=f"/films/{new}.mp4")) | {"created": time.time()}
        await redis.hset(partitions.home.job(new).metadata, mapping=record)
        await jobs.complete(
            new,
            msgspec.structs.replace(body, faces=faces, metadata=metadata),
            ResultSummary(
                unique_faces=count, total_detections=1, frames_processed=1, processing_time_seconds=1.0
            ),
            600,
            type(pictures)(
                {f"face_{number}": pictures.best[face.face_id] for number, face in numbered},
                {f"face_{number}": pictures.strips[face.face_id] for number, face in numbered},
            ),
        )
