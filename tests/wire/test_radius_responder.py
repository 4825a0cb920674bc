"""One socket's rules: which datagrams are requests, which are answered at once, and which get silence."""

from __future__ import annotations

from typing import Literal

import pytest

from protocols.radius.authenticators import has_valid_message_authenticator, md5
from protocols.radius.dedup import Repeat, ReplyCache
from protocols.radius.packet import ACCESS_REJECT, ACCOUNTING_RESPONSE, Packet, attribute, decode
from protocols.radius.responder import Discard, Peer, Responder, Role
from tests.wire.radius_packets import SECRET, access_request, accounting_request, attributes_of, status_server

SOURCE = ("192.0.2.1", 40000)
BODY = attributes_of({1: "alice", 44: "abc-1"})


def responder(role: Role = Role.AUTHENTICATION, *, is_ready: bool = True) -> Responder:
    return Responder(role, ReplyCache(30_000), lambda: is_ready)


def peer(requirement: Literal["yes", "auto", "no"] = "yes", *, limit_proxy_state: bool = True) -> Peer:
    return Peer(SECRET, requirement, limit_proxy_state)


def receive(datagram: bytes, role: Role, of: Peer | None = None) -> Packet | bytes | Discard:
    return responder(role).receive(datagram, SOURCE, of or peer(), 0)


ACCOUNTING, AUTHENTICATION = Role.ACCOUNTING, Role.AUTHENTICATION


@pytest.mark.parametrize(
    ("datagram", "role", "expected"),
    [
        (b"\x04\x01\x00", ACCOUNTING, Discard.MALFORMED),
        (accounting_request(BODY), AUTHENTICATION, Discard.WRONG_CODE),
        (access_request(BODY), ACCOUNTING, Discard.WRONG_CODE),
        (b"\x02" + access_request(BODY)[1:], AUTHENTICATION, Discard.WRONG_CODE),
        (b"\x28" + accounting_request(BODY)[1:], ACCOUNTING, Discard.WRONG_CODE),
        (accounting_request(BODY, secret=b"other"), ACCOUNTING, Discard.WRONG_AUTHENTICATOR),
        (accounting_request(BODY + attribute(80, bytes(16))), ACCOUNTING, Discard.WRONG_MESSAGE_AUTHENTICATOR),
        (access_request(BODY, secret=b"other"), AUTHENTICATION, Discard.WRONG_MESSAGE_AUTHENTICATOR),
        (access_request(BODY, sign=False), AUTHENTICATION, Discard.NO_MESSAGE_AUTHENTICATOR),
        (access_request(BODY + attribute(80, bytes(16))), AUTHENTICATION, Discard.WRONG_MESSAGE_AUTHENTICATOR),
        (status_server(sign=False), AUTHENTICATION, Discard.NO_MESSAGE_AUTHENTICATOR),
        (status_server(attribute(80, bytes(16)), sign=False), ACCOUNTING, Discard.WRONG_MESSAGE_AUTHENTICATOR),
    ],
)
def test_silence(datagram: bytes, role: Role, expected: Discard) -> None:
    """[R-1] [R-4] [R-10] [R-11] [R-21] [R-23] [R-94] [R-100]: not answered, and the reason is counted [R-27] [C-8]."""
    assert receive(datagram, role) is expected


@pytest.mark.parametrize(
    ("datagram", "role"),
    [
        (accounting_request(BODY), ACCOUNTING),
        (accounting_request(BODY, sign=True), ACCOUNTING),
        (accounting_request(BODY) + b"padding", ACCOUNTING),
        (access_request(BODY), AUTHENTICATION),
    ],
)
def test_requests_come_through(datagram: bytes, role: Role) -> None:
    """What is genuine is worked on [R-27]."""
    assert isinstance(receive(datagram, role), Packet)


PROXIED = BODY + attribute(33, b"state")


@pytest.mark.parametrize(
    ("requirement", "limit", "body", "sign", "is_taken"),
    [
        ("yes", True, BODY, True, True),
        ("yes", False, BODY, False, False),
        ("auto", True, BODY, False, True),
        ("no", True, BODY, False, True),
        ("no", True, PROXIED, False, False),
        ("no", False, PROXIED, False, True),
        ("no", True, PROXIED, True, True),
        ("no", False, BODY + attributes_of({6: 17}), False, False),
        ("no", False, BODY + attributes_of({79: b"eap"}), False, False),
        ("no", False, BODY + attributes_of({103: "digest"}), False, False),
        ("no", False, BODY + attributes_of({108: "INVITE", 109: "sip:x"}), False, False),
        ("no", False, BODY + attributes_of({206: "digest of the draft"}), False, True),
        ("no", False, BODY + attributes_of({6: 10}), False, True),
    ],
)
def test_r21_r22_r23_message_authenticator(
    requirement: Literal["yes", "auto", "no"], limit: bool, body: bytes, sign: bool, is_taken: bool
) -> None:
    """The client's settings, and what they cannot switch off [R-26]."""
    of = peer(requirement, limit_proxy_state=limit)
    result = receive(access_request(body, sign=sign), AUTHENTICATION, of)
    assert isinstance(result, Packet) is is_taken
    if not is_taken:
        assert result is Discard.NO_MESSAGE_AUTHENTICATOR
    assert of.insecure == (1 if is_taken and not sign else 0)


def test_r21_auto_becomes_yes_after_the_first_valid_one() -> None:
    """A client that can sign is not taken unsigned any more; a forged signature does not count."""
    of, at = peer("auto"), responder()
    assert at.receive(access_request(BODY, 1, secret=b"x"), SOURCE, of, 0) is Discard.WRONG_MESSAGE_AUTHENTICATOR
    assert isinstance(at.receive(access_request(BODY, 2, sign=False), SOURCE, of, 0), Packet)
    assert isinstance(at.receive(access_request(BODY, 3), SOURCE, of, 0), Packet)
    assert at.receive(access_request(BODY, 4, sign=False), SOURCE, of, 0) is Discard.NO_MESSAGE_AUTHENTICATOR


@pytest.mark.parametrize(("role", "code"), [(AUTHENTICATION, 2), (ACCOUNTING, 5)])
def test_r100_status_server(role: Role, code: int) -> None:
    """[C-12] Answered on both ports, signed, with Proxy-State and nothing else, as often as it is asked [R-101]."""
    at, of = responder(role), peer()
    request = status_server(attributes_of({33: b"state", 1: "ignored"}), 9)
    for _ in range(2):
        octets = at.receive(request, SOURCE, of, 0)
        assert isinstance(octets, bytes)
        reply = decode(octets)
        assert (reply.code, reply.identifier, set(reply.attributes)) == (code, 9, {80, 33})
        assert octets[20] == 80
        assert has_valid_message_authenticator(reply, SECRET, request[4:20])


def test_r102_a_server_that_cannot_serve_is_silent() -> None:
    """So that the client turns to another."""
    assert responder(is_ready=False).receive(status_server(), SOURCE, peer(), 0) is Discard.NOT_READY


def test_r20_every_access_reply_is_signed_in_front_and_copies_proxy_state() -> None:
    """Also a Reject, also when the request was not signed [C-12]."""
    at, of = responder(), peer("no", limit_proxy_state=False)
    request = at.receive(access_request(PROXIED, sign=False), SOURCE, of, 0)
    assert isinstance(request, Packet)
    octets = at.reply(request, of, ACCESS_REJECT, attributes_of({18: "no"}))
    assert octets is not None
    reply = decode(octets)
    assert octets[20:22] == b"\x50\x12"
    assert has_valid_message_authenticator(reply, SECRET, request.authenticator)
    assert md5(octets[:4] + request.authenticator + octets[20:] + SECRET) == reply.authenticator
    assert reply.attributes[33] == (b"state",)


def test_r61_an_accounting_response_is_bare_unless_the_request_was_signed() -> None:
    """No attributes but Proxy-State; Message-Authenticator in answer to one."""
    for sign, kinds in ((False, set()), (True, {80})):
        at, of = responder(ACCOUNTING), peer()
        request = at.receive(accounting_request(BODY, sign=sign), SOURCE, of, 0)
        assert isinstance(request, Packet)
        octets = at.reply(request, of, ACCOUNTING_RESPONSE)
        assert octets is not None
        assert set(decode(octets).attributes) == kinds


def test_r30_a_repeat_gets_the_identical_octets() -> None:
    """Dropped while in work; afterwards the stored reply, until it is forgotten (statement 27)."""
    at, of, datagram = responder(ACCOUNTING), peer(), accounting_request(BODY)
    request = at.receive(datagram, SOURCE, of, 0)
    assert isinstance(request, Packet)
    assert at.receive(datagram, SOURCE, of, 1) is Discard.REPEAT_IN_WORK
    reply = at.reply(request, of, ACCOUNTING_RESPONSE)
    assert at.receive(datagram, SOURCE, of, 2_000) == reply
    assert isinstance(at.receive(datagram, ("192.0.2.1", 40001), of, 2_000), Packet)
    assert isinstance(at.receive(datagram, SOURCE, of, 30_000), Packet)


def test_r31_the_same_identifier_with_other_content_is_a_new_request() -> None:
    """The old reply is forgotten at once, and an answer that comes too late for it is not sent [C-11]."""
    at, of = responder(ACCOUNTING), peer()
    first = at.receive(accounting_request(BODY, 1), SOURCE, of, 0)
    second = at.receive(accounting_request(BODY + attributes_of({41: 5}), 1), SOURCE, of, 1)
    assert isinstance(first, Packet)
    assert isinstance(second, Packet)
    assert at.reply(first, of, ACCOUNTING_RESPONSE) is None
    assert at.reply(second, of, ACCOUNTING_RESPONSE) is not None


def test_r32_a_packet_that_is_not_genuine_does_not_touch_the_cache() -> None:
    """A forger cannot make us forget a reply."""
    at, of, datagram = responder(ACCOUNTING), peer(), accounting_request(BODY, 1)
    request = at.receive(datagram, SOURCE, of, 0)
    assert isinstance(request, Packet)
    reply = at.reply(request, of, ACCOUNTING_RESPONSE)
    at.receive(accounting_request(BODY + b"\x29\x06\x00\x00\x00\x05", 1, secret=b"other"), SOURCE, of, 1)
    assert at.receive(datagram, SOURCE, of, 2) == reply


def test_r36_what_was_not_answered_is_worked_on_again() -> None:
    """Silence must not turn into silence for ever."""
    at, of, datagram = responder(ACCOUNTING), peer(), accounting_request(BODY)
    request = at.receive(datagram, SOURCE, of, 0)
    assert isinstance(request, Packet)
    at.forget(request)
    assert isinstance(at.receive(datagram, SOURCE, of, 1), Packet)


def test_the_cache_is_bounded_in_number_and_time() -> None:
    """The oldest go first."""
    cache = ReplyCache(keep_ms=100, entries_max=3)
    packets = [decode(accounting_request(BODY, identifier)) for identifier in range(5)]
    for packet in packets:
        assert cache.begin(packet, SOURCE, 0) is Repeat.NEW
    assert len(cache) == 3
    assert cache.begin(packets[4], SOURCE, 1) is Repeat.IN_WORK
    assert cache.begin(packets[0], SOURCE, 1) is Repeat.NEW
    assert cache.finish(packets[1], b"late"), "its entry is gone, so nothing speaks against sending it"
    cache.forget(packets[1])
    assert cache.begin(packets[1], SOURCE, 100) is Repeat.NEW
    assert len(cache) == 2
