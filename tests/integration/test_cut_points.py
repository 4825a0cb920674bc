"""Statement 119: cut before the commit, after the commit before the answer, after the answer; then the client repeats.

In every case the money, the reservations, the deadlines and the journal end as if nothing had happened, and the client
gets one answer, however often it asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, NamedTuple

import msgspec
import pytest

from balance.valkey import keys
from balance.valkey.store import ValkeyStore, open_store
from ocs.charging.cdr import JournalEntry
from ocs.charging.operations import RechargeResult, RechargeStatus
from ocs.charging.request import ChargingAnswer
from ocs.charging.supervision import Supervision
from tests.integration.cutting_proxy import Cut, CuttingProxy
from tests.scenario.table import Table, outcome_of
from tests.scenario.world import Clock, World, amount

pytestmark = pytest.mark.integration

PARTITIONS: Final = 4
STEPS: Final = (
    "I s1 T1 ask",
    "I s2 D1 ask",
    "U s1 used 30 ask",
    "top-up 1.00",
    "U s2 used 500000 ask",
    "T s1 used 12",
    "E m1 S1 ask 1",
)
"""One of each kind; s2 stays open, so that there is a reservation and a deadline to be recovered."""

Outcome = ChargingAnswer | tuple[int, bool]
"""An answer; of a top-up the number of its entry and whether it was made, now or before."""


class End(NamedTuple):
    """All that must be the same however the road was."""

    figures: tuple[int, int, int]
    entries: list[JournalEntry]
    deadlines: list[tuple[bytes, float]]
    open_sessions: int


class Node:
    """A daemon's core that can be lost: a store behind the proxy, and the table of what the client has sent."""

    def __init__(self, proxy: CuttingProxy, clock: Clock) -> None:
        self._proxy = proxy
        self._clock = clock
        self.store: ValkeyStore
        self.world: World
        self.table: Table

    async def start(self) -> None:
        self.store = await open_store(self._proxy.url, PARTITIONS)
        self.world = World(self.store, self._clock)
        self.table = Table(self.world)

    async def restart(self) -> None:
        """As after kill -9: nothing of the old one is asked any more."""
        sessions = self.table.sessions
        await self.store.close()
        await self.start()
        self.table.sessions = sessions

    def asker(self, line: str) -> Callable[[], Awaitable[Outcome]]:
        """A function that sends the step, each time the same request, as a client with the T flag does."""
        words = line.split()
        if words[0] == "top-up":
            return lambda: self._top_up(words[1])
        request = self.table.request(words)
        return lambda: self.world.charge(msgspec.structs.replace(request))

    async def _top_up(self, text: str) -> Outcome:
        result: RechargeResult = await self.world.desk.top_up(
            "A", amount(text), "EUR", key="the-same", actor="test", reason=""
        )
        return result.entry_number, result.status in {RechargeStatus.APPLIED, RechargeStatus.REPLAYED}

    async def end(self) -> End:
        await self.world.check_books()
        deadlines: list[tuple[bytes, float]] = []
        for partition in range(PARTITIONS):
            deadlines += await self.store.client.zrange(keys.deadlines_key(partition), 0, -1, withscores=True)
        sessions = await self.store.open_sessions("A")
        return End(await self.world.figures(), await self.world.entries(), deadlines, len(sessions))


@pytest.fixture
async def proxy(valkey_url: str) -> AsyncIterator[CuttingProxy]:
    """A proxy in front of the real and empty Valkey."""
    async with CuttingProxy(valkey_url).running() as running:
        yield running


@pytest.fixture
async def node(proxy: CuttingProxy) -> AsyncIterator[Node]:
    """A core behind the proxy, with an account of 5.00."""
    node = Node(proxy, Clock())
    await node.start()
    await node.world.open("5.00")
    yield node
    await node.store.close()


Disturb = Callable[[Node, CuttingProxy, Callable[[], Awaitable[Outcome]]], Awaitable[Outcome]]


async def _undisturbed(_node: Node, _proxy: CuttingProxy, ask: Callable[[], Awaitable[Outcome]]) -> Outcome:
    return await ask()


def _reconnect_after(cut: Cut) -> Disturb:
    """The daemon lives: its connection is made anew, and what was under way is sent again."""

    async def disturb(_node: Node, proxy: CuttingProxy, ask: Callable[[], Awaitable[Outcome]]) -> Outcome:
        proxy.arm(cut)
        first = asyncio.ensure_future(ask())
        await proxy.has_cut.wait()
        assert not first.done(), "no answer before the store has said that it is done"
        proxy.heal()
        answer = await first
        assert await ask() == answer, "the client's repeat gets the same answer"
        return answer

    return disturb


def _restart_after(cut: Cut) -> Disturb:
    """The daemon dies at the cut: the client repeats to another one."""

    async def disturb(node: Node, proxy: CuttingProxy, ask: Callable[[], Awaitable[Outcome]]) -> Outcome:
        proxy.arm(cut)
        lost = asyncio.ensure_future(ask())
        await proxy.has_cut.wait()
        assert not lost.done(), "no answer before the store has said that it is done"
        proxy.heal()
        await node.restart()
        answer = await ask()
        assert await ask() == answer, "the client's repeat gets the same answer"
        await asyncio.gather(lost, return_exceptions=True)  # what the dead one would say reaches nobody
        return answer

    return disturb


async def _restart_after_answer(node: Node, _proxy: CuttingProxy, ask: Callable[[], Awaitable[Outcome]]) -> Outcome:
    """The answer left, the daemon dies, the answer is lost on its way: the client repeats."""
    answer = await ask()
    await node.restart()
    assert await ask() == answer, "the client's repeat gets the same answer"
    return answer


DISTURBANCES: Final[dict[str, Disturb]] = {
    "reconnect, before commit": _reconnect_after(Cut.BEFORE_POSTING),
    "reconnect, before answer": _reconnect_after(Cut.BEFORE_REPLY),
    "restart, before commit": _restart_after(Cut.BEFORE_POSTING),
    "restart, before answer": _restart_after(Cut.BEFORE_REPLY),
    "restart, after answer": _restart_after_answer,
}

ANSWERS: Final = ["30", "1048576", "30", "", "1048576", "ok", "1"]


async def _play(node: Node, proxy: CuttingProxy, disturb: Disturb, at: frozenset[int]) -> tuple[list[Outcome], End]:
    outcomes: list[Outcome] = []
    for place, line in enumerate(STEPS):
        ask = node.asker(line)
        outcomes.append(await (disturb if place in at else _undisturbed)(node, proxy, ask))
    return outcomes, await node.end()


def _check(outcomes: list[Outcome], end: End) -> None:
    words = [outcome_of(each) if isinstance(each, ChargingAnswer) else "" for each in outcomes]
    assert words == ANSWERS
    assert outcomes[3] == (3, True)
    # 5.00 + 1.00 - 42 s x 0.01 - 1 started MiB x 0.05 - one message 0.08; s2 holds one more MiB.
    assert end.figures == (amount("5.45"), amount("0.05"), amount("5.40"))
    assert [entry.kind for entry in end.entries] == ["opened", "top_up", "top_up", "session", "event"]
    assert [member for member, _ in end.deadlines] == [b"gy:s2"]
    assert end.open_sessions == 1


async def test_119_undisturbed(node: Node, proxy: CuttingProxy) -> None:
    """What the other cases are measured by."""
    _check(*await _play(node, proxy, _undisturbed, frozenset()))


@pytest.mark.parametrize("place", range(len(STEPS)), ids=STEPS)
@pytest.mark.parametrize("name", DISTURBANCES)
async def test_119_one_cut(node: Node, proxy: CuttingProxy, name: str, place: int) -> None:
    """A cut at any step and at any point changes nothing in the end, and the answer is one (statements 5, 8, 9, 118) [B-94] [B-95] [G-90]."""
    _check(*await _play(node, proxy, DISTURBANCES[name], frozenset({place})))


@pytest.mark.parametrize("name", DISTURBANCES)
async def test_119_cut_at_every_step(node: Node, proxy: CuttingProxy, name: str) -> None:
    """The same point at each step in turn: still nothing changes."""
    _check(*await _play(node, proxy, DISTURBANCES[name], frozenset(range(len(STEPS)))))


async def test_119_grace_after_a_start(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session whose Tcc passed while the server was down is not closed at once, but after the grace time."""
    monkeypatch.setattr("ocs.charging.supervision.ROUND_S", 0.01)
    await node.asker("I s1 T1 ask")()
    node._clock.now_ms += 3_600_000
    await node.restart()
    patient = Supervision(node.world.charging, node.store, node._clock, grace_s=3600)
    ready = Supervision(node.world.charging, node.store, node._clock, grace_s=0)
    await _run_until(patient, lambda: False, rounds=20)
    assert patient.closed == 0
    await _run_until(ready, lambda: ready.closed > 0, rounds=3000)
    assert (ready.closed, (await node.world.figures())[1]) == (1, 0)
    await node.world.check_books()


async def _run_until(supervision: Supervision, is_done: Callable[[], bool], rounds: int) -> None:
    task: asyncio.Task[Any] = asyncio.create_task(supervision.run())
    for _ in range(rounds):
        if is_done():
            break
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
