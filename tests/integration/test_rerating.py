"""Re-rating on real servers: what was priced wrongly is settled exactly once, and can be taken back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis
from typer.testing import CliRunner, Result

from balance.account import Account
from balance.store import BackendUnavailable
from balance.valkey.store import ValkeyStore, open_store
from ocs import rerating
from ocs.auditor import audit
from ocs.billing import reratings
from ocs.billing.reratings import Selection
from ocs.charging.policy import quota_policy
from ocs.charging.recharge import AccountDesk
from ocs.charging.request import ChargingAnswer, ChargingRequest, GroupKey, GroupRequest, Quantity, RequestKind
from ocs.charging.service import OnlineCharging
from ocs.cli.app import app
from ocs.clock import now_ms
from ocs.errors import EXIT_CONFIG
from ocs.rating.load import load_ratebook
from ocs.rating.units import UnitKind
from ocs.rerating import Direction, RunRefusedError
from ocs.settings import Settings
from tests.integration.books import flush_all

pytestmark = pytest.mark.integration

EUR = 10**9
SETTINGS = Settings()
ALL = Selection(0, 2**41)
WRONG, RIGHT = "100,0.01 per second,0.01,1,1", "100,0.01 per second,0.004,1,1"


class World:
    """Two accounts that have made calls at a wrong price, and the books of it."""

    def __init__(self, config: Path, valkey_url: str, dsn: str, store: ValkeyStore) -> None:
        self.config = config
        self.valkey_url = valkey_url
        self.dsn = dsn
        self.redis: Any = Redis.from_url(valkey_url)
        self.deck = config.parent / "decks" / "test-voice-eur.csv"
        loaded = load_ratebook(config.parent, now_ms())
        assert loaded.book is not None
        self.online = OnlineCharging(store, loaded.book, quota_policy(SETTINGS), now_ms)
        self.desk = AccountDesk(self.online, store, now_ms, loaded.currencies)

    async def open(self) -> None:
        for name in ("alice", "bob"):
            created = await self.desk.create_account(name, "EUR", "test-eur", 0, 0, actor="test")
            assert isinstance(created, Account)
            await self.desk.top_up(name, 10 * EUR, "EUR", key="t", actor="test", reason="")
            await self.desk.subscribers.create(name, name, (f"name:{name}",), "")
        for name, seconds in (("alice", 100), ("alice", 50), ("bob", 10)):
            await self.call(name, seconds)
        await self.flush()

    async def call(
        self, name: str, seconds: int, destination: str = "100123", network: str = "", group: int = -1
    ) -> None:
        """One call of so many seconds; with a group it is online time."""
        for number, kind in enumerate((RequestKind.INITIAL, RequestKind.TERMINATION)):
            done: asyncio.Future[ChargingAnswer] = asyncio.get_running_loop().create_future()
            used = (Quantity(UnitKind.SECONDS, seconds),) if number else None
            wanted = None if number else (Quantity(UnitKind.SECONDS, seconds),)
            request = ChargingRequest(
                kind=kind,
                session_key=f"gy:{name}-{seconds}",
                request_number=number,
                identities=(f"name:{name}",),
                service="voice" if group < 0 else "data",
                event_at_ms=now_ms(),
                groups=(GroupRequest(GroupKey(group), wanted, used),),
                destination=destination,
                fingerprint=number,
                whereabouts=network,
            )
            self.online.submit(request, done.set_result)
            await done

    async def flush(self) -> None:
        """Carry all that waits to PostgreSQL."""
        await flush_all(self.valkey_url, self.dsn)

    def correct(self) -> None:
        """Repair the price that was wrong."""
        text = self.deck.read_text(encoding="utf-8")
        assert WRONG in text
        self.deck.write_text(text.replace(WRONG, RIGHT), encoding="utf-8")

    async def preview(self, selection: Selection = ALL, plan: str = "") -> rerating.Preview:
        book = load_ratebook(self.config.parent, now_ms()).book
        assert book is not None
        return await rerating.preview(self.dsn, self.redis, book, selection, plan, now_ms(), lambda _: None)

    async def settle(self, run_id: str, direction: Direction = Direction.APPLY) -> list[reratings.AccountLine]:
        return await rerating.settle(self.dsn, self.redis, self.desk, run_id, direction, lambda _done, _total: None)

    async def balances(self) -> dict[str, int]:
        """In cents; and the books balance whenever they are looked at."""
        report = await audit(self.valkey_url, self.dsn)
        assert report.is_clean, report
        accounts = [await self.desk.account(name) for name in ("alice", "bob")]
        return {each.account_id: each.buckets[0].balance * 100 // EUR for each in accounts if each}


@pytest.fixture
async def world(sample_config: Path, valkey_url: str, billing_dsn: str) -> AsyncIterator[World]:
    """150 s of alice's and 10 s of bob's at 0.01 instead of 0.004."""
    store = await open_store(valkey_url, SETTINGS.backends.partitions)
    world = World(sample_config, valkey_url, billing_dsn, store)
    await world.open()
    yield world
    await world.redis.aclose()
    await store.close()


WRONGLY, RIGHTLY = {"alice": 850, "bob": 990}, {"alice": 940, "bob": 996}


async def test_preview_apply_and_roll_back(world: World) -> None:
    """[R] A preview moves nothing, applying settles each account once, rolling back takes exactly that back."""
    assert (await world.preview()).run_id == ""
    world.correct()
    found = await world.preview()
    assert [(line.cost_before * 100 // EUR, line.cost_after * 1000 // EUR) for line in found.lines] == [
        (100, 400), (50, 200), (10, 40),
    ]  # fmt: skip
    assert await world.balances() == WRONGLY
    await world.settle(found.run_id)
    assert await world.balances() == RIGHTLY
    with pytest.raises(RunRefusedError, match="is applied: it cannot be applied"):
        await world.settle(found.run_id)
    assert (await world.preview()).run_id == ""
    await world.settle(found.run_id, Direction.UNDO)
    assert await world.balances() == WRONGLY
    assert len((await world.preview()).lines) == 3


@pytest.mark.parametrize(
    ("step", "flushed"), [*((step, True) for step in range(8)), (2, False), (3, False), (4, False)]
)
async def test_interrupted_anywhere_it_is_settled_once(
    world: World, monkeypatch: pytest.MonkeyPatch, step: int, flushed: bool
) -> None:
    """[R] Whatever note or posting is lost in the middle, saying the same again ends with the right balances."""
    world.correct()
    run_id = (await world.preview()).run_id
    for direction, expected in ((Direction.APPLY, RIGHTLY), (Direction.UNDO, WRONGLY)):
        with monkeypatch.context() as patch:
            _lose(patch, step)
            try:
                await world.settle(run_id, direction)
            except BackendUnavailable:
                if flushed:
                    await world.flush()
                # The store has forgotten the keys meanwhile: the journal and the outbox remember.
                for key in await world.redis.keys("*op:*rerate*"):
                    await world.redis.delete(key)
                patch.undo()
                await world.settle(run_id, direction)
        assert await world.balances() == expected


def _lose(patch: pytest.MonkeyPatch, step: int) -> None:
    """End the work before or after the step-th call that writes."""
    calls = 0

    def breaking(real: Any) -> Any:
        async def call(*arguments: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == step // 2 + 1 and step % 2 == 0:
                raise ConnectionError
            result = await real(*arguments, **named)
            if calls == step // 2 + 1:
                raise ConnectionError
            return result

        return call

    for name in ("set_state", "set_applied", "set_undone"):
        patch.setattr(reratings, name, breaking(getattr(reratings, name)))
    patch.setattr(AccountDesk, "adjust", breaking(AccountDesk.adjust))


@pytest.mark.parametrize(
    ("selection", "records"),
    [
        (Selection(0, 2**41, account_id="alice"), 2),
        (Selection(0, 2**41, destination="1001"), 3),
        (Selection(0, 2**41, destination="200"), 0),
        (Selection(0, 2**41, rate_version="other"), 0),
        (Selection(0, 1000), 0),
    ],
)
async def test_what_is_selected(world: World, selection: Selection, records: int) -> None:
    """By account, destination, version and time."""
    assert (await world.preview(selection)).records == records


async def test_runs_on_the_same_records(world: World) -> None:
    """An old preview is not applied over a newer run, and runs are rolled back in the order of their making."""
    world.correct()
    first, second = await world.preview(), await world.preview()
    await world.settle(first.run_id)
    with pytest.raises(RunRefusedError, match="3 records cost something else since the preview"):
        await world.settle(second.run_id)
    world.deck.write_text(world.deck.read_text(encoding="utf-8").replace("0.004", "0.006"), encoding="utf-8")
    third = await world.preview()
    await world.settle(third.run_id)
    assert await world.balances() == {"alice": 910, "bob": 994}
    with pytest.raises(RunRefusedError, match=f"roll back {third.run_id} first"):
        await world.settle(first.run_id, Direction.UNDO)


async def test_a_record_is_rated_anew_from_where_it_came(world: World) -> None:
    """[R] A line that should have been for the visited network finds the record that was made there, and no other."""
    await world.call("bob", 20, "600123", network="26202")
    await world.call("bob", 30, "600123")
    await world.flush()
    text = world.deck.read_text(encoding="utf-8")
    line = "600,In the visited network,0.02,1,1,,,,,network:26202,\n"
    world.deck.write_text(text + line, encoding="utf-8")
    (found,) = (await world.preview()).lines
    assert (found.cost_before * 100 // EUR, found.cost_after * 100 // EUR) == (20, 40)


async def test_3_8_what_volume_gave_back_is_rated_anew_too(world: World) -> None:
    """[R] 90 s of a month at 0.01, since there were more than 60: 0.015 for each of them is 0.45 more, however it was paid."""
    for seconds in (50, 40):
        await world.call("bob", seconds, group=55)
    await world.flush()
    assert (await world.balances())["bob"] == 900
    plan = world.config.parent / "rateplans" / "test-eur.toml"
    text = plan.read_text(encoding="utf-8")
    head, name, rest = text.partition('name = "Test volume"')
    assert name
    rest = rest.replace('rate = "0.02"', 'rate = "0.03"', 1).replace('rate = "0.01"', 'rate = "0.015"', 1)
    plan.write_text(head + name + rest, encoding="utf-8")
    found = await world.preview()
    assert len(found.lines) == 2
    await world.settle(found.run_id)
    await world.flush()
    assert (await world.balances())["bob"] == 855
    assert (await world.preview()).run_id == ""


async def test_a_record_is_rated_anew_by_its_own_plan(world: World) -> None:
    """[R] What an account has subscribed to since does not matter; a record that does not say is asked of its account."""
    await world.redis.flushdb()
    assert (await world.preview()).unpriced == {}
    connection = await asyncpg.connect(world.dsn)
    await connection.execute("UPDATE cdr SET rate_plan = ''")
    await connection.close()
    assert (await world.preview()).unpriced == {"unknown_plan": 3}


async def test_records_without_a_price_stay(world: World) -> None:
    """They are counted with their reason, not settled with a guess."""
    for plan, reason in (("wholesale-usd", "another currency or unit"), ("none", "unknown_plan")):
        found = await world.preview(plan=plan)
        assert (found.run_id, found.records, found.unpriced) == ("", 3, {reason: 3})


def _ocs(world: World, *arguments: str) -> Result:
    environment = {"OCS_VALKEY_URL": world.valkey_url, "OCS_POSTGRES_DSN": world.dsn, "COLUMNS": "200"}
    return CliRunner().invoke(app, ["rerate", *arguments, "--config", str(world.config)], env=environment)


async def test_the_commands(world: World) -> None:
    """As an operator types them, from the preview to the roll-back."""
    world.correct()
    span = "--cdrs=2020-01-01..2038-01-01"
    shown = await asyncio.to_thread(_ocs, world, "preview", span)
    assert "3 records, 3 cost something else" in shown.output
    run_id = shown.output.split()[-1]
    as_json = json.loads((await asyncio.to_thread(_ocs, world, "preview", span, "--json")).output)
    assert {each["account_id"]: each["adjustment"] for each in as_json["accounts"]} == {"alice": "0.90", "bob": "0.06"}
    applied = await asyncio.to_thread(_ocs, world, "apply", run_id)
    assert (applied.exit_code, "2 accounts settled, 0 refused" in applied.output) == (0, True), applied.output
    assert await world.balances() == RIGHTLY
    assert (await asyncio.to_thread(_ocs, world, "apply", "unknown")).exit_code == EXIT_CONFIG
    assert (await asyncio.to_thread(_ocs, world, "rollback", run_id)).exit_code == 0
    runs = json.loads((await asyncio.to_thread(_ocs, world, "list", "--json")).output)["runs"]
    assert {each["run"]: each["state"] for each in runs}[run_id] == "undone"
    assert await world.balances() == WRONGLY
