"""A library as tools of the Model Context Protocol: asked by the SDK's own client, over standard input and output."""

import asyncio
import sys
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters
from mcp_types import ImageContent
from redis.asyncio import Redis

from consumers.libraries.writer import LibraryWriter
from consumers.service import Service as Worker
from schemas.names import Partitions
from schemas.settings import Settings
from schemas.store.jobs import Jobs
from tests.chaos.libraries import film
from tests.integration.client import Service

LIBRARY = "asked"
FILMS = {1: [1, 2, 3], 2: [2, 3], 3: [3]}
"""Number of each film, and of the people in it."""


def test_a_language_model_asks_a_library_and_names_people_only_where_that_is_allowed(
    service: Service, group_photograph: Path
) -> None:
    asyncio.run(_fill(service.redis_url))
    everyone = service.get(f"/faces/libraries/{LIBRARY}/people").json["people"]
    asyncio.run(_ask(service, group_photograph, [one["person_id"] for one in everyone]))
    assert service.get(f"/faces/libraries/{LIBRARY}").json["named"] == 1


async def _fill(redis_url: str) -> None:
    async with Redis.from_url(redis_url) as redis:
        partitions, settings = Partitions(), Settings.from_env({})
        jobs = Jobs(redis, partitions, settings)
        writer = LibraryWriter(Worker(redis, partitions.home, settings, jobs, partitions))
        for number, people in FILMS.items():
            await writer.add(film(number, people)._replace(library=LIBRARY))


def _server(service: Service, *more: str) -> Client:
    arguments = ["-m", "compose.cli", "mcp", "--url", service.url, "--library", LIBRARY, *more]
    environment = {"PYTHONPATH": str(Path(__file__).parents[2])}
    return Client(
        StdioServerParameters(command=sys.executable, args=arguments, env=environment),
        read_timeout_seconds=120,
    )


async def _ask(service: Service, photograph: Path, people: list[str]) -> None:
    first, second, third = people
    async with _server(service) as model:

        async def ask(tool: str, **arguments: Any) -> Any:
            answer = await model.call_tool(tool, arguments)
            assert not answer.is_error, answer
            return answer.structured_content

        async def refused(tool: str, **arguments: Any) -> str:
            answer = await model.call_tool(tool, arguments)
            assert answer.is_error
            return str(answer.content)

        tools = (await model.list_tools()).tools
        assert all(tool.annotations and tool.annotations.read_only_hint for tool in tools)
        assert "Unknown tool" in await refused("name_person", person=first, name="Ann")
        there = await ask("who_is_in_film", film="/films/1.mp4", limit=2)
        assert len(there["people"]) == 2 and there["more"], "a bounded answer says that there is more"
        assert [one["person_id"] for one in (await ask("who_is_in_film", film="2.mp4"))["people"]] == [
            second,
            third,
        ]
        seen = await ask("when_is_person", person=second)
        assert [one["times"] for one in seen["films"]] == [[[10.0, 25.0]], [[0.0, 15.0]]]
        together = (await ask("who_appears_with", person=first))["together"]
        assert [(one["person_id"], one["seconds_together"]) for one in together] == [
            (second, 5.0),
            (third, 0.0),
        ]
        assert len((await ask("list_films", people=[second, third]))["films"]) == 2
        assert LIBRARY in {one["name"] for one in (await ask("list_libraries"))["libraries"]}
        found = await ask("find_by_photograph", path=str(photograph))
        assert found["faces_in_photograph"] == 6 and found["people"] == []
        (picture,) = (await model.call_tool("portrait", {"person": first})).content
        assert isinstance(picture, ImageContent) and picture.mime_type == "image/jpeg"
        assert "Nobody is named" in await refused("when_is_person", person="Nobody")
        assert "3 films match" in await refused("who_is_in_film", film="films")
        assert "no picture by its name" in await refused("find_by_photograph", path=__file__)
        assert "no library" in await refused("list_people", library="nowhere")
        assert "less than or equal to 100" in await refused("list_people", limit=100_000)
    async with _server(service, "--allow-changes") as model:
        for person, name in ((first, "Ann"), ("ann", "Ben"), (second, "Carl")):
            named = await model.call_tool("name_person", {"person": person, "name": name})
            assert named.structured_content and named.structured_content["people"][0]["name"] == name
        entry = named.structured_content["entry_id"]
        assert not (await model.call_tool("undo", {"entry_id": entry})).is_error
        listed = await model.call_tool("list_people", {"text": "b"})
        assert listed.structured_content
        assert [one["name"] for one in listed.structured_content["people"]] == ["Ben"]
