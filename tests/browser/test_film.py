"""Films in a real browser: adding one, watching people appear, playing the moment at which a face was seen."""

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import av
import cv2
import numpy as np
import pytest

from tests.browser.conftest import Tab, new_tab, tasks, violations
from tests.browser.shown import says, until
from tests.integration.client import Service, stopped
from tests.waiting import eventually

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Request, Route

HOSTILE = "<img src=x onerror=alert(1)>.mp4"
FIRST_VIEW_BYTES = 100_000
TYPE_OF = (
    "async address => (await fetch(address, {headers: {Accept: 'image/webp'}})).headers.get('content-type')"
)
BOXES = """shownBoxes.map(({id, exact, box: [left, top, right, bottom]}) =>
    [id, exact, left, top, right - left, bottom - top])"""


@pytest.fixture(scope="module")
def six(service: Service, six_people: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A job on six people, sampled every second, in a film whose name is markup."""
    video = tmp_path_factory.mktemp("films") / HOSTILE
    shutil.copy(six_people, video)
    request = {"video_path": str(video), "parameters": {"sampling_interval": 1.0}}
    job_id = service.submit(request)
    assert service.wait_for_end(job_id)["result_summary"]["unique_faces"] == 6
    return job_id


@pytest.fixture(params=[(1440, "light"), (360, "dark")], ids=["1440 light", "360 dark"])
def tab(browser: "Browser", request: pytest.FixtureRequest) -> Iterator[Tab]:
    yield from new_tab(browser, *request.param)


@pytest.fixture
def phone(browser: "Browser") -> Iterator[Tab]:
    yield from new_tab(browser, 360, "light")


def seen_at(service: Service, job_id: str, time: float) -> list[list[Any]]:
    """The faces and boxes of the result at a time, in the order of the people."""
    found = []
    for face in service.result(job_id)["faces"]:
        for one in face["detections"]:
            if one["timestamp"] == time:
                box = one["bbox"]
                size = [box["x_max"] - box["x_min"], box["y_max"] - box["y_min"]]
                found.append([face["face_id"], True, box["x_min"], box["y_min"], *size])
    return found


def test_a_face_is_played_at_the_moment_it_was_seen(service: Service, six: str, tab: Tab, axe: str) -> None:
    page = tab.open(f"{service.url}/faces/film/{six}#t=7")
    until(page, "video.readyState >= 2 && shownBoxes.length > 0")
    assert page.locator("h1").inner_text() == HOSTILE
    assert "6 people" in page.locator("#about").inner_text() and page.locator("#people li").count() == 6
    until(page, "!video.seeking && Math.abs(player.time - 7) < 0.04 && shownBoxes.every(one => one.exact)")
    assert page.evaluate(BOXES) == seen_at(service, six, 7.0) != []
    assert abs(page.evaluate("video.currentTime") - 7.0) < 0.04
    assert sorted(page.evaluate("shownBoxes.map(one => one.name)")) == sorted(
        page.locator("#people .there b").all_text_contents()
    )
    page.locator(".who-button").nth(2).click()  # a person: the detections, each of which leads there
    third = service.result(six)["faces"][2]["detections"]
    until(page, f"Math.abs(video.currentTime - {third[0]['timestamp']}) < 0.04")
    assert page.locator("#person .tile").count() == min(12, len(third))
    page.locator("#person .tile").nth(1).click()
    until(page, f"!video.seeking && Math.abs(video.currentTime - {third[1]['timestamp']}) < 0.04")
    until(page, "shownBoxes.some(one => one.chosen && one.exact)")
    track = page.locator("#timeline .track").first
    box = track.bounding_box()
    assert box is not None
    track.click(position={"x": box["width"] / 2, "y": 5})
    until(page, "Math.abs(video.currentTime - player.duration / 2) < 0.1")
    assert violations(page, axe) == []
    tab.check(service.url)


def test_a_film_is_played_by_keyboard_alone(service: Service, six: str, browser: "Browser") -> None:
    for tab in new_tab(browser, 1440, "light"):
        page = tab.open(f"{service.url}/faces/film/{six}")
        until(page, "video.readyState >= 2 && !video.seeking")
        for key, time in (
            ("ArrowRight", 5.0), ("l", 12.0), ("j", 2.0), (".", 2.04), (",", 2.0), ("n", 3.0), ("n", 4.0),
            ("p", 3.0), ("Home", 0.0), ("5", 6.0), ("End", 12.0), ("ArrowLeft", 7.0),
        ):  # fmt: skip
            page.keyboard.press(key)
            until(page, f"!video.seeking && Math.abs(video.currentTime - {time}) < 0.03")
        page.keyboard.press("Space")
        until(page, "!video.paused && player.time > 7.2")
        page.keyboard.press("k")
        until(page, "video.paused")
        page.keyboard.press("m")
        until(page, "video.muted")
        page.keyboard.press("b")
        until(page, "shownBoxes.length === 0")
        page.keyboard.press("5")
        until(page, "!video.seeking && Math.abs(video.currentTime - 6) < 0.03")
        page.locator("#before").focus()
        page.keyboard.press("Space")  # a focused button keeps its own keys
        until(page, "video.paused && Math.abs(video.currentTime - 5) < 0.03")
        tab.check(service.url)


def test_between_samples_a_box_is_an_estimate_and_far_from_them_there_is_none(
    service: Service, six: str, browser: "Browser"
) -> None:
    for tab in new_tab(browser, 1440, "light"):
        page = tab.open(f"{service.url}/faces/film/{six}")
        until(page, "people.length === 6")
        row = "([t, x]) => [t, ...Array(11).fill(0), x, 0, x + 100, 100]"
        at = f"([rows, time]) => boxAt({{detections: rows.map({row})}}, time)"
        for rows, time, expected in (
            ([(2, 0), (3, 50)], 2.5, {"box": [25, 0, 125, 100], "exact": False}),
            ([(2, 0), (3, 50)], 3, {"box": [50, 0, 150, 100], "exact": True}),
            ([(2, 0), (3, 900)], 2.1, {"box": [0, 0, 100, 100], "exact": False}),  # a cut: nothing glides
            ([(2, 0), (6, 50)], 4, None),
            ([(2, 0)], 2.3, {"box": [0, 0, 100, 100], "exact": False}),
            ([(2, 0)], 2.6, None), ([], 1, None),
        ):  # fmt: skip
            assert page.evaluate(at, [rows, time]) == expected
        left, right, edge = page.evaluate(
            f"""() => {{
              const pen = $("boxes").getContext("2d"), edges = [];
              pen.fillText = (text, x) => edges.push(x, x + pen.measureText(text).width, pen.canvas.width);
              drawBoxes([{{name: "N".repeat(24), detections: [({row})([0, 600])]}}], 0, 640, 360, null);
              delete pen.fillText;
              return edges;
            }}"""
        )
        assert 0 <= left < right <= edge, "a name at the edge is not cut"
        row = (
            "[7, ...Array(11).fill(0), 80 * (n % 14), 50 * (n % 12), 80 * (n % 14) + 60, 50 * (n % 12) + 40]"
        )
        many = f"Array.from({{length: 168}}, (_, n) => ({{...people[n % 6], id: n, detections: [{row}]}}))"
        page.evaluate(f"people = {many}; player.seek(7)")
        until(page, "!video.seeking && shownBoxes.length === 168")
        with tasks(page) as microseconds:  # 168 boxes at once, again and again
            for moment in range(12):
                page.evaluate(
                    f"new Promise(done => {{ player.show(6.95 + 0.01 * {moment}); setTimeout(done, 20); }})"
                )
        assert 0 < max(microseconds) < 100_000, max(microseconds)


def test_a_film_that_the_browser_cannot_play_shows_its_moments(
    service: Service, six_people: Path, browser: "Browser", tmp_path: Path, axe: str
) -> None:
    film = tmp_path / "old.avi"
    with av.open(str(six_people)) as source, av.open(str(film), "w") as made:
        stream = made.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 1280, 720, "yuv420p", 8_000_000
        for number, frame in enumerate(source.decode(video=0)):
            if number % 5 == 0:
                made.mux(stream.encode(av.VideoFrame.from_ndarray(frame.to_ndarray(format="bgr24"), "bgr24")))
        made.mux(stream.encode(None))
    job_id = service.submit({"video_path": str(film)})
    service.wait_for_end(job_id)
    for tab in new_tab(browser, 360, "light"):
        page = tab.open(f"{service.url}/faces/film/{job_id}")
        page.wait_for_selector("#frames figure img")
        assert "cannot play this film (mpeg4)" in page.locator("#unplayable").inner_text()
        moments = page.evaluate("player.moments")
        page.keyboard.press("n")
        until(page, f"player.time === {moments[1]}")
        seen = len(seen_at(service, job_id, moments[1]))
        assert page.locator("#frames figure").count() == seen > 0
        assert violations(page, axe) == []
        tab.check(service.url)


def test_a_film_is_added_watched_and_deleted(
    service: Service, six_people: Path, tab: Tab, axe: str, tmp_path: Path
) -> None:
    name = f"party {tab.page.viewport_size['width']}.mp4"  # type: ignore[index]
    page = tab.open(f"{service.url}/faces/")
    page.locator("#browse").click()
    page.wait_for_selector("#picker .entry")
    assert violations(page, axe) == []
    page.keyboard.press("Escape")
    film = tmp_path / name
    film.write_bytes(six_people.read_bytes() + tab.page.url.encode())
    page.locator("#file").set_input_files(film)
    card = page.locator(".film", has_text=name)
    card.wait_for()
    card.locator(".state.completed").wait_for()
    says(card, "6 people", "Gone in", "+2")
    assert card.locator("img").count() == 4
    assert violations(page, axe) == []
    card.get_by_role("button", name="Keep").press("Enter")
    card.get_by_text("Kept until deleted").wait_for()
    until(page, "document.activeElement.matches('.film h3 a')")
    empty = tmp_path / "empty.mp4"
    empty.touch()
    page.locator("#file").set_input_files(empty)
    page.locator("#uploads", has_text="empty.mp4 is empty.").wait_for()
    card.locator("a").first.click()
    page.wait_for_url("**/faces/film/*")
    until(page, "document.querySelectorAll('#people li').length === 6")
    path = page.evaluate("job.video_path")
    assert Path(path).name == name and Path(path).is_file()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.wait_for_url(f"{service.url}/faces/")
    page.wait_for_selector(".film, #empty:not([hidden]), #nothing:not([hidden])")
    assert page.locator(".film", has_text=name).count() == 0
    assert not Path(path).exists(), "an uploaded film is deleted with its job"
    page.go_back()
    page.locator("#problem", has_text="There is no such film.").wait_for()
    tab.check(service.url)


def test_a_failure_says_what_to_do_and_is_retried(
    service: Service, browser: "Browser", tmp_path: Path
) -> None:
    film = tmp_path / "late.png"
    for tab in new_tab(browser, 1440, "dark"):
        page = tab.open(f"{service.url}/faces/")
        page.locator("#source").fill(str(film))
        page.keyboard.press("Enter")
        card = page.locator(".film", has_text="late.png").first
        card.locator(".state.failed").wait_for()
        says(card, "There is no file at", "Check the path")
        cv2.imwrite(str(film), np.full((90, 160, 3), 128, np.uint8))
        card.get_by_role("button", name="Try again").click()
        card.locator(".state.completed").wait_for()
        says(card, "No faces were found.")
        page.locator("#source").fill("holiday.mp4")
        page.keyboard.press("Enter")
        page.locator(".film", has_text="holiday.mp4").get_by_text("Check the path").first.wait_for()
        page.locator("#source").fill("/" + 5000 * "x")
        page.keyboard.press("Enter")
        page.wait_for_selector("#problem:not([hidden])")
        for _ in range(2):
            with page.expect_response("**/faces/jobs?*"):
                """Waits for the page to look for films again."""
        assert page.locator("#problem").is_visible(), "a refusal stays to be read"
        page.locator("#search").fill("nothing is called so")
        page.wait_for_selector("#nothing:not([hidden])")
        tab.check(service.url)


def test_a_job_that_ends_while_a_page_asks_for_its_people_is_no_error(
    service: Service, six_people: Path, browser: "Browser"
) -> None:
    """The analyze worker is stopped, so that a job goes on until it is cancelled while the page asks."""
    with stopped("consumers analyze", service):
        for path in ("film", "watch", ""):
            request = {"video_path": str(six_people), "parameters": {"cache_duration": 0}}
            job_id = service.submit(request)
            eventually(partial(_is_running, service, job_id))
            answers: list[int] = []
            cancel = partial(_cancel, service, job_id, answers)
            for tab in new_tab(browser, 1440, "light"):
                tab.page.route(f"**/jobs/{job_id}/people*", cancel)
                place, shows = {
                    "film": (f"film/{job_id}", "#failure-text"),
                    "watch": (f"watch?jobs={job_id}", "#stage"),
                    "": ("", f".film:has(a[href$='{job_id}']) .state.cancelled"),
                }[path]
                page = tab.open(f"{service.url}/faces/{place}")
                if not path:
                    page.locator("#films-part").wait_for()
                if page.locator("#from").is_visible():  # another test has begun a library
                    page.locator("#from").select_option("all")
                page.locator(shows, has_text="cancelled").wait_for()  # in any case of letters
                assert answers == [200]
                tab.check(service.url)


def test_home_shows_the_films_of_the_library_that_is_chosen(
    service: Service, phone: Tab, tmp_path: Path
) -> None:
    for name, library in (("beach", "beach"), ("city", "city"), ("alone", "")):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((90, 160, 3), len(name), np.uint8))
        request = {"video_path": str(tmp_path / f"{name}.png"), "parameters": {"library": library}}
        service.wait_for_end(service.submit(request))
    for library in ("beach", "city"):
        eventually(partial(_exists, service, library))
    page = phone.open(f"{service.url}/faces/?library=beach")
    names = page.locator(".film h3").all_text_contents
    eventually(lambda: names() == ["beach.png"])
    page.locator("#library").select_option("city")
    eventually(lambda: names() == ["city.png"])
    page.locator("#from").select_option("none")
    eventually(lambda: "alone.png" in names() and not {"beach.png", "city.png"} & set(names()))
    assert page.locator("#joins").inner_text() == "The people join no library."
    page.locator("#from").select_option("all")
    eventually(lambda: {"alone.png", "beach.png", "city.png"} <= set(names()))
    phone.check(service.url)


def test_a_film_given_while_the_page_loads_joins_the_library_that_is_chosen(
    service: Service, phone: Tab, tmp_path: Path
) -> None:
    held: list[Route] = []
    holds = Event()
    for library in ("early", "another"):
        cv2.imwrite(str(tmp_path / "early.png"), np.full((90, 160, 3), 200, np.uint8))
        request = {"video_path": str(tmp_path / "early.png"), "parameters": {"library": library}}
        service.wait_for_end(service.submit(request))
        eventually(partial(_exists, service, library))
    holds.set()
    phone.page.route(
        "**/faces/libraries", lambda route: held.append(route) if holds.is_set() else route.continue_()
    )
    page = phone.open(f"{service.url}/faces/?library=early")
    page.locator("#source").fill(str(tmp_path / "early.png"))
    page.keyboard.press("Enter")
    with page.expect_request("**/faces/analyze") as asked:
        holds.clear()
        for route in held:
            route.continue_()
    assert asked.value.post_data_json["parameters"]["library"] == "early"
    phone.check(service.url)


def test_the_first_view_is_light(service: Service, six: str, browser: "Browser") -> None:
    for path, there in (
        ("", "#add"), (f"film/{six}", ".who .face"), ("people", "#views"), ("operations", "#jobs"),
        ("docs", "details"),
    ):  # fmt: skip
        for tab in new_tab(browser, 1440, "light"):
            assert 5_000 < _wire_bytes(tab, f"{service.url}/faces/{path}", there) < FIRST_VIEW_BYTES, path
            if path.startswith("film"):
                small = tab.page.locator(".who .face").first.get_attribute("data-src")
                assert tab.page.evaluate(TYPE_OF, small) == "image/webp"
    for tab in new_tab(browser, 1440, "light"):  # its pictures are in its data
        page = tab.open(f"{service.url}/faces/watch?jobs={six}")
        assert page.evaluate("performance.getEntriesByType('navigation')[0].transferSize") < FIRST_VIEW_BYTES


def _wire_bytes(tab: Tab, address: str, there: str) -> int:
    """Bytes of the page, its data and the pictures that are seen; a film is as large as it is."""
    films, sent = set[str](), dict[str, int]()
    session = tab.page.context.new_cdp_session(tab.page)
    session.send("Network.enable")
    session.on(
        "Network.responseReceived",
        lambda one: films.add(one["requestId"]) if "/media" in one["response"]["url"] else None,
    )
    session.on(
        "Network.loadingFinished", lambda one: sent.update({one["requestId"]: one["encodedDataLength"]})
    )
    page = tab.open(address)
    page.locator(there).first.wait_for()
    page.wait_for_load_state("networkidle")
    return sum(size for request, size in sent.items() if request not in films)


def _exists(service: Service, library: str) -> bool:
    return service.get(f"/faces/libraries/{library}").status == 200


def _is_running(service: Service, job_id: str) -> bool:
    return bool(service.get(f"/faces/jobs/{job_id}/status").json["status"] == "processing")


def _cancel(service: Service, job_id: str, answers: list[int], route: "Route", _: "Request") -> None:
    """Cancels a job before the first request that is caught goes on."""
    if not answers:
        answers.append(service.post(f"/faces/jobs/{job_id}/cancel", {}).status)
    route.continue_()
