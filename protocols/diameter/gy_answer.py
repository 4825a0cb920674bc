"""Credit-Control-Answers from prebuilt parts (RFC 8506, section 3.2).

Whatever the result, an answer without the E bit has Auth-Application-Id, CC-Request-Type and CC-Request-Number:
strict clients call it malformed otherwise, and drop it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from struct import Struct
from types import MappingProxyType
from typing import Final

from protocols.diameter import avp, codes
from protocols.diameter.avp import AvpFault
from protocols.diameter.gy import EVENT_REQUEST, INITIAL_REQUEST, CreditControlRequest
from protocols.diameter.message import HEADER_OCTETS, VERSION, Fault, Message, encode_answer, error_answer, salvage
from protocols.diameter.node import LocalNode
from protocols.diameter.result_codes import ResultCode, is_protocol_error

_NOTHING: Final[Mapping[int, bytes]] = MappingProxyType({})
_HEADER: Final = Struct(">IIIII").pack
_REQUEST_NUMBER: Final = Struct(">III").pack
_MANDATORY_12: Final = codes.MANDATORY_BIT << 24 | 12
_CREDIT_CONTROL_ID: Final = avp.avp_u32(codes.AUTH_APPLICATION_ID, codes.APPLICATION_CREDIT_CONTROL)


class AnswerEncoder:
    """Writes the answers of one node."""

    __slots__ = ("_node", "_prefixes")

    def __init__(self, node: LocalNode, additions: Mapping[int, bytes] = _NOTHING) -> None:
        """``additions``, by CC-Request-Type, are AVPs that each successful answer of that type has."""
        self._node = node
        # Result-Code, Origin-*, Auth-Application-Id, CC-Request-Type: the same for all requests of a type.
        self._prefixes: dict[tuple[int, int], bytes] = {
            (int(result_code), request_type): b"".join(
                (
                    avp.avp_u32(codes.RESULT_CODE, result_code),
                    node.origin,
                    _CREDIT_CONTROL_ID,
                    avp.avp_u32(codes.CC_REQUEST_TYPE, request_type),
                    additions.get(request_type, b"") if result_code is ResultCode.SUCCESS else b"",
                )
            )
            for result_code in ResultCode
            for request_type in range(INITIAL_REQUEST, EVENT_REQUEST + 1)
        }

    def answer(self, request: CreditControlRequest, result_code: int, avps: bytes = b"") -> bytes:
        """Answer a decoded request; ``avps`` follow the mandatory ones."""
        message = request.message
        frame = message.frame
        prefix = self._prefixes[result_code, request.request_type]
        number = _REQUEST_NUMBER(codes.CC_REQUEST_NUMBER, _MANDATORY_12, request.request_number)
        body = avp.raw(frame, request.positions[codes.SESSION_ID]) + prefix + number + avps + request.proxies
        flags = message.flags & codes.PROXIABLE | (codes.ERROR if 3000 <= result_code < 4000 else 0)
        return (
            _HEADER(
                VERSION << 24 | HEADER_OCTETS + len(body),
                flags << 24 | message.command,
                message.application_id,
                message.hop_by_hop,
                message.end_to_end,
            )
            + body
        )

    def fault(self, message: Message, fault: Fault) -> bytes:
        """Answer a request that could not be decoded, with whatever of it can be given back."""
        if is_protocol_error(fault.result_code):
            return error_answer(message, fault, self._node.origin)
        copied = _request_type_and_number(message)
        if copied is None:  # the command's own grammar cannot be met: the generic one, with E (RFC 6733, 7.2)
            return error_answer(message, fault, self._node.origin, error=True)
        session_id, proxies = salvage(message)
        result = avp.avp_u32(codes.RESULT_CODE, fault.result_code)
        return encode_answer(
            message, session_id + result + self._node.origin + _CREDIT_CONTROL_ID + copied + fault.avps() + proxies
        )


def _request_type_and_number(message: Message) -> bytes | None:
    """CC-Request-Type and CC-Request-Number as they came, if both are sound."""
    try:
        found, _ = message.walk()
        request_type = avp.u32(message.frame, found[codes.CC_REQUEST_TYPE])
        number = avp.u32(message.frame, found[codes.CC_REQUEST_NUMBER])
    except (AvpFault, KeyError):
        return None
    return avp.avp_u32(codes.CC_REQUEST_TYPE, request_type) + avp.avp_u32(codes.CC_REQUEST_NUMBER, number)


def units(code: int, value: int) -> bytes:
    """One member of a service unit: CC-Time has 32 bits, all the others 64."""
    return avp.avp_u32(code, value) if code == codes.CC_TIME else avp.avp_u64(code, value)


def money(key: int, digits: int, exponent: int, currency_code: int, mandatory: bool = True) -> bytes:
    """CC-Money, Cost-Information or Remaining-Balance: {Unit-Value {Value-Digits, Exponent}, Currency-Code}, without idle zeros."""
    while exponent < 0 and digits % 10 == 0:
        digits, exponent = digits // 10, exponent + 1
    value = avp.avp_i64(codes.VALUE_DIGITS, digits) + avp.avp_i32(codes.EXPONENT, exponent)
    members = avp.avp(codes.UNIT_VALUE, value) + avp.avp_u32(codes.CURRENCY_CODE, currency_code)
    return avp.avp(key, members, mandatory)


@lru_cache(maxsize=8192)
def grant(
    unit_code: int,
    granted: int,
    validity_s: int,
    final: bytes,
    threshold: int,
    holding: bytes = b"",
    granted_s: int = 0,
    change_s: int = 0,
) -> bytes:
    """Granted-Service-Unit, Validity-Time, Final-Unit-Indication, threshold and Quota-Holding-Time.

    ``final`` and ``holding`` are ready AVPs, or empty; ``granted_s`` is CC-Time beside another unit, 0 for none; ``change_s``
    is when the price changes, in seconds of the wire's epoch, or 0. The same few grants go out all the time, so they are kept.
    """
    granted_unit = b""
    if unit_code:
        beside = avp.avp_u32(codes.TARIFF_TIME_CHANGE, change_s) if change_s else b""
        beside += units(codes.CC_TIME, granted_s) if granted_s else b""
        granted_unit = avp.avp(codes.GRANTED_SERVICE_UNIT, beside + units(unit_code, granted))
    return granted_unit + conditions(unit_code, validity_s, final, threshold) + (holding if unit_code else b"")


def conditions(unit_code: int, validity_s: int, final: bytes, threshold: int) -> bytes:
    """What goes with a grant, or stands in its place: validity, final unit, threshold."""
    found = avp.avp_u32(codes.VALIDITY_TIME, validity_s) if validity_s > 0 else b""
    found += final
    if threshold > 0 and unit_code in _THRESHOLDS:
        # The volume threshold has 32 bits although quotas have 64 (TS 32.299, section 7.2).
        found += avp.avp_u32(_THRESHOLDS[unit_code], min(threshold, 0xFFFF_FFFF))
    return found


_THRESHOLDS: Final = {
    codes.CC_TIME: codes.TIME_QUOTA_THRESHOLD,
    codes.CC_TOTAL_OCTETS: codes.VOLUME_QUOTA_THRESHOLD,
    codes.CC_SERVICE_SPECIFIC_UNITS: codes.UNIT_QUOTA_THRESHOLD,
}


@lru_cache(maxsize=8192)
def mscc(
    rating_group: int,
    service_ids: tuple[int, ...],
    result_code: int,
    unit_code: int,
    granted: int,
    validity_s: int,
    final: bytes,
    threshold: int,
    holding: bytes = b"",
    granted_s: int = 0,
    change_s: int = 0,
) -> bytes:
    """One Multiple-Services-Credit-Control of an answer, with the identity of the request's [G-21] and its result."""
    quota = grant(unit_code, granted, validity_s, final, threshold, holding, granted_s, change_s)
    return avp.avp(codes.MULTIPLE_SERVICES_CREDIT_CONTROL, quota + _identity(rating_group, service_ids, result_code))


def mscc_of(rating_group: int, service_ids: tuple[int, ...], result_code: int, quota: bytes) -> bytes:
    """The same around ready AVPs (a grant of money)."""
    return avp.avp(codes.MULTIPLE_SERVICES_CREDIT_CONTROL, quota + _identity(rating_group, service_ids, result_code))


def _identity(rating_group: int, service_ids: tuple[int, ...], result_code: int) -> bytes:
    services = b"".join(avp.avp_u32(codes.SERVICE_IDENTIFIER, service_id) for service_id in service_ids)
    group = avp.avp_u32(codes.RATING_GROUP, rating_group) if rating_group >= 0 else b""
    return services + group + avp.avp_u32(codes.RESULT_CODE, result_code)


def failed(*offending: bytes) -> bytes:
    """Failed-AVP around the offending AVPs."""
    return avp.avp(codes.FAILED_AVP, b"".join(offending))
