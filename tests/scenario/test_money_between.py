"""Money beside calls: transfers that survive a crash between their steps, vouchers, entries that are taken back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balance.account import Account, AccountState, Hold
from balance.memory import MemoryStore
from balance.store import Posting, PostingDone, PostingResult, PostingStatus
from balance.valkey.store import ValkeyStore, open_store
from ocs.charging.account_events import event_of
from ocs.charging.money_desk import MoneyDesk
from ocs.charging.operations import BucketOptions, RechargeStatus
from ocs.charging.request import RequestKind
from ocs.vouchers import MISSES_MAX, Batch, VoucherDesk, VoucherFault
from tests.scenario.table import Table
from tests.scenario.traffic import diameter, group
from tests.scenario.world import OpensWorld, World, amount

FAR = ("B", "C", "D", "E", "F")
"""Accounts that do not share all of their partitions."""


GIVEN = {
    "in mid-session what a call holds does not move, and the rest does": """
        balance 1.00
        beside 1.00
        I s1 T1 ask             -> 30       | B 1.00 R 0.30
        send 0.71 not_enough_money          | B 1.00
        send 0.70                           | B 0.30 R 0.30 A 0
        beside                              | B 1.70
        U s1 used 30 ask        -> CREDIT_LIMIT_REACHED | B 0 R 0
        top-up 0.10
        U s1 used 0 ask         -> 10 final | R 0.10
        send 0.01 not_enough_money
        T s1 used 4             -> ok       | B 0.06 R 0
        send 0.06                           | B 0
        beside                              | B 1.76
    """,
    "a blocked account gives nothing": """
        balance 1.00
        beside 1.00
        suspend by dunning
        send 0.10 account_suspended         | B 1.00
        activate by dunning
        send 0.10                           | B 0.90
        beside                              | B 1.10
    """,
}


@pytest.mark.parametrize("name", GIVEN)
async def test_scenario(world: World, name: str) -> None:
    """The table's every line comes true, and the books balance afterwards."""
    await Table(world).play(GIVEN[name])


async def _open(world: World, *names: str, balance: str = "1.00") -> MoneyDesk:
    """The world's account A and others, each with some money."""
    await world.open(balance)
    for name in names:
        assert isinstance(await world.desk.create_account(name, "EUR", "test-eur", 0, 0, actor="test"), Account)
        await world.desk.top_up(name, amount(balance), "EUR", key="k", actor="test", reason="")
    return _desk(world)


def _desk(world: World) -> MoneyDesk:
    money = MoneyDesk(world.desk, world.clock)
    world.supervision.on_transfer = money.finish
    return money


async def _send(money: MoneyDesk, to: str, text: str, key: str = "t1", payer: str = "A") -> RechargeStatus:
    result = await money.transfer(payer, to, amount(text), "EUR", key=key, actor="test", reason="gift")
    return result.status


async def _balance(world: World, name: str) -> int:
    return (await world.figures(name))[0]


async def _check(world: World, *names: str) -> None:
    for name in names:
        world.account_id = name
        await world.check_books()


async def test_money_moves_once_whatever_is_repeated(world: World) -> None:
    """Between any two accounts; the same key again is told so, another amount under it is refused."""
    money = await _open(world, *FAR)
    for name in FAR:
        assert await _send(money, name, "0.10", key=name) is RechargeStatus.APPLIED
        assert await _send(money, name, "0.10", key=name) is RechargeStatus.REPLAYED
        assert await _send(money, name, "0.20", key=name) is RechargeStatus.KEY_REUSED
        assert await _balance(world, name) == amount("1.10")
    assert await _balance(world, "A") == amount("0.50")
    entries = [entry for entry in await world.entries() if entry.kind == "transfer"]
    assert sum(change.amount for entry in entries for change in entry.changes) == 0
    assert {(entry.reference, entry.actor) for entry in entries} == {(f"transfer:A:{name}", "test") for name in FAR}
    assert {entry.reason for entry in entries if entry.account_id == "A"} == {f"to {name}: gift" for name in FAR}
    told = [event_of(entry) for entry in entries]
    assert {each.event_type for each in told if each is not None} == {"transfer"}
    assert len(told) == 2 * len(FAR)
    assert await world.close_silent_sessions() == 0
    await _check(world, "A", *FAR)


async def test_money_that_is_held_or_lent_does_not_move(world: World) -> None:
    """What a call holds, what was given for promotion and the credit limit are not the account's to give."""
    money = await _open(world, "B")
    await world.change("5.00", BucketOptions(expires_at_ms=world.clock() + 1_000_000))
    await world.charge(
        diameter(world, RequestKind.INITIAL, "s", 0, group(ask=0))
    )  # holds the bucket's, not the main one's
    assert await _send(money, "B", "1.01") is RechargeStatus.NOT_ENOUGH_MONEY
    assert await _send(money, "B", "1.00") is RechargeStatus.APPLIED
    await world.set_state(AccountState.SUSPENDED)
    assert await _send(money, "B", "0.01", key="t2") is RechargeStatus.ACCOUNT_SUSPENDED
    await _check(world, "A", "B")


@pytest.mark.parametrize(
    ("to", "status"),
    [
        ("nobody", RechargeStatus.PAYEE_UNKNOWN),
        ("B", RechargeStatus.PAYEE_CLOSED),
        ("U", RechargeStatus.CURRENCY_MISMATCH),
    ],
)
async def test_what_the_payee_refuses_comes_back(world: World, to: str, status: RechargeStatus) -> None:
    """By an entry of its own, at once; the key is free for another try."""
    money = await _open(world, "B")
    await world.desk.set_state("B", AccountState.CLOSED, key="c", actor="test", reason="")
    await world.desk.create_account("U", "USD", "wholesale-usd", 0, 0, actor="test")
    for _ in range(2):
        assert await _send(money, to, "0.40") is status
        assert await _balance(world, "A") == amount("1.00")
    reasons = [entry.reason for entry in await world.entries() if entry.kind == "transfer"]
    assert reasons == [f"to {to}: gift", f"back from {to}: {status.value}"] * 2
    await _check(world, "A", "B")


class Dies(MemoryStore):
    """After so many postings the process is gone: nothing is posted, nothing answered."""

    left = 10**9

    def post(self, posting: Posting, done: PostingDone) -> None:
        if not self.left:
            done(PostingResult(PostingStatus.UNAVAILABLE))
            return
        self.left -= 1
        super().post(posting, done)


@given(
    left=st.integers(0, 3),
    to=st.sampled_from(["B", "nobody"]),
    is_repeated=st.booleans(),
    passed_s=st.sampled_from([0, 31, 86_400]),
)
@settings(max_examples=60)
def test_a_crash_between_any_two_steps_is_made_good(left: int, to: str, is_repeated: bool, passed_s: int) -> None:
    """Whoever goes on, the client or supervision, the money is in one of the two accounts, once."""

    async def play() -> None:
        from tests.scenario.world import Clock

        clock = Clock()
        store = Dies(clock)
        before = World(store, clock)
        money = await _open(before, "B")
        store.left = left
        try:
            await _send(money, to, "0.40")
        except Exception:  # noqa: BLE001 - the process is gone; what it would have said does not matter
            assert left < 3
        store.left = 10**9
        after = World(store, clock)
        again = _desk(after)
        clock.now_ms += passed_s * 1000
        if is_repeated:
            await _send(again, to, "0.40")
        clock.now_ms += 40_000
        await after.close_silent_sessions()
        sums = await _balance(after, "A"), await _balance(after, "B")
        has_moved = to == "B" and (left > 0 or is_repeated)
        assert sums == ((amount("0.60"), amount("1.40")) if has_moved else (amount("1.00"), amount("1.00")))
        assert not [key for key in store.sessions if key.startswith("transfer:")], "nothing is on its way any more"
        await _check(after, "A", "B")

    asyncio.run(play())


async def test_two_supervisions_finish_a_transfer_once(open_world: OpensWorld) -> None:
    """And the client's repeat at the same moment."""
    one, two = await open_world(), await open_world()
    first = await _open(one, "B")
    second = _desk(two)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(first, "finish", _gone)
        await _send(first, "B", "0.40")
    assert await _balance(one, "B") == amount("1.00")
    one.clock.now_ms += 40_000
    one.supervision.on_transfer = first.finish
    await asyncio.gather(one.close_silent_sessions(), two.close_silent_sessions(), _send(second, "B", "0.40"))
    assert (await _balance(one, "A"), await _balance(one, "B")) == (amount("0.60"), amount("1.40"))
    await _check(one, "A", "B")


async def _gone(_way: object) -> None:
    """The process dies here."""


# --- entries that are taken back --------------------------------------------------------------------------------------


class Row(NamedTuple):
    """An entry as the books have it."""

    kind: str
    currency: str
    changes: tuple[Hold, ...]


async def test_97_a_record_is_refunded_once_to_the_buckets_it_came_from(world: World) -> None:
    """By a new entry that names the old one (invariant 6); a repeat is told so, another amount is refused (statements 6, 97)."""
    money = await _open(world, balance="1.00")
    await world.change("0.10", BucketOptions(priority=1))
    await world.charge(diameter(world, RequestKind.INITIAL, "s", 0, group(ask=0)))
    await world.charge(diameter(world, RequestKind.TERMINATION, "s", 1, group(30)))
    record = (await world.entries())[-1]
    before = await world.account()
    for expected in (RechargeStatus.APPLIED, RechargeStatus.REPLAYED):
        result = await money.take_back("A", record.entry_number, record, 0, actor="test", reason="bad line")
        assert result.status is expected
    part = await money.take_back("A", record.entry_number, record, 1, actor="test", reason="bad line")
    assert part.status is RechargeStatus.KEY_REUSED
    refund = (await world.entries())[-1]
    assert (refund.kind, refund.reference) == ("refund", f"reversal:{record.entry_number}")
    assert refund.reason == f"of entry {record.entry_number}: bad line"
    assert {change.bucket_id: change.amount for change in refund.changes} == {
        change.bucket_id: -change.amount for change in record.changes
    }
    assert before.buckets != (await world.account()).buckets
    assert await world.figures() == (amount("1.10"), 0, amount("1.10"))
    await world.check_books()


async def test_a_part_comes_back_and_a_bucket_that_is_gone_is_the_main_one(world: World) -> None:
    """No more than was paid, and what cannot be undone so is refused."""
    money = await _open(world, balance="1.00")
    row = Row("session", "EUR", (Hold(0, -amount("0.30")), Hold(99, -amount("0.20"))))
    too_much = await money.take_back("A", 1, row, amount("0.51"), actor="test", reason="x")
    assert too_much.status is RechargeStatus.NOT_REVERSIBLE
    assert (
        await money.take_back("A", 1, row, amount("0.25"), actor="test", reason="x")
    ).status is RechargeStatus.APPLIED
    assert (await world.figures())[0] == amount("1.25")
    top_up = Row("top_up", "EUR", (Hold(0, amount("1.00")),))
    assert (await money.take_back("A", 2, top_up, 0, actor="test", reason="x")).status is RechargeStatus.APPLIED
    assert (await world.figures())[0] == amount("0.25")
    for kind in ("transfer", "expiry", "state"):
        row = Row(kind, "EUR", (Hold(0, 1),))
        assert (await money.take_back("A", 3, row, 0, actor="test", reason="x")).status is RechargeStatus.NOT_REVERSIBLE
    await world.check_books()


# --- vouchers ---------------------------------------------------------------------------------------------------------


@pytest.fixture
async def shop(valkey_url: str) -> AsyncIterator[Callable[[], VoucherDesk]]:
    """Two accounts on a real Valkey, and desks that share nothing but it."""
    store: ValkeyStore = await open_store(valkey_url, partitions=4)
    from tests.scenario.world import Clock

    clock = Clock()
    world = World(store, clock)
    await _open(world, "B", balance="1.00")

    def desk() -> VoucherDesk:
        found = VoucherDesk(store.client, World(store, clock).desk, clock)
        found.world = world  # type: ignore[attr-defined]
        return found

    yield desk
    await store.close()


async def _make(
    desk: VoucherDesk, name: str = "spring", count: int = 3, expires_at_ms: int = 0, bucket_days: int = 0
) -> list[str]:
    batch = Batch(name, count, amount("10.00"), "EUR", desk._clock(), "test", expires_at_ms, bucket_days)
    return [printed.code async for page in desk.make(batch) for printed in page]


async def test_a_code_pays_in_once(shop: Callable[[], VoucherDesk]) -> None:
    """Whoever is first; his repeat is told the same, another account is refused, and the code is nowhere in the store."""
    desk = shop()
    codes = await _make(desk)
    world: World = desk.world  # type: ignore[attr-defined]
    result = await desk.redeem("A", codes[0], actor="test")
    assert not isinstance(result, VoucherFault)
    assert (result.status, await _balance(world, "A")) == (RechargeStatus.APPLIED, amount("11.00"))
    again = await desk.redeem("A", codes[0].replace("-", " "), actor="test")
    assert not isinstance(again, VoucherFault)
    assert (again.status, again.entry_number) == (RechargeStatus.REPLAYED, result.entry_number)
    assert await desk.redeem("B", codes[0], actor="test") is VoucherFault.USED
    assert (await world.entries())[-1].reference == "voucher:spring:1"
    everything = b"".join([key async for key in desk._client.scan_iter()])
    assert not any(code.replace("-", "").encode() in everything for code in codes)
    assert [(each.batch.name, each.redeemed) for each in await desk.batches()] == [("spring", 1)]
    with pytest.raises(ValueError, match="already"):
        await _make(desk)


async def test_two_accounts_at_once_share_no_code(shop: Callable[[], VoucherDesk]) -> None:
    """Both try at the same moment, at two processes: one gets it."""
    one, two = shop(), shop()
    world: World = one.world  # type: ignore[attr-defined]
    for code in await _make(one, count=8):
        first, second = await asyncio.gather(one.redeem("A", code, actor="test"), two.redeem("B", code, actor="test"))
        assert (first is VoucherFault.USED) != (second is VoucherFault.USED)
    assert await _balance(world, "A") + await _balance(world, "B") == amount("82.00")
    await _check(world, "A", "B")


async def test_a_crash_after_the_claim_leaves_the_code_to_its_account(shop: Callable[[], VoucherDesk]) -> None:
    """Its own repeat pays it in, nobody else's does."""
    desk = shop()
    (code,) = await _make(desk, count=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(desk, "_paid", _no_payment)
        await desk.redeem("A", code, actor="test")
    world: World = desk.world  # type: ignore[attr-defined]
    assert await shop().redeem("B", code, actor="test") is VoucherFault.USED
    assert await _balance(world, "A") == amount("1.00")
    await shop().redeem("A", code, actor="test")
    assert await _balance(world, "A") == amount("11.00")
    found = await desk.find(code)
    assert found is not None
    assert found.entry_number > 0


async def _no_payment(*_: object, actor: str) -> None:
    """The process dies here."""


async def test_wrong_codes_lock_an_account_out(shop: Callable[[], VoucherDesk]) -> None:
    """Ten of them, then even the right one has to wait; another account goes on."""
    desk = shop()
    codes = await _make(desk)
    for _ in range(MISSES_MAX):
        assert await desk.redeem("A", "0000-0000", actor="test") is VoucherFault.UNKNOWN
    assert await desk.redeem("A", codes[0], actor="test") is VoucherFault.LOCKED
    assert not isinstance(await desk.redeem("B", codes[0], actor="test"), VoucherFault)
    assert 0 < await desk._client.ttl("ocs:voucher-misses:A") <= 900


async def test_a_batch_that_is_over_pays_nothing(shop: Callable[[], VoucherDesk]) -> None:
    """Expired, or withdrawn; another currency, an account that is closed: the code stays good for others."""
    desk = shop()
    world: World = desk.world  # type: ignore[attr-defined]
    (late,) = await _make(desk, "late", 1, expires_at_ms=world.clock())
    assert await desk.redeem("A", late, actor="test") is VoucherFault.EXPIRED
    (stolen,) = await _make(desk, "stolen", 1)
    assert await desk.void("stolen")
    assert await desk.redeem("A", stolen, actor="test") is VoucherFault.VOID
    assert not await desk.void("nobody's")
    (good,) = await _make(desk, "good", 1, bucket_days=30)
    await world.desk.set_state("A", AccountState.CLOSED, key="c", actor="test", reason="")
    closed = await desk.redeem("A", good, actor="test")
    assert not isinstance(closed, VoucherFault)
    assert closed.status is RechargeStatus.ACCOUNT_CLOSED
    paid = await desk.redeem("B", good, actor="test")
    assert not isinstance(paid, VoucherFault)
    assert paid.account is not None
    assert paid.account.buckets[-1].expires_at_ms == world.clock() + 30 * 86_400_000
