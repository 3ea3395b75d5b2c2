"""Gives faces of other model packs vectors of the present one, computed from the pictures that a library keeps.

The library stage has no models, and the photographs stage writes no library: they send each other messages
about some faces at a time, until all have been tried (`Reembedding.step`). The command line does both itself.
"""

import asyncio
from collections.abc import Callable, Mapping
from itertools import islice
from typing import cast

import msgspec

from consumers.libraries.steps import counted, progressed, reembedded
from consumers.libraries.writer import LibraryWriter, Shelf
from consumers.service import Service
from schemas.library import NewVector, Reembedded, decode_entry
from schemas.messages import EmbedTask, ReembedTask
from schemas.store.clock import server_time
from schemas.store.job_record import rfc3339
from schemas.store.libraries import Libraries
from schemas.store.library_reader import LibraryReader

Embed = Callable[[Mapping[str, bytes]], tuple[NewVector, ...]]
FACES_PER_ENTRY = 64
"""Faces that the command line embeds between two looks at what was erased meanwhile."""
FACES_PER_TASK = 16
"""Faces of a message: half a second of work between frames of films."""


class Reembedding:
    """Embeds faces of libraries anew.

    Args:
        writer: of this process.
    """

    def __init__(self, service: Service, writer: LibraryWriter) -> None:
        home = service.partitions.home
        self._redis, self._names = service.redis, home
        self._libraries = Libraries(service.redis, home)
        self._reader = LibraryReader(service.redis, home)
        self._writer = writer

    async def all(self, name: str, pack: str, embed: Embed) -> tuple[int, int]:
        """Embeds all faces of other packs, and makes the merges that follow.

        Args:
            embed: returns the vectors of the faces in pictures (JPEG, by face).

        Returns:
            The faces that have vectors of the pack now, and those whose films must be analysed again.
        """
        async with self._writer.reading(name) as replica:
            faces = list(replica.of_other_packs(pack))
        count = 0
        for start in range(0, len(faces), FACES_PER_ENTRY):
            pictures = await self._reader.thumbnails(name, faces[start : start + FACES_PER_ENTRY])
            seen = await asyncio.to_thread(embed, pictures)
            async with self._writer.writing(name) as shelf:
                count += await self._apply(shelf, Reembedded(pack=pack, faces=seen))
        async with self._writer.reading(name) as replica:
            return count, sum(1 for _ in replica.of_other_packs(pack))

    async def step(self, task: ReembedTask) -> EmbedTask | None:
        """Applies the vectors of the faces that were tried last; returns the next ones to try, None at the end."""
        name, key = task.library, self._names.search(task.run)
        async with self._writer.writing(name) as shelf:
            noted = await self._libraries.progress(name)
            if noted is None or noted.run != task.run:
                return None  # the library was deleted, or somebody has asked again
            stored = cast("bytes | None", await self._redis.get(key))
            entry = decode_entry(stored) if stored else None
            if isinstance(entry, Reembedded) and entry.pack == noted.model:
                await self._apply(shelf, entry)
            numbers = shelf.replica.view.numbers
            tried = max((numbers.get(face, -1) for face in task.faces), default=-1)
            following = tuple(islice(shelf.replica.of_other_packs(noted.model, tried), FACES_PER_TASK))
            if following:
                progress = progressed(shelf.replica, noted, task.faces)
            else:
                now = await server_time(self._redis, self._names.library_names)
                progress = await asyncio.to_thread(counted, shelf.replica, noted, len(numbers))
                progress = msgspec.structs.replace(progress, ended_at=rfc3339(now))
            await self._libraries.note(name, progress)
        await self._redis.unlink(key)
        return EmbedTask(library=name, run=task.run, faces=following) if following else None

    async def _apply(self, shelf: Shelf, entry: Reembedded) -> int:
        """Appends the vectors of those faces that are still there and of another pack; returns how many these are."""
        entry = Reembedded(
            pack=entry.pack,
            faces=tuple(  # some may have been erased meanwhile
                face for face in entry.faces if shelf.replica.is_of_another_pack(face.face_id, entry.pack)
            ),
            at=round(await server_time(self._redis, self._names.library_names), 3),
        )
        if entry.faces:
            known, number = shelf.replica.position.last, await self._writer.next_number(shelf)
            entries, changes = await asyncio.to_thread(reembedded, shelf.replica, entry, number)
            await self._writer.append(shelf, known, entries, changes)
        return len(entry.faces)
