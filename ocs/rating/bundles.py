"""Bundles and packages of a plan: what units that an account has bought may be used for, and what is sold together."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

from balance.account import Source
from balance.money import Amount
from ocs.rating.calendar import Calendar
from ocs.rating.origins import Origin, OriginRule
from ocs.rating.periods import Every, day_end_ms, period_end_ms
from ocs.rating.price import Tariff, is_free
from ocs.rating.units import UnitKind

SourceName: TypeAlias = Literal["promotional", "recurring", "paid"]

SOURCES: Final[dict[SourceName, Source]] = {
    "promotional": Source.PROMOTIONAL,
    "recurring": Source.RECURRING,
    "paid": Source.PAID,
}
SOURCE_NAMES: Final[dict[Source, SourceName]] = {source: name for name, source in SOURCES.items()}


class Use(msgspec.Struct, frozen=True, gc=False):
    """What is known of a session's group when it is asked which bundles are for it."""

    service: str
    rating_group: int
    destination: str
    at_ms: int
    origin: Origin


class Bundle(msgspec.Struct, frozen=True):
    """Units of one kind and what they are for. An empty filter lets everything through."""

    name: str
    kind: UnitKind
    services: tuple[str, ...]
    rating_groups: tuple[int, ...] = ()
    destinations: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    origins: tuple[OriginRule, ...] = ()
    calendar: Calendar | None = None
    bands: tuple[str, ...] = ()

    def covers(self, tariff: Tariff, use: Use) -> bool:
        """Tell whether a use may be paid with these units. What is free anyway takes none."""
        return (
            self.kind is tariff.price.kind
            and use.service in self.services
            and (not self.rating_groups or use.rating_group in self.rating_groups)
            and (not self.destinations or tariff.destination in self.destinations)
            and (not self.prefixes or use.destination.startswith(self.prefixes))
            and (not self.origins or any(rule.rank(use.origin) >= 0 for rule in self.origins))
            and (self.calendar is None or self.calendar.band_at(use.at_ms) in self.bands)
            and not is_free(tariff.price)
        )


class Grant(msgspec.Struct, frozen=True):
    """One bucket of a package. It ends with the local day after so many days, or with the period; neither: with the
    package's own period, if it has one. Of what is left then, up to ``rollover`` units go into the next bucket.
    """

    bundle: str
    units: int
    kind: UnitKind
    days: int = 0
    until: Every | Literal[""] = ""
    priority: int = 100
    source: Source = Source.PAID
    rollover: int = 0

    def expires_at_ms(self, zone: str, cycle_day: int, now_ms: int, renews_at_ms: int = 0) -> int:
        """The first instant at which a bucket that is granted now is no longer valid; 0 for never."""
        if self.days:
            return day_end_ms(zone, now_ms, self.days)
        return period_end_ms(self.until, zone, now_ms, cycle_day) if self.until else renews_at_ms


class Package(msgspec.Struct, frozen=True):
    """What is bought at once: its price, and the buckets that come with it.

    With ``every`` it is bought anew at the end of each period. If the money is short then: "retry" with every change of the
    account until there is enough, "end" it, or "debit" it all the same. An account has its first ``trial_days`` for nothing,
    once; after them ``commitment`` periods have to run.
    """

    name: str
    price: Amount
    grants: tuple[Grant, ...]
    zone: str
    every: Every | Literal[""] = ""
    if_short: Literal["retry", "end", "debit"] = "retry"
    trial_days: int = 0
    commitment: int = 0

    def renews_at_ms(self, zone: str, cycle_day: int, day: int, now_ms: int) -> int:
        """When a period that begins now ends: at a local midnight. Months begin on the day of the month on which it began."""
        if self.every == "week":
            return day_end_ms(zone, now_ms, 6)
        if self.every == "month":
            return period_end_ms("cycle", zone, now_ms, day)
        return period_end_ms(self.every, zone, now_ms, cycle_day)

    def part(self, days: int, of_days: int) -> Package:
        """The same for some days of a period: so much of its price, rounded down, and of its units, rounded up."""
        grants = tuple(msgspec.structs.replace(grant, units=-(-grant.units * days // of_days)) for grant in self.grants)
        part: Package = msgspec.structs.replace(self, price=self.price * days // of_days, grants=grants)
        return part


class Wares(msgspec.Struct, frozen=True):
    """What a plan sells in units, by name."""

    bundles: dict[str, Bundle] = {}
    packages: dict[str, Package] = {}

    def over(self, others: Wares) -> Wares:
        """These, and of others what has another name."""
        return Wares(others.bundles | self.bundles, others.packages | self.packages)


NO_WARES: Final = Wares()
