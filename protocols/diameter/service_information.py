"""Numbers inside Service-Information (TS 32.299), looked up only when a tariff asks.

What cannot be read there is as if it were not there: the container is large, differs between releases, and only
informs the rating.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

from protocols.diameter import avp, codes
from protocols.diameter.avp import AvpFault
from protocols.diameter.gy import CreditControlRequest, read_subscription
from protocols.diameter.rf import AccountingRequest
from protocols.diameter.user_place import NO_PLACE, UserPlace, multimedia_place, packet_place

_MMS_INFORMATION: Final = codes.VENDOR_3GPP << 32 | 877
# The called party, by the ways that lead to it: call, short message, multimedia message.
_CALLED: Final = (
    (codes.IMS_INFORMATION, codes.CALLED_PARTY_ADDRESS),
    (codes.SMS_INFORMATION, codes.RECIPIENT_INFO, codes.RECIPIENT_ADDRESS, codes.ADDRESS_DATA),
    (codes.VCS_INFORMATION, codes.CALLED_PARTY_ADDRESS),
    (_MMS_INFORMATION, codes.RECIPIENT_ADDRESS, codes.ADDRESS_DATA),
)
_CALLING: Final = (
    (codes.IMS_INFORMATION, codes.CALLING_PARTY_ADDRESS),
    (codes.SMS_INFORMATION, codes.ORIGINATOR_RECEIVED_ADDRESS, codes.ADDRESS_DATA),
    (codes.VCS_INFORMATION, codes.CALLING_PARTY_ADDRESS),
)
# The members of Subscription-Id-Extension, and the Subscription-Id-Type that says the same.
_EXTENSIONS: Final = {
    codes.SUBSCRIPTION_ID_E164: 0,
    codes.SUBSCRIPTION_ID_IMSI: 1,
    codes.SUBSCRIPTION_ID_SIP_URI: 2,
    codes.SUBSCRIPTION_ID_NAI: 3,
    codes.SUBSCRIPTION_ID_PRIVATE: 4,
}


Asking: TypeAlias = CreditControlRequest | AccountingRequest

# Groups that were walked already, by where they stand: both parties are in the same ones.
_Walked: TypeAlias = dict[int, tuple[dict[int, int], list[tuple[int, int]]]]


def party_addresses(request: Asking) -> tuple[str, str, UserPlace, bool]:
    """Who is called, who calls, and where the user is, as the client wrote it; "" where it does not say.

    At last whether the user is the one who is called, by his node's role.
    """
    position = request.positions.get(codes.SERVICE_INFORMATION)
    if position is None:
        return "", "", NO_PLACE, False
    walked: _Walked = {}
    frame = request.message.frame
    called = _first_of(frame, position, _CALLED, walked)
    calling = _first_of(frame, position, _CALLING, walked)
    if position not in walked:  # what cannot be read says nothing
        return called, calling, NO_PLACE, False
    groups = walked[position][0]
    if codes.PS_INFORMATION in groups:
        return called, calling, packet_place(frame, groups[codes.PS_INFORMATION]), False
    if codes.IMS_INFORMATION in groups:
        group = walked.get(groups[codes.IMS_INFORMATION])
        if group is not None:
            return called, calling, multimedia_place(frame, group[0]), _is_terminating(frame, group[0])
    return called, calling, NO_PLACE, False


def _is_terminating(frame: bytes, found: Mapping[int, int]) -> bool:
    """Role-Of-Node is TERMINATING_ROLE (TS 32.299, section 7.2.163), in any width."""
    position = found.get(codes.ROLE_OF_NODE)
    try:
        return position is not None and int.from_bytes(avp.octets(frame, position), "big") == 1
    except AvpFault:
        return False


def subscriptions(request: Asking) -> list[tuple[int, str]]:
    """Who is meant where no Subscription-Id says it: its successor of RFC 8506, or those inside Service-Information."""
    frame = request.message.frame
    try:
        if codes.SUBSCRIPTION_ID_EXTENSION in request.positions:
            return _extensions(request)
        position = request.positions.get(codes.SERVICE_INFORMATION)
        if position is None:
            return []
        return [read_subscription(frame, at) for at in _members(frame, position, codes.SUBSCRIPTION_ID)]
    except AvpFault:
        return []


def _extensions(request: Asking) -> list[tuple[int, str]]:
    """Each Subscription-Id-Extension has one member, whose code is its type (RFC 8506, section 8.58)."""
    frame, key = request.message.frame, codes.SUBSCRIPTION_ID_EXTENSION
    found = []
    for position in (request.positions[key], *(at for other, at in request.more if other == key)):
        members, _ = avp.walk(frame, *avp.bounds(frame, position))
        found += [(kind, avp.text(frame, members[code])) for code, kind in _EXTENSIONS.items() if code in members]
    return found


def _first_of(frame: bytes, position: int, ways: tuple[tuple[int, ...], ...], walked: _Walked) -> str:
    try:
        for way in ways:
            address = _first_text(frame, position, way, 0, walked)
            if address:
                return address
    except AvpFault:
        pass
    return ""


def _first_text(frame: bytes, position: int, way: tuple[int, ...], depth: int, walked: _Walked) -> str:
    """The first text that is not empty of those that a way of keys leads to, from the group at ``position`` on."""
    group = walked.get(position)
    if group is None:
        group = walked[position] = avp.walk(frame, *avp.bounds(frame, position))
    found, more = group
    key = way[depth]
    first = found.get(key)
    if first is None:
        return ""
    depth += 1
    for at in (first, *[at for other, at in more if other == key]) if more else (first,):
        address = avp.text(frame, at) if depth == len(way) else _first_text(frame, at, way, depth, walked)
        if address:
            return address
    return ""


def _members(frame: bytes, position: int, key: int) -> list[int]:
    found, more = avp.walk(frame, *avp.bounds(frame, position))
    if key not in found:
        return []
    return [found[key], *(at for other, at in more if other == key)]
