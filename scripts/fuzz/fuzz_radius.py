"""RADIUS: packets, authenticators, dictionaries' vendor attributes, records, translation and the reply."""

from __future__ import annotations

import hashlib
import hmac
import random
from pathlib import Path
from typing import Final

from mutations import damaged
from structures import damaged_packet

from ocs.charging.request import ChargingRequest
from ocs.gateways.radius import Profile, accounting_request, authorization_request, profile_of
from ocs.gateways.radius_names import identities_of
from ocs.gateways.radius_products import load_products
from ocs.settings import Radius, RadiusClient
from protocols.radius import attributes as a
from protocols.radius.attributes import integer_attribute, text_attribute, vendor_attribute
from protocols.radius.dedup import ReplyCache
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
from protocols.radius.records import is_password_right, is_secret_suspect
from protocols.radius.responder import Discard, Peer, Responder, Role

NOW_MS: Final = 1_790_000_000_000
SECRET: Final = b"testing123"
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
        _packet(ACCOUNTING_REQUEST, b"".join((status[0], *call))),
        _packet(ACCOUNTING_REQUEST, b"".join((status[1], *call, *use, *ended))),
        _packet(ACCOUNTING_REQUEST, b"".join((status[2], *call[:6], *use, *octets, *framed))),
        _packet(ACCOUNTING_REQUEST, b"".join((status[3], *call[3:5]))),
        _packet(ACCOUNTING_REQUEST, b"".join((status[4], *call))),
        _packet(STATUS_SERVER, signed),
    ]


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
        clients = [
            RadiusClient("a", ("127.0.0.1",), SECRET.decode(), profile="mera"),
            RadiusClient("b", ("127.0.0.2",), SECRET.decode(), account_from=("Calling-Station-Id",)),
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
        peer = Peer(SECRET, chance.choice(("yes", "auto", "no")))
        profile = chance.choice(self._profiles)
        outcome = Discard.WRONG_CODE.value
        for responder in self._responders:
            # Each input has its own time, so that it is never taken for a repeat.
            received = responder.receive(data, (*SOURCE, self._now_ms), peer, self._now_ms)
            if isinstance(received, Packet):
                outcome = self._work(received, profile)
                code = ACCESS_ACCEPT if received.code == ACCESS_REQUEST else ACCOUNTING_RESPONSE
                reply = responder.reply(received, (*SOURCE, self._now_ms), peer, code)
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
            is_password_right(packet, SECRET, b"secret")
            is_secret_suspect(packet, SECRET)
            identities_of(access)
            _check_request(authorization_request(access, profile, packet.authenticator, NOW_MS))
            return "authorization"
        record = profile.dialect.reader.open(packet, "127.0.0.1")
        request = accounting_request(record, profile, NOW_MS)
        if not isinstance(request, ChargingRequest):
            return f"accounting, {type(request).__name__}"
        _check_request(request)
        return f"accounting, {request.kind.name}"


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
