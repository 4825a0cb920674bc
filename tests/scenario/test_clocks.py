"""Which instant chooses a price [3.7]: a call that is authorized, answered and ended on different sides of a change."""

from __future__ import annotations

import pytest

from ocs.charging.request import RequestKind
from ocs.rating.build import build
from tests.scenario.traffic import access, accounting, granted
from tests.scenario.world import START_MS, World, amount

INITIAL, UPDATE, TERMINATION = RequestKind.INITIAL, RequestKind.UPDATE, RequestKind.TERMINATION
PLAN = """
name = "test-eur"
currency = "EUR"
[[tariffs]]
service = "voice"
name = "Until the change"
per = "second"
clock = "{clock}"
rate = "{before}"
to = "2026-09-21T14:13:50Z"
[[tariffs]]
service = "voice"
name = "Since the change"
per = "second"
clock = "{clock}"
rate = "{after}"
from = "2026-09-21T14:13:50Z"
"""


async def open_with(world: World, clock: str, before: str, after: str) -> None:
    """A price that changes thirty seconds from now."""
    plan = PLAN.format(clock=clock, before=before, after=after)
    texts = {"currencies.toml": "EUR = { numeric = 978, scale = 9, digits = 2 }\n", "rateplans/p.toml": plan}
    result = build({name: text.encode() for name, text in texts.items()}, START_MS)
    assert result.book is not None, result.faults
    world.charging.rates = result.book
    await world.open("10.00")


@pytest.mark.parametrize(
    ("clock", "before", "after", "seconds", "held", "cost"),
    [
        ("setup", "0.01", "0.02", 1000, "10.00", "0.60"),
        ("answer", "0.01", "0.02", 500, "10.00", "1.20"),  # the dearer price is set aside while it rings
        ("answer", "0.02", "0.01", 500, "10.00", "0.60"),
        ("end", "0.01", "0.02", 500, "10.00", "1.20"),
        ("end", "0.02", "0.01", 500, "10.00", "0.60"),
    ],
)
async def test_3_7_a_radius_call(
    world: World, clock: str, before: str, after: str, seconds: int, held: str, cost: str
) -> None:
    """Authorized 30 s before the change, answered 10 s after it, ended a minute later."""
    await open_with(world, clock, before, after)
    assert granted(await world.charge(access(world, "auth"))) == seconds
    assert (await world.figures())[1] == amount(held)
    world.clock.now_ms += 40_000
    await world.charge(accounting(world, INITIAL, "call", lease_of="auth"))
    world.clock.now_ms += 60_000
    await world.charge(accounting(world, TERMINATION, "call", used=60))
    assert await world.figures() == (amount("10.00") - amount(cost), 0, amount("10.00") - amount(cost))
    await world.check_books()


@pytest.mark.parametrize(("clock", "cost"), [("setup", "0.60"), ("answer", "0.60"), ("end", "1.20")])
async def test_3_7_a_radius_call_over_the_change(world: World, clock: str, cost: str) -> None:
    """Answered 10 s before the change, ended 50 s after it, reported once more in between: one price for all of it."""
    await open_with(world, clock, "0.01", "0.02")
    await world.charge(access(world, "auth"))
    world.clock.now_ms += 20_000
    await world.charge(accounting(world, INITIAL, "call", lease_of="auth"))
    world.clock.now_ms += 5_000
    await world.charge(accounting(world, UPDATE, "call", used=5))
    assert (await world.figures())[0] == amount("9.95")
    world.clock.now_ms += 55_000
    await world.charge(accounting(world, TERMINATION, "call", used=60))
    assert (await world.figures())[0] == amount("10.00") - amount(cost)
    await world.check_books()


async def test_3_7_a_stop_alone_tells_the_answer(world: World) -> None:
    """The Start was lost: the call was answered as long before its end as it lasted."""
    await open_with(world, "answer", "0.01", "0.02")
    await world.charge(access(world, "auth"))
    world.clock.now_ms += 100_000
    await world.charge(accounting(world, TERMINATION, "call", used=60, lease_of="auth"))
    assert (await world.figures())[0] == amount("8.80")
    await world.check_books()
