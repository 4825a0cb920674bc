"""A reseller in another partition: charged first, for no more than its customer gets, in two steps that survive a crash between them.

The tables of `test_levels` are played so, too; here is what is different: more of them above one another, changes of the reseller,
what is refused in between. T1 costs the customer 0.01 a second and the reseller 0.004; a message 0.08 and 0.05.
"""

from __future__ import annotations

import pytest
from msgspec import structs

from balance.account import Account, AccountState
from balance.valkey.keys import partition_of
from ocs.charging.links import RESELLER
from ocs.charging.operations import AccountFault, Limits, Operation, OperationKind, RechargeResult, RechargeStatus
from ocs.charging.request import ChargingStatus, EventAction, RequestKind
from ocs.charging.resellers import resold
from tests.scenario.table import Table
from tests.scenario.test_levels import nothing_waits
from tests.scenario.traffic import access, accounting, diameter, granted, group
from tests.scenario.world import APART, IDENTITY, World, amount

INITIAL, UPDATE, TERMINATION, EVENT = (
    RequestKind.INITIAL, RequestKind.UPDATE, RequestKind.TERMINATION, RequestKind.EVENT,
)  # fmt: skip
OTHER = "other"
"""Another reseller."""


async def opened(world: World, reseller: str = "5.00", balance: str = "1.00") -> None:
    await world.open_reseller(reseller, is_apart=True)
    await world.open(balance)


async def create(world: World, name: str, plan: str, reseller: str, balance: str) -> None:
    created = await world.desk.create_account(name, "EUR", plan, 0, 0, actor="test", reseller=reseller)
    assert isinstance(created, Account)
    await world.desk.top_up(name, amount(balance), "EUR", key="first", actor="test", reason="")


async def change(world: World, reseller: str, name: str = "") -> RechargeStatus:
    world.keys += 1
    result = await world.desk.change_reseller(
        name or world.account_id, reseller, key=f"k{world.keys}", actor="test", reason="contract 12"
    )
    return result.status


async def balances(world: World, *names: str) -> list[tuple[int, int]]:
    return [(await world.figures(name))[:2] for name in names]


def test_the_two_are_in_different_partitions() -> None:
    """Of two and of four: the tables show two steps, not one by chance."""
    assert all(partition_of("A", count) != partition_of(APART, count) for count in (2, 4))


async def test_three_levels_in_three_places(world: World) -> None:
    """The operator's partner, his reseller, whose customer's name stands below the reseller's: each has its record, once."""
    await create(world, "P", "test-resale-eur", "", "1.00")
    await create(world, APART, "test-eur", "P", "1.00")
    await create(world, f"{APART}~C", "test-eur", "", "1.00")
    await world.desk.subscribers.create("S", f"{APART}~C", (IDENTITY,), "")
    chain = ("P", APART, f"{APART}~C")
    world.account_id = chain[-1]
    assert granted(await world.charge(diameter(world, INITIAL, "s", 0, group(ask=0)))) == 30
    assert await balances(world, *chain) == [(amount("1"), amount(held)) for held in ("0.12", "0.30", "0.30")]
    await world.charge(diameter(world, UPDATE, "s", 1, group(30, 0)))
    await world.charge(diameter(world, TERMINATION, "s", 2, group(20)))
    await world.charge(diameter(world, EVENT, "m", 0, group(ask=1), service="sms", destination=""))
    assert await balances(world, *chain) == [(amount(left), 0) for left in ("0.75", "0.42", "0.42")]
    records = [(entry.account_id, entry.cdr.session_id) for entry in await world.entries() if entry.cdr is not None]
    assert {name: [key for each, key in records if each == name] for name in chain} == {
        "P": ["s ^P", "m ^P"], APART: [f"s ^{APART}", f"m ^{APART}"], chain[-1]: ["s", "m"],
    }  # fmt: skip
    await world.check_books()
    await nothing_waits(world)


async def test_where_the_upper_one_of_three_refuses_none_is_charged(world: World) -> None:
    """Its reason is told, what it has left is not."""
    await create(world, "P", "test-resale-eur", "", "0.02")
    await create(world, APART, "test-eur", "P", "1.00")
    await create(world, "A", "test-eur", APART, "1.00")
    await world.desk.subscribers.create("S", "A", (IDENTITY,), "")
    refused = await world.charge(diameter(world, EVENT, "m", 0, group(ask=1), service="sms", destination=""))
    assert (refused.status, refused.available) == (ChargingStatus.CREDIT_LIMIT_REACHED, amount("1.00"))
    assert granted(await world.charge(diameter(world, INITIAL, "s", 0, group(ask=0)))) == 5
    assert await balances(world, "P", APART, "A") == [
        (amount(booked), amount(held)) for booked, held in (("0.02", "0.02"), ("1", "0.05"), ("1", "0.05"))
    ]
    await nothing_waits(world)


async def test_r46_an_authorization_holds_money_at_both(world: World) -> None:
    """RADIUS: all that both can pay for; the Start takes both reservations over, the Stop pays at both, a repeat nobody."""
    await opened(world, "0.32")
    assert granted(await world.charge(access(world, "auth"))) == 80
    assert await balances(world, APART) == [(amount("0.32"), amount("0.32"))]
    await world.charge(accounting(world, INITIAL, "call", lease_of="auth"))
    await world.charge(accounting(world, UPDATE, "call", 30))
    for _ in range(2):
        await world.charge(accounting(world, TERMINATION, "call", 60))
    assert await balances(world, "A", APART) == [(amount("0.40"), 0), (amount("0.08"), 0)]
    await world.charge(accounting(world, TERMINATION, "lost start", 10))
    assert await balances(world, "A", APART) == [(amount("0.30"), 0), (amount("0.04"), 0)]
    await world.check_books()
    await nothing_waits(world)


async def test_97_a_refund_comes_back_to_both(world: World) -> None:
    """Each gets back what it paid, once; a question after the balance or the price moves nothing."""
    await opened(world)
    event = diameter(world, EVENT, "m", 0, group(ask=1), service="sms", destination="")
    for action in (EventAction.CHECK_BALANCE, EventAction.PRICE_ENQUIRY):
        asked = structs.replace(event, action=action, session_key=f"gy:{action.name}")
        assert (await world.charge(asked)).status is ChargingStatus.SUCCESS
    await world.charge(event)
    assert await balances(world, "A", APART) == [(amount("0.92"), 0), (amount("4.95"), 0)]
    for number in range(2):
        back = structs.replace(event, session_key=f"gy:r{number}", refund_of="gy:m", action=EventAction.REFUND_ACCOUNT)
        answer = await world.charge(back)
        assert answer.status is (ChargingStatus.SERVICE_DENIED if number else ChargingStatus.SUCCESS)
        assert await balances(world, "A", APART) == [(amount("1.00"), 0), (amount("5.00"), 0)]
    await world.check_books()


async def test_a_check_of_the_balance_asks_the_reseller_too(world: World) -> None:
    """What one of them cannot pay for is not enough."""
    await opened(world, "0.01")
    asked = diameter(world, EVENT, "c", 0, group(ask=1), service="sms", destination="")
    asked.action = EventAction.CHECK_BALANCE
    assert (await world.charge(asked)).check_balance == 1


async def test_a_new_reseller_is_charged_for_what_begins_from_now_on(world: World) -> None:
    """An open session ends with the reseller it began with, and its record says with which; the journal and an event say who changed it."""
    await opened(world)
    await create(world, OTHER, "test-resale-eur", "", "5.00")
    await world.charge(diameter(world, INITIAL, "old", 0, group(ask=0)))
    assert await change(world, OTHER) is RechargeStatus.APPLIED
    await world.charge(diameter(world, INITIAL, "new", 0, group(ask=0)))
    await world.charge(diameter(world, UPDATE, "old", 1, group(10, 0)))
    assert await change(world, "") is RechargeStatus.APPLIED
    await world.charge(diameter(world, INITIAL, "alone", 0, group(ask=0)))
    for name in ("old", "new", "alone"):
        await world.charge(diameter(world, TERMINATION, name, 2, group(10)))
    assert await balances(world, "A", APART, OTHER) == [
        (amount("0.60"), 0), (amount("4.92"), 0), (amount("4.96"), 0),
    ]  # fmt: skip
    entries = [entry for entry in await world.entries() if entry.account_id == "A"]
    told = {entry.cdr.session_id: dict(entry.cdr.details).get(RESELLER) for entry in entries if entry.cdr is not None}
    assert told == {"old": APART, "new": OTHER, "alone": None}
    changes = [(entry.reason, dict(entry.facts)["reseller"]) for entry in entries if entry.kind == "reseller"]
    assert changes == [(f"{APART} -> {OTHER}: contract 12", OTHER), (f"{OTHER} -> nobody: contract 12", "")]
    await world.check_books()
    await nothing_waits(world)


async def test_r72_a_late_stop_is_charged_to_the_reseller_of_the_call(world: World) -> None:
    """The call was given up, then the account went to another reseller; then its Stop came after all."""
    await opened(world)
    await create(world, OTHER, "test-resale-eur", "", "5.00")
    await world.charge(access(world, "auth"))
    await world.charge(accounting(world, INITIAL, "call", lease_of="auth"))
    world.clock.now_ms += 7_200_000
    await world.close_silent_sessions()
    assert await change(world, OTHER) is RechargeStatus.APPLIED
    await world.charge(accounting(world, TERMINATION, "call", 20))
    assert await balances(world, "A", APART, OTHER) == [
        (amount("0.80"), 0), (amount("4.92"), 0), (amount("5.00"), 0),
    ]  # fmt: skip
    await nothing_waits(world)


@pytest.mark.parametrize(
    ("name", "reseller", "status"),
    [
        ("A", "nobody", RechargeStatus.RESELLER_UNKNOWN),
        ("A", "shut", RechargeStatus.RESELLER_UNKNOWN),
        ("A", "A", RechargeStatus.IN_CIRCLE),
        (APART, "A", RechargeStatus.IN_CIRCLE),
        ("A", f"{APART}~C", RechargeStatus.IN_LEVELS),
        (f"{APART}~C", "A", RechargeStatus.IN_LEVELS),
        ("shut", APART, RechargeStatus.ACCOUNT_CLOSED),
        ("unknown", APART, RechargeStatus.ACCOUNT_UNKNOWN),
    ],
)
async def test_what_cannot_be_a_reseller(world: World, name: str, reseller: str, status: RechargeStatus) -> None:
    """The reason is told, and nothing is changed."""
    await opened(world)
    await create(world, f"{APART}~C", "test-eur", "", "1.00")
    await create(world, "shut", "test-eur", "", "1.00")
    await world.desk.set_state("shut", AccountState.CLOSED, key="c", actor="test", reason="")
    before = await world.desk.account(name)
    assert await change(world, reseller, name) is status
    assert await world.desk.account(name) == before


async def test_a_change_is_made_once_for_its_key(world: World) -> None:
    """Its repeat says so, also after another one; an account is not opened below what is not there."""
    await opened(world)
    statuses = [
        (await world.desk.change_reseller("A", name, key="once", actor="test", reason="")).status
        for name in ("", "", APART)
    ]
    assert statuses == [RechargeStatus.APPLIED, RechargeStatus.REPLAYED, RechargeStatus.KEY_REUSED]
    for above, fault in (("nobody", AccountFault.RESELLER_UNKNOWN), ("a~b", AccountFault.IN_LEVELS)):
        assert await world.desk.create_account("N", "EUR", "test-eur", 0, 0, actor="t", reseller=above) is fault


async def test_a_reseller_that_was_merged_is_charged_where_it_is_now(world: World) -> None:
    """Nobody has to go through its customers."""
    await opened(world)
    await create(world, OTHER, "test-resale-eur", "", "1.00")
    merged = await world.money.merge(APART, OTHER, key="m", actor="test", reason="")
    assert merged.status is RechargeStatus.APPLIED
    await world.charge(diameter(world, INITIAL, "s", 0, group(ask=0)))
    await world.charge(diameter(world, TERMINATION, "s", 1, group(10)))
    assert await balances(world, "A", OTHER) == [(amount("0.90"), 0), (amount("5.96"), 0)]
    await nothing_waits(world)


async def test_each_has_its_own_limits(world: World) -> None:
    """The reseller's credit limit, a cap and a block hold for its customers; a top-up at it lets them on."""
    await opened(world, "0.04")
    await Table(world).play("""
        I s1 T1 ask          -> 10 final | R 0.10
        U s1 used 10 ask     -> CREDIT_LIMIT_REACHED | B 0.90 R 0
    """)
    await world.desk.set_limits(APART, Limits(credit_limit=amount("0.08")), key="l", actor="test", reason="")
    answer = await world.charge(diameter(world, UPDATE, "s1", 2, group(0, 0)))
    assert granted(answer) == 20
    await world.desk.set_state(APART, AccountState.SUSPENDED, key="s", actor="test", reason="")
    denied = await world.charge(diameter(world, UPDATE, "s1", 3, group(5, 0)))
    assert denied.status is ChargingStatus.SERVICE_DENIED
    assert await balances(world, "A", APART) == [(amount("0.85"), 0), (amount("-0.02"), 0)]


async def test_accounts_that_are_each_others_resellers_are_found_out(world: World) -> None:
    """Two changes at the same moment could make a circle: then nobody is charged, and no request runs for ever."""
    await opened(world)
    circle = Operation(OperationKind.RESELLER, APART, "k", "test", "", payee="A")
    there = await world.account(APART)
    await world.desk.do(
        APART,
        (),
        lambda _account, _records, now_ms: resold(circle, None, there, None, now_ms),
        RechargeResult(RechargeStatus.ACCOUNT_UNKNOWN),
    )
    answer = await world.charge(diameter(world, EVENT, "m", 0, group(ask=1), service="sms", destination=""))
    assert answer.status is ChargingStatus.INTERNAL_FAULT
    assert await balances(world, "A", APART) == [(amount("1.00"), 0), (amount("5.00"), 0)]
