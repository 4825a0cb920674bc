"""Rf: accounting records of postpaid traffic to charging requests, and outcomes to result codes.

A record is never refused for want of money: the service has been delivered. Totals at command level are like RADIUS
accounting's; containers per rating group count what was used since the record before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ocs.charging.request import (
    ChargingAnswer,
    ChargingRequest,
    ChargingStatus,
    GroupKey,
    GroupRequest,
    Quantity,
    RequestKind,
)
from ocs.gateways.gy import RESULT_CODES, GyConfig, event_time_ms, parties_of
from ocs.rating.units import UnitKind
from protocols.diameter import avp, codes, rf
from protocols.diameter.message import Fault
from protocols.diameter.result_codes import ResultCode
from protocols.diameter.rf import AccountingRequest, Container
from protocols.diameter.service_details import service_details

PREFIX: Final = "rf:"  # of session keys
_KINDS: Final[Mapping[int, RequestKind]] = {
    rf.EVENT_RECORD: RequestKind.EVENT,
    rf.START_RECORD: RequestKind.INITIAL,
    rf.INTERIM_RECORD: RequestKind.UPDATE,
    rf.STOP_RECORD: RequestKind.TERMINATION,
}
# What could not be stored is OUT_OF_SPACE, so that the client keeps it [B-122].
_CODES: Final[Mapping[ChargingStatus, ResultCode]] = {
    **RESULT_CODES,
    ChargingStatus.UNAVAILABLE: ResultCode.OUT_OF_SPACE,
    ChargingStatus.RATING_FAILED: ResultCode.UNABLE_TO_COMPLY,  # 5031 is credit control's
}


def accounting_charge(acr: AccountingRequest, now_ms: int, config: GyConfig) -> ChargingRequest | Fault:
    """Translate a record, or say what is wrong with it."""
    if acr.service_context_id is None:
        fault = avp.missing(codes.SERVICE_CONTEXT_ID)
        return Fault(fault.result_code, fault.failed_avp, fault.message)
    service = config.service_of(acr.service_context_id)
    if service is None:
        context = avp.raw(acr.message.frame, acr.positions[codes.SERVICE_CONTEXT_ID])
        return Fault(ResultCode.INVALID_AVP_VALUE, context, "the service context is unknown")
    parties = parties_of(acr, service, config)
    kind = _KINDS[acr.record_type]
    sub_session = "" if acr.sub_session_id is None else f"#{acr.sub_session_id}"
    groups = _groups(acr, kind, service)
    return ChargingRequest(
        kind,
        f"{PREFIX}{acr.session_id}{sub_session}",
        acr.record_number,
        parties.identities,
        service,
        event_time_ms(acr.event_timestamp, now_ms),
        groups,
        parties.destination,
        parties.origin,
        fingerprint=acr.fingerprint,
        cumulative=True,
        peer=acr.origin_host,
        duration_from_times=_is_timed(acr, kind, service),
        counts_since_last=bool(acr.containers),
        details=service_details(acr) if kind in {RequestKind.TERMINATION, RequestKind.EVENT} else (),
        whereabouts=parties.whereabouts,
    )


def accounting_result(answer: ChargingAnswer) -> ResultCode:
    """2001 only when the record is durable and all of it was rated [B-122]."""
    failed = next(
        (group.status for group in answer.groups if group.status is not ChargingStatus.SUCCESS), answer.status
    )
    return _CODES[answer.status if answer.status is not ChargingStatus.SUCCESS else failed]


def _groups(acr: AccountingRequest, kind: RequestKind, service: str) -> tuple[GroupRequest, ...]:
    if kind is RequestKind.EVENT:
        count = (Quantity(UnitKind.EVENTS, acr.messages),) if acr.messages else ()
        return (GroupRequest(GroupKey(), count),)
    if acr.containers:
        return _merged(acr.containers)
    used = []
    if acr.seconds >= 0:
        used.append(Quantity(UnitKind.SECONDS, acr.seconds))
    if acr.octets >= 0:
        used.append(Quantity(UnitKind.OCTETS, acr.octets))
    if not used and not _is_timed(acr, kind, service):
        return ()
    return (GroupRequest(GroupKey(), None, tuple(used)),)


def _is_timed(acr: AccountingRequest, kind: RequestKind, service: str) -> bool:
    """Calls whose records count nothing last from their START to this record."""
    ends = kind in {RequestKind.UPDATE, RequestKind.TERMINATION}
    return ends and service == "voice" and acr.seconds < 0 and acr.octets < 0 and not acr.containers


def _merged(containers: list[Container]) -> tuple[GroupRequest, ...]:
    totals: dict[int, tuple[int, int]] = {}
    for each in containers:
        seconds, octets = totals.get(each.rating_group, (0, 0))
        totals[each.rating_group] = (seconds + each.seconds, octets + each.octets)
    return tuple(
        GroupRequest(GroupKey(group), None, (Quantity(UnitKind.SECONDS, seconds), Quantity(UnitKind.OCTETS, octets)))
        for group, (seconds, octets) in totals.items()
    )
