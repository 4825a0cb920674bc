"""The file format of rate plans: these records are what ``config/rateplans/*.toml`` may say, and nothing else.

Amounts are decimal strings in the plan's currency; increments are whole numbers of the base unit (seconds, octets,
events) or text with a unit ("60 s", "1 MiB"). See docs/rating.md for the meaning of each field.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec

from ocs.rating.finals import FinalUnits
from ocs.rating.periods import Every

PriceUnit: TypeAlias = Literal[
    "second", "minute", "hour", "octet", "kB", "KiB", "MB", "MiB", "GB", "GiB", "event"
]  # the keys of units.PRICE_UNITS
RoundingMode: TypeAlias = Literal["up", "half-up", "down"]
TieringMode: TypeAlias = Literal["graduated", "volume"]
SubSecondMode: TypeAlias = Literal["up", "half-up", "down", "calendar"]


class PriceCells(NamedTuple):
    """The written parts of a price, from a plan or from a line of a deck. Empty: as in the tariff around it."""

    rate: str = ""
    initial_rate: str = ""
    initial: str = ""
    next: str = ""
    setup: str = ""
    minimum: str = ""
    attempt_fee: str = ""
    minimum_charge: str = ""
    maximum_charge: str = ""
    free_up_to: str = ""
    deducted: str = ""
    free_units: str = ""
    added: str = ""


BAND_CELLS: Final = PriceCells._fields[: PriceCells._fields.index("minimum") + 1]
"""What may cost something else, or be billed otherwise, in a band; all else is the same in all bands."""


class Finish(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the amount of a call is finished. A plan says it for its tariffs, a tariff and a destination for themselves."""

    round_to: str = ""
    rounding: RoundingMode | Literal[""] = ""
    sub_second: SubSecondMode | Literal[""] = ""
    tax: str = ""
    tax_included: bool | None = None
    tax_code: str = ""


class Pricing(Finish, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The parts of a price that a tariff sets and a destination may override."""

    rate: str = ""
    initial_rate: str = ""
    initial: int | str = ""
    next: int | str = ""
    setup: str = ""
    minimum: int | str = ""
    attempt_fee: str = ""
    minimum_charge: str = ""
    maximum_charge: str = ""
    free_up_to: int | str = ""
    deducted: int | str = ""
    free_units: int | str = ""
    added: int | str = ""

    def cells(self) -> PriceCells:
        return PriceCells(*(str(getattr(self, name)) for name in PriceCells._fields))


class BandRate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[[tariffs.bands]]``: what differs in one band of the tariff's calendar."""

    band: str
    rate: str = ""
    initial_rate: str = ""
    initial: int | str = ""
    next: int | str = ""
    setup: str = ""
    minimum: int | str = ""

    def cells(self) -> PriceCells:
        return PriceCells(*(str(getattr(self, name)) for name in BAND_CELLS))


class TimeRate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[tariffs.time]``: what the time of a data session costs, beside its volume."""

    per: Literal["second", "minute", "hour"]
    rate: str
    initial_rate: str = ""
    initial: int | str = ""
    next: int | str = ""
    setup: str = ""
    minimum: int | str = ""

    def cells(self) -> PriceCells:
        return PriceCells(*(str(getattr(self, name)) for name in BAND_CELLS))


class TierEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[[tariffs.tiers]]``: units up to and with ``up_to`` at a rate; the last tier has no end."""

    rate: str
    up_to: int | str = ""
    fee: str = ""
    status: str = ""


class DestinationRate(Pricing, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[[tariffs.rates]]``: the price of one named destination of ``destinations/*.csv``."""

    destination: str
    forbidden: bool = False
    tiering: TieringMode | Literal[""] = ""


class TariffEntry(Pricing, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[[tariffs]]``: what one use of a service costs. Exactly one of rate, free, deck, destinations says it."""

    service: str
    name: str
    per: PriceUnit
    free: bool = False
    deck: str | tuple[str, ...] = ""
    destinations: str = ""
    rating_groups: tuple[int, ...] = ()
    service_identifiers: tuple[int, ...] = ()
    tiering: TieringMode | Literal[""] = ""
    tiers_over: Every | Literal["call"] = "call"
    spill: Literal["continue", "restart"] = "continue"
    counter: str = ""
    unit: tuple[str, str] | None = None
    default: bool = False
    origin: str = ""
    priority: int = 0
    currency: str = ""
    calendar: str = ""
    price_at: Literal["start", "split", ""] = ""
    clock: Literal["setup", "answer", "end"] = "setup"
    from_: str = msgspec.field(default="", name="from")
    to: str = ""


class Authorization(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[authorization]``: how much a call that asks for all it can get (RADIUS) may hold at once.

    ``share`` 4: a quarter of the money; ``cap_s``: so many seconds; 1 and 0: all that is affordable.
    """

    share: int = 1
    cap_s: int = 0


class BundleEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[[bundles]]``: what units may be used for. Each filter that is written has to let the use through."""

    name: str
    per: PriceUnit
    services: tuple[str, ...]
    rating_groups: tuple[int, ...] = ()
    destinations: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    calendar: str = ""
    bands: tuple[str, ...] = ()


class GrantEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[[packages.grants]]``: a bucket of a bundle, and how long it is valid."""

    bundle: str
    units: int | str
    days: int = 0
    until: Every | Literal[""] = ""
    priority: int = 100
    source: Literal["promotional", "recurring", "paid", ""] = ""
    rollover: int | str = 0


class PackageEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[[packages]]``: buckets that are sold together at a price, once or anew in every period."""

    name: str
    price: str = "0"
    every: Every | Literal[""] = ""
    if_short: Literal["retry", "end", "debit"] = "retry"
    trial_days: int = 0
    commitment: int = 0


class RatePlan(Finish, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The head of a file of ``config/rateplans``; its ``[[tariffs]]`` are decoded one by one."""

    name: str
    currency: str
    parent: str = ""
    from_: str = msgspec.field(default="", name="from")
    to: str = ""
    final_units: tuple[FinalUnits, ...] = ()
    authorization: Authorization | None = None
    time_zone: str = ""


class CurrencyEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One line of ``config/currencies.toml``: ``EUR = { numeric = 978, scale = 9, digits = 2 }``."""

    numeric: int
    scale: int
    digits: int


class Zone(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One table of ``config/zones.toml``: callers' prefixes, trunks, and places of users that are one origin."""

    numbers: tuple[str, ...] = ()
    trunks: tuple[str, ...] = ()
    locations: tuple[str, ...] = ()
    serving: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    apns: tuple[str, ...] = ()
    rats: tuple[str, ...] = ()


class Numbers(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``config/numbers.toml``: numbers that every plan lets through, free of charge, and the unit of each service."""

    emergency: tuple[str, ...] = ()
    services: dict[str, PriceUnit] = msgspec.field(default_factory=lambda: {"voice": "second", "sms": "event"})


class CalendarFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The head of a file of ``config/calendars``; its ``[[bands]]`` are decoded one by one."""

    zone: str
    holidays: tuple[str, ...] = ()


class BandEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[[bands]]`` of a calendar: on which days at which times it holds; neither: all that is left."""

    name: str
    days: tuple[str, ...] = ()
    times: tuple[str, ...] = ()
