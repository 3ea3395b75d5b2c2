"""Operations, keys, other sites and accessibility of the pages, in a real browser."""

import asyncio
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
from redis import Redis

from compose.server import free_port
from tests.browser.conftest import Tab, violations
from tests.browser.crowd import fill
from tests.browser.shown import HOSTILE, SOURCE_ID, says, until
from tests.browser.words import Words
from tests.integration.client import Service, letters
from tests.waiting import eventually

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_the_page_of_operations_shows_jobs_stages_and_dead_letters(
    service: Service, hostile: str, tab: Tab
) -> None:
    body = b'{"a message for the page of operations'
    with Redis.from_url(service.redis_url) as redis:
        redis.delete("faces-service:dead")
        redis.xadd("faces:requests", {"json": body})
        (letter,) = eventually(lambda: letters(redis, body))
        page = tab.open(f"{service.url}/faces/operations")
        page.wait_for_selector("#jobs tbody tr")
        assert (
            HOSTILE in page.locator("#jobs").inner_text() and SOURCE_ID in page.locator("#jobs").inner_text()
        )
        workers = service.get("/faces/queues").json["workers"]
        assert page.locator(".stage").count() == len(workers) > 4 and workers["analyze"] > 0
        page.wait_for_selector("#health", state="hidden")  # shown while a stage has no worker
        page.get_by_role("button", name="failed").click()
        until(page, "!document.querySelector('#jobs .completed')")
        page.get_by_role("button", name="all").click()
        row = page.locator("#dead tr", has_text=letter)
        says(row, "cannot be decoded")
        row.get_by_role("button").click()
        until(page, f"document.getElementById('replay-status').textContent.includes('{letter}')")
        says(page.locator("#replay-status"), "sent again")
        (again,) = eventually(lambda: [one for one in letters(redis, body) if one != letter])
        says(page.locator("#dead tr", has_text=again), "1×")
        redis.delete("faces-service:dead")
    page.locator("#source").fill(hostile)
    row = page.locator("#jobs tbody tr").first
    if (keep := row.get_by_role("button", name="keep")).count():  # once for all sizes and themes
        assert "Gone in" in row.inner_text()
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


def test_pages_ask_for_a_key_and_offer_what_it_may_do(
    service: Service, hostile: str, locked: str, wide_tab: Tab
) -> None:
    body = b'{"a message for the keys'
    with Redis.from_url(service.redis_url) as redis:
        redis.delete("faces-service:dead")
        redis.xadd("faces:requests", {"json": body})
        (letter,) = eventually(lambda: letters(redis, body))
        page = wide_tab.open(f"{locked}/faces/operations")
        _type_key(page, "faces_reader.wrong")
        until(page, "document.querySelector('#key-box .error')?.textContent.includes('not known')")
        assert page.locator("#jobs tr").count() == 0
        _type_key(page, KEYS["reader"])
        page.locator("#dead tr", has_text=letter).wait_for()
        assert page.locator("#dead button").count() == 0, "a reader is not offered replaying"
        page.goto(f"{locked}/faces/film/{hostile}")
        until(page, "video.readyState >= 2 && document.querySelector('#people img').naturalWidth > 50")
        assert page.locator("#actions button").count() == 0, (
            "a reader is offered neither keeping nor deleting"
        )
        page.set_viewport_size({"width": 360, "height": 844})
        page.evaluate("$('library').replaceChildren(make('option', {}, 'a library with a long name'))")
        page.evaluate("$('library-box').hidden = false")
        until(page, "document.documentElement.scrollWidth === 360")  # all of the header fits
        page.goto(f"{locked}/faces/operations")
        with page.expect_navigation():
            page.locator("#forget").click()
        _type_key(page, KEYS["operator"])
        page.locator("#dead tr", has_text=letter).get_by_role("button").click()
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
    request = "{method: 'POST', mode: 'no-cors', body: '{\"video_path\": \"/of-another-site\"}'}"
    sends = f"(url) => fetch(url, {request}).then(response => response.type)"
    for path in ("/faces/analyze", f"/faces/jobs/{hostile}/cancel"):
        with page.expect_response(service.url + path) as answer:
            assert page.evaluate(sends, service.url + path) == "opaque"
        assert (answer.value.request.method, answer.value.status) == ("POST", 403)
    jobs = service.get("/faces/jobs?limit=500").json["jobs"]
    assert "/of-another-site" not in {job["video_path"] for job in jobs}


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
    page = tab.open(f"{service.url}/faces/films/there/are")
    assert page.locator("h1").inner_text() == "Nothing is here" and violations(page, axe) == []
    assert len(tab.errors) == 1, "the address itself is a 404"
    tab.errors.clear()
    page.get_by_role("link", name="To the films").click()
    page.wait_for_selector("#add")
    page = tab.open(f"{service.url}/faces/docs")
    some = "[...document.querySelectorAll('.documents details')].filter((_, place) => place % 60)"
    page.evaluate(f"{some}.forEach(one => one.remove())")  # the others are alike, and axe takes its time
    page.locator("details").first.click()
    assert violations(page, axe) == []
    tab.check(service.url)
    page.locator("#theme").click()  # the other pages keep it
    scheme = page.evaluate("document.documentElement.style.colorScheme")
    page.get_by_role("link", name="Films").click()
    page.wait_for_url(f"{service.url}/faces/")
    assert scheme
    until(page, f"document.documentElement.style.colorScheme === '{scheme}'")


def test_every_text_of_the_pages_is_in_the_file_of_texts(
    service: Service, hostile: str, nobody: str, locked: str, group_photograph: Path, wide_tab: Tab
) -> None:
    with ThreadPoolExecutor(1) as elsewhere:  # in this thread a loop runs already, the browser's
        elsewhere.submit(asyncio.run, fill(service.redis_url, "words", 6, 2, group_photograph)).result()
    person = service.get("/faces/libraries/words/people").json["people"][0]["person_id"]
    page, words = wide_tab.page, Words(wide_tab.page)
    found = {}
    for address, there in (
        (f"{service.url}/faces/?library=words", "#people li"),
        (f"{service.url}/faces/film/{hostile}", "#people button"),
        (f"{service.url}/faces/film/{nobody}", "#nobody"),
        (f"{service.url}/faces/people?library=words", ".gallery .card"),
        (f"{service.url}/faces/people?library=words#questions", ".answers"),
        (f"{service.url}/faces/people?library=words#photograph", "#drop"),
        (f"{service.url}/faces/people?library=words#history", "#history *"),
        (f"{service.url}/faces/people/{person}?library=words", "#films .film"),
        (f"{service.url}/faces/operations", "#jobs tbody tr"),
        (f"{service.url}/faces/watch?jobs={hostile},{nobody}", ".card"),
        (f"{service.url}/faces/jobs/{hostile}/report", ".card"),
        (f"{locked}/faces/", "#key-box"),
    ):
        words.open(address)
        page.locator(there).first.wait_for()
        if there == "#people li":
            page.locator("#from").select_option("all")
            page.locator("#search").fill(hostile)
            page.locator("#films .film").first.wait_for()
        if "report" in address:
            page.locator(".card").first.click()
        found[address] = words.elsewhere()
    service.delete("/faces/libraries/words")  # other tests have none
    assert not {address: some for address, some in found.items() if some}


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
