"""The commands for people and libraries keep what they change in the data directory."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from compose.cli import build_parser
from compose.local_library import keep, local_library
from compose.server import embedded_server, wait_for_server
from compose.supervisor import Supervisor
from schemas.settings import Settings
from tests.chaos.libraries import film


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory with two films, in which one of the three people is in both."""
    monkeypatch.delenv("REDIS_URL", raising=False)
    films = [film(1, [1, 2]), film(2, [2, 3])]
    ids = ["face_0", "face_1", "face_2"]
    nobody = dict.fromkeys(ids)
    kept = asyncio.run(
        keep(Settings.from_env({}), "home", films, tmp_path, [("job-1", nobody), ("job-2", nobody)])
    )
    assert [(one.files, one.person.films) for one in kept.people] == [(2, 2), (1, 1), (1, 1)]
    first, second = ([faces[face]["person_id"] for face in ids] for faces in kept.fields)
    assert len({*first, *second}) == 4 and first[1] == second[0] == kept.people[0].person.person_id
    assert first[2] is second[2] is None, "no such face"
    return tmp_path


def test_what_is_said_about_people_is_kept(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def faces(*arguments: str) -> Any:
        """Runs a command on its own server; returns the lines of JSON that it prints."""
        parsed = build_parser().parse_args([*arguments, "--data", str(data)])
        options = {name: value for name, value in vars(parsed).items() if name in _names(parsed.run)}
        assert parsed.run(**options) == (1 if {"nobody", "\udcff"} & {*arguments} else 0)
        return capsys.readouterr()

    def _names(run: Any) -> set[str]:
        return set(run.__code__.co_varnames[: run.__code__.co_argcount])

    def listed() -> list[Any]:
        return json.loads(faces("people", "list", "--json", "--all").out)

    one, two, three = (person["person_id"] for person in listed())
    faces("people", "name", two, "Ann")
    assert "no person 'nobody'" in faces("people", "name", "nobody", "Bob").err
    assert "the name is not UTF-8" in faces("people", "name", two, "\udcff").err
    (shown,) = faces("people", "show", "Ann", "--json").out.splitlines()
    assert [seen["source"] for seen in json.loads(shown)["films"]] == ["/films/1.mp4", "/films/2.mp4"]
    faces("people", "merge", one, three)
    assert [person["person_id"] for person in listed()] == [one, two]
    faces("people", "hide", one)
    assert "(hidden)" not in faces("people", "list").out
    rows = faces("people", "export").out.splitlines()
    assert len(rows) == 5 and rows[0].startswith("person_id,label,hidden,film_id,source,")
    assert rows[3].startswith(f"{two},Ann,0,film-") and "/films/1.mp4,,job-1/face_1,10.0,25.0,3," in rows[3]
    assert "home: as it was" in faces("library", "rebuild", "home").out
    assert faces("library", "reembed", "home").out == "home: 0 of its faces embedded anew\n"
    (library,) = json.loads(faces("library", "list", "--json").out)
    assert (library["people"], library["named"], library["films"], library["corrections"]) == (2, 1, 2, 3)
    faces("library", "delete", "home")
    assert json.loads(faces("library", "list", "--json").out) == []


async def test_commands_at_the_same_time_wait_for_each_other(data: Path) -> None:
    films = [[film(10 * command + number, [1, command]) for number in range(3)] for command in range(5, 9)]
    await asyncio.gather(*(keep(Settings.from_env({}), "home", some, data) for some in films))
    async with local_library(Settings.from_env({}), "home", data) as local:
        info = await local.reader.info("home")
    assert info is not None and (info.films, info.faces, info.people) == (14, 28, 7)


async def test_a_command_uses_the_server_of_a_service(data: Path) -> None:
    async with embedded_server(data) as (server, url):
        supervisor = Supervisor(None)
        supervisor.start(server)
        await wait_for_server(url)
        async with local_library(Settings.from_env({}), "home", data) as local:
            assert await local.reader.version("home")
        async with Redis.from_url(url) as redis:
            assert await redis.ping(), "it goes on"
        await supervisor.stop()
