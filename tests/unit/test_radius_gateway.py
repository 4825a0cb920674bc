"""RADIUS records to charging requests."""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

import msgspec
import pytest

from ocs.charging.cdr import CdrFlag
from ocs.charging.request import TERMINATING, ChargingRequest, EventAction, GroupKey, Quantity, RequestKind
from ocs.errors import StartRefusedError
from ocs.gateways.numbering import PLAIN_NUMBERING, Numbering
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
from ocs.gateways.radius_products import Products, load_products
from ocs.gateways.radius_profile import read_profile
from ocs.rating.faults import FaultList
from ocs.rating.units import UnitKind
from ocs.settings import NumberingEntry, Radius, RadiusClient
from protocols.radius.packet import Packet, decode
from protocols.radius.reading import Field, Reader, Reading
from tests.wire.radius_packets import CONFIG, dictionary, named

NOW_MS = 1_700_000_000_000
SOURCE = "192.0.2.9"
START, STOP, INTERIM, ON, OFF, FAILED = 1, 2, 3, 7, 8, 15


@cache
def products() -> Products:
    return load_products(CONFIG, Radius())


def profile(
    name: str = "generic",
    charged_leg: Literal["", "answer", "originate", "any"] = "",
    account_from: str = "",
    *,
    numbering: Numbering = PLAIN_NUMBERING,
    reader: Reader | None = None,
) -> Profile:
    client = RadiusClient(
        name="sbc", networks=(SOURCE,), secret="s3cret", charged_leg=charged_leg, profile=name,
        account_from=(account_from,) if account_from else (),
    )  # fmt: skip
    dialect = products().dialect_of(client)
    if reader is not None:
        dialect = msgspec.structs.replace(dialect, reader=reader)
    return profile_of(client, Radius(session_max_s=3600, ring_s=180), dialect, numbering)


PARTIES: dict[str, Any] = {
    "User-Name": "49151", "Called-Station-Id": "442012345", "Calling-Station-Id": "49151", "NAS-Identifier": "gw1",
}  # fmt: skip


def packet_of(values: dict[str, Any], code: int) -> Packet:
    octets = named({name: value for name, value in values.items() if value is not None})
    return decode(bytes((code, 1)) + (20 + len(octets)).to_bytes(2, "big") + bytes(16) + octets)


def accounting(status: int | None, of: Profile, session_id: str = "s1", **values: Any) -> Reading:
    fields = {name.replace("_", "-"): value for name, value in values.items()}
    whole = {**PARTIES, "Acct-Session-Id": session_id or None, "Acct-Status-Type": status, **fields}
    return of.dialect.reader.open(packet_of(whole, 4), SOURCE)


def access(session_id: str = "", of: Profile | None = None, **values: Any) -> Reading:
    fields = {name.replace("_", "-"): value for name, value in values.items()}
    packet = packet_of({**PARTIES, "Acct-Session-Id": session_id or None, **fields}, 1)
    return (of or profile()).dialect.reader.open(packet, SOURCE)


def charged(status: int, of: Profile | None = None, **values: Any) -> ChargingRequest:
    of = of or profile()
    request = accounting_request(accounting(status, of, **values), of, NOW_MS)
    assert isinstance(request, ChargingRequest)
    request.complete()
    return request


def authorized(reading: Reading, nonce: bytes = b"n") -> ChargingRequest:
    return authorization_request(reading, profile(), nonce, NOW_MS)


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
    first, again, other = (
        authorized(access("s1")),
        authorized(access("s1"), b"m"),
        authorized(access("s1", Called_Station_Id="1")),
    )
    assert first == again
    assert first.session_key == other.session_key
    assert first.fingerprint != other.fingerprint


@pytest.mark.parametrize(
    ("values", "service"), [({"Called_Station_Id": None}, "voice"), ({"Framed_Protocol": 1}, "data")]
)
def test_r48_without_a_destination_the_balance_is_told_and_nothing_reserved(
    values: dict[str, Any], service: str
) -> None:
    """The first phase of card platforms, and data access: asked anew each time, so each has its own name."""
    record = access(**values)
    request = authorized(record, b"\x01\x02")
    assert (request.kind, request.action) == (RequestKind.EVENT, EventAction.CHECK_BALANCE)
    assert request.groups == ()
    assert (request.service, request.session_key) == (service, "ra:sbc:check:0102")
    assert authorized(record, b"\x03").session_key != request.session_key


def test_numbers_may_be_in_vendor_attributes_only() -> None:
    """FreeSWITCH and Asterisk have no Called-Station-Id, Cisco writes it its own way."""
    for of, name, said in (("freeswitch", "Freeswitch-Dst", "+44 20"), ("cisco", "gw-rxd-cdn", "ton:0,npi:0,#:4420")):
        record = access(of=profile(of), Called_Station_Id=None, **{name: said})
        assert authorized(record).destination == "4420"


# --- accounting ---


def test_start_opens_and_takes_an_authorization_over() -> None:
    """Cumulative from the first record on; the authorization is found by who calls whom."""
    request = charged(START)
    assert (request.kind, request.request_number) == (RequestKind.INITIAL, 0)
    assert request.cumulative
    assert request.all_affordable
    assert request.leases == (authorization_key(access(), "ra:sbc:"),)
    assert request.lease_ms == 0
    assert [(group.requested, group.used) for group in request.groups] == [((seconds(3600),), None)]


def test_r44_class_comes_before_everything_else() -> None:
    """Ours among several; one that is not genuine is passed over."""
    ours = class_of_key("ra:sbc:auth:x", b"s3cret")
    assert ours is not None
    forged = class_of_key("ra:sbc:auth:y", b"guess")
    assert forged is not None
    assert charged(START, Class=["theirs", f"0x{forged.hex()}", f"0x{ours.hex()}"]).leases[0] == "ra:sbc:auth:x"
    assert charged(STOP, Class=f"0x{forged.hex()}").leases == (authorization_key(access(), "ra:sbc:"),)


def test_interim_reports_the_total_and_asks_for_the_rest() -> None:
    """Its number follows from the total, so that a repeat in another packet is the same request [R-60]."""
    request = charged(INTERIM, Acct_Session_Time=300)
    assert (request.kind, request.request_number) == (RequestKind.UPDATE, 301)
    assert [(group.requested, group.used) for group in request.groups] == [((seconds(3300),), (seconds(300),))]
    again = charged(INTERIM, Acct_Session_Time=300, Acct_Delay_Time=7)
    assert (again.request_number, again.fingerprint) == (request.request_number, request.fingerprint)
    assert charged(INTERIM, Acct_Session_Time=0).request_number == 1
    late = INTERIM_NUMBER_MAX + 100
    by_time = accounting_request(accounting(INTERIM, profile(), Event_Timestamp=late), profile(), 1000 * late)
    assert isinstance(by_time, ChargingRequest)
    assert by_time.request_number == INTERIM_NUMBER_MAX, "beyond 2038 a Stop still has the highest number"


def test_an_interim_beyond_the_longest_session_still_holds_something() -> None:
    """A client that ignores Session-Timeout talks on; until two interims from now it is covered."""
    request = charged(INTERIM, Acct_Session_Time=4000)
    assert request.groups[0].requested == (seconds(600),)


def test_an_interim_without_session_time_is_measured_by_the_clock() -> None:
    """Kamailio's in-dialog requests: the event's time names it and tells the duration [R-64]."""
    request = charged(INTERIM, Event_Timestamp=(NOW_MS - 5000) // 1000)
    assert request.request_number == (NOW_MS - 5000) // 1000
    assert request.duration_from_times
    assert request.groups[0].used == ()


def test_numbers_are_read_as_this_client_writes_them() -> None:
    """A German PBX dials nationally and with a technical prefix; other clients' numbers stay as they come."""
    entry = NumberingEntry(clients=("sbc",), region="DE", plain="national", tech_prefixes=("1234#",))
    of = profile(numbering=Numbering.of([entry]))
    said: dict[str, Any] = {"Called_Station_Id": "1234#0301234567", "Calling_Station_Id": "089654321"}
    request = charged(START, of, **said)
    assert (request.destination, request.origin) == ("49301234567", "4989654321")
    assert charged(START, **said).origin == "089654321"


def test_r74_ids_have_case() -> None:
    """R-74: "Call-1" and "call-1" are two calls."""
    one, other = (charged(START, Acct_Session_Id=name).session_key for name in ("Call-1", "call-1"))
    assert one != other


def test_stop_ends_with_the_total_whenever_it_comes() -> None:
    """One number for all Stops of a call: a second one is a repeat, also with other times (statement 25) [R-60]."""
    request = charged(STOP, Acct_Session_Time=61, Acct_Terminate_Cause=1)
    assert (request.kind, request.request_number) == (RequestKind.TERMINATION, STOP_NUMBER)
    assert [(group.requested, group.used) for group in request.groups] == [(None, (seconds(61),))]
    assert request.cause == "user request"
    again = charged(STOP, Acct_Session_Time=61, Acct_Delay_Time=9, Event_Timestamp=(NOW_MS - 9000) // 1000)
    assert (again.session_key, again.fingerprint) == (request.session_key, request.fingerprint)


def test_failed_ends_an_attempt_at_no_cost() -> None:
    """And releases its authorization, which it names."""
    request = charged(FAILED, Acct_Session_Time=12)
    assert (request.kind, request.request_number) == (RequestKind.TERMINATION, STOP_NUMBER)
    assert request.groups[0].used == (seconds(0),)
    assert not request.duration_from_times
    assert request.leases
    assert request.cause == "call attempt failed"


TIMES = {"h323-connect-time": "10:00:00.250 UTC Dec 8 2015", "h323-disconnect-time": "10:01:01.200 UTC Dec 8 2015"}
CONNECTED, ENDED = TIMES.values()


@pytest.mark.parametrize(
    ("of", "values", "used_s"),
    [
        ("cisco", {"Acct-Session-Time": 61, **TIMES}, 61),
        ("cisco", {"Acct-Session-Time": 0, **TIMES}, 0),
        ("cisco", TIMES, 61),
        ("cisco", {"Acct-Session-Time": 1_795_633_093, **TIMES}, 61),
        (
            "sippy",
            {"Acct-Session-Time": 1_795_633_093, **TIMES, "h323-disconnect-time": "10:00:00 GMT Oct 20 2083"},
            None,
        ),
        ("cisco", {**TIMES, "h323-disconnect-time": CONNECTED}, 0),
        ("cisco", {**TIMES, "h323-disconnect-time": "09:00:00 UTC Dec 8 2015"}, 0),
        ("cisco", {"h323-disconnect-time": ENDED}, 0),
        ("cisco", {"h323-setup-time": "10:00:00 UTC Dec 8 2015"}, 0),
        ("asterisk", {"Asterisk-Bill-Sec": 42}, 42),
        ("asterisk", {"Asterisk-Bill-Sec": '"a minute"'}, None),
        ("opensips", {"Sip-Call-Duration": 17}, 17),
        ("cisco", {"h323-connect-time": "bad", "h323-disconnect-time": "bad"}, None),
        ("cisco", {"h323-conf-id": "1 2 3 4"}, None),
        ("cisco", {}, None),
    ],
)
def test_r64_r65_the_duration_comes_from_the_first_source_there_is(
    of: str, values: dict[str, Any], used_s: int | None
) -> None:
    """What the profile names, connect to disconnect, else Start to Stop; unanswered is zero."""
    request = charged(STOP, profile(of), **values)
    assert request.groups[0].used == (() if used_s is None else (seconds(used_s),))
    assert request.duration_from_times is (used_s is None)


NOW_S = NOW_MS // 1000


@pytest.mark.parametrize(
    ("values", "at_ms"),
    [
        ({}, NOW_MS),
        ({"Acct-Delay-Time": 30}, NOW_MS - 30_000),
        ({"Acct-Delay-Time": 1_700_000_000}, NOW_MS),
        ({"Event-Timestamp": NOW_S - 5, "Acct-Delay-Time": 30}, NOW_MS - 5_000),
        ({"Event-Timestamp": f'"{NOW_S - 5}.5"'}, NOW_MS - 4_500),
        ({"Event-Timestamp": NOW_S + 300}, NOW_MS + 300_000),
        ({"Event-Timestamp": NOW_S + 301}, NOW_MS),
        ({"Event-Timestamp": NOW_S - EVENT_AGE_MS_MAX // 1000}, NOW_MS - EVENT_AGE_MS_MAX),
        ({"Event-Timestamp": NOW_S - EVENT_AGE_MS_MAX // 1000 - 1}, NOW_MS),
        ({"Event-Timestamp": 0}, NOW_MS),
        ({"Event-Timestamp": NOW_S - 60, "Sip-Call-Duration": 45}, NOW_MS - 15_000),
    ],
)
def test_r68_the_events_time_is_believed_within_reason(values: dict[str, Any], at_ms: int) -> None:
    """Event-Timestamp, else arrival less the delay; one switch sends an epoch time for a delay, and OpenSIPS' one
    record per call bears the time of its start.
    """
    assert charged(STOP, profile("opensips"), **values).event_at_ms == at_ms


def test_data_sessions_report_octets_too() -> None:
    """And ask for octets, ours to choose."""
    request = charged(INTERIM, Framed_Protocol=1, Acct_Session_Time=60, Acct_Input_Octets=5_000)
    assert request.service == "data"
    assert request.destination == ""
    assert not request.all_affordable
    assert request.groups[0].used == (seconds(60), Quantity(UnitKind.OCTETS, 5_000))
    assert request.groups[0].requested == (Quantity(UnitKind.OCTETS, 0),)


def test_media_octets_of_a_call_are_not_its_use() -> None:
    """Cisco gateways count them; a call is charged by time."""
    assert charged(STOP, Acct_Session_Time=5, Acct_Input_Octets=9_999).groups[0].used == (seconds(5),)


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
    assert accounting_request(accounting(status, profile(), session_id), profile(), NOW_MS) is expected


@pytest.mark.parametrize(
    ("of", "charged_leg", "origin", "suffix"),
    [
        ("cisco", "any", "answer", ""),
        ("cisco", "any", "originate", ":originate"),
        ("cisco", "any", "callback", ""),
        ("cisco", "", "answer", ""),
        ("cisco", "", "originate", None),
        ("cisco", "", '""', ""),
        ("cisco", "originate", "originate", ":originate"),
        ("cisco", "originate", "h323-call-origin=answer", None),
        ("generic", "", "originate", ":originate"),
        ("freeswitch", "", "inbound", ""),
        ("freeswitch", "", "outbound", ""),
        ("freeswitch", "any", "outbound", ""),
    ],
)
def test_r69_one_leg_of_a_call_is_charged(
    of: str, charged_leg: Literal["", "answer", "originate", "any"], origin: str, suffix: str | None
) -> None:
    """A B2BUA reports both legs, perhaps under one Acct-Session-Id: where both count, each has a name of its own."""
    leg = profile(of, charged_leg)
    name = "Freeswitch-Direction" if of == "freeswitch" else "h323-call-origin"
    request = accounting_request(accounting(STOP, leg, Acct_Session_Time=5, **{name: origin}), leg, NOW_MS)
    if suffix is None:
        assert request is Uncharged.OTHER_LEG
    else:
        assert isinstance(request, ChargingRequest)
        assert request.session_key == "ra:sbc:gw1:s1" + suffix
        assert request.groups[0].used == (seconds(0 if (leg.charged_leg, origin) == ("answer", "outbound") else 5),)


def test_r69_freeswitch_says_in_the_stop_only_which_leg_it_was() -> None:
    """Each of its legs has its own name, so the Stop of the uncharged one gives its reservation back at no cost."""
    of = profile("freeswitch")
    start = charged(START, of, session_id="uuid-b")
    stop = charged(STOP, of, session_id="uuid-b", Acct_Session_Time=61, Freeswitch_Direction="outbound")
    assert stop.session_key == start.session_key
    assert stop.groups[0].used == (seconds(0),)
    interim = accounting(INTERIM, of, Acct_Session_Time=5, Freeswitch_Direction="outbound")
    assert accounting_request(interim, of, NOW_MS) is Uncharged.OTHER_LEG


def test_r75_branches_of_a_fork_are_told_apart_where_the_profile_says_so() -> None:
    """The two tags change places when the callee hangs up."""
    fields = {**profile("kamailio").dialect.fields, Field.TAGS: ("Attr-104", "Attr-105")}
    of = profile("kamailio", reader=Reader(products().dictionary, fields))
    start = charged(START, of, **{"Attr-104": "b", "Attr-105": "a"})
    stop = charged(STOP, of, **{"Attr-104": "a", "Attr-105": "b"})
    other = charged(START, of, **{"Attr-104": "c", "Attr-105": "a"})
    assert start.session_key == stop.session_key == "ra:sbc:gw1:s1;a;b"
    assert other.session_key != start.session_key


@pytest.mark.parametrize(
    ("fields", "prefixes"),
    [
        ({}, ("ra:sbc:gw1:",)),
        ({"NAS-IP-Address": "192.0.2.1"}, ("ra:sbc:gw1:", "ra:sbc:192.0.2.1:")),
        ({"NAS-Identifier": None, "NAS-IP-Address": "192.0.2.1"}, ("ra:sbc:192.0.2.1:",)),
        ({"NAS-Identifier": None}, (f"ra:sbc:{SOURCE}:",)),
    ],
)
def test_r70_on_and_off_close_what_the_gateway_had(fields: dict[str, Any], prefixes: tuple[str, ...]) -> None:
    """By its identifier and its address, whichever its calls were named by; what began later stays."""
    record = accounting(ON, profile(), "", Event_Timestamp=NOW_S - 4, **fields)
    names = tuple(prefix.removeprefix("ra:sbc:").removesuffix(":") for prefix in prefixes)
    on = CloseSessions(prefixes, NOW_MS - 4000, "Accounting-On", "ra:sbc:auth:", names)
    assert accounting_request(record, profile(), NOW_MS) == on
    off = accounting_request(accounting(OFF, profile(), "boot-1"), profile(), NOW_MS)
    assert off == CloseSessions(("ra:sbc:gw1:",), NOW_MS, "Accounting-Off", "ra:sbc:auth:", ("gw1",))


@pytest.mark.parametrize(
    ("of", "values", "cause"),
    [
        ("cisco", {"Acct-Terminate-Cause": 5}, "session timeout"),
        ("cisco", {"Acct-Terminate-Cause": 99}, ""),
        ("cisco", {"Acct-Terminate-Cause": 1, "h323-disconnect-cause": "10"}, "user request, Q.850 cause 16"),
        ("cisco", {"h323-disconnect-cause": "1F"}, "Q.850 cause 31"),
        ("cisco", {"h323-disconnect-cause": "?"}, ""),
        ("freeswitch", {"Freeswitch-Hangupcause": 17}, "Q.850 cause 17"),
        ("audiocodes", {"ACL-H323-Disconnect-Cause": "17"}, "Q.850 cause 17"),
    ],
)
def test_why_the_call_ended_is_kept(of: str, values: dict[str, Any], cause: str) -> None:
    """For whoever reads the record later."""
    assert charged(STOP, profile(of), Acct_Session_Time=1, **values).cause == cause


def test_the_client_may_say_where_its_account_is() -> None:
    """Instead of the profile; a name that no dictionary has is refused at start."""
    assert (
        authorized(access(of=profile(account_from="Calling-Station-Id"), User_Name="x")).identities[0] == "e164:49151"
    )
    by_address = access(of=profile(account_from="Packet-Src-IP-Address"), User_Name="x")
    assert authorized(by_address).identities == (f"ip:{SOURCE}", f"name:{SOURCE}")
    for wrong in ({"account_from": "Caling-Station-Id"}, {"name": "cisko"}):
        with pytest.raises(StartRefusedError, match="did you mean"):
            profile(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "flags"),
    [
        ({"Acct-Session-Time": 61, **TIMES}, 0),
        ({"Acct-Session-Time": 63, **TIMES}, 0),
        ({"Acct-Session-Time": 64, **TIMES}, CdrFlag.DURATIONS_DIFFER),
        (TIMES, 0),
        ({"Event-Timestamp": 5}, CdrFlag.CLOCK_ADJUSTED),
        ({"Event-Timestamp": 5, "Acct-Session-Time": 61}, 0),
        ({"Event-Timestamp": NOW_S - 61}, 0),
    ],
)
def test_r64_r68_what_a_biller_should_look_at_is_flagged(values: dict[str, Any], flags: int) -> None:
    """Two sources of a duration that differ, and times out of the window where the duration is made of them."""
    request = charged(STOP, profile("cisco"), **values)
    assert request.flags == flags
    if "Acct-Session-Time" in values:
        assert request.groups[0].used == (seconds(values["Acct-Session-Time"]),)


def test_what_the_profile_keeps_goes_with_the_call() -> None:
    """By the attributes' names; what a gateway wants a call to be named by is kept as well. Interims bring nothing."""
    values: dict[str, Any] = {
        "h323-remote-address": "h323-remote-address=192.0.2.8",
        "release-source": "2",
        "User-Name": "49151",
    }
    kept = (("h323-remote-address", "192.0.2.8"), ("release-source", "2"), ("User-Name", "49151"))
    of = profile("cisco")
    assert charged(START, of, **values).details == kept
    assert charged(STOP, of, Acct_Session_Time=5, **values).details == kept
    interim = accounting_request(accounting(INTERIM, of, **values), of, NOW_MS)
    assert isinstance(interim, ChargingRequest)
    assert interim.details == ()
    assert charged(START, **values).details == ()


@pytest.mark.parametrize(("word", "is_incoming"), [("Terminating", True), ("originating", False), (None, False)])
def test_what_the_profile_calls_incoming_is_told_as_the_role(word: str | None, *, is_incoming: bool) -> None:
    """In letters of any case; another word, and none, says nothing."""
    text = 'title = "x"\n[incoming]\nh323-call-type = ["terminating"]\n'
    dialect = read_profile("x", text, dictionary(), FaultList("x.toml"))
    assert dialect is not None
    of = profile_of(RadiusClient(name="sbc", networks=(SOURCE,), secret="s3cret"), Radius(), dialect, PLAIN_NUMBERING)
    details = charged(START, of, **{"h323-call-type": word}).details
    assert (TERMINATING in details) == is_incoming
