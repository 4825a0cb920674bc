"""Whether the one who is charged calls or is called: what limits pass, and what a price may depend on. Pure."""

from __future__ import annotations

from ocs.charging.decision import Case
from ocs.charging.request import ROLE, TERMINATING
from ocs.charging.session import CreditSession
from ocs.rating.origins import INCOMING
from ocs.rating.whereabouts import moved


def is_incoming(case: Case) -> bool:
    """Whether the one who is charged is called, or is sent a message. What does not tell is outgoing.

    A node's role says it, in this request or when the session began; else the numbers: his own is called, by another's.
    """
    request = case.request
    session = case.record if isinstance(case.record, CreditSession) else case.lease
    request.complete()
    told = (*request.details, *(session.details if session is not None else ()))
    roles = [detail for detail in told if detail[0] == ROLE]
    if roles:
        return roles[0] == TERMINATING
    parties = request if session is None else session
    own = request.identities
    return f"e164:{parties.destination}" in own and f"e164:{parties.origin}" not in own


def whereabouts_at_start(case: Case) -> str:
    """Where the user is as a session begins, and that he is called: for rates that ask for it. So it stays with the record."""
    whereabouts = case.request.whereabouts
    return moved(whereabouts, INCOMING) if is_incoming(case) else whereabouts
