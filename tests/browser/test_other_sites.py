"""Pages of other websites in a real browser: a rebound name, and another port of the same host, change nothing."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from compose.server import free_port
from tests.waiting import eventually

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

REBOUND = "evil.test"
BODIES = {
    "a text": '\'{"video_path": "/x"}\'',
    "no Content-Type": 'new Blob([\'{"video_path": "/x"}\'])',
    "a form": "new URLSearchParams({video_path: '/x'})",
}


@pytest.fixture(scope="module")
def api(valkey: str) -> Iterator[str]:
    """Address of an API without keys."""
    port = free_port()
    environment = {**os.environ, "REDIS_URL": valkey, "FACES_PORT": str(port), "FACES_PREFIX": "sites"}
    process = subprocess.Popen([sys.executable, "-m", "api"], env=environment)
    try:
        eventually(lambda: _status(f"http://127.0.0.1:{port}/faces/ready") == 200)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def page(launch: Callable[..., "Browser"]) -> "Page":
    """A page of a browser in which the name leads to this machine, as after a rebinding."""
    return launch(f"--host-resolver-rules=MAP {REBOUND} 127.0.0.1").new_page()


def test_a_rebound_name_reads_and_changes_nothing(api: str, page: "Page") -> None:
    rebound = api.replace("127.0.0.1", REBOUND)
    answer = page.goto(f"{rebound}/faces/health")
    assert answer is not None and answer.status == 403, "the browser reached the API under that name"
    sends = "([url, options]) => fetch(url, options).then(answer => answer.status)"
    headers = {"Content-Type": "application/json"}
    submits = {"method": "POST", "headers": headers, "body": json.dumps({"video_path": "/x"})}
    assert page.evaluate(sends, [f"{rebound}/faces/jobs", {}]) == 403
    assert page.evaluate(sends, [f"{rebound}/faces/analyze", submits]) == 403
    assert page.evaluate(sends, [f"{rebound}/faces/jobs/x", {"method": "DELETE"}]) == 403
    assert _jobs(api) == []


def test_a_page_of_another_port_changes_nothing(api: str, page: "Page") -> None:
    with _other_site() as address:
        page.goto(address)
        for name, body in BODIES.items():
            sends = f"url => fetch(url, {{method: 'POST', mode: 'no-cors', body: {body}}}).then(a => a.type)"
            for path in ("analyze", "jobs/x/cancel"):
                with page.expect_response(f"{api}/faces/{path}") as answer:
                    assert page.evaluate(sends, f"{api}/faces/{path}") == "opaque", name
                assert answer.value.status == 403, name
    assert _jobs(api) == []


def test_its_own_page_may_change_something(api: str, page: "Page") -> None:
    page.goto(f"{api}/faces/")
    sends = "([url, options]) => fetch(url, options).then(answer => answer.status)"
    headers = {"Content-Type": "application/json"}
    submits = {"method": "POST", "headers": headers, "body": json.dumps({"video_path": "/x"})}
    assert page.evaluate(sends, ["/faces/analyze", submits]) == 202
    assert len(_jobs(api)) == 1


class _Empty(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@contextmanager
def _other_site() -> Iterator[str]:
    """A website on another port of this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Empty)
    Thread(target=partial(server.serve_forever, poll_interval=0.05), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def _jobs(api: str) -> list[dict[str, object]]:
    with urllib.request.urlopen(f"{api}/faces/jobs", timeout=10) as answer:
        jobs: list[dict[str, object]] = json.load(answer)["jobs"]
    return jobs


def _status(address: str) -> int:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return int(answer.status)
    except OSError:
        return 0
