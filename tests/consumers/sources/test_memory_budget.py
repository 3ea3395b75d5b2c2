"""Decoded pictures take bounded memory, in one job and in all of a process; small ones never wait."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from consumers.picture_decoder import Encoded, PictureDecoder
from consumers.runtime.stage import Retry
from consumers.sources.memory_budget import SMALL_BYTES, MemoryBudget, out_of_memory
from facecore.video import SourceError
from facecore.video.images import decoding_bytes
from facecore.video.picture import Image

MIB = 1 << 20


async def test_reservations_never_exceed_the_budget_and_are_served_in_order() -> None:
    budget, used, peak, order = MemoryBudget(3 * 300 * MIB), 0, 0, list[int]()

    async def take(number: int, size: int) -> None:
        nonlocal used, peak
        async with budget.reserve(size):
            order.append(number)
            used += size
            peak = max(peak, used)
            await asyncio.sleep(0)
            used -= size

    await asyncio.gather(*(take(number, (40 + 20 * (number % 13)) * MIB) for number in range(50)))
    assert order == list(range(50)) and used == 0
    assert 150 * MIB < peak <= budget.total


async def test_a_reservation_that_is_cancelled_gives_its_bytes_back() -> None:
    budget = MemoryBudget(3 * 100 * MIB)
    async with budget.reserve(100 * MIB):
        waiting = [asyncio.create_task(budget.reserve(60 * MIB).__aenter__()) for _ in range(2)]
        await asyncio.sleep(0)
        waiting[0].cancel()
    await waiting[1]
    async with asyncio.timeout(5), budget.reserve(40 * MIB):
        pass


async def test_a_small_picture_does_not_wait_for_large_ones() -> None:
    budget = MemoryBudget(3 * 100 * MIB)
    async with budget.reserve(100 * MIB), asyncio.timeout(5), budget.reserve(SMALL_BYTES - 1):
        pass


async def test_the_refusal_names_the_bound_and_its_setting() -> None:
    with pytest.raises(SourceError, match=r"takes about 101 MiB; a worker has 100 MiB .*FACES_MAX_MEMORY"):
        async with MemoryBudget(3 * 100 * MIB).reserve(101 * MIB):
            pass


@pytest.mark.parametrize(("share", "kind"), [(0.4, Retry), (4.0, SourceError)])
def test_an_allocation_that_fails_beside_other_jobs_is_not_the_fault_of_the_file(
    share: float, kind: type[Exception]
) -> None:
    held = np.ones(400 * MIB, np.uint8)
    error = out_of_memory("/media/film.mp4", int(held.nbytes * share))
    assert isinstance(error, kind) and "FACES_MAX_MEMORY" in str(error)


async def test_a_batch_of_decompression_bombs_is_decoded_within_the_budget() -> None:
    bomb = cv2.imencode(".png", np.zeros((4000, 4000, 3), np.uint8))[1].tobytes()
    small = cv2.imencode(".jpg", np.zeros((100, 100, 3), np.uint8))[1].tobytes()
    budget, sizes, seen = MemoryBudget(3 * 200 * MIB), list[int](), set[int]()

    async def use(images: Mapping[int, Image]) -> None:
        sizes.append(sum(image.nbytes for image in images.values()))
        seen.update(images)

    pictures = {number: Encoded(bomb, 10**8) for number in range(8)} | {8: Encoded(small, 10**8)}
    pictures |= {9: Encoded(b"no picture", 10**8), 10: Encoded(bomb, 10**6)}
    with ThreadPoolExecutor(2) as pool:
        refused = await PictureDecoder(budget, pool, 2).each_group(pictures, use)
    assert len(bomb) < 100_000 and decoding_bytes(bomb) > 90 * MIB
    assert seen == set(range(9)) and max(sizes) <= budget.total // 2
    assert "not a JPEG" in refused[9] and "FACES_MAX_PIXELS" in refused[10]
