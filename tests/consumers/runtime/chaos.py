"""Chaos test: runs jobs while workers, connections and the server fail.

``python -m tests.consumers.runtime.chaos --kills 200``
"""

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any, cast

from redis.exceptions import RedisError

from schemas.store.connection import connect
from tests.consumers.runtime.chain import STAGES
from tests.consumers.runtime.servers import Server, binary
from tests.consumers.runtime.world import World
from tests.waiting import eventually_async

LEASE = 0.6
WORKERS = 2  # for each stage
UNITS = 40
JOBS_UNDER_WAY = 6
SETTINGS = {"max_attempts": 50}  # random kills must not make dead letters
WEIGHTS = {"kill": 10, "pause": 2, "cut": 2, "duplicate": 3, "destroy group": 1, "restart server": 1}


class Chaos:
    def __init__(self, world: World, server: Server, seed: int) -> None:
        self.world = world
        self.server = server
        self.dice = random.Random(seed)
        self.workers: dict[str, Any] = {}
        self.paused: set[str] = set()
        self.jobs: list[str] = []
        self.counts: Counter[str] = Counter()

    async def run(self, kills: int) -> Counter[str]:
        supervising = asyncio.create_task(self._supervise())
        try:
            while self.counts["kill"] < kills:
                await self._keep_busy()
                disturbance = self.dice.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
                await self._disturb(disturbance)
                self.counts[disturbance] += 1
                await asyncio.sleep(self.dice.uniform(0.0, 0.25))
            for name in list(self.paused):
                self._signal(name, signal.SIGCONT)
            await eventually_async(self._all_ended, 90.0)
            await eventually_async(self._drained, 30.0)
        finally:
            supervising.cancel()
            for name in self.workers:
                self._signal(name, signal.SIGCONT)
                self._signal(name, signal.SIGTERM)
            for worker in self.workers.values():
                await asyncio.to_thread(worker.join, 15)
        await self._check()
        return self.counts

    async def _supervise(self) -> None:
        """Restarts dead workers under a new name, as an orchestrator does."""
        number = 0
        while True:
            for stage in STAGES:
                for i in range(WORKERS):
                    worker = self.workers.get(f"{stage}{i}")
                    if worker is None or not worker.is_alive():
                        number += 1
                        self.workers[f"{stage}{i}"] = self.world.spawn(
                            stage, f"{stage}-{number}", lease=LEASE, **SETTINGS
                        )
                        self.paused.discard(f"{stage}{i}")
            await asyncio.sleep(0.02)

    async def _keep_busy(self) -> None:
        while await self._under_way() < JOBS_UNDER_WAY:
            job = f"job{len(self.jobs)}"
            kinds = [self.dice.choice(("ok", "ok", "sleep:0.01", "flaky:2")) for _ in range(UNITS)]
            await self.world.submit(job, *kinds)
            self.jobs.append(job)

    async def _under_way(self) -> int:
        async with self.world.redis.pipeline(transaction=False) as pipe:
            for job in self.jobs:
                pipe.hexists(self.world.keys.record(job), "ended")
            return sum(not ended for ended in await pipe.execute())

    async def _all_ended(self) -> bool:
        return not await self._under_way()

    async def _drained(self) -> bool:
        keys = self.world.keys
        return not any(
            [
                await self.world.redis.xlen(getattr(keys, name))
                + await self.world.redis.zcard(f"{getattr(keys, name)}:delayed")
                for name in STAGES
            ]
        )

    async def _disturb(self, disturbance: str) -> None:
        redis, keys = self.world.redis, self.world.keys
        victim = self.dice.choice(list(self.workers)) if self.workers else ""
        match disturbance:
            case "kill" if victim:
                self._signal(victim, signal.SIGKILL)
            case "pause" if victim and victim not in self.paused:
                self._signal(victim, signal.SIGSTOP)
                self.paused.add(victim)
                asyncio.get_running_loop().call_later(2 * LEASE, self._resume, victim)
            case "cut":
                await redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            case "duplicate":
                for name in STAGES:
                    for _, fields in await redis.xrange(getattr(keys, name), count=3):
                        await redis.xadd(getattr(keys, name), cast("Any", fields))
                        self.counts["duplicates"] += 1
            case "destroy group":
                stage = self.dice.choice(list(STAGES))
                await redis.xgroup_destroy(getattr(keys, stage), stage)
            case "restart server":
                await asyncio.to_thread(self.server.kill)
                await asyncio.to_thread(self.server.start)

    def _resume(self, name: str) -> None:
        self.paused.discard(name)
        self._signal(name, signal.SIGCONT)

    def _signal(self, name: str, number: int) -> None:
        worker = self.workers[name]
        if worker.is_alive():
            os.kill(worker.pid, number)

    async def _check(self) -> None:
        world = self.world
        self.counts["jobs"] = len(self.jobs)
        for job in self.jobs:
            assert await world.outcomes(job) == {n: f"{job}/{n}".encode() for n in range(UNITS)}, job
            record = await world.redis.hgetall(world.keys.record(job))
            assert record[b"finalized"] == b"1" and record[b"units"] == b"%d" % UNITS
            self.counts["outcomes"] += UNITS
        self.counts["handler runs"] = sum(int(n) for n in await world.redis.hvals(world.keys.runs))
        assert await world.dead() == 0
        for stage in STAGES:
            stream = getattr(world.keys, stage)
            for consumer in await world.redis.xinfo_consumers(stream, stage):
                assert consumer["pending"] == 0
        await world.assert_nothing_left()


async def chaos(seed: int, kills: int, folder: Path) -> Counter[str]:
    server = Server(binary("valkey", folder), folder / "server", append_only=True)
    server.start()
    try:
        async with connect(server.url) as redis:
            world = World(server.url, redis, "{t}")
            try:
                return await Chaos(world, server, seed).run(kills)
            finally:
                await world.end_children()
    except RedisError as error:
        raise AssertionError(f"the server does not come back: {error}") from error
    finally:
        server.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        counts = asyncio.run(chaos(args.seed, args.kills, Path(folder)))
    print("  ".join(f"{name}: {count}" for name, count in sorted(counts.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
