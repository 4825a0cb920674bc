"""A plan over its parent: what it says itself goes first, what it does not say is the parent's. Pure."""

from __future__ import annotations

from itertools import pairwise

from ocs.rating.bundles import Wares
from ocs.rating.dated import Version
from ocs.rating.ratebook import PlanRates, ServiceRates
from ocs.rating.tariffs import DeckRate, LayeredRate, OriginRate, RateSource, Timeline


def inherited(plan: PlanRates, parent: PlanRates) -> PlanRates:
    """Lay a plan over another: by service, and there by what each tariff is for; bundles and packages by name."""
    services = dict(parent.services)
    for service, own in plan.services.items():
        theirs = parent.services.get(service)
        services[service] = own if theirs is None else _service(own, theirs)
    return PlanRates(
        plan.currency,
        services,
        plan.authorization or parent.authorization,
        parent.final_units | plan.final_units,
        _wares(plan, parent),
        plan.time_zone or parent.time_zone,
    )


def _wares(plan: PlanRates, parent: PlanRates) -> tuple[Version[Wares], ...]:
    points = sorted({instant for version in (*plan.wares, *parent.wares) for instant in version[:2]})
    return tuple(
        Version(from_ms, to_ms, plan.wares_at(from_ms).over(parent.wares_at(from_ms)))
        for from_ms, to_ms in pairwise(points)
    )


def _service(own: ServiceRates, theirs: ServiceRates) -> ServiceRates:
    by_service_id = theirs.by_service_id | {
        key: _over(timeline, theirs.by_service_id.get(key, ())) for key, timeline in own.by_service_id.items()
    }
    by_group = theirs.by_group | {
        key: _over(timeline, theirs.by_group.get(key, ())) for key, timeline in own.by_group.items()
    }
    return ServiceRates(by_service_id, by_group, _over(own.otherwise, theirs.otherwise))


def _over(own: Timeline, theirs: Timeline) -> Timeline:
    """Lay versions over others: where none of ours is in force, theirs are."""
    if not own or not theirs:
        return own or theirs
    points = sorted({instant for version in (*own, *theirs) for instant in (version.from_ms, version.to_ms)})
    found: list[Version[RateSource]] = []
    for from_ms, to_ms in pairwise(points):
        ours = next((version.what for version in own if version.from_ms <= from_ms < version.to_ms), None)
        if ours is not None:
            found.append(Version(from_ms, to_ms, _layered(ours, theirs)))
        else:
            found += [Version(from_ms, to_ms, v.what) for v in theirs if v.from_ms <= from_ms < v.to_ms]
    return tuple(found)


def _layered(source: RateSource, theirs: Timeline) -> RateSource:
    """Prefixes leave the others to the parent; one price for everything leaves nothing; origins each for itself."""
    if isinstance(source, (DeckRate, LayeredRate)):
        return LayeredRate(source, theirs)
    if isinstance(source, OriginRate):
        choices = tuple((rule, _over(timeline, theirs)) for rule, timeline in source.choices)
        return OriginRate(choices, _over(source.otherwise, theirs))
    return source
