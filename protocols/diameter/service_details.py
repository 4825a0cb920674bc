"""What Service-Information tells of the circumstances of use, by the AVPs' names, for the record (TS 32.299, 7.2).

Like all in there it only informs: what cannot be read is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Final, TypeAlias

from protocols.diameter import avp, codes
from protocols.diameter.avp import AvpFault
from protocols.diameter.service_information import Asking

_3GPP: Final = codes.VENDOR_3GPP << 32
VALUE_LENGTH_MAX: Final = 256

Reader: TypeAlias = Callable[[bytes, int], str]


def _text(frame: bytes, at: int) -> str:
    return avp.text(frame, at)


def _number(frame: bytes, at: int) -> str:
    """Integers of any width; some senders give one octet where the dictionary says four."""
    return str(int.from_bytes(avp.octets(frame, at), "big"))


def _signed(frame: bytes, at: int) -> str:
    return str(avp.i32(frame, at))


def _hexadecimal(frame: bytes, at: int) -> str:
    return avp.octets(frame, at).hex()


def _address(frame: bytes, at: int) -> str:
    """Address: two octets of family, 1 or 2, then the address; E.164 (8) is digits (RFC 6733, section 4.3.1)."""
    data = avp.octets(frame, at)
    if data[:2] == b"\0\x08":
        return data[2:].decode("ascii", "replace")
    return str(ip_address(data[2:])) if data[:2] in {b"\0\1", b"\0\2"} else data.hex()


# Information group, then its members: (vendor, code) -> name and how to read it.
_DETAILS: Final[Mapping[int, Mapping[int, tuple[str, Reader]]]] = {
    codes.PS_INFORMATION: {
        30: ("Called-Station-Id", _text),  # the APN
        _3GPP | 2: ("3GPP-Charging-Id", _hexadecimal),
        _3GPP | 18: ("3GPP-SGSN-MCC-MNC", _text),
        _3GPP | 21: ("3GPP-RAT-Type", _number),
        _3GPP | 22: ("3GPP-User-Location-Info", _hexadecimal),
        _3GPP | 847: ("GGSN-Address", _address),
        _3GPP | 1227: ("PDP-Address", _address),
        _3GPP | 1228: ("SGSN-Address", _address),
    },
    codes.IMS_INFORMATION: {
        codes.ROLE_OF_NODE: ("Role-Of-Node", _number),
        _3GPP | 830: ("User-Session-Id", _text),
        _3GPP | 841: ("IMS-Charging-Identifier", _text),
        _3GPP | 861: ("Cause-Code", _signed),
        _3GPP | 1263: ("Access-Network-Information", _text),
        _3GPP | 2713: ("IMS-Visited-Network-Identifier", _text),
    },
    codes.SMS_INFORMATION: {
        _3GPP | 2007: ("SM-Message-Type", _number),
        _3GPP | 2017: ("SMSC-Address", _address),
        codes.NUMBER_OF_MESSAGES_SENT: ("Number-Of-Messages-Sent", _number),
    },
    _3GPP | 877: {  # MMS-Information
        _3GPP | 1212: ("Message-Size", _number),
    },
    codes.VCS_INFORMATION: {
        _3GPP | 3412: ("Bearer-Capability", _hexadecimal),
        _3GPP | 3417: ("MSC-Address", _hexadecimal),
        _3GPP | 3420: ("VLR-Number", _hexadecimal),
        _3GPP | 3418: ("Network-Call-Reference-Number", _hexadecimal),
    },
}


def service_details(request: Asking) -> tuple[tuple[str, str], ...]:
    """Name and value of each detail that is there; values are bounded."""
    position = request.positions.get(codes.SERVICE_INFORMATION)
    if position is None:
        return ()
    frame = request.message.frame
    details: list[tuple[str, str]] = []
    try:
        groups, _ = avp.walk(frame, *avp.bounds(frame, position))
        for key, members in _DETAILS.items():
            if key in groups:
                found, _ = avp.walk(frame, *avp.bounds(frame, groups[key]))
                details += _read(frame, found, members)
    except AvpFault:
        pass
    return tuple(details)


def _read(frame: bytes, found: Mapping[int, int], members: Mapping[int, tuple[str, Reader]]) -> list[tuple[str, str]]:
    details: list[tuple[str, str]] = []
    for key in found.keys() & members.keys():
        name, read = members[key]
        try:
            value = read(frame, found[key])
        except (AvpFault, ValueError):
            continue
        if value:
            details.append((name, value[:VALUE_LENGTH_MAX]))
    return sorted(details)
