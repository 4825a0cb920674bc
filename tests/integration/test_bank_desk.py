"""Bank statements brought to the invoices on real servers; what was paid in excess given back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from io import BytesIO
from pathlib import Path

import asyncpg
import msgspec
import pytest

from ocs.bank_desk import BankDesk, Loaded, Matcher
from ocs.billing.bank.camt import BankFileError
from ocs.billing.bank.entries import TOGETHER, alone
from ocs.billing.bank.matching import Sureness
from ocs.billing.invoices import book
from ocs.billing.invoices.book import Invoice, InvoiceRefusedError, InvoiceState
from ocs.billing.invoices.bookkeeping import Bookkeeping, entries
from ocs.billing.invoices.payments import payments_of
from ocs.billing_desk import BillingDesk
from tests.integration.invoice_world import BAKERY, World, close_world, open_world
from tests.integration.test_invoices import BERLIN, CENT, NOVEMBER, OCTOBER
from tests.unit.test_bank_files import IBAN, camt, ntry

pytestmark = pytest.mark.integration

TODAY = date(2026, 10, 6)


@pytest.fixture
async def world(sample_config: Path, valkey_url: str, billing_dsn: str) -> AsyncIterator[World]:
    world = await open_world(sample_config, valkey_url, billing_dsn)
    yield world
    await close_world(world)


async def billed(world: World, *seconds: int) -> list[Invoice]:
    """A customer for each call, with his issued invoice."""
    for place, used in enumerate(seconds):
        name = f"site-{place}"
        await world.add(msgspec.structs.replace(BAKERY, customer_id=name, accounts=(name,)))
        await world.call(name, "2026-09-10T10:00", BERLIN, used)
    drafts = await world.bill(OCTOBER)
    drafts.sort(key=lambda each: each.customer_id)  # several are billed at once, in any order
    return [await world.invoicing.issue(each.invoice_id, OCTOBER) for each in drafts]


def desk_of(world: World) -> BankDesk:
    desk = BillingDesk(world.dsn, world.connection, world.invoicing, world.issuers, world.currencies)
    return BankDesk(desk, world.currencies)


async def test_what_is_certain_is_booked_and_the_rest_is_suggested(world: World) -> None:
    """To the cent with its number: booked, once, whichever copy of the file comes; another amount waits for somebody."""
    first, second = await billed(world, 100, 200)  # 1.19 and 2.38
    desk = desk_of(world)
    octets = camt(ntry("1.19", f"Danke {first.number}"), ntry("2.00", str(second.number), name="a2"))
    assert await desk.load(BytesIO(octets), TODAY) == Loaded(booked=1, waiting=1)
    assert await desk.load(BytesIO(octets), TODAY) == Loaded(repeated=2, waiting=1)
    assert await world.balance(first.customer_id) == 0
    ((kept, found),) = await desk.waiting(10)
    assert (found[0].customer_id, found[0].why) == (
        second.customer_id,
        f"it names {second.number}, and is of another amount",
    )
    payment = await desk.assign(kept.entry_id, found[0].customer_id, found[0].invoices, TODAY)
    assert (payment.reference, payment.received_on) == (f"{IBAN}/a2", date(2026, 10, 5))
    paid = await book.find_invoice(world.connection, str(second.number))
    assert paid is not None
    assert (paid.state, paid.open_minor) == (InvoiceState.ISSUED, 38)
    with pytest.raises(InvoiceRefusedError, match="no open bank entry"):
        await desk.assign(kept.entry_id, second.customer_id, (), TODAY)
    # Who has paid from an account is known from now on; what pays him in excess is kept as his credit.
    assert (await desk.load(BytesIO(camt(ntry("9.00", "rest", name="a3"))), TODAY)).waiting == 1
    ((kept, found),) = await desk.waiting(10)
    assert [each.sureness.name for each in found] == ["POSSIBLE"], "by the name: two have paid from this account"
    await desk.ignore(kept.entry_id, "not ours")
    assert await desk.waiting(10) == []
    await world.flush()
    assert await world.is_clean()


async def test_of_a_file_that_breaks_off_nothing_is_kept(world: World) -> None:
    """Not even what came before the fault, nor while another file is loaded; the whole file is taken afterwards, with nothing said to be repeated."""
    (first,) = await billed(world, 100)
    desk = desk_of(world)
    many = [ntry("9.00", "?", name=f"b{place}") for place in range(TOGETHER + 1)]
    whole = camt(ntry("1.19", str(first.number)), *many)
    with pytest.raises(BankFileError, match="is no XML"):
        await desk.load(BytesIO(whole[: len(whole) // TOGETHER * (TOGETHER - 1)]), TODAY)
    with pytest.raises(BankFileError, match=f"entry {TOGETHER + 3}"):
        await desk.load(BytesIO(camt(ntry("1.19", str(first.number)), *many, ntry("1.005"))), TODAY)
    assert await desk.waiting(10) == []
    other = await asyncpg.connect(world.dsn)
    async with alone(other):
        with pytest.raises(InvoiceRefusedError, match="is being loaded"):
            await desk.load(BytesIO(whole), TODAY)
    await other.close()
    heard: list[tuple[str, int, int]] = []
    loaded = await desk.load(BytesIO(whole), TODAY, lambda *what: heard.append(what))
    assert loaded == Loaded(booked=1, waiting=TOGETHER + 1)
    assert heard[-1] == ("entries matched", TOGETHER + 2, TOGETHER + 2)


async def test_what_was_paid_meanwhile_is_not_paid_again(world: World) -> None:
    """Two entries of one file pay one invoice: the second finds it paid, and waits; so does what somebody else has paid."""
    first, second = await billed(world, 100, 200)
    desk = desk_of(world)
    twice = [ntry("1.19", str(first.number), name=name) for name in ("a1", "a2")]
    assert await desk.load(BytesIO(camt(*twice)), TODAY) == Loaded(booked=1, waiting=1)
    ((kept, _),) = await desk.waiting(10)
    matcher = Matcher(world.connection)
    entry = msgspec.structs.replace(kept.entry, amount_minor=238, references=(str(second.number),))
    assert (await matcher.suggestions(entry))[0].sureness is Sureness.CERTAIN
    customer = await world.customer(second.customer_id)
    await world.invoicing.pay(customer, 238, TODAY, today=TODAY, method="cash", reference="c1")
    assert (surest := await matcher.surest(entry)) is None or surest.sureness is not Sureness.CERTAIN


async def test_a_returned_payment_is_open_again(world: World) -> None:
    """The bank takes it back by the reference that we booked it under; said again it changes nothing."""
    (first,) = await billed(world, 100)
    desk = desk_of(world)
    await desk.load(BytesIO(camt(ntry("1.19", str(first.number)))), TODAY)
    extra = "<RtrInf><Rsn><Cd>AC04</Cd></Rsn></RtrInf>"
    back = camt(ntry("1.19", f"{IBAN}/a1", name="b1", direction="DBIT", extra=extra))
    assert await desk.load(BytesIO(back), TODAY) == Loaded(returned=1)
    assert await desk.load(BytesIO(back), TODAY) == Loaded(repeated=1)
    again = await book.find_invoice(world.connection, str(first.number))
    assert again is not None
    assert (again.state, again.open_minor) == (InvoiceState.ISSUED, 119)
    assert await world.balance(first.customer_id) == -119 * CENT
    await world.flush()
    assert await world.is_clean()


async def test_what_was_paid_in_excess_is_given_back_once(world: World) -> None:
    """Never more than that; the same reference changes nothing; the next invoice finds what is left."""
    (first,) = await billed(world, 100)
    customer = await world.customer(first.customer_id)
    await world.invoicing.pay(customer, 619, TODAY, today=TODAY, method="bank", reference="p1")
    with pytest.raises(InvoiceRefusedError, match="has paid 500 in excess"):
        await world.invoicing.refund(customer, 501, TODAY, method="bank", reference="r1")
    for _ in range(2):
        await world.invoicing.refund(customer, 300, TODAY, method="bank", reference="r1")
    with pytest.raises(InvoiceRefusedError, match="is refund 1 of"):
        await world.invoicing.refund(customer, 100, TODAY, method="bank", reference="r1")
    assert await world.balance(first.customer_id) == 200 * CENT
    (payment,) = await payments_of(world.connection, first.customer_id)
    assert (payment.credit_minor, payment.refunded_minor) == (200, 300)
    with pytest.raises(InvoiceRefusedError, match="given back in part"):
        await world.invoicing.reverse(payment.payment_id, TODAY)
    rows = [each async for each in entries(world.connection, date(2026, 10, 6), NOVEMBER, Bookkeeping())]
    assert [(each.account, each.amount_minor) for each in rows] == [
        ("bank", 619), ("receivable", -619), ("bank", -300), ("receivable", 300),
    ]  # fmt: skip
    await world.flush()
    assert await world.is_clean()
    await world.connection.execute("UPDATE refund SET amount_minor = 301")
    assert not await world.is_clean(), "the audit names a refund that is not what its parts are"
