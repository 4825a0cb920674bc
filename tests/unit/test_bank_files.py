"""Bank statements as banks write them, and what their entries may be."""

from __future__ import annotations

import tracemalloc
from datetime import date
from io import BytesIO
from typing import Any

import msgspec
import pytest

from balance.money import Currency
from ocs.billing.bank.camt import BankEntry, BankFileError, read_camt
from ocs.billing.bank.matching import KnownPayment, OpenInvoice, Sureness, suggest

CURRENCIES = {"EUR": Currency("EUR", 978, 9, 2), "JPY": Currency("JPY", 392, 6, 0)}
IBAN = "DE89370400440532013000"


def read(octets: bytes) -> list[BankEntry]:
    return list(read_camt(BytesIO(octets), CURRENCIES))


def camt(*entries: str, version: str = "08") -> bytes:
    """A statement of the operator's account."""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.{version}">'
        f"<BkToCstmrStmt><Stmt><Id>1</Id><Acct><Id><IBAN>{IBAN}</IBAN></Id></Acct>{''.join(entries)}</Stmt>"
        "</BkToCstmrStmt></Document>"
    ).encode()


def ntry(
    amount: str,
    text: str = "",
    *,
    name: str = "a1",
    direction: str = "CRDT",
    extra: str = "",
    details: str | None = None,
) -> str:
    """One entry, booked on 5 October."""
    inside = details if details is not None else f"<TxDtls>{tx(text, name, direction)}{extra}</TxDtls>"
    return (
        f'<Ntry><Amt Ccy="EUR">{amount}</Amt><CdtDbtInd>{direction}</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts>'
        f"<BookgDt><Dt>2026-10-05</Dt></BookgDt><NtryDtls>{inside}</NtryDtls></Ntry>"
    )


def tx(text: str, name: str, direction: str = "CRDT") -> str:
    role = "Dbtr" if direction == "CRDT" else "Cdtr"
    return (
        f"<Refs><AcctSvcrRef>{name}</AcctSvcrRef><EndToEndId>NOTPROVIDED</EndToEndId></Refs>"
        f"<RltdPties><{role}><Pty><Nm>Bäckerei Müller</Nm></Pty></{role}><{role}Acct><Id><IBAN>DE02120300000000202051"
        f"</IBAN></Id></{role}Acct></RltdPties><RmtInf><Ustrd>{text}</Ustrd></RmtInf>"
    )


@pytest.mark.parametrize("version", ["02", "04", "08", "13"])
def test_an_entry_is_read_from_every_version(version: str) -> None:
    """Amount, day, payer and text; what the bank does not provide is not there."""
    (entry,) = read(camt(ntry("19.75", "Rechnung R-2026-000001"), version=version))
    assert entry == BankEntry(
        iban=IBAN, reference="a1", booked_on=date(2026, 10, 5), amount_minor=1975, currency="EUR",
        party="Bäckerei Müller", party_iban="DE02120300000000202051", references=("Rechnung R-2026-000001",),
    )  # fmt: skip


def test_a_batch_is_its_transactions() -> None:
    """Two payments in one entry, each with its own amount and name."""
    details = "".join(
        f"<TxDtls>{tx(text, name)}<AmtDtls><TxAmt><Amt Ccy='EUR'>{amount}</Amt></TxAmt></AmtDtls></TxDtls>"
        for text, name, amount in (("one", "a1", "1.00"), ("two", "a2", "2.00"))
    )
    found = read(camt(ntry("3.00", details=details)))
    assert [(each.reference, each.amount_minor) for each in found] == [("a1", 100), ("a2", 200)]


def test_money_that_goes_out_is_negative_and_a_return_is_one() -> None:
    """A direct debit or transfer that comes back says so."""
    returned = ntry("5.00", "ref-1", direction="DBIT", extra="<RtrInf><Rsn><Cd>AC04</Cd></Rsn></RtrInf>")
    fee = ntry("1.00", "fee", name="a2", direction="DBIT")
    found = read(camt(returned, fee))
    assert [(each.amount_minor, each.is_return) for each in found] == [(-500, True), (-100, False)]
    assert "AC04" in found[0].references


def test_what_is_announced_is_not_taken() -> None:
    """Only booked entries count."""
    assert read(camt(ntry("1.00").replace("BOOK", "PDNG"))) == []


def test_a_large_file_is_never_in_memory_as_a_whole() -> None:
    """A batch of entries costs no more than a few of them: what was read is let go, within statements, with them, and within a batch."""
    many = "".join(ntry("1.00", "R-2026-000001", name=f"a{place}") for place in range(300))
    one, two = camt(many), camt(many).partition(b"</Stmt>")[0].partition(b"<Stmt>")[2]
    octets = one.replace(b"</Stmt>", b"</Stmt><Stmt>" + two + b"</Stmt>")

    def peak(source: bytes) -> int:
        tracemalloc.start()
        try:
            assert sum(1 for _ in read_camt(BytesIO(source), CURRENCIES)) == source.count(b"<Refs>")
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    batch = camt(ntry("300.00", details="".join(f"<TxDtls>{tx('R-1', f'a{place}')}</TxDtls>" for place in range(300))))
    few = peak(camt(*[ntry("1.00", name=f"a{place}") for place in range(150)]))
    assert peak(octets) < 2 * few
    assert peak(batch) < 2 * few


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (b"<Document>", "is no XML"),
        (b"<Document/>", "has no statement"),
        (camt(ntry("1.005")), "entry 1"),
        (camt(ntry("1.00").replace("EUR", "XXX")), "entry 1"),
        (camt(ntry("1.00").replace("2026-10-05", "today")), "entry 1"),
        (
            b'<!DOCTYPE d [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><Document>&b;</Document>',
            "has what a bank file never has: DTDForbidden",
        ),
        (b'<!DOCTYPE d SYSTEM "file:///etc/passwd"><Document/>', "has what a bank file never has"),
    ],
    ids=["cut off", "another file", "amount", "currency", "date", "bomb", "outside"],
)
def test_a_file_that_is_none_is_refused(octets: bytes, why: str) -> None:
    """As a whole, in words; entities are never followed."""
    with pytest.raises(BankFileError) as error:
        read(octets)
    assert why in str(error.value)


ENTRY = BankEntry(iban=IBAN, reference="a1", booked_on=date(2026, 10, 5), amount_minor=1975, currency="EUR")
DUE = date(2026, 10, 1)
FIRST = OpenInvoice(1, "R-2026-000001", "bakery", "Bäckerei Müller", "EUR", 1975, DUE)
SECOND = OpenInvoice(2, "R-2026-000002", "bakery", "Bäckerei Müller", "EUR", 500, DUE)
OTHER = OpenInvoice(12, "R-2026-000012", "shop", "Shop", "EUR", 1975, DUE)


def first(invoices: tuple[OpenInvoice, ...], **changes: Any) -> tuple[Sureness, str, tuple[int, ...]] | None:
    entry = msgspec.structs.replace(ENTRY, **changes)
    found = suggest(entry, invoices, {"IBAN-OF-SHOP": "shop"})
    return found[0][:3] if found else None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"references": ("Rechnung R-2026-000001",)}, (Sureness.CERTAIN, "bakery", (1,))),
        ({"references": ("r 2026 000001 danke",)}, (Sureness.CERTAIN, "bakery", (1,))),
        ({"references": ("R-2026-000001/2", "R2026000002"), "amount_minor": 2475}, (Sureness.CERTAIN, "bakery", (1, 2))),
        ({"references": ("R-2026-000001",), "amount_minor": 1000}, (Sureness.LIKELY, "bakery", (1,))),
        ({"references": ("R-2026-000001 R-2026-000012",), "amount_minor": 1975}, (Sureness.LIKELY, "bakery", (1,))),
        ({"references": ("R-2026-0000012",)}, None),
        ({"party_iban": "IBAN-OF-SHOP"}, (Sureness.LIKELY, "shop", (12,))),
        ({"amount_minor": 500}, (Sureness.POSSIBLE, "bakery", (2,))),
        ({"party": "SHOP", "amount_minor": 7}, (Sureness.POSSIBLE, "shop", ())),
        ({"amount_minor": 1975}, None),
        ({"currency": "JPY", "references": ("R-2026-000001",)}, None),
    ],
    ids=[
        "its number", "however it is written", "two numbers", "another amount", "of two customers",
        "a longer number", "who paid before", "the only one of the amount", "its name", "two of the amount",
        "another currency",
    ],
)  # fmt: skip
def test_what_an_entry_may_be(changes: dict[str, Any], expected: tuple[Sureness, str, tuple[int, ...]] | None) -> None:
    """Certain only where it names what it pays, to the cent, of one customer."""
    assert first((FIRST, SECOND, OTHER), **changes) == expected


def test_a_return_takes_the_payment_back_that_it_names() -> None:
    """By the reference; without it each payment of the amount is possible; money that merely goes out is none."""
    payments = (KnownPayment(7, "bakery", f"{IBAN}/a1", 500, "EUR"), KnownPayment(8, "shop", "b2", 500, "EUR"))
    entry = msgspec.structs.replace(ENTRY, amount_minor=-500, is_return=True, references=(f"{IBAN}/a1",))
    assert suggest(entry, (), {}, payments)[0][0::4] == (Sureness.CERTAIN, 7)
    unnamed = suggest(msgspec.structs.replace(entry, references=()), (), {}, payments)
    assert [each.payment_id for each in unnamed] == [7, 8]
    assert suggest(msgspec.structs.replace(entry, is_return=False), (), {}, payments) == []
