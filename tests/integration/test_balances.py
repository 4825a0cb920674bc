"""The three balances of a postpaid customer, from the first call to the payment: one sign, and they add up at every moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from balance.money import format_amount
from ocs.api.views import BalancesView, balances_view
from ocs.billing.balances import invoiced
from ocs.charging.money_desk import MoneyDesk
from ocs.charging.operations import Limits
from ocs.cli.app import app
from ocs.clock import now_ms
from ocs.errors import EXIT_CONFIG
from tests.integration.invoice_world import BAKERY, World, close_world, open_world
from tests.integration.test_invoices import BERLIN, OCTOBER

pytestmark = pytest.mark.integration


@pytest.fixture
async def world(sample_config: Path, valkey_url: str, billing_dsn: str) -> AsyncIterator[World]:
    """The bakery: two accounts, the first one pays; it may owe 50.00."""
    world = await open_world(sample_config, valkey_url, billing_dsn)
    await world.add(BAKERY)
    yield world
    await close_world(world)


async def _balances(world: World, account_id: str) -> tuple[str, str | None, str | None]:
    """Live, invoiced and unbilled."""
    account = await world.desk.account(account_id)
    assert account is not None
    paper = await invoiced(world.connection, account_id)
    view: BalancesView = balances_view(
        account, None if paper is None else paper.balance, world.invoicing._currencies[account.currency], now_ms()
    )
    return view.live, view.invoiced, view.unbilled


async def test_from_the_call_to_the_payment(world: World) -> None:
    """Used, invoiced with tax, partly paid, paid too much: each figure says its part, and live = invoiced + unbilled."""
    payer, other = BAKERY.accounts
    assert await _balances(world, other) == ("0.00", None, None), "no invoice is paid by it"
    assert await _balances(world, payer) == ("0.00", "0.00", "0.00")
    await world.call(payer, "2026-09-10T10:00", BERLIN, 1000)
    assert await _balances(world, payer) == ("-10.00", "0.00", "-10.00")
    (draft,) = await world.bill(OCTOBER)
    assert await _balances(world, payer) == ("-10.00", "0.00", "-10.00"), "a draft is no invoice"
    await world.invoicing.issue(draft.invoice_id, OCTOBER)
    assert await _balances(world, payer) == ("-11.90", "-11.90", "0.00")
    await world.call(payer, "2026-10-02T10:00", BERLIN, 100)
    assert await _balances(world, payer) == ("-12.90", "-11.90", "-1.00")
    paid = date(2026, 10, 5)
    await world.invoicing.pay(BAKERY, 500, paid, today=paid, method="bank", reference="1")
    assert await _balances(world, payer) == ("-7.90", "-6.90", "-1.00")
    await world.invoicing.pay(BAKERY, 1000, paid, today=paid, method="bank", reference="2")
    assert await _balances(world, payer) == ("2.10", "3.10", "-1.00"), "what pays no invoice yet is the customer's"


async def test_a_customer_goes_on_paying_for_an_account_that_was_merged(world: World) -> None:
    """What it used before is billed to its customer as ever; what the invoice books, and the payment, go where its debt has gone."""
    payer, _ = BAKERY.accounts
    await world.desk.create_account("stays", "EUR", "test-eur", 0, 0, actor="test")
    await world.call(payer, "2026-09-10T10:00", BERLIN, 1000)
    await MoneyDesk(world.desk, now_ms).merge(payer, "stays", key="m", actor="test", reason="")
    (draft,) = await world.bill(OCTOBER)
    await world.invoicing.issue(draft.invoice_id, OCTOBER)
    assert (await _balances(world, "stays"))[0] == "-11.90"
    paid = date(2026, 10, 5)
    await world.invoicing.pay(BAKERY, 1190, paid, today=paid, method="bank", reference="1")
    assert ((await _balances(world, "stays"))[0], (await _balances(world, payer))[0]) == ("0.00", "0.00")
    assert await world.invoicing.settle(paid) == 0
    await world.flush()
    assert await world.is_clean()


async def test_an_account_that_owes_by_invoices_is_not_merged(
    world: World, sample_config: Path, valkey_url: str, billing_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`ocs account merge` says so, and how to see them; nothing has moved."""
    payer, other = BAKERY.accounts
    await world.call(payer, "2026-09-10T10:00", BERLIN, 1000)
    (draft,) = await world.bill(OCTOBER)
    await world.invoicing.issue(draft.invoice_id, OCTOBER)
    monkeypatch.setenv("OCS_VALKEY_URL", valkey_url)
    monkeypatch.setenv("OCS_POSTGRES_DSN", billing_dsn)
    words = ["account", "merge", payer, other, "--reason", "x", "--config", str(sample_config)]
    refused = await asyncio.to_thread(CliRunner().invoke, app, words)
    assert (refused.exit_code, f"ocs account balances {payer}" in refused.stderr) == (EXIT_CONFIG, True), refused.stderr
    assert (await _balances(world, payer))[0] == "-11.90"


async def test_available_counts_credit_and_reservations(world: World) -> None:
    """What may be spent: the credit limit over unbilled use, open invoices and reservations (statement 107)."""
    payer, _ = BAKERY.accounts
    await world.desk.set_limits(payer, Limits(credit_limit=50 * 10**9), key="l", actor="test", reason="")
    await world.call(payer, "2026-09-10T10:00", BERLIN, 1000)
    account = await world.desk.account(payer)
    assert account is not None
    currency = world.invoicing._currencies[account.currency]
    view = balances_view(account, 0, currency, now_ms())
    assert (view.live, view.credit_limit, view.reserved, view.available) == ("-10.00", "50.00", "0.00", "40.00")
    assert format_amount(account.credit_limit, currency.scale, currency.digits) == view.credit_limit
