"""The report and the live page in a real browser on real results, on a wide screen and on a phone."""

from pathlib import Path

import msgspec

from api.pages.report import Reported, render
from schemas.requests import Parameters
from schemas.results import Appearance
from schemas.store.pictures import NO_PICTURES
from tests.api.test_report import result
from tests.browser.conftest import Tab
from tests.browser.shown import FILM, HOSTILE, SOURCE_ID, drawn, until
from tests.integration.client import Service, stopped
from tests.waiting import eventually

FACE_OF_LIGHT = """light => {
  const canvas = make("canvas", {width: 64, height: 64}), drawing = canvas.getContext("2d");
  drawing.fillStyle = `rgb(${light} ${light} ${light})`;
  drawing.fillRect(0, 0, 64, 64);
  const picture = make("img", {id: "seen", alt: "", src: canvas.toDataURL()});
  picture.addEventListener("load", () => { picture.dataset.light = light; });
  document.querySelector("#seen")?.remove();
  document.querySelector("main").append(picture);
}"""
"""Shows a picture that is grey of this light, 0-255."""


def test_a_report_shows_everybody_and_requests_nothing(service: Service, hostile: str, tab: Tab) -> None:
    page = tab.open(f"{service.url}/faces/jobs/{hostile}/report")
    assert page.title() == f"6 people in {FILM}"
    assert page.locator(".card").count() == page.locator("button.row").count() == 6
    loaded = "[...document.querySelectorAll('.card img')].filter(img => img.naturalWidth > 50).length"
    eventually(lambda: page.evaluate(loaded) == 6)
    assert SOURCE_ID in page.locator("#about").inner_text()
    for light, shown in ((40, "brightness(3.75)"), (5, "brightness(4)"), (120, ""), (250, "")):
        page.evaluate(FACE_OF_LIGHT, light)
        until(page, f"document.querySelector('#seen')?.dataset.light === '{light}'")
        assert page.evaluate("document.querySelector('#seen').style.filter") == shown, (
            "a dim one is brightened"
        )
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
    dialog.wait_for(state="hidden")
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
    drawn(page.locator(".card b"), ["Ann", "Person 2", "Person 1"])
    assert "3 times in 3 videos" in page.locator(".card").first.inner_text()
    assert page.locator("button.row").count() == 5, "in the timeline of every video"
    page.locator(".card").first.click()
    videos = page.locator("dialog .part")
    drawn(videos, ["a.mp4\n0:00 to 0:02", "b.mp4\n0:10 to 0:12", "c.mp4\n0:00 to 0:02"])
    assert "person-1-0-0" in page.locator("dialog dl").inner_text()
    videos.nth(1).click()
    assert "0:10 to 0:12" in page.locator("dialog dl").inner_text()
    drawn(page.locator("dialog .part[aria-pressed=true]"), ["b.mp4\n0:10 to 0:12"])
    page.keyboard.press("ArrowRight")
    assert page.locator("dialog h2").inner_text() == "Person 2"
    page.keyboard.press("Escape")
    page.locator("#video").select_option("b.mp4")
    assert page.locator(".card").count() == page.locator("#timeline button.row").count() == 2
    tab.check((tmp_path / "people.html").as_uri())


def test_a_live_page_fills_while_the_job_runs(service: Service, six_people: Path, wide_tab: Tab) -> None:
    """The analyze worker is stopped in the middle of the job: what is on the page then came before its end."""
    request = {"video_path": str(six_people), "parameters": {"sampling_interval": 0.2}}
    job_id = service.submit(request)
    eventually(lambda: service.get(f"/faces/jobs/{job_id}/status").json["progress"] > 0)
    wide_tab.page.route("**/events", lambda route: route.abort(), times=1)  # it follows the job all the same
    with stopped("consumers analyze", service):
        state = service.get(f"/faces/jobs/{job_id}/status").json
        page = wide_tab.open(f"{service.url}/faces/watch?jobs={job_id}")
        page.wait_for_selector(".card")
        assert state["status"] == "processing"
        assert "so far" in page.title() and page.locator("#bar").is_visible()
        assert 0 < page.evaluate("document.getElementById('bar').value") < 1
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
