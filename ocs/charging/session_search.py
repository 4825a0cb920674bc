"""Open sessions as people look for them: by account, service, protocol, peer, subscriber, and how old they are. Pure."""

from __future__ import annotations

from typing import NamedTuple

from balance.burn import total_of
from balance.money import Amount
from ocs.charging.session import CreditSession, SessionKind


class SessionQuery(NamedTuple):
    """Which open sessions; what is empty, or 0, does not matter. ``tenant``: of accounts whose names begin so.

    ``opened_before_ms`` and ``heard_before_ms``: those that began, or of which the client was heard last, before an instant.
    """

    account_id: str = ""
    tenant: str = ""
    service: str = ""
    protocol: str = ""
    peer: str = ""
    subscriber_id: str = ""
    opened_before_ms: int = 0
    heard_before_ms: int = 0

    @property
    def is_filtered(self) -> bool:
        """Whether it asks for more than whose they are."""
        return any(self[2:])

    def fits(self, session: CreditSession) -> bool:
        """Whether a session is one of those."""
        return (
            self.account_id in {"", session.account_id}
            and session.account_id.startswith(self.tenant)
            and self.service in {"", session.service}
            and self.protocol in {"", protocol_of(session)}
            and self.peer in {"", session.peer}
            and self.subscriber_id in {"", session.subscriber_id}
            and (not self.opened_before_ms or session.opened_at_ms < self.opened_before_ms)
            and (not self.heard_before_ms or session.heard_at_ms < self.heard_before_ms)
        )


class SessionView(NamedTuple):
    """One open session, for people. ``is_authorized``: it was let through, and its call has not begun yet (RADIUS)."""

    session_key: str
    protocol: str
    started_at_ms: int
    service: str
    destination: str
    reserved: Amount
    cost: Amount
    last_at_ms: int
    account_id: str
    currency: str
    subscriber_id: str
    peer: str
    origin: str
    is_authorized: bool = False


class Position(NamedTuple):
    """After which session a page begins: its partition, and its place in the index of that."""

    partition: int
    member: str


class SessionPage(NamedTuple):
    """``after`` None: these were the last ones."""

    sessions: list[SessionView]
    after: Position | None


FIRST = Position(0, "")


def protocol_of(session: CreditSession) -> str:
    """The first part of its key: gy, rf, ra."""
    return session.session_key.partition(":")[0]


def view_of(session: CreditSession) -> SessionView:
    return SessionView(
        session.session_key,
        protocol_of(session),
        session.opened_at_ms,
        session.service,
        session.destination,
        total_of(session.reservation),
        session.cost,
        session.heard_at_ms,
        session.account_id,
        session.currency,
        session.subscriber_id,
        session.peer,
        session.origin,
        session.kind is SessionKind.LEASE,
    )
