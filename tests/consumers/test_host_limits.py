"""Requests in flight are limited by host: a slow one leaves at least half of the slots to the others."""

from contextlib import ExitStack

import pytest

from consumers import host_limits
from consumers.host_limits import MAX_HOSTS, HostLimits
from consumers.runtime.stage import NotReady

SLOTS = 8


class Clock:
    """Stands still until a test moves it: what takes no time is quick on a busy machine too."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(host_limits, "time", clock)
    return clock


def slots_of(limits: HostLimits, host: str, held: ExitStack) -> int:
    """Takes all slots that a host can have; returns their number."""
    for number in range(SLOTS + 1):
        try:
            held.enter_context(limits.slot(host))
        except NotReady:
            return number
    raise AssertionError("the slots are not limited")


def quick(limits: HostLimits, host: str) -> str:
    with limits.slot(host):
        return host


def test_an_unknown_host_has_one_slot_and_a_quick_one_a_quarter() -> None:
    limits = HostLimits(SLOTS, 1.0)
    with ExitStack() as held:
        assert slots_of(limits, "new", held) == 1
        assert slots_of(limits, quick(limits, "known"), held) == SLOTS // 4


def test_hosts_that_hang_leave_half_of_the_slots_to_quick_ones() -> None:
    limits = HostLimits(SLOTS, 1.0)
    quick(limits, "known")
    with ExitStack() as held:
        assert sum(slots_of(limits, f"slow-{number}", held) for number in range(100)) == SLOTS // 2
        assert slots_of(limits, "known", held) == SLOTS // 4


def test_a_host_that_becomes_slow_loses_its_slots_until_it_is_quick_again(clock: Clock) -> None:
    limits = HostLimits(SLOTS, 0.05)
    quick(limits, "host")
    with limits.slot("host"):
        clock.now += 0.06
    with ExitStack() as held:
        assert slots_of(limits, "host", held) == 1
    with ExitStack() as held:
        assert slots_of(limits, "host", held) == SLOTS // 4


def test_requests_without_a_slot_come_back_one_after_the_other_and_not_too_late() -> None:
    limits = HostLimits(SLOTS, 1.0)
    pauses = []
    with limits.slot("host"):
        for _ in range(2000):
            with pytest.raises(NotReady) as refused, limits.slot("host"):
                pass
            pauses.append(refused.value.after)
    assert pauses[:100] == sorted(pauses[:100]) and pauses[1] > pauses[0] > 0
    assert max(pauses) <= 30.0


def test_any_number_of_hosts_takes_bounded_memory() -> None:
    limits = HostLimits(SLOTS, 1.0)
    for number in range(2 * MAX_HOSTS):
        quick(limits, f"host-{number}")
    assert len(limits._hosts) <= MAX_HOSTS + 1
