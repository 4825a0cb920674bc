"""Changed rates: which open sessions are asked to come, by which process, and how fast."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from msgspec import structs

from balance.memory import MemoryStore
from ocs.charging.following import Following
from ocs.charging.notices import Notice, NoticeKind
from ocs.charging.request import RequestKind
from ocs.charging.session import encode_session
from ocs.rating.ratebook import RateBook
from tests.scenario.test_choice import ROAMING, book_of, flat
from tests.scenario.traffic import access, diameter, group
from tests.scenario.world import POLICY, Clock, World


class Told:
    """The stream of notices, and the store's open sessions, some at a time."""

    def __init__(self, store: MemoryStore, is_first: bool = True) -> None:
        self.store = store
        self.is_first = is_first
        self.batches: list[list[Notice]] = []

    async def publish(self, notices: Sequence[Notice]) -> None:
        self.batches.append(list(notices))

    async def claim(self, entry_id: str) -> bool:
        assert entry_id.startswith("rates:")
        return self.is_first

    async def pages_of(self, prefix: str, size: int) -> AsyncIterator[list[bytes]]:
        values = await self.store.open_sessions("A")
        assert prefix == "gy:"
        assert size > 1
        yield values[:1]
        yield [*values[1:], b"\xc1", encode_session(None)]  # type: ignore[arg-type]

    @property
    def sessions(self) -> list[str]:
        return sorted(notice.session_key for batch in self.batches for notice in batch)


async def followed(book: RateBook, *, follows: bool = True, is_first: bool = True, per_s: int = 1000) -> Told:
    """Three calls at 0.01 and an authorization that waits; then these rates."""
    clock = Clock()
    store = MemoryStore(clock)
    world = World(store, clock, structs.replace(POLICY, follows_rates=follows))
    world.charging.use_rates(flat("0.01"))
    await world.open("9.00")
    for name in ("a", "b", "c"):
        await world.charge(diameter(world, RequestKind.INITIAL, name, 0, group(ask=0)))
    await world.charge(access(world, "lease"))
    told = Told(store, is_first)
    following = Following(world.charging, told, clock, per_s)
    following.use(told)
    following.rates = book
    assert following.rates is book
    async with asyncio.timeout(10):
        while following.is_telling:  # noqa: ASYNC110 - a task of its own
            await asyncio.sleep(0)
    await following.close()
    return told


async def test_g102_dearer_call_is_asked_to_come() -> None:
    """RAR to each session whose price is another one now; an authorization waits for its call."""
    told = await followed(flat("0.02"))
    assert told.sessions == ["gy:a", "gy:b", "gy:c"]
    assert {notice.kind for batch in told.batches for notice in batch} == {NoticeKind.REAUTHORIZE}


@pytest.mark.parametrize(
    ("book", "follows", "is_first"),
    [
        pytest.param(book_of(ROAMING.replace('setup = "0.10"\n', "")), True, True, id="they cost the same"),
        pytest.param(flat("0.02"), False, True, id="sessions keep their prices"),
        pytest.param(flat("0.02"), True, False, id="another process does it"),
    ],
)
async def test_g102_nobody_is_disturbed(book: RateBook, follows: bool, is_first: bool) -> None:
    """Where nothing changes for a session, or it keeps its prices, or it was told already."""
    assert not (await followed(book, follows=follows, is_first=is_first)).batches


async def test_g102_plan_that_is_gone_concerns_its_sessions() -> None:
    """They come, and are told that there is no price for them."""
    assert len((await followed(RateBook({}, "0" * 64))).sessions) == 3


async def test_g102_pace_is_bounded() -> None:
    """So many notices a second, however many sessions are open: one a second is one at a time."""
    told = await followed(flat("0.02"), per_s=2)
    assert [len(batch) for batch in told.batches] == [1, 2]
