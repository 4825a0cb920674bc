"""A customer and its reseller in different partitions, with a crash at any posting: both are charged the same use, each once.

T1 costs the customer 0.01 a second and the reseller 0.004; a message 0.08 and 0.05. So what both have paid for a session or a message
stands in that proportion, whatever died when, and whether the client repeated what it got no answer to.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, cast

from hypothesis import example, given
from hypothesis import strategies as st

from balance.memory import MemoryStore
from balance.store import LoadDone, LocateDone, Posting, PostingDone, ResolveDone
from ocs.charging.levels import client_key, level_key
from ocs.charging.request import ChargingAnswer, ChargingRequest, ChargingStatus, RequestKind
from ocs.charging.session import CreditSession, decode_session
from tests.scenario.table import Table
from tests.scenario.world import Clock, World, amount


@dataclass(frozen=True)
class Fate:
    """What happens beside a step: the process dies at a posting of it (0: not), which is applied or not, and the client repeats what
    got no answer or gives up; and before another posting all free money of one of the two accounts goes elsewhere.
    """

    dies_at: int = 0
    is_applied: bool = False
    repeats: bool = False
    drained_at: int = 0
    drained: int = 0


requests = st.one_of(
    st.tuples(st.sampled_from("IE"), st.integers(0, 1), st.just(0)),
    st.tuples(st.sampled_from("UTX"), st.integers(0, 1), st.integers(0, 40)),
)
others = st.one_of(
    st.tuples(st.just("wait"), st.just(0), st.sampled_from([1, 40, 700])),
    st.tuples(st.just("top-up"), st.just(0), st.integers(1, 50)),
    st.tuples(st.just("drain"), st.integers(0, 1), st.just(0)),
)
postings = st.integers(1, 4)
fates = st.builds(
    Fate, dies_at=st.one_of(st.just(0), postings), is_applied=st.booleans(), repeats=st.booleans(),
    drained_at=st.one_of(st.just(0), postings), drained=st.integers(0, 1),
)  # fmt: skip
traffic = st.lists(st.tuples(st.one_of(requests, requests, others), fates), max_size=10)


class Mortal:
    """The store as one process sees it, until it dies at a posting: then nothing comes back any more."""

    def __init__(self, store: MemoryStore, drain: Callable[[int], None]) -> None:
        self._store = store
        self._drain = drain
        self._fate = Fate()
        self._count = 0
        self.is_dead = False

    def meet(self, fate: Fate) -> None:
        """From the next posting on."""
        self._fate, self._count = fate, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def load(self, account_id: str, session_keys: Sequence[str], done: LoadDone, others: Sequence[str] = ()) -> None:
        if not self.is_dead:
            self._store.load(account_id, session_keys, done, others)

    def locate(self, session_key: str, done: LocateDone) -> None:
        if not self.is_dead:
            self._store.locate(session_key, done)

    def resolve(self, identity: str, done: ResolveDone) -> None:
        if not self.is_dead:
            self._store.resolve(identity, done)

    def post(self, posting: Posting, done: PostingDone) -> None:
        if self.is_dead:
            return
        self._count += 1
        if self._count == self._fate.drained_at:
            self._drain(self._fate.drained)
        if self._count == self._fate.dies_at:
            self.is_dead = True
            if self._fate.is_applied:
                self._store.post(posting, lambda _result: None)
            return
        self._store.post(posting, done)


def at_once(work: Coroutine[Any, Any, Any]) -> None:
    """Run what waits for nothing on the memory store."""
    try:
        work.send(None)
    except StopIteration:
        return
    raise AssertionError("it waits")


class Chain:
    """The two accounts, the processes that come and go, and what their clients see."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.store = MemoryStore(self.clock)
        self.other = World(self.store, self.clock)
        self.names = 0
        self.sessions: dict[int, str] = {}
        self.refused: set[str] = set()
        self.keys = 0
        self.mortal: Mortal
        self.world: World
        self.table: Table

    async def open(self) -> None:
        await self.other.open_reseller("2.00", is_apart=True)
        await self.other.open("3.00")
        self.table = Table(self.other)
        self.revive()

    def revive(self) -> None:
        """Another process, which knows nothing but what is stored."""
        self.mortal = Mortal(self.store, lambda which: at_once(self.drain(which)))
        self.world = World(cast("MemoryStore", self.mortal), self.clock)
        self.world.account_id, self.world.reseller, self.world.is_apart = "A", self.other.reseller, True
        sessions = self.table.sessions
        self.table = Table(self.world)
        self.table.sessions = sessions

    async def drain(self, which: int) -> None:
        """All that is free goes elsewhere; by another worker."""
        name = ("A", self.other.reseller)[which]
        _, _, free = await self.other.figures(name)
        if free > 0:
            self.keys += 1
            await self.other.desk.adjust(name, -free, "EUR", key=f"d{self.keys}", actor="test", reason="")

    async def charge(self, words: list[str], fate: Fate) -> None:
        """There is one answer, unless the process died and the client gave up."""
        request = self.table.request(words)
        answers: list[ChargingAnswer] = []
        self.mortal.meet(fate)
        self.world.charging.submit(request, answers.append)
        if self.mortal.is_dead:  # before the answer left, or after
            self.revive()
            if not answers and not fate.repeats:
                return
        if not answers:
            self.world.charging.submit(request, answers.append)
        self.mortal.meet(Fate())
        assert len(answers) == 1, "one answer, at once on this store"
        if answers[0].status is not ChargingStatus.SUCCESS:
            self.refused.add(request.session_key)
        elif request.kind is not RequestKind.EVENT:
            self.check_grant(answers[0], request.session_key)

    async def step(self, kind: str, number: int, value: int, fate: Fate) -> None:
        if kind in "IE":
            self.names += 1
            name = f"{kind.lower()}{self.names}"
            if kind == "I":
                self.sessions[number] = name
            await self.charge([kind, name, *(["T1", "ask"] if kind == "I" else ["S1", "ask", "1"])], fate)
        elif kind in "UT":
            if number in self.sessions:
                ask = ["ask"] if kind == "U" else []
                await self.charge([kind, self.sessions[number], "used", str(value), *ask], fate)
        elif kind == "X":
            if number in self.sessions:
                self.mortal.meet(fate)
                key = f"gy:{self.sessions[number]}"
                closing = ChargingRequest(RequestKind.EXPIRY, key, -1, (), "voice", self.clock(), (), is_forced=True)
                self.world.charging.submit_for("A", closing, lambda _answer: None)
                if self.mortal.is_dead:
                    self.revive()
        elif kind == "wait":
            self.clock.now_ms += value * 1000
            self.mortal.meet(fate)
            await self.supervise()
        elif kind == "top-up":
            await self.other.change(f"{value / 100:.2f}")
        elif kind == "drain":
            await self.drain(number)

    async def supervise(self) -> None:
        task = asyncio.ensure_future(self.world.supervision.close_due())
        while not task.done():
            await asyncio.sleep(0)
            if self.mortal.is_dead:
                task.cancel()
                self.revive()
                task = asyncio.ensure_future(self.world.supervision.close_due())

    async def end(self) -> None:
        """Nobody comes any more: all that is open ends by supervision."""
        for _ in range(3):
            self.clock.now_ms += 3_600_000
            await self.supervise()

    async def check(self) -> None:
        await self.other.check_books()
        assert not self.store.deadlines, "nothing waits, nothing is open"
        for name in ("A", self.other.reseller):
            assert (await self.other.figures(name))[1] == 0, f"{name} holds something"
        paid: dict[str, dict[str, int]] = defaultdict(lambda: {"A": 0, self.other.reseller: 0})
        for entry in await self.other.entries():
            if entry.kind in {"session", "event", "refund"}:
                key = client_key(entry.reference)
                paid[key][entry.account_id] -= sum(change.amount for change in entry.changes)
        for key, of in paid.items():
            own, above = (8, 5) if key.startswith("gy:e") else (5, 2)
            assert of["A"] * above == of[self.other.reseller] * own, f"{key}: {of}"
            if key.startswith("gy:e"):
                assert of["A"] in ({0} if key in self.refused else {0, amount("0.08")}), f"{key}: {of}"

    def check_grant(self, answer: ChargingAnswer, key: str) -> None:
        """What the account has granted is held at the reseller, too."""
        for group in answer.groups:
            above = decode_session(self.store.sessions[level_key(key, self.other.reseller)])
            assert not group.granted or (isinstance(above, CreditSession) and above.groups[0].granted >= group.granted)


_DIES_BETWEEN = Fate(2)
"""The reseller is charged, and the account is not."""
_REFUSED_BELOW = Fate(drained_at=2)
"""The account's money goes when the reseller has been charged."""


@given(traffic)
@example([(("I", 0, 0), Fate()), (("U", 0, 30), _DIES_BETWEEN)])
@example([(("I", 0, 0), Fate()), (("U", 0, 30), _DIES_BETWEEN), (("T", 0, 10), Fate())])
@example([(("I", 0, 0), Fate()), (("T", 0, 30), _DIES_BETWEEN)])
@example([(("I", 0, 0), Fate()), (("wait", 0, 700), _DIES_BETWEEN), (("T", 0, 30), Fate())])
@example([(("I", 0, 0), Fate()), (("X", 0, 0), _DIES_BETWEEN), (("wait", 0, 40), Fate())])
@example([(("I", 0, 0), Fate()), (("X", 0, 0), _DIES_BETWEEN), (("T", 0, 30), Fate())])
@example([(("E", 0, 0), _DIES_BETWEEN), (("wait", 0, 40), Fate())])
@example([(("I", 0, 0), Fate(3)), (("U", 0, 10), Fate()), (("U", 0, 10), Fate()), (("wait", 0, 40), Fate())])
@example([(("drain", 1, 0), Fate()), (("I", 0, 0), Fate())])
@example([(("I", 0, 0), Fate()), (("drain", 1, 0), Fate()), (("U", 0, 10), Fate())])
@example([(("E", 0, 0), _REFUSED_BELOW), (("I", 0, 0), _REFUSED_BELOW)])
@example([(("E", 0, 0), Fate(3, drained_at=2)), (("top-up", 0, 50), Fate()), (("wait", 0, 40), Fate())])
@example([(("I", 0, 0), Fate(3, drained_at=2)), (("top-up", 0, 50), Fate()), (("wait", 0, 40), Fate())])
def test_both_levels_are_charged_once_whatever_dies(steps: list[tuple[tuple[str, int, int], Fate]]) -> None:
    """Nothing is charged twice, nothing is forgotten, nothing stays held, and the books of both balance."""

    async def play() -> None:
        chain = Chain()
        await chain.open()
        for step, fate in steps:
            await chain.step(*step, fate)
        await chain.end()
        await chain.check()

    asyncio.run(play())
