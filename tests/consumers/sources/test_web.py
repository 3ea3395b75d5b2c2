"""Sources from the web: only from where the operator allows, only as much as allowed, resumed once."""

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from aiohttp import web
from aiohttp.abc import ResolveResult
from aiohttp.test_utils import TestServer
from yarl import URL

from consumers.sources.http import WebClient, WebSourceUnavailable
from facecore.video import SourceError
from schemas.addresses import AllowList, NotAllowed

HOME = "127.0.0.2"  # listed; every other address inside the network, 127.0.0.1 among them, is not
FILM = bytes(range(256)) * 4096
MIB = 1 << 20


class Names:
    """Name resolution: the listed name leads to these addresses, one after the other."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
        self.asked.append(host)
        address = self.addresses.pop(0) if len(self.addresses) > 1 else self.addresses[0]
        kind = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [
            ResolveResult(
                hostname=host, host=address, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST
            )
        ]


class Site:
    """A web server that misbehaves as the path says."""

    def __init__(self) -> None:
        self.breaks = 1
        self.etags = ['"one"']
        """ETags of the film in successive responses, the last one from then on."""
        self.requests: list[str] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request.path)
        special: dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]] = {
            "/endless.mp4": self._endless, "/drip.mp4": self._drip, "/broken.mp4": self._broken,
        }  # fmt: skip
        if request.path in special:
            return await special[request.path](request)
        if request.path == "/away":
            return web.Response(status=302, headers={"Location": request.query["to"]})
        if request.path == "/round":
            raise web.HTTPFound("/round")
        if request.path == "/page.mp4":
            return web.Response(text="<html>please sign in</html>", content_type="text/html")
        if request.path == "/packed.mp4":
            return web.Response(body=gzip.compress(bytes(50 * MIB)), headers={"Content-Encoding": "gzip"})
        if request.path.startswith("/status/"):
            return web.Response(status=int(request.path.removeprefix("/status/")))
        return web.Response(body=FILM, content_type="video/mp4")

    async def _endless(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(bytes(1 << 16))

    async def _drip(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x")
            await asyncio.sleep(0.01)

    async def _broken(self, request: web.Request) -> web.StreamResponse:
        """Breaks off in the middle; resumes where the Range header asks for."""
        start, etag = 0, self.etags.pop(0) if len(self.etags) > 1 else self.etags[0]
        headers = {"ETag": etag, "Content-Type": "video/mp4"}
        if (wanted := request.headers.get("Range")) and request.headers.get("If-Range") == etag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            headers["Content-Range"] = f"bytes {start}-{len(FILM) - 1}/{len(FILM)}"
        response = web.StreamResponse(status=206 if start else 200, headers=headers)
        response.content_length = len(FILM) - start
        await response.prepare(request)
        if not self.breaks:
            await response.write(FILM[start:])
            return response
        self.breaks -= 1
        await response.write(FILM[start : start + len(FILM) // 3])
        assert request.transport is not None
        request.transport.close()
        return response


@pytest.fixture
async def site() -> Site:
    return Site()


@pytest.fixture
async def port(site: Site) -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", site.answer)
    async with TestServer(app, host=HOME) as server:
        assert server.port is not None
        yield server.port


@pytest.fixture
def names() -> Names:
    return Names(HOME)


@pytest.fixture
async def fetcher(port: int, names: Names) -> AsyncIterator[WebClient]:
    allowed = AllowList.parse([f"media.test:{port}", f"*.cdn.test:{port}", f"{HOME}/32"])
    found = WebClient(allowed, lookup=names)
    yield found
    await found.close()


async def refusal(fetcher: WebClient, url: str) -> str:
    with pytest.raises(SourceError) as raised:
        await fetcher.read(url, max_bytes=10 * MIB, seconds=20)
    return str(raised.value)


@pytest.mark.parametrize("host", ["media.test", "MEDIA.test.", "a.cdn.test", "a.b.cdn.test", HOME])
async def test_a_film_on_a_listed_host(fetcher: WebClient, port: int, tmp_path: Path, host: str) -> None:
    await fetcher.download(f"http://{host}:{port}/film.mp4", tmp_path / "film", max_bytes=2 * MIB, seconds=20)
    assert (tmp_path / "film").read_bytes() == FILM
    assert await fetcher.read(f"http://{host}:{port}/film.mp4", max_bytes=2 * MIB, seconds=20) == FILM


@pytest.mark.parametrize(
    "url",
    [
        "http://elsewhere.test:{port}/film.mp4", "http://cdn.test:{port}/film.mp4", "http://xcdn.test:{port}/f.mp4",
        "http://media.test/film.mp4", "http://media.test.evil.test:{port}/film.mp4",
        "http://user:secret@media.test:{port}/film.mp4", "ftp://media.test:{port}/film.mp4", "file:///etc/passwd",
        "gopher://media.test:{port}/", "//media.test:{port}/film.mp4", "http:///film.mp4", "/etc/passwd",
        "http://127.0.0.1:{port}/", "http://2130706433:{port}/", "http://0x7f000001:{port}/", "http://017700000001/",
        "http://127.1:{port}/", "http://0:{port}/", "http://[::1]:{port}/", "http://[::ffff:127.0.0.1]:{port}/",
        "http://[64:ff9b::7f00:1]:{port}/", "http://[2002:7f00:1::]:{port}/", "http://169.254.169.254/latest/",
        "http://[fe80::1%25lo]:{port}/", "http://localhost:{port}/", "http://8.8.8.8/", "http://224.0.0.1/",
        "http://127。0。0。1:{port}/", "http://①②⑦.0.0.1:{port}/", "http://[::127.0.0.1]:{port}/", "http://[::1",
        "http://media.test:99999/", "http://media.test:port/", "http://xn--/", "http://media.test\\@127.0.0.1:{port}/",
        "http://127.0.0.1#@media.test:{port}/", "http://media..test:{port}/",
    ],
)  # fmt: skip
@pytest.mark.parametrize("by_redirect", [False, True])
async def test_anything_else_is_refused_and_not_asked(
    fetcher: WebClient, site: Site, names: Names, port: int, url: str, by_redirect: bool
) -> None:
    url = url.format(port=port)
    if by_redirect and url.startswith(("/", "http:///")):
        pytest.skip("relative: leads to the same host")
    reason = await refusal(fetcher, f"http://media.test:{port}/away?to={quote(url)}" if by_redirect else url)
    assert "secret" not in reason
    assert any(said in reason for said in ("FACES_ALLOWED_HOSTS", "not an http", "user name")), reason
    assert site.requests == (["/away"] if by_redirect else [])
    assert names.asked == (["media.test"] if by_redirect else [])


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "192.168.1.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "::1",
     "fe80::1", "fc00::1", "fec0::1", "ff02::1", "::ffff:10.0.0.1", "::ffff:0:10.0.0.1", "::10.0.0.1", "::",
     "64:ff9b::a00:1", "64:ff9b:1::a00:1", "2002:a00:1::1", "2001:0:a00:1::1", "240.0.0.1", "198.18.0.1"],
)  # fmt: skip
async def test_a_listed_name_that_leads_inside_is_refused(
    fetcher: WebClient, names: Names, port: int, address: str
) -> None:
    names.addresses = [address]
    reason = await refusal(fetcher, f"http://media.test:{port}/film.mp4")
    assert reason.startswith("media.test leads to ")
    assert reason.endswith(", which is inside the network (FACES_ALLOWED_HOSTS).")


async def test_a_name_that_changes_its_meaning(
    fetcher: WebClient, site: Site, names: Names, port: int
) -> None:
    names.addresses = [HOME, "127.0.0.1"]
    assert await fetcher.read(f"http://media.test:{port}/film.mp4", max_bytes=2 * MIB, seconds=20) == FILM
    assert names.asked == ["media.test"], "what was checked is what was connected to"
    assert "inside the network" in await refusal(fetcher, f"http://media.test:{port}/film.mp4")
    names.addresses = [HOME, "127.0.0.1"]
    assert "inside the network" in await refusal(
        fetcher, f"http://media.test:{port}/away?to=http://media.test:{port}/film.mp4"
    )
    assert site.requests == ["/film.mp4", "/away"]


async def test_going_round_in_circles_ends(fetcher: WebClient, port: int) -> None:
    assert "redirects more than 5 times" in await refusal(fetcher, f"http://media.test:{port}/round")


async def test_a_full_disk_is_named_and_tried_again(fetcher: WebClient, port: int) -> None:
    url = f"http://media.test:{port}/film.mp4"
    with pytest.raises(
        WebSourceUnavailable, match=r"film\.mp4 cannot be stored in /dev: no space left on device"
    ):
        await fetcher.download(url, Path("/dev/full"), max_bytes=2 * MIB, seconds=20)


async def test_an_endless_stream_is_cut_off(fetcher: WebClient, port: int, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is larger than 1048576 bytes"):
        await fetcher.download(
            f"http://media.test:{port}/endless.mp4", tmp_path / "film", max_bytes=MIB, seconds=60
        )
    assert (tmp_path / "film").stat().st_size <= MIB
    assert "is larger than" in await refusal(fetcher, f"http://media.test:{port}/endless.mp4")


async def test_a_stream_that_drips_is_given_up(fetcher: WebClient, port: int, tmp_path: Path) -> None:
    url = f"http://media.test:{port}/drip.mp4"
    with pytest.raises(WebSourceUnavailable, match=r"was not downloaded within 0 s"):
        await fetcher.download(url, tmp_path / "film", max_bytes=MIB, seconds=0.3)
    with pytest.raises(WebSourceUnavailable, match=r"was not fetched within 0 s"):
        await fetcher.read(url, max_bytes=MIB, seconds=0.3)


async def test_what_says_that_it_is_too_large_is_not_read(fetcher: WebClient, port: int) -> None:
    with pytest.raises(SourceError, match="is larger than 1000 bytes"):
        await fetcher.read(f"http://media.test:{port}/film.mp4", max_bytes=1000, seconds=20)


async def test_packed_bodies_are_not_unpacked(fetcher: WebClient, port: int) -> None:
    assert "is served with content encoding gzip" in await refusal(
        fetcher, f"http://media.test:{port}/packed.mp4"
    )


async def test_a_page_about_a_film_is_no_film(fetcher: WebClient, port: int, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is of type text/html, not a video or picture"):
        await fetcher.download(
            f"http://media.test:{port}/page.mp4", tmp_path / "film", max_bytes=MIB, seconds=20
        )


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
async def test_refused_by_the_other_side(fetcher: WebClient, port: int, status: int) -> None:
    assert f"answered with status {status}" in await refusal(
        fetcher, f"http://media.test:{port}/status/{status}"
    )


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_worth_another_try(fetcher: WebClient, port: int, status: int) -> None:
    with pytest.raises(WebSourceUnavailable, match=f"answered with status {status}"):
        await fetcher.read(f"http://media.test:{port}/status/{status}", max_bytes=MIB, seconds=20)


async def test_a_host_that_is_not_there(port: int) -> None:
    fetcher = WebClient(AllowList.parse(["media.test:9", "127.0.0.2"]), lookup=Names(HOME))
    with pytest.raises(WebSourceUnavailable, match="cannot be fetched"):
        await fetcher.read("http://media.test:9/film.mp4", max_bytes=MIB, seconds=20)
    await fetcher.close()


async def test_a_broken_connection_is_gone_on_with_once(
    fetcher: WebClient, site: Site, port: int, tmp_path: Path
) -> None:
    url = f"http://media.test:{port}/broken.mp4"
    await fetcher.download(url, tmp_path / "film", max_bytes=2 * MIB, seconds=20)
    assert (tmp_path / "film").read_bytes() == FILM
    assert site.requests == ["/broken.mp4"] * 2
    site.breaks = 2
    with pytest.raises(WebSourceUnavailable, match="was lost twice"):
        await fetcher.download(url, tmp_path / "film", max_bytes=2 * MIB, seconds=20)


async def test_a_film_that_changed_meanwhile_is_not_glued_together(
    fetcher: WebClient, site: Site, port: int, tmp_path: Path
) -> None:
    site.etags = ['"one"', '"two"']
    with pytest.raises(WebSourceUnavailable, match=r"could not be resumed .*: the file has changed"):
        await fetcher.download(
            f"http://media.test:{port}/broken.mp4", tmp_path / "film", max_bytes=2 * MIB, seconds=20
        )


@pytest.mark.parametrize(
    "entry",
    [
        "http://media.test",
        "user@media.test",
        "media.test/path",
        "media.test:0",
        "127.0.0.1:65536",
        "[::1]:",
        "",
    ],
)
def test_an_entry_that_is_no_host_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="is neither a host nor a network"):
        AllowList.parse([entry])


def test_an_internal_address_with_its_port_may_be_listed() -> None:
    allowed = AllowList.parse(["127.0.0.1:9999", "[::1]:9998"])
    for address in ("http://127.0.0.1:9999/x", "http://[::1]:9998/", "http://[0:0::1]:9998/"):
        allowed.check(URL(address))
    for address in (
        "http://127.0.0.1:9998/",
        "http://[::1]/",
        "http://127.0.0.2:9999/",
        "http://localhost:9999/",
    ):
        with pytest.raises(NotAllowed):
            allowed.check(URL(address))


def test_a_default_port_may_be_written_or_left_out() -> None:
    entries = ["127.0.0.1:80", "[::1]:443", "media.test:80", "other.test", "[fd00::5]"]
    allowed = AllowList.parse(entries)
    for address in (
        "http://127.0.0.1/x", "http://127.0.0.1:80/x", "https://[::1]/", "http://media.test/", "https://other.test/",
        "http://other.test:80/", "http://[fd00::5]:8080/",
    ):  # fmt: skip
        allowed.check(URL(address))
    for address in ("https://127.0.0.1/", "http://[::1]/", "https://media.test/", "http://other.test:8080/"):
        with pytest.raises(NotAllowed):
            allowed.check(URL(address))
