"""From calls to invoices that are paid, on real servers: every amount is stated here and can be checked by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from ocs.billing.invoices import book
from ocs.billing.invoices.book import InvoiceRefusedError, InvoiceState
from ocs.billing.invoices.calculation import minor_unit
from ocs.billing.invoices.checks import check_invoices
from ocs.billing.invoices.credit_notes import draft_credit_note
from ocs.billing.invoices.customers import Customer
from ocs.billing.invoices.run import run
from ocs.billing.invoices.usage import details_of
from tests.integration.invoice_world import BAKERY, CARRIER, KAISHA, World, at, close_world, open_world

pytestmark = pytest.mark.integration

BERLIN = "Europe/Berlin"
CENT = 10**7
OCTOBER, NOVEMBER, DECEMBER = date(2026, 10, 1), date(2026, 11, 1), date(2026, 12, 1)


@pytest.fixture
async def world(sample_config: Path, valkey_url: str, billing_dsn: str) -> AsyncIterator[World]:
    world = await open_world(sample_config, valkey_url, billing_dsn)
    yield world
    await close_world(world)


async def test_two_months_of_a_customer(world: World) -> None:
    """Calls of two accounts and a fee that began in mid-month; tax once; the balance is minus what is owed."""
    await world.add(BAKERY)
    await world.fee(BAKERY, "Anschluss", 1000 * CENT, date(2026, 9, 16))
    await world.call("bakery", "2026-09-10T10:00", BERLIN, 100)  # 1.00
    await world.call("bakery-oven", "2026-09-30T23:30", BERLIN, 61, "200123")  # 0.60: two started minutes
    await world.call("bakery", "2026-10-01T00:10", BERLIN, 20)  # October's, though still September in UTC

    (september,) = await world.bill(OCTOBER)
    # 1.00 + 0.60 + 15/30 of 10.00 + October's 10.00 in advance = 16.60; 19 % of it is 3.154
    assert (september.net_minor, september.tax_minor, september.total_minor) == (1660, 315, 1975)
    assert (september.state, september.number) == (InvoiceState.DRAFT, None)
    lines = await book.lines_of(world.connection, september.invoice_id)
    assert [(line.text, line.records, line.used, line.net_minor) for line in lines] == [
        ("0.01 per second", 1, 100, 100),
        ("0.30 per started minute", 1, 61, 60),
        ("Anschluss", 0, 0, 500),
        ("Anschluss", 0, 0, 1000),
    ]
    assert await world.bill(OCTOBER) == [], "a run that comes again finds nothing to do"

    issued = await world.invoicing.issue(september.invoice_id, OCTOBER)
    assert (issued.number, issued.due_on) == ("R-2026-000001", date(2026, 10, 15))
    # The oven's calls are the payer's debt now; October's call is not billed yet.
    assert (await world.balance("bakery"), await world.balance("bakery-oven")) == (-1975 * CENT - 20 * CENT, 0)

    payment, is_new = await world.invoicing.pay(
        BAKERY, 1975, date(2026, 10, 5), today=date(2026, 10, 5), method="bank", reference="camt-1"
    )
    again, is_new_again = await world.invoicing.pay(
        BAKERY, 1975, date(2026, 10, 5), today=date(2026, 10, 5), method="bank", reference="camt-1"
    )
    assert (is_new, is_new_again, payment.payment_id) == (True, False, again.payment_id)
    assert await world.balance("bakery") == -20 * CENT
    paid = await book.find_invoice(world.connection, "R-2026-000001")
    assert paid is not None
    assert (paid.state, paid.open_minor) == (InvoiceState.PAID, 0)

    (october,) = await world.bill(NOVEMBER)
    assert (october.net_minor, october.tax_minor, october.total_minor) == (1020, 194, 1214)  # 0.20 + November's fee
    await world.invoicing.issue(october.invoice_id, NOVEMBER)
    assert await world.balance("bakery") == -1214 * CENT
    await world.flush()
    assert await world.is_clean()


async def test_a_package_is_billed_with_the_month_in_which_it_was_sold(world: World) -> None:
    """Its price once, by its name, however many buckets it holds; what its bundle pays costs nothing more."""
    await world.add(BAKERY)
    world.now_ms = at("2026-09-10T09:00", BERLIN)
    await world.desk.buy("bakery", "mixed", key="k", actor="test", reason="")
    await world.call("bakery", "2026-09-10T10:00", BERLIN, 40)  # 30 s from bundles, 10 s for 0.10

    (september,) = await world.bill(OCTOBER)
    lines = await book.lines_of(world.connection, september.invoice_id)
    assert [(line.text, line.net_minor) for line in lines] == [("0.01 per second", 10), ("mixed", 50)]
    assert await world.is_clean()


async def test_three_customers_in_one_run(world: World) -> None:
    """Three currencies, zones and tax regimes; cycles of their own; a minimum; a price with the tax inside."""
    for customer in (BAKERY, CARRIER, KAISHA):
        await world.add(customer)
    await world.call("bakery", "2026-09-10T10:00", BERLIN, 100)
    await world.call("carrier", "2026-09-03T10:00", "America/New_York", 600_000)  # 10,000 minutes at 0.007: 70.00
    await world.call("carrier", "2026-09-20T10:00", "America/New_York", 60)
    await world.call("kaisha", "2026-09-30T10:00", "Asia/Tokyo", 7)  # 10.5 yen, of which 1/11 is tax
    made = {each.customer_id: each for each in await world.bill(OCTOBER)}
    assert {name: (each.net_minor, each.tax_minor, each.total_minor) for name, each in made.items()} == {
        "bakery": (100, 19, 119),
        "carrier": (7000, 0, 7000),  # 14 of 31 days: the minimum of 100.00 is 45.16 for them
        "kaisha": (10, 1, 11),
    }
    assert (made["carrier"].first, made["carrier"].after) == (date(2026, 9, 1), date(2026, 9, 15))
    assert "Reverse charge" in made["carrier"].taxes[0].note
    for each in made.values():
        await world.invoicing.issue(each.invoice_id, OCTOBER)
    for name, each in made.items():
        unit = minor_unit(world.currencies[each.currency])
        unbilled = 7 * 10**6 if name == "carrier" else 0
        assert await world.balance(name) == -each.total_minor * unit - unbilled
    numbers = {each.number for each in await book.list_invoices(world.connection)}
    assert numbers == {"R-2026-000001", "R-2026-000002", "INV-2026-000001"}, "each issuer counts by itself"
    (next_,) = [each for each in await world.bill(date(2026, 10, 20)) if each.customer_id == "carrier"]
    assert next_.net_minor == 10_000, "0.01 of calls, and 99.99 are missing to the minimum"
    await world.flush()
    assert await world.is_clean()


async def test_a_late_record_is_on_the_next_invoice(world: World) -> None:
    """What comes after its period was billed is not lost: it is on the next invoice, and marked in the annex."""
    await world.add(BAKERY)
    await world.call("bakery", "2026-09-10T10:00", BERLIN, 100)
    await world.call("bakery", "2026-09-20T10:00", BERLIN, 30)
    await world.flush()
    # The second record has not come yet when September is billed.
    for table in ("cdr", "journal"):
        await world.connection.execute(f"CREATE TABLE late_{table} AS SELECT * FROM {table} WHERE entry_number = 3")
        await world.connection.execute(f"DELETE FROM {table} WHERE entry_number = 3")
    (september,) = await world.bill(OCTOBER)
    assert september.net_minor == 100
    for table in ("cdr", "journal"):
        await world.connection.execute(f"INSERT INTO {table} SELECT * FROM late_{table}")
    await world.call("bakery", "2026-10-10T10:00", BERLIN, 50)
    (october,) = await world.bill(NOVEMBER)
    assert october.net_minor == 80
    spans = await book.spans_of(world.connection, october.invoice_id)
    details = details_of(world.connection, spans, 1_790_805_600_000)  # 2026-10-01 in Berlin
    assert [(each.used, each.is_late) async for each in details] == [(30, True), (50, False)]


async def test_a_gap_in_the_books_ends_the_span(world: World) -> None:
    """A record in the middle that is missing: what comes after it waits, and the run says so."""
    await world.add(BAKERY)
    for day in (10, 11, 12):
        await world.call("bakery", f"2026-09-{day}T10:00", BERLIN, 100)
    await world.flush()
    await world.connection.execute("CREATE TABLE late AS SELECT * FROM journal WHERE entry_number = 3")
    await world.connection.execute("DELETE FROM journal WHERE entry_number = 3")
    report = await run(world.dsn, OCTOBER, world.issuers, world.currencies)
    assert report.cut == ["bakery"]
    (september,) = await book.list_invoices(world.connection)
    assert september.net_minor == 100
    await world.connection.execute("INSERT INTO journal SELECT * FROM late")
    (october,) = await world.bill(NOVEMBER)
    assert october.net_minor == 200


async def test_numbers_have_no_gaps(world: World) -> None:
    """Many are issued at once, and one transaction fails after its number was taken: no number is missing or double."""
    customers = [_site(place) for place in range(6)]
    for customer in customers:
        await world.add(customer)
        await world.call(customer.payer, "2026-09-10T10:00", BERLIN, 100)
    by_id = {customer.customer_id: customer for customer in customers}
    drafts = await world.bill(OCTOBER)
    transaction = world.connection.transaction()
    await transaction.start()
    await book.issue(world.connection, [drafts[0].invoice_id], by_id, world.issuers, OCTOBER)
    await transaction.rollback()
    async with asyncpg.create_pool(world.dsn, min_size=3, max_size=3) as pool:

        async def issue(place: int) -> None:
            async with pool.acquire() as connection:
                await book.issue(connection, [drafts[place].invoice_id], by_id, world.issuers, OCTOBER)

        await asyncio.gather(*[issue(place) for place in range(6)], issue(0), issue(1))
    numbers = sorted(str(each.number) for each in await book.list_invoices(world.connection))
    assert numbers == [f"R-2026-{number:06d}" for number in range(1, 7)]


async def test_runs_at_once_bill_once(world: World) -> None:
    """Four runs at the same moment: each period of each customer has one invoice, each record is on one."""
    customers = [_site(place) for place in range(5)]
    for customer in customers:
        await world.add(customer)
        await world.call(customer.payer, "2026-09-10T10:00", BERLIN, 100)
        await world.call(customer.payer, "2026-10-10T10:00", BERLIN, 100)
    await world.flush()
    reports = await asyncio.gather(*[run(world.dsn, NOVEMBER, world.issuers, world.currencies) for _ in range(4)])
    assert sum(len(report.drafts) for report in reports) == 10
    assert all(each.net_minor == 100 for each in await book.list_invoices(world.connection))
    spans = await world.connection.fetch("SELECT * FROM invoice_span ORDER BY account_id, after_entry")
    assert [(row["after_entry"], row["last_entry"]) for row in spans] == [(0, 2), (2, 3)] * 5


async def test_drafts_are_discarded_from_the_end(world: World) -> None:
    """A draft that is taken back frees its records; one in the middle stays, since others begin where it ends."""
    await world.add(BAKERY)
    await world.call("bakery", "2026-09-10T10:00", BERLIN, 100)
    await world.call("bakery", "2026-10-10T10:00", BERLIN, 50)
    september, october = await world.bill(NOVEMBER)
    with pytest.raises(InvoiceRefusedError, match="discard that one first"):
        await book.discard(world.connection, september.invoice_id)
    await book.discard(world.connection, october.invoice_id)
    (again,) = await world.bill(NOVEMBER)
    assert again.net_minor == 50
    await world.invoicing.issue(september.invoice_id, OCTOBER)
    with pytest.raises(InvoiceRefusedError, match="correct it by a credit note"):
        await book.discard(world.connection, september.invoice_id)


async def test_a_credit_note_in_parts_takes_all_back(world: World) -> None:
    """Two notes of parts and one of the rest: net, tax and balance are zero to the last cent, and no cent more."""
    await world.add(BAKERY)
    for seconds, destination in ((33, "100123"), (61, "200123"), (5, "300123")):  # 0.33, 0.60 and 0.15
        await world.call("bakery", "2026-09-10T10:00", BERLIN, seconds, destination)
    (september,) = await world.bill(OCTOBER)
    assert (september.net_minor, september.tax_minor) == (108, 21)
    issued = await world.invoicing.issue(september.invoice_id, OCTOBER)
    totals = []
    for lines in ({1: 11}, {1: 22, 3: 60}, None):
        note_id = await draft_credit_note(world.connection, issued.invoice_id, "wrong calls", lines)
        note = await world.invoicing.issue(note_id, NOVEMBER)
        totals.append((note.net_minor, note.tax_minor))
    assert totals == [(-11, -2), (-82, -16), (-15, -3)]
    assert await world.balance("bakery") == 0
    with pytest.raises(InvoiceRefusedError, match="credited in full"):
        await draft_credit_note(world.connection, issued.invoice_id, "once more")
    with pytest.raises(InvoiceRefusedError, match="has 0 left"):
        await draft_credit_note(world.connection, issued.invoice_id, "once more", {1: 1})
    credited = await book.find_invoice(world.connection, str(issued.number))
    assert credited is not None
    assert credited.state is InvoiceState.PAID
    numbers = [each.number for each in await book.list_invoices(world.connection)]
    assert numbers == ["R-2026-000001", "G-2026-000001", "G-2026-000002", "G-2026-000003"]


async def test_money_pays_the_oldest_and_the_rest_is_kept(world: World) -> None:
    """A payment covers two invoices and a half; what is left over pays the next one; called back, all are open again."""
    await world.add(BAKERY)
    await world.call("bakery", "2026-09-10T10:00", BERLIN, 100)  # 1.19 with tax
    await world.call("bakery", "2026-10-10T10:00", BERLIN, 200)  # 2.38
    await world.call("bakery", "2026-11-10T10:00", BERLIN, 300)  # 3.57
    for draft in await world.bill(NOVEMBER):
        await world.invoicing.issue(draft.invoice_id, NOVEMBER)
    payment, _ = await world.invoicing.pay(
        BAKERY, 500, date(2026, 11, 5), today=date(2026, 11, 5), method="bank", reference="1"
    )
    assert payment.credit_minor == 500 - 119 - 238
    (november,) = await world.bill(DECEMBER)
    issued = await world.invoicing.issue(november.invoice_id, DECEMBER)
    assert issued.open_minor == 357 - payment.credit_minor
    assert await world.balance("bakery") == (500 - 119 - 238 - 357) * CENT
    await world.flush()
    for key in await world.redis.keys("*op:*"):
        await world.redis.delete(key)  # a payment is called back weeks later: the store has forgotten its key
    reversed_ = await world.invoicing.reverse(payment.payment_id, date(2026, 12, 9))
    assert reversed_.credit_minor == 0
    found = await book.list_invoices(world.connection)
    assert [(each.state, each.open_minor) for each in found] == [
        (InvoiceState.ISSUED, each.total_minor) for each in found
    ]
    assert await world.balance("bakery") == -714 * CENT
    with pytest.raises(InvoiceRefusedError, match="reversed already"):
        await world.invoicing.reverse(payment.payment_id, date(2026, 12, 9))
    await world.flush()
    assert await world.is_clean()


async def test_a_reference_is_of_one_payment(world: World) -> None:
    """Another amount, or another customer, under a known reference is refused: it is another payment, and would be lost."""
    other = _site(1)
    for customer in (BAKERY, other):
        await world.add(customer)
    pay: dict[str, Any] = {"today": OCTOBER, "method": "bank", "reference": "1"}
    await world.invoicing.pay(BAKERY, 50, OCTOBER, **pay)
    for customer, amount in ((BAKERY, 51), (other, 50)):
        with pytest.raises(InvoiceRefusedError, match="is payment 1 of bakery"):
            await world.invoicing.pay(customer, amount, OCTOBER, **pay)
    assert (await world.balance("bakery"), await world.balance("site-1")) == (50 * CENT, 0)


@pytest.mark.parametrize("step", range(6))
async def test_a_crash_between_books_and_balance_is_made_good(
    world: World, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Before or after any posting of two invoices' bookings and a payment's: going on books each exactly once."""
    await world.add(BAKERY)
    await world.call("bakery", "2026-09-10T10:00", BERLIN, 100)
    await world.call("bakery-oven", "2026-09-10T10:00", BERLIN, 100)
    (draft,) = await world.bill(OCTOBER)
    with monkeypatch.context() as patch:
        _break(patch, world, step)
        with pytest.raises(ConnectionError):
            await _issue_and_pay(world, draft.invoice_id)
    for key in await world.redis.keys("*op:*"):
        await world.redis.delete(key)  # the store has forgotten the keys; the journal and the outbox have not
    if step % 2:
        await world.flush()
    await world.invoicing.settle(OCTOBER)
    await _issue_and_pay(world, draft.invoice_id)
    assert await world.invoicing.settle(OCTOBER) == 0
    assert (await world.balance("bakery"), await world.balance("bakery-oven")) == (0, 0)
    await world.flush()
    assert await world.is_clean()


async def _issue_and_pay(world: World, invoice_id: int) -> None:
    await world.invoicing.issue(invoice_id, OCTOBER)
    await world.invoicing.pay(BAKERY, 238, date(2026, 10, 5), today=date(2026, 10, 5), method="bank", reference="1")


def _break(patch: pytest.MonkeyPatch, world: World, step: int) -> None:
    """Lose the connection before (even) or after (odd) the posting of this number."""
    real, calls = world.desk.adjust, 0

    async def adjust(*arguments: object, **named: object) -> object:
        nonlocal calls
        calls += 1
        number = calls
        if number == step // 2 + 1 and step % 2 == 0:
            raise ConnectionError
        result = await real(*arguments, **named)  # type: ignore[arg-type]
        if number == step // 2 + 1:
            raise ConnectionError
        return result

    patch.setattr(world.desk, "adjust", adjust)


def _site(place: int) -> Customer:
    return msgspec.structs.replace(BAKERY, customer_id=f"site-{place}", accounts=(f"site-{place}",))


@pytest.mark.parametrize(
    ("statement", "name", "what"),
    [
        ("UPDATE invoice_line SET net_minor = net_minor + 1", "R-2026-000001", "its lines do not add up"),
        ("UPDATE invoice SET total_minor = total_minor + 1", "R-2026-000001", "its lines do not add up"),
        ("UPDATE invoice_span SET after_entry = 1", "bakery", "do not follow one another at entry 1"),
        (
            "UPDATE cdr SET cost = 0; UPDATE invoice_line SET amount = 5",
            "bakery",
            "bills 5 and the journal has 1000000000",
        ),
        ("UPDATE journal SET amount = 5 WHERE kind = 'invoice'", "R-2026-000001", "booked is 5 and not -190000000"),
        ("UPDATE journal SET amount = 5 WHERE kind = 'payment'", "payment 1", "booked is 5 and not 500000000"),
        ("UPDATE invoice SET paid_minor = 51", "R-2026-000001", "paid is 51 and allocated 50"),
        ("UPDATE payment SET amount_minor = 49", "payment 1", "pays more than it is"),
    ],
)
async def test_the_audit_finds_what_does_not_agree(world: World, statement: str, name: str, what: str) -> None:
    """Whatever is changed in an invoice, its span, its booking or its payment is named, with both figures."""
    await world.add(BAKERY)
    await world.call("bakery", "2026-09-10T10:00", BERLIN, 100)
    (draft,) = await world.bill(OCTOBER)
    await world.invoicing.issue(draft.invoice_id, OCTOBER)
    await world.invoicing.pay(BAKERY, 50, OCTOBER, today=OCTOBER, method="bank", reference="1")
    await world.flush()
    documents, faults = await check_invoices(world.connection)
    assert (documents, faults) == (1, [])
    await world.connection.execute(statement)
    _, faults = await check_invoices(world.connection)
    assert any(fault.name == name and what in fault.what for fault in faults), faults
