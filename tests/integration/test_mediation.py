"""CDR files of a switch, charged by the rating engine on real servers: each row once, faults mended and replayed."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ocs.billing.cdrs import list_cdrs
from ocs.billing.invoices import book
from ocs.billing.mediated import FaultState, faults_of, files_of, find_fault, mend
from ocs.gateways.numbering import PLAIN_NUMBERING
from ocs.gateways.switch_files import Switch, UnreadableFileError, parse_switches
from ocs.mediation import CHUNK, Mediation, Report
from ocs.mediation_files import FolderWatch
from ocs.rating.faults import FaultList
from tests.integration.invoice_world import BAKERY, World, at, close_world, open_world

pytestmark = pytest.mark.integration

CENT = 10**7
HEADER = "id,answer,sec,a,b,state\n"
SWITCH = """
[[switch]]
name = "s1"
folder = "incoming/s1"
key = ["id"]
zone = "Europe/Berlin"
columns = { began = "answer", used = "sec", caller = "a", called = "b", session = "id" }
only = { state = ["ANSWERED"] }
charged = [{ column = "a", identity = "name" }]
"""


@pytest.fixture
async def world(sample_config: Path, valkey_url: str, billing_dsn: str) -> AsyncIterator[World]:
    world = await open_world(sample_config, valkey_url, billing_dsn)
    await world.add(BAKERY)
    world.now_ms = at("2026-10-01T06:00", "UTC")
    yield world
    await close_world(world)


@pytest.fixture
def switch() -> Switch:
    faults = FaultList("mediation.toml")
    found = parse_switches(SWITCH, faults)["s1"]
    assert faults.sorted() == []
    return found


def mediation_of(world: World) -> Mediation:
    return Mediation(world.connection, world.redis, world.online, PLAIN_NUMBERING, lambda: world.now_ms)


def rows(*numbers: int, caller: str = "bakery", called: str = "100123") -> bytes:
    """Answered calls of ten seconds each at 0.01, one a minute from 22:00 on the last day of September."""
    return (
        HEADER + "".join(f"{n},2026-09-30 22:{n % 60:02}:00,10,{caller},{called},ANSWERED\n" for n in numbers)
    ).encode()


async def test_rows_reach_the_balance_the_records_and_the_invoice(world: World, switch: Switch) -> None:
    """By the time of the call and the plan of the account, also beyond what it has; unanswered calls are passed over."""
    octets = rows(1, 2) + b"3,2026-09-30 22:03:00,0,bakery,100123,BUSY\n"
    assert await mediation_of(world).take_file(switch, "a.csv", octets) == Report(charged=2, passed_over=1)
    assert await world.balance("bakery") == -20 * CENT
    await world.flush()
    found = (await list_cdrs(world.connection, "bakery")).items
    begins_ms = at("2026-09-30T22:02", "Europe/Berlin")
    assert (found[0].started_at_ms, found[0].ended_at_ms) == (begins_ms, begins_ms + 10_000)
    assert (found[0].protocol, found[0].peer, found[0].session_id[:5]) == ("md", "s1", "s1:2:")
    assert (found[0].cost, found[0].groups[0].used) == (10 * CENT, 10)
    world.now_ms = at("2026-10-20T00:00", "UTC")
    *_, invoice = await world.bill(date(2026, 11, 1))
    (line,) = await book.lines_of(world.connection, invoice.invoice_id)
    assert (line.records, line.net_minor) == (2, 20)
    assert await world.is_clean()


async def test_what_comes_twice_is_charged_once(world: World, switch: Switch) -> None:
    """The same file under another name, the same row in another file, and twice in one file."""
    mediation = mediation_of(world)
    await mediation.take_file(switch, "a.csv", rows(1, 2))
    again = await mediation.take_file(switch, "b.csv", rows(1, 2))
    assert (again.is_repeat, again.charged) == (True, 2), "what became of it then is told"
    assert await mediation.take_file(switch, "c.csv", rows(2, 3, 3)) == Report(charged=1, repeated=2)
    assert await world.balance("bakery") == -30 * CENT
    taken = await files_of(world.connection)
    assert {each.name: each.charged for each in taken} == {"a.csv": 2, "c.csv": 1}


async def test_faults_are_queued_mended_and_replayed(world: World, switch: Switch) -> None:
    """No subscriber, no price, no sense: each is told, costs the others nothing, and is charged once it is mended."""
    mediation = mediation_of(world)
    octets = rows(1) + rows(2, caller="nobody").partition(b"\n")[2] + rows(3, called="999999").partition(b"\n")[2]
    octets += b"4,yesterday,10,bakery,100123,ANSWERED\n"
    assert await mediation.take_file(switch, "a.csv", octets) == Report(charged=1, faulty=3)
    found = await faults_of(world.connection)
    assert [(each.line, each.why) for each in found] == [
        (5, "'yesterday' is no time (iso)"),
        (3, "no subscriber has the identity: name:nobody"),
        (4, "the plan of the account has no price for it: 999999"),
    ]
    assert await mediation.replay(switch, found) == Report(faulty=3), "nothing was mended: they stay"
    for each, cells in zip(found, ({"answer": "2026-09-30 22:04:00"}, {"a": "bakery"}, {"b": "200123"}), strict=True):
        await mend(world.connection, each, cells)
    mended = [await find_fault(world.connection, each.fault_id) for each in found]
    assert await mediation.replay(switch, [each for each in mended if each]) == Report(charged=3)
    assert await faults_of(world.connection) == []
    assert len(await faults_of(world.connection, "s1", FaultState.REPLAYED)) == 3
    # 0.10 + 0.10 + 0.10, and a started minute at 0.30
    assert await world.balance("bakery") == -60 * CENT
    assert await mediation.replay(switch, [each for each in mended if each]) == Report(repeated=3)
    assert await world.balance("bakery") == -60 * CENT


@pytest.mark.parametrize("step", ["before", "after"])
async def test_a_crash_before_or_after_the_posting_charges_each_row_once(
    world: World, switch: Switch, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The rows were noted; the process died around their posting; weeks later, when the store has forgotten the keys,
    the file is taken again."""
    mediation = mediation_of(world)
    with monkeypatch.context() as patch:
        real = world.online.submit

        def submit(request: Any, reply: Any) -> None:
            if step == "before":
                raise ConnectionError
            real(request, reply)

        async def no_mark(*_: object) -> None:
            raise ConnectionError

        standin = SimpleNamespace(submit=submit, find_subscriber=world.online.find_subscriber)
        patch.setattr(mediation, "_online", standin)
        patch.setattr("ocs.billing.mediated.settle", no_mark)
        with pytest.raises(ConnectionError):
            await mediation.take_file(switch, "a.csv", rows(1, 2))
    for key in await world.redis.keys("*s:md*"):
        await world.redis.delete(key)
    if step == "after":
        await world.flush()
    assert await mediation.take_file(switch, "a.csv", rows(1, 2)) == Report(charged=2)
    assert await world.balance("bakery") == -20 * CENT
    await world.flush()
    assert await world.is_clean()


async def test_more_rows_than_one_chunk(world: World, switch: Switch) -> None:
    """All of them, with progress."""
    seen: list[int] = []
    numbers = range(CHUNK + 5)
    report = await mediation_of(world).take_file(switch, "a.csv", rows(*numbers), seen.append)
    assert (report.charged, seen) == (CHUNK + 5, [CHUNK, CHUNK + 5])
    assert await world.balance("bakery") == -(CHUNK + 5) * 10 * CENT


async def test_a_folder_is_watched(world: World, switch: Switch, tmp_path: Path) -> None:
    """A whole file is taken and put aside; one that grows waits; one that was taken or cannot be read is refused, in words."""
    watch = FolderWatch(mediation_of(world), {"s1": switch}, tmp_path, lambda: world.now_ms)
    folder = tmp_path / "incoming" / "s1"
    for name in ("done", "refused"):
        (folder / name).mkdir(parents=True)
    old_s, new_s = (world.now_ms - 60_000) // 1000, (world.now_ms - 1) // 1000
    for place, (name, octets) in enumerate(
        {"a.csv": rows(1), "b.csv": rows(1), "c.csv": b"what\n1\n", "d.txt": rows(9)}.items()
    ):
        (folder / name).write_bytes(octets)
        os.utime(folder / name, (old_s + place, old_s + place))
    (folder / "e.csv").write_bytes(rows(2))
    os.utime(folder / "e.csv", (new_s, new_s))
    assert await watch.look() == 3
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == [
        "a.csv", "b.csv", "b.csv.why", "c.csv", "c.csv.why", "d.txt", "e.csv",
    ]  # fmt: skip
    assert (folder / "done" / "a.csv").exists()
    assert (folder / "refused" / "b.csv.why").read_text(encoding="utf-8") == "b.csv was taken before, by its content\n"
    assert "has no column 'answer'" in (folder / "refused" / "c.csv.why").read_text(encoding="utf-8")
    world.now_ms += 60_000
    assert await watch.look() == 1
    assert await world.balance("bakery") == -20 * CENT


async def test_a_file_that_cannot_be_read_leaves_no_trace(world: World, switch: Switch) -> None:
    """It may come again under the same octets when the mapping is mended."""
    with pytest.raises(UnreadableFileError):
        await mediation_of(world).take_file(switch, "a.csv", b"what\n1\n")
    assert await files_of(world.connection) == []
