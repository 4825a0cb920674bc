"""RADIUS records to charging requests: who, where to, how long so far. Pure; ``radius_reply`` is the way back.

    Access-Request with a destination -> INITIAL, all that is affordable         Accounting Start   -> INITIAL
    Access-Request without one        -> EVENT, check of the balance             Interim-Update     -> UPDATE
                                                                                 Stop, Failed       -> TERMINATION
                                                                                 On, Off            -> CloseSessions
Accounting reports totals, so all its requests are cumulative [R-62].
"""

from __future__ import annotations

import zlib
from enum import Enum
from typing import Final, NamedTuple, TypeAlias

import msgspec

from ocs.charging.request import (
    ChargingRequest,
    EventAction,
    GroupKey,
    GroupRequest,
    Parties,
    Quantity,
    RequestKind,
)
from ocs.gateways.radius_names import (
    authorization_key,
    client_prefix,
    identities_of,
    key_of_class,
    nas_prefix,
    normal_number,
)
from ocs.rating.units import UnitKind
from ocs.settings import Radius, RadiusClient
from protocols.radius.h323 import cause_of_hex, dialled_digits, parse_time
from protocols.radius.records import TERMINATE_CAUSES, AccountingRecord, CallRecord, StatusType

STOP_NUMBER: Final = 2**31 - 1
INTERIM_NUMBER_MAX: Final = STOP_NUMBER - 1
DELAY_S_MAX: Final = 7 * 86_400  # one switch sends an epoch time as Acct-Delay-Time
EVENT_AGE_MS_MAX: Final = 7 * 86_400_000
EVENT_AHEAD_MS_MAX: Final = 300_000
SILENCE_MARGIN_S: Final = 60

_ONE_GROUP: Final = GroupKey()
_ZERO_SECONDS: Final = (Quantity(UnitKind.SECONDS, 0),)
_ANY_OCTETS: Final = (Quantity(UnitKind.OCTETS, 0),)
_LEGS: Final = {"answer": "answer", "inbound": "answer", "originate": "originate", "outbound": "originate"}
# FreeSWITCH's words: its legs have an Acct-Session-Id each, and which leg it was is said in the Stop only.
_LEGS_OF_THEIR_OWN: Final = ("inbound", "outbound")


class Profile(msgspec.Struct, frozen=True):
    """What the operator said about one client, made ready for use."""

    client: RadiusClient
    secret: bytes
    prefix: str
    session_max_s: int
    lease_ms: int


def profile_of(client: RadiusClient, settings: Radius) -> Profile:
    """An authorization outlives its grant by the time a phone may ring [R-43]."""
    return Profile(
        client,
        client.secret.encode(),
        client_prefix(client),
        settings.session_max_s,
        (settings.ring_s + SILENCE_MARGIN_S) * 1000,
    )


class CloseSessions(NamedTuple):
    """Accounting-On or -Off: the gateway's calls that began before ``before_ms`` are over [R-70]."""

    prefixes: tuple[str, ...]
    before_ms: int
    cause: str


class Uncharged(Enum):
    """An authentic record that moves no money: answered, so that the client stops repeating it, and counted [R-61]."""

    UNKNOWN_STATUS_TYPE = "unknown_status_type"
    NO_SESSION_ID = "no_session_id"
    OTHER_LEG = "other_leg"


AccountingRequest: TypeAlias = ChargingRequest | CloseSessions | Uncharged


# --- authorization ----------------------------------------------------------------------------------------------


def authorization_request(
    record: CallRecord, profile: Profile, source: str, nonce: bytes, now_ms: int
) -> ChargingRequest:
    """``nonce`` (the Request Authenticator) names a check of the balance, which is asked anew each time."""
    destination = _destination(record)
    if record.is_framed or not destination:
        return _balance_check(record, profile, nonce, now_ms)
    key = _call_key(record, profile, source) if record.session_id else authorization_key(record, profile.prefix)
    content = f"{record.user_name}\0{record.called}\0{record.calling}"
    return ChargingRequest(
        kind=RequestKind.INITIAL,
        session_key=key,
        request_number=0,
        identities=identities_of(record, profile.client.account_from),
        service="voice",
        event_at_ms=now_ms,
        groups=(GroupRequest(_ONE_GROUP, (Quantity(UnitKind.SECONDS, profile.session_max_s),)),),
        destination=destination,
        origin=normal_number(record.calling),
        fingerprint=zlib.crc32(content.encode()),
        peer=profile.client.name,
        lease_ms=profile.lease_ms,
        all_affordable=True,
    )


def _balance_check(record: CallRecord, profile: Profile, nonce: bytes, now_ms: int) -> ChargingRequest:
    return ChargingRequest(
        kind=RequestKind.EVENT,
        session_key=f"{profile.prefix}check:{nonce.hex()}",
        request_number=0,
        identities=identities_of(record, profile.client.account_from),
        service="data" if record.is_framed else "voice",
        event_at_ms=now_ms,
        groups=(),
        origin=normal_number(record.calling),
        action=EventAction.CHECK_BALANCE,
        peer=profile.client.name,
    )


# --- accounting -------------------------------------------------------------------------------------------------


def accounting_request(record: AccountingRecord, profile: Profile, source: str, now_ms: int) -> AccountingRequest:
    """``source`` is the address the packet came from: the gateway's name when the record gives none."""
    match record.status_type:
        case StatusType.START:
            kind, number = RequestKind.INITIAL, 0
        case StatusType.INTERIM_UPDATE:
            kind, number = RequestKind.UPDATE, -1
        case StatusType.STOP | StatusType.FAILED:
            kind, number = RequestKind.TERMINATION, STOP_NUMBER
        case StatusType.ACCOUNTING_ON | StatusType.ACCOUNTING_OFF:
            return _close_sessions(record, profile, source, now_ms)
        case _:
            return Uncharged.UNKNOWN_STATUS_TYPE
    if not record.session_id:
        return Uncharged.NO_SESSION_ID
    is_other_leg = _is_other_leg(record, profile.client.charged_leg)
    if is_other_leg and (kind != RequestKind.TERMINATION or _origin(record) not in _LEGS_OF_THEIR_OWN):
        return Uncharged.OTHER_LEG
    event_at_ms = _event_at_ms(record, now_ms)
    group, needs_times = _group(record, profile, kind)
    if is_other_leg:  # what its Start may have reserved is given back
        group, needs_times = GroupRequest(_ONE_GROUP, None, _ZERO_SECONDS), False
    if number < 0:
        number = _interim_number(record, event_at_ms)
    return ChargingRequest(
        kind=kind,
        session_key=_call_key(record, profile, source),
        request_number=number,
        identities=(),
        service="data" if record.is_framed else "voice",
        event_at_ms=event_at_ms,
        groups=(group,),
        fingerprint=_fingerprint(kind, group),
        cumulative=True,
        peer=profile.client.name,
        cause=_cause(record) if kind == RequestKind.TERMINATION else "",
        duration_from_times=needs_times,
        all_affordable=not record.is_framed,
        # Who calls whom, and by which authorization, is only asked for a call that is not known yet.
        parties=lambda: _parties(record, profile),
    )


def _parties(record: AccountingRecord, profile: Profile) -> Parties:
    return Parties(
        identities_of(record, profile.client.account_from),
        "" if record.is_framed else _destination(record),
        normal_number(record.calling or record.voice.get("caller-account", "")),
        _lease_of(record, profile),
    )


def _group(record: AccountingRecord, profile: Profile, kind: RequestKind) -> tuple[GroupRequest, bool]:
    """What the record reports and what to set aside next; and whether the duration has to come from event times."""
    if kind == RequestKind.INITIAL:
        return GroupRequest(_ONE_GROUP, _wanted(record, profile, 0)), False
    if record.status_type == StatusType.FAILED:
        return GroupRequest(_ONE_GROUP, None, _ZERO_SECONDS), False
    used_s = _used_s(record)
    used: tuple[Quantity, ...] = () if used_s is None else (Quantity(UnitKind.SECONDS, used_s),)
    if record.is_framed and record.octets is not None:
        used += (Quantity(UnitKind.OCTETS, record.octets),)
    wanted = None if kind == RequestKind.TERMINATION else _wanted(record, profile, used_s or 0)
    return GroupRequest(_ONE_GROUP, wanted, used), used_s is None and not record.is_framed


def _wanted(record: AccountingRecord, profile: Profile, used_s: int) -> tuple[Quantity, ...]:
    """A call holds all it may still use; one beyond its longest time, as much as until two interims from now."""
    if record.is_framed:
        return _ANY_OCTETS
    left_s = max(profile.session_max_s - used_s, 2 * profile.client.interim_s, SILENCE_MARGIN_S)
    return (Quantity(UnitKind.SECONDS, left_s),)


def _used_s(record: AccountingRecord) -> int | None:
    """The call's duration from the first source that exists; None if only the events' times can tell [R-64]."""
    if record.session_time_s is not None:
        return record.session_time_s
    voice = record.voice
    if not voice:
        return None
    connected, ended = voice.get("connect-time"), voice.get("disconnect-time")
    if connected and ended:
        connected_at, ended_at = parse_time(connected), parse_time(ended)
        if connected_at is not None and ended_at is not None:
            return max(0, -(-(ended_at.at_ms - connected_at.at_ms) // 1000))  # a second that began counts
    for name in ("billed-seconds", "call-duration"):
        seconds = _whole_number(voice.get(name, ""))
        if seconds is not None:
            return seconds
    # An h323 record without a connect time is of a call nobody answered, however long it rang.
    return 0 if not connected and (ended or "setup-time" in voice) else None


def _whole_number(text: str) -> int | None:
    return int(text[:10]) if text.isascii() and text.isdigit() else None


def _event_at_ms(record: AccountingRecord, now_ms: int) -> int:
    """Event-Timestamp, else arrival less Acct-Delay-Time; arrival if that is outside the sane window [R-68]."""
    at_ms = record.event_at_ms
    if at_ms is None:
        return now_ms - record.delay_s * 1000 if record.delay_s <= DELAY_S_MAX else now_ms
    if record.session_time_s is None and record.voice and record.status_type == StatusType.STOP:
        # OpenSIPS' one record per call bears the time of its start.
        at_ms += 1000 * (_whole_number(record.voice.get("call-duration", "")) or 0)
    return at_ms if now_ms - EVENT_AGE_MS_MAX <= at_ms <= now_ms + EVENT_AHEAD_MS_MAX else now_ms


def _interim_number(record: AccountingRecord, event_at_ms: int) -> int:
    """The same report has the same number: it follows from what has been used, or else from when it was said [R-60]."""
    said = event_at_ms // 1000 if record.session_time_s is None else record.session_time_s + 1
    return max(1, min(said, INTERIM_NUMBER_MAX))


def _fingerprint(kind: RequestKind, group: GroupRequest) -> int:
    return zlib.crc32(repr((int(kind), [(int(q.kind), q.value) for q in group.used or ()])).encode())


def _close_sessions(record: AccountingRecord, profile: Profile, source: str, now_ms: int) -> CloseSessions:
    names = dict.fromkeys(name for name in (record.nas, record.nas_address) if name) or {source: None}
    is_on = record.status_type == StatusType.ACCOUNTING_ON
    return CloseSessions(
        tuple(nas_prefix(profile.prefix, name) for name in names),
        _event_at_ms(record, now_ms),
        "Accounting-On" if is_on else "Accounting-Off",
    )


# --- both -------------------------------------------------------------------------------------------------------


def _call_key(record: CallRecord, profile: Profile, source: str) -> str:
    key = nas_prefix(profile.prefix, record.nas or source) + record.session_id
    # Where every leg is charged, both legs of a B2BUA may bear the same Acct-Session-Id.
    return key + ":originate" if record.voice and _origin(record) == "originate" else key


def _origin(record: CallRecord) -> str:
    return record.voice.get("call-origin", "").lower()


def _leg(record: CallRecord) -> str:
    """``answer`` is the leg from the customer, ``originate`` the one to the destination; "" if not said."""
    return _LEGS.get(_origin(record), "")


def _is_other_leg(record: CallRecord, charged_leg: str) -> bool:
    leg = _leg(record) if record.voice else ""
    return bool(leg) and charged_leg not in ("any", leg)


def _lease_of(record: AccountingRecord, profile: Profile) -> str:
    """The authorization this call may have: the one Class names, else the one that fits it [R-44]."""
    for value in record.classes:
        key = key_of_class(value, profile.secret)
        if key is not None:
            return key
    return authorization_key(record, profile.prefix)


def _destination(record: CallRecord) -> str:
    voice = record.voice
    called = record.called
    if not called and voice:
        called = voice.get("destination", "") or dialled_digits(voice.get("called-as-received", ""))
    return normal_number(called) if called else ""


def _cause(record: AccountingRecord) -> str:
    """Why the call ended, for the record: Acct-Terminate-Cause, and the Q.850 cause where it was said."""
    said = TERMINATE_CAUSES[record.terminate_cause] if record.terminate_cause < len(TERMINATE_CAUSES) else ""
    if record.status_type == StatusType.FAILED:
        said = said or "call attempt failed"
    hexadecimal = record.voice.get("disconnect-cause")
    cause = cause_of_hex(hexadecimal) if hexadecimal else None
    if cause is None:
        cause = _whole_number(record.voice.get("disconnect-cause-decimal", ""))
    return said if cause is None else f"{said}, Q.850 cause {cause}".removeprefix(", ")
