"""Who waits for whom at the models."""

import asyncio

from consumers.fair_lock import Turns


async def test_lanes_take_turns_however_long_one_is() -> None:
    turns, served, all_wait = Turns(), list[str](), asyncio.Event()

    async def work(lane: str, name: str) -> None:
        async with turns.turn(lane):
            served.append(name)
            await all_wait.wait()

    film = [asyncio.create_task(work("film", f"film {n}")) for n in range(4)]
    await asyncio.sleep(0)  # the first is at work
    clip = [asyncio.create_task(work("clip", f"clip {n}")) for n in range(2)]
    await asyncio.sleep(0)
    all_wait.set()
    await asyncio.gather(*film, *clip)
    assert served == ["film 0", "clip 0", "film 1", "clip 1", "film 2", "film 3"]


async def test_a_turn_is_passed_on_by_whoever_is_cancelled_or_fails() -> None:
    turns, served = Turns(), list[str]()
    leave = asyncio.Event()

    async def work(name: str) -> None:
        try:
            async with turns.turn("lane"):
                served.append(name)
                await leave.wait()
                raise RuntimeError(name)
        finally:
            if name == "first":
                tasks[2].cancel()  # which has been given the turn, and has not run yet

    tasks = [asyncio.create_task(work(name)) for name in ("first", "waits", "given", "last")]
    await asyncio.sleep(0)
    tasks[1].cancel()  # while it waits
    leave.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert served == ["first", "last"]
    async with asyncio.timeout(1), turns.turn("lane"):
        pass
