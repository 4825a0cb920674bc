"""What an account's followers are told: each crossing once, in the posting that makes it. T1 costs 0.01 a second."""

from __future__ import annotations

import asyncio

from balance.account import AccountState
from ocs.charging.account_events import AccountEvent, event_of
from ocs.charging.operations import BucketOptions, CallsChoice, CapChoice, Limits
from ocs.charging.request import ChargingAnswer, ChargingStatus, EventAction, RequestKind
from ocs.rating.units import UnitKind
from tests.scenario.table import Table
from tests.scenario.traffic import diameter, granted, group
from tests.scenario.world import OpensWorld, World, amount

INITIAL, UPDATE, TERMINATION = RequestKind.INITIAL, RequestKind.UPDATE, RequestKind.TERMINATION
DAY_MS = 86_400_000
FACTS = ("why", "cap", "bundle", "package", "percent", "balance", "threshold", "price")


async def told(world: World, *types: str) -> list[str]:
    """The events in their order, with their facts in words; of some types, if they are named."""
    await world.check_books()
    events = [event for entry in await world.entries() if (event := event_of(entry)) is not None]
    return [_words(event) for event in events if not types or event.event_type in types]


def _words(event: AccountEvent) -> str:
    facts = [event.facts[name] for name in FACTS if name in event.facts]
    return " ".join([event.event_type, *facts])


async def test_whom_nobody_knows_is_told_of(world: World) -> None:
    """A number without a subscriber, a request without a name, a subscriber whose account is not there; nobody else."""
    met: list[tuple[str, str]] = []
    world.charging.on_stranger = lambda request, why: met.append((" ".join(request.identities), why))
    await world.open("1.00")
    await world.desk.subscribers.create("T", "A", ("e164:49177",), "")
    for at, identity in enumerate(("e164:49199", "", "e164:49177")):
        await world.charge(diameter(world, INITIAL, f"s{at}", 0, group(ask=0), identity=identity))
    answered: asyncio.Future[ChargingAnswer] = asyncio.get_running_loop().create_future()
    request = diameter(world, INITIAL, "s9", 0, group(ask=0), identity="e164:49188")
    world.charging.submit_for("gone", request, answered.set_result)
    assert (await answered).status is ChargingStatus.USER_UNKNOWN
    assert met == [("e164:49199", "unknown_subscriber"), ("", "unknown_subscriber"), ("e164:49188", "unknown_account")]


async def test_81_a_low_balance_says_what_is_left(world: World) -> None:
    """Statement 81: once for each crossing, with the balance and the threshold."""
    await world.open("1.00", low_balance="0.50")
    await Table(world).play("""
        I s1 T1 ask             -> 30
        U s1 used 30 ask        -> 30
        U s1 used 30 ask        -> 30
        T s1 used 5             -> ok       | B 0.35
    """)
    assert await told(world, "low_balance") == [f"low_balance {amount('0.40')} {amount('0.50')}"]


async def test_a_cap_warns_and_is_reached_once(world: World) -> None:
    """80 % and all of 0.50, in this order, whatever is repeated."""
    await world.open("10.00")
    await world.set_limits(Limits(caps=(CapChoice("calls", "month", amount("0.50"), (), 80),)))
    await world.charge(diameter(world, INITIAL, "s", 0, group(ask=30)))
    for number, used in ((1, 30), (2, 15)):
        request = diameter(world, UPDATE, "s", number, group(used, 30))
        await world.charge(request)
        await world.charge(request)
    await world.charge(diameter(world, TERMINATION, "s", 3, group(5)))
    assert await told(world, "cap_warning", "cap_reached") == ["cap_warning calls 80", "cap_reached calls 100"]


async def test_a_bundle_warns_and_is_used_up_once(world: World) -> None:
    """60 seconds: at 48 and at 60 used; what is only held is not used."""
    await world.open("1.00")
    await world.buy("60-seconds")
    await Table(world).play("""
        I s1 T1 ask             -> 30       | U 60 H 30
        U s1 used 30 ask        -> 30       | U 30
        U s1 used 18 ask        -> 30       | U 12
        U s1 used 1 ask         -> 30       | U 11
        U s1 used 30 ask        -> 30       | U 0
        T s1 used 5             -> ok
    """)
    assert await told(world, "bundle_warning", "bundle_used") == [
        "bundle_warning Test seconds 80",
        "bundle_used Test seconds 100",
    ]


async def test_a_bundle_that_one_report_uses_up_tells_both(world: World) -> None:
    """A report that passes both marks at once."""
    await world.open("1.00")
    await world.buy("60-seconds")
    await world.charge(diameter(world, INITIAL, "s", 0, group(ask=30)))
    await world.charge(diameter(world, TERMINATION, "s", 1, group(70)))
    assert [words.split()[0] for words in await told(world, "bundle_warning", "bundle_used")] == [
        "bundle_warning",
        "bundle_used",
    ]


async def test_a_refusal_is_told_once_until_money_comes_in(world: World) -> None:
    """Dialling again and again costs no posting; a top-up makes the next refusal news; a day later it is told again."""
    await world.open("0")

    async def call(name: str) -> ChargingStatus:
        return (await world.charge(diameter(world, INITIAL, name, 0, group(ask=30)))).status

    assert [await call(f"a{number}") for number in range(5)] == [ChargingStatus.CREDIT_LIMIT_REACHED] * 5
    version = (await world.account()).version
    await call("a9")
    assert (await world.account()).version == version, "nothing was written"
    await world.change("0.01")
    assert (await world.account()).extras is None, "an account that may call again pays for no mark"
    assert granted(await world.charge(diameter(world, INITIAL, "b", 0, group(ask=30)))) == 1
    await world.charge(diameter(world, TERMINATION, "b", 1, group(1)))
    await call("c1")
    world.clock.now_ms += DAY_MS - 1
    await call("c2")
    world.clock.now_ms += 1
    await call("c3")
    assert await told(world, "session_refused") == ["session_refused no_money"] * 3


async def test_each_reason_of_a_refusal_is_told(world: World) -> None:
    """No money, too many calls, a suspended account; a message, too. A question is no refusal."""
    await world.open("0.50")
    await world.set_limits(Limits(calls=(CallsChoice("voice", 1),)))
    await world.charge(diameter(world, INITIAL, "s", 0, group(ask=30)))
    await world.charge(diameter(world, INITIAL, "t", 0, group(ask=30)))
    await world.charge(diameter(world, TERMINATION, "s", 1, group(50)))
    asked = group(ask=1, unit=UnitKind.EVENTS)
    for name, action in (
        ("q", EventAction.PRICE_ENQUIRY),
        ("c", EventAction.CHECK_BALANCE),
        ("m", EventAction.DIRECT_DEBITING),
    ):
        await world.charge(diameter(world, RequestKind.EVENT, name, 0, asked, service="sms", action=action))
    await world.set_state(AccountState.SUSPENDED)
    await world.charge(diameter(world, INITIAL, "u", 0, group(ask=30)))
    assert await told(world, "session_refused") == [
        "session_refused too_many_calls",
        "session_refused no_money",
        "session_refused not_active",
    ]


async def test_a_cap_is_a_reason_of_its_own(world: World) -> None:
    """There is money, and the cap does not let it go; without money it is the money, however the cap stands."""
    await world.open("1.00")
    await world.set_limits(Limits(caps=(CapChoice("calls", "month", amount("0.30")),)))
    await world.charge(diameter(world, INITIAL, "s", 0, group(ask=30)))
    await world.charge(diameter(world, INITIAL, "t", 0, group(ask=30)))
    await world.charge(diameter(world, TERMINATION, "s", 1, group(30)))
    await world.charge(diameter(world, INITIAL, "u", 0, group(ask=30)))
    asked = group(ask=1, unit=UnitKind.EVENTS)
    await world.charge(diameter(world, RequestKind.EVENT, "m", 0, asked, service="sms"))
    await world.change("-0.70")
    await world.charge(diameter(world, INITIAL, "v", 0, group(ask=30)))
    assert await told(world, "session_refused") == ["session_refused cap_reached", "session_refused no_money"]


async def test_a_destination_without_a_price_or_barred_is_told(world: World) -> None:
    """Each once; a session of which one group has a price has begun."""
    await world.open("1.00")
    for name in ("a", "b"):
        await world.charge(diameter(world, INITIAL, name, 0, group(ask=30), destination="777"))
    await world.charge(diameter(world, INITIAL, "c", 0, group(ask=30), destination="900"))
    wanted = [group(ask=1, unit=UnitKind.OCTETS, rating_group=each) for each in (77, 10)]
    await world.charge(diameter(world, INITIAL, "d", 0, *wanted, service="data"))
    assert await told(world, "session_refused") == ["session_refused no_price", "session_refused barred"]


async def test_who_is_blocked_for_fraud_is_told_so(world: World) -> None:
    """The block of the rules against fraud is a reason of its own."""
    await world.open("1.00")
    await world.set_state(AccountState.SUSPENDED, block="fraud")
    await world.charge(diameter(world, INITIAL, "a", 0, group(ask=30)))
    assert await told(world, "session_refused") == ["session_refused fraud"]


async def test_two_workers_tell_one_refusal(open_world: OpensWorld) -> None:
    """Calls at two processes at the same moment: the posting says who was first."""
    one, two = await open_world(), await open_world()
    await one.open("0")
    requests = [
        (world, diameter(world, INITIAL, f"{n}{world is two}", 0, group(ask=1)))
        for n in range(3)
        for world in (one, two)
    ]
    await asyncio.gather(*(world.charge(request) for world, request in requests))
    assert await told(two, "session_refused") == ["session_refused no_money"]


async def test_what_comes_in_is_told_with_the_new_balance(world: World) -> None:
    """A top-up, one into a bucket of its own, and a package."""
    await world.open("1.00")
    await world.change("2.00", BucketOptions(priority=10))
    await world.buy("50-today")
    assert await told(world, "top_up", "package_bought") == [
        f"top_up {amount('1.00')}",
        f"top_up {amount('3.00')}",
        f"package_bought 50-today {amount('1.00')}",
    ]


async def test_a_renewal_that_fails_is_told_once(world: World) -> None:
    """It waits for money, however often it is looked at; then it is renewed, and may fail again."""
    await Table(world).play("""
        balance 1.00
        buy monthly
        wait 2600000
        close silent sessions
        close silent sessions
        I s1 T1 ask             -> CREDIT_LIMIT_REACHED
        top-up 1.00
        wait 2700000
        close silent sessions
    """)
    price = amount("1.00")
    assert await told(world, "package_bought", "renewed", "renewal_failed") == [
        f"package_bought monthly {price}",
        f"renewal_failed monthly 0 {price}",
        f"renewed monthly {price}",
        f"renewal_failed monthly 0 {price}",
    ]


async def test_a_subscription_that_ends_says_why(world: World) -> None:
    """For want of money: that is a renewal that failed. As cancelled: that it has ended."""
    await Table(world).play("""
        balance 0.80
        buy daily
        wait 86400
        close silent sessions
    """)
    assert await told(world, "renewal_failed", "subscription_ended") == [
        f"renewal_failed daily {amount('0.30')} {amount('0.50')}"
    ]


async def test_a_subscription_that_was_cancelled_ends(world: World) -> None:
    """With its period."""
    await Table(world).play("""
        balance 5.00
        buy monthly
        cancel 3
        wait 2600000
        close silent sessions
    """)
    assert await told(world, "renewal_failed", "subscription_ended") == ["subscription_ended monthly"]
