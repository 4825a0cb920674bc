"""Where a user is, as Service-Information tells it: visited network, radio access, access point, location, serving node.

Packet sessions say it in PS-Information by the AVPs of TS 29.061 (16.4.7), calls in IMS-Information by the header fields of
their SIP messages (RFC 7315, 5.4). Like all in there it only informs: what cannot be read is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final, NamedTuple

from protocols.diameter import avp, codes
from protocols.diameter.avp import AvpFault

_3GPP: Final = codes.VENDOR_3GPP << 32
_CALLED_STATION_ID: Final = 30
_SGSN_MCC_MNC: Final = _3GPP | 18
_RAT_TYPE: Final = _3GPP | 21
_USER_LOCATION: Final = _3GPP | 22
_SERVING: Final = (_3GPP | 1228, _3GPP | 2067)  # SGSN-Address, SGW-Address
_ACCESS_NETWORK: Final = _3GPP | 1263
_VISITED_NETWORK: Final = _3GPP | 2713


class UserPlace(NamedTuple):
    """``network`` is MCC and MNC, ``rat`` the number of 3GPP-RAT-Type or a name, ``apn`` the access point, ``location``
    network, area and cell in hexadecimal digits, ``serving`` an address. "" where the client does not say.
    """

    network: str = ""
    rat: str = ""
    apn: str = ""
    location: str = ""
    serving: str = ""


NO_PLACE: Final = UserPlace()

# 3GPP-User-Location-Info by its first octet: octets of the area and of the cell, each network written before its own.
_AREA_ONLY: Final = {0: (2, 2), 1: (2, 2), 2: (2, 0), 128: (2, 0), 136: (3, 0)}
_CELL_ONLY: Final = {129: 4, 135: 5}
_BOTH: Final = {130: (2, 4), 137: (3, 5)}
_PLMN: Final = 3  # octets of MCC and MNC

_ACCESS: Final = (("nr", "nr"), ("e-utran", "eutran"), ("utran", "utran"), ("geran", "geran"), ("ieee-802.11", "wlan"))
_CELL: Final = re.compile(r"cell-id-3gpp=\"?(\d{5,6}[0-9a-f]{8,15})|cgi-3gpp=\"?(\d{5,6}[0-9a-f]{8})", re.IGNORECASE)
# Digits of the whole cell identity: where the area ends. The network has five digits, or six where one is left over.
_AREA_DIGITS: Final = {13: 4, 14: 4, 16: 4, 17: 4, 20: 6, 21: 6}
_TWO_DIGITS: Final = frozenset({13, 16, 20})
# The operator identifier of an access point (TS 23.003, 9.1.2), which some gateways tell and some leave out.
_OPERATOR: Final = re.compile(r"\.mnc\d{2,3}\.mcc\d{3}\.gprs$", re.IGNORECASE)
_VISITED: Final = re.compile(r"mnc(\d{2,3})\.mcc(\d{3})\b", re.IGNORECASE)


def packet_place(frame: bytes, position: int) -> UserPlace:
    """What the PS-Information at a position tells."""
    try:
        found, _ = avp.walk(frame, *avp.bounds(frame, position))
    except AvpFault:
        return NO_PLACE
    network = _text(frame, found, _SGSN_MCC_MNC)
    if not (network.isascii() and network.isdigit()):
        network = ""
    location = user_location(_octets(frame, found, _USER_LOCATION))
    rat = _octets(frame, found, _RAT_TYPE)
    return UserPlace(
        network or location.partition("-")[0],
        str(int.from_bytes(rat[-4:], "big")) if rat else "",
        _OPERATOR.sub("", _text(frame, found, _CALLED_STATION_ID)),
        location,
        next((address for key in _SERVING if (address := _address(_octets(frame, found, key)))), ""),
    )


def multimedia_place(frame: bytes, found: Mapping[int, int]) -> UserPlace:
    """What IMS-Information tells, of which the members were found already."""
    access = _text(frame, found, _ACCESS_NETWORK)
    visited = _VISITED.search(_text(frame, found, _VISITED_NETWORK))
    cell = _CELL.search(access)
    location = cell_location((cell[1] or cell[2]).lower()) if cell else ""
    return UserPlace(
        visited[2] + _mnc(visited[1]) if visited else location.partition("-")[0],
        next((name for part, name in _ACCESS if part in access.partition(";")[0].lower()), ""),
        location=location,
    )


def _mnc(written: str) -> str:
    """Names of networks have three digits: one with two has a zero before them (TS 23.003, 13.2)."""
    return written[1:] if len(written) > 2 and written[0] == "0" else written


def user_location(data: bytes) -> str:
    """3GPP-User-Location-Info as ``26201-1a2b-0001``: network, area, cell; "" if it is of no kind that tells them."""
    kind, rest = (data[0], data[1:]) if data else (-1, b"")
    if kind in _BOTH:
        area, cell = _BOTH[kind]
        if len(rest) < 2 * _PLMN + area + cell:
            return ""
        return f"{_plmn(rest)}-{rest[_PLMN:][:area].hex()}-{rest[2 * _PLMN + area :][:cell].hex()}"
    if kind in _CELL_ONLY:
        cell = _CELL_ONLY[kind]
        return f"{_plmn(rest)}--{rest[_PLMN:][:cell].hex()}" if len(rest) >= _PLMN + cell else ""
    area, cell = _AREA_ONLY.get(kind, (0, 0))
    if not area or len(rest) < _PLMN + area + cell:
        return ""
    text = f"{_plmn(rest)}-{rest[_PLMN:][:area].hex()}"
    return f"{text}-{rest[_PLMN + area :][:cell].hex()}" if cell else text


def cell_location(identity: str) -> str:
    """The cell identity of a SIP header field, all digits in one, as ``26201-1a2b-0001``."""
    area = _AREA_DIGITS.get(len(identity))
    if area is None:
        return ""
    network = 5 if len(identity) in _TWO_DIGITS else 6
    return f"{identity[:network]}-{identity[network:][:area]}-{identity[network + area :]}"


def _plmn(data: bytes) -> str:
    """MCC and MNC in swapped nibbles; the third digit of a short MNC is F."""
    digits = data[:_PLMN].hex()
    mnc_3 = digits[2]
    return f"{digits[1]}{digits[0]}{digits[3]}{digits[5]}{digits[4]}{'' if mnc_3 == 'f' else mnc_3}"


def _octets(frame: bytes, found: Mapping[int, int], key: int) -> bytes:
    at = found.get(key)
    try:
        return avp.octets(frame, at) if at is not None else b""
    except AvpFault:
        return b""


def _text(frame: bytes, found: Mapping[int, int], key: int) -> str:
    return _octets(frame, found, key).decode("utf-8", "replace")


def _address(data: bytes) -> str:
    try:
        return str(ip_address(data[2:])) if data[:2] in {b"\0\1", b"\0\2"} else ""
    except ValueError:
        return ""
