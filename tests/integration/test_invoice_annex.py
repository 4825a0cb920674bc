"""The records behind an invoice as CSV: each once, exact, of any number, headed for programs or for the customer."""

from __future__ import annotations

import csv
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from ocs.billing.invoices import annex, book
from ocs.billing.invoices.annex import annex_csv
from ocs.billing.invoices.book import Invoice
from ocs.billing.invoices.customers import Customer
from tests.integration.invoice_world import BAKERY, KAISHA, World, close_world, open_world
from tests.integration.test_invoices import BERLIN, CENT, NOVEMBER, OCTOBER

pytestmark = pytest.mark.integration


@pytest.fixture
async def world(sample_config: Path, valkey_url: str, billing_dsn: str) -> AsyncIterator[World]:
    world = await open_world(sample_config, valkey_url, billing_dsn)
    yield world
    await close_world(world)


async def _rows(world: World, invoice: Invoice, customer: Customer, *, in_words: bool = False) -> list[list[str]]:
    currency = world.currencies[invoice.currency]
    pieces = [each async for each in annex_csv(world.connection, invoice, customer, currency, in_words=in_words)]
    return list(csv.reader("".join(pieces).splitlines()))


async def test_each_record_once_with_what_it_cost(world: World) -> None:
    """Two accounts, local times across a change of the clock, a name with a comma; the amounts add up to the lines."""
    await world.add(BAKERY)
    await world.call("bakery", "2026-09-10T10:00", BERLIN, 100)
    await world.call("bakery-oven", "2026-10-25T01:30", BERLIN, 61, "200123")
    await world.call("bakery", "2026-10-25T12:00", BERLIN, 7)
    september, october = await world.bill(NOVEMBER)
    await world.connection.execute("UPDATE cdr SET subscriber = 'Müller, \"Ofen\"' WHERE account_id = 'bakery-oven'")

    assert await _rows(world, september, BAKERY) == [
        list(annex.COLUMNS),
        ["bakery", "2", "2026-09-10T10:00:00.000+02:00", "bakery", "voice", "100123", "0.01 per second", "100", "s", "1.00", "EUR", "false"],
    ]  # fmt: skip
    heading, *rows = await _rows(world, october, BAKERY, in_words=True)
    assert heading == [
        "Konto",
        "Satz",
        "Zeit",
        "Von",
        "Dienst",
        "Nach",
        "Ziel",
        "Nutzung",
        "Einheit",
        "Betrag",
        "Währung",
        "Nachtrag",
    ]
    assert [(row[0], row[2], row[3], row[9]) for row in rows] == [
        ("bakery", "2026-10-25T12:00:00.000+01:00", "bakery", "0.07"),
        ("bakery-oven", "2026-10-25T01:30:00.000+02:00", 'Müller, "Ofen"', "0.60"),
    ]
    lines = await book.lines_of(world.connection, october.invoice_id)
    assert sum(Decimal(row[9]) for row in rows) * 100 * CENT == sum(line.amount for line in lines)


async def test_yen_have_halves_before_they_are_rounded(world: World) -> None:
    """The annex shows what the calls cost, exact; only the lines are rounded."""
    await world.add(KAISHA)
    await world.call("kaisha", "2026-09-10T10:00", "Asia/Tokyo", 3)
    (september,) = await world.bill(OCTOBER)
    assert [row[9] for row in await _rows(world, september, KAISHA)] == ["amount", "4.5"]


async def test_late_records_are_in_the_annex_of_their_invoice(world: World) -> None:
    """With supplementary invoices, the late records are in the one's annex and the others in the other's."""
    entity = msgspec.structs.replace(world.issuers.entities["example"], late_records="supplementary_invoice")
    world.issuers.entities["example"] = entity
    await world.add(BAKERY)
    await world.call("bakery", "2026-09-10T10:00", BERLIN, 100)
    await world.bill(OCTOBER)
    await world.call("bakery", "2026-10-10T10:00", BERLIN, 10)
    await world.flush()
    await world.connection.execute("UPDATE cdr SET started_at = '2026-09-12' WHERE entry_number = 3")
    await world.call("bakery", "2026-10-12T10:00", BERLIN, 20)
    main, late = await world.bill(NOVEMBER)
    found: dict[str, Any] = {}
    for name, invoice in (("main", main), ("late", late)):
        found[name] = [(row[7], row[11]) for row in (await _rows(world, invoice, BAKERY))[1:]]
    assert found == {"main": [("20", "false")], "late": [("10", "true")]}


async def test_it_is_written_piece_by_piece(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many records there are, no more than a piece of them is held at a time."""
    monkeypatch.setattr(annex, "CHUNK", 2)
    await world.add(BAKERY)
    for day in range(1, 6):
        await world.call("bakery", f"2026-09-{day:02}T10:00", BERLIN, day)
    (september,) = await world.bill(OCTOBER)
    currency = world.currencies["EUR"]
    pieces = [each async for each in annex_csv(world.connection, september, BAKERY, currency, in_words=False)]
    assert [piece.count("\n") for piece in pieces] == [2, 2, 2, 0]
