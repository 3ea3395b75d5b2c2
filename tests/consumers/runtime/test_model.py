"""Model-based test: the Lua scripts against a model in Python, with random sequences of operations (Hypothesis)."""

from collections.abc import Iterator
from typing import Any, ClassVar, cast

import pytest
import redis as sync_redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from consumers.runtime import scripts
from consumers.runtime.dead_letters import dead_letter
from consumers.runtime.scripts import Call, Owner
from consumers.runtime.stage import Completion, Delivery
from consumers.runtime.worker import UNOWNED
from schemas.envelope import MSGPACK, Envelope
from schemas.store.dead_letters import REPLAY
from tests.consumers.runtime.chain import Keys, Unit, Units
from tests.consumers.runtime.servers import Server

UNITS = 3
SEAL = -1
CONSUMERS = ("a", "b", "c")
JOB, GROUP, DELAYED = "job", "units", "{m}:units:delayed"

consumers = st.sampled_from(CONSUMERS)
units = st.integers(0, UNITS - 1)
picks = st.integers(0, 50)


class Machine(RuleBasedStateMachine):
    """State machine whose dictionaries predict what the server holds."""

    url: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.redis = sync_redis.Redis.from_url(self.url)
        self.redis.flushall()
        self.keys = Keys("{m}")
        self.redis.xgroup_create(self.keys.units, GROUP, id="0", mkstream=True)
        self.redis.hset(self.keys.record(JOB), "created", "1")
        self.redis.expire(self.keys.record(JOB), 600)
        self.seen: list[str] = []  # every entry ever made
        self.unit: dict[str, int] = {}  # entries in the stream
        self.owner: dict[str, str] = {}  # entries that are delivered
        self.fresh: list[str] = []  # entries that are not
        self.delayed: set[int] = set()
        self.letters: dict[str, int] = {}
        self.outcomes: dict[int, bytes] = {}
        self.sealed = self.ended = self.finalized = False
        self.ends = 0

    def teardown(self) -> None:
        self.redis.close()

    # Operations

    @rule(unit=units)
    def publish(self, unit: int) -> None:
        self._add(unit)

    @rule()
    def publish_the_number_of_units(self) -> None:
        self._add(SEAL)

    @rule(consumer=consumers)
    def deliver(self, consumer: str) -> None:
        answer = self.redis.xreadgroup(GROUP, consumer, {self.keys.units: ">"}, count=1)
        got = [i.decode() for i, _ in answer[0][1]] if answer else []
        assert got == self.fresh[:1]
        for entry in got:
            self.fresh.remove(entry)
            self.owner[entry] = consumer

    @rule(consumer=consumers, lease=st.sampled_from([0.0, 600.0]))
    def claim(self, consumer: str, lease: float) -> None:
        owner = Owner(self.keys.units, GROUP, consumer)
        call = scripts.claim_expired(
            owner,
            f"{owner.stream}:scan",
            lease,
            b"-",
            1,
            suspect_deliveries=1000,
            max_suspects=0,
            max_scanned=10,
        )
        _, claimed, gone, _ = self._run(call)
        assert not gone
        for entry, fields, _ in claimed:
            assert entry.decode() in self.owner
            assert fields
            assert lease == 0 or self.owner[entry.decode()] == UNOWNED
            self.owner[entry.decode()] = consumer

    @precondition(lambda self: self.seen)
    @rule(consumer=consumers, pick=picks)
    def complete(self, consumer: str, pick: int) -> None:
        entry = self.seen[pick % len(self.seen)]
        unit = self._unit_of(entry)
        self._complete(entry, consumer, unit, b"done by " + consumer.encode(), dead=False)

    @precondition(lambda self: self.owner)
    @rule(pick=picks)
    def complete_own(self, pick: int) -> None:
        entry = sorted(self.owner)[pick % len(self.owner)]
        self._complete(entry, self.owner[entry], self.unit[entry], b"done", dead=False)

    @precondition(lambda self: self.seen)
    @rule(consumer=consumers, pick=picks)
    def dead_letter(self, consumer: str, pick: int) -> None:
        entry = self.seen[pick % len(self.seen)]
        self._complete(entry, consumer, self._unit_of(entry), b"dead", dead=True)

    @precondition(lambda self: self.seen)
    @rule(consumer=consumers, pick=picks)
    def retry(self, consumer: str, pick: int) -> None:
        entry = self.seen[pick % len(self.seen)]
        owner = Owner(self.keys.units, GROUP, consumer)
        unit = self._unit_of(entry)
        mine = self.owner.get(entry) == consumer
        assert self._run(scripts.retry(owner, DELAYED, entry, 0.0, 0, str(unit).encode())) == int(mine)
        if mine:
            self._remove(entry)
            self.delayed.add(unit)

    @rule()
    def move(self) -> None:
        moved, wait = self._run(scripts.move_due(DELAYED, self.keys.units, MSGPACK, 100))
        assert (moved, wait) == (len(self.delayed), -1)
        for entry, fields in self.redis.xrange(self.keys.units)[-moved:] if moved else ():
            unit = int(fields[MSGPACK])
            self.delayed.remove(unit)
            self._remember(entry.decode(), unit)

    @rule(consumer=consumers)
    def renew(self, consumer: str) -> None:
        asked = self.seen[-10:]
        lost = self._run(scripts.renew(Owner(self.keys.units, GROUP, consumer), asked)) if asked else []
        assert [i.decode() for i in lost] == [i for i in asked if self.owner.get(i) != consumer]

    @rule(consumer=consumers)
    def release(self, consumer: str) -> None:
        mine = [entry for entry, owner in self.owner.items() if owner == consumer]
        call = scripts.release(Owner(self.keys.units, GROUP, consumer), UNOWNED, 86400.0, self.seen[-10:])
        assert self._run(call) == len(set(mine) & set(self.seen[-10:]))
        self.owner |= {entry: UNOWNED for entry in mine if entry in self.seen[-10:]}

    @rule()
    def reap(self) -> None:
        self._run(scripts.remove_idle(Owner(self.keys.units, GROUP, "a"), 0.0))

    @rule(often=st.integers(0, 9))
    def cancel(self, often: int) -> None:
        if often == 0:
            self.redis.hset(self.keys.record(JOB), "ended", "1")
            self.ended = True

    @rule()
    def sweep(self) -> None:
        assert (
            self._run(scripts.check_fan_in(self.keys.fan_in(JOB))) == 0
        )  # the completion of the last unit ran it

    @precondition(lambda self: self.letters)
    @rule(pick=picks)
    def replay(self, pick: int) -> None:
        sent_before = len(self.unit)
        dead_id = sorted(self.letters)[pick % len(self.letters)]
        unit = self.letters[dead_id]
        fan_in = self.keys.fan_in(JOB)
        message = self.keys.unit(JOB, unit, "ok")
        answer = self._run(
            Call(
                REPLAY,
                keys=[self.keys.dead, message.stream, fan_in.record, fan_in.outcomes],
                args=[dead_id, str(unit), "", *(part for field in message.fields.items() for part in field)],
            )
        )
        assert answer == (-1 if self.ended else 1)
        if answer == 1:
            del self.letters[dead_id]
            self.outcomes.pop(unit, None)
            self.finalized = False
            ((entry, _),) = self.redis.xrevrange(self.keys.units, count=1)
            self._remember(entry.decode(), unit)
        assert len(self.unit) == sent_before + (answer == 1)

    # Invariants

    @invariant()
    def the_server_holds_what_the_model_predicts(self) -> None:
        outcomes = cast("dict[bytes, bytes]", self.redis.hgetall(self.keys.outcomes(JOB)))
        assert {int(unit): value for unit, value in outcomes.items()} == self.outcomes
        assert self.redis.xlen(self.keys.ends) == self.ends
        assert self.redis.xlen(self.keys.units) == len(self.unit)
        assert self.redis.xlen(self.keys.dead) == len(self.letters)
        assert self.redis.hexists(self.keys.record(JOB), "finalized") == self.finalized
        pending = self.redis.xpending_range(self.keys.units, GROUP, "-", "+", 1000)
        assert {e["message_id"].decode(): e["consumer"].decode() for e in pending} == self.owner
        assert not outcomes or self.redis.pttl(self.keys.outcomes(JOB)) > 0

    @invariant()
    def nothing_is_lost(self) -> None:
        """Every published unit is done, in the stream or in the delay set, or its job has ended."""
        assert set(self.unit) == set(self.owner) | set(self.fresh)
        if not self.ended:
            assert self.finalized == (self.sealed and len(self.outcomes) >= UNITS)

    # Helpers

    def _run(self, call: Call) -> Any:
        return self.redis.eval(call.script.text, len(call.keys), *call.keys, *call.args)

    def _add(self, unit: int) -> None:
        entry = self.redis.xadd(self.keys.units, {MSGPACK: str(unit)})
        self._remember(cast("bytes", entry).decode(), unit)

    def _remember(self, entry: str, unit: int) -> None:
        self.seen.append(entry)
        self.unit[entry] = unit
        self.fresh.append(entry)
        self.made = getattr(self, "made", {}) | {entry: unit}

    def _unit_of(self, entry: str) -> int:
        return int(self.made[entry])

    def _remove(self, entry: str) -> None:
        del self.unit[entry], self.owner[entry]

    def _complete(self, entry: str, consumer: str, unit: int, value: bytes, *, dead: bool) -> None:
        owner, fan_in = Owner(self.keys.units, GROUP, consumer), self.keys.fan_in(JOB)
        completion = Completion(fan_in, units=UNITS) if unit == SEAL else Completion(fan_in, str(unit), value)
        envelope = Envelope(id="x", job=JOB, type="unit", body=Unit(unit, "ok"))
        stage = Units("units", cast("Any", self.redis), self.keys)
        delivery = Delivery(entry, envelope, 1, cast("Any", None))
        letter = dead_letter(stage, owner, delivery, "reason", ValueError("x"), completion)
        dead = dead and unit != SEAL
        answer = self._run(scripts.complete(owner, entry, completion, letter if dead else None))
        if self.owner.get(entry) != consumer:
            assert answer == scripts.LOST
            return
        self._remove(entry)
        if dead:
            ((letter_id, _),) = self.redis.xrevrange(self.keys.dead, count=1)
            self.letters[letter_id.decode()] = unit
        if self.ended:
            assert answer == scripts.DROPPED
            return
        assert answer == (scripts.DUPLICATE if unit in self.outcomes else scripts.DONE)
        if unit == SEAL:
            self.sealed = True
        else:
            self.outcomes.setdefault(unit, value)
        if self.sealed and len(self.outcomes) >= UNITS and not self.finalized:
            self.finalized = True
            self.ends += 1


@pytest.fixture
def machine(one_server: Server) -> Iterator[type[Machine]]:
    Machine.url = one_server.url
    yield Machine


def test_the_scripts_do_what_the_model_predicts(machine: type[Machine]) -> None:
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=200,
            stateful_step_count=50,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
