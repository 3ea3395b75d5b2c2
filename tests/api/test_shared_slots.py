"""Slots that callers share: bounded, and nobody can take them all."""

from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.limits import SharedSlots, SlotsTaken


def take(slots: SharedSlots, caller: str, held: ExitStack) -> int:
    taken = 0
    while True:
        try:
            held.enter_context(slots.hold(caller))
        except SlotsTaken:
            return taken
        taken += 1


def test_one_caller_leaves_slots_for_others() -> None:
    slots = SharedSlots(256, "streams")
    with ExitStack() as held:
        assert take(slots, "greedy", held) == 205
        assert [take(slots, f"other {n}", held) > 0 for n in range(3)] == [True] * 3
    with ExitStack() as held:
        assert take(slots, "greedy", held) == 205, "all slots are free again"


@given(st.lists(st.sampled_from("abc"), max_size=80))
def test_never_more_slots_are_held_than_there_are(callers: list[str]) -> None:
    slots, count = SharedSlots(16, "streams"), 0
    with ExitStack() as held:
        for caller in callers:
            try:
                held.enter_context(slots.hold(caller))
            except SlotsTaken:
                continue
            count += 1
        assert count <= 16


async def test_a_slot_is_taken_before_anything_is_awaited() -> None:
    slots = SharedSlots(2, "searches")
    with slots.hold("a"), slots.hold("b"), pytest.raises(SlotsTaken), slots.hold("c"):
        pass
