"""RADIUS records to charging requests."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from ocs.charging.request import ChargingRequest, EventAction, GroupKey, Quantity, RequestKind
from ocs.gateways.radius import (
    EVENT_AGE_MS_MAX,
    INTERIM_NUMBER_MAX,
    STOP_NUMBER,
    CloseSessions,
    Profile,
    Uncharged,
    accounting_request,
    authorization_request,
    profile_of,
)
from ocs.gateways.radius_names import authorization_key, class_of_key
from ocs.rating.units import UnitKind
from ocs.settings import Radius, RadiusClient
from protocols.radius.records import AccountingRecord, CallRecord

NOW_MS = 1_700_000_000_000
SOURCE = "192.0.2.9"
START, STOP, INTERIM, ON, OFF, FAILED = 1, 2, 3, 7, 8, 15


def profile(
    account_from: Literal["user-name", "calling-station-id"] = "user-name",
    charged_leg: Literal["answer", "originate", "any"] = "any",
) -> Profile:
    client = RadiusClient(
        name="sbc", networks=(SOURCE,), secret="s3cret", account_from=account_from, charged_leg=charged_leg
    )
    return profile_of(client, Radius(session_max_s=3600, ring_s=180))


def accounting(status: int | None, session_id: str = "s1", **fields: Any) -> AccountingRecord:
    voice = {name.replace("_", "-"): value for name, value in fields.pop("voice", {}).items()}
    values: dict[str, Any] = {
        "user_name": "49151", "called": "442012345", "calling": "49151", "nas": "gw1", "nas_address": "",
        "session_id": session_id, "is_framed": False, "classes": (), "voice": voice,
        "status_type": status, "session_time_s": None, "octets": None, "delay_s": 0, "event_at_ms": None,
        "terminate_cause": 0,
    }  # fmt: skip
    return AccountingRecord(**(values | fields))


def access(session_id: str = "", **fields: Any) -> CallRecord:
    voice = {name.replace("_", "-"): value for name, value in fields.pop("voice", {}).items()}
    values: dict[str, Any] = {
        "user_name": "49151", "called": "442012345", "calling": "49151", "nas": "gw1", "nas_address": "",
        "session_id": session_id, "is_framed": False, "classes": (), "voice": voice,
    }  # fmt: skip
    return CallRecord(**(values | fields))


def charged(status: int, of: Profile | None = None, **fields: Any) -> ChargingRequest:
    request = accounting_request(accounting(status, **fields), of or profile(), SOURCE, NOW_MS)
    assert isinstance(request, ChargingRequest)
    request.complete()
    return request


def authorized(record: CallRecord, nonce: bytes = b"n") -> ChargingRequest:
    return authorization_request(record, profile(), SOURCE, nonce, NOW_MS)


def seconds(value: int) -> Quantity:
    return Quantity(UnitKind.SECONDS, value)


# --- authorization ---


def test_r43_an_access_request_asks_for_all_that_is_affordable() -> None:
    """Up to the longest session, and for as long as a phone may ring beyond the grant."""
    request = authorized(access())
    assert request.kind == RequestKind.INITIAL
    assert request.request_number == 0
    assert request.session_key == authorization_key(access(), "ra:sbc:")
    assert request.identities == ("e164:49151", "name:49151")
    assert (request.service, request.destination, request.origin) == ("voice", "442012345", "49151")
    assert request.all_affordable
    assert not request.cumulative
    assert request.lease_ms == (180 + 60) * 1000
    assert [(group.key, group.requested, group.used) for group in request.groups] == [
        (GroupKey(), (seconds(3600),), None)
    ]


def test_r35_with_an_acct_session_id_the_authorization_bears_the_calls_name() -> None:
    """So the Start finds it without any reference."""
    assert authorized(access("s1")).session_key == charged(START).session_key == "ra:sbc:gw1:s1"


def test_r35_a_repeat_is_the_same_request_and_another_destination_is_not() -> None:
    """Same key and same fingerprint: the core gives the stored answer."""
    first, again, other = authorized(access("s1")), authorized(access("s1"), b"m"), authorized(access("s1", called="1"))
    assert first == again
    assert first.session_key == other.session_key
    assert first.fingerprint != other.fingerprint


@pytest.mark.parametrize(
    ("record", "service"), [(access(called=""), "voice"), (access(is_framed=True, called="internet"), "data")]
)
def test_r48_without_a_destination_the_balance_is_told_and_nothing_reserved(record: CallRecord, service: str) -> None:
    """The first phase of card platforms, and data access: asked anew each time, so each has its own name."""
    request = authorized(record, b"\x01\x02")
    assert (request.kind, request.action) == (RequestKind.EVENT, EventAction.CHECK_BALANCE)
    assert request.groups == ()
    assert (request.service, request.session_key) == (service, "ra:sbc:check:0102")
    assert authorized(record, b"\x03").session_key != request.session_key


def test_numbers_may_be_in_vendor_attributes_only() -> None:
    """FreeSWITCH and Asterisk have no Called-Station-Id, Cisco writes it its own way."""
    for voice in ({"destination": "+44 20"}, {"called_as_received": "ton:0,npi:0,#:4420"}):
        assert authorized(access(called="", voice=voice)).destination == "4420"


# --- accounting ---


def test_start_opens_and_takes_an_authorization_over() -> None:
    """Cumulative from the first record on; the authorization is found by who calls whom."""
    request = charged(START)
    assert (request.kind, request.request_number) == (RequestKind.INITIAL, 0)
    assert request.cumulative
    assert request.all_affordable
    assert request.lease_of == authorization_key(access(), "ra:sbc:")
    assert request.lease_ms == 0
    assert [(group.requested, group.used) for group in request.groups] == [((seconds(3600),), None)]


def test_r44_class_comes_before_everything_else() -> None:
    """Ours among several; one that is not genuine is passed over."""
    ours = class_of_key("ra:sbc:auth:x", b"s3cret")
    assert ours is not None
    forged = class_of_key("ra:sbc:auth:y", b"guess")
    assert forged is not None
    assert charged(START, classes=[b"theirs", forged, ours]).lease_of == "ra:sbc:auth:x"
    assert charged(STOP, classes=[forged]).lease_of == authorization_key(access(), "ra:sbc:")


def test_interim_reports_the_total_and_asks_for_the_rest() -> None:
    """Its number follows from the total, so that a repeat in another packet is the same request [R-60]."""
    request = charged(INTERIM, session_time_s=300)
    assert (request.kind, request.request_number) == (RequestKind.UPDATE, 301)
    assert [(group.requested, group.used) for group in request.groups] == [((seconds(3300),), (seconds(300),))]
    again = charged(INTERIM, session_time_s=300, delay_s=7)
    assert (again.request_number, again.fingerprint) == (request.request_number, request.fingerprint)
    assert charged(INTERIM, session_time_s=0).request_number == 1
    assert charged(INTERIM, session_time_s=2**32 - 1).request_number == INTERIM_NUMBER_MAX


def test_an_interim_beyond_the_longest_session_still_holds_something() -> None:
    """A client that ignores Session-Timeout talks on; until two interims from now it is covered."""
    request = charged(INTERIM, session_time_s=4000)
    assert request.groups[0].requested == (seconds(600),)


def test_an_interim_without_session_time_is_measured_by_the_clock() -> None:
    """Kamailio's in-dialog requests: the event's time names it and tells the duration [R-64]."""
    request = charged(INTERIM, event_at_ms=NOW_MS - 5000)
    assert request.request_number == (NOW_MS - 5000) // 1000
    assert request.duration_from_times
    assert request.groups[0].used == ()


def test_stop_ends_with_the_total_whenever_it_comes() -> None:
    """One number for all Stops of a call: a second one is a repeat, also with other times (statement 25) [R-60]."""
    request = charged(STOP, session_time_s=61, terminate_cause=1)
    assert (request.kind, request.request_number) == (RequestKind.TERMINATION, STOP_NUMBER)
    assert [(group.requested, group.used) for group in request.groups] == [(None, (seconds(61),))]
    assert request.cause == "user request"
    again = charged(STOP, session_time_s=61, delay_s=9, event_at_ms=NOW_MS - 9000)
    assert (again.session_key, again.fingerprint) == (request.session_key, request.fingerprint)


def test_failed_ends_an_attempt_at_no_cost() -> None:
    """And releases its authorization, which it names."""
    request = charged(FAILED, session_time_s=12)
    assert (request.kind, request.request_number) == (RequestKind.TERMINATION, STOP_NUMBER)
    assert request.groups[0].used == (seconds(0),)
    assert not request.duration_from_times
    assert request.lease_of
    assert request.cause == "call attempt failed"


TIMES = {"connect_time": "10:00:00.250 UTC Dec 8 2015", "disconnect_time": "10:01:01.200 UTC Dec 8 2015"}


@pytest.mark.parametrize(
    ("session_time_s", "voice", "used_s"),
    [
        (61, TIMES, 61),
        (0, TIMES, 0),
        (None, TIMES, 61),
        (None, {**TIMES, "disconnect_time": TIMES["connect_time"]}, 0),
        (None, {**TIMES, "disconnect_time": "09:00:00 UTC Dec 8 2015"}, 0),
        (None, {"disconnect_time": TIMES["disconnect_time"]}, 0),
        (None, {"setup_time": "10:00:00 UTC Dec 8 2015"}, 0),
        (None, {"billed_seconds": "42"}, 42),
        (None, {"billed_seconds": "42", "connect_time": "bad", "disconnect_time": "bad"}, 42),
        (None, {"call_duration": "17"}, 17),
        (None, {"billed_seconds": "many"}, None),
        (None, {"connect_time": "bad", "disconnect_time": "bad"}, None),
        (None, {"conf_id": "1 2 3 4"}, None),
        (None, {}, None),
    ],
)
def test_r64_r65_the_duration_comes_from_the_first_source_there_is(
    session_time_s: int | None, voice: dict[str, str], used_s: int | None
) -> None:
    """Acct-Session-Time, connect to disconnect, the switch's own count, else Start to Stop; unanswered is zero."""
    request = charged(STOP, session_time_s=session_time_s, voice=voice)
    assert request.groups[0].used == (() if used_s is None else (seconds(used_s),))
    assert request.duration_from_times is (used_s is None)


@pytest.mark.parametrize(
    ("fields", "at_ms"),
    [
        ({}, NOW_MS),
        ({"delay_s": 30}, NOW_MS - 30_000),
        ({"delay_s": 1_700_000_000}, NOW_MS),
        ({"event_at_ms": NOW_MS - 5_000, "delay_s": 30}, NOW_MS - 5_000),
        ({"event_at_ms": NOW_MS + 300_000}, NOW_MS + 300_000),
        ({"event_at_ms": NOW_MS + 300_001}, NOW_MS),
        ({"event_at_ms": NOW_MS - EVENT_AGE_MS_MAX}, NOW_MS - EVENT_AGE_MS_MAX),
        ({"event_at_ms": NOW_MS - EVENT_AGE_MS_MAX - 1}, NOW_MS),
        ({"event_at_ms": 0}, NOW_MS),
        ({"event_at_ms": NOW_MS - 60_000, "voice": {"call_duration": "45"}}, NOW_MS - 15_000),
        ({"event_at_ms": NOW_MS - 60_000, "voice": {"call_duration": "long"}}, NOW_MS - 60_000),
    ],
)
def test_r68_the_events_time_is_believed_within_reason(fields: dict[str, Any], at_ms: int) -> None:
    """Event-Timestamp, else arrival less the delay; one switch sends an epoch time for a delay."""
    assert charged(STOP, **fields).event_at_ms == at_ms


def test_data_sessions_report_octets_too() -> None:
    """And ask for octets, ours to choose."""
    request = charged(INTERIM, is_framed=True, session_time_s=60, octets=5_000, called="internet")
    assert request.service == "data"
    assert request.destination == ""
    assert not request.all_affordable
    assert request.groups[0].used == (seconds(60), Quantity(UnitKind.OCTETS, 5_000))
    assert request.groups[0].requested == (Quantity(UnitKind.OCTETS, 0),)


def test_media_octets_of_a_call_are_not_its_use() -> None:
    """Cisco gateways count them; a call is charged by time."""
    assert charged(STOP, session_time_s=5, octets=9_999).groups[0].used == (seconds(5),)


@pytest.mark.parametrize(
    ("status", "session_id", "expected"),
    [
        (None, "s1", Uncharged.UNKNOWN_STATUS_TYPE),
        (4, "s1", Uncharged.UNKNOWN_STATUS_TYPE),
        (9, "s1", Uncharged.UNKNOWN_STATUS_TYPE),
        (99, "", Uncharged.UNKNOWN_STATUS_TYPE),
        (STOP, "", Uncharged.NO_SESSION_ID),
    ],
)
def test_r61_authentic_records_that_move_no_money(status: int | None, session_id: str, expected: Uncharged) -> None:
    """They are answered and counted."""
    assert accounting_request(accounting(status, session_id), profile(), SOURCE, NOW_MS) is expected


@pytest.mark.parametrize(
    ("charged_leg", "origin", "suffix"),
    [
        ("any", "answer", ""),
        ("any", "originate", ":originate"),
        ("any", "callback", ""),
        ("answer", "answer", ""),
        ("answer", "inbound", ""),
        ("answer", "originate", None),
        ("answer", "outbound", ""),
        ("answer", "", ""),
        ("originate", "originate", ":originate"),
        ("originate", "answer", None),
    ],
)
def test_r69_one_leg_of_a_call_is_charged(
    charged_leg: Literal["answer", "originate", "any"], origin: str, suffix: str | None
) -> None:
    """A B2BUA reports both legs, perhaps under one Acct-Session-Id: where both count, each has a name of its own."""
    record = accounting(STOP, session_time_s=5, voice={"call_origin": origin})
    request = accounting_request(record, profile(charged_leg=charged_leg), SOURCE, NOW_MS)
    if suffix is None:
        assert request is Uncharged.OTHER_LEG
    else:
        assert isinstance(request, ChargingRequest)
        assert request.session_key == "ra:sbc:gw1:s1" + suffix
        assert request.groups[0].used == (seconds(0 if (charged_leg, origin) == ("answer", "outbound") else 5),)


def test_r69_freeswitch_says_in_the_stop_only_which_leg_it_was() -> None:
    """Each of its legs has its own name, so the Stop of the uncharged one gives its reservation back at no cost."""
    of = profile(charged_leg="answer")
    start = charged(START, of, session_id="uuid-b")
    stop = charged(STOP, of, session_id="uuid-b", session_time_s=61, voice={"call_origin": "outbound"})
    assert stop.session_key == start.session_key
    assert stop.groups[0].used == (seconds(0),)
    interim = accounting(INTERIM, session_time_s=5, voice={"call_origin": "outbound"})
    assert accounting_request(interim, of, SOURCE, NOW_MS) is Uncharged.OTHER_LEG


@pytest.mark.parametrize(
    ("fields", "prefixes"),
    [
        ({"nas": "gw1"}, ("ra:sbc:gw1:",)),
        ({"nas": "gw1", "nas_address": "192.0.2.1"}, ("ra:sbc:gw1:", "ra:sbc:192.0.2.1:")),
        ({"nas": "192.0.2.1", "nas_address": "192.0.2.1"}, ("ra:sbc:192.0.2.1:",)),
        ({"nas": ""}, (f"ra:sbc:{SOURCE}:",)),
    ],
)
def test_r70_on_and_off_close_what_the_gateway_had(fields: dict[str, str], prefixes: tuple[str, ...]) -> None:
    """By its identifier and its address, whichever its calls were named by; what began later stays."""
    record = accounting(ON, "", event_at_ms=NOW_MS - 4000, **fields)
    assert accounting_request(record, profile(), SOURCE, NOW_MS) == CloseSessions(
        prefixes, NOW_MS - 4000, "Accounting-On"
    )
    off = accounting_request(accounting(OFF, "boot-1"), profile(), SOURCE, NOW_MS)
    assert off == CloseSessions(("ra:sbc:gw1:",), NOW_MS, "Accounting-Off")


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        ({"terminate_cause": 5}, "session timeout"),
        ({"terminate_cause": 99}, ""),
        ({"terminate_cause": 1, "voice": {"disconnect_cause": "10"}}, "user request, Q.850 cause 16"),
        ({"voice": {"disconnect_cause": "1F"}}, "Q.850 cause 31"),
        ({"voice": {"disconnect_cause": "?"}}, ""),
        ({"voice": {"disconnect_cause_decimal": "17"}}, "Q.850 cause 17"),
    ],
)
def test_why_the_call_ended_is_kept(fields: dict[str, Any], cause: str) -> None:
    """For whoever reads the record later."""
    assert charged(STOP, session_time_s=1, **fields).cause == cause
