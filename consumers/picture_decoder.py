"""Picture decoder: decodes the pictures of a batch in groups that fit into the memory of the process."""

from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from consumers.sources.memory_budget import MemoryBudget
from consumers.threads import map_in_threads
from facecore.video import SourceError
from facecore.video.images import decode, decoding_bytes
from facecore.video.picture import Image

T = TypeVar("T")
UseImages = Callable[[Mapping[int, Image]], Awaitable[None]]
"""Is called with decoded images by their place in the batch; must not keep them."""


class Encoded(NamedTuple):
    """An encoded picture.

    Attributes:
        max_pixels: limit of its pixels.
        shown: makes the decoded picture the one that a player shows; None: it is that one.
        shown_bytes: memory that ``shown`` takes besides the decoded picture.
    """

    picture: bytes
    max_pixels: int
    shown: Callable[[Image], Image] | None = None
    shown_bytes: int = 0


class PictureDecoder:
    """Decodes pictures in threads.

    Args:
        memory: that the decoded pictures of the process share.
        threads: number of threads of the pool.
    """

    def __init__(self, memory: MemoryBudget, pool: ThreadPoolExecutor, threads: int) -> None:
        self._memory = memory
        self._pool = pool
        self._threads = threads

    async def each_group(self, pictures: Mapping[int, Encoded], use: UseImages) -> dict[int, str]:
        """Decodes pictures group by group and calls ``use`` with each group.

        Args:
            pictures: by their place in the batch.

        Returns:
            Why the other pictures cannot be decoded.
        """
        measured = await self._run(self._size, pictures)
        sizes = {place: size for place, size in measured.items() if isinstance(size, int)}
        refused = {place: reason for place, reason in measured.items() if isinstance(reason, str)}
        places = list(sizes)
        for group in self._memory.groups(list(sizes.values())):
            members = {places[number]: pictures[places[number]] for number in group}
            async with self._memory.reserve(sum(sizes[place] for place in members)):
                refused |= await self._use_group(members, use)
        return refused

    async def _use_group(self, members: Mapping[int, Encoded], use: UseImages) -> dict[int, str]:
        """Decodes a group; its images are freed on return."""
        decoded = await self._run(_image, members)
        if images := {place: image for place, image in decoded.items() if not isinstance(image, str)}:
            await use(images)
        return {place: reason for place, reason in decoded.items() if isinstance(reason, str)}

    async def _run(self, call: Callable[[Encoded], T], pictures: Mapping[int, Encoded]) -> dict[int, T]:
        results = await map_in_threads(self._pool, self._threads, call, list(pictures.values()))
        return dict(zip(pictures, results, strict=True))

    def _size(self, encoded: Encoded) -> int | str:
        """Returns the memory that decoding takes, or the reason why the picture is refused."""
        try:
            size = decoding_bytes(encoded.picture, encoded.max_pixels) + encoded.shown_bytes
            self._memory.check(size)
        except SourceError as error:
            return str(error)
        return size


def _image(encoded: Encoded) -> Image | str:
    """Decodes a picture; returns the reason when that fails."""
    try:
        image = decode(encoded.picture, encoded.max_pixels)
    except SourceError as error:
        return str(error)
    return image if encoded.shown is None else encoded.shown(image)
