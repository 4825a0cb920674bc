"""``billing.toml``: every fault with its line and its cure, and rates by the day of supply."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from ocs.billing.invoices.issuers import Issuers, load_issuers, percent_millionths

ENTITY = """
[[legal_entity]]
id = "example"
name = "Example"
address = ["Here"]
country = "DE"
tax_id = "DE1"
usage_tax = "vat"
"""
TAX = """
[[tax]]
code = "vat"
name = "VAT"

[tax.in_language.de]
name = "USt."

[[tax.steps]]
since = "2007-01-01"
percent = "19"

[[tax.steps]]
since = "2020-07-01"
percent = "16"

[[tax.steps]]
since = "2021-01-01"
percent = "19"
"""


def loaded(tmp_path: Path, text: str) -> Issuers | list[str]:
    (tmp_path / "billing.toml").write_text(text, encoding="utf-8")
    found = load_issuers(tmp_path)
    return found if isinstance(found, Issuers) else [str(fault) for fault in found]


@pytest.mark.parametrize(
    ("day", "rate"), [("2006-12-31", 0), ("2020-06-30", 190_000), ("2020-07-01", 160_000), ("2021-01-01", 190_000)]
)
def test_the_day_of_supply_decides_the_rate(tmp_path: Path, day: str, rate: int) -> None:
    """Half-open: a step holds from its day on, whatever day the invoice is made on."""
    issuers = loaded(tmp_path, ENTITY + TAX)
    assert isinstance(issuers, Issuers)
    assert issuers.applied("vat", "standard", date.fromisoformat(day)).rate == rate


def test_who_pays_no_tax_gets_a_note(tmp_path: Path) -> None:
    """Reverse charge and exemption: rate 0, and the words for it, in the customer's language where there are some."""
    issuers = loaded(tmp_path, ENTITY + TAX)
    assert isinstance(issuers, Issuers)
    day = date(2026, 1, 1)
    assert issuers.applied("vat", "reverse_charge", day, "de").name == "USt."
    assert "Reverse charge" in issuers.applied("vat", "reverse_charge", day, "de").note
    assert issuers.applied("vat", "exempt", day).note == "Exempt from tax."


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (ENTITY, "billing.toml:8: legal_entity.usage_tax: no [[tax]] has the code 'vat' (none is known)"),
        (ENTITY + TAX + ENTITY, "billing.toml:30: legal_entity.id: 'example' is there already (one table for each id)"),
        (ENTITY + ENTITY.replace('"example"', '"other"') + TAX, "legal_entity.invoice_series: 'INV' is that of others"),
        (ENTITY + 'credit_note_series = "INV"\n' + TAX, "legal_entity.credit_note_series: 'INV' is that of others"),
        (ENTITY + TAX.replace('"16"', '"16%"'), "no percentage (a decimal from 0 to 100, such as 19 or 5.5)"),
        (ENTITY + TAX.replace("2021-01-01", "2020-01-01"), "is not after the step before"),
        (ENTITY + TAX.replace("2021-01-01", "1.1.2021"), "is no date (write it as 2026-01-31)"),
        (ENTITY + TAX + 'series = "x"\n', "tax.steps: object contains unknown field series"),
        (ENTITY.replace('country = "DE"\n', "") + TAX, "legal_entity.country: is missing"),
        ("[legal_entity]\n", "has to be a list of tables (write [[legal_entity]])"),
        (ENTITY + TAX + "[taxes]\n", "taxes: is not a known table (did you mean tax?)"),
        ("x = ", "is no TOML"),
    ],
)
def test_faults_name_their_place(tmp_path: Path, text: str, fault: str) -> None:
    """Each with file, line, field and cure."""
    found = loaded(tmp_path, text)
    assert not isinstance(found, Issuers)
    assert any(fault in each for each in found), found


def test_without_the_file_nobody_issues(tmp_path: Path) -> None:
    """An operator who bills elsewhere needs none."""
    assert load_issuers(tmp_path) == Issuers({}, {}, {}, {})


@pytest.mark.parametrize(
    ("text", "rate"),
    [("19", 190_000), ("5.5", 55_000), ("0", 0), ("100", 1_000_000), ("0.0001", 1), ("101", None), ("-1", None),
     ("1.00001", None), ("", None), ("1,5", None), ("1e1", None)],
)  # fmt: skip
def test_percentages_are_exact(text: str, rate: int | None) -> None:
    """As decimals with up to four places."""
    assert percent_millionths(text) == rate
