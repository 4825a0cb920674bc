"""Two accounts become one: what the one had the other has, once, whatever crashes; what does not go is refused."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balance.account import MAIN_BUCKET, NO_EXTRAS, Account, AccountState, Bucket, Extras, Life
from ocs.charging import life
from ocs.charging.account_events import event_of
from ocs.charging.operations import BucketOptions, CapChoice, Limits, RechargeStatus
from ocs.charging.request import ChargingStatus, RequestKind
from tests.scenario.test_money_between import Dies
from tests.scenario.traffic import diameter, granted, group
from tests.scenario.world import IDENTITY, Clock, OpensWorld, World, amount

ACTIVE = AccountState.ACTIVE
INITIAL, UPDATE, TERMINATION = RequestKind.INITIAL, RequestKind.UPDATE, RequestKind.TERMINATION
OTHER = "e164:4915100000002"
DAY_MS = 86_400_000


async def _two(world: World) -> None:
    """A has money in two buckets, units, a subscription, and has spent 0.10 of a cap; B has 2.00, and spent 0.20 of such a cap."""
    await world.open("3.00")
    await world.open_beside("2.20")
    await world.desk.subscribers.create("T", "B", (OTHER,), "")
    cap = Limits(caps=(CapChoice("all", "month", amount("1.00")),))
    await world.set_limits(cap)
    await world.desk.set_limits("B", cap, key="cap", actor="test", reason="")
    for at, (identity, seconds) in enumerate(((IDENTITY, 10), (OTHER, 20))):
        await world.charge(diameter(world, INITIAL, f"s{at}", 0, group(ask=0), identity=identity))
        await world.charge(diameter(world, TERMINATION, f"s{at}", 1, group(seconds), identity=identity))
    await world.buy("60-seconds")
    await world.buy("monthly")
    await world.change("0.50", BucketOptions(20, world.clock() + 10 * DAY_MS))


async def _merge(world: World, key: str = "m1", giver: str = "A", taker: str = "B") -> RechargeStatus:
    result = await world.money.merge(giver, taker, key=key, actor="ann", reason="a wish")
    return result.status


async def _check(world: World, *names: str) -> None:
    for name in names:
        world.account_id = name
        await world.check_books()


async def test_all_of_it_is_the_others(world: World) -> None:
    """Money and units keep their buckets, what was used of a cap counts, the subscription goes on; both journals say who and why."""
    await _two(world)
    had, there = await world.account(), await world.account("B")
    assert await _merge(world) is RechargeStatus.APPLIED
    assert await _merge(world) is RechargeStatus.REPLAYED
    giver, taker = await world.account(), await world.account("B")
    assert (giver.state, giver.buckets[0].balance, len(giver.buckets)) == (AccountState.CLOSED, 0, 1)
    extras, before = taker.extras or NO_EXTRAS, had.extras or NO_EXTRAS
    assert (giver.extras or NO_EXTRAS).merged_into == "B"
    total = sum(bucket.balance for bucket in (*had.buckets, *there.buckets))
    assert sum(bucket.balance for bucket in taker.buckets) == total
    own = {(bucket.balance, bucket.priority, bucket.expires_at_ms) for bucket in taker.buckets[1:]}
    assert own == {(bucket.balance, bucket.priority, bucket.expires_at_ms) for bucket in had.buckets[1:]}
    assert [(each.bundle, each.balance, each.size) for each in extras.units] == [
        (each.bundle, each.balance, each.size) for each in before.units
    ]
    (cap,) = [each for each in extras.counters if each.counter_id == "cap:all"]
    assert cap.used == amount("0.30")
    (subscription,), (old,) = extras.subscriptions, before.subscriptions
    assert (subscription.package, subscription.renews_at_ms) == (old.package, old.renews_at_ms)
    assert subscription.buckets == (extras.units[-1].bucket_id,)
    entries = [entry for entry in await world.entries() if entry.kind == "merge"]
    assert {(entry.actor, entry.reference) for entry in entries} == {("ann", "merge:A:m1")}
    assert [entry.reason for entry in entries if entry.account_id == "A"] == ["into B: a wish"]
    assert sum(change.amount for entry in entries for change in entry.changes) == 0
    await _check(world, "A", "B")
    assert await world.store.due(world.clock(), 10) == []
    world.clock.now_ms = old.renews_at_ms
    await world.close_silent_sessions()
    assert sum(bucket.balance for bucket in (await world.account("B")).buckets) < total
    await _check(world, "A", "B")


@pytest.mark.parametrize(
    ("own", "given", "state", "is_told"),
    [
        ("", "", "active", False),
        ("", "fraud", "suspended fraud", True),
        ("", "limit:dunning", "limited limit:dunning", True),
        ("operator", "fraud limit:dunning", "suspended fraud limit:dunning operator", False),
        ("limit:dunning", "dunning", "suspended dunning", True),
        ("dunning", "limit:dunning", "suspended dunning", False),
    ],
)
async def test_a_merger_is_no_way_out_of_a_block(world: World, own: str, given: str, state: str, is_told: bool) -> None:
    """What blocks the one blocks the other, under the same names, and is lifted there; the journal and an event say so."""
    await world.open("1.00")
    await world.open_beside("1.00")
    for name, blocks in (("B", own), ("A", given)):
        for block in blocks.split():
            wanted = AccountState.LIMITED if block.startswith("limit:") else AccountState.SUSPENDED
            named = block.removeprefix("limit:")
            await world.desk.set_state(name, wanted, block=named, key=block, actor="test", reason="")
    assert await _merge(world) is RechargeStatus.APPLIED
    told = [event_of(entry) for entry in await world.entries() if entry.account_id == "B" and entry.kind == "merge"]
    types = [each.event_type for each in told if each is not None]
    await _check(world, "A", "B")
    assert await world.state() == state
    assert types == (["merged", "state_changed"] if is_told else ["merged"])


async def test_a_member_s_cap_goes_with_him(world: World) -> None:
    """With what he has used of it; caps of the account as a whole are those of the account that stays."""
    await world.open("1.00")
    await world.open_beside("1.00")
    caps = (CapChoice("kid", "month", amount("0.40"), member="S"), CapChoice("all", "month", amount("0.50")))
    await world.set_limits(Limits(caps=caps))
    await world.charge(diameter(world, INITIAL, "s", 0, group(ask=0)))
    await world.charge(diameter(world, TERMINATION, "s", 1, group(30)))
    assert await _merge(world) is RechargeStatus.APPLIED
    taker = await world.account("B")
    assert [cap.name for cap in (taker.extras or NO_EXTRAS).caps] == ["kid"]
    assert granted(await world.charge(diameter(world, INITIAL, "t", 0, group(ask=0)))) == 10


@pytest.mark.parametrize(
    ("own", "given", "joined"),
    [
        (Life(ACTIVE, 20), Life(ACTIVE, 30), Life(ACTIVE, 30)),
        (Life(ACTIVE, 30), Life(ACTIVE, 20), Life(ACTIVE, 30)),
        (Life(ACTIVE, 30), Life(ACTIVE, 0), Life(ACTIVE, 0)),
        (Life(ACTIVE, 0), Life(ACTIVE, 30), Life(ACTIVE, 0)),
        (Life(AccountState.GRACE, 20), Life(ACTIVE, 30), Life(ACTIVE, 30)),
        (Life(AccountState.SUSPENDED, 90), Life(ACTIVE, 30), Life(ACTIVE, 30)),
        (Life(AccountState.SUSPENDED, 90), Life(ACTIVE, 10), Life(AccountState.SUSPENDED, 90)),
        (Life(AccountState.CREATED, 90), Life(ACTIVE, 30), Life(AccountState.CREATED, 90)),
        (Life(ACTIVE, 20), Life(AccountState.GRACE, 30), Life(ACTIVE, 20)),
        (Life(ACTIVE, 20), None, Life(ACTIVE, 20)),
        (None, Life(ACTIVE, 30), None),
    ],
)
def test_time_that_was_paid_for_is_not_lost(own: Life | None, given: Life | None, joined: Life | None) -> None:
    """The later end holds, if it is not over; who waits for his first use goes on waiting. It is the 15th."""

    def lives(name: str, life: Life | None) -> Account:
        state = life.stage if life is not None else ACTIVE
        extras = Extras(life=life) if life is not None else None
        return Account(name, 1, "EUR", "test-eur", state, 0, 0, 1, (Bucket(MAIN_BUCKET, 0),), extras=extras)

    after = life.joined(lives("B", own), lives("A", given), 15)
    assert (after.extras or NO_EXTRAS).life == joined
    assert after.state is (joined.stage if joined is not None else ACTIVE)


async def test_its_subscribers_are_charged_to_the_other_account(open_world: OpensWorld) -> None:
    """Also at a process that knows nothing of it: calls and messages, each to its end, and repeats."""
    one, two = await open_world(), await open_world()
    await one.open("1.00")
    await one.open_beside("1.00")
    await two.charge(diameter(two, INITIAL, "before", 0, group(ask=0)))
    await two.charge(diameter(two, TERMINATION, "before", 1, group(0)))
    assert await _merge(one) is RechargeStatus.APPLIED
    for _ in range(2):
        assert granted(await two.charge(diameter(two, INITIAL, "s", 0, group(ask=0)))) == 30
    assert granted(await one.charge(diameter(one, UPDATE, "s", 1, group(30, 0)))) == 30
    await two.charge(diameter(two, TERMINATION, "s", 2, group(10)))
    await two.charge(diameter(two, RequestKind.EVENT, "m", 0, group(ask=1), service="sms"))
    assert (await one.figures("B"))[:2] == (amount("1.52"), 0)
    subscriber = await one.desk.subscribers.read("S")
    assert subscriber is not None
    assert subscriber.account_id == "B"
    assert (await one.figures("A"))[:2] == (0, 0)
    await _check(one, "A", "B")


async def test_an_account_in_use_is_not_merged(world: World) -> None:
    """A call holds what would move; one that holds nothing any more counts, too. With its end it goes."""
    await world.open("0.30")
    await world.open_beside("1.00")
    await world.charge(diameter(world, INITIAL, "s", 0, group(ask=0)))
    assert await _merge(world) is RechargeStatus.IN_USE
    answer = await world.charge(diameter(world, UPDATE, "s", 1, group(30, 0)))
    assert answer.groups[0].status is ChargingStatus.CREDIT_LIMIT_REACHED
    assert await _merge(world) is RechargeStatus.IN_USE
    await world.charge(diameter(world, TERMINATION, "s", 2, group(0)))
    assert await _merge(world) is RechargeStatus.APPLIED
    assert await _merge(world, "m2") is RechargeStatus.ACCOUNT_CLOSED


@pytest.mark.parametrize(
    ("giver", "taker", "status"),
    [
        ("A", "nobody", RechargeStatus.PAYEE_UNKNOWN),
        ("nobody", "A", RechargeStatus.ACCOUNT_UNKNOWN),
        ("A", "U", RechargeStatus.CURRENCY_MISMATCH),
        ("A", "C", RechargeStatus.PAYEE_CLOSED),
        ("C", "A", RechargeStatus.ACCOUNT_CLOSED),
        ("R~X", "A", RechargeStatus.IN_LEVELS),
        ("A", "R~X", RechargeStatus.IN_LEVELS),
        ("R", "A", RechargeStatus.IN_LEVELS),
    ],
)
async def test_what_does_not_go_is_refused(world: World, giver: str, taker: str, status: RechargeStatus) -> None:
    """Before anything moves, with its reason."""
    await world.open("1.00")
    for name, currency, plan in (
        ("U", "USD", "wholesale-usd"), ("C", "EUR", "test-eur"), ("R", "EUR", "test-resale-eur"), ("R~X", "EUR", "test-eur"),
    ):  # fmt: skip
        assert isinstance(await world.desk.create_account(name, currency, plan, 0, 0, actor="test"), Account)
    await world.desk.set_state("C", AccountState.CLOSED, key="c", actor="test", reason="")
    assert await _merge(world, giver=giver, taker=taker) is status
    assert await world.figures() == (amount("1.00"), 0, amount("1.00"))
    assert not [entry for entry in await world.entries() if entry.kind == "merge"]


@given(left=st.integers(0, 3), is_repeated=st.booleans(), is_closed=st.booleans())
@settings(max_examples=16)
def test_a_crash_between_any_two_steps_is_made_good(left: int, is_repeated: bool, is_closed: bool) -> None:
    """Whoever goes on, the operator or supervision: all of it is in one of the two accounts, once, even if the taker was closed meanwhile."""

    async def play() -> None:
        clock = Clock()
        store = Dies(clock)
        before = World(store, clock)
        await _two(before)
        total = sum([(await before.figures(name))[0] for name in "AB"])
        store.left = left
        try:
            await _merge(before)
        except Exception:  # noqa: BLE001 - the process is gone; what it would have said does not matter
            assert left < 3
        store.left = 10**9
        after = World(store, clock)
        if is_closed:
            await after.desk.set_state("B", AccountState.CLOSED, key="c", actor="test", reason="")
        if is_repeated and not is_closed:
            await _merge(after)
        clock.now_ms += 40_000
        await after.close_silent_sessions()
        own = [(await after.figures(name))[0] for name in "AB"]
        has_moved = left > 0 or (is_repeated and not is_closed)
        assert sum(own) == total
        assert (own[0] == 0) is has_moved
        assert not [key for key in store.sessions if key.startswith("merge:")], "nothing is on its way any more"
        await _check(after, "A", "B")

    asyncio.run(play())


async def test_two_operators_at_once_merge_once(open_world: OpensWorld) -> None:
    """Two processes with two keys: one is told that the account is closed."""
    one, two = await open_world(), await open_world()
    await _two(one)
    total = sum([(await one.figures(name))[0] for name in "AB"])
    statuses = await asyncio.gather(_merge(one, "m1"), _merge(two, "m2"))
    assert sorted(each.value for each in statuses) == ["account_closed", "applied"]
    assert (await one.figures("B"))[0] == total
    await _check(one, "A", "B")
