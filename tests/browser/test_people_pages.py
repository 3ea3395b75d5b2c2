"""The pages of people in a real browser: on real films by keyboard alone, and on 500 people by mouse."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.conftest import Tab, new_tab, tasks, violations
from tests.browser.crowd import fill, merge
from tests.browser.shown import says
from tests.integration.client import Service
from tests.waiting import eventually

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CAST, CROWD, ALIKE, DIVIDED = "cast", "crowd", "alike", "divided"
NAME = "Ann <img src=x onerror=alert(1)> & Co"
LOADED = "images => images.filter(image => image.complete && image.naturalWidth > 50).length"


@pytest.fixture(scope="module")
def film(service: Service, six_people: Path) -> None:
    """A library with the six people of a film."""
    _add(service, six_people, 1)


@pytest.fixture(scope="module")
def crowd(service: Service, group_photograph: Path) -> None:
    """A library of 500 people, some of whom may be the same as twelve others, and one that has merged people."""
    with ThreadPoolExecutor(1) as elsewhere:  # in this thread a loop runs already, the browser's
        elsewhere.submit(asyncio.run, fill(service.redis_url, CROWD, 500, 12, group_photograph)).result()
        elsewhere.submit(asyncio.run, merge(service.redis_url, ALIKE)).result()


@pytest.fixture
def phone(browser: "Browser") -> Iterator[Tab]:
    yield from new_tab(browser, 360, "dark")


@pytest.fixture
def desk(browser: "Browser") -> Iterator[Tab]:
    yield from new_tab(browser, 1440, "light")


def test_people_are_named_found_again_corrected_and_erased_by_keyboard(
    service: Service, film: None, group_photograph: Path, phone: Tab, axe: str
) -> None:
    page = phone.open(f"{service.url}/faces/people?library={CAST}")
    cards = page.locator(".gallery .card")
    eventually(lambda: cards.count() == 6)
    _tab_to(page, ".gallery .link")
    page.keyboard.press("n")
    page.keyboard.type(NAME)
    page.keyboard.press("Enter")
    _said(page, f"Named {NAME}.")
    eventually(lambda: _focused(page, "aria-label") == f"{NAME}, change the name")

    _add(service, group_photograph, 2)  # while the page is open: it follows the library
    ann = page.locator(".card", has_text="Ann")
    says(ann, "2 films")
    assert _focused(page, "aria-label") == f"{NAME}, change the name", "the focus stays where it was"
    cards.last.scroll_into_view_if_needed()  # pictures are loaded when they are seen
    eventually(lambda: page.locator(".gallery img").evaluate_all(LOADED) == 6)
    assert violations(page, axe) == []

    _tab_to(page, ".gallery .link", back=True)
    for key in ("x", "ArrowRight", "x", "m"):
        page.keyboard.press(key)
    page.wait_for_selector("dialog[open]")
    assert violations(page, axe) == []
    page.keyboard.press("Enter")
    _said(page, "Merged into one person.")
    eventually(lambda: cards.count() == 5)
    assert page.evaluate("document.activeElement.closest('.gallery') !== null"), "the focus is not lost"
    page.keyboard.press("Control+z")
    eventually(lambda: cards.count() == 6)

    _tab_to(page, f'.gallery .link[aria-label^="{NAME}"]', back=True)
    page.keyboard.press("Enter")
    films = page.locator(".film")
    eventually(lambda: films.count() == 2)
    assert page.locator("h1").inner_text() == NAME
    assert "#t=" in str(page.locator(".film .who").first.get_attribute("href"))
    eventually(lambda: page.locator(".companions .card").count() == 5)
    says(page.locator("#films"), "almost certainly")
    assert violations(page, axe) == []
    _tab_to(page, ".film input")
    page.keyboard.press("Space")
    _tab_to(page, "#chosen button")
    page.keyboard.press("Enter")
    _said(page, "What was chosen is another person now.")
    eventually(lambda: films.count() == 1)
    page.keyboard.press("Control+z")
    eventually(lambda: films.count() == 2)

    page.goto(f"{service.url}/faces/people?library={CAST}")
    eventually(lambda: cards.count() == 6)
    _tab_to(page, '#views [data-view="photograph"]')
    page.keyboard.press("Enter")
    page.locator("#photo-file").set_input_files(group_photograph)
    eventually(lambda: page.locator(".frame").count() == 6)
    best = page.locator(".results li").first
    says(best, "almost certainly this person, over 99.9 %", "in 2 films")
    assert violations(page, axe) == []
    _tab_to(page, ".frame:nth-of-type(2)")
    page.keyboard.press("Enter")
    eventually(lambda: page.locator("#photo-state").inner_text() == "Face 2 of 6")
    says(best, "almost certainly")

    page.goto(f"{service.url}/faces/people?library={CAST}#history")
    eventually(lambda: page.locator(".log li").count() == 3)
    assert page.locator(".log .badge").count() == 2, "what was taken back is marked"
    assert NAME in page.locator(".log").inner_text() and violations(page, axe) == []
    page.locator("a", has_text="People").last.evaluate("node => node.blur()")
    page.goto(f"{service.url}/faces/people?library={CAST}#people")
    _tab_to(page, f'.gallery .link[aria-label^="{NAME}"]')
    page.keyboard.press("Enter")
    eventually(lambda: films.count() == 2)
    _tab_to(page, "#erase")
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open]")
    assert violations(page, axe) == [] and page.evaluate("document.activeElement.textContent") == "Cancel"
    _tab_to(page, "dialog .danger")
    page.keyboard.press("Enter")
    eventually(lambda: cards.count() == 5)
    assert service.get(f"/faces/libraries/{CAST}").json["named"] == 0
    phone.check(service.url)


def test_pictures_that_show_somebody_else_become_another_person_by_keyboard(
    service: Service, six_people: Path, phone: Tab, axe: str
) -> None:
    _add(service, six_people, 1, DIVIDED)
    people = f"/faces/libraries/{DIVIDED}/people"
    ann = service.get(people).json["people"][0]
    page = phone.open(f"{service.url}/faces/people/{ann['person_id']}?library={DIVIDED}")
    _tab_to(page, ".acts a")
    page.keyboard.press("Enter")
    eventually(lambda: page.locator("#person input[type=checkbox]").count() == ann["detections"])
    assert violations(page, axe) == []
    for number in range(2):
        _tab_to(page, f"#person label.tile:nth-of-type({number + 1}) input")
        page.keyboard.press("Space")
    first = page.url
    _tab_to(page, "#person .divide .first")
    page.keyboard.press("Enter")
    page.wait_for_url(
        lambda address: address.split("#")[0] != first.split("#")[0], wait_until="commit"
    )  # what is said then goes after a while
    _said(page, "What was chosen is another person now.")
    eventually(lambda: page.locator("#people li").count() == 7)
    parts = [one["detections"] for one in _people(service, people, 7)]
    assert (parts[0], parts[-1]) == (ann["detections"] - 2, 2)
    _tab_to(page, "#said button", back=True)
    page.keyboard.press("Enter")
    _said(page, "Taken back.")
    eventually(lambda: page.locator("#people li").count() == 6)
    whole = _people(service, people, 6)
    assert (whole[0]["person_id"], whole[0]["detections"]) == (
        ann["person_id"],
        ann["detections"],
    )
    _follows_what_is_said_elsewhere(service, page, ann["person_id"])
    assert violations(page, axe) == []
    phone.check(service.url)


def _follows_what_is_said_elsewhere(service: Service, page: "Page", person: str) -> None:
    """Names, analyses, people and libraries change or go while pages are open: each says so, none logs an error."""

    def name(label: str) -> None:
        change = {"change": {"type": "name", "person_id": person, "label": label}}
        assert service.post(f"/faces/libraries/{DIVIDED}/corrections", change).status == 200

    job = page.url.split("/film/")[1].split("#")[0]
    page.locator(".who-button").first.focus()
    name("Cleo")
    eventually(lambda: page.locator(".who-button b", has_text="Cleo").count() == 1)
    assert page.locator(".line-name", has_text="Cleo").count() == 1
    assert page.evaluate("document.activeElement.matches('.who-button')"), "the focus stays"
    page.goto(f"{service.url}/faces/watch?jobs={job}")
    page.locator(".card", has_text="Cleo").wait_for()
    name("Dora")
    page.locator(".card", has_text="Dora").wait_for()
    page.goto(f"{service.url}/faces/?library={DIVIDED}")
    films = page.locator(".film")
    eventually(lambda: films.count() == 1 and "Dora" in (films.text_content() or ""))
    page.get_by_role("button", name="2 earlier analyses").press("Enter")
    eventually(lambda: films.count() == 3)
    films.nth(2).locator("a").first.press("Enter")
    page.locator("#newer a").press("Enter")
    page.wait_for_url(f"**/film/{job}")
    for analysis in service.get(f"/faces/jobs?library={DIVIDED}").json["jobs"]:
        assert service.delete(f"/faces/jobs/{analysis['job_id']}").status == 204
    page.goto(f"{service.url}/faces/?library={DIVIDED}")
    page.locator("#earlier li", has_text="6 people").wait_for()
    page.goto(f"{service.url}/faces/people/person-1-0-0?library={DIVIDED}")
    page.locator("#problem", has_text="There is no such person in this library.").wait_for()
    page.goto(f"{service.url}/faces/people?library=nowhere")
    page.locator("#no-library h1", has_text="There is no library “nowhere”.").wait_for()
    assert (
        not page.locator("#views").is_visible() and page.locator(".offers a", has_text=DIVIDED).count() == 1
    )


def test_five_hundred_people_are_scrolled_searched_merged_and_asked_about(
    service: Service, crowd: None, desk: Tab, axe: str
) -> None:
    page = desk.open(f"{service.url}/faces/people?library={CROWD}")
    eventually(lambda: page.locator("#shown").inner_text() == "512 people")
    assert violations(page, axe) == []
    _scrolls(page)

    page.locator("#sort").select_option("doubt")
    first = page.locator(".gallery .card").first
    says(first, "question")
    for number, name in ((0, "Ann"), (1, "Ben")):
        page.locator(".gallery .name").nth(number).click()
        page.keyboard.type(name)
        page.get_by_role("button", name="Save").click()
        _said(page, f"Named {name}.")
        eventually(lambda: page.locator(".naming").count() == 0)
    page.locator(".gallery .name").nth(2).click()
    page.keyboard.type("a")
    page.get_by_role("option", name="Ann").click()
    assert "Ann is a name in this library already" in page.locator("dialog h2").inner_text()
    page.get_by_role("button", name="No, another Ann").click()
    _said(page, "Named Ann.")
    eventually(lambda: page.locator(".naming").count() == 0)
    page.locator("#text").fill("ann")
    eventually(lambda: page.locator("#shown").inner_text() == "2 of 512 people")
    cards = page.locator(".gallery .card")
    cards.nth(1).drag_to(cards.nth(0))
    page.get_by_role("button", name="Yes, one person").click()
    eventually(lambda: cards.count() == 1)
    page.locator("#said button").click()
    eventually(lambda: cards.count() == 2)
    cards.nth(1).locator("input").check()
    page.get_by_role("button", name="Hide").click()
    _said(page, "1 person hidden.")
    page.locator("#filter").select_option("hidden")
    eventually(lambda: page.locator("#shown").inner_text() == "1 person")

    page.locator("#filter").select_option("all")
    page.locator("#text").fill("")
    eventually(lambda: cards.count() > 1)
    edited = cards.first.get_attribute("data-id")
    cards.first.locator(".name").click()
    hides = {"type": "hide", "person_id": edited, "hidden": True}
    assert service.post(f"/faces/libraries/{CROWD}/corrections", {"change": hides}).status == 200
    _said(page, "This person was changed elsewhere")
    assert _focused(page, "id") == "people", "what is typed on is no key of another card"
    assert page.evaluate("fill('{name}.', {name: 'שלום'})") == "\u2068שלום\u2069.", (
        "it reorders no text around it"
    )

    page.locator('#views [data-view="questions"]').click()
    until = page.locator("#left").inner_text
    total = int(until().split()[0])
    assert total > 5
    assert violations(page, axe) == []
    for answers, key in enumerate(("y", "n"), 1):  # the next question is there at once
        page.keyboard.press(key)
        assert page.evaluate("[settled.size, settled.has(pairOf(asked))]") == [answers, False]
    _said(page, "Noted: different people.")
    eventually(lambda: int(until().split()[0]) <= total - 2)
    page.keyboard.press("s")
    assert page.evaluate("[skipped.size, skipped.has(pairOf(asked))]") == [1, False]
    page.keyboard.press("u")
    _said(page, "Taken back.")

    page.goto(f"{service.url}/faces/people?library={ALIKE}#history")
    page.locator(".log li").first.wait_for()
    merges = page.locator(".log li", has_text="by the service itself").count()
    assert merges == page.locator(".log li").count()
    assert violations(page, axe) == []
    before = service.get(f"/faces/libraries/{ALIKE}").json["people"]
    _tab_to(page, ".log button")
    page.keyboard.press("Enter")
    _said(page, "Taken back.")
    eventually(lambda: page.locator(".log .badge").count() == 1)
    assert service.get(f"/faces/libraries/{ALIKE}").json["people"] == before + 1
    desk.check(service.url)


def _add(service: Service, source: Path, films: int, library: str = CAST) -> None:
    request = {"video_path": str(source), "parameters": {"sampling_interval": 1.0, "library": library}}
    service.wait_for_end(service.submit(request))
    eventually(lambda: service.get(f"/faces/libraries/{library}").json.get("films") == films)


def _people(service: Service, address: str, count: int) -> list[Any]:
    """The people of a library, once there are so many."""

    def found() -> list[Any]:
        people: list[Any] = service.get(address).json["people"]
        return people if len(people) == count else []

    return eventually(found)


def _scrolls(page: "Page") -> None:
    """Scrolls to the end: no task takes 100 ms of processor time, which a busy machine does not change."""
    height = "document.documentElement.scrollHeight - innerHeight - scrollY"
    with tasks(page) as microseconds:
        while page.evaluate(height) > 2 or page.locator(".gallery .card").count() < 512:
            page.mouse.wheel(0, 900)
            page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
    assert len(microseconds) > 100 and 0 < max(microseconds) < 100_000, max(microseconds)
    page.evaluate("scrollTo(0, 0)")


def _tab_to(page: "Page", selector: str, *, back: bool = False) -> None:
    """Waits for an element and presses Tab until the focus is there: what cannot be reached by keyboard fails."""
    page.locator(selector).first.wait_for(state="attached")
    for _ in range(80):
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
        page.keyboard.press("Shift+Tab" if back else "Tab")
    raise AssertionError(f"{selector} is not reached by Tab")


def _focused(page: "Page", attribute: str) -> Any:
    return page.evaluate("name => document.activeElement.getAttribute(name)", attribute)


def _said(page: "Page", text: str) -> None:
    """Waits for what is announced."""
    eventually(lambda: (page.locator("#said").text_content() or "").startswith(text))
