"""Money: integers at a fixed scale per currency, and their only way in and out as text.

An amount is a plain ``int`` counted in the currency's smallest kept unit: 10 ** -scale of the major unit
(scale 9 for EUR: 1.00 EUR is 1_000_000_000). No float comes near it. What does not fit 63 bits is refused.
"""

from __future__ import annotations

import re
from typing import TypeAlias

import msgspec

Amount: TypeAlias = int

AMOUNT_MAX = 2**63 - 1

_DECIMAL = re.compile(r"(-?)(\d{1,19})(?:\.(\d{1,18}))?", re.ASCII)


class AmountError(ValueError):
    """The text is not an amount of this currency; the message says why."""


class Currency(msgspec.Struct, frozen=True):
    """ISO 4217 ``code`` and ``numeric`` code, ``scale`` digits kept, ``digits`` digits printed on an invoice."""

    code: str
    numeric: int
    scale: int
    digits: int


def parse_amount(text: str, scale: int) -> Amount:
    """Read a decimal string such as ``"12.30"`` or ``"-0.000001"`` exactly.

    Raises AmountError if it is no plain decimal, has more digits than the scale keeps, or exceeds 63 bits.
    """
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise AmountError(f"{text!r} is not a decimal amount such as 12.30")
    sign, whole, fraction = match[1], match[2], match[3] or ""
    if len(fraction.rstrip("0")) > scale:
        raise AmountError(f"{text} has more than {scale} decimals")
    unit: int = 10**scale
    amount = int(whole) * unit + int(fraction[:scale].ljust(scale, "0") or "0")
    if amount > AMOUNT_MAX:
        raise AmountError(f"{text} is too large: an amount has to fit 63 bits at {scale} decimals")
    return -amount if sign else amount


def format_amount(amount: Amount, scale: int, digits: int = 2) -> str:
    """Write an amount exactly: trailing zeros are cut down to ``digits`` decimals, nothing is rounded."""
    unit: int = 10**scale
    whole, fraction = divmod(abs(amount), unit)
    decimals = f"{fraction:0{scale}d}" if scale else ""
    kept = decimals.rstrip("0").ljust(min(digits, scale), "0")
    sign = "-" if amount < 0 else ""
    return f"{sign}{whole}.{kept}" if kept else f"{sign}{whole}"
