"""What a server asks of a client on its own account: Re-Auth-Request and Abort-Session-Request (RFC 6733, section 8)."""

from __future__ import annotations

from typing import Final, NamedTuple

from protocols.diameter import avp, codes
from protocols.diameter.message import encode
from protocols.diameter.node import LocalNode

_CREDIT_CONTROL_ID: Final = avp.avp_u32(codes.AUTH_APPLICATION_ID, codes.APPLICATION_CREDIT_CONTROL)
# RFC 8506, section 8: credit control knows no other Re-Auth-Request-Type.
_AUTHORIZE_ONLY: Final = avp.avp_u32(codes.RE_AUTH_REQUEST_TYPE, 0)


class SessionAddress(NamedTuple):
    """Which session, and the Origin-Host and Origin-Realm of its last CCR: where the request has to arrive [B-78]."""

    session_id: str
    host: str
    realm: str
    sub_session_id: int | None = None


class Identifiers(NamedTuple):
    """``end_to_end`` stays the same when a request is sent again; then the T flag is set, too [B-4]."""

    hop_by_hop: int
    end_to_end: int
    is_repeat: bool = False


def re_auth_request(node: LocalNode, address: SessionAddress, identifiers: Identifiers) -> bytes:
    """RAR: the client is to come with a CCR-U for all groups of the session (RFC 8506, section 5.5; [B-105, G-100])."""
    return _encode(codes.RE_AUTH, node, address, identifiers, _AUTHORIZE_ONLY)


def abort_session_request(node: LocalNode, address: SessionAddress, identifiers: Identifiers) -> bytes:
    """ASR: the client is to end the session, with a CCR-T [B-106, G-103]."""
    return _encode(codes.ABORT_SESSION, node, address, identifiers, b"")


def _encode(command: int, node: LocalNode, address: SessionAddress, identifiers: Identifiers, more: bytes) -> bytes:
    avps = b"".join(
        (
            avp.avp_text(codes.SESSION_ID, address.session_id),
            node.origin,
            avp.avp_text(codes.DESTINATION_REALM, address.realm),
            avp.avp_text(codes.DESTINATION_HOST, address.host),
            _CREDIT_CONTROL_ID,
            more,
            b"" if address.sub_session_id is None else avp.avp_u64(codes.CC_SUB_SESSION_ID, address.sub_session_id),
        )
    )
    flags = codes.REQUEST | codes.PROXIABLE | (codes.RETRANSMITTED if identifiers.is_repeat else 0)
    return encode(
        flags, command, codes.APPLICATION_CREDIT_CONTROL, identifiers.hop_by_hop, identifiers.end_to_end, avps
    )
