"""What a data directory keeps of sources: `faces analyze` brings it to its private server, and takes it back."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError
from rich.console import Console
from rich.text import Text

from compose.local_library import local_service
from compose.supervisor import ProcessFailed
from consumers.reuse import source_name
from consumers.service import Service
from consumers.sources.http import is_address
from consumers.sources.opening import on_this_host
from facecore.video import SourceError
from schemas.file_names import printable
from schemas.names import Partitions
from schemas.requests import AnalyzeRequest, film_id
from schemas.settings import Settings
from schemas.store.observations import Observations

ROOTS = (Path("/"),)
"""The user may read all that the system lets them read."""
UNUSABLE = (ProcessFailed, RedisError, OSError)
"""Errors of a data directory that cannot be used: a run without it takes longer, with the same results."""


class LocalObservations:
    """Copies observations between a data directory and the private server of a run.

    Args:
        directory: None: that of the settings.
        url: of the private server.
        console: for a note when the directory cannot be used.
    """

    def __init__(self, settings: Settings, directory: Path | None, url: str, console: Console) -> None:
        self._settings = settings
        self._directory = directory
        self._url = url
        self._console = console

    async def bring(self, requests: Sequence[AnalyzeRequest]) -> None:
        """Copies what the directory keeps of the sources of requests, and how people divided them, to the server."""
        if not (self._directory or self._settings.data_path).exists():
            return
        uses = bool(self._settings.observations_bytes)
        names = await asyncio.to_thread(_sources, requests) if uses else []
        try:
            async with (
                local_service(self._settings, self._directory, remote=False) as service,
                Redis.from_url(self._url, socket_timeout=10) as redis,
            ):
                for partition in service.partitions.all:
                    kept = Observations(service.redis, partition, self._settings)
                    for name in names:
                        await kept.copy(name, self._private(redis))
                await self._bring_divisions(service, redis, requests)
        except UNUSABLE as error:
            self._note(
                f"What earlier runs have seen, and what people divided, in these sources is not used: {error}"
            )

    async def _bring_divisions(
        self, service: Service, redis: Redis, requests: Sequence[AnalyzeRequest]
    ) -> None:
        """Copies how people divided the films of requests in a library: `Submissions` puts that into the requests."""
        for request in requests:
            if library := request.parameters.library:
                kept = service.partitions.home.library_keys(library).divisions
                private = Partitions(self._settings.prefix).home.library_keys(library).divisions
                film = film_id(request)
                if (divisions := await cast("Any", service.redis.hget(kept, film))) is not None:
                    await cast("Any", redis.hset(private, film, divisions))

    async def take_back(self, job_ids: Sequence[str]) -> None:
        """Copies what the private server keeps of the sources of jobs to the directory."""
        try:
            async with Redis.from_url(self._url, socket_timeout=10) as redis:
                private = self._private(redis)
                sources = {job: source for job in job_ids if (source := await private.source_of(job))}
                if not sources:
                    return
                async with local_service(self._settings, self._directory, remote=False) as service:
                    for job, source in sources.items():
                        partition = service.partitions.of(job)
                        kept = Observations(service.redis, partition, self._settings)
                        await private.copy(source, kept, [job])
        except UNUSABLE as error:
            self._note(f"What was seen in these sources is not kept for later runs: {error}")

    def _private(self, redis: Redis) -> Observations:
        return Observations(redis, Partitions(self._settings.prefix).home, self._settings)

    def _note(self, text: str) -> None:
        self._console.print(Text(printable(text), "yellow"), soft_wrap=True)


def _sources(requests: Sequence[AnalyzeRequest]) -> list[str]:
    """Returns the names of the sources that are files; what cannot be read is the error of its job."""
    found = dict[str, None]()
    for request in requests:
        if request.parameters.use_sprites or is_address(request.video_path):
            continue
        try:
            found[source_name(on_this_host(request, ROOTS).fingerprint)] = None
        except SourceError:
            continue
    return list(found)
