"""What an invoice comes to: one rounding a line, one tax a code, and nothing lost between the ledger and the paper."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.money import Currency, parse_amount
from ocs.billing.invoices.calculation import AppliedTax, Charge, ChargeKind, calculate, minor_unit

EUR = Currency("EUR", 978, 9, 2)
JPY = Currency("JPY", 392, 6, 0)
KWD = Currency("KWD", 414, 9, 3)
DAY = date(2026, 10, 1)


def charge(amount: int, code: str = "vat", included_rate: int = 0) -> Charge:
    return Charge(
        kind=ChargeKind.USAGE, text="calls", account_id="a", amount=amount, tax_code=code, first=DAY, after=DAY,
        included_rate=included_rate,
    )  # fmt: skip


def at(rate: int) -> Callable[[str], AppliedTax]:
    return lambda code: AppliedTax(0 if code == "zero" else rate, code)


def euros(*amounts: str) -> list[int]:
    return [parse_amount(amount, EUR.scale) for amount in amounts]


@pytest.mark.parametrize(
    ("amounts", "rate", "included", "net", "tax", "total"),
    [
        # Lago's example: tax once on the sum, 33499; a tax per line would make 33500.
        (euros("68.33", "68.33", "57.50", "85.00"), 200_000, 0, 27_916, 5_583, 33_499),
        (euros("0.122"), 200_000, 0, 12, 2, 14),
        (euros("0.122"), 200_000, 200_000, 10, 2, 12),  # inside: 12 cents, of which 10 are net
        (euros("100"), 190_000, 190_000, 8_403, 1_597, 10_000),
        (euros("0.005"), 0, 0, 1, 0, 1),
        (euros("-0.005"), 0, 0, -1, 0, -1),
        (euros("10", "-10"), 190_000, 190_000, 0, 0, 0),
        ([], 190_000, 0, 0, 0, 0),
    ],
)
def test_amounts_of_an_invoice(amounts: list[int], rate: int, included: int, net: int, tax: int, total: int) -> None:
    """Net lines are rounded and then taxed; gross ones are rounded as a sum, and the tax taken out of it."""
    found = calculate([charge(amount, included_rate=included) for amount in amounts], at(rate), EUR)
    assert (found.net_minor, found.tax_minor, found.total_minor) == (net, tax, total)


@pytest.mark.parametrize(
    ("currency", "amount", "total"), [(JPY, 1_500_000, 2), (JPY, 1_499_999, 1), (KWD, 1_500_000, 2)]
)
def test_a_minor_unit_is_the_currencys_own(currency: Currency, amount: int, total: int) -> None:
    """Yen have no decimals and dinars three."""
    assert calculate([charge(amount)], at(0), currency).total_minor == total


def test_tax_that_is_not_due_is_taken_out() -> None:
    """Reverse charge: a price with 19 % inside is billed net, and no tax is on it."""
    found = calculate([charge(119 * 10**9, included_rate=190_000)], at(0), EUR)
    assert (found.net_minor, found.tax_minor, found.residue) == (10_000, 0, -19 * 10**9)


@given(
    st.lists(
        st.tuples(
            st.integers(-(10**12), 10**13),
            st.sampled_from(["vat", "low", "zero"]),
            st.sampled_from([0, 190_000, 70_000]),
        ),
        max_size=30,
    ),
    st.sampled_from([0, 70_000, 190_000]),
    st.sampled_from([EUR, JPY, KWD]),
)
def test_lines_tax_and_residue_add_up(rows: list[tuple[int, str, int]], rate: int, currency: Currency) -> None:
    """Lines + tax = total; and exact charges + residue + tax that was not inside = total, to the last unit."""
    charges = [charge(*row) for row in rows]
    found = calculate(charges, at(rate), currency)
    assert sum(line.net_minor for line in found.lines) == found.net_minor
    assert sum(each.base_minor for each in found.taxes) == found.net_minor
    assert sum(each.tax_minor for each in found.taxes) == found.tax_minor
    assert found.net_minor + found.tax_minor == found.total_minor
    unit = minor_unit(currency)
    exact = sum(each.amount for each in charges)
    gross = {each.code: 0 for each in found.taxes}
    for line in found.lines:
        if line.charge.included_rate and line.charge.included_rate == line.rate:
            gross[line.charge.tax_code] += line.net_minor
    inside = 0
    for each in found.taxes:
        on_top = (2 * (each.base_minor - gross[each.code]) * each.rate + 10**6) // (2 * 10**6)
        inside += each.tax_minor - on_top if each.base_minor - gross[each.code] >= 0 else 0
    if all(each.base_minor - gross[each.code] >= 0 for each in found.taxes):
        assert found.total_minor * unit == exact + found.residue + (found.tax_minor - inside) * unit
