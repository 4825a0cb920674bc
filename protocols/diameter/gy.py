"""Credit-Control-Request as a typed record (RFC 8506; TS 32.299). Only what charging needs is decoded.

Top-level AVPs are walked once, by position. Service-Information stays octets until a tariff asks for a number in it
(``service_information``). Faults come back as values, in the order of checks of RFC 6733: lengths, route, unknown
AVPs, missing ones, too many, forbidden ones, values.
"""

from __future__ import annotations

from struct import Struct
from typing import Final
from zlib import crc32

from protocols.diameter import avp, codes
from protocols.diameter.avp import AvpFault
from protocols.diameter.message import Fault, Message, proxy_infos
from protocols.diameter.node import LocalNode
from protocols.diameter.result_codes import ResultCode
from protocols.diameter.units import NO_SIDE, UNIT_INDETERMINATE, Money, Units

INITIAL_REQUEST: Final = 1
UPDATE_REQUEST: Final = 2
TERMINATION_REQUEST: Final = 3
EVENT_REQUEST: Final = 4

_U64_UNITS: Final = frozenset(
    {codes.CC_TOTAL_OCTETS, codes.CC_INPUT_OCTETS, codes.CC_OUTPUT_OCTETS, codes.CC_SERVICE_SPECIFIC_UNITS}
)
# What is in the way of a repeat being a repeat: what was asked, and what was reported (not when, nor by which hop).
_FINGERPRINTED: Final = (
    codes.MULTIPLE_SERVICES_CREDIT_CONTROL,
    codes.REQUESTED_SERVICE_UNIT,
    codes.USED_SERVICE_UNIT,
    codes.REQUESTED_ACTION,
)
_ONLY_ONCE: Final = frozenset(
    {codes.SESSION_ID, codes.CC_REQUEST_TYPE, codes.CC_REQUEST_NUMBER, codes.REQUESTED_ACTION}
)
_COMMAND_AVPS: Final = (codes.SESSION_ID, codes.ORIGIN_HOST, codes.CC_REQUEST_TYPE, codes.CC_REQUEST_NUMBER)


# Nearly every subscriber and every time quota has one of two shapes: one unpack in place of a walk. The words are
# code, and flags with length; P and M bits do not matter, the V bit and the length do.
_LENGTH: Final = 0x00FF_FFFF
_SHAPE: Final = 0x80FF_FFFF
_VENDOR_FLAG: Final = 0x8000_0000
_two_avps = Struct(">IIIIIII").unpack_from  # a group's header, a four-octet AVP, the header of the next AVP
_one_avp = Struct(">IIIII").unpack_from  # a group's header and a four-octet AVP


class Mscc:
    """One Multiple-Services-Credit-Control of a request. ``position`` is where it stands in the frame."""

    __slots__ = ("position", "rating_group", "requested", "service_ids", "used")

    def __init__(self, position: int) -> None:
        self.position = position
        self.rating_group = -1
        self.service_ids: tuple[int, ...] = ()
        self.requested: Units | None = None
        self.used: list[Units] = []


class CreditControlRequest:
    """What a CCR says. Values that were not sent are None, or empty."""

    __slots__ = (
        "event_timestamp",
        "fingerprint",
        "groups",
        "message",
        "more",
        "origin_host",
        "positions",
        "proxies",
        "request_number",
        "request_type",
        "requested",
        "requested_action",
        "service_context_id",
        "service_ids",
        "session_id",
        "sub_session_id",
        "subscriptions",
        "termination_cause",
        "used",
        "user_name",
    )

    message: Message
    positions: dict[int, int]
    more: list[tuple[int, int]]
    session_id: str
    origin_host: str
    request_type: int
    request_number: int
    service_context_id: str | None
    sub_session_id: int | None
    requested_action: int | None
    event_timestamp: int | None
    termination_cause: int | None
    user_name: str | None
    subscriptions: list[tuple[int, str]]
    groups: list[Mscc]
    requested: Units | None
    used: list[Units]
    service_ids: tuple[int, ...]
    fingerprint: int
    proxies: bytes

    def all_of(self, key: int) -> list[int]:
        """Where the top-level AVPs of a key stand, in their order."""
        first = self.positions.get(key)
        if first is None:
            return []
        return [first, *(at for other, at in self.more if other == key)] if self.more else [first]


def read_request(message: Message, node: LocalNode) -> CreditControlRequest | Fault:
    """Decode a CCR that is meant for this node, or say what the answer to it has to be."""
    try:
        found, more = message.walk()
        frame = message.frame
        refusal = node.refusal(frame, found, more)
        if refusal is not None:
            return refusal
        avp.reject_unknown(frame, found, more)
        _check_command(frame, found, more)
        return _decode(message, found, more)
    except AvpFault as fault:
        return Fault(fault.result_code, fault.failed_avp, fault.message)


def _check_command(frame: bytes, found: dict[int, int], more: list[tuple[int, int]]) -> None:
    """Required, repeated and forbidden AVPs. Doubled Origin-* are common and harmless."""
    for key in _COMMAND_AVPS:
        if key not in found:
            raise avp.missing(key)
    for key, position in more:
        if key in _ONLY_ONCE:
            raise AvpFault(
                ResultCode.AVP_OCCURS_TOO_MANY_TIMES, avp.raw(frame, position), "the AVP may be there only once"
            )
    if codes.RESULT_CODE in found:
        raise AvpFault(
            ResultCode.AVP_NOT_ALLOWED, avp.raw(frame, found[codes.RESULT_CODE]), "a request has no Result-Code"
        )


def _decode(message: Message, found: dict[int, int], more: list[tuple[int, int]]) -> CreditControlRequest:
    frame = message.frame
    request = CreditControlRequest()
    request.message = message
    request.positions = found
    request.more = more
    request.session_id = avp.text(frame, found[codes.SESSION_ID])
    request.origin_host = avp.text(frame, found[codes.ORIGIN_HOST])
    request.request_type = request_type = avp.u32(frame, found[codes.CC_REQUEST_TYPE])
    if not INITIAL_REQUEST <= request_type <= EVENT_REQUEST:
        raise avp.invalid(frame, found[codes.CC_REQUEST_TYPE], "CC-Request-Type is 1 to 4")
    request.request_number = avp.u32(frame, found[codes.CC_REQUEST_NUMBER])
    # The header says it; clients that say it again have to agree [diameter-base 6].
    if codes.AUTH_APPLICATION_ID in found:
        position = found[codes.AUTH_APPLICATION_ID]
        if avp.u32(frame, position) != message.application_id:
            raise avp.invalid(frame, position, "Auth-Application-Id is not the one of the header")
    request.service_context_id = _text(frame, found.get(codes.SERVICE_CONTEXT_ID))
    request.user_name = _text(frame, found.get(codes.USER_NAME))
    request.event_timestamp = _u32(frame, found.get(codes.EVENT_TIMESTAMP))
    request.sub_session_id = None
    position_sub = found.get(codes.CC_SUB_SESSION_ID)
    if position_sub is not None:
        request.sub_session_id = avp.u64(frame, position_sub)
    request.requested_action = _u32(frame, found.get(codes.REQUESTED_ACTION))
    request.termination_cause = _u32(frame, found.get(codes.TERMINATION_CAUSE))
    request.proxies = proxy_infos(frame, found, more) if codes.PROXY_INFO in found else b""
    request.subscriptions = [read_subscription(frame, at) for at in request.all_of(codes.SUBSCRIPTION_ID)]
    _decode_services(request, frame, found)
    return request


def _decode_services(request: CreditControlRequest, frame: bytes, found: dict[int, int]) -> None:
    """The groups, the single-service style, and the checksum over both."""
    request.groups = [_mscc(frame, at) for at in request.all_of(codes.MULTIPLE_SERVICES_CREDIT_CONTROL)]
    request.requested = None
    request.used = []
    request.service_ids = ()
    if codes.REQUESTED_SERVICE_UNIT in found:
        request.requested = _units(frame, found[codes.REQUESTED_SERVICE_UNIT])
    if codes.USED_SERVICE_UNIT in found:
        request.used = [_units(frame, at) for at in request.all_of(codes.USED_SERVICE_UNIT)]
    if codes.SERVICE_IDENTIFIER in found:
        request.service_ids = tuple(avp.u32(frame, at) for at in request.all_of(codes.SERVICE_IDENTIFIER))
    fingerprint = request.request_type
    for start, end in fingerprinted(request):
        fingerprint = crc32(frame[start:end], fingerprint)
    request.fingerprint = fingerprint


def fingerprinted(request: CreditControlRequest) -> list[tuple[int, int]]:
    """Which octets make the content of a request: what is asked and what is reported."""
    frame = request.message.frame
    return [
        (at, avp.bounds(frame, at)[1])
        for key in _FINGERPRINTED
        if key in request.positions
        for at in request.all_of(key)
    ]


def _text(frame: bytes, position: int | None) -> str | None:
    return None if position is None else avp.text(frame, position)


def _u32(frame: bytes, position: int | None) -> int | None:
    return None if position is None else avp.u32(frame, position)


def read_subscription(frame: bytes, position: int) -> tuple[int, str]:
    """Subscription-Id: its type and data. Types beyond 4 are unknown to us, and they matter: 5004."""
    if len(frame) - position >= 28:
        _, word, code, shape, kind, next_code, next_word = _two_avps(frame, position)
        end = position + (word & _LENGTH)
        data_end = position + 20 + (next_word & _LENGTH)
        if (
            code == codes.SUBSCRIPTION_ID_TYPE
            and next_code == codes.SUBSCRIPTION_ID_DATA
            and shape & _SHAPE == 12
            and word < _VENDOR_FLAG
            and next_word < _VENDOR_FLAG
            and kind <= 4
            and position + 28 <= data_end <= end <= (data_end + 3 & -4)  # padded, or its last padding left out
        ):
            data = frame[position + 28 : data_end]
            if data.isascii():
                return kind, data.decode()
    return _unusual_subscription(frame, position)


def _unusual_subscription(frame: bytes, position: int) -> tuple[int, str]:
    start, end = avp.bounds(frame, position)
    try:
        found, more = avp.walk(frame, start, end)
        avp.reject_unknown(frame, found, more)
        for key in (codes.SUBSCRIPTION_ID_TYPE, codes.SUBSCRIPTION_ID_DATA):
            if key not in found:
                raise avp.missing(key)
        kind = avp.u32(frame, found[codes.SUBSCRIPTION_ID_TYPE])
        if kind > 4:
            raise avp.invalid(frame, found[codes.SUBSCRIPTION_ID_TYPE], "Subscription-Id-Type is 0 to 4")
        return kind, avp.text(frame, found[codes.SUBSCRIPTION_ID_DATA])
    except AvpFault as fault:
        raise fault.inside(frame, position) from None


def _mscc(frame: bytes, position: int) -> Mscc:
    start, end = avp.bounds(frame, position)
    group = Mscc(position)
    try:
        found, more = avp.walk(frame, start, end)
        avp.reject_unknown(frame, found, more)
        if codes.RATING_GROUP in found:
            group.rating_group = avp.u32(frame, found[codes.RATING_GROUP])
        if codes.SERVICE_IDENTIFIER in found:
            group.service_ids = (avp.u32(frame, found[codes.SERVICE_IDENTIFIER]),)
        if codes.REQUESTED_SERVICE_UNIT in found:
            group.requested = _units(frame, found[codes.REQUESTED_SERVICE_UNIT])
        if codes.USED_SERVICE_UNIT in found:
            group.used.append(_units(frame, found[codes.USED_SERVICE_UNIT]))
        for key, at in more:
            if key == codes.USED_SERVICE_UNIT:
                group.used.append(_units(frame, at))
            elif key == codes.SERVICE_IDENTIFIER:
                group.service_ids += (avp.u32(frame, at),)
    except AvpFault as fault:
        raise fault.inside(frame, position) from None
    return group


def _units(frame: bytes, position: int) -> Units:
    if len(frame) - position >= 20:
        _, word, code, shape, value = _one_avp(frame, position)
        if code == codes.CC_TIME and word & _SHAPE == 20 and shape & _SHAPE == 12:
            return Units({code: value})
    return _unusual_units(frame, position)


def _unusual_units(frame: bytes, position: int) -> Units:
    start, end = avp.bounds(frame, position)
    try:
        found, more = avp.walk(frame, start, end)
        avp.reject_unknown(frame, found, more)
        counts = {}
        money = None
        side = NO_SIDE
        for key, at in found.items():
            if key == codes.CC_TIME:
                counts[key] = avp.u32(frame, at)
            elif key in _U64_UNITS:
                counts[key] = avp.u64(frame, at)
            elif key == codes.CC_MONEY:
                money = _money(frame, at)
            elif key == codes.TARIFF_CHANGE_USAGE:
                side = avp.u32(frame, at)
                if side > UNIT_INDETERMINATE:
                    raise avp.invalid(frame, at, "Tariff-Change-Usage is 0 to 2")
        return Units(counts, money, side)
    except AvpFault as fault:
        raise fault.inside(frame, position) from None


def _money(frame: bytes, position: int) -> Money:
    try:
        found, more = avp.walk(frame, *avp.bounds(frame, position))
        avp.reject_unknown(frame, found, more)
        if codes.UNIT_VALUE not in found:
            raise avp.missing(codes.UNIT_VALUE)
        digits, exponent = _unit_value(frame, found[codes.UNIT_VALUE])
        return Money(digits, exponent, _u32(frame, found.get(codes.CURRENCY_CODE)) or 0)
    except AvpFault as fault:
        raise fault.inside(frame, position) from None


def _unit_value(frame: bytes, position: int) -> tuple[int, int]:
    try:
        found, _ = avp.walk(frame, *avp.bounds(frame, position))
        if codes.VALUE_DIGITS not in found:
            raise avp.missing(codes.VALUE_DIGITS)
        exponent = avp.i32(frame, found[codes.EXPONENT]) if codes.EXPONENT in found else 0
        return avp.i64(frame, found[codes.VALUE_DIGITS]), exponent
    except AvpFault as fault:
        raise fault.inside(frame, position) from None
