"""The fair lock: round-robin between lanes, first in, first out within a lane."""

import asyncio

from consumers.fair_lock import FairLock
from tests.waiting import BOUND_SECONDS


async def test_lanes_alternate_however_long_one_is() -> None:
    lock, served, all_wait = FairLock(), list[str](), asyncio.Event()

    async def work(lane: str, name: str) -> None:
        async with lock.hold(lane):
            served.append(name)
            await all_wait.wait()

    film = [asyncio.create_task(work("film", f"film {n}")) for n in range(4)]
    await asyncio.sleep(0)  # the first holds the lock
    clip = [asyncio.create_task(work("clip", f"clip {n}")) for n in range(2)]
    await asyncio.sleep(0)
    all_wait.set()
    await asyncio.gather(*film, *clip)
    assert served == ["film 0", "clip 0", "film 1", "clip 1", "film 2", "film 3"]


async def test_a_cancelled_or_failed_holder_releases_the_lock() -> None:
    lock, served = FairLock(), list[str]()
    leave = asyncio.Event()

    async def work(name: str) -> None:
        try:
            async with lock.hold("lane"):
                served.append(name)
                await leave.wait()
                raise RuntimeError(name)
        finally:
            if name == "first":
                tasks[2].cancel()  # the lock was handed to it, and it has not run yet

    tasks = [asyncio.create_task(work(name)) for name in ("first", "waits", "handed", "last")]
    await asyncio.sleep(0)
    tasks[1].cancel()  # while it waits
    leave.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert served == ["first", "last"]
    async with asyncio.timeout(BOUND_SECONDS), lock.hold("lane"):
        pass
