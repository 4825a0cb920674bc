"""Intents with keys that are not money: an account is opened once, a subscriber is changed once, by whomever and how often it is asked."""

from __future__ import annotations

import asyncio

import pytest

from balance.account import Account, AccountState
from ocs.charging.operations import AccountFault, CapChoice, Limits, RechargeStatus, limits_tag, state_tag, version_tag
from ocs.charging.subscribers import SubscriberChange, SubscriberStatus
from tests.scenario.world import OpensWorld, World, amount

DAY_MS = 86_400_000


async def _open(world: World, key: str, low_balance: str = "0") -> Account | AccountFault:
    return await world.desk.create_account("B", "EUR", "test-eur", 0, amount(low_balance), actor="test", key=key)


async def test_an_account_is_opened_once_for_a_key(world: World) -> None:
    """Whatever became of it since; another account under the key, and the same one under another, are refused."""
    assert isinstance(await _open(world, "k"), Account)
    await world.desk.top_up("B", amount("1.00"), "EUR", key="t", actor="test", reason="")
    assert await _open(world, "k") is AccountFault.REPLAYED
    assert await _open(world, "k", "0.50") is AccountFault.KEY_REUSED
    assert await _open(world, "other") is AccountFault.EXISTS
    assert await _open(world, "") is AccountFault.EXISTS
    entries = [entry for entry in await world.entries() if entry.kind == "opened"]
    assert [entry.reference for entry in entries] == ["k"]


async def test_two_processes_open_one_account(open_world: OpensWorld) -> None:
    """The same intent at both at the same moment, several times: one opens it, all are told so."""
    one, two = await open_world(), await open_world()
    done = await asyncio.gather(*(_open(world, "k") for world in (one, two, one, two)))
    assert sorted(isinstance(each, Account) for each in done) == [False, False, False, True]
    assert [each for each in done if not isinstance(each, Account)] == [AccountFault.REPLAYED] * 3


async def test_two_processes_change_one_subscriber(open_world: OpensWorld) -> None:
    """Under one key it is changed once; with one tag one of two wins; an identity that both want is one's."""
    one, two = await open_world(), await open_world()
    await one.open("1.00")
    await one.desk.subscribers.create("T", "A", ("e164:1",), "")

    async def change(world: World, who: str, identity: str, key: str = "", tag: str = "") -> SubscriberStatus:
        wanted = SubscriberChange(identities=(identity,))
        expects = frozenset({tag} if tag else ())
        return (await world.desk.subscribers.change(who, wanted, key=key, expects=expects)).status

    same = await asyncio.gather(*(change(world, "T", "e164:2", "k") for world in (one, two, one, two)))
    assert sorted(each.value for each in same) == ["done", "replayed", "replayed", "replayed"]
    there = await two.desk.subscribers.read("T")
    assert there is not None
    tagged = await asyncio.gather(
        *(change(world, "T", f"e164:{number}", tag=there.tag) for number, world in enumerate((one, two), 3))
    )
    assert sorted(each.value for each in tagged) == ["changed_meanwhile", "done"]
    both = await asyncio.gather(*(change(world, who, "e164:9") for world, who in ((one, "S"), (two, "T"))))
    assert sorted(each.value for each in both) == ["done", "identity_taken"]
    owner = await one.desk.subscribers.find("e164:9")
    assert owner is not None
    assert owner.identities == ("e164:9",)


async def test_a_subscriber_may_go_to_another_account(world: World) -> None:
    """It is listed there, and no more where it was; a key is remembered; who is gone leaves his names behind."""
    await world.open("1.00")
    assert isinstance(await _open(world, ""), Account)
    desk = world.desk.subscribers
    assert (await desk.change("S", SubscriberChange(account_id="nobody"))).status is SubscriberStatus.ACCOUNT_UNKNOWN
    assert (await desk.change("S", SubscriberChange("B"), key="k")).status is SubscriberStatus.DONE
    assert ([each.subscriber_id for each in await desk.page("A", "", "", 9)], len(await desk.page("B", "", "", 9))) == (
        [],
        1,
    )
    await desk.change("S", SubscriberChange("A"))
    late = await desk.change("S", SubscriberChange("B"), key="k")
    assert (late.status, late.subscriber and late.subscriber.account_id) == (SubscriberStatus.REPLAYED, "A")
    assert (await desk.change("S", SubscriberChange("A"), key="k")).status is SubscriberStatus.KEY_REUSED
    assert (await desk.remove("S")).status is SubscriberStatus.DONE
    assert (await desk.remove("S")).status is SubscriberStatus.UNKNOWN
    assert await desk.page("", "", "", 9) == []
    again = await desk.create("S", "A", ("e164:1",), "")
    assert again.subscriber is not None


@pytest.mark.parametrize("change", ["state", "limits"])
async def test_a_change_is_made_if_it_is_still_so(world: World, change: str) -> None:
    """The tag of the part, or of the account as a whole; a late one changes nothing."""
    await world.open("1.00")
    numbers = iter(range(100))

    async def tried(tag: str) -> RechargeStatus:
        key, expects = f"c{next(numbers)}", frozenset({tag})
        if change == "state":
            result = await world.desk.set_state(
                "A", AccountState.SUSPENDED, key=key, actor="test", reason="", block=key, expects=expects
            )
        else:
            limits = Limits(caps=(CapChoice(key, "day", 1, destinations=("Mars",)),))
            result = await world.desk.set_limits("A", limits, key=key, actor="test", reason="", expects=expects)
        return result.status

    before = await world.account()
    part = state_tag if change == "state" else limits_tag
    assert await tried(version_tag(before)) is RechargeStatus.APPLIED
    for tag in (version_tag(before), part(before), "00000000"):
        assert await tried(tag) is RechargeStatus.CHANGED_MEANWHILE
    await world.change("1.00")
    assert await tried(part(await world.account())) is RechargeStatus.APPLIED


async def test_each_field_of_a_limit_is_in_its_tag(world: World) -> None:
    """Two caps that differ in one field alone have two tags."""
    await world.open("1.00")
    tags = set()
    caps = (
        CapChoice("c", "day", 1), CapChoice("c", "day", 1, unit=1), CapChoice("c", "day", 1, member="S"),
        CapChoice("c", "day", 1, destinations=("x",)), CapChoice("c", "day", 1, networks=("262",)),
        CapChoice("c", "day", 1, not_networks=("262",)),
    )  # fmt: skip
    for cap in caps:
        await world.set_limits(Limits(caps=(cap,)))
        tags.add(limits_tag(await world.account()))
    await world.set_limits(Limits(low_balance=amount("0.10")))
    tags.add(limits_tag(await world.account()))
    assert len(tags) == len(caps) + 1
