"""The peer's connection: capabilities, watchdog, disconnect, and what a broken stream leads to (diameter-base 3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.diameter import avp, base, codes
from protocols.diameter.base import DisconnectCause
from protocols.diameter.dialled import DialledPeer
from protocols.diameter.message import Message, encode, encode_answer
from protocols.diameter.node import LocalNode
from protocols.diameter.peer import (
    Answered,
    Closed,
    Identified,
    Opened,
    Peer,
    PeerConfig,
    PeerEvent,
    Stopping,
    Suspected,
)
from protocols.diameter.peer_table import State, Watch
from protocols.diameter.result_codes import ResultCode
from protocols.errors import LocalProtocolError
from tests.builders_gy import capabilities_request, ccr

SERVER = LocalNode("ocs.example.net", "example.net")
CLIENT = LocalNode("client.example.net", "example.net")
T0 = 1_000_000
TW = 30_000


def new_peer(**settings: object) -> Peer:
    return Peer(PeerConfig(SERVER, "127.0.0.1", **settings), T0)  # type: ignore[arg-type]


def open_peer(**settings: object) -> Peer:
    peer = new_peer(**settings)
    peer.receive_data(capabilities_request(), T0)
    assert isinstance(peer.next_event(), Identified)
    peer.accept(T0)
    assert isinstance(peer.next_event(), Opened)
    assert answers(peer)[0].command == codes.CAPABILITIES_EXCHANGE
    return peer


def events(peer: Peer) -> list[PeerEvent]:
    found: list[PeerEvent] = []
    while (event := peer.next_event()) is not None:
        found.append(event)
    return found


def answers(peer: Peer) -> list[Message]:
    data, found = peer.data_to_send(), []
    while data:
        length = int.from_bytes(data[1:4], "big")
        found.append(Message(data[:length]))
        data = data[length:]
    return found


def values(message: Message, key: int) -> list[bytes]:
    found, more = message.walk()
    positions = ([found[key]] if key in found else []) + [at for other, at in more if other == key]
    return [avp.octets(message.frame, at) for at in positions]


def result_code(message: Message) -> int:
    return base.read_result_code(message)


def test_cea_has_what_clients_look_for() -> None:
    """Kamailio needs the vendor-specific application, OTP the whole grammar (client-expectations 1.2, 5) [B-42]. [C-102]"""
    peer = new_peer()
    peer.receive_data(capabilities_request(), T0)
    peer.next_event()
    peer.accept(T0)
    (answer,) = answers(peer)
    assert answer.flags == 0
    assert result_code(answer) == 2001
    assert values(answer, codes.ORIGIN_HOST) == [b"ocs.example.net"]
    assert values(answer, codes.ORIGIN_REALM) == [b"example.net"]
    assert values(answer, codes.HOST_IP_ADDRESS) == [b"\0\1\x7f\0\0\1"]
    assert values(answer, codes.VENDOR_ID) == [bytes(4)]
    assert values(answer, codes.PRODUCT_NAME) == [b"ocs"]
    assert values(answer, codes.SUPPORTED_VENDOR_ID) == [(10415).to_bytes(4, "big")]
    assert values(answer, codes.AUTH_APPLICATION_ID) == [b"\0\0\0\4"]
    assert values(answer, codes.VENDOR_SPECIFIC_APPLICATION_ID) == [
        avp.avp_u32(codes.VENDOR_ID, 10415) + avp.avp_u32(codes.AUTH_APPLICATION_ID, 4)
    ]
    assert values(answer, codes.ACCT_APPLICATION_ID) == [b"\0\0\0\3"]


def vendor_specific(application_id: int) -> bytes:
    inner = avp.avp_u32(codes.VENDOR_ID, 10415) + avp.avp_u32(codes.AUTH_APPLICATION_ID, application_id)
    return avp.avp(codes.VENDOR_SPECIFIC_APPLICATION_ID, inner)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        pytest.param([avp.avp_u32(codes.AUTH_APPLICATION_ID, 4)], 2001, id="credit control"),
        pytest.param([vendor_specific(4)], 2001, id="wrapped in a vendor's"),
        pytest.param([avp.avp_u32(codes.AUTH_APPLICATION_ID, 0xFFFFFFFF)], 2001, id="a relay"),
        pytest.param([vendor_specific(16777238), avp.avp_u32(codes.AUTH_APPLICATION_ID, 4)], 2001, id="open5GS"),
        pytest.param([avp.avp_u32(codes.AUTH_APPLICATION_ID, 16777238)], 5010, id="nothing in common"),
        pytest.param([avp.avp_u32(codes.SUPPORTED_VENDOR_ID, 10415)], 5010, id="none named"),
        pytest.param([vendor_specific(4), avp.avp_u32(codes.INBAND_SECURITY_ID, 1)], 5017, id="only TLS"),
        pytest.param([vendor_specific(4), avp.avp_u32(codes.INBAND_SECURITY_ID, 0)], 2001, id="no security"),
        pytest.param([avp.avp(codes.AUTH_APPLICATION_ID, b"\4")], 5014, id="a number of one octet"),
        pytest.param([vendor_specific(4), avp.avp(999_999, b"")], 2001, id="an unknown AVP"),
    ],
)
def test_b41_common_applications(more: list[bytes], expected: int) -> None:
    """B-41: the intersection counts, whatever the vendor; without one, 5010 and the end. [C-301] [C-501]"""
    peer = new_peer()
    peer.receive_data(capabilities_request("client.example.net", "example.net", *more), T0)
    if expected == 2001:
        assert isinstance(peer.next_event(), Identified)
        return
    (closed,) = events(peer)
    (answer,) = answers(peer)
    assert isinstance(closed, Closed)
    assert result_code(answer) == expected
    assert values(answer, codes.HOST_IP_ADDRESS), "a refusal has the whole grammar too"


def test_cer_without_host_ip_address_is_welcome() -> None:
    """Kamailio 5.6 leaves it out in one start of four (client-expectations 1.1). [C-101]"""
    avps = CLIENT.origin + avp.avp_u32(codes.VENDOR_ID, 10415) + vendor_specific(4)
    peer = new_peer()
    peer.receive_data(encode(codes.REQUEST, codes.CAPABILITIES_EXCHANGE, 0, 1, 1, avps), T0)
    assert isinstance(peer.next_event(), Identified)


def test_b44_cer_without_origin_is_5005() -> None:
    """B-44: a required AVP is missing: 5005 with a sample, then the end."""
    avps = avp.avp_text(codes.ORIGIN_REALM, "example.net") + vendor_specific(4)
    peer = new_peer()
    peer.receive_data(encode(codes.REQUEST, codes.CAPABILITIES_EXCHANGE, 0, 1, 1, avps), T0)
    assert [type(event) for event in events(peer)] == [Closed]
    (answer,) = answers(peer)
    assert (result_code(answer), values(answer, codes.FAILED_AVP)) == (5005, [avp.avp(codes.ORIGIN_HOST, b"")])


def test_b43_unknown_peer_gets_3010_with_e() -> None:
    """B-43: the shell refuses; the CEA has the E bit, and the connection ends."""
    peer = new_peer()
    peer.receive_data(capabilities_request(), T0)
    peer.next_event()
    peer.refuse(ResultCode.UNKNOWN_PEER, "not configured")
    (answer,) = answers(peer)
    assert (result_code(answer), answer.flags) == (3010, codes.ERROR)
    assert [type(event) for event in events(peer)] == [Closed]


def test_a_decision_has_to_be_made() -> None:
    """Neither a second event before the decision, nor a decision without an offer."""
    peer = new_peer()
    peer.receive_data(capabilities_request() + ccr(), T0)
    peer.next_event()
    with pytest.raises(LocalProtocolError):
        peer.next_event()
    peer.reject("another connection is open")
    assert [type(event) for event in events(peer)] == [Closed]
    assert peer.data_to_send() == b""
    with pytest.raises(LocalProtocolError):
        peer.refuse(ResultCode.UNKNOWN_PEER)


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(ccr(), id="CCR"),
        pytest.param(base.watchdog_request(CLIENT, 1, 1), id="DWR"),
        pytest.param(encode(0, codes.CAPABILITIES_EXCHANGE, 0, 1, 1, CLIENT.origin), id="CEA"),
    ],
)
def test_b40_something_else_first_ends_it(first: bytes) -> None:
    """B-40: before the capabilities exchange nothing else is answered [B-47]."""
    peer = new_peer()
    peer.receive_data(first, T0)
    (closed,) = events(peer)
    assert isinstance(closed, Closed)
    assert closed.is_breach
    assert peer.data_to_send() == b""


def test_b40_no_cer_in_time_ends_it() -> None:
    """B-40: who connects and says nothing is let go."""
    peer = new_peer(capabilities_timeout_ms=10_000)
    assert peer.get_timer() == T0 + 10_000
    peer.handle_timer(T0 + 9_999)
    assert events(peer) == []
    peer.handle_timer(T0 + 10_000)
    assert [type(event) for event in events(peer)] == [Closed]
    assert peer.get_timer() is None


def test_requests_come_out_in_order_and_answers_go_back() -> None:
    """All messages of one read come out, the base protocol's are answered on the way [B-61]."""
    peer = open_peer()
    peer.receive_data(ccr(number=1) + base.watchdog_request(CLIENT, 3, 4) + ccr(number=2), T0 + 5)
    requests = [event for event in events(peer) if isinstance(event, Message)]
    assert len(requests) == peer.unanswered == 2
    (dwa,) = answers(peer)
    assert (dwa.command, dwa.flags, dwa.hop_by_hop, dwa.end_to_end) == (codes.DEVICE_WATCHDOG, 0, 3, 4)
    assert result_code(dwa) == 2001
    peer.send_answer(encode_answer(requests[0], b""))
    assert peer.unanswered == 1
    assert len(answers(peer)) == 1


@pytest.mark.parametrize(
    ("data", "expected", "flags"),
    [
        pytest.param(ccr(application=16777238), 3007, codes.ERROR | codes.PROXIABLE, id="3007 application"),
        pytest.param(ccr(command=276), 3001, codes.ERROR | codes.PROXIABLE, id="3001 command"),
        pytest.param(ccr(command=999, application=0), 3001, codes.ERROR | codes.PROXIABLE, id="3001 common"),
        pytest.param(ccr(flags=0xE0), 3008, codes.ERROR | codes.PROXIABLE, id="3008 E in a request"),
        pytest.param(b"\2" + ccr()[1:], 5011, codes.PROXIABLE, id="5011 version"),
    ],
)
def test_errors_of_the_base_protocol(data: bytes, expected: int, flags: int) -> None:
    """Protocol errors have the E bit, the request's identifiers and its Session-Id; the connection goes on [B-3] [B-72]."""
    peer = open_peer()
    peer.receive_data(data + ccr(number=5), T0)
    assert [type(event) for event in events(peer)] == [Message]
    (answer,) = answers(peer)
    assert (result_code(answer), answer.flags) == (expected, flags)
    assert (answer.hop_by_hop, answer.end_to_end) == (7, 9)
    assert values(answer, codes.SESSION_ID) == [b"client.example.net;1;1"]
    assert values(answer, codes.ORIGIN_HOST) == [b"ocs.example.net"]


def test_b6_answers_to_nothing_are_thrown_away() -> None:
    """B-6: an answer with an unknown hop-by-hop id is dropped in silence, broken ones too."""
    peer = open_peer()
    peer.receive_data(ccr(flags=0) + ccr(flags=codes.ERROR) + b"\2" + ccr(flags=0)[1:], T0)
    assert events(peer) == []
    assert peer.data_to_send() == b""


def test_b10_wrong_length_is_5015_and_the_end() -> None:
    """B-10: the header can still be answered, the stream cannot be read on."""
    peer = open_peer()
    peer.receive_data(b"\1\0\0\x15" + ccr()[4:], T0)
    (closed,) = events(peer)
    assert isinstance(closed, Closed)
    assert (closed.abort, closed.is_breach) == (False, True)
    (answer,) = answers(peer)
    assert result_code(answer) == 5015


def test_b12_too_large_is_dropped_at_once() -> None:
    """B-11, B-12: no answer, no collecting, an abortive end. [C-502]"""
    peer = open_peer(octets_max=1000)
    peer.receive_data(b"GET / HTTP/1.1\r\nHost: example.net\r\n\r\n", T0)
    (closed,) = events(peer)
    assert isinstance(closed, Closed)
    assert closed.abort
    peer.receive_data(ccr(), T0)
    assert events(peer) == []


def test_b48_second_capabilities_exchange_ends_it() -> None:
    """B-48: a CER on an open connection is a protocol error."""
    peer = open_peer()
    peer.receive_data(capabilities_request(), T0)
    assert [type(event) for event in events(peer)] == [Closed]


def test_b50_dpr_waits_for_the_answers() -> None:
    """B-50: requests already received are answered before the DPA, since who receives that closes. [C-404]"""
    peer = open_peer()
    peer.receive_data(ccr() + base.disconnect_request(CLIENT, DisconnectCause.BUSY, 11, 12), T0)
    request, stopping = events(peer)
    assert isinstance(request, Message)
    assert stopping == Stopping(DisconnectCause.BUSY)
    assert peer.data_to_send() == b""
    peer.send_answer(encode_answer(request, b""))
    assert [answer.command for answer in answers(peer)] == [codes.CREDIT_CONTROL, codes.DISCONNECT_PEER]
    assert events(peer) == []
    peer.connection_lost(T0 + 10)
    assert [type(event) for event in events(peer)] == [Closed]


def test_b50_peer_that_does_not_close_is_closed() -> None:
    """B-50: after the DPA the peer closes; if not, we do."""
    peer = open_peer(closing_timeout_ms=5_000)
    peer.receive_data(base.disconnect_request(CLIENT, DisconnectCause.REBOOTING, 11, 12), T0)
    assert [type(event) for event in events(peer)] == [Stopping]
    assert peer.get_timer() == T0 + 5_000
    peer.handle_timer(T0 + 5_000)
    assert [type(event) for event in events(peer)] == [Closed]


def test_b51_stop_sends_dpr_and_closes_after_dpa() -> None:
    """B-51, B-52: DPR REBOOTING; answers in flight leave; we received the DPA, so we close."""
    peer = open_peer()
    peer.receive_data(ccr(), T0)
    (request,) = events(peer)
    assert isinstance(request, Message)
    peer.stop(DisconnectCause.REBOOTING, T0)
    (dpr,) = answers(peer)
    assert (dpr.command, values(dpr, codes.DISCONNECT_CAUSE)) == (codes.DISCONNECT_PEER, [bytes(4)])
    peer.receive_data(encode_answer(dpr, avp.avp_u32(codes.RESULT_CODE, 2001) + CLIENT.origin), T0)
    assert events(peer) == []
    peer.send_answer(encode_answer(request, b""))
    assert len(answers(peer)) == 1
    assert [type(event) for event in events(peer)] == [Closed]


def test_stop_before_the_peer_is_known_just_closes() -> None:
    """There is nobody to say goodbye to."""
    peer = new_peer()
    peer.stop(DisconnectCause.REBOOTING, T0)
    assert [type(event) for event in events(peer)] == [Closed]
    assert peer.data_to_send() == b""


def test_watchdog_asks_suspects_and_closes() -> None:
    """RFC 3539, 3.4.1: DWR after Tw, SUSPECT after a second one, the end after the third [B-60]."""
    peer = open_peer(watchdog_ms=TW)
    peer.receive_data(ccr(), T0 + 1000)
    assert [type(event) for event in events(peer)] == [Message]
    peer.handle_timer(T0 + TW)
    assert peer.data_to_send() == b"", "the request has set Tw anew"
    peer.handle_timer(T0 + 1000 + TW)
    (dwr,) = answers(peer)
    assert (dwr.command, dwr.is_request) == (codes.DEVICE_WATCHDOG, True)
    peer.handle_timer(T0 + 1000 + 2 * TW)
    assert [type(event) for event in events(peer)] == [Suspected]
    assert peer.data_to_send() == b"", "a DWR is never repeated"
    peer.handle_timer(T0 + 1000 + 3 * TW)
    assert [type(event) for event in events(peer)] == [Closed]


def test_watchdog_is_content_with_an_answer() -> None:
    """A DWA clears the pending DWR; any message leads a suspect back [B-60]. [C-103]"""
    peer = open_peer(watchdog_ms=TW)
    peer.handle_timer(T0 + TW)
    (dwr,) = answers(peer)
    peer.receive_data(base.success_answer(dwr, CLIENT), T0 + TW + 50)
    assert events(peer) == []
    assert peer.silent_ms(T0 + 2 * TW) == 0
    peer.handle_timer(T0 + TW + 50 + TW)
    peer.handle_timer(T0 + TW + 50 + 2 * TW)
    assert [type(event) for event in events(peer)] == [Suspected]
    peer.receive_data(ccr(), T0 + TW + 60 + 2 * TW)
    assert [type(event) for event in events(peer)] == [Message]
    assert peer.watchdog.state is Watch.OKAY


def test_probe_asks_out_of_turn() -> None:
    """When another connection claims to be this peer, one question tells whether this one lives."""
    peer = open_peer(watchdog_ms=TW)
    peer.probe(T0 + 10)
    peer.probe(T0 + 20)
    assert len(answers(peer)) == 1
    assert peer.silent_ms(T0 + 1510) == 1500


def test_answer_after_the_end_goes_nowhere() -> None:
    """B-77: the connection is gone; the answer stays in the books for the repeat."""
    peer = open_peer()
    peer.receive_data(ccr(), T0)
    (request,) = events(peer)
    assert isinstance(request, Message)
    peer.connection_lost(T0)
    assert [type(event) for event in events(peer)] == [Closed]
    peer.send_answer(encode_answer(request, b""))
    assert peer.data_to_send() == b""


def test_two_peers_in_memory_make_a_connection() -> None:
    """Our dialled side and our accepted side understand each other, up to the goodbye."""
    dialled = DialledPeer(PeerConfig(CLIENT, "0.0.0.0"), T0)
    accepted = new_peer()
    assert dialled.state is State.WAIT_CONN_ACK
    dialled.connected("127.0.0.2", T0)
    accepted.receive_data(dialled.data_to_send(), T0)
    assert isinstance(accepted.next_event(), Identified)
    accepted.accept(T0)
    dialled.receive_data(accepted.data_to_send(), T0)
    assert [type(event) for event in events(dialled)] == [Opened]
    assert (dialled.state, accepted.state) == (State.I_OPEN, State.R_OPEN)
    assert dialled.capabilities is not None
    assert dialled.capabilities.application_ids == {3, 4}
    dialled.send_request(ccr())
    dialled.stop(DisconnectCause.DO_NOT_WANT_TO_TALK_TO_YOU, T0)
    accepted.receive_data(dialled.data_to_send(), T0)
    *_, request, stopping = events(accepted)
    assert stopping == Stopping(DisconnectCause.DO_NOT_WANT_TO_TALK_TO_YOU)
    assert isinstance(request, Message)
    accepted.send_answer(encode_answer(request, b""))
    dialled.receive_data(accepted.data_to_send(), T0)
    assert [type(event) for event in events(dialled)] == [Answered, Closed]
    with pytest.raises(LocalProtocolError):
        dialled.send_request(ccr())


@pytest.mark.parametrize(
    "answer", [encode(0, 257, 0, 1, 1, avp.avp_u32(codes.RESULT_CODE, 5010) + CLIENT.origin), ccr(flags=0)]
)
def test_dialled_peer_is_refused(answer: bytes) -> None:
    """A CEA with an error, or something else in its place, ends a connection that we opened."""
    dialled = DialledPeer(PeerConfig(CLIENT, "0.0.0.0"), T0)
    dialled.connected("127.0.0.2", T0)
    dialled.receive_data(answer, T0)
    assert [type(event) for event in events(dialled)] == [Closed]


SAMPLE = capabilities_request() + ccr() + base.watchdog_request(CLIENT, 3, 4)


def drive(data: bytes) -> None:
    """Feed octets as a shell would; nothing but lawful events may come out."""
    peer = new_peer()
    peer.receive_data(data, T0)
    while (event := peer.next_event()) is not None:
        if isinstance(event, Identified):
            peer.accept(T0)
        elif isinstance(event, Message):
            peer.send_answer(encode_answer(event, b""))
    peer.data_to_send()


@pytest.mark.parametrize("end", range(0, len(SAMPLE), 3))
def test_truncated_streams_do_no_harm(end: int) -> None:
    """A stream cut anywhere waits for more."""
    drive(SAMPLE[:end])


@given(st.integers(0, len(SAMPLE) * 8 - 1), st.integers(0, len(SAMPLE) * 8 - 1))
def test_flipped_bits_do_no_harm(first: int, second: int) -> None:
    """Whatever is wrong becomes an answer or the end of the connection, never another exception."""
    data = bytearray(SAMPLE)
    for bit in (first, second):
        data[bit // 8] ^= 1 << bit % 8
    drive(bytes(data))


@given(st.binary(max_size=200))
def test_noise_does_no_harm(noise: bytes) -> None:
    """Octets that are no Diameter at all."""
    drive(noise)
    drive(SAMPLE[:60] + noise)
