"""Dunning on real servers: reminded, charged a fee, suspended, and back at once when the money comes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import pytest

from balance.account import AccountState
from ocs.charging.recharge import AccountDesk
from tests.integration.invoice_world import BAKERY, World, close_world, open_world
from tests.integration.test_invoices import BERLIN, NOVEMBER, OCTOBER

pytestmark = pytest.mark.integration

# Issued on 1 October, due on the 15th.
REMINDED, CHARGED, WARNED, SUSPENDED = date(2026, 10, 19), date(2026, 10, 29), date(2026, 11, 5), date(2026, 11, 12)


@pytest.fixture
async def world(sample_config: Path, valkey_url: str, billing_dsn: str) -> AsyncIterator[World]:
    """The bakery owes 11.90 since 15 October."""
    world = await open_world(sample_config, valkey_url, billing_dsn)
    await owing(world)
    yield world
    await close_world(world)


async def owing(world: World) -> None:
    await world.add(BAKERY)
    await world.call("bakery", "2026-09-10T10:00", BERLIN, 1000)
    (draft,) = await world.bill(OCTOBER)
    await world.invoicing.issue(draft.invoice_id, OCTOBER)


async def states(world: World) -> list[AccountState]:
    found = [await world.desk.account(name) for name in BAKERY.accounts]
    return [account.state for account in found if account is not None]


async def actions(world: World, on: date) -> list[str]:
    findings = await world.invoicing.dunning.run(on, is_dry=False)
    return [task.step.name for finding in findings for task in finding.verdict.tasks]


async def test_to_suspension_and_back(world: World) -> None:
    """Each step once; the fee is on the next invoice; both accounts are suspended, and open again with the payment."""
    dry = await world.invoicing.dunning.run(SUSPENDED, is_dry=True)
    assert [(each.verdict.block, len(each.verdict.tasks)) for each in dry] == [("suspend", 3)]
    assert await states(world) == [AccountState.ACTIVE] * 2, "a dry run does nothing"
    assert await actions(world, date(2026, 10, 16)) == []
    assert await actions(world, REMINDED) == ["remind-3"]
    assert await actions(world, REMINDED) == []
    assert await actions(world, CHARGED) == ["late_fee-14"]
    assert await actions(world, WARNED) == ["warn-21"]
    assert await actions(world, SUSPENDED) == []
    assert await states(world) == [AccountState.SUSPENDED] * 2

    (october,) = await world.bill(NOVEMBER)
    assert (october.net_minor, october.tax_minor) == (500, 95), "the late fee, with tax"
    # 7.00 of 11.90: what is left is below what is chased.
    await world.invoicing.pay(BAKERY, 700, SUSPENDED, today=SUSPENDED, method="bank", reference="1")
    assert await states(world) == [AccountState.ACTIVE] * 2
    await world.flush()
    assert await world.is_clean()


async def test_a_payment_leaves_what_the_operator_has_blocked(world: World) -> None:
    """Dunning lifts its own block alone: an account that was blocked by hand stays so, and opens by hand."""
    await actions(world, SUSPENDED)
    first, second = BAKERY.accounts
    await world.desk.set_state(first, AccountState.SUSPENDED, key="fraud", actor="operator", reason="fraud")
    await world.invoicing.pay(BAKERY, 1190, SUSPENDED, today=SUSPENDED, method="bank", reference="1")
    assert await states(world) == [AccountState.SUSPENDED, AccountState.ACTIVE]
    await world.desk.set_state(first, AccountState.ACTIVE, key="cleared", actor="operator", reason="cleared")
    assert await states(world) == [AccountState.ACTIVE] * 2
    assert second != first
    await world.flush()
    assert await world.is_clean()


async def test_a_payment_takes_no_step(world: World) -> None:
    """Money that comes, at whatever hour, gives back what was blocked; it never reminds, charges or blocks."""
    await world.invoicing.pay(BAKERY, 10, SUSPENDED, today=SUSPENDED, method="bank", reference="1")
    assert await states(world) == [AccountState.ACTIVE] * 2
    assert await actions(world, SUSPENDED) == ["remind-3", "late_fee-14", "warn-21"]
    assert await states(world) == [AccountState.SUSPENDED] * 2


async def test_a_promise_and_a_dispute_hold_it(world: World) -> None:
    """Nothing is done up to the promised day, nor about an invoice that is disputed."""
    dunning = world.invoicing.dunning
    await dunning.promise(BAKERY, WARNED, is_exempt=False)
    assert await actions(world, WARNED) == []
    await world.connection.execute("UPDATE invoice SET is_disputed = true")
    assert await actions(world, SUSPENDED) == []
    await world.connection.execute("UPDATE invoice SET is_disputed = false")
    assert await actions(world, SUSPENDED) == ["remind-3", "late_fee-14", "warn-21"]
    await dunning.promise(BAKERY, None, is_exempt=True)
    await dunning.act(BAKERY, SUSPENDED)
    assert await states(world) == [AccountState.ACTIVE] * 2


@pytest.mark.parametrize("place", [0, 1])
async def test_a_crash_in_the_middle_is_made_good(world: World, monkeypatch: pytest.MonkeyPatch, place: int) -> None:
    """One account is suspended and the other not: the next look carries the same change out."""
    real, calls = AccountDesk.set_state, 0

    async def set_state(*arguments: object, **named: object) -> object:
        nonlocal calls
        calls += 1
        if calls == place + 1:
            raise ConnectionError
        return await real(*arguments, **named)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(AccountDesk, "set_state", set_state)
        with pytest.raises(ConnectionError):
            await world.invoicing.dunning.act(BAKERY, SUSPENDED)
    await world.invoicing.dunning.act(BAKERY, SUSPENDED)
    assert await states(world) == [AccountState.SUSPENDED] * 2


async def test_limited_then_suspended_then_back(sample_config: Path, valkey_url: str, billing_dsn: str) -> None:
    """The step `limit` leaves incoming calls, `suspend` takes them, and a payment gives all back at once; the operator's stays."""
    rules = sample_config.parent / "billing.toml"
    step = '[[dunning.steps]]\nafter_days = 22\naction = "limit"\n\n'
    text = rules.read_text(encoding="utf-8")
    rules.write_text(text.replace("[[dunning.steps]]\nafter_days = 28", f"{step}[[dunning.steps]]\nafter_days = 28"))
    world = await open_world(sample_config, valkey_url, billing_dsn)
    try:
        await owing(world)
        limited = date(2026, 11, 6)
        await actions(world, limited)
        assert await states(world) == [AccountState.LIMITED] * 2
        first, _ = BAKERY.accounts
        await world.desk.set_state(first, AccountState.SUSPENDED, key="fraud", actor="operator", reason="fraud")
        assert await states(world) == [AccountState.SUSPENDED, AccountState.LIMITED]
        await actions(world, SUSPENDED)
        assert await states(world) == [AccountState.SUSPENDED] * 2
        await world.invoicing.pay(BAKERY, 1190, SUSPENDED, today=SUSPENDED, method="bank", reference="1")
        assert await states(world) == [AccountState.SUSPENDED, AccountState.ACTIVE]
        await world.flush()
        assert await world.is_clean()
    finally:
        await close_world(world)
