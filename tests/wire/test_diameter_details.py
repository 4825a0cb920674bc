"""What a record keeps of Service-Information: access, place, roaming, identifiers (gy-ro 17)."""

from __future__ import annotations

import pytest

from ocs.charging.request import ChargingRequest
from ocs.gateways.gy import GyConfig, charging_request
from ocs.settings import Settings
from protocols.diameter import avp, codes
from protocols.diameter.gy import CreditControlRequest, read_request
from protocols.diameter.message import Message
from protocols.diameter.node import LocalNode
from protocols.diameter.service_details import VALUE_LENGTH_MAX, service_details
from tests.builders_gy import DATA, TGPP, ccr, group, ims

NODE = LocalNode("ocs.example.net", "example.net")


def read(frame: bytes) -> CreditControlRequest:
    request = read_request(Message(frame), NODE)
    assert isinstance(request, CreditControlRequest), request
    return request


def information(key: int, *members: bytes) -> bytes:
    return group(codes.SERVICE_INFORMATION, group(key, *members))


PACKETS = information(
    codes.PS_INFORMATION,
    avp.avp_text(30, "internet"),
    avp.avp(TGPP | 2, bytes.fromhex("0a0b0c0d")),
    avp.avp(TGPP | 1228, bytes.fromhex("00010a000007")),
    avp.avp(TGPP | 1227, bytes.fromhex("0002") + bytes(15) + b"\1"),
    avp.avp_text(TGPP | 18, "26201"),
    avp.avp(TGPP | 21, b"\6"),
    avp.avp(TGPP | 22, bytes.fromhex("8262f210")),
)


def test_packet_access_is_kept() -> None:
    """APN, charging id, SGSN and user address, visited network, RAT (one raw octet as open5GS sends it), location."""
    assert service_details(read(ccr(PACKETS, kind=3, context=DATA))) == (
        ("3GPP-Charging-Id", "0a0b0c0d"),
        ("3GPP-RAT-Type", "6"),
        ("3GPP-SGSN-MCC-MNC", "26201"),
        ("3GPP-User-Location-Info", "8262f210"),
        ("Called-Station-Id", "internet"),
        ("PDP-Address", "::1"),
        ("SGSN-Address", "10.0.0.7"),
    )


@pytest.mark.parametrize(
    ("information_avp", "expected"),
    [
        (
            information(
                codes.IMS_INFORMATION,
                avp.avp_text(TGPP | 841, "icid-1"),
                avp.avp_i32(TGPP | 861, -1),
                avp.avp_u32(TGPP | 829, 1),
            ),
            (("Cause-Code", "-1"), ("IMS-Charging-Identifier", "icid-1"), ("Role-Of-Node", "1")),
        ),
        (
            information(codes.SMS_INFORMATION, avp.avp(TGPP | 2017, b"\0\x08" + b"49151"), avp.avp_u32(TGPP | 2019, 2)),
            (("Number-Of-Messages-Sent", "2"), ("SMSC-Address", "49151")),
        ),
        (information(TGPP | 877, avp.avp_u32(TGPP | 1212, 1000)), (("Message-Size", "1000"),)),
        (
            information(codes.VCS_INFORMATION, avp.avp(TGPP | 3418, b"\1\2")),
            (("Network-Call-Reference-Number", "0102"),),
        ),
        (information(codes.IMS_INFORMATION, avp.avp(TGPP | 861, b"\1")), ()),  # a wrong length is left out
        (information(codes.PS_INFORMATION, avp.avp(TGPP | 1228, b"\0\1\1")), ()),
        (avp.avp(codes.SERVICE_INFORMATION, b"\0\0\3\x6a\0\0\0\1"), ()),  # a group that cannot be walked
        (ims("tel:100"), ()),
        (b"", ()),
    ],
)
def test_other_services_and_broken_ones(information_avp: bytes, expected: tuple[tuple[str, str], ...]) -> None:
    """What is there is kept; what cannot be read is no reason to refuse anything."""
    assert service_details(read(ccr(information_avp))) == expected


def test_values_are_bounded() -> None:
    """A peer's text does not grow the books without end."""
    ((_, value),) = service_details(read(ccr(information(codes.PS_INFORMATION, avp.avp_text(30, "a" * 5000)))))
    assert len(value) == VALUE_LENGTH_MAX


@pytest.mark.parametrize(("kind", "is_kept"), [(1, False), (2, False), (3, True), (4, True)])
def test_details_go_with_what_writes_a_record(kind: int, is_kept: bool) -> None:
    """An update's session record stays short: the last request tells."""
    config = GyConfig(NODE, Settings().services, {})
    frame = ccr(PACKETS, avp.avp_u32(codes.REQUESTED_ACTION, 0), kind=kind, context=DATA)
    request = charging_request(read(frame), 1_790_000_000_000, config)
    assert isinstance(request, ChargingRequest)
    assert bool(request.details) == is_kept
