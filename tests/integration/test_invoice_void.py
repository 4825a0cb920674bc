"""A voided invoice: the number stays, a credit note takes all of it back, its records are billed anew, once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import asyncpg
import msgspec
import pytest

from ocs.billing.invoices import book
from ocs.billing.invoices.annex import records_of
from ocs.billing.invoices.book import InvoiceRefusedError, InvoiceState
from ocs.billing.invoices.checks import check_invoices
from ocs.billing.invoices.credit_notes import draft_credit_note
from ocs.billing.invoices.payments import payments_of
from tests.integration.invoice_world import BAKERY, World, close_world, open_world
from tests.integration.test_invoices import BERLIN, CENT, NOVEMBER, OCTOBER

pytestmark = pytest.mark.integration


@pytest.fixture
async def world(sample_config: Path, valkey_url: str, billing_dsn: str) -> AsyncIterator[World]:
    """Calls of two accounts, 1.00 and 0.60 net, and a fee of 10.00 for September and one for October."""
    world = await open_world(sample_config, valkey_url, billing_dsn)
    await world.add(BAKERY)
    await world.fee(BAKERY, "Anschluss", 1000 * CENT, date(2026, 9, 1))
    await world.call("bakery", "2026-09-10T10:00", BERLIN, 100)
    await world.call("bakery-oven", "2026-09-30T23:30", BERLIN, 61, "200123")
    yield world
    await close_world(world)


async def _balances(world: World) -> tuple[int, int]:
    return await world.balance("bakery"), await world.balance("bakery-oven")


async def test_an_invoice_is_voided_and_billed_anew(world: World) -> None:
    """Issued, paid in part, voided, billed again to another address: each amount, each number, and the money paid."""
    (first,) = await world.bill(OCTOBER)
    issued = await world.invoicing.issue(first.invoice_id, OCTOBER)
    assert (issued.number, issued.total_minor) == ("R-2026-000001", 2570)  # 21.60 net and 19 % of it
    await world.invoicing.pay(BAKERY, 500, OCTOBER, today=OCTOBER, method="bank", reference="1")
    assert await _balances(world) == (-2070 * CENT, 0)

    (note,) = await world.invoicing.void(issued, "wrong address", OCTOBER)
    assert (note.number, note.total_minor, note.corrects) == ("G-2026-000001", -2570, issued.invoice_id)
    void = await book.find_invoice(world.connection, "R-2026-000001")
    assert void is not None
    assert (void.state, void.total_minor, void.open_minor) == (InvoiceState.VOID, 2570, 0)
    # As if it had never been: the calls are debited to the accounts that made them, and 5.00 were paid.
    assert await _balances(world) == (-100 * CENT + 500 * CENT, -60 * CENT)
    assert [each.number for each in await world.invoicing.void(void, "again", NOVEMBER)] == ["G-2026-000001"]

    (again,) = await world.bill(OCTOBER)
    assert again.total_minor == 2570
    for each in (void, again):  # what it had billed is still to be read; it is billed by the new one
        listed = [(row.account_id, row.used) async for row in records_of(world.connection, each, "Europe/Berlin")]
        assert listed == [("bakery", 100), ("bakery-oven", 61)]
    assert [line.charge_id for line in await book.lines_of(world.connection, again.invoice_id)][
        -1
    ] == "bakery-Anschluss"
    anew = await world.invoicing.issue(again.invoice_id, OCTOBER)
    assert (anew.number, anew.paid_minor) == ("R-2026-000002", 500)
    assert await _balances(world) == (-2070 * CENT, 0)
    assert [(each.amount_minor, each.credit_minor) for each in await payments_of(world.connection, "bakery")] == [
        (500, 0)
    ]
    await world.flush()
    assert await world.is_clean()
    assert await check_invoices(world.connection) == (3, [])


async def test_what_cannot_be_voided_says_why(world: World) -> None:
    """A draft, a credit note, one that is credited in part, one that others follow."""
    await world.call("bakery", "2026-10-10T10:00", BERLIN, 50)
    september, october = await world.bill(NOVEMBER)
    with pytest.raises(InvoiceRefusedError, match="a draft is discarded"):
        await world.invoicing.void(september, "x", NOVEMBER)
    september = await world.invoicing.issue(september.invoice_id, NOVEMBER)
    with pytest.raises(InvoiceRefusedError, match=f"invoice {october.invoice_id} follows it"):
        await world.invoicing.void(september, "x", NOVEMBER)
    october = await world.invoicing.issue(october.invoice_id, NOVEMBER)
    note_id = await draft_credit_note(world.connection, october.invoice_id, "less", {1: 10})
    note = await world.invoicing.issue(note_id, NOVEMBER)
    with pytest.raises(InvoiceRefusedError, match="credited in part"):
        await world.invoicing.void(october, "x", NOVEMBER)
    with pytest.raises(InvoiceRefusedError, match="an issued invoice"):
        await world.invoicing.void(note, "x", NOVEMBER)


async def test_a_supplementary_invoice_goes_with_its_main_one(world: World) -> None:
    """The late records are free again with the others; both numbers stay, each with its note."""
    entity = msgspec.structs.replace(world.issuers.entities["example"], late_records="supplementary_invoice")
    world.issuers.entities["example"] = entity
    (september,) = await world.bill(OCTOBER)
    await world.invoicing.issue(september.invoice_id, OCTOBER)
    await world.call("bakery", "2026-10-10T10:00", BERLIN, 10)
    await world.flush()
    await world.connection.execute("UPDATE cdr SET started_at = '2026-09-12' WHERE started_at > '2026-10-02'")
    before = await _balances(world)
    main, late = await world.bill(NOVEMBER)
    for each in (main, late):
        await world.invoicing.issue(each.invoice_id, NOVEMBER)
    issued = await book.find_invoices(world.connection, [main.invoice_id, late.invoice_id])
    with pytest.raises(InvoiceRefusedError, match="void that one"):
        await world.invoicing.void(issued[1], "x", NOVEMBER)
    notes = await world.invoicing.void(issued[0], "x", NOVEMBER)
    assert [note.corrects for note in notes] == [main.invoice_id, late.invoice_id]
    assert await _balances(world) == before
    assert [each.total_minor for each in await world.bill(NOVEMBER)] == [main.total_minor, late.total_minor]
    await world.flush()
    assert await world.is_clean()


async def test_voids_at_once_and_a_crash_before_the_booking(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two clerks at the same moment make one note; what a crash left unbooked is booked by whoever settles, once."""
    (draft,) = await world.bill(OCTOBER)
    issued = await world.invoicing.issue(draft.invoice_id, OCTOBER)
    with monkeypatch.context() as patch:
        patch.setattr(world.desk, "adjust", _lost)
        with pytest.raises(ConnectionError):
            await world.invoicing.void(issued, "x", OCTOBER)
    assert await _balances(world) == (-issued.total_minor * CENT, 0)
    await world.invoicing.settle(OCTOBER)
    assert await _balances(world) == (-100 * CENT, -60 * CENT)

    (draft,) = await world.bill(OCTOBER)
    issued = await world.invoicing.issue(draft.invoice_id, OCTOBER)
    async with asyncpg.create_pool(world.dsn, min_size=3, max_size=3) as pool:
        clerks = [
            type(world.invoicing)(await pool.acquire(), world.redis, world.desk, world.issuers, world.currencies)
            for _ in range(3)
        ]
        notes = await asyncio.gather(*[clerk.void(issued, "x", OCTOBER) for clerk in clerks])
        assert {each.number for (each,) in notes} == {"G-2026-000002"}
        assert await _balances(world) == (-100 * CENT, -60 * CENT)
        for clerk in clerks:
            await pool.release(clerk._connection)


async def _lost(*_arguments: object, **_named: object) -> object:
    raise ConnectionError
