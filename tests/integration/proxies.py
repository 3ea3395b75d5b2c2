"""Serves the API through nginx and Caddy, configured as compose/docs/proxy.md has it, and uses it as a browser does.

    python -m tests.integration.proxies

Tries those that are on PATH: a page, a submission from that page, its events as they happen, photographs up to the
limit, an uploaded film, and the same page below another path. Needs openssl.
"""

import http.client
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin

from compose.demo import SHOTS, make_video
from compose.server import free_port
from tests.integration.conftest import run_service
from tests.test_readmes import BLOCK, ROOT
from tests.waiting import eventually

NAME, ORIGIN = "faces.example.com", "https://faces.example.com"
BLOCKS = dict(BLOCK.findall((ROOT / "compose" / "docs" / "proxy.md").read_text()))
BELOW = "/people/"


def main() -> None:
    found = [name for name in ("nginx", "caddy") if shutil.which(name)]
    if not found:
        sys.exit("neither nginx nor caddy is on PATH")
    settings = dict(re.findall(r'^(\w+) = "(.*)"$', BLOCKS["toml"], re.MULTILINE))
    with tempfile.TemporaryDirectory(prefix="faces-proxies-") as made:
        folder = Path(made)
        make_film(folder / "film.mp4")
        certify(folder)
        running = run_service(Path("~/.insightface").expanduser(), folder, environment=settings)
        service = next(running)
        for name in found:
            with proxy(name, folder, service.url.removeprefix("http://")) as port:
                use(name, port, folder)
        next(running, None)


def make_film(to: Path) -> None:
    import insightface

    make_video(Path(insightface.__file__).parent / "data" / "images" / "t1.jpg", to, SHOTS * 2)


def certify(folder: Path) -> None:
    command = (
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        f"/CN={NAME}",
    )
    files = (
        "-keyout",
        folder / "key.pem",
        "-out",
        folder / "cert.pem",
        "-addext",
        f"subjectAltName=DNS:{NAME}",
    )
    subprocess.run([*command, *files], check=True, capture_output=True)


@contextmanager
def proxy(name: str, folder: Path, address: str) -> Iterator[int]:
    """A proxy with the block of the document, on a free port, with a path of its own beside; yields the port."""
    port, config = free_port(), folder / name
    block = BLOCKS["nginx" if name == "nginx" else "caddyfile"].replace("127.0.0.1:5003", address)
    if name == "nginx":
        block = block.replace("listen 443", f"listen 127.0.0.1:{port}").replace(
            "/etc/ssl/faces.key", "key.pem"
        )
        below = f"location {BELOW} {{ proxy_pass http://{address}/; proxy_set_header Host $host; }}"
        block = block.replace("/etc/ssl/faces.pem", "cert.pem").replace(
            "  location / {", f"  {below}\n  location / {{"
        )
        temporary = "".join(
            f"{kind}_temp_path {folder}/{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        block = f"http {{ access_log off; {temporary}\n{block} }}"
        config.write_text(f"daemon off; pid nginx.pid; error_log nginx.log;\nevents {{}}\n{block}")
        command = ["nginx", "-p", str(folder), "-c", str(config)]
    else:
        inside = f"{{\n  tls {folder}/cert.pem {folder}/key.pem\n"
        inside += f"  handle_path {BELOW}* {{\n    reverse_proxy {address}\n  }}\n"
        block = block.replace(f"{NAME} {{\n", f"{ORIGIN}:{port} {inside}")
        config.write_text(f"{{\n  admin off\n  auto_https off\n}}\n{block}")
        command = ["caddy", "run", "--adapter", "caddyfile", "--config", str(config)]
    environment = {**os.environ, "HOME": str(folder)}
    with (
        (folder / f"{name}.out").open("wb") as out,
        subprocess.Popen(command, env=environment, stdout=out, stderr=out) as process,
    ):
        try:
            eventually(lambda: process.poll() is not None or listens(port), 30)
            assert process.poll() is None, (folder / f"{name}.out").read_text()
            yield port
        finally:
            process.terminate()


def listens(port: int) -> bool:
    try:
        ask(port, "GET", "/faces/live").close()
    except OSError:
        return False
    return True


def ask(
    port: int, method: str, path: str, body: bytes | None = None, **headers: str
) -> http.client.HTTPResponse:
    """A request as a browser at the address without a port sends it."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=60)
    connection.sock = context.wrap_socket(
        connection._create_connection(("127.0.0.1", port)), server_hostname=NAME
    )  # type: ignore[attr-defined]
    sent = {"Host": NAME, **{name.replace("_", "-"): value for name, value in headers.items()}}
    connection.request(method, path, body, sent)
    return connection.getresponse()


def use(name: str, port: int, folder: Path) -> None:
    page = ask(port, "GET", "/faces/")
    assert page.status == 200 and b"Faces" in page.read()
    request = {
        "video_path": str(folder / "film.mp4"),
        "job_id": f"by-{name}",
        "parameters": {"library": "home"},
    }
    kind = {"Content_Type": "application/json"}
    accepted = ask(port, "POST", "/faces/analyze", json.dumps(request).encode(), Origin=ORIGIN, **kind)
    assert accepted.status == 202, accepted.read()
    elsewhere = ask(port, "POST", "/faces/analyze", b"{}", Origin="https://elsewhere.example", **kind)
    assert elsewhere.status == 403, elsewhere.read()
    events = [
        line for line in ask(port, "GET", f"/faces/jobs/by-{name}/events") if line.startswith(b"event: ")
    ]
    assert events[-1] == b"event: end\n" and len(events) > 2, events
    sizes = {
        size: ask(port, "POST", "/faces/libraries/home/search", os.urandom(size), Origin=ORIGIN).status == 413
        for size in (3 << 20, 9 << 20)
    }
    assert list(sizes.values()) == [False, True], "photographs of up to 8 MiB arrive"
    tus = {"Tus_Resumable": "1.0.0", "Origin": ORIGIN}
    film = os.urandom(12_000_000)
    begun = ask(
        port,
        "POST",
        "/faces/uploads",
        Upload_Length=str(len(film)),
        Upload_Metadata="filename YS5tcDQ=",
        **tus,
    )
    assert begun.status == 201, begun.read()
    place = urljoin("/faces/uploads", begun.headers["Location"])
    part = {"Upload_Offset": "0", "Content_Type": "application/offset+octet-stream"}
    sent = ask(port, "PATCH", place, film, **part, **tus)
    assert (sent.status, sent.headers["Upload-Offset"]) == (204, str(len(film))), sent.read()
    moved = ask(port, "GET", BELOW)
    below = urljoin(BELOW, moved.headers["Location"])
    assert (moved.status, below) == (302, f"{BELOW}faces/") and ask(port, "GET", below).status == 200
    print(f"{name}: page, submission, {len(events)} events, photographs, an upload, {below}")


if __name__ == "__main__":
    main()
