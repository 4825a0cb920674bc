"""The watch over grants: what is looked at when, and what is cut off."""

from __future__ import annotations

from balance.store import BackendUnavailable
from ocs.net.radius_watch import WATCHED_MAX, GrantWatch

NOW_MS = 1_700_000_000_000


class Bench:
    """A watch with a clock that is moved by hand; the store knows no session."""

    def __init__(self) -> None:
        self.now_ms = NOW_MS
        self.is_away = False
        self.asked: list[str] = []
        self.watch = GrantWatch(self._find, lambda _: None, lambda: self.now_ms)

    async def _find(self, key: str) -> None:
        self.asked.append(key)
        if self.is_away:
            raise BackendUnavailable

    async def after(self, seconds: int) -> list[str]:
        """Whom the store was asked for in the round after so many seconds."""
        self.now_ms = NOW_MS + seconds * 1000
        self.asked = []
        await self.watch.round()
        return self.asked


async def test_a_call_is_looked_up_once_its_grant_and_the_margin_are_over() -> None:
    """Not earlier, and not twice."""
    bench = Bench()
    bench.watch.granted("a", NOW_MS + 10_000)
    assert [await bench.after(seconds) for seconds in (9, 15, 17, 18)] == [[], [], ["a"], []]
    assert len(bench.watch) == 0


async def test_a_later_grant_counts_and_a_call_that_ended_does_not() -> None:
    """Without a look into the store."""
    bench = Bench()
    bench.watch.granted("a", NOW_MS + 10_000)
    bench.watch.granted("a", NOW_MS + 30_000)
    bench.watch.granted("b", NOW_MS + 10_000)
    bench.watch.ended("b")
    bench.watch.ended("c")
    assert [await bench.after(seconds) for seconds in (20, 37)] == [[], ["a"]]


async def test_a_call_that_ends_sooner_than_it_was_to_is_looked_up_then() -> None:
    """Once, and not a second time when its old time is over."""
    bench = Bench()
    bench.watch.granted("a", NOW_MS + 3_600_000)
    bench.watch.granted("a", NOW_MS + 10_000)
    assert [await bench.after(seconds) for seconds in (9, 17, 3_607)] == [[], ["a"], []]


async def test_while_the_store_is_away_nothing_is_forgotten() -> None:
    """Each call is looked up again some seconds later."""
    bench = Bench()
    bench.is_away = True
    for key in ("a", "b"):
        bench.watch.granted(key, NOW_MS + 10_000)
    assert await bench.after(16) == ["a", "b"]
    bench.is_away = False
    assert [await bench.after(seconds) for seconds in (18, 21, 23)] == [[], ["a", "b"], []]


async def test_so_many_calls_are_watched_and_no_more() -> None:
    """The store's own deadline finds the others."""
    bench = Bench()
    bench.watch._ends_ms = dict.fromkeys(map(str, range(WATCHED_MAX)), NOW_MS)
    bench.watch.granted("one more", NOW_MS)
    assert len(bench.watch) == WATCHED_MAX
