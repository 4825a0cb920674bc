"""The client: every operation of the API as a method, its bodies and answers as the API's own records."""

from __future__ import annotations

from ocs.client.calls.accounts import AccountsCalls
from ocs.client.calls.audit import AuditCalls
from ocs.client.calls.billing import BillingCalls
from ocs.client.calls.cards import CardsCalls
from ocs.client.calls.diameter import DiameterCalls
from ocs.client.calls.events import EventsCalls
from ocs.client.calls.history import HistoryCalls
from ocs.client.calls.mediation import MediationCalls
from ocs.client.calls.rates import RatesCalls
from ocs.client.calls.sessions import SessionsCalls
from ocs.client.calls.subscribers import SubscribersCalls
from ocs.client.calls.tmf654 import Tmf654Calls


class Client(
    AccountsCalls,
    SubscribersCalls,
    SessionsCalls,
    HistoryCalls,
    EventsCalls,
    RatesCalls,
    DiameterCalls,
    BillingCalls,
    CardsCalls,
    MediationCalls,
    AuditCalls,
    Tmf654Calls,
):
    """``with Client("http://127.0.0.1:8080", key) as ocs: ocs.read_account("alice")``."""
