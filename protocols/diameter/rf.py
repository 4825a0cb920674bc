"""Base accounting: ACR as a typed record, and its answer (RFC 6733, section 9; TS 32.299, section 6.2, reference point Rf).

What a record counts stands at command level, as totals since its start [B-124]; or within PS-Information, per rating
group, as what was used since the record before (Service-Data-Container). Faults come back as values.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from zlib import crc32

from protocols.diameter import avp, codes
from protocols.diameter.avp import AvpFault
from protocols.diameter.gy import read_subscription
from protocols.diameter.message import Fault, Message, encode_answer, error_answer, proxy_infos, salvage
from protocols.diameter.node import LocalNode
from protocols.diameter.result_codes import is_protocol_error

EVENT_RECORD: Final = 1
START_RECORD: Final = 2
INTERIM_RECORD: Final = 3
STOP_RECORD: Final = 4

_REQUIRED: Final = (
    codes.SESSION_ID,
    codes.ORIGIN_HOST,
    codes.ORIGIN_REALM,
    codes.ACCOUNTING_RECORD_TYPE,
    codes.ACCOUNTING_RECORD_NUMBER,
)
_ACCOUNTING_ID: Final = avp.avp_u32(codes.ACCT_APPLICATION_ID, codes.APPLICATION_ACCOUNTING)


@dataclass(slots=True)
class Container:
    """One Service-Data-Container: what one rating group used since the record before. -1: not said."""

    rating_group: int = -1
    seconds: int = 0
    octets: int = 0


@dataclass(slots=True)
class AccountingRequest:
    """What an ACR says. ``seconds`` and ``octets`` are totals since the start; -1: not said."""

    message: Message
    positions: dict[int, int]
    more: list[tuple[int, int]]
    session_id: str
    origin_host: str
    record_type: int
    record_number: int
    service_context_id: str | None
    sub_session_id: int | None
    event_timestamp: int | None
    user_name: str | None
    seconds: int
    octets: int
    messages: int
    proxies: bytes
    subscriptions: list[tuple[int, str]] = field(default_factory=list)
    containers: list[Container] = field(default_factory=list)

    @property
    def fingerprint(self) -> int:
        return crc32(repr((self.record_type, self.seconds, self.octets, self.containers)).encode())


def read_accounting(message: Message, node: LocalNode) -> AccountingRequest | Fault:
    """Decode an ACR that is meant for this node, or say what the answer to it has to be."""
    try:
        found, more = message.walk()
        frame = message.frame
        refusal = node.refusal(frame, found, more)
        if refusal is not None:
            return refusal
        avp.reject_unknown(frame, found, more)
        for key in _REQUIRED:
            if key not in found:
                raise avp.missing(key)
        return _decode(message, found, more)
    except AvpFault as fault:
        return Fault(fault.result_code, fault.failed_avp, fault.message)


def _decode(message: Message, found: dict[int, int], more: list[tuple[int, int]]) -> AccountingRequest:
    frame = message.frame
    record_type = avp.u32(frame, found[codes.ACCOUNTING_RECORD_TYPE])
    if not EVENT_RECORD <= record_type <= STOP_RECORD:
        raise avp.invalid(frame, found[codes.ACCOUNTING_RECORD_TYPE], "Accounting-Record-Type is 1 to 4")
    octets = [
        avp.u64(frame, found[key])
        for key in (codes.ACCOUNTING_INPUT_OCTETS, codes.ACCOUNTING_OUTPUT_OCTETS)
        if key in found
    ]
    context, user_name = found.get(codes.SERVICE_CONTEXT_ID), found.get(codes.USER_NAME)
    sub_session, at = found.get(codes.ACCOUNTING_SUB_SESSION_ID), found.get(codes.EVENT_TIMESTAMP)
    seconds = found.get(codes.ACCT_SESSION_TIME)
    request = AccountingRequest(
        message,
        found,
        more,
        avp.text(frame, found[codes.SESSION_ID]),
        avp.text(frame, found[codes.ORIGIN_HOST]),
        record_type,
        avp.u32(frame, found[codes.ACCOUNTING_RECORD_NUMBER]),
        avp.text(frame, context) if context is not None else None,
        avp.u64(frame, sub_session) if sub_session is not None else None,
        avp.u32(frame, at) if at is not None else None,
        avp.text(frame, user_name) if user_name is not None else None,
        avp.u32(frame, seconds) if seconds is not None else -1,
        sum(octets) if octets else -1,
        0,
        proxy_infos(frame, found, more),
        [read_subscription(frame, position) for position in _all(codes.SUBSCRIPTION_ID, found, more)],
    )
    if codes.SERVICE_INFORMATION in found:
        _read_service(request, found[codes.SERVICE_INFORMATION])
    return request


def _read_service(request: AccountingRequest, position: int) -> None:
    """The quantities within Service-Information; a broken one is a fault, for it would be lost."""
    frame = request.message.frame
    service, _ = avp.walk(frame, *avp.bounds(frame, position))
    if codes.PS_INFORMATION in service:
        inner, others = avp.walk(frame, *avp.bounds(frame, service[codes.PS_INFORMATION]))
        request.containers += [_container(frame, at) for at in _all(codes.SERVICE_DATA_CONTAINER, inner, others)]
    if codes.SMS_INFORMATION in service:
        inner, _ = avp.walk(frame, *avp.bounds(frame, service[codes.SMS_INFORMATION]))
        if codes.NUMBER_OF_MESSAGES_SENT in inner:
            request.messages = avp.u32(frame, inner[codes.NUMBER_OF_MESSAGES_SENT])


def _container(frame: bytes, position: int) -> Container:
    found, _ = avp.walk(frame, *avp.bounds(frame, position))
    container = Container()
    if codes.RATING_GROUP in found:
        container.rating_group = avp.u32(frame, found[codes.RATING_GROUP])
    if codes.TIME_USAGE in found:
        container.seconds = avp.u32(frame, found[codes.TIME_USAGE])
    for key in (codes.ACCOUNTING_INPUT_OCTETS, codes.ACCOUNTING_OUTPUT_OCTETS):
        if key in found:
            container.octets += avp.u64(frame, found[key])
    return container


def _all(key: int, found: dict[int, int], more: list[tuple[int, int]]) -> list[int]:
    return ([found[key]] if key in found else []) + [at for other, at in more if other == key]


def accounting_answer(
    request: AccountingRequest, result_code: int, node: LocalNode, interim_s: int = 0, error: str = ""
) -> bytes:
    """ACA; ``interim_s`` asks for an INTERIM_RECORD that often [B-125], 0 leaves it to the client."""
    session_id = avp.raw(request.message.frame, request.positions[codes.SESSION_ID])
    body = session_id + _result(result_code, node) + _record(request.record_type, request.record_number)
    if interim_s:
        body += avp.avp_u32(codes.ACCT_INTERIM_INTERVAL, interim_s)
    if error:
        body += avp.avp_text(codes.ERROR_MESSAGE, error, mandatory=False)
    return encode_answer(request.message, body + request.proxies, is_protocol_error(result_code))


def accounting_fault(message: Message, fault: Fault, node: LocalNode) -> bytes:
    """Answer an ACR that could not be decoded, with whatever of it can be given back."""
    if is_protocol_error(fault.result_code):
        return error_answer(message, fault, node.origin)
    try:
        found, _ = message.walk()
        record = _record(
            avp.u32(message.frame, found[codes.ACCOUNTING_RECORD_TYPE]),
            avp.u32(message.frame, found[codes.ACCOUNTING_RECORD_NUMBER]),
        )
    except (AvpFault, KeyError):
        return error_answer(message, fault, node.origin, error=True)
    session_id, proxies = salvage(message)
    return encode_answer(message, session_id + _result(fault.result_code, node) + record + fault.avps() + proxies)


def _result(result_code: int, node: LocalNode) -> bytes:
    return avp.avp_u32(codes.RESULT_CODE, result_code) + node.origin + _ACCOUNTING_ID


def _record(record_type: int, number: int) -> bytes:
    return avp.avp_u32(codes.ACCOUNTING_RECORD_TYPE, record_type) + avp.avp_u32(codes.ACCOUNTING_RECORD_NUMBER, number)
