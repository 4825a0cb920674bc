"""Editions of a plan: files of one name that follow each other in time become one plan. Pure.

An edition holds from its ``from`` until the next one begins, whole: a tariff that the next edition does not have ends with
it, and what it was for goes to the tariff that the next edition has for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from ocs.rating.dated import Version
from ocs.rating.ratebook import ANY_GROUP, PlanRates, ServiceRates
from ocs.rating.tariffs import Timeline

NO_RATES = ServiceRates({}, {})


def joined(editions: Sequence[Version[PlanRates]]) -> PlanRates:
    """Join editions that do not overlap, the earlier first. What follows on the last quota is as the latest of them says."""
    services = dict.fromkeys(service for edition in editions for service in edition.what.services)
    return PlanRates(
        editions[0].what.currency,
        {
            service: _service([Version(f, t, plan.services.get(service, NO_RATES)) for f, t, plan in editions])
            for service in services
        },
        tuple(
            Version(max(f, from_ms), min(t, to_ms), authorization)
            for f, t, plan in editions
            for from_ms, to_ms, authorization in plan.authorization
        ),
        {service: final for edition in editions for service, final in edition.what.final_units.items()},
        tuple(
            Version(max(each.from_ms, from_ms), min(each.to_ms, to_ms), each.what)
            for from_ms, to_ms, plan in editions
            for each in plan.wares
            if max(each.from_ms, from_ms) < min(each.to_ms, to_ms)
        ),
        next((edition.what.time_zone for edition in reversed(editions) if edition.what.time_zone), ""),
    )


def _service(editions: Sequence[Version[ServiceRates]]) -> ServiceRates:
    """Ask each edition in its time what it has for everything that any of them tells apart."""
    groups = dict.fromkeys(group for edition in editions for group in edition.what.by_group)
    pairs = dict.fromkeys(pair for edition in editions for pair in edition.what.by_service_id)
    # Where an identifier counts in any group, the groups that have tariffs of their own are told apart, too.
    more = [(group, identifier) for of, identifier in pairs if of == ANY_GROUP for group in groups]
    return ServiceRates(
        {(group, each): _timeline(editions, group, (each,)) for group, each in (*pairs, *more)},
        {group: _timeline(editions, group, ()) for group in groups},
        _timeline(editions, ANY_GROUP, ()),
    )


def _timeline(editions: Sequence[Version[ServiceRates]], group: int, identifiers: tuple[int, ...]) -> Timeline:
    return tuple(
        Version(max(version.from_ms, edition.from_ms), min(version.to_ms, edition.to_ms), version.what)
        for edition in editions
        for version in edition.what.timeline(group, identifiers)
        if max(version.from_ms, edition.from_ms) < min(version.to_ms, edition.to_ms)
    )
