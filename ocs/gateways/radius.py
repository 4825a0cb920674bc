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
from functools import partial
from typing import Final, NamedTuple, TypeAlias

from ocs.charging.cdr import CdrFlag
from ocs.charging.request import (
    ROLE,
    TERMINATING,
    ChargingRequest,
    Details,
    EventAction,
    GroupKey,
    GroupRequest,
    Parties,
    Quantity,
    RequestKind,
)
from ocs.gateways.numbering import PLAIN_NUMBERING, Numbering
from ocs.gateways.radius_names import (
    authorization_key,
    authorizations_prefix,
    client_prefix,
    identities_of,
    key_of_class,
    nas_prefix,
    normal_number,
)
from ocs.gateways.radius_profile import Dialect
from ocs.rating.units import UnitKind
from ocs.settings import Radius, RadiusClient
from protocols.radius import attributes as a
from protocols.radius.h323 import cause_of_decimal, cause_of_hex, dialled_digits, parse_time
from protocols.radius.reading import Field, Reading
from protocols.radius.records import TERMINATE_CAUSES, StatusType, counts_wraps, event_at_ms, is_framed, octets_used

STOP_NUMBER: Final = 2**31 - 1
INTERIM_NUMBER_MAX: Final = STOP_NUMBER - 1
DELAY_S_MAX: Final = 7 * 86_400  # one switch sends an epoch time as Acct-Delay-Time
EVENT_AGE_MS_MAX: Final = 7 * 86_400_000
EVENT_AHEAD_MS_MAX: Final = 300_000
SILENCE_MARGIN_S: Final = 60
OCTETS_WRAP: Final = 2**32
DIFFERENCE_S_MAX: Final = 2  # or a hundredth: what two clocks of one gateway may differ by
SECONDS_MAX: Final = 10 * 366 * 86_400  # one B2BUA's interims bear the wall clock less its uptime: no duration at all
DETAIL_LENGTH_MAX: Final = 253  # what fits one attribute
GATEWAY: Final = "NAS"
"""Among the details of an authorization that has no Acct-Session-Id: which gateway asked, since its key does not say."""

_ONE_GROUP: Final = GroupKey()
_ZERO_SECONDS: Final = (Quantity(UnitKind.SECONDS, 0),)
_ANY_OCTETS: Final = (Quantity(UnitKind.OCTETS, 0),)


class Profile:
    """What the operator said about one client, made ready for use."""

    def __init__(
        self,
        client: RadiusClient,
        secret: bytes,
        prefix: str,
        session_max_s: int,
        lease_ms: int,
        dialect: Dialect,
        charged_leg: str,
        numbering: Numbering = PLAIN_NUMBERING,
    ) -> None:
        self.client: Final = client
        self.secret: Final = secret
        self.prefix: Final = prefix
        self.session_max_s: Final = session_max_s
        self.lease_ms: Final = lease_ms
        self.dialect: Final = dialect
        self.charged_leg: Final = charged_leg
        self.numbering: Final = numbering


def profile_of(
    client: RadiusClient, settings: Radius, dialect: Dialect, numbering: Numbering = PLAIN_NUMBERING
) -> Profile:
    """An authorization waits for as long as a phone may ring, and beyond that for its grant if no Start will come [R-43]."""
    return Profile(
        client,
        client.secret.encode(),
        client_prefix(client),
        settings.session_max_s,
        (settings.ring_s + SILENCE_MARGIN_S) * 1000,
        dialect,
        client.charged_leg or dialect.legs.charged,
        numbering,
    )


class CloseSessions(NamedTuple):
    """Accounting-On or -Off: the gateway's calls that began before ``before_ms`` are over [R-70], and so are, of the keys
    under ``authorizations``, those that one of ``gateways`` asked for.
    """

    prefixes: tuple[str, ...]
    before_ms: int
    cause: str
    authorizations: str
    gateways: tuple[str, ...]


class Uncharged(Enum):
    """An authentic record that moves no money: answered, so that the client stops repeating it, and counted [R-61]."""

    UNKNOWN_STATUS_TYPE = "unknown_status_type"
    NO_SESSION_ID = "no_session_id"
    OTHER_LEG = "other_leg"


AccountingRequest: TypeAlias = ChargingRequest | CloseSessions | Uncharged


# --- authorization ----------------------------------------------------------------------------------------------


def authorization_request(reading: Reading, profile: Profile, nonce: bytes, now_ms: int) -> ChargingRequest:
    """``nonce`` (the Request Authenticator) names a check of the balance, which is asked anew each time."""
    callee = reading.text(Field.CALLEE)
    if not callee or is_framed(reading):
        return _balance_check(reading, profile, nonce, now_ms)
    session_id = reading.text(Field.SESSION)
    caller = reading.text(Field.CALLER)
    content = f"{reading.text(Field.ACCOUNT)}\0{callee}\0{caller}"
    details = details_of(reading, profile) if profile.dialect.kept else ()
    if not session_id:
        details = (*details, (GATEWAY, reading.text(_NAS) or reading.source))
    return ChargingRequest(
        kind=RequestKind.INITIAL,
        session_key=_call_key(reading, profile, session_id)
        if session_id
        else authorization_key(reading, profile.prefix),
        request_number=0,
        identities=identities_of(reading),
        service="voice",
        event_at_ms=now_ms,
        groups=(GroupRequest(_ONE_GROUP, (Quantity(UnitKind.SECONDS, profile.session_max_s),)),),
        destination=_destination(callee, profile),
        origin=_origin(caller, profile),
        fingerprint=zlib.crc32(content.encode()),
        peer=profile.client.name,
        lease_ms=profile.lease_ms,
        all_affordable=True,
        tells_start=profile.dialect.tells_start,
        details=details,
    )


def _balance_check(reading: Reading, profile: Profile, nonce: bytes, now_ms: int) -> ChargingRequest:
    return ChargingRequest(
        kind=RequestKind.EVENT,
        session_key=f"{profile.prefix}check:{nonce.hex()}",
        request_number=0,
        identities=identities_of(reading),
        service="data" if is_framed(reading) else "voice",
        event_at_ms=now_ms,
        groups=(),
        origin=_origin(reading.text(Field.CALLER), profile),
        action=EventAction.CHECK_BALANCE,
        peer=profile.client.name,
    )


# --- accounting -------------------------------------------------------------------------------------------------

_KINDS: Final[dict[int, tuple[RequestKind, int]]] = {
    StatusType.START: (RequestKind.INITIAL, 0),
    StatusType.INTERIM_UPDATE: (RequestKind.UPDATE, -1),  # its number follows from what it says
    StatusType.STOP: (RequestKind.TERMINATION, STOP_NUMBER),
    StatusType.FAILED: (RequestKind.TERMINATION, STOP_NUMBER),
}
_FAILED: Final = StatusType.FAILED
_INITIAL: Final = RequestKind.INITIAL
_TERMINATION: Final = RequestKind.TERMINATION
_DIRECT_DEBITING: Final = EventAction.DIRECT_DEBITING
_SECONDS: Final = UnitKind.SECONDS
_SESSION, _NAS, _LEG, _TAGS, _CAUSE = Field.SESSION, Field.NAS, Field.LEG, Field.TAGS, Field.CAUSE
_SECONDS_FIELD, _CONNECT_TIME, _DISCONNECT_TIME = Field.SECONDS, Field.CONNECT_TIME, Field.DISCONNECT_TIME
_NO_NAMES: Final[tuple[str, ...]] = ()
_ON_OFF: Final = (StatusType.ACCOUNTING_ON, StatusType.ACCOUNTING_OFF)


def accounting_request(reading: Reading, profile: Profile, now_ms: int) -> AccountingRequest:
    """What one record asks of charging; see the table above."""
    status_type = reading.number(a.ACCT_STATUS_TYPE) or 0
    known = _KINDS.get(status_type)
    if known is None:
        is_on_off = status_type in _ON_OFF
        return _close_sessions(reading, profile, status_type, now_ms) if is_on_off else Uncharged.UNKNOWN_STATUS_TYPE
    kind, number = known
    session_id = reading.text(_SESSION)
    if not session_id:
        return Uncharged.NO_SESSION_ID
    leg = _leg(reading, profile) if reading.has(_LEG) else ""
    is_other_leg = bool(leg) and profile.charged_leg not in ("any", leg)
    if is_other_leg and (kind is not _TERMINATION or not profile.dialect.legs.own_sessions):
        return Uncharged.OTHER_LEG
    framed = is_framed(reading)
    used_s = 0 if is_other_leg or status_type == _FAILED else _used_s(reading, kind)
    at_ms = _event_at_ms(reading, profile, used_s if kind is _TERMINATION else None, now_ms)
    group = _group(reading, profile, kind, used_s, is_framed=framed)
    # By position as far as all records have it: a third of the time that keywords take.
    request = ChargingRequest(
        kind,
        _call_key(reading, profile, session_id, leg),
        number if number >= 0 else _interim_number(used_s, at_ms),
        _NO_NAMES,
        "data" if framed else "voice",
        at_ms,
        (group,),
        "",
        "",
        0,  # a repeat is known by its number alone
        _DIRECT_DEBITING,
        True,
        profile.client.name,
    )
    # Who calls whom, and by which authorization, is only asked for a call that is not known yet.
    request.parties = partial(_parties, reading, profile)
    if framed:
        request.octets_wrap = 0 if counts_wraps(reading) else OCTETS_WRAP
    else:
        request.all_affordable = True
        request.duration_from_times = used_s is None and kind is not _INITIAL
    if kind is _TERMINATION:
        request.cause = _cause(reading, profile, status_type)
        request.flags = _flags(reading, used_s, at_ms)
        if profile.dialect.kept:
            request.details = details_of(reading, profile)
    return request


def _parties(reading: Reading, profile: Profile) -> Parties:
    return Parties(
        identities_of(reading),
        "" if is_framed(reading) else _destination(reading.text(Field.CALLEE), profile),
        _origin(reading.text(Field.CALLER), profile),
        _leases_of(reading, profile),
        details_of(reading, profile),
    )


def details_of(reading: Reading, profile: Profile) -> Details:
    """What the profile keeps of a record beside what charging asks for."""
    if not profile.dialect.kept:
        return ()
    found = {}
    for name, source in profile.dialect.kept:
        value = reading.value(source)
        if value and name not in found:
            found[name] = value[:DETAIL_LENGTH_MAX]
    if any(found.get(name, "").lower() in words for name, words in profile.dialect.incoming.items()):
        found[ROLE] = TERMINATING[1]
    return tuple(found.items())


def _group(
    reading: Reading, profile: Profile, kind: RequestKind, used_s: int | None, *, is_framed: bool
) -> GroupRequest:
    """What the record reports, and what to set aside next. A duration from event times is charging's to find."""
    used: tuple[Quantity, ...] | None
    if kind is _INITIAL:
        used = None
    elif used_s is None:
        used = ()
    else:
        used = _ZERO_SECONDS if not used_s else (Quantity(_SECONDS, used_s),)
    if is_framed and used is not None:
        octets = octets_used(reading)
        if octets is not None:
            used += (Quantity(UnitKind.OCTETS, octets),)
    if kind is _TERMINATION:
        return GroupRequest(_ONE_GROUP, None, used)
    return GroupRequest(_ONE_GROUP, _ANY_OCTETS if is_framed else _wanted(profile, used_s or 0), used)


def _wanted(profile: Profile, used_s: int) -> tuple[Quantity, ...]:
    """A call holds all it may still use; one beyond its longest time, as much as until two interims from now."""
    left_s = max(profile.session_max_s - used_s, 2 * profile.client.interim_s, SILENCE_MARGIN_S)
    return (Quantity(_SECONDS, left_s),)


def _used_s(reading: Reading, kind: RequestKind) -> int | None:
    """The call's duration from the first source that exists; None if only the events' times can tell [R-64]."""
    if kind is _INITIAL:
        return None
    seconds = reading.count(_SECONDS_FIELD)
    if seconds is not None and seconds <= SECONDS_MAX:
        return seconds
    lasted_s = _lasted_s(reading)
    if lasted_s is not None and lasted_s <= SECONDS_MAX:
        return lasted_s
    # An h323 record without a connect time is of a call nobody answered, however long it rang.
    is_timed = reading.text(_DISCONNECT_TIME) or reading.text(Field.SETUP_TIME)
    return 0 if is_timed and not reading.text(_CONNECT_TIME) else None


def _event_at_ms(reading: Reading, profile: Profile, used_s: int | None, now_ms: int) -> int:
    """Event-Timestamp, else arrival less Acct-Delay-Time; arrival if that is outside the sane window [R-68].

    ``used_s`` is given for a Stop: one record per call may bear the time of its start.
    """
    at_ms = event_at_ms(reading)
    if at_ms is None:
        delay_s = reading.number(a.ACCT_DELAY_TIME) or 0
        return now_ms - delay_s * 1000 if delay_s <= DELAY_S_MAX else now_ms
    if used_s and profile.dialect.is_stop_at_start:
        at_ms += 1000 * used_s
    return at_ms if now_ms - EVENT_AGE_MS_MAX <= at_ms <= now_ms + EVENT_AHEAD_MS_MAX else now_ms


def _flags(reading: Reading, used_s: int | None, at_ms: int) -> int:
    """What a biller should look at in a Stop [R-64] [R-68]."""
    flags = 0
    said_ms = event_at_ms(reading)
    if said_ms is not None and used_s is None and said_ms != at_ms:
        flags |= CdrFlag.CLOCK_ADJUSTED  # the duration is made of these times
    lasted_s = _lasted_s(reading) if used_s and reading.has(_CONNECT_TIME) else None
    if lasted_s is not None and used_s is not None and abs(lasted_s - used_s) > max(DIFFERENCE_S_MAX, used_s // 100):
        flags |= CdrFlag.DURATIONS_DIFFER
    return flags


def _lasted_s(reading: Reading) -> int | None:
    """From connect to disconnect; a second that began counts."""
    connected, ended = reading.text(_CONNECT_TIME), reading.text(_DISCONNECT_TIME)
    if not connected or not ended:
        return None
    connected_at, ended_at = parse_time(connected), parse_time(ended)
    if connected_at is None or ended_at is None:
        return None
    return max(0, -(-(ended_at.at_ms - connected_at.at_ms) // 1000))


def _interim_number(used_s: int | None, event_at_ms: int) -> int:
    """The same report has the same number: it follows from what has been used, or else from when it was said [R-60]."""
    said = event_at_ms // 1000 if used_s is None else used_s + 1
    return max(1, min(said, INTERIM_NUMBER_MAX))


def _close_sessions(reading: Reading, profile: Profile, status_type: int, now_ms: int) -> CloseSessions:
    names = reading.texts(_NAS) or [reading.source]
    return CloseSessions(
        tuple(nas_prefix(profile.prefix, name) for name in names),
        _event_at_ms(reading, profile, None, now_ms),
        "Accounting-On" if status_type == StatusType.ACCOUNTING_ON else "Accounting-Off",
        authorizations_prefix(profile.prefix),
        tuple(names),
    )


# --- both -------------------------------------------------------------------------------------------------------


def _call_key(reading: Reading, profile: Profile, session_id: str, leg: str = "") -> str:
    key = nas_prefix(profile.prefix, reading.text(_NAS) or reading.source) + session_id
    if reading.has(_TAGS):  # the two change places when the callee hangs up: they are a set
        key = ";".join((key, *sorted(reading.texts(_TAGS))))
    # Where every leg is charged, both legs of a B2BUA may bear the same Acct-Session-Id.
    return key + ":originate" if leg == "originate" and not profile.dialect.legs.own_sessions else key


def _leg(reading: Reading, profile: Profile) -> str:
    """``answer`` is the leg from the customer, ``originate`` the one to the destination; "" if not said."""
    said = reading.text(_LEG)
    return profile.dialect.leg_words.get(said.lower(), "") if said else ""


def _leases_of(reading: Reading, profile: Profile) -> tuple[str, ...]:
    """The authorizations this call may have, the surest first: the one that Class names, the one of the same call, the
    one between the same parties that named no call [R-44].
    """
    signed = (key_of_class(value, profile.secret) for value in reading.packet.values(a.CLASS))
    keys = [key for key in signed if key is not None][:1]
    keys.append(authorization_key(reading, profile.prefix))
    if reading.text(Field.CALL):
        keys.append(authorization_key(reading, profile.prefix, is_named=False))
    return tuple(keys)


def _destination(callee: str, profile: Profile) -> str:
    """The digits to rate, brought to international form where the operator says how this client writes numbers."""
    if not callee:
        return ""
    name, dialled = profile.client.name, dialled_digits(callee)
    return profile.numbering.called(name, dialled) if profile.numbering.knows(name) else normal_number(dialled)


def _origin(caller: str, profile: Profile) -> str:
    name = profile.client.name
    return profile.numbering.calling(name, caller) if profile.numbering.knows(name) else normal_number(caller)


def _cause(reading: Reading, profile: Profile, status_type: int) -> str:
    """Why the call ended, for the record: Acct-Terminate-Cause, and the Q.850 cause where it was said."""
    number = reading.number(a.ACCT_TERMINATE_CAUSE) or 0
    said = TERMINATE_CAUSES[number] if number < len(TERMINATE_CAUSES) else ""
    if status_type == _FAILED:
        said = said or "call attempt failed"
    if not reading.has(_CAUSE):
        return said
    text = reading.text(_CAUSE)
    cause = cause_of_hex(text) if profile.dialect.is_cause_hex else cause_of_decimal(text)
    return said if cause is None else f"{said}, Q.850 cause {cause}".removeprefix(", ")
