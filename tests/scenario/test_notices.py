"""Which sessions hear of what happens to their account (charging-behaviours 77 to 79; gy-ro 18)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest
from msgspec import structs

from balance.account import AccountState
from ocs.charging.notices import Notice, NoticeKind
from ocs.charging.notifier import Notifier
from ocs.charging.recharge import AccountDesk
from ocs.charging.request import ChargingStatus, RequestKind
from ocs.rating.load import load_currencies
from tests.scenario.traffic import access, diameter, granted, group
from tests.scenario.world import CONFIG, POLICY, OpensWorld, World

INITIAL, UPDATE = RequestKind.INITIAL, RequestKind.UPDATE
REAUTHORIZE, ABORT = NoticeKind.REAUTHORIZE, NoticeKind.ABORT


class Heard:
    """What the notifier says, instead of the stream; ``world`` is the one whose desk it listens to."""

    def __init__(self, world: World) -> None:
        self.notices: list[Notice] = []
        self.notifier = Notifier(world.store, self, world.clock)
        currencies = load_currencies(CONFIG / "currencies.toml")
        world.desk = AccountDesk(world.charging, world.store, world.clock, currencies, self.notifier)

    async def publish(self, notices: Sequence[Notice]) -> None:
        self.notices += notices

    async def news(self) -> list[tuple[NoticeKind, str, str]]:
        """Kind, session and peer of what was said since the last look."""
        await self.notifier.close()
        found = [(notice.kind, notice.session_key, notice.peer) for notice in self.notices]
        self.notices.clear()
        return sorted(found)


@pytest.fixture
async def heard(world: World) -> AsyncIterator[Heard]:
    """Listens from the start; nobody is told anything before the test."""
    heard = Heard(world)
    yield heard
    await heard.notifier.close()


async def start(world: World, heard: Heard, balance: str) -> None:
    """An account with a balance, and nobody there to hear of it."""
    await world.open(balance)
    assert await heard.news() == []


async def test_77_blocked_session_hears_of_a_top_up(world: World, heard: Heard) -> None:
    """Group 4012 in mid-session, money comes: the client is asked to come, and gets a grant."""
    await start(world, heard, "0.30")
    await world.charge(diameter(world, INITIAL, "s", 0, group(ask=0)))
    await world.change("-0.05")
    answer = await world.charge(diameter(world, UPDATE, "s", 1, group(30, 0)))
    assert answer.groups[0].status is ChargingStatus.CREDIT_LIMIT_REACHED
    assert await heard.news() == []
    await world.change("1.00")
    assert await heard.news() == [(REAUTHORIZE, "gy:s", "pgw.example.net")]
    assert granted(await world.charge(diameter(world, UPDATE, "s", 2, group(ask=0)))) == 30
    await world.change("1.00")
    assert await heard.news() == [], "nothing is blocked any more"


async def test_78_top_up_disturbs_nobody_who_has_enough(world: World, heard: Heard) -> None:
    """A session with an ordinary grant is left in peace, and so is an authorization that waits for its call."""
    await start(world, heard, "9.00")
    await world.charge(diameter(world, INITIAL, "s", 0, group(ask=0)))
    await world.charge(access(world, "a"))
    await world.change("1.00")
    assert await heard.news() == []


async def test_74_session_on_its_last_quota_hears_of_a_top_up(world: World, heard: Heard) -> None:
    """After Final-Unit TERMINATE the client comes no more: without a word from us the call would end, paid or not."""
    await start(world, heard, "0.20")
    answer = await world.charge(diameter(world, INITIAL, "s", 0, group(ask=0)))
    assert answer.groups[0].final == 0
    await world.change("1.00")
    assert await heard.news() == [(REAUTHORIZE, "gy:s", "pgw.example.net")]


async def test_75_report_without_a_new_wish_does_not_unblock(world: World, heard: Heard) -> None:
    """The last units are reported and nothing asked: the group still waits for money."""
    await start(world, heard, "0.20")
    await world.charge(diameter(world, INITIAL, "s", 0, group(ask=0)))
    await world.charge(diameter(world, UPDATE, "s", 1, group(20)))
    await world.change("1.00")
    assert await heard.news() == [(REAUTHORIZE, "gy:s", "pgw.example.net")]


@pytest.mark.parametrize(
    ("state", "kind"), [(AccountState.SUSPENDED, REAUTHORIZE), (AccountState.CLOSED, ABORT)], ids=["79", "g103"]
)
async def test_79_every_session_hears_of_a_barred_account(
    world: World, heard: Heard, state: AccountState, kind: NoticeKind
) -> None:
    """Suspended: all sessions are asked to come and are denied; closed: all are to end."""
    await start(world, heard, "9.00")
    for name in ("one", "two"):
        await world.charge(diameter(world, INITIAL, name, 0, group(ask=0)))
    await world.set_state(state)
    assert await heard.news() == [(kind, "gy:one", "pgw.example.net"), (kind, "gy:two", "pgw.example.net")]
    answer = await world.charge(diameter(world, UPDATE, "one", 1, group(5, 0)))
    assert answer.status is ChargingStatus.SERVICE_DENIED
    booked, reserved, _ = await world.figures()
    assert booked == 8_950_000_000, "what was used is debited"
    assert reserved == 300_000_000, "the other one's alone"


async def test_79_activation_is_told_to_those_who_were_denied(world: World, heard: Heard) -> None:
    """Suspended and active again: the session that was refused meanwhile may come back."""
    await start(world, heard, "9.00")
    await world.charge(diameter(world, INITIAL, "s", 0, group(ask=0)))
    await world.set_state(AccountState.SUSPENDED)
    await heard.news()
    await world.charge(diameter(world, UPDATE, "s", 1, group(5, 0)))
    await world.set_state(AccountState.ACTIVE)
    assert await heard.news() == [(REAUTHORIZE, "gy:s", "pgw.example.net")]


async def test_a_repeated_top_up_tells_nobody_again(world: World, heard: Heard) -> None:
    """The same Idempotency-Key once more changes nothing, so there is nothing to tell."""
    await start(world, heard, "0.20")
    await world.charge(diameter(world, INITIAL, "s", 0, group(ask=0)))
    for _ in range(2):
        await world.desk.top_up("A", 10**9, "EUR", key="same", actor="test", reason="")
    assert len(await heard.news()) == 1


async def test_operator_closes_one_session(world: World, heard: Heard) -> None:
    """G-103: that session's client is asked to end it; another account's, or none, is not."""
    await start(world, heard, "9.00")
    await world.charge(diameter(world, INITIAL, "s", 0, group(ask=0)))
    assert await world.desk.abort_session("A", "gy:s", actor="api:1", reason="fraud")
    assert [notice.cause for notice in heard.notices] == ["api:1: fraud"]
    assert await heard.news() == [(ABORT, "gy:s", "pgw.example.net")]
    assert not await world.desk.abort_session("A", "gy:other", actor="api:1", reason="")
    assert not await world.desk.abort_session("B", "gy:s", actor="api:1", reason="")


async def test_72_who_holds_all_the_money_gives_half_of_it_back(open_world: OpensWorld) -> None:
    """Statement 72: the second is refused, the first asked to come; it leaves half, and money is never promised twice."""
    world = await open_world(structs.replace(POLICY, reclaims=True))
    heard = Heard(world)
    world.charging.on_short = heard.notifier.short_of_money
    await start(world, heard, "0.30")
    await world.charge(diameter(world, INITIAL, "a", 0, group(ask=0)))
    for attempt in ("b", "c"):  # the second refusal of a moment asks nobody again
        refused = await world.charge(diameter(world, INITIAL, attempt, 0, group(ask=0)))
        assert refused.status is ChargingStatus.CREDIT_LIMIT_REACHED
    await heard.notifier.close()
    assert [(notice.session_key, notice.takes_half) for notice in heard.notices] == [("gy:a", True)]
    world.charging.halve("gy:a")
    (left,) = (await world.charge(diameter(world, UPDATE, "a", 1, group(10, 0)))).groups
    assert (left.granted, left.final) == (10, -1), "half of the 0.20 that is left, and not the last"
    (second,) = (await world.charge(diameter(world, INITIAL, "d", 0, group(ask=0)))).groups
    assert (second.granted, second.final >= 0) == (10, True)
    assert (await world.figures())[2] == 0
    (again,) = (await world.charge(diameter(world, UPDATE, "a", 2, group(5, 0)))).groups
    assert again.granted == 5, "asked once, halved once"
    await world.check_books()


async def test_72_half_of_too_little_is_not_halved(open_world: OpensWorld) -> None:
    """Where half of it buys nothing, the session that runs keeps what it needs."""
    world = await open_world(structs.replace(POLICY, reclaims=True))
    await world.open("0.50")
    await world.charge(diameter(world, INITIAL, "a", 0, group(ask=30), destination="200"))
    world.charging.halve("gy:a")
    (left,) = (await world.charge(diameter(world, UPDATE, "a", 1, group(0, 30), destination="200"))).groups
    assert left.granted == 30


async def test_72_refusal_without_other_sessions_asks_nobody(open_world: OpensWorld) -> None:
    """There is nothing that anybody could give back."""
    world = await open_world(structs.replace(POLICY, reclaims=True))
    asked: list[str] = []
    world.charging.on_short = lambda account_id, _key: asked.append(account_id)
    await world.open("0")
    await world.charge(diameter(world, INITIAL, "a", 0, group(ask=0)))
    assert asked == []
