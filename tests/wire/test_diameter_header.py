"""What RFC 6733 says of headers, flags and order, and what we make of it: both ways, without a socket."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.diameter import avp, base, codes, dictionary
from protocols.diameter.gy import CreditControlRequest, read_request
from protocols.diameter.gy_answer import AnswerEncoder
from protocols.diameter.message import HEADER_OCTETS, Fault, Message, encode, encode_answer
from protocols.diameter.node import LocalNode
from protocols.diameter.peer import Identified, Peer, PeerConfig
from protocols.diameter.result_codes import ResultCode
from tests.builders_gy import TGPP, capabilities_request, ccr, group, mscc, seconds
from tests.wire.radius_packets import dictionary as radius_dictionary

NODE = LocalNode("ocs.example.net", "example.net")
T0 = 1_000_000
OCTETS_MAX = 65_536


def record(frame: bytes) -> CreditControlRequest:
    """The request that the frame holds, without a fault."""
    found = read_request(Message(frame), NODE)
    assert isinstance(found, CreditControlRequest), found
    return found


def keys_of(answer: bytes) -> list[int]:
    """The keys of an answer's AVPs, in the order of the wire."""
    found, more = Message(answer).walk()
    return [key for _, key in sorted([*((at, key) for key, at in found.items()), *((at, key) for key, at in more)])]


def test_b2_what_the_direct_peer_handles_leaves_with_p_clear() -> None:
    """B-2: CER, DWR and DPR may not be relayed."""
    ours = [
        base.capabilities_request(NODE, "127.0.0.1", 1, 1),
        base.watchdog_request(NODE, 1, 1),
        base.disconnect_request(NODE, base.DisconnectCause.REBOOTING, 1, 1),
    ]
    assert [Message(each).flags for each in ours] == [codes.REQUEST] * 3


@pytest.mark.parametrize("reserved", [0x01, 0x02, 0x04, 0x08, 0x0F])
def test_b5_reserved_bits_are_ignored_and_never_sent(reserved: int) -> None:
    """B-5: the request is read as if they were clear; the answer has them clear."""
    message = Message(ccr(flags=codes.REQUEST | codes.PROXIABLE | reserved))
    assert isinstance(read_request(message, NODE), CreditControlRequest)
    assert Message(encode_answer(message, b"")).flags == codes.PROXIABLE


def test_b7_b8_each_request_of_ours_has_identifiers_of_its_own() -> None:
    """B-7, B-8: they begin where the shell says, by chance and clock, and differ on one connection."""
    peer = Peer(PeerConfig(NODE, "127.0.0.1", first_identifier=0xFFFF_FFFE), T0)
    peer.receive_data(capabilities_request(), T0)
    assert isinstance(peer.next_event(), Identified)
    peer.accept(T0)
    peer.next_event()
    peer.data_to_send()
    seen = []
    for turn in range(1, 6):
        peer.probe(T0 + turn)
        request = Message(peer.data_to_send())
        seen.append((request.hop_by_hop, request.end_to_end))
        peer.receive_data(base.success_answer(request, NODE), T0 + turn)
        assert peer.next_event() is None
    assert len({hop for hop, _ in seen}) == len({end for _, end in seen}) == 5


def test_b13_depth_and_number_of_avps_are_bounded() -> None:
    """B-13: what is not known is not gone into, however deep; what fits a message is read once, whatever it is."""
    nested = b""
    for _ in range(2000):
        nested = avp.avp(TGPP | 999_998, nested, mandatory=False)
    assert record(ccr(nested)).groups == []
    deep = group(codes.REQUESTED_SERVICE_UNIT)
    for _ in range(500):
        deep = mscc(deep)
    assert len(record(ccr(deep)).groups) == 1
    many = avp.avp(TGPP | 999_999, b"", mandatory=False) * ((OCTETS_MAX - 1000) // 12)
    assert record(ccr(many)).session_id


@pytest.mark.parametrize(
    "name", ["User-Name", "Class", "Called-Station-Id", "Calling-Station-Id", "Acct-Multi-Session-Id", "Proxy-State"]
)
def test_b23_low_codes_are_radius_attributes(name: str) -> None:
    """B-23: both dictionaries give the number the same name."""
    attribute = radius_dictionary().attribute(name)
    assert attribute is not None
    assert dictionary.name_of(attribute.path[0]) == name


def test_b25_an_m_bit_too_many_or_too_few_is_no_fault() -> None:
    """B-25: AoC-Request-Type with M, Subscription-Id-Data without: known is known."""
    subscriber = group(
        codes.SUBSCRIPTION_ID,
        avp.avp(450, bytes(4), mandatory=False),
        avp.avp(444, b"4915112345", mandatory=False),
    )
    read = record(ccr(subscriber, avp.avp(TGPP | 2055, bytes(4)), subscriber=None))
    assert read.subscriptions == [(0, "4915112345")]


@given(st.permutations(range(9)))
def test_b26_any_order_is_the_same_request(order: list[int]) -> None:
    """B-26: nothing but Session-Id has a place."""
    frame = ccr(mscc(seconds(codes.REQUESTED_SERVICE_UNIT, 30), rating_group=100))
    message = Message(frame)
    found, _ = message.walk()
    session_id, *others = [avp.raw(frame, at) for at in sorted(found.values())]
    assert len(others) >= len(order)
    mixed = [others[at] for at in order] + others[len(order) :]
    again = encode(message.flags, message.command, 4, 7, 9, b"".join([session_id, *mixed]))
    one, other = record(frame), record(again)
    assert (one.fingerprint, one.subscriptions) == (other.fingerprint, other.subscriptions)
    assert [each.requested for each in one.groups] == [each.requested for each in other.groups]


@pytest.mark.parametrize("code", [ResultCode.SUCCESS, ResultCode.TOO_BUSY, ResultCode.USER_UNKNOWN])
def test_b73_b76_b27_what_an_answer_holds(code: ResultCode) -> None:
    """B-27, B-73, B-76: Session-Id first; neither Destination nor Route-Record, whatever the request had."""
    routed = ccr(avp.avp_text(codes.DESTINATION_HOST, "ocs.example.net"), avp.avp_text(codes.ROUTE_RECORD, "a.net"))
    encoder = AnswerEncoder(NODE)
    for answer in (encoder.answer(record(routed), code), encoder.fault(Message(routed), Fault(code))):
        keys = keys_of(answer)
        assert keys[0] == codes.SESSION_ID
        assert not {codes.DESTINATION_HOST, codes.DESTINATION_REALM, codes.ROUTE_RECORD} & set(keys)


def test_b96_the_same_end_to_end_identifier_is_no_repeat_by_itself() -> None:
    """B-96: another Session-Id under the same identifier is another request; the application's key decides."""
    one, other = (record(ccr(session=name, end_to_end=5)) for name in ("c;1;1", "c;1;2"))
    assert (one.session_id, other.session_id) == ("c;1;1", "c;1;2")


@pytest.mark.parametrize(
    "session", ["Client;1;1", "client;1;1", " client;1;1", "client;1;1 ", "", "ключ;1", "x" * 1024]
)
def test_b100_session_ids_are_opaque(session: str) -> None:
    """B-100: neither trimmed nor folded, and the answer gives back the very octets."""
    frame = ccr(session=session)
    answer = AnswerEncoder(NODE).answer(record(frame), ResultCode.SUCCESS)
    found, _ = Message(answer).walk()
    assert record(frame).session_id == session
    assert avp.octets(answer, found[codes.SESSION_ID]) == session.encode()


def test_headers_of_20_octets_are_whole_messages() -> None:
    """A header alone is a message without AVPs: a missing Session-Id, not a crash."""
    fault = read_request(Message(encode(codes.REQUEST, codes.CREDIT_CONTROL, 4, 1, 1, b"")), NODE)
    assert isinstance(fault, Fault)
    assert fault.result_code is ResultCode.MISSING_AVP
    assert len(encode(0, 0, 0, 0, 0, b"")) == HEADER_OCTETS
