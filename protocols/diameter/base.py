"""The common messages: capabilities exchange, watchdog, disconnect (RFC 6733, section 5)."""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Final, NamedTuple

from protocols.diameter import avp, codes
from protocols.diameter.message import Fault, Message, encode, encode_answer
from protocols.diameter.node import LocalNode
from protocols.diameter.result_codes import ResultCode, is_protocol_error

PRODUCT_NAME: Final = "ocs"
# Our product has no enterprise number: "a value of zero indicates that this field is ignored" (RFC 6733, 5.3.3).
OWN_VENDOR_ID: Final = 0


class DisconnectCause(IntEnum):
    """RFC 6733, section 5.4.3."""

    REBOOTING = 0
    BUSY = 1
    DO_NOT_WANT_TO_TALK_TO_YOU = 2


class Capabilities(NamedTuple):
    """What a peer says of itself in CER or CEA. ``application_ids`` are all it named, whatever the vendor [B-41]."""

    origin_host: str
    origin_realm: str
    application_ids: frozenset[int]
    product_name: str = ""
    origin_state_id: int = 0
    offers_only_tls: bool = False


def read_capabilities(message: Message) -> Capabilities | Fault:
    """Read a CER or CEA.

    Host-IP-Address and Product-Name are required by the grammar, but a well-known client races with itself and
    leaves the first out: nothing here depends on them, so their absence is no fault. Unknown AVPs are passed over,
    also with the M bit: no money moves in a capabilities exchange.
    """
    frame = message.frame
    try:
        found, more = message.walk()
        for key in (codes.ORIGIN_HOST, codes.ORIGIN_REALM):
            if key not in found:
                raise avp.missing(key)
        product_name = found.get(codes.PRODUCT_NAME)
        origin_state_id = found.get(codes.ORIGIN_STATE_ID)
        security_ids = {avp.u32(frame, at) for at in _all(codes.INBAND_SECURITY_ID, found, more)}
        return Capabilities(
            origin_host=avp.text(frame, found[codes.ORIGIN_HOST]),
            origin_realm=avp.text(frame, found[codes.ORIGIN_REALM]),
            application_ids=_application_ids(frame, found, more),
            product_name=avp.text(frame, product_name) if product_name is not None else "",
            origin_state_id=avp.u32(frame, origin_state_id) if origin_state_id is not None else 0,
            offers_only_tls=bool(security_ids) and 0 not in security_ids,
        )
    except avp.AvpFault as fault:
        return Fault(fault.result_code, fault.failed_avp, fault.message)


def read_origin_state_id(message: Message) -> int:
    """The sender's Origin-State-Id; 0, which says nothing, if there is none that can be read [B-102]."""
    try:
        found, _ = message.walk()
        at = found.get(codes.ORIGIN_STATE_ID)
        return avp.u32(message.frame, at) if at is not None else 0
    except avp.AvpFault:
        return 0


class Redirect(NamedTuple):
    """A redirect indication: the hosts to ask instead, and for how long that holds for requests to come (0: not at all)."""

    hosts: tuple[str, ...]
    keep_s: int


def read_redirect(message: Message) -> Redirect:
    """The hosts of Redirect-Host (``aaa://host:port;transport=tcp``, RFC 6733, section 6.12); what cannot be read is left out."""
    frame = message.frame
    try:
        found, more = message.walk()
        uris = [avp.text(frame, at) for at in _all(codes.REDIRECT_HOST, found, more)]
        usage, keep = (found.get(key) for key in (codes.REDIRECT_HOST_USAGE, codes.REDIRECT_MAX_CACHE_TIME))
        keep_s = avp.u32(frame, keep) if usage is not None and keep is not None and avp.u32(frame, usage) else 0
    except avp.AvpFault:
        return Redirect((), 0)
    return Redirect(tuple(match[1].lower() for uri in uris if (match := _DIAMETER_URI.match(uri))), keep_s)


_DIAMETER_URI: Final = re.compile(r"aaas?://([A-Za-z0-9.-]+)")


def _all(key: int, found: dict[int, int], more: list[tuple[int, int]]) -> list[int]:
    return ([found[key]] if key in found else []) + [at for other, at in more if other == key]


def _application_ids(frame: bytes, found: dict[int, int], more: list[tuple[int, int]]) -> frozenset[int]:
    plain = (codes.AUTH_APPLICATION_ID, codes.ACCT_APPLICATION_ID)
    ids = {avp.u32(frame, at) for key in plain for at in _all(key, found, more)}
    for at in _all(codes.VENDOR_SPECIFIC_APPLICATION_ID, found, more):
        try:
            inner, others = avp.walk(frame, *avp.bounds(frame, at))
            ids |= {avp.u32(frame, inside) for key in plain for inside in _all(key, inner, others)}
        except avp.AvpFault as fault:
            raise fault.inside(frame, at) from None
    return frozenset(ids)


def address_avp(host_ip: str) -> bytes:
    """Host-IP-Address: two octets of address family, then the address (RFC 6733, section 4.3.1)."""
    return avp.avp_address(codes.HOST_IP_ADDRESS, host_ip)


def capabilities_avps(node: LocalNode, host_ip: str) -> bytes:
    """What CER and CEA have in common.

    Credit control is named twice: plainly, as RFC 8506 has it, and within Vendor-Specific-Application-Id, without
    which Kamailio's table of applications overflows and it sends no request at all.
    """
    vendor = avp.avp_u32(codes.VENDOR_ID, codes.VENDOR_3GPP)
    credit_control = avp.avp_u32(codes.AUTH_APPLICATION_ID, codes.APPLICATION_CREDIT_CONTROL)
    accounting = avp.avp_u32(codes.ACCT_APPLICATION_ID, codes.APPLICATION_ACCOUNTING)
    return b"".join(
        (
            node.origin,
            address_avp(host_ip),
            avp.avp_u32(codes.VENDOR_ID, OWN_VENDOR_ID),
            avp.avp_text(codes.PRODUCT_NAME, PRODUCT_NAME, mandatory=False),
            avp.avp_u32(codes.SUPPORTED_VENDOR_ID, codes.VENDOR_3GPP),
            credit_control,
            accounting,
            avp.avp(codes.VENDOR_SPECIFIC_APPLICATION_ID, vendor + credit_control),
        )
    )


def capabilities_request(node: LocalNode, host_ip: str, hop_by_hop: int, end_to_end: int) -> bytes:
    avps = capabilities_avps(node, host_ip)
    return encode(codes.REQUEST, codes.CAPABILITIES_EXCHANGE, 0, hop_by_hop, end_to_end, avps)


def capabilities_answer(request: Message, node: LocalNode, host_ip: str, fault: Fault | None = None) -> bytes:
    """The whole grammar goes into a refusal too: strict clients log each missing AVP."""
    code = fault.result_code if fault is not None else ResultCode.SUCCESS
    details = fault.avps() if fault is not None else b""
    avps = avp.avp_u32(codes.RESULT_CODE, code) + capabilities_avps(node, host_ip) + details
    return encode_answer(request, avps, is_protocol_error(code))


def watchdog_request(node: LocalNode, hop_by_hop: int, end_to_end: int) -> bytes:
    return encode(codes.REQUEST, codes.DEVICE_WATCHDOG, 0, hop_by_hop, end_to_end, node.origin)


def disconnect_request(node: LocalNode, cause: DisconnectCause, hop_by_hop: int, end_to_end: int) -> bytes:
    avps = node.origin + avp.avp_u32(codes.DISCONNECT_CAUSE, cause)
    return encode(codes.REQUEST, codes.DISCONNECT_PEER, 0, hop_by_hop, end_to_end, avps)


def success_answer(request: Message, node: LocalNode) -> bytes:
    """DWA and DPA: Result-Code and Origin-* are all they need."""
    return encode_answer(request, avp.avp_u32(codes.RESULT_CODE, ResultCode.SUCCESS) + node.origin)


def read_disconnect_cause(message: Message) -> int:
    """Disconnect-Cause of a DPR; REBOOTING when it is missing or broken: the peer goes away all the same."""
    try:
        found, _ = message.walk()
        return avp.u32(message.frame, found[codes.DISCONNECT_CAUSE])
    except (avp.AvpFault, KeyError):
        return DisconnectCause.REBOOTING


def read_result_code(message: Message) -> int:
    """Result-Code of an answer; 0 when there is none that can be read."""
    try:
        found, _ = message.walk()
        return avp.u32(message.frame, found[codes.RESULT_CODE])
    except (avp.AvpFault, KeyError):
        return 0
