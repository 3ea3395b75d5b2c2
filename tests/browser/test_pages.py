"""The pages in a real browser on real results, on a wide screen and on a phone."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import msgspec
import numpy as np
import pytest
from redis import Redis

from api.pages.report import Reported, render
from compose.server import free_port
from schemas.names import Partitions
from schemas.requests import AnalyzeRequest, Parameters
from schemas.results import Appearance, ResultBody, ResultSummary
from schemas.settings import Settings
from schemas.store.connection import connect
from schemas.store.job_reader import JobReader
from schemas.store.job_record import new_record
from schemas.store.jobs import Jobs
from schemas.store.pictures import NO_PICTURES
from tests.api.test_report import result
from tests.browser.conftest import Tab, violations
from tests.integration.client import Service, pids_of
from tests.waiting import eventually

if TYPE_CHECKING:
    from playwright.sync_api import Page

HOSTILE = "<img src=x onerror=alert(1)>"
FILM = f"{HOSTILE}{60 * 'o'}.mp4"
SOURCE_ID = "</script><script>alert(2)</script>"


@pytest.fixture(scope="module")
def hostile(service: Service, six_people: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A job on six people whose names are markup; that of the film is as wide as a telephone too."""
    video = tmp_path_factory.mktemp("films") / FILM
    shutil.copy(six_people, video)
    job_id = service.submit({"video_path": str(video), "source_id": SOURCE_ID, "job_id": "page-six"})
    assert service.wait_for_end(job_id)["result_summary"]["unique_faces"] == 6
    return job_id


@pytest.fixture(scope="module")
def nobody(service: Service, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A job on a picture without people."""
    picture = tmp_path_factory.mktemp("films") / "wall.png"
    cv2.imwrite(str(picture), np.full((360, 640, 3), 180, np.uint8))
    job_id = service.submit({"video_path": str(picture), "job_id": "page-nobody"})
    assert service.wait_for_end(job_id)["result_summary"]["unique_faces"] == 0
    return job_id


@pytest.fixture(scope="module")
def crowd(service: Service, hostile: str) -> str:
    """A job whose result has 500 people: copies of the people of a real one."""
    with ThreadPoolExecutor(1) as elsewhere:  # in this thread a loop runs already, the browser's
        elsewhere.submit(asyncio.run, _multiply(service, hostile, "page-crowd", 500)).result()
    return "page-crowd"


def test_a_report_shows_everybody_and_requests_nothing(service: Service, hostile: str, tab: Tab) -> None:
    page = tab.open(f"{service.url}/faces/jobs/{hostile}/report")
    assert page.title() == f"6 people in {FILM}"
    assert page.locator(".card").count() == page.locator("button.row").count() == 6
    loaded = "[...document.querySelectorAll('.card img')].filter(img => img.naturalWidth > 50).length"
    eventually(lambda: page.evaluate(loaded) == 6)
    assert SOURCE_ID in page.locator("#about").inner_text()
    tab.check(service.url)
    assert [url for url in tab.requests if not url.startswith("data:")] == [page.url]


def test_a_saved_page_needs_no_server(service: Service, hostile: str, wide_tab: Tab, tmp_path: Path) -> None:
    saved = tmp_path / "people.html"
    saved.write_bytes(service.get(f"/faces/jobs/{hostile}/report").body)
    page = wide_tab.open(saved.as_uri())
    assert page.locator(".card").count() == 6
    wide_tab.check(saved.as_uri())


def test_a_person_is_found_by_keyboard_and_looked_at(service: Service, hostile: str, tab: Tab) -> None:
    page = tab.open(f"{service.url}/faces/jobs/{hostile}/report")
    page.locator(".card").first.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    dialog = page.locator("dialog")
    assert dialog.locator("h2").inner_text() == "Person 2"
    result = service.result(hostile)
    assert dialog.locator("#list tbody tr").count() == len(result["faces"][1]["detections"])
    tiles = dialog.locator(".tile img")
    assert tiles.count() == len(result["faces"][1]["detections"]) > 1
    strip = "img => img.decode().then(() => [img.naturalWidth, img.naturalHeight])"
    assert tiles.first.evaluate(strip) == [72 * tiles.count(), 72]
    page.keyboard.press("ArrowRight")
    assert dialog.locator("h2").inner_text() == "Person 3"
    page.keyboard.press("Escape")
    assert not dialog.is_visible()
    until(page, "document.activeElement.querySelector('b')?.textContent === 'Person 3'")
    page.keyboard.press("/")
    until(page, "document.activeElement.id === 'quality'")
    tab.check(service.url)


def test_filters_hide_people(service: Service, hostile: str, wide_tab: Tab) -> None:
    page = wide_tab.open(f"{service.url}/faces/jobs/{hostile}/report")
    best = sorted(
        face["representative_detection"]["quality"]["composite"] for face in service.result(hostile)["faces"]
    )
    least = round((best[2] + best[3]) / 2, 2)
    page.locator("#quality").evaluate(
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input', {bubbles: true})); }",
        least,
    )
    assert page.locator(".card").count() == sum(quality >= least for quality in best) < 6
    assert "of 6 people" in page.locator("#shown").inner_text()
    page.locator("#often").fill("1000")
    assert page.locator(".card").count() == 0
    assert page.locator("#nobody").inner_text() == "No person matches these filters."


def test_the_theme_can_be_switched(service: Service, hostile: str, tab: Tab) -> None:
    page = tab.open(f"{service.url}/faces/jobs/{hostile}/report")
    ground = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(ground)
    page.locator("#theme").click()
    assert page.evaluate(ground) != before
    page.locator("#theme").click()
    assert page.evaluate(ground) == before


def test_an_empty_report_says_so(service: Service, nobody: str, tab: Tab) -> None:
    page = tab.open(f"{service.url}/faces/jobs/{nobody}/report")
    assert page.locator("#nobody").inner_text() == "No faces were found."
    assert page.locator(".card").count() == 0 and not page.locator("#filters").is_visible()
    tab.check(service.url)


def test_a_crowd_is_shown_whole(service: Service, crowd: str, tab: Tab) -> None:
    page = tab.open(f"{service.url}/faces/jobs/{crowd}/report")
    assert page.locator(".card").count() == page.locator("button.row").count() == 500
    page.locator(".card").nth(499).click()
    assert page.locator("dialog h2").inner_text() == "Person 500"
    page.keyboard.press("Escape")
    page.locator("#order").select_option("first")
    assert page.locator(".card").count() == 500
    tab.check(service.url)


def test_several_jobs_are_one_page(service: Service, hostile: str, nobody: str, crowd: str, tab: Tab) -> None:
    page = tab.open(f"{service.url}/faces/report?jobs={hostile},{nobody},{crowd}")
    assert page.title() == "506 people in 3 videos"
    page.locator("#video").select_option(hostile)
    assert page.locator(".card").count() == 6
    tab.check(service.url)
    assert service.get(f"/faces/report?jobs={hostile},unknown").status == 404
    assert service.get("/faces/report").status == 400


def test_a_person_of_a_library_stands_once_with_all_videos(tab: Tab, tmp_path: Path) -> None:
    jobs = []
    for name, people in (("a.mp4", ("Ann", None)), ("b.mp4", (None, "Ann")), ("c.mp4", ("Ann",))):
        faces = [
            msgspec.structs.replace(
                result(name).faces[0],
                face_id=f"face_{number}",
                person_id="person-1-0-0" if label else None,
                label=label,
                appearances=[Appearance(10.0 * number, 10.0 * number + 2)],
            )
            for number, label in enumerate(people)
        ]
        metadata = msgspec.structs.replace(result(name).metadata, unique_faces=len(faces))
        body = msgspec.structs.replace(result(name), faces=faces, metadata=metadata)
        jobs.append(Reported(name, None, body, NO_PICTURES, Parameters()))
    (tmp_path / "people.html").write_bytes(render(jobs))
    page = tab.open((tmp_path / "people.html").as_uri())
    assert page.title() == "3 people in 3 videos"
    assert page.locator(".card b").all_inner_texts() == ["Ann", "Person 2", "Person 1"]
    assert "3 times in 3 videos" in page.locator(".card").first.inner_text()
    assert page.locator("button.row").count() == 5, "in the timeline of every video"
    page.locator(".card").first.click()
    videos = page.locator("dialog .part")
    assert videos.all_inner_texts() == ["a.mp4\n0:00 to 0:02", "b.mp4\n0:10 to 0:12", "c.mp4\n0:00 to 0:02"]
    assert "person-1-0-0" in page.locator("dialog dl").inner_text()
    videos.nth(1).click()
    assert "0:10 to 0:12" in page.locator("dialog dl").inner_text()
    assert page.locator("dialog .part[aria-pressed=true]").inner_text().startswith("b.mp4")
    page.keyboard.press("ArrowRight")
    assert page.locator("dialog h2").inner_text() == "Person 2"
    page.keyboard.press("Escape")
    page.locator("#video").select_option("b.mp4")
    assert page.locator(".card").count() == page.locator("#timeline button.row").count() == 2
    tab.check((tmp_path / "people.html").as_uri())


def test_a_live_page_fills_while_the_job_runs(service: Service, six_people: Path, wide_tab: Tab) -> None:
    """The analyze worker is stopped in the middle of the job: what is on the page then came before its end."""
    request = {"video_path": str(six_people), "parameters": {"sampling_interval": 1.0}}
    job_id = service.submit(request)
    (worker,) = pids_of("consumers analyze", service)
    eventually(lambda: service.get(f"/faces/jobs/{job_id}/status").json["progress"] > 0)
    os.kill(worker, signal.SIGSTOP)
    wide_tab.page.route("**/events", lambda route: route.abort(), times=1)  # it follows the job all the same
    try:
        state = service.get(f"/faces/jobs/{job_id}/status").json
        page = wide_tab.open(f"{service.url}/faces/watch?jobs={job_id}")
        page.wait_for_selector(".card")
        assert state["status"] == "processing"
        assert "so far" in page.title() and page.locator("#bar").is_visible()
        assert 0 < page.evaluate("document.getElementById('bar').value") < 1
    finally:
        os.kill(worker, signal.SIGCONT)
    until(page, "!document.title.includes('so far')")
    assert page.title() == f"6 people in {six_people.name}"
    page.wait_for_selector("#bar", state="hidden")  # when the end event has arrived, too
    assert page.locator(".card").count() == 6
    with page.expect_download() as saved:
        page.locator("#save").click()
    assert saved.value.path().read_bytes() == service.get(f"/faces/report?jobs={job_id}").body
    (cut,) = wide_tab.errors
    assert "ERR_FAILED" in cut
    wide_tab.errors.clear()
    wide_tab.check(service.url)


def test_a_live_page_says_what_went_wrong(service: Service, nobody: str, wide_tab: Tab) -> None:
    failed = service.submit({"video_path": f"/nowhere/{HOSTILE}"})
    service.wait_for_end(failed)
    page = wide_tab.open(f"{service.url}/faces/watch?jobs={failed}")
    until(page, "document.getElementById('stage').textContent.includes('/nowhere/')")
    wide_tab.check(service.url)
    wide_tab.open(f"{service.url}/faces/watch?jobs=unknown,{nobody}")
    until(page, "document.getElementById('stage').textContent.includes('no job')")
    page.locator("#nobody").wait_for(state="visible")  # the two jobs are followed independently


def test_the_page_of_operations_shows_jobs_stages_and_dead_letters(
    service: Service, hostile: str, tab: Tab
) -> None:
    with Redis.from_url(service.redis_url) as redis:
        redis.delete("faces-service:dead")
        redis.xadd("faces:requests", {"json": '{"no": '})
        eventually(lambda: redis.xlen("faces-service:dead") == 1)
        page = tab.open(f"{service.url}/faces/operations")
        page.wait_for_selector("#jobs tbody tr")
        assert (
            HOSTILE in page.locator("#jobs").inner_text() and SOURCE_ID in page.locator("#jobs").inner_text()
        )
        workers = service.get("/faces/queues").json["workers"]
        assert page.locator(".stage").count() == len(workers) > 4 and workers["analyze"] > 0
        assert not page.locator("#health").is_visible(), "shown while a stage has no worker"
        page.get_by_role("button", name="failed").click()
        until(page, "!document.querySelector('#jobs .completed')")
        page.get_by_role("button", name="all").click()
        replay = page.locator("#dead button")
        assert "cannot be decoded" in page.locator("#dead").inner_text()
        replay.click()
        until(page, "document.getElementById('replay-status').textContent.includes('sent again')")
        until(page, "document.getElementById('dead').textContent.includes('1×')")
        redis.delete("faces-service:dead")
    page.locator("#source").fill("page-six")
    row = page.locator("#jobs tbody tr").first
    if (keep := row.get_by_role("button", name="keep")).count():  # once for all sizes and themes
        assert "gone in" in row.inner_text()
        keep.click()
    page.wait_for_selector("#jobs tbody tr:first-child:has-text('until deleted')")
    page.locator("#jobs a").first.click()
    page.wait_for_selector(".card")
    tab.check(service.url)


@pytest.fixture(scope="module")
def locked(service: Service) -> Iterator[str]:
    """Address of an API on the same server that asks for keys."""
    port = free_port()
    environment = {
        **os.environ,
        "REDIS_URL": service.redis_url,
        "FACES_PORT": str(port),
        "FACES_AUTH": "required",
        "FACES_MEDIA_ROOTS": "/",
    }
    for name, scope in (("reader", "read"), ("operator", "admin")):
        subprocess.run(
            [sys.executable, "-m", "compose.cli", "keys", "revoke", name], env=environment, check=False
        )
        made = subprocess.run(
            [sys.executable, "-m", "compose.cli", "keys", "create", name, "--scope", scope, "--json"],
            env=environment, capture_output=True, check=True,
        )  # fmt: skip
        KEYS[name] = msgspec.json.decode(made.stdout)["key"]
    process = subprocess.Popen([sys.executable, "-m", "api"], env=environment)
    try:
        eventually(lambda: _answers(f"http://127.0.0.1:{port}/faces/ready"))
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)


KEYS: dict[str, str] = {}


def test_pages_ask_for_a_key_and_replaying_needs_the_admin_scope(
    service: Service, hostile: str, locked: str, wide_tab: Tab
) -> None:
    with Redis.from_url(service.redis_url) as redis:
        redis.delete("faces-service:dead")
        redis.xadd("faces:requests", {"json": '{"no": '})
        eventually(lambda: redis.xlen("faces-service:dead") == 1)
        page = wide_tab.open(f"{locked}/faces/operations")
        _type_key(page, "faces_reader.wrong")
        until(page, "document.querySelector('#key-box .error')?.textContent.includes('not known')")
        assert page.locator("#jobs tr").count() == 0
        _type_key(page, KEYS["reader"])
        page.wait_for_selector("#dead button")
        page.locator("#dead button").click()
        until(page, "document.getElementById('replay-status').textContent.includes('no scope admin')")
        page.goto(f"{locked}/faces/film/{hostile}")
        until(page, "video.readyState >= 2 && document.querySelector('#people img').naturalWidth > 50")
        assert page.locator("#actions button").count() == 0, (
            "a reader is offered neither keeping nor deleting"
        )
        page.set_viewport_size({"width": 360, "height": 844})
        page.evaluate("$('library').replaceChildren(make('option', {}, 'a library with a long name'))")
        page.evaluate("$('library-box').hidden = false")
        assert page.evaluate("document.documentElement.scrollWidth") == 360, "all of the header fits"
        page.goto(f"{locked}/faces/operations")
        page.locator("#forget").click()
        _type_key(page, KEYS["operator"])
        page.locator("#dead button").click()
        until(page, "document.getElementById('replay-status').textContent.includes('sent again')")
        redis.delete("faces-service:dead")
    page.goto(f"{locked}/faces/watch?jobs={hostile}")
    page.wait_for_selector(".card")
    assert page.locator(".card").count() == 6
    foreign = [url for url in wide_tab.requests if not url.startswith((locked, "data:"))]
    assert foreign == [] and not any(KEYS["operator"] in url for url in wide_tab.requests)


def test_a_form_of_another_site_replays_nothing(service: Service) -> None:
    for content in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        request = urllib.request.Request(
            f"{service.url}/faces/dead/1-1/replay",
            data=b"{}",
            headers={"Content-Type": content},
            method="POST",
        )
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=30)
        assert refused.value.code == 415
        refused.value.close()


def test_a_page_of_another_site_changes_nothing(service: Service, hostile: str, wide_tab: Tab) -> None:
    """To a browser, `localhost` is another site than 127.0.0.1; this one sends what a form could send."""
    page = wide_tab.open(service.url.replace("127.0.0.1", "localhost") + "/faces/health")
    before = len(service.get("/faces/jobs?limit=500").json["jobs"])
    request = "{method: 'POST', mode: 'no-cors', body: '{\"video_path\": \"/x\"}'}"
    sends = f"(url) => fetch(url, {request}).then(response => response.type)"
    answers: list[tuple[str, int]] = []
    page.on("response", lambda answer: answers.append((answer.request.method, answer.status)))
    assert page.evaluate(sends, f"{service.url}/faces/analyze") == "opaque"
    assert page.evaluate(sends, f"{service.url}/faces/jobs/{hostile}/cancel") == "opaque"
    assert answers == [("POST", 403), ("POST", 403)]
    assert len(service.get("/faces/jobs?limit=500").json["jobs"]) == before


def test_pages_meet_the_accessibility_rules(
    service: Service, hostile: str, nobody: str, crowd: str, tab: Tab, axe: str
) -> None:
    page = tab.open(f"{service.url}/faces/jobs/{hostile}/report")
    assert violations(page, axe) == []
    page.locator(".card").first.click()
    assert violations(page, axe) == []
    page = tab.open(f"{service.url}/faces/watch?jobs={hostile},{nobody}")
    until(page, "document.title === '6 people in 2 videos'")
    assert page.locator(".card").first.get_by_text(HOSTILE).count() == 1, "which video a person is in"
    for address, there in (
        (f"/faces/report?jobs={hostile},{nobody}", ".card"),
        (f"/faces/watch?jobs={hostile}", ".card"),
        (f"/faces/watch?jobs={nobody}", "#nobody"),
        ("/faces/operations", "#jobs tbody tr"),
    ):
        page = tab.open(service.url + address)
        page.wait_for_selector(there)
        assert violations(page, axe) == [], address
        tab.check(service.url)


def until(page: "Page", expression: str) -> None:
    """Waits until a condition holds on the page; `wait_for_function` would be refused by its security policy."""
    eventually(lambda: page.evaluate(expression))


def _type_key(page: "Page", key: str) -> None:
    page.wait_for_selector("#key")
    page.locator("#key").fill(key)
    page.keyboard.press("Enter")


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


async def _multiply(service: Service, job_id: str, new: str, count: int) -> None:
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
