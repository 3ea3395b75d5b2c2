"""What a completed job adds to a library: written before the job ends, read and deleted by the library stage."""

from collections.abc import Mapping
from typing import NamedTuple, cast

import msgspec
from redis.asyncio import Redis

from schemas.envelope import MSGPACK, seal
from schemas.library import FilmEntry
from schemas.messages import AddTask
from schemas.names import Names
from schemas.store.run_data import HashFields

KEPT_SECONDS = 7 * 86400.0
"""Time that a library stage which does not run has to come back."""


class Addition(NamedTuple):
    """The people of a job.

    Attributes:
        library: name of the library.
        film: without placements.
        thumbnails: JPEG by the name of the face in the result.
    """

    library: str
    film: FilmEntry
    thumbnails: Mapping[str, bytes]

    def kept(self, names: Names, job_id: str) -> HashFields:
        """What is written before the job ends."""
        fields = {"film": msgspec.msgpack.encode(self.film), **self.thumbnails}
        return HashFields(names.film(job_id), KEPT_SECONDS, fields, replaces=True)

    def message(self, job_id: str) -> bytes:
        """The message to the library stage, which is sent when the job ends."""
        return seal("add", job_id, "library", AddTask(library=self.library))[MSGPACK]


async def read_addition(redis: Redis, names: Names, job_id: str, library: str) -> Addition | None:
    """Reads what a job adds; None when it has been added, or the job was deleted."""
    stored = cast("dict[bytes, bytes]", await redis.hgetall(names.film(job_id)))
    film = stored.pop(b"film", None)
    if film is None:
        return None
    thumbnails = {face.decode(): jpeg for face, jpeg in stored.items()}
    return Addition(library, msgspec.msgpack.decode(film, type=FilmEntry), thumbnails)
