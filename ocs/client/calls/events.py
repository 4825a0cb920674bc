"""Calls of the API, tag events. Written by scripts/client.py from its routes: change those."""

from __future__ import annotations

from typing import Literal

from ocs.api import events
from ocs.client.transport import Transport, new_key, segment


class EventsCalls(Transport):
    """What the API has under the tag events."""

    def read_contact(self, account_id: str) -> events.ContactView:
        """Where the account's subscriber is told of events; all empty if nobody said."""
        answer: events.ContactView = self._call(
            "GET", f"/v1/accounts/{segment(account_id)}/contact", events.ContactView
        )
        return answer

    def set_contact(
        self,
        account_id: str,
        data: events.ContactChange,
        *,
        if_match: str | None = None,
        idempotency_key: str | None = None,
    ) -> events.ContactView:
        """Say where the account's subscriber is told of events, in which language, by which clock and at which hours not."""
        answer: events.ContactView = self._call(
            "PUT",
            f"/v1/accounts/{segment(account_id)}/contact",
            events.ContactView,
            headers={"If-Match": if_match, "Idempotency-Key": idempotency_key or new_key()},
            content=data,
        )
        return answer

    def list_account_events(
        self,
        account_id: str,
        *,
        limit: int = 100,
        cursor: str = "",
        event_type: str = "",
        at_from: str | None = None,
        at_to: str | None = None,
    ) -> events.EventList:
        """What happened to one account in [at_from, at_to)."""
        answer: events.EventList = self._call(
            "GET",
            f"/v1/accounts/{segment(account_id)}/events",
            events.EventList,
            query={"limit": limit, "cursor": cursor, "type": event_type, "at_from": at_from, "at_to": at_to},
        )
        return answer

    def list_events(
        self,
        *,
        limit: int = 100,
        cursor: str = "",
        event_type: str = "",
        at_from: str | None = None,
        at_to: str | None = None,
    ) -> events.EventList:
        """What happened to all accounts in [at_from, at_to)."""
        answer: events.EventList = self._call(
            "GET",
            "/v1/events",
            events.EventList,
            query={"limit": limit, "cursor": cursor, "type": event_type, "at_from": at_from, "at_to": at_to},
        )
        return answer

    def list_messages(
        self,
        *,
        limit: int = 100,
        cursor: str = "",
        message_state: Literal["", "waiting", "arrived", "dead"] = "",
        account_id: str = "",
        made_from: str | None = None,
        made_to: str | None = None,
    ) -> events.MessageList:
        """Webhooks, mails and SMS that were made in [made_from, made_to): on their way, arrived, or given up."""
        answer: events.MessageList = self._call(
            "GET",
            "/v1/messages",
            events.MessageList,
            query={
                "limit": limit,
                "cursor": cursor,
                "state": message_state,
                "account_id": account_id,
                "made_from": made_from,
                "made_to": made_to,
            },
        )
        return answer

    def replay_messages(self, data: events.Replay) -> events.Replayed:
        """Send messages once more, under their ids. Asking twice sends them once more than once: receivers know the ids."""
        answer: events.Replayed = self._call("POST", "/v1/message-replays", events.Replayed, content=data)
        return answer
