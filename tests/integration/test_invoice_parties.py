"""Enterprises that pay for their sites, charges in other money, late records by policy, notes: on real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import msgspec
import pytest

from ocs.billing.invoices import book
from ocs.billing.invoices.book import Invoice, InvoiceRefusedError
from ocs.billing.invoices.customers import Customer, payer_faults
from ocs.billing.invoices.notes import add_note, document_of, notes_of
from ocs.billing_desk import BillingDesk
from tests.integration.invoice_world import BAKERY, CARRIER, World, at, close_world, open_world
from tests.integration.test_invoices import BERLIN, CENT, DECEMBER, NOVEMBER, OCTOBER

pytestmark = pytest.mark.integration

PAYER = msgspec.structs.replace(BAKERY, customer_id="group", name="Gruppe", accounts=("group",))
SITES = tuple(
    msgspec.structs.replace(BAKERY, customer_id=name, name=name.title(), accounts=(name,), paid_by="group")
    for name in ("mill", "shop")
)
RATES = "from,to,rate,date\nUSD,EUR,0.90,2026-01-01\nUSD,EUR,0.80,2026-10-01\n"


async def open_with(config: Path, valkey_url: str, dsn: str, late: str = "next_invoice") -> World:
    """A world whose issuer treats late records so, with rates of exchange."""
    billing = config.parent / "billing.toml"
    text = billing.read_text(encoding="utf-8")
    billing.write_text(text.replace('late_records = "next_invoice"', f'late_records = "{late}"'), encoding="utf-8")
    (config.parent / "exchange.csv").write_text(RATES, encoding="utf-8")
    return await open_world(config, valkey_url, dsn)


@pytest.fixture
async def world(sample_config: Path, valkey_url: str, billing_dsn: str) -> AsyncIterator[World]:
    world = await open_with(sample_config, valkey_url, billing_dsn)
    yield world
    await close_world(world)


async def lines(world: World, invoice: Invoice) -> list[tuple[str, int]]:
    return [(line.text, line.net_minor) for line in await book.lines_of(world.connection, invoice.invoice_id)]


async def test_an_enterprise_pays_for_its_sites(world: World) -> None:
    """One invoice with all that the sites use and have agreed, by their names; their accounts are even, the payer owes."""
    for customer in (PAYER, *SITES):
        await world.add(customer)
    await world.fee(SITES[0], "Anschluss", 1000 * CENT, date(2026, 10, 1))
    await world.call("group", "2026-09-10T10:00", BERLIN, 100)
    await world.call("mill", "2026-09-10T10:00", BERLIN, 200)
    await world.call("shop", "2026-09-10T10:00", BERLIN, 300)
    (made,) = await world.bill(OCTOBER)
    assert (made.customer_id, made.net_minor) == ("group", 600 + 1000)
    assert await lines(world, made) == [
        ("0.01 per second", 100),
        ("Mill: 0.01 per second", 200),
        ("Shop: 0.01 per second", 300),
        ("Mill: Anschluss", 1000),
    ]
    await world.invoicing.issue(made.invoice_id, OCTOBER)
    assert [await world.balance(name) for name in ("group", "mill", "shop")] == [-made.total_minor * CENT, 0, 0]
    finding = await world.invoicing.dunning.act(PAYER, date(2026, 11, 16))
    assert finding.verdict.block == "suspend"
    for name in ("group", "mill", "shop"):
        account = await world.desk.account(name)
        assert account is not None
        assert account.state.name == "SUSPENDED"
    await world.invoicing.pay(PAYER, made.total_minor, NOVEMBER, today=NOVEMBER, method="bank", reference="1")
    mill = await world.desk.account("mill")
    assert mill is not None
    assert mill.state.name == "ACTIVE"
    await world.flush()
    assert await world.is_clean()
    desk = BillingDesk(world.dsn, world.connection, world.invoicing, world.issuers, world.currencies)
    with pytest.raises(InvoiceRefusedError, match="mill is a site of group"):
        await desk.preview("mill", None)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"paid_by": "nobody"}, "there is no customer 'nobody'"),
        ({"paid_by": "mill"}, "mill is a site of group"),
        ({"paid_by": "group", "currency": "USD"}, "is billed in EUR by example"),
    ],
)
async def test_who_pays_has_to_be_there_and_alike(world: World, change: dict[str, str], fault: str) -> None:
    """One level, one currency, one issuer."""
    for customer in (PAYER, SITES[0]):
        await world.add(customer)
    other: Customer = msgspec.structs.replace(BAKERY, **change)
    (said,) = await payer_faults(world.connection, other)
    assert fault in said


async def test_a_charge_in_other_money_has_the_rate_of_its_day(world: World) -> None:
    """Ten dollars are 9.00 on September's invoice and 8.00 on October's; the rate stands on the line, for ever."""
    await world.add(BAKERY)
    desk = BillingDesk(world.dsn, world.connection, world.invoicing, world.issuers, world.currencies)
    agreed = desk.agreed(BAKERY, "licence", "10.00", "Licence", date(2026, 10, 1), 1, "", "USD")
    assert await _add(world, agreed)
    september, october = await world.bill(NOVEMBER)
    kept = [(await book.lines_of(world.connection, each.invoice_id))[0] for each in (september, october)]
    assert [(line.net_minor, line.source_currency, line.source_amount) for line in kept] == [
        (900, "USD", 10 * 10**9),
        (800, "USD", 10 * 10**9),
    ]
    assert [line.exchange for line in kept] == ["1 USD = 0.90 EUR, 2026-09-30", "1 USD = 0.80 EUR, 2026-10-31"]
    with pytest.raises(InvoiceRefusedError, match="no rate from JPY to EUR"):
        desk.agreed(BAKERY, "x", "10", "X", OCTOBER, 1, "", "JPY")
    await world.flush()
    assert await world.is_clean()


async def _add(world: World, agreed: object) -> bool:
    from ocs.billing.invoices.customers import add_agreed

    return await add_agreed(world.connection, agreed)  # type: ignore[arg-type]


@pytest.mark.parametrize("policy", ["next_invoice", "supplementary_invoice", "write_off"])
async def test_late_records_go_as_the_policy_says(
    sample_config: Path, valkey_url: str, billing_dsn: str, policy: str
) -> None:
    """A call of September that comes when September is billed: on October's invoice, on one of its own, or not charged.

    None is lost: the spans follow one another, and the balance is what is owed.
    """
    world = await open_with(sample_config, valkey_url, billing_dsn, policy)
    await world.add(BAKERY)
    await world.call("bakery", "2026-09-10T10:00", BERLIN, 100)
    (september,) = await world.bill(OCTOBER)
    await world.invoicing.issue(september.invoice_id, OCTOBER)
    await world.call("bakery", "2026-10-05T10:00", BERLIN, 200)
    await _late_call(world)
    made = await world.bill(NOVEMBER)
    found = [(each.net_minor, await lines(world, each)) for each in made]
    voice = "0.01 per second"
    assert (
        found
        == {
            "next_invoice": [(250, [(voice, 250)])],
            "supplementary_invoice": [(200, [(voice, 200)]), (50, [(voice, 50)])],
            "write_off": [(200, [(voice, 200), (voice, 50), (voice, -50)])],
        }[policy]
    )
    if policy == "supplementary_invoice":
        assert [each.supplements for each in made] == [None, made[0].invoice_id]
        with pytest.raises(InvoiceRefusedError, match=f"discard that one|invoice {made[0].invoice_id}"):
            await book.discard(world.connection, made[1].invoice_id)
        await book.discard(world.connection, made[0].invoice_id)
        assert len(await book.list_invoices(world.connection)) == 1
        made = await world.bill(NOVEMBER)
        assert [each.net_minor for each in made] == [200, 50]
    for each in made:
        await world.invoicing.issue(each.invoice_id, NOVEMBER)
    owed = september.total_minor + sum(each.total_minor for each in made)
    assert await world.balance("bakery") == -owed * CENT
    assert await world.bill(DECEMBER) == [] or all(each.net_minor == 0 for each in await world.bill(DECEMBER))
    await world.flush()
    assert await world.is_clean()
    await close_world(world)


async def _late_call(world: World) -> None:
    """A call of 50 s of 20 September that the switch tells on 6 October."""
    from ocs.gateways.switch_files import parse_switches
    from ocs.rating.faults import FaultList
    from tests.integration.test_mediation import SWITCH, mediation_of

    world.now_ms = at("2026-10-06T10:00", BERLIN)
    switch = parse_switches(SWITCH, FaultList("mediation.toml"))["s1"]
    row = b"id,answer,sec,a,b,state\n1,2026-09-20 10:00:00,50,bakery,100123,ANSWERED\n"
    report = await mediation_of(world).take_file(switch, "late.csv", row)
    assert report.charged == 1


async def test_notes_and_documents_stay(world: World) -> None:
    """With who noted them; a document comes back as it was, to its own customer alone."""
    await world.add(BAKERY)
    first = await add_note(world.connection, "bakery", "operator", "called")
    second = await add_note(world.connection, "bakery", "api:1", "contract", "contract.pdf", b"%PDF\x00")
    found = await notes_of(world.connection, "bakery")
    assert [(each.note_id, each.text, each.file_name, each.octets) for each in found] == [
        (second, "contract", "contract.pdf", 5),
        (first, "called", "", 0),
    ]
    assert await document_of(world.connection, "bakery", second) == ("contract.pdf", b"%PDF\x00")
    assert await document_of(world.connection, "other", second) is None
    assert await document_of(world.connection, "bakery", first) is None


@pytest.mark.parametrize(("day", "part"), [("2026-10-05", -452), ("2026-09-30", 0)])
async def test_what_exchange_makes_of_a_payment_is_exported(world: World, day: str, part: int) -> None:
    """45.16 dollars, billed at 0.90 and paid at 0.80, are 4.516 euros less: a loss, in the issuer's money; at the same rate none."""
    await world.add(CARRIER)
    (made,) = await world.bill(date(2026, 9, 15))
    await world.invoicing.issue(made.invoice_id, date(2026, 9, 15))
    assert made.total_minor == 4516
    paid_on = date.fromisoformat(day)
    await world.invoicing.pay(CARRIER, 4516, paid_on, today=paid_on, method="bank", reference="wire")
    desk = BillingDesk(world.dsn, world.connection, world.invoicing, world.issuers, world.currencies)
    found = [each async for each in desk.entries(date(2026, 9, 16), NOVEMBER) if each.currency == "EUR"]
    expected = [("1400", part), ("2150", -part)] if part else []
    assert [(each.account, each.amount_minor) for each in found] == expected
    assert sum(each.amount_minor for each in found) == 0
