"""The record of a session that ends, or of an event. Pure."""

from __future__ import annotations

from ocs.charging.cdr import Cdr, CdrGroup
from ocs.charging.course import record_groups
from ocs.charging.request import ChargingRequest, RequestKind
from ocs.charging.session import CreditSession


def closing_record(request: ChargingRequest, now_ms: int, session: CreditSession, flags: int) -> Cdr:
    """What was used, by which prices, and what a biller should look at."""
    ended_at_ms = now_ms if request.kind == RequestKind.EXPIRY else request.event_at_ms
    groups: list[CdrGroup] = []
    for state in session.groups:
        flags |= state.flags
        groups += record_groups(state)
    protocol, _, session_id = session.session_key.partition(":")
    return Cdr(
        session_id,
        protocol,
        session.peer,
        session.subscriber_id,
        session.service,
        session.origin,
        session.destination,
        session.opened_at_ms,
        max(ended_at_ms, session.opened_at_ms),
        session.cost,
        groups[0].version or session.groups[0].tariff.version if groups else "",
        tuple(groups),
        request.cause,
        session.flags | flags | request.flags,
        tuple((dict(session.details) | dict(request.details)).items()) if request.details else session.details,
        session.rate_plan,
        session.whereabouts,
    )
