"""What the operator's settings add to Gy and Ro answers: final units, failure handling, holding time, money told."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ocs.settings import ClientAbilities, CreditControl
from protocols.diameter import avp, codes
from protocols.diameter.gy import EVENT_REQUEST, INITIAL_REQUEST

_FAILOVER: Final = {"not-supported": 0, "supported": 1}  # RFC 8506, section 8.4
_FAILURE: Final = {"terminate": 0, "continue": 1, "retry-and-terminate": 2}  # 8.14
_DEBIT_FAILURE: Final = {"terminate-or-buffer": 0, "continue": 1}  # 8.15
_TYPES: Final[Mapping[str, int]] = MappingProxyType({"e164": 0, "imsi": 1, "sip": 2, "nai": 3, "private": 4})  # 8.47

EVERY_OTHER: Final = "*"
_ORDINARY: Final = ClientAbilities(host=EVERY_OTHER)


class Terms:
    """Ready AVPs, made once. ``orders`` rank the types of Subscription-Id: for data, and for all other services."""

    __slots__ = (
        "_finals",
        "clients",
        "data_order",
        "holding",
        "opening",
        "order",
        "tells_balance",
        "tells_cost",
        "tells_more",
    )

    def __init__(self, settings: CreditControl) -> None:
        opening = _enumerated(codes.CC_SESSION_FAILOVER, _FAILOVER, settings.session_failover)
        opening += _enumerated(codes.CREDIT_CONTROL_FAILURE_HANDLING, _FAILURE, settings.failure_handling)
        debiting = _enumerated(codes.DIRECT_DEBITING_FAILURE_HANDLING, _DEBIT_FAILURE, settings.debit_failure_handling)
        self.opening = {INITIAL_REQUEST: opening, EVENT_REQUEST: debiting}
        held_s = settings.quota_holding_s
        self.holding = avp.avp_u32(codes.QUOTA_HOLDING_TIME, held_s) if held_s else b""
        self.tells_cost = settings.tell_cost
        self.tells_balance = settings.tell_balance
        self.tells_more = settings.tell_cost or settings.tell_balance
        self.order = tuple(_TYPES[name] for name in settings.identities)
        self.data_order = tuple(_TYPES[name] for name in settings.data_identities)
        self.clients = {client.host.lower(): client for client in settings.clients}

    def client(self, host: str) -> ClientAbilities:
        """What a client can do, by its Origin-Host."""
        return self.clients.get(host.lower()) or self.clients.get(EVERY_OTHER) or _ORDINARY


def _enumerated(key: int, values: Mapping[str, int], name: str) -> bytes:
    return avp.avp_u32(key, values[name]) if name else b""
