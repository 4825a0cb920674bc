"""What an invoice comes to: lines, tax per code, total, and what rounding left over. Pure, and in whole numbers.

Two kinds of amounts meet here. *Exact* ones are at the currency's scale (nine decimals of a euro): what calls cost, and
what the accounts were debited. *Minor* ones are what is paid: cents, or yen. A line is rounded once, tax is computed
once per code and rate on the sum of the rounded lines, and the difference to the exact amounts is kept as the
``residue``, so that

    total in exact units = exact charges + residue + tax that was not inside them

holds to the last unit, and the ledger and the invoices agree (docs/billing.md). Tax that a price has inside and that
is not due (reverse charge, another rate since) is taken out of it, and stands in the residue, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from balance.money import Amount, Currency
from ocs.billing.invoices.rounding import quotient, shares

RATE_UNIT: Final = 1_000_000
"""Tax rates are whole millionths of the net amount, as in tariffs."""


class ChargeKind(StrEnum):
    """What a charge is for."""

    USAGE = "usage"
    RECURRING = "recurring"
    ONE_TIME = "one_time"
    ADJUSTMENT = "adjustment"  # of the account, by the operator or a re-rating
    DISCOUNT = "discount"
    WRITE_OFF = "write_off"  # late records that are not billed, by policy
    MINIMUM = "minimum"  # what is missing to the least a customer has agreed to pay


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """Something to be paid. ``amount`` is exact; + is what the customer owes.

    ``is_debited``: the account has paid it already, call by call. ``included_rate``: the tax that is inside the amount,
    in millionths; 0: the amount is net. ``source_amount`` in ``source_currency`` is what was agreed, if that was another one,
    and ``exchange`` the rate with its date by which it became the amount. ``used`` is counted in ``unit``, over ``records`` records, for the days
    ``[first, after)``.
    """

    kind: ChargeKind
    text: str
    account_id: str
    amount: Amount
    tax_code: str
    first: date
    after: date
    is_debited: bool = False
    included_rate: int = 0
    service: str = ""
    destination: str = ""
    records: int = 0
    used: int = 0
    unit: str = ""
    charge_id: str = ""
    is_late: bool = False
    source_currency: str = ""
    source_amount: Amount = 0
    exchange: str = ""


class AppliedTax(NamedTuple):
    """What a tax code means for this customer on the supply date."""

    rate: int
    name: str = ""
    note: str = ""  # the words the law wants where the rate is zero


class Line(msgspec.Struct, frozen=True):
    """One line as it is printed: the charge, what it is net, and the rate that applies."""

    charge: Charge
    net_minor: int
    rate: int


class TaxLine(msgspec.Struct, frozen=True):
    """The tax of one code and rate, on the sum of its lines."""

    code: str
    name: str
    rate: int
    base_minor: int
    tax_minor: int
    note: str = ""


class Calculation(msgspec.Struct, frozen=True):
    """All amounts of an invoice. ``residue`` is exact, the others are minor."""

    lines: tuple[Line, ...]
    taxes: tuple[TaxLine, ...]
    net_minor: int
    tax_minor: int
    total_minor: int
    residue: Amount


class _Group(NamedTuple):
    """The lines of one tax code at one rate: those whose amounts are net, and those that have the tax inside."""

    applied: AppliedTax
    net: list[int]  # places in the list of charges
    gross: list[int]


def minor_unit(currency: Currency) -> int:
    """How many exact units a cent has."""
    return int(10 ** (currency.scale - currency.digits))


def calculate(charges: Sequence[Charge], applied: Callable[[str], AppliedTax], currency: Currency) -> Calculation:
    """Round, tax and add up. ``applied`` tells what a tax code means here and now."""
    unit = minor_unit(currency)
    net_of: dict[int, int] = {}
    taxes: list[TaxLine] = []
    residue = 0
    rates: dict[int, int] = {}
    for code, group in _grouped(charges, applied).items():
        rate = group.applied.rate
        for place in group.net:
            exact = _net(charges[place])
            net_of[place] = quotient(exact.numerator, exact.divisor * unit)
            residue += net_of[place] * unit - charges[place].amount
        base = sum(net_of[place] for place in group.net)
        tax = quotient(base * rate, RATE_UNIT)
        if group.gross:
            exact_gross = sum(charges[place].amount for place in group.gross)
            gross = quotient(exact_gross, unit)
            inside = quotient(gross * RATE_UNIT, RATE_UNIT + rate)
            parts = _parts(inside, [charges[place].amount for place in group.gross])
            net_of.update(zip(group.gross, parts, strict=True))
            residue += gross * unit - exact_gross
            base, tax = base + inside, tax + gross - inside
        rates.update(dict.fromkeys([*group.net, *group.gross], rate))
        taxes.append(TaxLine(code, group.applied.name, rate, base, tax, group.applied.note))
    net, tax = sum(net_of.values()), sum(each.tax_minor for each in taxes)
    lines = tuple(Line(charge, net_of[place], rates[place]) for place, charge in enumerate(charges))
    return Calculation(lines, tuple(taxes), net, tax, net + tax, residue)


def _grouped(charges: Sequence[Charge], applied: Callable[[str], AppliedTax]) -> dict[str, _Group]:
    groups: dict[str, _Group] = {}
    for place, charge in enumerate(charges):
        group = groups.get(charge.tax_code)
        if group is None:
            group = groups[charge.tax_code] = _Group(applied(charge.tax_code), [], [])
        # Tax of another rate than the one that applies is taken out first: the customer pays no tax that is not due.
        has_it_inside = bool(charge.included_rate) and charge.included_rate == group.applied.rate
        (group.gross if has_it_inside else group.net).append(place)
    return groups


class _Exact(NamedTuple):
    numerator: int
    divisor: int


def _net(charge: Charge) -> _Exact:
    if not charge.included_rate:
        return _Exact(charge.amount, 1)
    return _Exact(charge.amount * RATE_UNIT, RATE_UNIT + charge.included_rate)


def _parts(whole: int, amounts: list[int]) -> list[int]:
    """``whole`` over the lines by their amounts; where those cancel out, the first line takes it."""
    if sum(amounts):
        return shares(whole, amounts)
    return [whole] + [0] * (len(amounts) - 1)
