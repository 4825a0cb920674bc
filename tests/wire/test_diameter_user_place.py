"""Where a user is, out of the octets of Service-Information (gy-ro 17; TS 29.061 16.4.7; RFC 7315 5.4)."""

from __future__ import annotations

import pytest

from ocs.gateways.gy import GyConfig, parties_of
from ocs.settings import Settings
from protocols.diameter import avp, codes
from protocols.diameter.gy import CreditControlRequest, read_request
from protocols.diameter.message import Message
from protocols.diameter.node import LocalNode
from protocols.diameter.user_place import cell_location, user_location
from tests.builders_gy import DATA, TGPP, ccr, group

NODE = LocalNode("ocs.example.net", "example.net")
CONFIG = GyConfig(NODE, Settings().services, {})


def whereabouts(*members: bytes, information: int = codes.PS_INFORMATION) -> str:
    request = read_request(
        Message(ccr(group(codes.SERVICE_INFORMATION, group(information, *members)), context=DATA)), NODE
    )
    assert isinstance(request, CreditControlRequest), request
    return parties_of(request, "data", CONFIG).whereabouts


def location(octets: str) -> bytes:
    return avp.avp(TGPP | 22, bytes.fromhex(octets))


NETWORK = avp.avp_text(TGPP | 18, "20801")
RAT = avp.avp(TGPP | 21, b"\6")
APN = avp.avp_text(30, "Internet.Example")
SGSN = avp.avp(TGPP | 1228, bytes.fromhex("0001c0000207"))
SGW = avp.avp(TGPP | 2067, bytes.fromhex("0002") + bytes.fromhex("20010db8") + bytes(11) + b"\7")


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ((), ""),
        ((NETWORK,), "20801"),
        ((NETWORK, RAT, APN), "20801 rat:eutran apn:internet.example"),
        ((RAT,), "rat:eutran"),
        ((avp.avp(TGPP | 21, b"\0\0\0\x0a"),), "rat:nr"),  # some senders give four octets
        ((avp.avp(TGPP | 21, b"\xc8"),), "rat:200"),
        ((avp.avp(TGPP | 21, b""),), ""),
        ((SGSN, SGW), "serving:192.0.2.7"),
        ((SGW,), "serving:2001:db8::7"),
        ((avp.avp(TGPP | 1228, b"\0\1\1"),), ""),
        ((location("8262f2101a2b62f21000abcdef"),), "26201 location:26201-1a2b-00abcdef"),
        ((NETWORK, location("8262f2101a2b62f21000abcdef")), "20801 location:26201-1a2b-00abcdef"),
        ((location("82"),), ""),
        ((avp.avp_text(30, "two words rat:nr"),), "apn:two_words_rat:nr"),
        ((avp.avp_text(TGPP | 18, "apn:x serving"), RAT), "rat:eutran"),  # a network is digits
        ((avp.avp_text(30, "x" * 300),), "apn:" + "x" * 100),
        ((avp.avp_text(30, "Internet.Example.MNC001.mcc262.gprs"),), "apn:internet.example"),
        ((avp.avp_text(30, "mnc001.mcc262.gprs"),), "apn:mnc001.mcc262.gprs"),
    ],
)
def test_packet_sessions(members: tuple[bytes, ...], expected: str) -> None:
    """PS-Information: network, radio access, access point, location and serving node; what is odd is as if not there."""
    assert whereabouts(*members) == expected


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        ("0062f2101a2b0001", "26201-1a2b-0001"),  # CGI
        ("0162f2101a2b0001", "26201-1a2b-0001"),  # SAI
        ("0262f2101a2b01ff", "26201-1a2b"),  # RAI: the routing area is no cell
        ("8013006200d2", "310260-00d2"),  # TAI with an MNC of three digits
        ("8162f21000abcdef", "26201--00abcdef"),  # ECGI alone
        ("8762f2100123456789", "26201--0123456789"),  # NCGI
        ("8862f210abcdef", "26201-abcdef"),  # 5GS TAI
        ("8962f210abcdef62f2100123456789", "26201-abcdef-0123456789"),
        ("8962f210abcdef62f21001234567", ""),  # cut off
        ("8162f210", ""),
        ("0062f210", ""),
        ("7762f2101a2b0001", ""),
        ("", ""),
    ],
)
def test_user_location_information(octets: str, expected: str) -> None:
    """The kinds of gy-ro 17 as network, area and cell."""
    assert user_location(bytes.fromhex(octets)) == expected


@pytest.mark.parametrize(
    ("access", "visited", "expected"),
    [
        ("3GPP-E-UTRAN-FDD; utran-cell-id-3gpp=262011A2B00abcde", "", "26201 rat:eutran location:26201-1a2b-00abcde"),
        ('3GPP-UTRAN-FDD; utran-cell-id-3gpp="3100261a2b00abcde"', "", "310026 rat:utran location:310026-1a2b-00abcde"),
        ("3GPP-GERAN; cgi-3gpp=262011a2b0001", "", "26201 rat:geran location:26201-1a2b-0001"),
        ("3GPP-NR-FDD; utran-cell-id-3gpp=262011a2b3c123456789", "", "26201 rat:nr location:26201-1a2b3c-123456789"),
        ("IEEE-802.11; i-wlan-node-id=ff", "ims.mnc001.mcc208.3gppnetwork.org", "20801 rat:wlan"),
        ("3GPP-E-UTRAN-FDD; utran-cell-id-3gpp=nonsense", "ims.mnc260.mcc310.3gppnetwork.org", "310260 rat:eutran"),
        ("", "visited.example.net", ""),
    ],
)
def test_calls(access: str, visited: str, expected: str) -> None:
    """IMS-Information: what P-Access-Network-Info and P-Visited-Network-ID say."""
    members = (avp.avp_text(TGPP | 1263, access), avp.avp_text(TGPP | 2713, visited))
    assert whereabouts(*members, information=codes.IMS_INFORMATION) == expected


def test_a_cell_of_no_known_length_is_none() -> None:
    """What cannot be cut into network, area and cell says nothing."""
    assert cell_location("26201" + "a" * 10) == ""
