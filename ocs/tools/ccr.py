"""Credit-control requests as a client makes them, and what their answers say (RFC 8506, TS 32.299)."""

from __future__ import annotations

from typing import Final, NamedTuple

from balance.money import format_amount
from protocols.diameter import avp, codes
from protocols.diameter.gy_answer import units
from protocols.diameter.message import Message
from protocols.diameter.node import LocalNode
from protocols.diameter.result_codes import ResultCode

INITIAL, UPDATE, TERMINATION, EVENT = 1, 2, 3, 4
END_USER_E164: Final = 0
DIRECT_DEBITING: Final = 0
LOGOUT: Final = 1
SMS_CONTEXT: Final = "32274@"
_NTP_TO_UNIX_S: Final = 2_208_988_800  # RFC 6733, section 4.3.1: Time counts from 1900
_COST_SCALE: Final = 9
_UNIT_CODES: Final = (codes.CC_TIME, codes.CC_TOTAL_OCTETS, codes.CC_SERVICE_SPECIFIC_UNITS)


class Asked(NamedTuple):
    """One rating group's part; ``wanted`` 0 leaves the amount to the server, -1 says nothing, as in ``used``."""

    rating_group: int = -1
    wanted: int = -1
    used: int = -1


class Interrogation(NamedTuple):
    """One Credit-Control-Request. Quantities count in ``unit``, an AVP code."""

    session_id: str
    request_type: int
    request_number: int
    context: str
    subscriber: str
    called: str
    at_ms: int
    unit: int
    groups: tuple[Asked, ...]


class Grant(NamedTuple):
    """What one group got; at command level the rating group is -1."""

    rating_group: int
    result_code: int
    granted: int = 0
    is_final: bool = False
    validity_s: int = 0


class Answer(NamedTuple):
    """What an answer says. ``cost`` is a decimal number, where it is told."""

    result_code: int
    grants: tuple[Grant, ...] = ()
    cost: str = ""

    @property
    def least(self) -> int:
        """The command's result, or the first group's that is no success."""
        if self.result_code != ResultCode.SUCCESS:
            return self.result_code
        codes_ = (grant.result_code for grant in self.grants if grant.result_code != ResultCode.SUCCESS)
        return next(codes_, self.result_code)


def request_avps(asked: Interrogation, node: LocalNode, realm: str) -> bytes:
    """The mandatory AVPs of RFC 8506, section 3.1, and what says who, where to and how much."""
    who = avp.avp_u32(codes.SUBSCRIPTION_ID_TYPE, END_USER_E164)
    who += avp.avp_text(codes.SUBSCRIPTION_ID_DATA, asked.subscriber)
    parts = [
        avp.avp_text(codes.SESSION_ID, asked.session_id),
        node.origin,
        avp.avp_text(codes.DESTINATION_REALM, realm),
        avp.avp_u32(codes.AUTH_APPLICATION_ID, codes.APPLICATION_CREDIT_CONTROL),
        avp.avp_text(codes.SERVICE_CONTEXT_ID, asked.context),
        avp.avp_u32(codes.CC_REQUEST_TYPE, asked.request_type),
        avp.avp_u32(codes.CC_REQUEST_NUMBER, asked.request_number),
        avp.avp_u32(codes.EVENT_TIMESTAMP, (asked.at_ms // 1000 + _NTP_TO_UNIX_S) & 0xFFFF_FFFF),
        avp.avp(codes.SUBSCRIPTION_ID, who),
    ]
    if asked.request_type == EVENT:
        parts += [avp.avp_u32(codes.REQUESTED_ACTION, DIRECT_DEBITING)]
        parts += [_quantities(asked.unit, group) for group in asked.groups[:1]]
    else:
        parts += [_group(asked.unit, group) for group in asked.groups]
    if asked.request_type == TERMINATION:
        parts.append(avp.avp_u32(codes.TERMINATION_CAUSE, LOGOUT))
    if asked.called:
        parts.append(_called_sms(asked) if SMS_CONTEXT in asked.context else _called(asked))
    return b"".join(parts)


def read_answer(message: Message) -> Answer:
    """Raises AvpFault when the answer breaks its grammar."""
    frame = message.frame
    found, more = message.walk()
    result_code = avp.u32(frame, found[codes.RESULT_CODE]) if codes.RESULT_CODE in found else 0
    cost = _cost(frame, found[codes.COST_INFORMATION]) if codes.COST_INFORMATION in found else ""
    first = found.get(codes.MULTIPLE_SERVICES_CREDIT_CONTROL)
    places = [] if first is None else [first]
    places += [at for key, at in more if key == codes.MULTIPLE_SERVICES_CREDIT_CONTROL]
    grants = [_grant(frame, avp.walk(frame, *avp.bounds(frame, at))[0], result_code) for at in places]
    if not places and codes.GRANTED_SERVICE_UNIT in found:
        grants = [_grant(frame, found, result_code)]
    return Answer(result_code, tuple(grants), cost)


def name_of(result_code: int) -> str:
    """Such as ``2001 SUCCESS``."""
    known = result_code in ResultCode.__members__.values()
    return f"{result_code} {ResultCode(result_code).name}" if known else str(result_code)


def _group(unit: int, asked: Asked) -> bytes:
    number = avp.avp_u32(codes.RATING_GROUP, asked.rating_group) if asked.rating_group >= 0 else b""
    return avp.avp(codes.MULTIPLE_SERVICES_CREDIT_CONTROL, number + _quantities(unit, asked))


def _quantities(unit: int, asked: Asked) -> bytes:
    parts = b""
    if asked.wanted >= 0:
        parts += avp.avp(codes.REQUESTED_SERVICE_UNIT, units(unit, asked.wanted) if asked.wanted else b"")
    if asked.used >= 0:
        parts += avp.avp(codes.USED_SERVICE_UNIT, units(unit, asked.used))
    return parts


def _called(asked: Interrogation) -> bytes:
    """Service-Information of a call (TS 32.299, section 7.2.77)."""
    called = avp.avp_text(codes.CALLED_PARTY_ADDRESS, f"tel:+{asked.called}")
    calling = avp.avp_text(codes.CALLING_PARTY_ADDRESS, f"tel:+{asked.subscriber}")
    return avp.avp(codes.SERVICE_INFORMATION, avp.avp(codes.IMS_INFORMATION, calling + called))


def _called_sms(asked: Interrogation) -> bytes:
    """Service-Information of a message: the recipient's address (TS 32.299, section 7.2.173)."""
    address = avp.avp(codes.RECIPIENT_ADDRESS, avp.avp_text(codes.ADDRESS_DATA, asked.called))
    return avp.avp(codes.SERVICE_INFORMATION, avp.avp(codes.SMS_INFORMATION, avp.avp(codes.RECIPIENT_INFO, address)))


def _grant(frame: bytes, found: dict[int, int], result_code: int) -> Grant:
    def number(key: int, missing: int) -> int:
        return avp.u32(frame, found[key]) if key in found else missing

    return Grant(
        number(codes.RATING_GROUP, -1),
        number(codes.RESULT_CODE, result_code),
        _granted(frame, found),
        codes.FINAL_UNIT_INDICATION in found,
        number(codes.VALIDITY_TIME, 0),
    )


def _granted(frame: bytes, found: dict[int, int]) -> int:
    if codes.GRANTED_SERVICE_UNIT not in found:
        return 0
    inner, _ = avp.walk(frame, *avp.bounds(frame, found[codes.GRANTED_SERVICE_UNIT]))
    code = next((code for code in _UNIT_CODES if code in inner), None)
    if code is None:
        return 0
    return avp.u32(frame, inner[code]) if code == codes.CC_TIME else avp.u64(frame, inner[code])


def _cost(frame: bytes, position: int) -> str:
    """Cost-Information as a decimal number."""
    found, _ = avp.walk(frame, *avp.bounds(frame, position))
    inner, _ = avp.walk(frame, *avp.bounds(frame, found[codes.UNIT_VALUE]))
    digits = avp.i64(frame, inner[codes.VALUE_DIGITS])
    exponent = avp.i32(frame, inner[codes.EXPONENT]) if codes.EXPONENT in inner else 0
    return format_amount(digits * 10 ** max(exponent + _COST_SCALE, 0), _COST_SCALE)
