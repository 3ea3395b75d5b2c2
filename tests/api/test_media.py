"""Playing the film of a job by byte ranges, tickets of browsers, looking through the media roots."""

import asyncio
import os
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from api.byte_ranges import Unsatisfiable, parse_range
from api.limits import SlotsTaken
from api.media import MAX_PLAYERS, PLAYERS
from api.media_types import media_type
from schemas.names import Partitions
from schemas.settings import Settings
from schemas.store.api_keys import ApiKeys
from tests.api.conftest import Client, Start

FILM = b"\x1aE\xdf\xa3....webm" + bytes(range(256)) * 4000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A media root with a film, and a secret beside it."""
    root = tmp_path.resolve() / "media"
    root.mkdir()
    (root / "film.webm").write_bytes(FILM)
    (tmp_path / "secret.webm").write_bytes(FILM)
    return root


async def job(api: Client, redis: Redis, source: str, **fields: str) -> str:
    """A job that has read frames of its source."""
    answer = await api.post("/faces/analyze", json={"video_path": source})
    job_id: str = (await answer.json())["job_id"]
    await redis.hset(Partitions().home.job(job_id).metadata, mapping={"sampled": "3", **fields})
    return job_id


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("bytes=0-0", (0, 1)), ("bytes=5-", (5, 10)), ("bytes=-3", (7, 10)), ("bytes=-30", (0, 10)),
        ("bytes=2-99", (2, 10)), ("bytes=0-1,3-4", None), ("bytes=5-2", None), ("bytes=-", None),
        ("lines=1-2", None), ("bytes=a-b", None), ("", None), ("bytes=٣-", None),
    ],
)  # fmt: skip
def test_a_range_of_bytes_is_what_rfc_9110_says(header: str, found: tuple[int, int] | None) -> None:
    assert parse_range(header, 10) == found


@pytest.mark.parametrize(("header", "size"), [("bytes=10-", 10), ("bytes=-0", 10), ("bytes=99-100", 10)])
def test_a_range_behind_the_end_is_unsatisfiable(header: str, size: int) -> None:
    with pytest.raises(Unsatisfiable):
        parse_range(header, size)


@pytest.mark.parametrize(
    ("head", "type_"),
    [
        (b"\0\0\0\x20ftypisom", "video/mp4"), (b"\0\0\0\x14ftypqt  ", "video/quicktime"), (FILM, "video/webm"),
        (b"\x1aE\xdf\xa3\x01matroska", "video/x-matroska"), (b"RIFF....AVI LIST", "video/x-msvideo"),
        (b"RIFF....WEBPVP8 ", "image/webp"), (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"\0\0\0\x1cftypavif", "image/avif"),
        ((b"\x47" + bytes(187)) * 5, "video/mp2t"), ((bytes(4) + b"\x47" + bytes(187)) * 5, "video/mp2t"),
        (b"<html><script>", None), (b"root:x:0:0:root", None), (b"", None), (b"RIFF....WAVE", None),
    ],
)  # fmt: skip
def test_the_type_of_a_film_follows_from_its_content(head: bytes, type_: str | None) -> None:
    assert media_type(head) == type_


async def test_a_film_is_played_by_ranges(start: Start, redis: Redis, root: Path) -> None:
    api = await start(FACES_MEDIA_ROOTS=str(root))
    address = f"/faces/jobs/{await job(api, redis, str(root / 'film.webm'))}/media"
    whole = await api.get(address)
    assert (whole.status, await whole.read()) == (200, FILM)
    assert whole.headers["Content-Type"] == "video/webm" and whole.headers["Accept-Ranges"] == "bytes"
    assert whole.headers["X-Content-Type-Options"] == "nosniff"
    assert whole.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    tag, size = whole.headers["ETag"], len(FILM)
    part = await api.get(address, headers={"Range": "bytes=100-199", "If-Range": tag})
    assert (part.status, await part.read()) == (206, FILM[100:200])
    assert part.headers["Content-Range"] == f"bytes 100-199/{size}"
    changed = await api.get(address, headers={"Range": "bytes=100-199", "If-Range": '"another"'})
    assert (changed.status, len(await changed.read())) == (200, size)
    dated = await api.get(address, headers={"Range": "bytes=-5", "If-Range": whole.headers["Last-Modified"]})
    assert (dated.status, await dated.read()) == (206, FILM[-5:])
    behind = await api.get(address, headers={"Range": f"bytes={size}-"})
    assert (behind.status, behind.headers["Content-Range"]) == (416, f"bytes */{size}")
    head = await api.head(address, headers={"Range": "bytes=0-9"})
    assert (head.status, head.headers["Content-Length"], await head.read()) == (206, "10", b"")
    known = await api.get(address, headers={"If-None-Match": tag})
    assert (known.status, await known.read()) == (304, b"")


async def test_only_the_film_of_a_job_is_served(start: Start, redis: Redis, root: Path) -> None:
    api = await start(FACES_MEDIA_ROOTS=str(root))
    (root / "link.webm").symlink_to(root.parent / "secret.webm")
    (root / "passwords.mp4").write_text("root:x:0:0")
    os.mkfifo(root / "pipe.webm")
    (root / "album").mkdir()
    for source in (
        root.parent / "secret.webm", root / "link.webm", root / "passwords.mp4", root / "pipe.webm", root / "album",
        root / "gone.webm", "http://127.0.0.1/film.webm", "/proc/self/environ", root / ".." / "secret.webm",
    ):  # fmt: skip
        answer = await api.get(f"/faces/jobs/{await job(api, redis, str(source))}/media")
        assert answer.status == 404, source
        assert "detail" in await answer.json()
    unread = (await (await api.post("/faces/analyze", json={"video_path": str(root / "film.webm")})).json())[
        "job_id"
    ]
    assert (await api.get(f"/faces/jobs/{unread}/media")).status == 409, "no worker has found it to be a film"
    assert (await api.get("/faces/jobs/unknown/media")).status == 404


async def test_media_are_off_by_setting(start: Start, redis: Redis, root: Path) -> None:
    api = await start(FACES_MEDIA_ROOTS=str(root), FACES_SERVE_MEDIA="0")
    answer = await api.get(f"/faces/jobs/{await job(api, redis, str(root / 'film.webm'))}/media")
    assert answer.status == 404 and "FACES_SERVE_MEDIA" in (await answer.json())["detail"]
    assert (await api.get("/faces/media")).status == 404
    session = await (await api.post("/faces/session")).json()
    assert (session["serves_media"], session["max_upload_bytes"]) == (False, 0)


async def test_films_that_are_played_are_bounded(start: Start, redis: Redis, root: Path) -> None:
    api = await start(FACES_MEDIA_ROOTS=str(root))
    address = f"/faces/jobs/{await job(api, redis, str(root / 'film.webm'))}/media"
    with ExitStack() as stack:
        for number in range(MAX_PLAYERS):
            with suppress(SlotsTaken):
                stack.enter_context(api.app[PLAYERS].hold(f"viewer {number}"))
        answer = await api.get(address)
        assert answer.status == 503 and "films" in (await answer.json())["detail"]
    assert (await api.get(address)).status == 200


async def test_a_ticket_opens_pictures_and_films_and_nothing_else(
    start: Start, redis: Redis, root: Path
) -> None:
    api = await start(FACES_MEDIA_ROOTS=str(root), FACES_AUTH="off")
    job_id = await job(api, redis, str(root / "film.webm"))
    keys = ApiKeys(redis, Partitions().home)
    token = await keys.create("viewer", ("read",))
    locked = await start(FACES_MEDIA_ROOTS=str(root), FACES_AUTH="required")
    film = f"/faces/jobs/{job_id}/media"
    assert (await locked.get(film)).status == 401
    begun = await locked.post("/faces/session", headers={"Authorization": f"Bearer {token}"})
    said = await begun.json()
    assert (said["name"], said["scopes"], said["ticket_seconds"]) == ("viewer", ["read"], 600)
    wrong = await locked.post("/faces/session", headers={"Authorization": f"Bearer {token}x"})
    assert wrong.status == 401 and not wrong.cookies
    without = await locked.post("/faces/session")
    assert (
        not without.cookies and (await without.json())["needs_key"] and not (await without.json())["scopes"]
    )
    cookie = begun.cookies["faces-ticket"]
    locked.session.cookie_jar.clear()  # each request below says which one it sends
    assert cookie["httponly"] and cookie["samesite"] == "Strict" and cookie["max-age"] == "600"
    assert token is not None and token not in cookie.value
    sent = {"Cookie": f"faces-ticket={cookie.value}"}
    assert (await locked.get(film, headers=sent)).status == 200
    assert (await locked.get(f"/faces/jobs/{job_id}/faces/face_0/thumbnail", headers=sent)).status == 404
    for method, path in (
        ("GET", f"/faces/jobs/{job_id}/status"), ("GET", "/faces/jobs"), ("GET", "/faces/queues"),
        ("POST", f"/faces/jobs/{job_id}/cancel"), ("DELETE", f"/faces/jobs/{job_id}"), ("GET", "/faces/media"),
    ):  # fmt: skip
        assert (await locked.request(method, path, headers=sent)).status == 401, path
    name, expires, signature = cookie.value.split(".")
    later = f"{name}.{int(expires) + 1}.{signature}"
    for forged in (later, f"{name}.{expires}.{'0' * 64}", f"other.{expires}.{signature}", "", "x", "é.1.2"):
        refused = await locked.get(film, headers={"Cookie": f"faces-ticket={forged}"})
        assert refused.status == 401, forged
    key = await keys.named("viewer")
    assert key is not None and await keys.find_by_ticket(key.ticket(-1)) is None, "it expires"
    writing = await keys.create("writer", ("submit",))
    assert writing and (writer := await keys.named("writer"))
    assert (await locked.get(film, headers={"Cookie": f"faces-ticket={writer.ticket(60)}"})).status == 403
    await keys.revoke("viewer")
    assert (await locked.get(film, headers=sent)).status == 401, "revoking the key ends it"
    ended = await locked.delete("/faces/session")
    assert ended.status == 204 and ended.cookies["faces-ticket"]["max-age"] == "0"


async def listing(api: Client, path: str) -> Any:
    answer = await api.get("/faces/media", params={"path": path})
    return answer.status, await answer.json()


async def test_a_picker_sees_the_media_roots_and_nothing_else(start: Start, root: Path) -> None:
    (root / "Shelf").mkdir()
    (root / "a.jpg").write_bytes(b"x")
    (root / "notes.txt").write_bytes(b"x")
    (root / ".hidden.mp4").write_bytes(b"x")
    (root / "way out").symlink_to(root.parent)
    (root / os.fsdecode(b"caf\xe9.mkv")).write_bytes(b"x")
    api = await start(FACES_MEDIA_ROOTS=str(root))
    status, found = await listing(api, "")
    assert (status, found["path"], found["parent"], found["truncated"]) == (200, str(root), None, False)
    shown = [(one["name"], one["kind"], one["size"]) for one in found["entries"]]
    assert shown == [
        ("Shelf", "directory", None), ("a.jpg", "picture", 1), ("caf�.mkv", "film", 1),
        ("film.webm", "film", len(FILM)),
    ]  # fmt: skip
    assert found["entries"][2]["path"].startswith("file:///") and "caf%E9.mkv" in found["entries"][2]["path"]
    status, below = await listing(api, str(root / "Shelf"))
    assert (status, below["parent"], below["entries"]) == (200, str(root), [])
    for outside in (
        root.parent,
        "/",
        "/etc",
        "/proc",
        root / "way out",
        root / ".." / "..",
        "etc",
        root / "film.webm",
    ):
        status, problem = await listing(api, str(outside))
        assert status == 404 and "entries" not in problem, outside
    both = await start(FACES_MEDIA_ROOTS=f"{root}:{root / 'Shelf'}:/nowhere")
    _, roots = await listing(both, "")
    assert [one["path"] for one in roots["entries"]] == [str(root), str(root / "Shelf")]
    assert (await listing(both, str(root / "Shelf")))[1]["parent"] == ""
    whole = await start(FACES_MEDIA_ROOTS="/")
    assert {"proc", "sys", "dev"}.isdisjoint(one["name"] for one in (await listing(whole, "/"))[1]["entries"])


async def test_a_large_directory_is_listed_in_part(
    start: Start, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.media.MAX_ENTRIES", 3)
    for number in range(5):
        (root / f"{number}.mp4").write_bytes(b"x")
    _, found = await listing(await start(FACES_MEDIA_ROOTS=str(root)), "")
    assert found["truncated"] and [one["name"] for one in found["entries"]] == ["0.mp4", "1.mp4", "2.mp4"]


async def test_a_file_exchanged_while_it_is_played_is_not_read(
    start: Start, redis: Redis, root: Path
) -> None:
    """The descriptor that was checked is read, whatever its name leads to meanwhile."""
    film, api = root / "film.webm", await start(FACES_MEDIA_ROOTS=str(root))
    film.write_bytes(FILM * 40)
    answer = await api.get(f"/faces/jobs/{await job(api, redis, str(film))}/media")
    first = await answer.content.readexactly(10)
    film.unlink()
    film.symlink_to("/etc/passwd")
    rest = await asyncio.wait_for(answer.content.read(), 60)
    assert first + rest == FILM * 40


def test_uploads_and_media_have_roots_of_their_own(tmp_path: Path) -> None:
    settings = Settings.from_env({"FACES_MEDIA_ROOTS": "/media", "FACES_UPLOAD_DIRECTORY": str(tmp_path)})
    assert settings.roots == (Path("/media"), tmp_path.resolve())
