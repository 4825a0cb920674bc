"""Calls of the API, tag sessions. Written by scripts/client.py from its routes: change those."""

from __future__ import annotations

from typing import Literal

from ocs.api import sessions
from ocs.client.transport import Transport, segment


class SessionsCalls(Transport):
    """What the API has under the tag sessions."""

    def list_open_sessions(
        self,
        *,
        limit: int = 100,
        cursor: str = "",
        account_id: str = "",
        service: str = "",
        protocol: Literal["", "gy", "rf", "ra"] = "",
        peer: str = "",
        subscriber_id: str = "",
        started_before: str | None = None,
        last_before: str | None = None,
    ) -> sessions.OpenSessionList:
        """The open sessions of all accounts, of which all that is given holds; in an order of the store's own."""
        answer: sessions.OpenSessionList = self._call(
            "GET",
            "/v1/sessions",
            sessions.OpenSessionList,
            query={
                "limit": limit,
                "cursor": cursor,
                "account_id": account_id,
                "service": service,
                "protocol": protocol,
                "peer": peer,
                "subscriber_id": subscriber_id,
                "started_before": started_before,
                "last_before": last_before,
            },
        )
        return answer

    def list_sessions(
        self,
        account_id: str,
        *,
        limit: int = 100,
        cursor: str = "",
        service: str = "",
        protocol: Literal["", "gy", "rf", "ra"] = "",
        peer: str = "",
        subscriber_id: str = "",
        started_before: str | None = None,
        last_before: str | None = None,
    ) -> sessions.OpenSessionList:
        """The account's open credit-control sessions, with what each has reserved and cost so far."""
        answer: sessions.OpenSessionList = self._call(
            "GET",
            f"/v1/accounts/{segment(account_id)}/sessions",
            sessions.OpenSessionList,
            query={
                "limit": limit,
                "cursor": cursor,
                "service": service,
                "protocol": protocol,
                "peer": peer,
                "subscriber_id": subscriber_id,
                "started_before": started_before,
                "last_before": last_before,
            },
        )
        return answer

    def close_session(self, account_id: str, data: sessions.SessionClosure) -> sessions.SessionClosing:
        """Ask the network element to end a session (Diameter: Abort-Session-Request)."""
        answer: sessions.SessionClosing = self._call(
            "POST", f"/v1/accounts/{segment(account_id)}/session-closures", sessions.SessionClosing, content=data
        )
        return answer

    def close_sessions(self, data: sessions.SessionClosures) -> sessions.SessionsClosing:
        """Ask the network elements to end several sessions, such as all of a peer that has gone mad. Each as `close_session` does."""
        answer: sessions.SessionsClosing = self._call(
            "POST", "/v1/session-closures", sessions.SessionsClosing, content=data
        )
        return answer
