"""Service units as credit control counts them (RFC 8506, sections 8.17 to 8.19)."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec


class Money(NamedTuple):
    """CC-Money: ``digits`` x 10 ** ``exponent`` in the currency of that ISO 4217 number (0: none named)."""

    digits: int
    exponent: int
    currency_code: int


NO_SIDE: Final = -1
UNIT_AFTER_TARIFF_CHANGE: Final = 1
UNIT_INDETERMINATE: Final = 2


class Units(msgspec.Struct, frozen=True, gc=False):
    """A Requested- or Used-Service-Unit: counts by AVP code (420 time, 421 total octets, ...), and money.

    ``tariff_change_usage`` says on which side of a Tariff-Time-Change it was used; NO_SIDE where it does not.
    """

    counts: dict[int, int]
    money: Money | None = None
    tariff_change_usage: int = NO_SIDE
