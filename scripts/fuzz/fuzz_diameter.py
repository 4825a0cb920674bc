"""Diameter: framing, the peer's state machine, CCR decoding both ways, translation and the answer."""

from __future__ import annotations

import random
from typing import Final

from mutations import damaged
from structures import damaged_request

from balance.money import Currency
from ocs.charging.request import ChargingAnswer, ChargingRequest, ChargingStatus, GroupAnswer
from ocs.gateways.gy import GyConfig, charging_request, credit_control_answer
from ocs.gateways.rf import accounting_charge, accounting_result
from ocs.rating.origins import origin_of
from ocs.rating.units import UnitKind
from ocs.rating.whereabouts import moved
from ocs.settings import ClientAbilities, CreditControl, Settings
from protocols.diameter import avp, base, codes
from protocols.diameter.gy import CreditControlRequest, read_request
from protocols.diameter.gy_layout import RequestReader
from protocols.diameter.message import HEADER_OCTETS, Fault, Message, encode
from protocols.diameter.node import LocalNode
from protocols.diameter.peer import Identified, OtherRequest, Peer, PeerConfig
from protocols.diameter.rf import accounting_answer, accounting_fault, read_accounting
from protocols.diameter.service_information import party_addresses

NOW_MS: Final = 1_790_000_000_000
OCTETS_MAX: Final = 65_536
SOUND_SHARE: Final = 0.6  # of the inputs have sound AVP headers
STREAM_SHARE: Final = 0.4
READERS_SHARE: Final = 200  # inputs that one connection's learned layouts see
_TEXT, _U32 = avp.avp_text, avp.avp_u32


def _group(key: int, *members: bytes) -> bytes:
    return avp.avp(key, b"".join(members))


def _subscription(kind: int, data: str) -> bytes:
    return _group(
        codes.SUBSCRIPTION_ID, _U32(codes.SUBSCRIPTION_ID_TYPE, kind), _TEXT(codes.SUBSCRIPTION_ID_DATA, data)
    )


def _ccr(kind: int, context: str, *avps: bytes) -> bytes:
    usual = (
        _TEXT(codes.SESSION_ID, "gw.example.net;1700000000;42"),
        _TEXT(codes.ORIGIN_HOST, "gw.example.net"),
        _TEXT(codes.ORIGIN_REALM, "example.net"),
        _TEXT(codes.DESTINATION_REALM, "example.net"),
        _U32(codes.AUTH_APPLICATION_ID, 4),
        _TEXT(codes.SERVICE_CONTEXT_ID, context),
        _U32(codes.CC_REQUEST_TYPE, kind),
        _U32(codes.CC_REQUEST_NUMBER, kind - 1),
        _U32(codes.EVENT_TIMESTAMP, 0xEE000000),
        _subscription(0, "4915112345678"),
    )
    flags = codes.REQUEST | codes.PROXIABLE
    return encode(flags, codes.CREDIT_CONTROL, codes.APPLICATION_CREDIT_CONTROL, 7, 9, b"".join((*usual, *avps)))


def _acr(kind: int, *avps: bytes) -> bytes:
    usual = (
        _TEXT(codes.SESSION_ID, "cdf.example.net;1700000000;43"),
        _TEXT(codes.ORIGIN_HOST, "cdf.example.net"),
        _TEXT(codes.ORIGIN_REALM, "example.net"),
        _TEXT(codes.DESTINATION_REALM, "example.net"),
        _U32(codes.ACCOUNTING_RECORD_TYPE, kind),
        _U32(codes.ACCOUNTING_RECORD_NUMBER, kind),
        _U32(codes.ACCT_APPLICATION_ID, codes.APPLICATION_ACCOUNTING),
        _U32(codes.EVENT_TIMESTAMP, 0xEE000000),
        _TEXT(codes.SERVICE_CONTEXT_ID, "8.32251@3gpp.org"),
        _subscription(0, "4915112345678"),
    )
    flags = codes.REQUEST | codes.PROXIABLE
    return encode(flags, codes.ACCOUNTING, codes.APPLICATION_ACCOUNTING, 7, 9, b"".join((*usual, *avps)))


_3GPP: Final = codes.VENDOR_3GPP << 32
_PLACE: Final = (
    _TEXT(30, "internet"),
    _TEXT(_3GPP | 18, "26201"),
    avp.avp(_3GPP | 21, b"\6"),
    avp.avp(_3GPP | 22, bytes.fromhex("8262f2101a2b62f21000abcdef")),
    avp.avp(_3GPP | 1228, bytes.fromhex("0001c0000207")),
)
_ACCESS: Final = "3GPP-E-UTRAN-FDD; utran-cell-id-3gpp=262011a2b00abcde"
_VISITED: Final = "ims.mnc001.mcc262.3gppnetwork.org"


def _corpus() -> list[bytes]:
    rsu, usu, mscc = codes.REQUESTED_SERVICE_UNIT, codes.USED_SERVICE_UNIT, codes.MULTIPLE_SERVICES_CREDIT_CONTROL
    seconds, octets = _U32(codes.CC_TIME, 60), avp.avp_u64(codes.CC_TOTAL_OCTETS, 10_000_000)
    value = _group(codes.UNIT_VALUE, avp.avp_i64(codes.VALUE_DIGITS, 125), avp.avp_i32(codes.EXPONENT, -2))
    amount = _group(codes.CC_MONEY, value, _U32(codes.CURRENCY_CODE, 978))
    called = _TEXT(codes.CALLED_PARTY_ADDRESS, "tel:+442079460123")
    service = _group(codes.SERVICE_INFORMATION, _group(codes.IMS_INFORMATION, called))
    place = _group(codes.SERVICE_INFORMATION, _group(codes.PS_INFORMATION, *_PLACE))
    access = _group(codes.IMS_INFORMATION, called, _TEXT(_3GPP | 1263, _ACCESS), _TEXT(_3GPP | 2713, _VISITED))
    visiting = _group(codes.SERVICE_INFORMATION, access)
    proxy = _group(codes.PROXY_INFO, _TEXT(280, "dra.example.net"), avp.avp(33, b"state"))
    both = [_group(mscc, _group(rsu, octets), _group(usu, octets), _U32(codes.RATING_GROUP, n)) for n in (1, 2, 3)]
    sides = [_group(usu, _U32(codes.TARIFF_CHANGE_USAGE, side), octets) for side in (0, 1)]
    voice, data, sms = "8.32260@3gpp.org", "8.32251@3gpp.org", "32274@3gpp.org"
    return [
        _ccr(1, voice, _group(mscc, _group(rsu, seconds), _U32(codes.RATING_GROUP, 100)), service),
        _ccr(2, voice, _group(mscc, _group(rsu), _group(usu, seconds), _U32(codes.SERVICE_IDENTIFIER, 1)), proxy),
        _ccr(3, voice, _group(usu, seconds), _U32(codes.TERMINATION_CAUSE, 1), _TEXT(codes.USER_NAME, "a@b")),
        _ccr(2, data, *both),
        _ccr(1, data, *both, place),
        _ccr(2, data, *both, place),
        _ccr(1, voice, _group(mscc, _group(rsu, seconds)), visiting),
        _ccr(2, data, _group(mscc, *sides, _group(rsu), _U32(codes.RATING_GROUP, 1))),
        _ccr(4, sms, _U32(codes.REQUESTED_ACTION, 0), _group(rsu, amount)),
        _ccr(1, data, avp.avp_u64(codes.CC_SUB_SESSION_ID, 5), _subscription(1, "262011234567890"), *both),
        _acr(2, service),
        _acr(2, place),
        _acr(3, avp.avp_u64(codes.ACCOUNTING_SUB_SESSION_ID, 5), _U32(codes.ACCT_SESSION_TIME, 60), proxy),
        _acr(4, _U32(codes.ACCT_SESSION_TIME, 61), _TEXT(codes.USER_NAME, "a@b")),
    ]


_NODE: Final = LocalNode("ocs.example.net", "example.net")
_CAPABILITIES: Final = base.capabilities_request(LocalNode("gw.example.net", "example.net"), "127.0.0.1", 1, 1)
_WATCHDOG: Final = encode(
    codes.REQUEST,
    codes.DEVICE_WATCHDOG,
    codes.APPLICATION_COMMON,
    2,
    2,
    LocalNode("gw.example.net", "example.net").origin + _U32(codes.ORIGIN_STATE_ID, 7),
)


class DiameterTarget:
    """Some inputs are a whole stream, from the capabilities exchange on; the others are one framed request."""

    def __init__(self) -> None:
        self._corpus = _corpus()
        self._streams = [*self._corpus, _CAPABILITIES, _WATCHDOG]
        clients = (ClientAbilities(host="*", tariff_time_change=True, qos_final_unit=True),)
        control = CreditControl(clients=clients)
        self._config = GyConfig(_NODE, Settings().services, {"EUR": Currency("EUR", 978, 9, 2)}, control)
        self._reader = RequestReader(_NODE)
        self._reads = 0

    def input(self, chance: random.Random) -> bytes:
        damage = damaged_request if chance.random() < SOUND_SHARE else damaged
        data = damage(chance.choice(self._corpus), self._corpus, chance)
        if chance.random() < STREAM_SHARE:
            return self._stream(data, chance)
        del data[OCTETS_MAX:]
        del data[len(data) & ~3 :]
        data = data.ljust(HEADER_OCTETS, b"\0")
        data[0:4] = (1 << 24 | len(data)).to_bytes(4, "big")  # the framing is right: the damage is within
        return b"M" + data

    def _stream(self, data: bytearray, chance: random.Random) -> bytes:
        opening = _CAPABILITIES if chance.random() < 0.8 else bytes(damaged(_CAPABILITIES, self._streams, chance))
        whole = [chance.choice(self._streams) for _ in range(chance.randint(0, 3))]
        return b"S" + opening + b"".join(whole) + data + chance.choice(self._streams)

    def run(self, data: bytes, chance: random.Random) -> str:
        if data[:1] == b"S":
            return self._run_stream(data[1:], chance)
        if data[:1] != b"M" or len(data) <= HEADER_OCTETS:
            return "no input"
        answer, outcome = self._answer(Message(data[1:]))
        _check_answer(answer)
        return outcome

    def _run_stream(self, data: bytes, chance: random.Random) -> str:
        peer = Peer(PeerConfig(_NODE, "127.0.0.1", OCTETS_MAX), 0)
        at, requests, outcome = 0, 0, "stream: open to the end"
        while at < len(data):
            step = chance.choice((1, 3, 20, 100, 1000, 65_536))
            peer.receive_data(data[at : at + step], at)
            at += step
            while (event := peer.next_event()) is not None:
                if isinstance(event, (Message, OtherRequest)):
                    requests += 1
                    peer.send_answer(self._answer(event if isinstance(event, Message) else event.message)[0])
                elif isinstance(event, Identified):
                    peer.accept(at)
        if peer.is_over:
            outcome = "stream: closed"
        _check_answers(peer.data_to_send())
        assert peer.unanswered == 0, "each request had its answer"
        return outcome

    def _answer(self, message: Message) -> tuple[bytes, str]:
        if not message.is_request:  # the peer never lets one through; its flags say nothing about what is within
            message.flags |= codes.REQUEST
        if message.command == codes.ACCOUNTING:
            return self._account(message)
        self._reads += 1
        if self._reads % READERS_SHARE == 0:
            self._reader = RequestReader(_NODE)
        read, plain = self._reader.read(message), read_request(message, _NODE)
        if isinstance(read, Fault) or isinstance(plain, Fault):
            assert isinstance(read, Fault), "a layout takes what is refused else"
            return self._config.encoder.fault(message, read), f"fault {read.result_code.name}"
        _check_same(read, plain)
        party_addresses(read)
        request = charging_request(read, NOW_MS, self._config)
        if isinstance(request, Fault):
            return self._config.encoder.fault(message, request), f"refused {request.result_code.name}"
        _check_place(request)
        return credit_control_answer(read, _granted(request), self._config), f"charged {request.kind.name}"

    def _account(self, message: Message) -> tuple[bytes, str]:
        """A record of Rf; what is no record is refused as a whole."""
        acr = read_accounting(message, _NODE)
        request = acr if isinstance(acr, Fault) else accounting_charge(acr, NOW_MS, self._config)
        if isinstance(request, Fault) or isinstance(acr, Fault):
            assert isinstance(request, Fault), "a fault stays one"
            return accounting_fault(message, request, _NODE), f"record, fault {request.result_code.name}"
        _check_place(request)
        result = accounting_result(ChargingAnswer(ChargingStatus.SUCCESS))
        return accounting_answer(acr, result, _NODE, 300), f"record, {request.kind.name}"


def _check_place(request: ChargingRequest) -> None:
    """Whatever the client says of its user's place can be taken apart, and joined with what was known."""
    request.complete()
    origin = origin_of(request.origin, request.peer, request.whereabouts)
    assert all(" " not in fact for fact in origin[2:]), origin
    origin_of("", "", moved("26201 rat:nr", request.whereabouts))


def _granted(request: ChargingRequest) -> ChargingAnswer:
    success = ChargingStatus.SUCCESS
    change_ms = NOW_MS if request.tells_sides else 0
    groups = tuple(
        GroupAnswer(g.key, success, UnitKind.SECONDS, 60, 600, 0, threshold=12, change_at_ms=change_ms)
        for g in request.groups
    )
    return ChargingAnswer(success, groups, 1_000_000, "EUR")


def _check_same(read: CreditControlRequest, plain: CreditControlRequest) -> None:
    """Reading by a learned layout gives what the walk gives."""
    for name in ("session_id", "request_type", "request_number", "user_name", "subscriptions", "requested", "used"):
        assert getattr(read, name) == getattr(plain, name), name
    assert read.fingerprint == plain.fingerprint, "fingerprint"
    assert [(g.rating_group, g.service_ids, g.requested, g.used) for g in read.groups] == [
        (g.rating_group, g.service_ids, g.requested, g.used) for g in plain.groups
    ], "groups"


def _check_answers(data: bytes) -> None:
    at = 0
    while at < len(data):
        length = int.from_bytes(data[at + 1 : at + 4], "big")
        assert length >= HEADER_OCTETS, "an answer holds its own header"
        _check_answer(data[at : at + length])
        at += length
    assert at == len(data), "the answers are whole"


def _check_answer(data: bytes) -> None:
    """What leaves is sound, whatever came in."""
    message = Message(data)
    assert int.from_bytes(data[1:4], "big") == len(data) <= 16 * OCTETS_MAX, "the length"
    assert not message.is_request, "an answer"
    found, _ = message.walk()
    assert codes.RESULT_CODE in found, "Result-Code"
    assert codes.ORIGIN_HOST in found, "Origin-Host"
