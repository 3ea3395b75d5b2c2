"""Debian's Chromium through Playwright; accessibility rules of axe-core."""

import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import msgspec
import numpy as np
import pytest

from tests.browser.shown import FILM, SOURCE_ID, multiply
from tests.integration.client import Service

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
]  # fmt: skip
AXE = "axe-core@4.14.1"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "faces-tests"


@pytest.fixture(scope="package")
def launch() -> Iterator[Callable[..., "Browser"]]:
    """Starts headless browsers, closed after this folder: until then, their event loop occupies this thread."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("there is no chromium on this machine: apt-get install chromium")
    with sync_api.sync_playwright() as playwright, ExitStack() as browsers:

        def launched(*flags: str) -> "Browser":
            started = playwright.chromium.launch(executable_path=chromium, args=[*FLAGS, *flags])
            return browsers.enter_context(closing(started))

        yield launched


@pytest.fixture(scope="package")
def browser(launch: Callable[..., "Browser"]) -> "Browser":
    return launch()


@dataclass
class Tab:
    """A page, with the requests it made and the errors it logged."""

    page: "Page"
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def open(self, address: str) -> "Page":
        self.page.goto(address)
        return self.page

    def check(self, origin: str) -> None:
        """Checks that no error was logged, no other origin was requested, and the page fits the window's width."""
        assert self.errors == []
        assert [url for url in self.requests if not url.startswith((origin, "data:", f"blob:{origin}"))] == []
        widths = "[document.documentElement.scrollWidth, innerWidth]"
        inner, outer = self.page.evaluate(widths)
        sticks_out = (
            "[...document.querySelectorAll('*')].filter(e => e.getBoundingClientRect().right > innerWidth)"
        )
        elements = f"{sticks_out}.map(e => e.outerHTML.slice(0, 120))"
        assert inner <= outer, f"{self.page.url} is {inner} pixels wide: {self.page.evaluate(elements)[:8]}"


@pytest.fixture(params=[(1600, "light"), (390, "dark")], ids=["1600 light", "390 dark"])
def tab(browser: "Browser", request: pytest.FixtureRequest) -> Iterator[Tab]:
    yield from new_tab(browser, *request.param)


@pytest.fixture
def wide_tab(browser: "Browser") -> Iterator[Tab]:
    yield from new_tab(browser, 1600, "light")


def new_tab(browser: "Browser", width: int, scheme: Any) -> Iterator[Tab]:
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    context.set_default_timeout(60_000)
    tab = Tab(context.new_page())
    tab.page.on("request", lambda request: tab.requests.append(request.url))
    tab.page.on("pageerror", lambda error: tab.errors.append(str(error)))
    tab.page.on("dialog", lambda dialog: tab.errors.append(f"a dialog: {dialog.message}"))
    tab.page.on("console", lambda said: _note(tab, said))
    yield tab
    context.close()


def _note(tab: Tab, said: Any) -> None:
    if said.type in ("error", "warning"):
        tab.errors.append(f"{said.type}: {said.text}")


@pytest.fixture(scope="session")
def axe() -> str:
    """The script of axe-core, fetched once with npm and cached outside the repository."""
    kept = CACHE / f"{AXE.replace('@', '-')}.js"
    if not kept.is_file():
        if shutil.which("npm") is None:
            pytest.skip("there is no npm to fetch axe-core with")
        CACHE.mkdir(parents=True, exist_ok=True)
        fetched = subprocess.run(
            ["npm", "pack", AXE, "--silent"],
            cwd=CACHE,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if fetched.returncode:
            pytest.skip(f"axe-core cannot be fetched: {fetched.stderr.strip()[-200:]}")
        with tarfile.open(CACHE / fetched.stdout.strip()) as packed:
            script = packed.extractfile("package/axe.min.js")
            assert script is not None
            kept.write_bytes(script.read())
    return kept.read_text()


def violations(page: "Page", axe: str) -> list[str]:
    """Returns the violations of any level that axe-core finds, each with its elements."""
    page.evaluate(axe)
    found = page.evaluate(
        "axe.run(document, {resultTypes: ['violations']}).then(results => results.violations)"
    )
    return [
        f"{one['id']} ({one['impact']}): {one['help']}: {[node['html'][:200] for node in one['nodes'][:3]]}"
        for one in found
    ]


@contextmanager
def tasks(page: "Page") -> Iterator[list[int]]:
    """Yields a list that afterwards has the processor time of each task of the page in microseconds."""
    browser, microseconds = page.context.browser, list[int]()
    assert browser is not None
    browser.start_tracing(page=page, categories=["toplevel", "devtools.timeline"])
    yield microseconds
    events = msgspec.json.decode(browser.stop_tracing())["traceEvents"]
    threads = {
        (one["pid"], one["tid"])
        for one in events
        if one["name"] == "thread_name" and one["args"]["name"] == "CrRendererMain"
    }
    microseconds += [one.get("tdur", 0) for one in events if (one["pid"], one["tid"]) in threads]


@pytest.fixture(scope="package")
def hostile(service: Service, six_people: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A job on six people whose names are markup; that of the film is as wide as a telephone too."""
    video = tmp_path_factory.mktemp("films") / FILM
    shutil.copy(six_people, video)
    job_id = service.submit({"video_path": str(video), "source_id": SOURCE_ID})
    assert service.wait_for_end(job_id)["result_summary"]["unique_faces"] == 6
    return job_id


@pytest.fixture(scope="package")
def nobody(service: Service, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A job on a picture without people."""
    picture = tmp_path_factory.mktemp("films") / "wall.png"
    cv2.imwrite(str(picture), np.full((360, 640, 3), 180, np.uint8))
    job_id = service.submit({"video_path": str(picture)})
    assert service.wait_for_end(job_id)["result_summary"]["unique_faces"] == 0
    return job_id


@pytest.fixture(scope="package")
def crowd(service: Service, hostile: str) -> str:
    """A job whose result has 500 people: copies of the people of a real one."""
    multiply(service, hostile, f"{hostile}-crowd", 500)
    return f"{hostile}-crowd"
