"""The rate book: every plan, in memory, in one version. It is swapped whole and never changed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Final

import msgspec

from ocs.rating.bundles import NO_WARES, Package, Use, Wares
from ocs.rating.calendar import DAY_S, Calendar
from ocs.rating.dated import FOREVER_MS, Version
from ocs.rating.finals import FinalUnits
from ocs.rating.numbers import NUMBERS_FILE
from ocs.rating.origins import NOWHERE, Origin, OriginRule
from ocs.rating.price import Price, Tariff
from ocs.rating.rateplan import Authorization, Numbers
from ocs.rating.tariffs import RateSource, RatingFault, Timeline, ending, timeline_as_at
from ocs.rating.terms import Terms
from ocs.rating.timetable import HORIZON_S, seeing_until
from ocs.rating.units import PRICE_UNITS

__all__ = ["ANY_GROUP", "NO_GROUP", "RateBook", "RatingFault", "ServiceRates", "Timeline"]

NO_GROUP: Final = -1  # a request that names no rating group
ANY_GROUP: Final = -2  # a tariff that is for each of them
SHORT_VERSION_DIGITS: Final = 12
NO_NUMBERS: Final = Numbers()
NO_CALENDARS: Final[Mapping[str, Calendar]] = {}


class ServiceRates(msgspec.Struct, frozen=True):
    """The tariffs of one service of a plan, by what they are for.

    ``by_service_id`` is asked first: with the rating group, then with ANY_GROUP. ``by_group`` has NO_GROUP where a
    tariff is meant for requests that name no group. ``otherwise`` takes what nothing else does.
    """

    by_service_id: dict[tuple[int, int], Timeline]
    by_group: dict[int, Timeline]
    otherwise: Timeline = ()

    def timeline(self, rating_group: int, service_ids: tuple[int, ...]) -> Timeline:
        """Choose the most specific tariff: service identifier, rating group, otherwise."""
        if self.by_service_id:
            for service_id in service_ids:
                found = self.by_service_id.get((rating_group, service_id)) or self.by_service_id.get(
                    (ANY_GROUP, service_id)
                )
                if found:
                    return found
        return self.by_group.get(rating_group, self.otherwise)

    def as_at(self, at_ms: int) -> ServiceRates:
        """Give the tariffs in force at one instant as if they always were."""
        return ServiceRates(
            {key: timeline_as_at(timeline, at_ms) for key, timeline in self.by_service_id.items()},
            {key: timeline_as_at(timeline, at_ms) for key, timeline in self.by_group.items()},
            timeline_as_at(self.otherwise, at_ms),
        )

    def sources(self) -> Iterator[RateSource]:
        """Go through the sources of all prices."""
        for timeline in (*self.by_service_id.values(), *self.by_group.values(), self.otherwise):
            for version in timeline:
                yield version.what


class PlanRates(msgspec.Struct, frozen=True):
    """What a plan sells: uses at their prices, and units in packages."""

    currency: str
    services: dict[str, ServiceRates]
    authorization: tuple[Version[Authorization], ...] = ()
    final_units: dict[str, FinalUnits] = {}
    wares: tuple[Version[Wares], ...] = ()
    time_zone: str = ""

    def wares_at(self, at_ms: int) -> Wares:
        """What it sells in units at an instant."""
        return next((each.what for each in self.wares if each.from_ms <= at_ms < each.to_ms), NO_WARES)


class RateBook:
    """Look-ups only. ``timed_services`` have prices for volume and time at once. ``digest`` is the SHA-256 of all rate files; ``version`` its short form, on every tariff."""

    __slots__ = (
        "_calendars", "_emergency", "_numbers", "_plans", "by_direction", "by_place", "digest", "final_units",
        "timed_services", "version",
    )  # fmt: skip

    def __init__(
        self,
        plans: Mapping[str, PlanRates],
        digest: str,
        numbers: Numbers = NO_NUMBERS,
        calendars: Mapping[str, Calendar] = NO_CALENDARS,
        timed_services: Collection[str] = (),
    ) -> None:
        self.timed_services: Final = frozenset(timed_services)
        self._calendars = calendars
        self._plans = dict(plans)
        self._numbers = numbers
        self.digest: Final = digest
        self.version: Final = digest[:SHORT_VERSION_DIGITS]
        rules = {
            (plan, service): {rule for source in found.sources() for rule in source.rules()}
            for plan, rates in self._plans.items()
            for service, found in rates.services.items()
        }
        self.by_place: Final = frozenset(use for use, found in rules.items() if any(rule.is_by_place for rule in found))
        self.by_direction: Final = any(
            rule.is_by_direction for found in (*rules.values(), _origins_of_bundles(plans)) for rule in found
        )
        self.final_units: Final = {
            (plan, service): final
            for plan, rates in self._plans.items()
            for service, final in rates.final_units.items()
        }
        self._emergency = {
            (service, number): _emergency(number, unit, self.version)
            for service, unit in numbers.services.items()
            for number in numbers.emergency
        }

    def plans(self) -> tuple[str, ...]:
        """Name the plans, sorted."""
        return tuple(sorted(self._plans))

    def sources(self) -> Iterator[RateSource]:
        """Go through the sources of all prices."""
        for plan in self._plans.values():
            for service in plan.services.values():
                yield from service.sources()

    def currency_of(self, plan: str) -> str | None:
        """Give the currency that a plan's prices are in."""
        rates = self._plans.get(plan)
        return None if rates is None else rates.currency

    def lasting(self, price: Price, began_ms: int, lasts_s: int) -> Price:
        """Give a pinned price for a session that lasts so long: with more of its calendar, if what is pinned ends before."""
        terms = price.terms
        if not isinstance(terms, Terms) or not terms.known_s or lasts_s + DAY_S < terms.known_s:
            return price
        calendar = self._calendars.get(terms.calendar)
        if calendar is None:  # it was taken out of the files meanwhile: the last price stays
            return price
        return seeing_until(price, calendar, began_ms, lasts_s + HORIZON_S)

    def authorization_of(self, plan: str, at_ms: int) -> Authorization | None:
        """Give how much a call may hold at once; None for all that is affordable [R-46]."""
        rates = self._plans.get(plan)
        for from_ms, to_ms, authorization in rates.authorization if rates is not None else ():
            if from_ms <= at_ms < to_ms:
                return authorization
        return None

    def bundles_for(self, plan: str, tariff: Tariff, use: Use) -> tuple[str, ...]:
        """Name the bundles of a plan whose units may pay for a use."""
        rates = self._plans.get(plan)
        bundles = rates.wares_at(use.at_ms).bundles.values() if rates is not None else ()
        return tuple(each.name for each in bundles if each.covers(tariff, use))

    def package(self, plan: str, name: str, at_ms: int) -> Package | None:
        """Find what a plan sells under a name at an instant."""
        rates = self._plans.get(plan)
        return rates.wares_at(at_ms).packages.get(name) if rates is not None else None

    def packages_of(self, plan: str, at_ms: int) -> Mapping[str, Package]:
        """Give all that a plan sells as packages at an instant, by name."""
        rates = self._plans.get(plan)
        return rates.wares_at(at_ms).packages if rates is not None else {}

    def time_zone_of(self, plan: str) -> str:
        """Say by whose clocks a plan's periods end; empty where it does not say."""
        rates = self._plans.get(plan)
        return rates.time_zone if rates is not None else ""

    def rates_of(self, plan: str) -> PlanRates | None:
        """Give all rates of a plan: for tools that show and compare; requests are priced by ``tariff_for``."""
        return self._plans.get(plan)

    def as_at(self, at_ms: int) -> RateBook:
        """Give the prices in force at one instant for uses of any time: for simulations.

        Which band of the week holds is still a matter of the use's own time.
        """
        plans = {
            name: PlanRates(
                plan.currency,
                {service: rates.as_at(at_ms) for service, rates in plan.services.items()},
                plan.authorization,
                plan.final_units,
                plan.wares,
                plan.time_zone,
            )
            for name, plan in self._plans.items()
        }
        return RateBook(plans, self.digest, self._numbers, self._calendars, self.timed_services)

    def tariff_for(
        self,
        plan: str,
        service: str,
        rating_group: int,
        service_ids: tuple[int, ...],
        destination: str,
        at_ms: int,
        origin: Origin = NOWHERE,
    ) -> Tariff | RatingFault:
        """Find what applies here and now; ``valid_until_ms`` says until when, 0 for no known end.

        Emergency numbers pass, whatever the plan says, and even if there is none.
        """
        emergency = self._emergency.get((service, destination))
        if emergency is not None:
            return emergency
        rates = self._plans.get(plan)
        if rates is None:
            return RatingFault.UNKNOWN_PLAN
        choices = rates.services.get(service)
        if choices is None:
            return RatingFault.NO_SERVICE
        timeline = choices.timeline(rating_group, service_ids)
        if not timeline:
            return RatingFault.NO_RATING_GROUP
        for from_ms, to_ms, source in timeline:
            if from_ms <= at_ms < to_ms:
                tariff = source.tariff(destination, at_ms, origin)
                return tariff if to_ms == FOREVER_MS else ending(tariff, to_ms)
        return RatingFault.NOT_IN_FORCE


def _origins_of_bundles(plans: Mapping[str, PlanRates]) -> set[OriginRule]:
    wares = (version.what for rates in plans.values() for version in rates.wares)
    return {rule for each in wares for bundle in each.bundles.values() for rule in bundle.origins}


def _emergency(number: str, unit: str, version: str) -> Tariff:
    price = Price(PRICE_UNITS[unit][0], setup=0, initial=1, next=1, initial_rate=0, next_rate=0, per=1)
    return Tariff(price, "", "Emergency", "Emergency", number, NUMBERS_FILE, version)
