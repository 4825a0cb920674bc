"""The server's side of one RADIUS socket, without the socket: which datagrams are requests, and how they are answered.

    datagram -> packet -> right port? -> genuine? -> Message-Authenticator as the client must? -> seen before? -> request

Every step that fails ends in silence and a reason to count (RFC 2865, section 3; RFC 2866, section 3; RFC 5997).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Literal, TypeAlias

from protocols.radius import attributes as a
from protocols.radius.authenticators import (
    has_valid_message_authenticator,
    has_valid_request_authenticator,
    sign_reply,
    zero_authenticator,
)
from protocols.radius.dedup import NEW, Repeat, ReplyCache, Source
from protocols.radius.packet import (
    ACCESS_ACCEPT,
    ACCESS_REQUEST,
    ACCOUNTING_REQUEST,
    ACCOUNTING_RESPONSE,
    MESSAGE_AUTHENTICATOR,
    PROXY_STATE,
    STATUS_SERVER,
    MalformedPacket,
    Packet,
    decode,
    proxy_states,
)
from protocols.radius.records import has_digest

Requirement: TypeAlias = Literal["yes", "auto", "no"]


class Role(Enum):
    """What a socket serves: the request codes it takes, and the reply to a Status-Server (RFC 5997, section 3)."""

    AUTHENTICATION = (frozenset((ACCESS_REQUEST,)), ACCESS_ACCEPT)
    ACCOUNTING = (frozenset((ACCOUNTING_REQUEST,)), ACCOUNTING_RESPONSE)
    BOTH = (frozenset((ACCESS_REQUEST, ACCOUNTING_REQUEST)), ACCESS_ACCEPT)  # a connection (RFC 6613, section 2.1)


class Discard(Enum):
    """Why a datagram got no answer. The value is the word in logs and metrics."""

    MALFORMED = "malformed"
    WRONG_CODE = "wrong_code"  # unknown, or meant for the other port
    WRONG_AUTHENTICATOR = "wrong_authenticator"  # most often a wrong secret
    WRONG_MESSAGE_AUTHENTICATOR = "wrong_message_authenticator"
    NO_MESSAGE_AUTHENTICATOR = "no_message_authenticator"
    REPEAT_IN_WORK = "repeat_in_work"
    NOT_READY = "not_ready"


class Peer:
    """A client as the protocol sees it. ``requirement`` turns from auto to yes by itself [R-21]; ``has_status_server`` is
    whether it may ask whether we are alive [R-101]; ``insecure`` counts the Access-Requests that were taken without
    Message-Authenticator [R-26].
    """

    def __init__(
        self,
        secret: bytes,
        requirement: Requirement = "yes",
        limit_proxy_state: bool = True,
        has_status_server: bool = True,
    ) -> None:
        self.secret = secret
        self.requirement: Requirement = requirement
        self.limit_proxy_state = limit_proxy_state
        self.has_status_server = has_status_server
        self.insecure = 0


Received: TypeAlias = Packet | bytes | Discard


def _always() -> bool:
    return True


class Responder:
    """One socket's state: the reply cache."""

    def __init__(self, role: Role, cache: ReplyCache, is_ready: Callable[[], bool] = _always) -> None:
        self._request_codes, self._status_reply_code = role.value
        self._cache = cache
        self._is_ready = is_ready

    def receive(self, datagram: bytes, source: Source, peer: Peer, now_ms: int) -> Received:
        """A packet to work on, octets to send back at once, or the reason for silence."""
        try:
            packet = decode(datagram)
        except MalformedPacket:
            return Discard.MALFORMED
        if packet.code in self._request_codes:
            fault = (
                _accounting_fault(packet, peer) if packet.code == ACCOUNTING_REQUEST else _access_fault(packet, peer)
            )
        elif packet.code == STATUS_SERVER:
            return self._status(packet, peer)
        else:
            fault = Discard.WRONG_CODE
        if fault is not None:
            return fault
        repeat = self._cache.begin(packet, source, now_ms)
        if repeat is NEW:
            return packet
        return Discard.REPEAT_IN_WORK if isinstance(repeat, Repeat) else repeat

    def reply(self, packet: Packet, peer: Peer, code: int, attributes: bytes = b"") -> bytes | None:
        """The signed reply, kept for repeats. None if the client no longer waits for it."""
        # RFC 3579 and CVE-2024-3596: every Access reply carries it; an Accounting-Response where the request did.
        signed = code != ACCOUNTING_RESPONSE or packet.has(MESSAGE_AUTHENTICATOR)
        octets = sign_reply(
            code, packet, attributes + proxy_states(packet), peer.secret, with_message_authenticator=signed
        )
        return octets if self._cache.finish(packet, octets) else None

    def refuse(self, datagram: bytes, peer: Peer, code: int, attributes: bytes) -> bytes | None:
        """The reply to a genuine request that is not ours to serve; None if it is not genuine."""
        packet = decode(datagram)
        if _accounting_fault(packet, peer) is not None:  # CoA and Disconnect are signed as accounting is
            return None
        body = attributes + proxy_states(packet)
        return sign_reply(code, packet, body, peer.secret, with_message_authenticator=False)

    def forget(self, packet: Packet) -> None:
        """There will be no reply: the next repeat is to be worked on again."""
        self._cache.forget(packet)

    def _status(self, packet: Packet, peer: Peer) -> Received:
        """Status-Server changes nothing and is never a repeat (RFC 5997, section 4.2)."""
        if not peer.has_status_server:
            return Discard.WRONG_CODE
        if not packet.has(MESSAGE_AUTHENTICATOR):
            return Discard.NO_MESSAGE_AUTHENTICATOR
        if not has_valid_message_authenticator(packet, peer.secret, packet.authenticator):
            return Discard.WRONG_MESSAGE_AUTHENTICATOR
        if not self._is_ready():
            return Discard.NOT_READY
        return sign_reply(
            self._status_reply_code, packet, proxy_states(packet), peer.secret, with_message_authenticator=True
        )


def _accounting_fault(packet: Packet, peer: Peer) -> Discard | None:
    if not has_valid_request_authenticator(packet, peer.secret):
        return Discard.WRONG_AUTHENTICATOR
    if packet.has(MESSAGE_AUTHENTICATOR) and not has_valid_message_authenticator(
        packet, peer.secret, zero_authenticator()
    ):
        return Discard.WRONG_MESSAGE_AUTHENTICATOR
    return None


def _access_fault(packet: Packet, peer: Peer) -> Discard | None:
    """An Access-Request proves nothing by its authenticator, which is random: only by Message-Authenticator."""
    if packet.has(MESSAGE_AUTHENTICATOR):
        if not has_valid_message_authenticator(packet, peer.secret, packet.authenticator):
            return Discard.WRONG_MESSAGE_AUTHENTICATOR
        if peer.requirement == "auto":
            peer.requirement = "yes"
        return None
    if peer.requirement == "yes" or _always_needs_message_authenticator(packet):
        return Discard.NO_MESSAGE_AUTHENTICATOR
    if peer.limit_proxy_state and packet.has(PROXY_STATE):
        return Discard.NO_MESSAGE_AUTHENTICATOR
    peer.insecure += 1
    return None


def _always_needs_message_authenticator(packet: Packet) -> bool:
    """EAP (RFC 3579, section 3.2), Digest (RFC 5090, section 2.2) and Authorize-Only (RFC 5176, section 3.3) [R-23]."""
    service_type = packet.first(a.SERVICE_TYPE)
    if service_type is not None and a.integer(service_type) == a.SERVICE_TYPE_AUTHORIZE_ONLY:
        return True
    return packet.has(a.EAP_MESSAGE) or has_digest(packet)
