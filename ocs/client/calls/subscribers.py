"""Calls of the API, tag subscribers. Written by scripts/client.py from its routes: change those."""

from __future__ import annotations

from ocs.api import schemas, subscribers, views
from ocs.client.transport import Transport, new_key, segment


class SubscribersCalls(Transport):
    """What the API has under the tag subscribers."""

    def create_subscriber(
        self, data: schemas.NewSubscriber, *, idempotency_key: str | None = None
    ) -> views.SubscriberView:
        """Give identities (e164:..., sip:..., imsi:...) to an account, so that calls find it."""
        answer: views.SubscriberView = self._call(
            "POST",
            "/v1/subscribers",
            views.SubscriberView,
            headers={"Idempotency-Key": idempotency_key or new_key()},
            content=data,
        )
        return answer

    def read_subscriber(self, subscriber_id: str, *, if_none_match: str | None = None) -> views.SubscriberView | None:
        """A subscriber by its id. The password is never shown. Its ETag changes with each of its changes."""
        answer: views.SubscriberView | None = self._call(
            "GET",
            f"/v1/subscribers/{segment(subscriber_id)}",
            views.SubscriberView | None,
            headers={"If-None-Match": if_none_match},
        )
        return answer

    def list_subscribers(
        self, *, limit: int = 100, cursor: str = "", account_id: str = "", identity: str = ""
    ) -> subscribers.SubscriberList:
        """All subscribers in the order of their ids; those of an account, or the one who has an identity."""
        answer: subscribers.SubscriberList = self._call(
            "GET",
            "/v1/subscribers",
            subscribers.SubscriberList,
            query={"limit": limit, "cursor": cursor, "account_id": account_id, "identity": identity},
        )
        return answer

    def set_subscriber(
        self,
        subscriber_id: str,
        data: schemas.WholeSubscriber,
        *,
        if_match: str | None = None,
        idempotency_key: str | None = None,
    ) -> views.SubscriberView:
        """Put a subscriber as a whole: what is left out is empty. Open sessions stay with the account that they began with."""
        answer: views.SubscriberView = self._call(
            "PUT",
            f"/v1/subscribers/{segment(subscriber_id)}",
            views.SubscriberView,
            headers={"If-Match": if_match, "Idempotency-Key": idempotency_key or new_key()},
            content=data,
        )
        return answer

    def change_subscriber(
        self,
        subscriber_id: str,
        data: schemas.SubscriberPatch,
        *,
        if_match: str | None = None,
        idempotency_key: str | None = None,
    ) -> views.SubscriberView:
        """Change a part of a subscriber: what is left out stays; identities are put as a whole, `"password": ""` takes it away."""
        answer: views.SubscriberView = self._call(
            "PATCH",
            f"/v1/subscribers/{segment(subscriber_id)}",
            views.SubscriberView,
            headers={"If-Match": if_match, "Idempotency-Key": idempotency_key or new_key()},
            content=data,
        )
        return answer

    def remove_subscriber(
        self, subscriber_id: str, *, if_match: str | None = None, idempotency_key: str | None = None
    ) -> None:
        """Take a subscriber away: its identities are nobody's then. Open sessions go on to their end."""
        answer: None = self._call(
            "DELETE",
            f"/v1/subscribers/{segment(subscriber_id)}",
            None,
            headers={"If-Match": if_match, "Idempotency-Key": idempotency_key or new_key()},
        )
        return answer

    def port_identity(
        self,
        subscriber_id: str,
        data: schemas.Porting,
        *,
        if_match: str | None = None,
        idempotency_key: str | None = None,
    ) -> views.SubscriberView:
        """Move a number from another subscriber to this one, in one step; open sessions stay where they began."""
        answer: views.SubscriberView = self._call(
            "POST",
            f"/v1/subscribers/{segment(subscriber_id)}/ports",
            views.SubscriberView,
            headers={"If-Match": if_match, "Idempotency-Key": idempotency_key or new_key()},
            content=data,
        )
        return answer
