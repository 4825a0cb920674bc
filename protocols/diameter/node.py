"""Who we are on the wire, and which requests are ours to answer (RFC 6733, section 6.1)."""

from __future__ import annotations

from collections.abc import Iterable

from protocols.diameter import avp, codes
from protocols.diameter.message import Fault
from protocols.diameter.result_codes import ResultCode


class LocalNode:
    """Our identity and realm. ``aliases`` are further names, of host or realm, that clients have for us [B-71]."""

    __slots__ = ("_hosts", "_realms", "identity", "origin", "realm")

    def __init__(self, identity: str, realm: str, aliases: Iterable[str] = ()) -> None:
        self.identity = identity
        self.realm = realm
        others = frozenset(alias.lower().encode() for alias in aliases)
        # The spelling as configured stands beside the lower-case one: the usual request costs one look-up.
        self._hosts = others | {identity.encode(), identity.lower().encode()}
        self._realms = others | {realm.encode(), realm.lower().encode()}
        self.origin = avp.avp_text(codes.ORIGIN_HOST, identity) + avp.avp_text(codes.ORIGIN_REALM, realm)

    def is_our_host(self, identity: bytes) -> bool:
        return identity in self._hosts or identity.lower() in self._hosts

    def is_our_realm(self, realm: bytes) -> bool:
        return realm in self._realms or realm.lower() in self._realms

    def refusal(self, frame: bytes, found: dict[int, int], more: list[tuple[int, int]]) -> Fault | None:
        """Why a request with these AVPs is not for us, or None [B-70 to B-74]."""
        realm = found.get(codes.DESTINATION_REALM)
        host = found.get(codes.DESTINATION_HOST)
        if host is not None:
            if realm is None:
                return Fault(ResultCode.UNABLE_TO_DELIVER, message="Destination-Host without Destination-Realm")
            if not self.is_our_host(avp.octets(frame, host)):
                return Fault(ResultCode.UNABLE_TO_DELIVER, message="Destination-Host is not reachable here")
        elif realm is not None and not self.is_our_realm(avp.octets(frame, realm)):
            return Fault(ResultCode.REALM_NOT_SERVED, message="Destination-Realm is not served here")
        if codes.ROUTE_RECORD in found and self._has_passed(frame, found, more):
            return Fault(ResultCode.LOOP_DETECTED, message="the request has passed here before")
        return None

    def _has_passed(self, frame: bytes, found: dict[int, int], more: list[tuple[int, int]]) -> bool:
        positions = [found[codes.ROUTE_RECORD], *(at for key, at in more if key == codes.ROUTE_RECORD)]
        return any(self.is_our_host(avp.octets(frame, at)) for at in positions)
