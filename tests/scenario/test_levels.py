"""A reseller's customers: each use is charged to the customer and to the reseller, by the plan of each, in one step.

T1 costs the customer 0.01 a second and the reseller 0.004; a message 0.08 and 0.05. Beside `reseller` stand its own figures.
"""

from __future__ import annotations

import asyncio
import re

import pytest

from balance.account import Account, AccountState
from ocs.charging.operations import AccountFault
from ocs.charging.request import ChargingStatus, RequestKind
from tests.scenario.table import Table
from tests.scenario.traffic import access, accounting, diameter, granted, group
from tests.scenario.world import IDENTITY, OpensWorld, World, amount

INITIAL, UPDATE, TERMINATION, EVENT = (
    RequestKind.INITIAL, RequestKind.UPDATE, RequestKind.TERMINATION, RequestKind.EVENT,
)  # fmt: skip

LEVELS = {
    "both pay, each by its own plan": """
        reseller 5.00
        balance 1.00
        I s1 T1 ask             -> 30       | B 1.00 R 0.30
        reseller                            | B 5.00 R 0.12
        U s1 used 30 ask        -> 30       | B 0.70 R 0.30
        U s1 used 30 ask #1     -> 30       | B 0.70 R 0.30          #  a repeat is charged to nobody
        reseller                            | B 4.88 R 0.12
        T s1 used 12            -> ok       | B 0.58 R 0
        reseller                            | B 4.832 R 0
        E m1 S1 ask 1           -> 1        | B 0.50
        reseller                            | B 4.782 R 0
    """,
    "the reseller's money bounds the grant, and is held for no more than is granted": """
        reseller 0.10
        balance 1.00
        I s1 T1 ask             -> 25 final | R 0.25
        reseller                            | B 0.10 R 0.10
        I s2 T1 ask             -> CREDIT_LIMIT_REACHED | R 0.25
        U s1 used 25 ask        -> CREDIT_LIMIT_REACHED | B 0.75 R 0
        reseller                            | B 0 R 0
        E m1 S1 ask 1           -> CREDIT_LIMIT_REACHED | B 0.75     #  nobody pays for what one cannot
        T s1 used 0             -> ok
    """,
    "the customer's money bounds the grant, and the reseller holds no more than that": """
        reseller 5.00
        balance 0.20
        I s1 T1 ask             -> 20 final | R 0.20
        reseller                            | R 0.08
        U s1 used 20 ask        -> CREDIT_LIMIT_REACHED | B 0 R 0
        reseller                            | B 4.92 R 0
        top-up 0.10
        U s1 used 0 ask         -> 10 final | R 0.10
        reseller                            | R 0.04
        T s1 used 4             -> ok       | B 0.06 R 0
        reseller                            | B 4.904 R 0
    """,
    "what was used is debited at both, whoever refuses": """
        reseller 5.00
        balance 1.00
        I s1 T1 ask             -> 30
        suspend
        U s1 used 10 ask        -> SERVICE_DENIED | B 0.90 R 0
        reseller                            | B 4.96 R 0
        activate
        U s1 used 0 ask         -> 30       | R 0.30
        T s1 used 30            -> ok       | B 0.60
        reseller                            | B 4.84 R 0
    """,
}
ON_A_CLOCK = {
    "supervision ends it at both": """
        reseller 5.00
        balance 1.00
        I s1 T1 ask             -> 30
        wait 700
        close silent sessions               | B 1.00 R 0
        reseller                            | B 5.00 R 0
        T s1 used 30            -> SESSION_UNKNOWN
    """,
    "an INITIAL under the name of an open session replaces it at both": """
        reseller 5.00
        balance 1.00
        I s1 T1 ask             -> 30
        I s1 T2 ask #0          -> 30       | R 0.30
        reseller                            | R 0.12
        T s1 used 30            -> ok       | B 0.70 R 0
        reseller                            | B 4.88 R 0
    """,
}


@pytest.mark.parametrize("where", ["in one partition", "apart"])
@pytest.mark.parametrize("name", [*LEVELS, *ON_A_CLOCK])
async def test_scenario(world: World, name: str, where: str) -> None:
    """The table's every line comes true, in one step as in two, and the books of both accounts balance afterwards."""
    text = (LEVELS | ON_A_CLOCK)[name]
    await Table(world).play(re.sub("(reseller [0-9.]+)", r"\1 apart", text) if where == "apart" else text)
    await nothing_waits(world)


async def nothing_waits(world: World) -> None:
    """No step is left undone. The last one's record goes after its answer."""
    while True:
        due = await world.store.due(world.clock() + 10 * 86_400_000, 1000)
        if not any(each.key.startswith("step:") for each in due):
            return
        await asyncio.sleep(0.01)


async def test_three_levels_are_charged_in_one_posting(world: World) -> None:
    """The operator's partner, his reseller and a customer: a posting moves all three, and each has its own record."""
    for name, plan in (("P", "test-resale-eur"), ("P~R", "test-eur"), ("P~R~C", "test-eur")):
        assert isinstance(await world.desk.create_account(name, "EUR", plan, 0, 0, actor="test"), Account)
        await world.desk.top_up(name, amount("1.00"), "EUR", key="k", actor="test", reason="")
    await world.desk.subscribers.create("S", "P~R~C", (IDENTITY,), "")
    world.account_id = "P~R~C"
    assert granted(await world.charge(diameter(world, INITIAL, "s", 0, group(ask=0)))) == 30
    versions = {name: (await world.account(name)).version for name in ("P", "P~R", "P~R~C")}
    await world.charge(diameter(world, TERMINATION, "s", 1, group(20)))
    for name, balance in (("P", "0.92"), ("P~R", "0.80"), ("P~R~C", "0.80")):
        account = await world.account(name)
        assert (account.buckets[0].balance, account.buckets[0].reserved) == (amount(balance), 0), name
        assert account.version == versions[name] + 1
    records = [(entry.account_id, entry.cdr.session_id) for entry in await world.entries() if entry.cdr is not None]
    assert records == [("P", "s ^P"), ("P~R", "s ^P~R"), ("P~R~C", "s")]
    await world.check_books()


async def test_an_account_needs_the_one_above_it(world: World) -> None:
    """A name with levels whose upper part is no account is refused."""
    created = await world.desk.create_account("nobody~A", "EUR", "test-eur", 0, 0, actor="test")
    assert created is AccountFault.PARENT_UNKNOWN


async def test_a_suspended_reseller_stops_its_customers(world: World) -> None:
    """Money or not: the reason is told, and what was used before is paid."""
    await world.open_reseller("5.00")
    await world.open("1.00")
    await world.charge(diameter(world, INITIAL, "s", 0, group(ask=0)))
    await world.desk.set_state("A", AccountState.SUSPENDED, key="stop", actor="test", reason="")
    denied = await world.charge(diameter(world, UPDATE, "s", 1, group(10, 0)))
    assert denied.status is ChargingStatus.SERVICE_DENIED
    assert await world.charge(diameter(world, UPDATE, "s", 1, group(10, 0))) == denied
    assert (await world.charge(diameter(world, INITIAL, "t", 0, group(ask=0)))).status is ChargingStatus.SERVICE_DENIED
    assert (await world.figures(), await world.figures("A")) == (
        (amount("0.90"), 0, amount("0.90")),
        (amount("4.96"), 0, amount("4.96")),
    )
    await world.check_books()


async def test_r46_an_authorization_holds_money_at_both(world: World) -> None:
    """RADIUS: all that both can pay for; the Start takes both reservations over, the Stop pays at both."""
    await world.open_reseller("0.32")
    await world.open("1.00")
    assert granted(await world.charge(access(world, "auth"))) == 80
    assert (await world.figures("A"))[1] == amount("0.32")
    await world.charge(accounting(world, INITIAL, "call", lease_of="auth"))
    await world.charge(accounting(world, UPDATE, "call", 30))
    await world.charge(accounting(world, TERMINATION, "call", 60))
    assert (await world.figures())[:2] == (amount("0.40"), 0)
    assert (await world.figures("A"))[:2] == (amount("0.08"), 0)
    await world.check_books()


async def test_69_customers_of_one_reseller_at_two_workers_share_its_money(open_world: OpensWorld) -> None:
    """Forty calls of four customers at once, and money of the reseller for ten: ten, and none is too busy."""
    one, two = await open_world(), await open_world()
    await one.desk.create_account("R", "EUR", "test-resale-eur", 0, 0, actor="test")
    await one.desk.top_up("R", amount("0.40"), "EUR", key="k", actor="test", reason="")
    for number in range(4):
        name, identity = f"R~{number}", f"e164:49151000003{number}"
        await one.desk.create_account(name, "EUR", "test-eur", 0, 0, actor="test")
        await one.desk.subscribers.create(f"S{number}", name, (identity,), "")
        await one.desk.top_up(name, amount("5.00"), "EUR", key="k", actor="test", reason="")
    asked = [
        diameter(w, INITIAL, f"{at}.{n}", 0, group(ask=10), identity=f"e164:49151000003{at % 4}")
        for n, w in enumerate((one, two))
        for at in range(20)
    ]
    first, second = await asyncio.gather(one.charge_all(asked[:20]), two.charge_all(asked[20:]))
    statuses = [answer.status for answer in (*first, *second)]
    assert statuses.count(ChargingStatus.SUCCESS) == 10
    assert statuses.count(ChargingStatus.CREDIT_LIMIT_REACHED) == 30
    assert await two.figures("R") == (amount("0.40"), amount("0.40"), 0)
    for number in range(4):
        one.account_id = f"R~{number}"
        await one.check_books()


async def test_97_a_refund_comes_back_to_both(world: World) -> None:
    """Each gets back what it paid, once."""
    await world.open_reseller("1.00")
    await world.open("1.00")
    event = {"service": "sms", "destination": ""}
    await world.charge(diameter(world, EVENT, "m", 0, group(ask=1), **event))  # type: ignore[arg-type]
    for number in range(2):
        refund = diameter(world, EVENT, f"r{number}", 0, group(ask=0), **event)  # type: ignore[arg-type]
        refund.refund_of, refund.action = "gy:m", type(refund.action).REFUND_ACCOUNT
        answer = await world.charge(refund)
        assert answer.status is (ChargingStatus.SERVICE_DENIED if number else ChargingStatus.SUCCESS)
        assert (await world.figures())[0] == (await world.figures("A"))[0] == amount("1.00")
    await world.check_books()
