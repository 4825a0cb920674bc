"""Two processes on one store, each with its own memory: what one of them did, the other must never contradict."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from balance.memory import MemoryStore
from balance.store import LoadDone, Posting, PostingDone
from ocs.charging.request import ChargingStatus, RequestKind
from tests.scenario.traffic import access, accounting, diameter, granted, group
from tests.scenario.world import IDENTITY, POLICY, Clock, OpensWorld, World, amount

INITIAL, UPDATE, TERMINATION, EVENT = (
    RequestKind.INITIAL,
    RequestKind.UPDATE,
    RequestKind.TERMINATION,
    RequestKind.EVENT,
)


@pytest.fixture
async def workers(open_world: OpensWorld) -> tuple[World, World]:
    """Two workers; the first one made the account."""
    one, two = await open_world(), await open_world(POLICY)
    two.keys = 1000
    await one.open("1.00")
    return one, two


async def test_115_a_session_goes_on_at_another_worker(workers: tuple[World, World]) -> None:
    """Opened at one, continued at the other, back again and closed: one session, one price [G-91] [B-101]."""
    one, two = workers
    assert granted(await one.charge(diameter(one, INITIAL, "s", 0, group(ask=0)))) == 30
    assert granted(await two.charge(diameter(two, UPDATE, "s", 1, group(30, 0)))) == 30
    assert granted(await one.charge(diameter(one, UPDATE, "s", 2, group(10, 0)))) == 30
    closed = await two.charge(diameter(two, TERMINATION, "s", 3, group(5)))
    assert closed.cost == amount("0.45")
    assert await one.figures() == (amount("0.55"), 0, amount("0.55"))
    await one.check_books()


async def test_116_a_request_at_both_workers_is_executed_once(workers: tuple[World, World]) -> None:
    """The same CCR-U at both at once, and the CCR-T at one after the other: equal answers, one debit [G-92] [B-62] [B-91]. [C-403]"""
    one, two = workers
    await one.charge(diameter(one, INITIAL, "s", 0, group(ask=0)))
    await two.charge(diameter(two, UPDATE, "s", 1, group(1, 0)))
    futures = [one.charge_all([diameter(one, UPDATE, "s", 2, group(9, 0))])]
    futures.append(two.charge_all([diameter(two, UPDATE, "s", 2, group(9, 0))]))
    first, second = [(await future)[0] for future in futures]
    assert first == second
    first = await one.charge(diameter(one, TERMINATION, "s", 3, group(10)))
    assert await two.charge(diameter(two, TERMINATION, "s", 3, group(10))) == first
    assert await two.figures() == (amount("0.80"), 0, amount("0.80"))
    await one.check_books()


async def test_3_an_authorization_that_is_over_is_not_repeated_from_memory(workers: tuple[World, World]) -> None:
    """The call was taken over and ended at the other worker: the same numbers again need money again [R-34]."""
    one, two = workers
    assert granted(await one.charge(access(one, "auth"))) == 100
    await two.charge(accounting(two, INITIAL, "call", lease_of="auth"))
    await two.charge(accounting(two, TERMINATION, "call", 100))
    assert await two.figures() == (0, 0, 0)
    again = await one.charge(access(one, "auth"))
    assert again.status is ChargingStatus.CREDIT_LIMIT_REACHED
    await one.check_books()


async def test_3_a_start_is_known_again_where_nothing_is_held(workers: tuple[World, World]) -> None:
    """A worker that knows the account and sees no money set aside does not look for a call: the store says that there is
    one, or that it has ended [R-34] [R-67].
    """
    one, two = workers
    await one.change("-1.00")
    await two.charge(accounting(two, INITIAL, "other"))
    await two.charge(accounting(two, TERMINATION, "other", 0))
    await one.charge(accounting(one, INITIAL, "call"))
    assert (await one.figures())[1] == 0
    await two.charge(accounting(two, INITIAL, "call"))
    await two.charge(accounting(two, TERMINATION, "call", 10))
    await one.charge(accounting(one, INITIAL, "call"))
    await two.charge(accounting(two, TERMINATION, "call", 10))
    assert await one.figures() == (amount("-0.10"), 0, amount("-0.10"))
    records = [entry.cdr for entry in await one.entries() if entry.cdr is not None]
    assert [record.cost for record in records] == [0, amount("0.10")]
    await one.check_books()


async def test_11_a_repeat_among_other_work_gets_its_stored_answer(workers: tuple[World, World]) -> None:
    """A CCR-I that took the last money comes again at another worker, in one batch with a request of another call [B-90]."""
    one, two = workers
    await one.charge(diameter(one, INITIAL, "other", 0, group(ask=10)))
    first = await one.charge(diameter(one, INITIAL, "s", 0, group(ask=30)))
    for number, used in enumerate((20, 20, 20)):
        await one.charge(diameter(one, EVENT, f"m{number}", 0, group(ask=1), service="sms"))
        await one.charge(diameter(one, UPDATE, "other", number + 1, group(used, 10)))
    await two.charge(diameter(two, UPDATE, "other", 9, group(0, 10)))
    requests = [
        diameter(two, UPDATE, "other", 10, group(0, 10)),
        diameter(two, UPDATE, "other", 11, group(0, 10)),
        diameter(two, INITIAL, "s", 0, group(ask=30)),
    ]
    answers = await two.charge_all(requests)
    assert answers[2] == first
    await one.check_books()


async def test_16_a_message_that_was_paid_is_paid_for_the_repeat(workers: tuple[World, World]) -> None:
    """The last money went into a message; its repeat elsewhere, decided together with other work, says so [G-82]."""
    one, two = workers
    await one.charge(diameter(one, INITIAL, "s", 0, group(ask=1)))
    await one.change("-0.91")
    first = await one.charge(diameter(one, EVENT, "m", 0, group(ask=1), service="sms"))
    assert granted(first) == 1
    await two.charge(diameter(two, UPDATE, "s", 1, group(0, 1)))
    requests = [diameter(two, UPDATE, "s", number, group(0, 1)) for number in (2, 3)]
    answers = await two.charge_all([*requests, diameter(two, EVENT, "m", 0, group(ask=1), service="sms")])
    assert answers[2] == first
    await one.check_books()


async def test_77_a_top_up_at_the_other_worker_is_seen_at_once(workers: tuple[World, World]) -> None:
    """A refusal from memory would be wrong the moment after the top-up."""
    one, two = workers
    assert granted(await one.charge(diameter(one, INITIAL, "s", 0, group(ask=30)))) == 30
    await one.change("-0.70")
    assert (await one.charge(diameter(one, UPDATE, "s", 1, group(30, 0)))).groups[0].status is (
        ChargingStatus.CREDIT_LIMIT_REACHED
    )
    await two.change("0.10")
    assert granted(await one.charge(diameter(one, UPDATE, "s", 2, group(0, 0)))) == 10
    await one.check_books()


async def test_69_fifty_sessions_on_two_workers_share_what_is_there(workers: tuple[World, World]) -> None:
    """1.00 and fifty wishes of 0.10 at the same moment: ten are granted, forty refused, none is too busy."""
    one, two = workers
    batches = [[diameter(w, INITIAL, f"{n}.{i}", 0, group(ask=10)) for i in range(25)] for n, w in enumerate(workers)]
    first, second = await asyncio.gather(one.charge_all(batches[0]), two.charge_all(batches[1]))
    statuses = [answer.status for answer in (*first, *second)]
    assert statuses.count(ChargingStatus.SUCCESS) == 10
    assert statuses.count(ChargingStatus.CREDIT_LIMIT_REACHED) == 40
    assert await one.figures() == (amount("1.00"), amount("1.00"), 0)
    await one.check_books()


async def test_a_worker_that_lost_its_memory_goes_on(workers: tuple[World, World], open_world: OpensWorld) -> None:
    """A restart, or an eviction of the account with a call open, costs a look-up and nothing else."""
    one, _ = workers
    await one.charge(diameter(one, INITIAL, "s", 0, group(ask=0)))
    three = await open_world()
    assert granted(await three.charge(diameter(three, UPDATE, "s", 1, group(30, 0), identity=""))) == 30
    assert granted(await three.charge(diameter(three, UPDATE, "s", 1, group(30, 0), identity=""))) == 30
    await three.charge(diameter(three, TERMINATION, "s", 2, group(10), identity=""))
    assert await one.figures() == (amount("0.60"), 0, amount("0.60"))
    await one.check_books()


async def test_24_a_session_name_that_another_account_has_open_is_refused(workers: tuple[World, World]) -> None:
    """The name of A's open session with another account's number: neither account's money moves for it."""
    one, two = workers
    await one.charge(diameter(one, INITIAL, "s", 0, group(ask=30)))
    for position, name in enumerate("BCDEFGHJ"):  # some of them share A's partition
        identity = f"e164:49151000001{position}"
        await one.desk.create_account(name, "EUR", "test-eur", 0, 0, actor="test")
        await one.desk.subscribers.create(f"S{name}", name, (identity,), "")
        await one.desk.top_up(name, amount("5.00"), "EUR", key="k", actor="test", reason="")
        await two.charge(diameter(two, INITIAL, f"own {name}", 0, group(ask=30), identity=identity))
        await two.charge(diameter(two, INITIAL, "s", 0, group(ask=10), destination="200", identity=identity))
        three = open_world_of(two)
        await three.charge(diameter(three, UPDATE, "s", 1, group(7, 30), identity=identity))
        await three.charge(diameter(three, TERMINATION, "s", 2, group(7), identity=identity))
        other = await one.desk.account(name)
        assert other is not None
        assert other.buckets[0].reserved == amount("0.30"), name
    assert await one.figures() == (amount("1.00"), amount("0.30"), amount("0.70"))
    assert granted(await one.charge(diameter(one, UPDATE, "s", 1, group(30, 0)))) == 30


def open_world_of(world: World) -> World:
    """Another worker on the same store, with nothing in its memory."""
    return World(world.store, world.clock, POLICY)


class Interferes(MemoryStore):
    """Another worker's posting comes between a decision and its own."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.interferences: list[Callable[[], None]] = []

    def post(self, posting: Posting, done: PostingDone) -> None:
        if self.interferences:
            self.interferences.pop()()
        super().post(posting, done)


async def test_11_a_repeat_beside_a_posting_that_lost_its_race_gets_its_stored_answer() -> None:
    """A worker without memory gets an update and the repeat of another call's update in one turn, and the other worker
    moves the account before it: the repeat is decided on what stands in the store, not on what is left in memory."""
    clock = Clock()
    store = Interferes(clock)
    one, two = World(store, clock), World(store, clock)
    await one.open("5.00")
    for name in ("s", "t"):
        await one.charge(diameter(one, INITIAL, name, 0, group(ask=10)))
    repeated = diameter(two, UPDATE, "t", 1, group(ask=10))
    first = await one.charge(repeated)
    two.charging.lanes._soon = asyncio.get_running_loop().call_soon  # as in the daemon: a turn is decided together
    elsewhere = diameter(one, UPDATE, "s", 1, group(1, 10))
    store.interferences.append(lambda: one.charging.submit(elsewhere, lambda _: None))
    answers = await two.charge_all([diameter(two, UPDATE, "s", 2, group(9, 10)), repeated])
    assert not store.interferences
    assert answers[1] == first
    await one.check_books()


class FailsFor(MemoryStore):
    """A defect: one account cannot even be asked for."""

    def load(self, account_id: str, session_keys: Sequence[str], done: LoadDone, others: Sequence[str] = ()) -> None:
        if account_id == "B":
            raise RuntimeError("a defect")
        super().load(account_id, session_keys, done, others)


async def test_120_a_defect_in_one_account_costs_the_others_of_its_turn_nothing() -> None:
    """Requests for three accounts in one turn, the middle one fails: it is told so, and the others are served."""
    clock = Clock()
    store = MemoryStore(clock)
    one = World(store, clock)
    await one.open("5.00")
    identities = {"A": IDENTITY}
    for position, name in enumerate("BC"):
        identities[name] = f"e164:49151000002{position}"
        await one.desk.create_account(name, "EUR", "test-eur", 0, 0, actor="test")
        await one.desk.subscribers.create(f"S{name}", name, (identities[name],), "")
        await one.desk.top_up(name, amount("5.00"), "EUR", key="k", actor="test", reason="")
    failing = FailsFor(clock)
    failing.__dict__.update(vars(store))
    two = World(failing, clock)
    two.charging.lanes._soon = asyncio.get_running_loop().call_soon
    for _ in range(2):  # and its lane is not stuck
        answers = await two.charge_all(
            [diameter(two, EVENT, f"m{clock()}{name}", 0, group(ask=1), service="sms", identity=identity)
             for name, identity in identities.items()]
        )  # fmt: skip
        clock.now_ms += 1
        assert [answer.status for answer in answers] == [
            ChargingStatus.SUCCESS,
            ChargingStatus.INTERNAL_FAULT,
            ChargingStatus.SUCCESS,
        ]
