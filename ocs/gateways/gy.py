"""Gy and Ro: credit-control requests to charging requests, charging answers to credit-control answers.

Pure translation. What the request asks is in ``gy_units``; here is who, what, when, and the table of results.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from functools import partial
from typing import Final

from balance.money import Currency
from ocs.charging.request import (
    TERMINATING,
    ChargingAnswer,
    ChargingRequest,
    ChargingStatus,
    EventAction,
    GroupAnswer,
    Parties,
    RequestKind,
)
from ocs.gateways.addresses import nai_identity, number_identity, sip_identities
from ocs.gateways.gy_terms import Terms
from ocs.gateways.gy_units import NO_CURRENCY, UNIT_CODES, UnitsFault, group_requests
from ocs.gateways.numbering import PLAIN_NUMBERING, Numbering
from ocs.rating.units import UnitKind
from ocs.rating.whereabouts import whereabouts_of
from ocs.settings import CreditControl, Settings
from protocols.diameter import avp, codes, gy_answer
from protocols.diameter.final_units import FINAL_UNIT_TERMINATE, FinalUnit, final_unit
from protocols.diameter.gy import CreditControlRequest
from protocols.diameter.gy_answer import AnswerEncoder
from protocols.diameter.message import Fault
from protocols.diameter.node import LocalNode
from protocols.diameter.result_codes import ResultCode
from protocols.diameter.service_details import service_details
from protocols.diameter.service_information import Asking, party_addresses, subscriptions

# RFC 8506, section 9; for the whole request and for one group alike.
RESULT_CODES: Final[Mapping[ChargingStatus, ResultCode]] = {
    ChargingStatus.SUCCESS: ResultCode.SUCCESS,
    ChargingStatus.USER_UNKNOWN: ResultCode.USER_UNKNOWN,
    ChargingStatus.SERVICE_DENIED: ResultCode.END_USER_SERVICE_DENIED,
    ChargingStatus.CREDIT_LIMIT_REACHED: ResultCode.CREDIT_LIMIT_REACHED,
    ChargingStatus.FREE: ResultCode.CREDIT_CONTROL_NOT_APPLICABLE,
    ChargingStatus.RATING_FAILED: ResultCode.RATING_FAILED,
    ChargingStatus.SESSION_UNKNOWN: ResultCode.UNKNOWN_SESSION_ID,
    ChargingStatus.CONTRADICTION: ResultCode.UNABLE_TO_COMPLY,
    ChargingStatus.INVALID_VALUE: ResultCode.INVALID_AVP_VALUE,
    ChargingStatus.UNAVAILABLE: ResultCode.TOO_BUSY,  # the client tries another server, or its failure handling
    ChargingStatus.TOO_BUSY: ResultCode.TOO_BUSY,
    ChargingStatus.INTERNAL_FAULT: ResultCode.UNABLE_TO_COMPLY,
    ChargingStatus.DESTINATION_BARRED: ResultCode.AUTHORIZATION_REJECTED,
    ChargingStatus.TOO_MANY_CALLS: ResultCode.END_USER_SERVICE_DENIED,
}
assert RESULT_CODES.keys() == set(ChargingStatus), "every outcome has its code"

# Looking up a member of an enumeration costs as much as some whole steps here: the frequent ones are looked up once.
_CODES: Final = tuple(int(RESULT_CODES.get(status, 0)) for status in range(len(ChargingStatus) + 1))  # type: ignore[call-overload]
_SUCCESS: Final = ChargingStatus.SUCCESS
_RATING_FAILED: Final = ChargingStatus.RATING_FAILED
_MONEY: Final = int(UnitKind.MONEY)
_KINDS: Final = (RequestKind.INITIAL, *RequestKind)  # by CC-Request-Type, which has been checked
_EVENT: Final = RequestKind.EVENT
_INITIAL: Final = RequestKind.INITIAL
_UPDATE: Final = RequestKind.UPDATE
_TERMINATION: Final = RequestKind.TERMINATION
_DIRECT_DEBITING: Final = EventAction.DIRECT_DEBITING
_NO_NAMES: Final[tuple[str, ...]] = ()

PREFIX: Final = "gy:"  # of session keys
_EVENT_REQUEST: Final = int(RequestKind.EVENT)
SESSION_ID_OCTETS_MAX: Final = 1024
_CONTEXTS_MAX: Final = 1000
_NTP_TO_UNIX_S: Final = 2_208_988_800
_NTP_ERA_S: Final = 1 << 32
_PAST_MAX_MS: Final = 24 * 3600 * 1000
_EVENT_PAST_MAX_MS: Final = 7 * _PAST_MAX_MS  # clients buffer direct debits while no server answers (statement 102)
_FUTURE_MAX_MS: Final = 5 * 60 * 1000

_CALLED: Final = (TERMINATING,)
_RECORDED: Final = frozenset({RequestKind.TERMINATION, RequestKind.EVENT})
_OPENING: Final = frozenset({RequestKind.INITIAL, RequestKind.EVENT})

_TERMINATION_CAUSES: Final = {
    1: "logout",
    2: "service-not-provided",
    3: "bad-answer",
    4: "administrative",
    5: "link-broken",
    6: "auth-expired",
    7: "user-moved",
    8: "session-timeout",
}


class GyConfig:
    """What translation needs to know of the operator: services by context, currencies by their numbers."""

    __slots__ = ("_known", "_services", "currencies", "currencies_by_number", "encoder", "numbering", "terms")

    def __init__(
        self,
        node: LocalNode,
        services: Mapping[str, str],
        currencies: Mapping[str, Currency],
        settings: CreditControl | None = None,
        numbering: Numbering = PLAIN_NUMBERING,
    ) -> None:
        self._services = {context.lower(): service for context, service in services.items()}
        self._known: dict[str, str | None] = {}
        self.currencies = dict(currencies)
        self.currencies_by_number = {currency.numeric: currency for currency in currencies.values()}
        settings = settings if settings is not None else CreditControl()
        if settings.currency in currencies:
            self.currencies_by_number[NO_CURRENCY] = currencies[settings.currency]
        self.terms = Terms(settings)
        self.encoder = AnswerEncoder(node, self.terms.opening)
        self.numbering = numbering

    def service_of(self, context: str) -> str | None:
        """The service of a Service-Context-Id such as ``ext.01.001.8.32260@3gpp.org``.

        Its last label and domain decide, whatever the case (TS 32.299, section 7.1.12); operators' own contexts may
        also be written out in full.
        """
        if context not in self._known:
            if len(self._known) >= _CONTEXTS_MAX:
                self._known.clear()
            lower = context.lower()
            label, at, domain = lower.rpartition("@")
            service = self._services.get(f"{label.rpartition('.')[2]}{at}{domain}")
            self._known[context] = service if service is not None else self._services.get(lower)
        return self._known[context]


def currency_fault(settings: Settings, currencies: Collection[str]) -> str:
    """What is wrong with the currency of money that names none; "" if nothing is."""
    code = settings.credit_control.currency
    if not code or code in currencies:
        return ""
    return f"credit_control.currency: {code!r} is not in currencies.toml (one of {', '.join(sorted(currencies))}, or nothing)"


def charging_request(ccr: CreditControlRequest, now_ms: int, config: GyConfig) -> ChargingRequest | Fault:
    """Translate a request, or say what is wrong with it."""
    if ccr.service_context_id is None:
        return _missing(codes.SERVICE_CONTEXT_ID)
    service = config.service_of(ccr.service_context_id)
    if service is None:
        return Fault(ResultCode.RATING_FAILED, _raw(ccr, codes.SERVICE_CONTEXT_ID), "the service context is unknown")
    if len(ccr.session_id) > SESSION_ID_OCTETS_MAX:
        return Fault(ResultCode.INVALID_AVP_VALUE, _raw(ccr, codes.SESSION_ID), "the Session-Id is too long")
    kind = _KINDS[ccr.request_type]
    action = _DIRECT_DEBITING
    if kind is _EVENT:
        if ccr.requested_action is None:
            return _missing(codes.REQUESTED_ACTION)
        if ccr.requested_action > EventAction.PRICE_ENQUIRY:
            return Fault(ResultCode.INVALID_AVP_VALUE, _raw(ccr, codes.REQUESTED_ACTION), "Requested-Action is 0 to 3")
        action = EventAction(ccr.requested_action)
    parties: Parties | None = None
    if kind in _OPENING:
        parties = parties_of(ccr, service, config)
        if not parties.identities:
            return _missing(codes.SUBSCRIPTION_ID)
    try:
        groups, currency = group_requests(ccr, kind, action, config.currencies_by_number)
    except UnitsFault as found:
        fault = found.fault
        if not fault.failed_avp:  # no single AVP is wrong, but their sum
            fault.failed_avp = _reports(ccr)
        return fault
    # By position, and the rest only where there is any: a third of the time that keywords take.
    request = ChargingRequest(
        kind,
        _session_key(ccr),
        ccr.request_number,
        _NO_NAMES if parties is None else parties.identities,
        service,
        event_time_ms(ccr.event_timestamp, now_ms, _EVENT_PAST_MAX_MS if kind is _EVENT else _PAST_MAX_MS),
        groups,
        "" if parties is None else parties.destination,
        "" if parties is None else parties.origin,
        ccr.fingerprint,
        action,
        False,
        ccr.origin_host,
    )
    request.currency = currency
    if parties is None:
        request.parties = partial(parties_of, ccr, service, config)
    else:
        request.whereabouts = parties.whereabouts
        request.details = parties.details
    if kind is not _UPDATE or ccr.sub_session_id is not None or config.terms.clients:
        _complete(request, ccr, config)
    return request


def _complete(request: ChargingRequest, ccr: CreditControlRequest, config: GyConfig) -> None:
    """What an ordinary update does not have."""
    kind = request.kind
    if ccr.termination_cause is not None:
        request.cause = _cause(ccr.termination_cause)
    if request.action is EventAction.REFUND_ACCOUNT:
        request.refund_of = _refund_of(ccr)
    if kind in _RECORDED:  # where a record is written: they would make every update of a session longer
        request.details = service_details(ccr)
    if ccr.sub_session_id is not None:
        request.is_sub, request.main_key = True, f"{PREFIX}{ccr.session_id}" if kind is _INITIAL else ""
    if config.terms.clients:
        request.tells_sides = config.terms.client(ccr.origin_host).tariff_time_change


def _session_key(ccr: CreditControlRequest) -> str:
    sub_session = "" if ccr.sub_session_id is None else f"#{ccr.sub_session_id}"
    return f"{PREFIX}{ccr.session_id}{sub_session}"


def _refund_of(ccr: CreditControlRequest) -> str:
    """The key of the debit that is to be refunded, as we gave it: in the first MSCC or at command level; else ""."""
    frame = ccr.message.frame
    found = ccr.positions
    if ccr.groups:
        found, _ = avp.walk(frame, *avp.bounds(frame, ccr.groups[0].position))
    position = found.get(codes.REFUND_INFORMATION, ccr.positions.get(codes.REFUND_INFORMATION))
    if position is None:
        return ""
    return PREFIX + avp.octets(frame, position).decode("utf-8", "replace")


def credit_control_answer(ccr: CreditControlRequest, answer: ChargingAnswer, config: GyConfig) -> bytes:
    """Write the answer in the style of the request: units within MSCCs, or at command level [G-33]."""
    status = answer.status
    if status is not _SUCCESS:
        return config.encoder.answer(ccr, _CODES[status], _echo(ccr) + _failed(ccr, answer))
    if not ccr.groups and answer.groups:
        group = answer.groups[0]
        body = _echo(ccr) + _quota(ccr, group, answer, config) + _extras(ccr, answer, config)
        return config.encoder.answer(ccr, _CODES[group.status], body + _failed(ccr, answer))
    services = b""
    for group in answer.groups:
        services += _mscc(ccr, group, answer, config)
    return config.encoder.answer(ccr, _CODES[_SUCCESS], _echo(ccr) + services + _extras(ccr, answer, config))


def event_time_ms(ntp_s: int | None, now_ms: int, past_max_ms: int = _PAST_MAX_MS) -> int:
    """The event's time at the client if it is sane, else now.

    Values with the top bit clear count from 2036 on (RFC 5905): Diameter time does not end there.
    """
    if ntp_s is None:
        return now_ms
    unix_s = ntp_s - _NTP_TO_UNIX_S + (0 if ntp_s >> 31 else _NTP_ERA_S)
    event_ms = unix_s * 1000
    return event_ms if now_ms - past_max_ms <= event_ms <= now_ms + _FUTURE_MAX_MS else now_ms


def wire_time_s(at_ms: int) -> int:
    """An instant as Diameter writes it: seconds since 1900 in 32 bits, which wrap in 2036 (RFC 6733, section 4.3.1)."""
    return (at_ms // 1000 + _NTP_TO_UNIX_S) % _NTP_ERA_S


def parties_of(request: Asking, service: str, config: GyConfig) -> Parties:
    """Who is charged, who calls whom, and where the user roams."""
    destination, origin, place, is_called = party_addresses(request)
    terms, numbering, peer = config.terms, config.numbering, request.origin_host
    return Parties(
        _identities(request, terms.data_order if service == "data" else terms.order),
        numbering.called(peer, destination),
        numbering.calling(peer, origin),
        details=_CALLED if is_called else (),
        whereabouts=whereabouts_of(*place),
    )


def _identities(ccr: Asking, order: tuple[int, ...]) -> tuple[str, ...]:
    """Whom to charge, best name first [gy-ro 15]. User-Name comes last: it is often a device's own name."""
    found: list[tuple[int, str]] = ccr.subscriptions or subscriptions(ccr)
    if len(found) > 1:
        found = sorted((item for item in found if item[0] in order), key=lambda item: order.index(item[0]))
    names: dict[str, None] = {}
    for kind, data in found:
        for name in _names(kind, data):
            names[name] = None
    if ccr.user_name:
        names[nai_identity(ccr.user_name)] = None
    return tuple(names)


def _names(kind: int, data: str) -> Iterable[str]:
    if kind == 0:
        return (number_identity(data),)
    if kind == 1:
        return (f"imsi:{data}",)
    if kind == 2:
        return sip_identities(data)
    return (nai_identity(data),) if kind == 3 else (f"private:{data}",)


def _cause(value: int) -> str:
    return _TERMINATION_CAUSES.get(value, f"termination-cause-{value}")


def _mscc(ccr: CreditControlRequest, group: GroupAnswer, answer: ChargingAnswer, config: GyConfig) -> bytes:
    result_code = _CODES[group.status]
    key = group.key
    if group.kind == _MONEY or ccr.request_type == _EVENT_REQUEST:
        quota = _quota(ccr, group, answer, config)
        if group is answer.groups[0]:
            quota += _name_of_debit(ccr, answer)
        return gy_answer.mscc_of(key.rating_group, key.service_ids, result_code, quota)
    return gy_answer.mscc(
        key.rating_group,
        key.service_ids,
        result_code,
        UNIT_CODES[group.kind] if group.granted > 0 else 0,
        group.granted,
        group.validity_s,
        _final(ccr, group, config) if group.final >= 0 else b"",
        group.threshold,
        config.terms.holding,
        group.granted_s,
        wire_time_s(group.change_at_ms) if group.change_at_ms else 0,
    )


def _final(ccr: CreditControlRequest, group: GroupAnswer, config: GyConfig) -> bytes:
    knows_successor = bool(config.terms.clients) and config.terms.client(ccr.origin_host).qos_final_unit
    handling = group.handling
    if handling is None:
        return final_unit(FinalUnit(group.final), knows_successor) if knows_successor else FINAL_UNIT_TERMINATE
    unit = FinalUnit(group.final, handling.redirect, handling.filter_rules, handling.filter_ids)
    return final_unit(unit, knows_successor)


def _quota(ccr: CreditControlRequest, group: GroupAnswer, answer: ChargingAnswer, config: GyConfig) -> bytes:
    """A grant with its conditions. A grant of nothing is none: clients take a zero for a failure."""
    unit_code = UNIT_CODES[group.kind] if group.granted > 0 else 0
    final = _final(ccr, group, config) if group.final >= 0 else b""
    if group.kind != _MONEY or group.granted <= 0:
        holding = config.terms.holding
        return gy_answer.grant(
            unit_code,
            group.granted,
            group.validity_s,
            final,
            group.threshold,
            holding,
            group.granted_s,
            wire_time_s(group.change_at_ms) if group.change_at_ms else 0,
        )
    money = _money(codes.CC_MONEY, group.granted, answer.currency, config)
    granted = avp.avp(codes.GRANTED_SERVICE_UNIT, money) if money else b""
    return granted + gy_answer.conditions(unit_code, group.validity_s, final, group.threshold)


def _extras(ccr: CreditControlRequest, answer: ChargingAnswer, config: GyConfig) -> bytes:
    """Failed-AVP of groups that no tariff knows, cost at the end, the answer to a balance check, the warning."""
    extras = b""
    for group in answer.groups:
        if group.status is _RATING_FAILED and ccr.groups:
            extras += _failed(ccr, answer)
            break
    if ccr.request_type >= _TERMINATION or config.terms.tells_more:
        extras += _told(ccr, answer, config)
    if answer.check_balance >= 0:
        extras += avp.avp_u32(codes.CHECK_BALANCE_RESULT, answer.check_balance)
    if answer.low_balance:
        # Without the M bit: who does not know the warning must not throw the answer away for it.
        extras += avp.avp_u32(codes.LOW_BALANCE_INDICATION, 1, mandatory=False)
    return extras


def _told(ccr: CreditControlRequest, answer: ChargingAnswer, config: GyConfig) -> bytes:
    """Cost-Information, Remaining-Balance, and the name by which a debit at command level can be refunded."""
    told = b""
    if (ccr.request_type >= _TERMINATION or config.terms.tells_cost) and answer.check_balance < 0:
        told += _money(codes.COST_INFORMATION, answer.cost, answer.currency, config)
    if config.terms.tells_balance:
        # Without the M bit, like the low-balance warning.
        told += _money(codes.REMAINING_BALANCE, answer.available, answer.currency, config, mandatory=False)
    return told if ccr.groups else told + _name_of_debit(ccr, answer)


def _name_of_debit(ccr: CreditControlRequest, answer: ChargingAnswer) -> bytes:
    """Refund-Information: a refund gives it back [G-81]. It is a member of the MSCC (TS 32.299, 7.1.9), and stands at
    command level where the units do; without the M bit, since at that level only we know it.
    """
    is_debit = ccr.request_type == _EVENT_REQUEST and ccr.requested_action == _DIRECT_DEBITING
    if not is_debit or answer.cost <= 0:
        return b""
    return avp.avp(codes.REFUND_INFORMATION, _session_key(ccr).removeprefix(PREFIX).encode(), mandatory=False)


def _money(key: int, amount: int, currency_code: str, config: GyConfig, mandatory: bool = True) -> bytes:
    currency = config.currencies.get(currency_code)
    return b"" if currency is None else gy_answer.money(key, amount, -currency.scale, currency.numeric, mandatory)


def _echo(ccr: CreditControlRequest) -> bytes:
    return b"" if ccr.sub_session_id is None else avp.avp_u64(codes.CC_SUB_SESSION_ID, ccr.sub_session_id)


def _failed(ccr: CreditControlRequest, answer: ChargingAnswer) -> bytes:
    """Failed-AVP where the code demands it: what no tariff knows (5031), or what cannot be (5004)."""
    statuses = {answer.status, *(group.status for group in answer.groups)}
    if ChargingStatus.RATING_FAILED in statuses:
        unrated = [group.key.rating_group for group in answer.groups if group.status is ChargingStatus.RATING_FAILED]
        if answer.status is ChargingStatus.RATING_FAILED and not unrated:
            unrated = [group.rating_group for group in ccr.groups]
        named = [avp.avp_u32(codes.RATING_GROUP, rating_group) for rating_group in unrated if rating_group >= 0]
        return gy_answer.failed(*(named or [_raw(ccr, codes.SERVICE_CONTEXT_ID)]))
    if answer.status is ChargingStatus.INVALID_VALUE and ccr.groups:
        return gy_answer.failed(avp.raw(ccr.message.frame, ccr.groups[0].position))
    return b""


def _reports(ccr: CreditControlRequest) -> bytes:
    """The groups or reports of which the sum cannot be."""
    positions = ccr.all_of(codes.MULTIPLE_SERVICES_CREDIT_CONTROL) or ccr.all_of(codes.USED_SERVICE_UNIT)
    return b"".join(avp.raw(ccr.message.frame, at) for at in positions)


def _missing(key: int) -> Fault:
    fault = avp.missing(key)
    return Fault(fault.result_code, fault.failed_avp, fault.message)


def _raw(ccr: CreditControlRequest, key: int) -> bytes:
    return avp.raw(ccr.message.frame, ccr.positions[key])
