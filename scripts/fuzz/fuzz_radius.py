"""RADIUS: packets, authenticators, dictionaries' vendor attributes, records, translation and the reply."""

from __future__ import annotations

import hashlib
import hmac
import random
from pathlib import Path
from typing import Final

from mutations import damaged
from structures import damaged_packet

from balance.store import Subscriber
from ocs.charging.request import ChargingRequest
from ocs.gateways.radius import Profile, accounting_request, authorization_request, profile_of
from ocs.gateways.radius_credentials import UsedNonces, first_look, second_look, used_nonce, who_tries
from ocs.gateways.radius_names import identities_of
from ocs.gateways.radius_products import load_products
from ocs.settings import Radius, RadiusClient
from protocols.errors import RemoteProtocolError
from protocols.radius import attributes as a
from protocols.radius.attributes import integer_attribute, text_attribute, vendor_attribute
from protocols.radius.dedup import ReplyCache
from protocols.radius.digest import stored_digests
from protocols.radius.dynauth import dynamic_request, read_answer
from protocols.radius.framing import packet_buffer
from protocols.radius.packet import (
    ACCESS_ACCEPT,
    ACCESS_REQUEST,
    ACCOUNTING_REQUEST,
    ACCOUNTING_RESPONSE,
    STATUS_SERVER,
    Packet,
    attribute,
    decode,
)
from protocols.radius.responder import Discard, Peer, Responder, Role
from protocols.radius.words import named_attributes

NOW_MS: Final = 1_790_000_000_000
SECRET: Final = b"testing123"
ALICE: Final = Subscriber("alice", "acc", ("name:alice",), "secret")
ALICE_BY_DIGESTS: Final = Subscriber("alice", "acc", ("name:alice",), stored_digests({"example.net": "0" * 32}))
REQUEST: Final = dynamic_request(40, 7, b"", SECRET)
SOURCE: Final = ("127.0.0.1", 1645)
CONFIG: Final = Path(__file__).parents[2] / "config"
SOUND_SHARE: Final = 0.7  # of the inputs have attributes whose lengths agree
COUNT_MAX: Final = 2**66  # charging refuses what is beyond its range; here it only has to be a plausible integer


def _packet(code: int, attributes: bytes) -> bytes:
    return bytes((code, 7)) + (20 + len(attributes)).to_bytes(2, "big") + bytes(16) + attributes


def _corpus() -> list[bytes]:
    call = (
        text_attribute(a.USER_NAME, "4915112345678"),
        text_attribute(a.CALLED_STATION_ID, "sip:+442079460123@sbc"),
        text_attribute(a.CALLING_STATION_ID, "+49 151 12345678"),
        text_attribute(a.NAS_IDENTIFIER, "sbc1"),
        attribute(a.NAS_IP_ADDRESS, b"\x7f\0\0\1"),
        text_attribute(a.ACCT_SESSION_ID, "5f0c1d7e-0001"),
        vendor_attribute(9, 24, b"h323-conf-id=1E0C1D7E 00014C1F 9D1E0000 00000042"),
        vendor_attribute(9, 26, b"h323-call-origin=answer"),
        vendor_attribute(9, 28, b"h323-connect-time=12:00:00.000 UTC Sat Jan 1 2022"),
        vendor_attribute(9, 1, b"call-id=abc@sbc"),
    )
    use = (
        integer_attribute(a.ACCT_SESSION_TIME, 125),
        integer_attribute(a.EVENT_TIMESTAMP, NOW_MS // 1000),
        integer_attribute(a.ACCT_DELAY_TIME, 2),
        attribute(33, b"proxy"),
    )
    octets = (integer_attribute(a.ACCT_INPUT_OCTETS, 1 << 31), integer_attribute(a.ACCT_INPUT_GIGAWORDS, 3))
    framed = (integer_attribute(a.SERVICE_TYPE, 2), integer_attribute(a.FRAMED_PROTOCOL, 1))
    ended = vendor_attribute(9, 30, b"h323-disconnect-cause=10"), integer_attribute(a.ACCT_TERMINATE_CAUSE, 1)
    status = [integer_attribute(a.ACCT_STATUS_TYPE, value) for value in (1, 2, 3, 7, 15)]
    signed = attribute(80, bytes(16))
    return [
        _packet(ACCESS_REQUEST, b"".join((signed, *call, attribute(a.USER_PASSWORD, bytes(16))))),
        _packet(ACCESS_REQUEST, b"".join((signed, *call[:2], attribute(a.CHAP_PASSWORD, bytes(17))))),
        _packet(ACCESS_REQUEST, b"".join((signed, *call, *_digest()))),
        _packet(ACCESS_REQUEST, b"".join((signed, *call, *_draft_digest()))),
        _packet(ACCOUNTING_REQUEST, b"".join((status[0], *call))),
        _packet(ACCOUNTING_REQUEST, b"".join((status[1], *call, *use, *ended))),
        _packet(ACCOUNTING_REQUEST, b"".join((status[2], *call[:6], *use, *octets, *framed))),
        _packet(ACCOUNTING_REQUEST, b"".join((status[3], *call[3:5]))),
        _packet(ACCOUNTING_REQUEST, b"".join((status[4], *call))),
        _packet(STATUS_SERVER, signed),
    ]


def _digest() -> list[bytes]:
    fields = ("0" * 32, "example.net", "n1", "INVITE", "sip:a@example.net", "auth", "MD5", "c1", "00000001", "alice")
    numbers = (103, 104, 105, 108, 109, 110, 111, 113, 114, 115)
    return [text_attribute(number, text) for number, text in zip(numbers, fields, strict=True)]


def _draft_digest() -> list[bytes]:
    subs = ((10, "alice"), (1, "example.net"), (2, "n1"), (3, "INVITE"), (4, "sip:a@example.net"))
    octets = [bytes((kind, len(text) + 2)) + text.encode() for kind, text in subs]
    return [text_attribute(206, "0" * 32), *(attribute(207, each) for each in octets), attribute(207, b"".join(octets))]


def _signed(data: bytearray) -> bytes:
    """Length, Message-Authenticator and Request Authenticator made right: only then the damage gets further."""
    del data[4096:]
    data[2:4] = len(data).to_bytes(2, "big")
    is_accounting = data[0] == ACCOUNTING_REQUEST
    if is_accounting:
        data[4:20] = bytes(16)
    at = 20
    while at + 2 <= len(data) and data[at + 1] >= 2:
        if data[at] == 80 and data[at + 1] == 18 and at + 18 <= len(data):
            data[at + 2 : at + 18] = bytes(16)
            data[at + 2 : at + 18] = hmac.digest(SECRET, bytes(data), "md5")
            break
        at += data[at + 1]
    if is_accounting:
        data[4:20] = hashlib.md5(bytes(data) + SECRET).digest()
    return bytes(data)


class RadiusTarget:
    """Most inputs are signed again after the damage, as those of a broken client are."""

    def __init__(self) -> None:
        self._corpus = _corpus()
        products = load_products(CONFIG, Radius())
        self._dictionary = products.dictionary
        self._used = UsedNonces()
        clients = [
            RadiusClient("a", ("127.0.0.1",), SECRET.decode(), profile="mera"),
            RadiusClient("b", ("127.0.0.2",), SECRET.decode(), account_from=("Calling-Station-Id",)),
            *(RadiusClient(name, ("127.0.0.3",), SECRET.decode(), profile=name) for name in products.dialects),
        ]
        self._profiles = [profile_of(client, Radius(), products.dialect_of(client)) for client in clients]
        self._now_ms = NOW_MS
        self._responders = [
            Responder(role, ReplyCache(30_000, 1000)) for role in (Role.AUTHENTICATION, Role.ACCOUNTING)
        ]

    def input(self, chance: random.Random) -> bytes:
        damage = damaged_packet if chance.random() < SOUND_SHARE else damaged
        data = damage(chance.choice(self._corpus), self._corpus, chance)
        if len(data) >= 20 and chance.random() < 0.8:
            data[0] = chance.choice((ACCESS_REQUEST, ACCOUNTING_REQUEST, ACCOUNTING_REQUEST, data[0]))
            return _signed(data)
        return bytes(data)

    def run(self, data: bytes, chance: random.Random) -> str:
        self._now_ms += 1
        _read_stream(data, chance)
        read_answer(data, REQUEST, SECRET)
        peer = Peer(SECRET, chance.choice(("yes", "auto", "no")))
        profile = chance.choice(self._profiles)
        outcome = Discard.WRONG_CODE.value
        for responder in self._responders:
            # Each input has its own time, so that it is never taken for a repeat.
            received = responder.receive(data, (*SOURCE, self._now_ms), peer, self._now_ms)
            if isinstance(received, Packet):
                outcome = self._work(received, profile)
                code = ACCESS_ACCEPT if received.code == ACCESS_REQUEST else ACCOUNTING_RESPONSE
                reply = responder.reply(received, peer, code)
                assert reply is not None, "a new request gets its reply"
                _check_reply(reply, received)
            elif isinstance(received, bytes):
                outcome = "status"
            elif received is not Discard.WRONG_CODE:
                outcome = received.value
        return outcome

    def _work(self, packet: Packet, profile: Profile) -> str:
        if packet.code == ACCESS_REQUEST:
            access = profile.dialect.reader.open(packet, "127.0.0.1")
            named_attributes(packet, self._dictionary)
            first_look(packet, profile, b"chance", NOW_MS)
            who_tries(access, profile)
            for subscriber in (ALICE, ALICE_BY_DIGESTS):
                second_look(packet, subscriber, SECRET, self._used, is_protected=True)
            used_nonce(packet, profile, NOW_MS)
            identities_of(access)
            _check_request(authorization_request(access, profile, packet.authenticator, NOW_MS))
            return "authorization"
        record = profile.dialect.reader.open(packet, "127.0.0.1")
        request = accounting_request(record, profile, NOW_MS)
        if not isinstance(request, ChargingRequest):
            return f"accounting, {type(request).__name__}"
        _check_request(request)
        return f"accounting, {request.kind.name}"


def _read_stream(data: bytes, chance: random.Random) -> None:
    """The same octets out of a stream, cut anywhere: whole packets, or the end of the connection."""
    buffer = packet_buffer()
    cut = chance.randrange(len(data) + 1)
    try:
        for part in (data[:cut], data[cut:]):
            buffer.feed(part)
            while (frame := buffer.next_frame()) is not None:
                assert 20 <= len(frame) <= 4096, "a frame is a packet's length"
    except RemoteProtocolError:
        pass


def _check_request(request: ChargingRequest) -> None:
    request.complete()
    assert request.session_key.startswith("ra:"), "the key names its protocol"
    assert len(request.session_key) < 4096, "a key is bounded"
    request.session_key.encode()
    assert abs(request.event_at_ms - NOW_MS) <= 366 * 86_400_000, "times are sane"
    for group in request.groups:
        for quantity in (*(group.used or ()), *(group.requested or ())):
            assert 0 <= quantity.value < COUNT_MAX, "a use is no nonsense"


def _check_reply(reply: bytes, request: Packet) -> None:
    packet = decode(reply)
    assert packet.identifier == request.identifier, "the reply names its request"
    assert packet.attributes.get(33) == request.attributes.get(33), "Proxy-State comes back as it came"
