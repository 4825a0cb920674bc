"""Calls of the API, tag subscribers. Written by scripts/client.py from its routes: change those."""

from __future__ import annotations

from ocs.api import schemas, views
from ocs.client.transport import Transport, segment


class SubscribersCalls(Transport):
    """What the API has under the tag subscribers."""

    def create_subscriber(self, data: schemas.NewSubscriber) -> views.SubscriberView:
        """Give identities (e164:..., sip:..., imsi:...) to an account, so that calls find it."""
        answer: views.SubscriberView = self._call("POST", "/v1/subscribers", views.SubscriberView, content=data)
        return answer

    def read_subscriber(self, subscriber_id: str) -> views.SubscriberView:
        """A subscriber by its id. The password is never shown."""
        answer: views.SubscriberView = self._call(
            "GET", f"/v1/subscribers/{segment(subscriber_id)}", views.SubscriberView
        )
        return answer

    def find_subscriber(self, *, identity: str) -> views.SubscriberView:
        """The one subscriber who has an identity."""
        answer: views.SubscriberView = self._call(
            "GET", "/v1/subscribers", views.SubscriberView, query={"identity": identity}
        )
        return answer

    def port_identity(self, subscriber_id: str, data: schemas.Porting) -> views.SubscriberView:
        """Move a number from another subscriber to this one, in one step; open sessions stay where they began."""
        answer: views.SubscriberView = self._call(
            "POST", f"/v1/subscribers/{segment(subscriber_id)}/ports", views.SubscriberView, content=data
        )
        return answer
