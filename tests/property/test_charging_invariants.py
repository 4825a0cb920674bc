"""Random traffic of many sessions, with repeats, reordering, silence and top-ups: the books always balance.

With and without a reseller above the account. After each run: balance = top-ups - cost of every accepted use, and with all sessions ended nothing is reserved
(charging-behaviours, section A and the property test of "Checks for tools").
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from balance.account import AccountState
from balance.levels import top_of
from balance.memory import MemoryStore
from ocs.charging.operations import CallsChoice, CapChoice, Limits
from ocs.charging.request import ChargingStatus
from ocs.charging.rules import NO_RULES, AccountRules, Lifecycle, VelocityRule
from ocs.rating.price import Price, cost_of
from tests.scenario.table import Table
from tests.scenario.world import POLICY, Clock, World, amount

TARIFF_NAMES = [
    "T1",
    "T2",
    "T3",
    "falling",
    "rising",
    "volume",
    "packs",
    "fair-use",
    "valley",
    "answered",
    "ended",
    "going-on",
    "anew",
]

steps = st.lists(
    st.one_of(
        st.tuples(st.just("I"), st.integers(0, 3), st.sampled_from(TARIFF_NAMES)),
        st.tuples(st.just("U"), st.integers(0, 3), st.integers(0, 45)),
        st.tuples(st.just("T"), st.integers(0, 3), st.integers(0, 45)),
        st.tuples(st.just("repeat"), st.integers(0, 20), st.none()),
        st.tuples(
            st.just("buy"),
            st.just(0),
            st.sampled_from(["60-seconds", "50-today", "mixed", "monthly", "daily", "weekly", "contract"]),
        ),
        st.tuples(st.just("limit"), st.integers(0, 1), st.sampled_from(["calls", "cap", "each", "units", "credit"])),
        st.tuples(st.just("top-up"), st.integers(1, 200), st.none()),
        st.tuples(st.just("block"), st.integers(0, 1), st.sampled_from(["operator", "dunning"])),
        st.tuples(st.just("wait"), st.integers(1, 700), st.none()),
        st.tuples(st.just("wait"), st.sampled_from([86_400, 700_000, 2_700_000]), st.none()),
    ),
    max_size=40,
)


LIVING = AccountRules(
    velocity=(VelocityRule(currency="EUR", spend_per_minute="0.40", action="shrink", shrink_to_s=7),),
    lifecycles=(
        Lifecycle(first_use_days=40, valid_days=5, top_up_days=9, grace_days=3, suspended_days=2, recycled_days=9),
    ),
)
LIMITS = {
    "calls": (Limits(calls=()), Limits(calls=(CallsChoice("voice", 2, 3),))),
    "cap": (Limits(caps=()), Limits(caps=(CapChoice("all", "day", amount("1.00")),))),
    "each": (Limits(caps=()), Limits(caps=(CapChoice("each", "day", amount("0.40"), member="*"),))),
    "units": (
        Limits(caps=()),
        Limits(caps=(CapChoice("s", "day", 50, unit=1), CapChoice("all", "day", amount("0.30")))),
    ),
    "credit": (Limits(credit_limit=0), Limits(credit_limit=amount("0.50"))),
}


@dataclass
class Run:
    """What the traffic did, counted apart from the engine: accepted use per session name."""

    table: Table
    history: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    deposited: int = 0
    generation: int = 0


async def _play(traffic: list[tuple[str, int, object]], reseller: str, rules: AccountRules) -> None:
    clock = Clock()
    world = World(MemoryStore(clock), clock, structs.replace(POLICY, rules=rules, watches=bool(rules.velocity)))
    if reseller:
        await world.open_reseller(reseller)
    await world.open("1.00")
    run = Run(Table(world), deposited=amount("1.00"))
    for kind, number, value in traffic:
        await _step(run, kind, number, value)
        booked, reserved, _ = await world.figures()
        assert reserved >= 0
        await world.check_books()
        assert booked <= run.deposited
    await _end_all(run)
    entries = [entry for entry in await world.entries() if entry.account_id == world.account_id]
    prices: list[tuple[Price, int, int]] = [
        (group.price, group.used, group.cost) for entry in entries if entry.cdr for group in entry.cdr.groups
    ]
    booked, reserved, _ = await world.figures()
    assert (await world.figures(top_of(world.account_id)))[1] == 0
    assert (reserved, (await world.units())[1], (await world.counts())[1]) == (0, 0, 0)
    kinds = {"package", "tier", "state"}  # a recycled account's money is written off
    others = sum(change.amount for entry in entries if entry.kind in kinds for change in entry.changes)
    assert booked == run.deposited + others - sum(cost for _, _, cost in prices)
    assert all(cost == cost_of(price, used) for price, used, cost in prices)


async def _step(run: Run, kind: str, number: int, value: object) -> None:
    world = run.table.world
    if kind == "top-up":
        text = f"{number / 100:.2f}"
        await world.change(text)
        is_over = (await world.state()).split()[0] in {"closed", "recycled"}
        run.deposited += 0 if is_over else amount(text)
    elif kind == "buy":
        await _buy(run, str(value))
    elif kind == "limit":
        assert isinstance(world, World)
        await world.set_limits(LIMITS[str(value)][number])
    elif kind == "block":
        await world.set_state((AccountState.ACTIVE, AccountState.SUSPENDED)[number], str(value))
    elif kind == "wait":
        world.clock.now_ms += number * 1000
        await world.close_silent_sessions()
    elif kind == "repeat":
        await _repeat(run, number)
    else:
        await _request(run, kind, number, value)


async def _buy(run: Run, package: str) -> None:
    """What is paid for a package is no cost of a use."""
    world = run.table.world
    assert isinstance(world, World)
    world.keys += 1
    await world.desk.buy("A", package, key=f"k{world.keys}", actor="test", reason="")


async def _request(run: Run, kind: str, number: int, value: object) -> None:
    name = f"s{number}.{run.generation}"
    if kind == "I":
        run.generation += 1
        name = f"s{number}.{run.generation}"
        run.table.sessions.pop(name, None)
        words = f"I {name} {value} ask"
    else:
        known = [key for key in run.table.sessions if key.startswith(f"s{number}.")]
        if not known:
            return
        name = known[-1]
        words = f"{kind} {name} used {value}" + (" ask" if kind == "U" else "")
    request = run.table.request(words.split())
    answer = await run.table.world.charge(request)
    run.history.append(f"{words} #{request.request_number}")
    run.answers.append(repr(answer))


async def _repeat(run: Run, number: int) -> None:
    """The same request again gets the same answer and moves nothing, if it was processed."""
    if not run.history:
        return
    at = len(run.history) - 1 - number % min(len(run.history), 4)
    before = await run.table.world.figures()
    answer = await run.table.world.charge(run.table.request(run.history[at].split()))
    processed = "CREDIT_LIMIT" not in run.answers[at].split("groups")[0]
    if processed and answer.status != ChargingStatus.SESSION_UNKNOWN and run.history[at][0] != "I":
        assert await run.table.world.figures() == before


async def _end_all(run: Run) -> None:
    world = run.table.world
    world.clock.now_ms += 3_600_000
    while await world.close_silent_sessions():
        pass


@settings(max_examples=150, deadline=None)
@given(steps, st.sampled_from(["", "0.30", "5.00"]), st.sampled_from([NO_RULES, LIVING]))
def test_section_a_whatever_happens_the_books_balance(
    traffic: list[tuple[str, int, object]], reseller: str, rules: AccountRules
) -> None:
    """Invariants 1, 2, 5 and 7 hold after every step, and at the end the price of all use is what was debited (statements 1, 2, 5, 7)."""
    asyncio.run(_play(traffic, reseller, rules))
