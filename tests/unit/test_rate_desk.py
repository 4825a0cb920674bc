"""The rates of a running daemon: swapped whole or not at all, staged decks at their instant."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest

from ocs.rate_desk import RateDesk
from ocs.rates.versions import DeckVersions, Manifest, VersionError, hash_of
from ocs.rating.load import LoadResult, load_ratebook
from ocs.rating.price import Tariff
from ocs.rating.ratebook import RateBook

NOW_MS = 1_790_000_000_000
HEAD = "prefix,destination,rate\n"
OLD, NEW = HEAD + "49,Germany,0.02\n48,Poland,0.02\n", HEAD + "49,Germany,0.03\n48,Poland,0.03\n"
BAD = HEAD + "49,Germany,0,03\n"
FILES = {
    "currencies.toml": "EUR = { numeric = 978, scale = 9, digits = 2 }\n",
    "rateplans/p.toml": 'name = "p"\ncurrency = "EUR"\n[[tariffs]]\nservice = "voice"\nname = "Calls"\nper = "minute"\ndeck = "d"\n',
    "decks/d.csv": OLD,
}


class World:
    """A configuration on disk, and daemons that stand on it."""

    def __init__(self, folder: Path) -> None:
        for name, text in FILES.items():
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        self.folder = folder
        self.now_ms = NOW_MS
        self.loads: list[str] = []
        self.versions = DeckVersions(folder, "d")

    def daemon(self, in_force: Path | None = None) -> RateDesk:
        """A desk with the rates of now, as a daemon starts."""
        charging = SimpleNamespace(rates=load_ratebook(self.folder, NOW_MS).book)
        return RateDesk(self.folder, charging, lambda: self.now_ms, self._load, in_force)

    async def _load(self) -> LoadResult:
        self.loads.append((self.folder / "decks/d.csv").read_text(encoding="utf-8"))
        return load_ratebook(self.folder, self.now_ms)

    def stage(self, text: str) -> str:
        data = text.encode()
        self.versions.stage(data, Manifest(deck="d", hash=hash_of(data), base=hash_of(self.versions.live())))
        return hash_of(data)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """One plan with one deck."""
    return World(tmp_path)


def prices(book: RateBook | None) -> set[int]:
    """What a minute to each destination costs, in thousandths."""
    assert book is not None
    found = [book.tariff_for("p", "voice", -1, (), number, NOW_MS) for number in ("49", "48")]
    return {tariff.price.next_rate // 1_000_000 for tariff in found if isinstance(tariff, Tariff)}


async def test_files_with_faults_change_nothing(world: World) -> None:
    """The faults are given, and requests are priced as before."""
    desk = world.daemon()
    book = desk.book()
    world.versions.live_path.write_text(BAD, encoding="utf-8")
    faults = await desk.reload()
    assert [(fault.file, fault.line) for fault in faults] == [("decks/d.csv", 2)]
    assert desk.book() is book


async def test_requests_see_the_old_rates_or_the_new_ones(world: World) -> None:
    """While files are read again, over and over, no look-up ever finds a mixture."""
    desk = world.daemon()
    seen: list[set[int]] = []
    for text in (NEW, OLD, NEW):
        world.versions.live_path.write_text(text, encoding="utf-8")
        reload = asyncio.create_task(desk.reload())
        while not reload.done():
            seen.append(prices(desk.book()))
            await asyncio.sleep(0)
    seen.append(prices(desk.book()))
    assert all(each in ({20}, {30}) for each in seen)
    assert (seen[0], seen[-1]) == ({20}, {30})


async def test_a_staged_deck_is_put_in_place(world: World) -> None:
    """At once without an instant; it is on disk and in force, or neither."""
    desk = world.daemon()
    assert await desk.activate("d", world.stage(NEW), 0) == ()
    assert (prices(desk.book()), world.versions.live()) == ({30}, NEW.encode())


async def test_a_deck_with_faults_goes_back(world: World) -> None:
    """What cannot be loaded does not stay on disk, where the next start would fail over it."""
    desk = world.daemon()
    assert len(await desk.activate("d", world.stage(BAD), 0)) == 1
    assert (prices(desk.book()), world.versions.live()) == ({20}, OLD.encode())


async def test_a_version_that_is_not_there_is_refused(world: World) -> None:
    """Neither now nor for later."""
    for at_ms in (0, NOW_MS + 1):
        with pytest.raises(VersionError, match="d has no version"):
            await world.daemon().activate("d", "494421f43d60", at_ms)


async def test_a_scheduled_deck_is_in_force_from_its_instant_in_every_daemon(world: World) -> None:
    """The first daemon puts it in place, the others see that and read it, each once."""
    first, second = world.daemon(), world.daemon()
    await first.activate("d", world.stage(NEW), NOW_MS + 500)
    assert [await first.step(), await second.step()] == [0.5, 0.5]
    world.now_ms += 499
    assert await first.step() == 0.001
    assert prices(first.book()) == {20}
    world.now_ms += 1
    await first.step()
    assert (prices(first.book()), prices(second.book())) == ({30}, {20})
    await second.step()
    assert prices(second.book()) == {30}
    book = second.book()
    await second.step()
    assert second.book() is book


async def test_a_scheduled_deck_whose_base_has_changed_is_dropped(world: World) -> None:
    """It would undo what was done since: it is told once, and not tried for ever."""
    desk = world.daemon()
    await desk.activate("d", world.stage(NEW), NOW_MS + 500)
    world.versions.live_path.write_text(OLD + "47,Norway,0.02\n", encoding="utf-8")
    world.now_ms += 500
    assert await desk.step() == 1.0
    assert (prices(desk.book()), world.versions.state().scheduled) == ({20}, "")


async def test_daemons_of_one_data_folder_follow_one_another(world: World, tmp_path: Path) -> None:
    """Told to one, read by all; faulty files are tried once, and a daemon that tells nobody hears nothing."""
    shared = tmp_path / "in_force"
    told, other = world.daemon(shared), world.daemon(shared)
    (world.folder / "decks/d.csv").write_text(NEW, encoding="utf-8")
    assert await told.reload() == ()
    assert prices(other.book()) != prices(told.book())
    await other.step()
    assert prices(other.book()) == prices(told.book())
    shared.write_text("a version of nobody's", encoding="utf-8")
    (world.folder / "decks/d.csv").write_text(BAD, encoding="utf-8")
    book = other.book()
    for _ in range(3):
        await other.step()
    assert other.book() is book
    assert world.loads == [NEW, NEW, BAD]
