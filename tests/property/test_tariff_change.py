"""Random data sessions over changes of price: what is granted is always paid for, and the record's lines add up."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from balance.memory import MemoryStore
from ocs.charging.request import ChargingAnswer, RequestKind
from ocs.rating.price import cost_of
from ocs.rating.units import UnitKind
from tests.scenario.test_tariff_change import SIX_MS, octets
from tests.scenario.traffic import diameter, group
from tests.scenario.world import Clock, World

EIGHT_AFTER_MS = 14 * 3_600_000  # from six in the evening to eight in the morning
# Each step: so long later, so much of the grant used before a change and after it, in thousandths, and whether it says so.
steps = st.lists(
    st.tuples(st.integers(0, 299), st.integers(0, 1000), st.integers(0, 1000), st.booleans()), min_size=1, max_size=12
)


async def _play(change_ms: int, cents: int, tells: bool, traffic: list[tuple[int, int, int, bool]]) -> None:
    clock = Clock()
    world = World(MemoryStore(clock), clock)
    await world.open(f"{cents / 100:.2f}")
    clock.now_ms = change_ms
    answer = await _ask(world, RequestKind.INITIAL, 0, 0, None, tells)
    for number, (wait_s, one, other, says) in enumerate(traffic, start=1):
        granted = answer.groups[0].granted if answer.groups else 0
        clock.now_ms += wait_s * 1000
        used = granted * max(one, other) // 1000
        after = granted * (max(one, other) - one) // 1000 if says else None
        answer = await _ask(world, RequestKind.UPDATE, number, used, after, tells)
        booked, reserved, available = await world.figures()
        assert min(booked, reserved, available) >= 0, "who uses no more than he was granted owes nothing (statement 4)"
        await world.check_books()
    await _ask(world, RequestKind.TERMINATION, len(traffic) + 1, 0, None, tells)
    records = [entry.cdr for entry in await world.entries() if entry.cdr is not None]
    for record in records:
        assert sum(each.cost for each in record.groups) == record.cost
        assert all(cost_of(each.price, each.used) == each.cost for each in record.groups)
        assert [each.from_ms for each in record.groups] == sorted(each.from_ms for each in record.groups)


async def _ask(
    world: World, kind: RequestKind, number: int, used: int, after: int | None, tells: bool
) -> ChargingAnswer:
    wish = None if kind is RequestKind.TERMINATION else 0
    part = group(None if kind is RequestKind.INITIAL else used, wish, rating_group=30, unit=UnitKind.OCTETS)
    part = structs.replace(part, after=None if after is None else octets(min(after, used)))
    request = diameter(world, kind, "s", number, part, service="data", destination="")
    request.tells_sides = tells
    return await world.charge(request)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 600), st.integers(1, 12), st.sampled_from(["cheaper", "dearer", "untold"]), steps)
def test_85_g70_no_grant_is_overdrawn_whenever_the_price_changes(
    before_s: int, cents: int, change: str, traffic: list[tuple[int, int, int, bool]]
) -> None:
    """Who tells both sides, or comes for a cheaper price, never owes within his grants; each line is computed again (statement 3)."""
    at_ms = (SIX_MS + EIGHT_AFTER_MS if change == "dearer" else SIX_MS) - before_s * 1000
    asyncio.run(_play(at_ms, cents, change != "untold", traffic))
