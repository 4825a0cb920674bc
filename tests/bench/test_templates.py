"""The load generators' requests, read by libraries that others wrote."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from diameter.message import Avp, Message
from diameter.message.packer import Unpacker
from pyrad.dictionary import Dictionary
from pyrad.packet import AcctPacket

Dump = Callable[[str], dict[str, bytes]]


def avps_of(octets: bytes) -> list[Avp]:
    """The top-level AVPs in their order, each as often as it is there."""
    unpacker = Unpacker(octets)
    unpacker.set_position(20)
    found = []
    while not unpacker.is_done():
        found.append(Avp.from_unpacker(unpacker))
    return found


def walk(avps: list[Avp]) -> Iterator[Avp]:
    for avp in avps:
        yield avp
        if isinstance(avp.value, list):
            yield from walk(avp.value)


@pytest.mark.parametrize("name", ["capabilities", "initial", "update", "termination"])
def test_every_avp_is_known_and_sound(dump: Dump, name: str) -> None:
    """An independent decoder reads every AVP, knows it, and encodes the same octets again."""
    octets = dump("ccr_load")[name]
    avps = avps_of(octets)
    assert int.from_bytes(octets[1:4], "big") == len(octets)
    assert [avp.name for avp in walk(avps) if avp.name == "Unknown"] == []
    assert b"".join(avp.as_bytes() for avp in avps) == octets[20:]


def test_an_update_is_as_long_as_a_real_one(dump: Dump) -> None:
    """The CCR-U of an IMS voice call takes some 780 octets."""
    assert 740 <= len(dump("ccr_load")["update"]) <= 860


@pytest.mark.parametrize(
    ("name", "request_type", "has_requested", "has_used", "cause"),
    [("initial", 1, True, False, None), ("update", 2, True, True, None), ("termination", 3, False, True, 1)],
)
def test_the_requests_say_what_a_call_says(
    dump: Dump, name: str, request_type: int, has_requested: bool, has_used: bool, cause: int | None
) -> None:
    """CCR-I asks, CCR-U reports and asks, CCR-T reports: one group each, for the called number."""
    request: Any = Message.from_bytes(dump("ccr_load")[name])
    group = request.multiple_services_credit_control[0]
    assert request.cc_request_type == request_type
    assert request.termination_cause == cause
    assert (group.requested_service_unit is not None) == has_requested
    assert bool(group.used_service_unit) == has_used
    assert group.rating_group == 100
    assert [each.subscription_id_data for each in request.subscription_id] == [
        "491500000000",
        "sip:+491500000000@example.net",
    ]
    assert request.service_information.ims_information.called_party_address == "sip:+442079460123@example.net"


def test_origin_comes_twice_as_from_kamailio(dump: Dump) -> None:
    """A server must not refuse the doubled Origin-* that real clients send."""
    codes = [avp.code for avp in avps_of(dump("ccr_load")["update"])]
    assert codes.count(264) == codes.count(296) == 2
    assert 258 not in codes, "the application stands in Vendor-Specific-Application-Id alone"


@pytest.mark.parametrize(
    ("name", "status", "session_s", "cause"),
    [("start", 1, None, None), ("interim", 3, 60, None), ("stop", 2, 120, 1)],
)
def test_accounting_packets_are_authentic(
    dump: Dump, name: str, status: int, session_s: int | None, cause: int | None
) -> None:
    """Another library accepts the authenticator, and reads the record [R-10]."""
    octets = dump("radius_load")[name]
    packet = AcctPacket(secret=b"testing123", dict=Dictionary(), packet=octets)
    numbers = {code: int.from_bytes(packet[code][0], "big") for code in (40, 46, 49) if code in packet}
    expected = {40: status, 46: session_s, 49: cause}
    assert packet.VerifyAcctRequest()
    assert numbers == {code: value for code, value in expected.items() if value is not None}
    assert packet[1] == [b"491500000000"]
    assert packet[30] == [b"442079460123"]


@pytest.mark.parametrize("secret", ["s", "x" * 35, "x" * 36, "x" * 37, "x" * 60])
def test_md5_is_md5_at_every_block_border(generator: Any, secret: str) -> None:
    """The generator's own MD5 agrees with another one, whatever part of a block is left over."""
    for line in generator("radius_load", "--dump", "--secret", secret).stdout.splitlines():
        octets = bytes.fromhex(line.split()[1])
        digest = hashlib.md5(octets[:4] + bytes(16) + octets[20:] + secret.encode(), usedforsecurity=False).digest()
        assert octets[4:20] == digest
