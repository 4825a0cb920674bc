"""RAR and ASR on the wire, and how their answers find back (diameter-base 4 and 8)."""

from __future__ import annotations

import pytest

from protocols.diameter import avp, codes
from protocols.diameter.message import Message, encode_answer
from protocols.diameter.node import LocalNode
from protocols.diameter.peer import UNANSWERED_MAX, Answered, Peer, PeerConfig
from protocols.diameter.session_requests import Identifiers, SessionAddress, abort_session_request, re_auth_request
from tests.builders_gy import capabilities_request

OCS = LocalNode("ocs.example.net", "example.net")
ADDRESS = SessionAddress("client.example.net;1;1", "client.example.net", "client.realm")


def text(message: Message, key: int) -> str:
    found, _ = message.walk()
    return avp.text(message.frame, found[key])


def open_peer() -> Peer:
    peer = Peer(PeerConfig(OCS, "127.0.0.1"), 0)
    peer.receive_data(capabilities_request(), 0)
    peer.next_event()
    peer.accept(0)
    peer.next_event()
    peer.data_to_send()
    return peer


@pytest.mark.parametrize(
    ("build", "command"), [(re_auth_request, codes.RE_AUTH), (abort_session_request, codes.ABORT_SESSION)]
)
def test_b78_b105_b106_request_is_addressed_to_the_sessions_client(build: object, command: int) -> None:
    """Session-Id first, our Origin-*, the client's names as Destination-*, application 4, proxiable. [C-402]"""
    assert callable(build)
    message = Message(build(OCS, ADDRESS, Identifiers(5, 6)))
    assert (message.flags, message.command, message.application_id) == (0xC0, command, 4)
    assert (message.hop_by_hop, message.end_to_end) == (5, 6)
    found, more = message.walk()
    assert not more
    assert found[codes.SESSION_ID] == 20
    assert text(message, codes.SESSION_ID) == "client.example.net;1;1"
    assert text(message, codes.ORIGIN_HOST) == "ocs.example.net"
    assert text(message, codes.DESTINATION_HOST) == "client.example.net"
    assert text(message, codes.DESTINATION_REALM) == "client.realm"
    assert avp.u32(message.frame, found[codes.AUTH_APPLICATION_ID]) == 4
    assert (codes.RE_AUTH_REQUEST_TYPE in found) == (command == codes.RE_AUTH)


def test_g100_sub_session_is_named() -> None:
    """A sub-session's request concerns it alone."""
    message = Message(re_auth_request(OCS, ADDRESS._replace(sub_session_id=7), Identifiers(1, 1)))
    found, _ = message.walk()
    assert avp.u64(message.frame, found[codes.CC_SUB_SESSION_ID]) == 7


def test_b4_repeat_has_the_t_flag_and_the_same_end_to_end_id() -> None:
    """Sent again elsewhere: T, another hop-by-hop id, the same end-to-end id."""
    first = Message(re_auth_request(OCS, ADDRESS, Identifiers(1, 9)))
    again = Message(re_auth_request(OCS, ADDRESS, Identifiers(2, 9, is_repeat=True)))
    assert (first.flags & codes.RETRANSMITTED, again.flags & codes.RETRANSMITTED) == (0, 0x10)
    assert (first.end_to_end, again.end_to_end) == (9, 9)


def test_b7_answer_is_matched_by_its_hop_by_hop_id() -> None:
    """The answer comes out once; the same again, or one to nothing, is thrown away [B-6]."""
    peer = open_peer()
    request = re_auth_request(OCS, ADDRESS, Identifiers(peer.next_identifier(), 1))
    peer.send_request(request)
    answer = encode_answer(Message(request), avp.avp_u32(codes.RESULT_CODE, 2002))
    peer.receive_data(answer + answer, 0)
    event = peer.next_event()
    assert isinstance(event, Answered)
    assert event.message.hop_by_hop == Message(request).hop_by_hop
    assert peer.next_event() is None


def test_peer_that_never_answers_costs_bounded_memory() -> None:
    """What is remembered of requests without an answer has a limit; the oldest go."""
    peer = open_peer()
    for _ in range(UNANSWERED_MAX + 5):
        peer.send_request(re_auth_request(OCS, ADDRESS, Identifiers(peer.next_identifier(), 1)))
    assert len(peer._sent) == UNANSWERED_MAX
