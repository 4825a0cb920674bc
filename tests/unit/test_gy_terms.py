"""What the settings add to Gy and Ro answers (gy-ro 3, 7, 8, 11, 12)."""

from __future__ import annotations

import pytest
from msgspec import structs

from balance.money import Currency
from ocs.charging.policy import final_policy
from ocs.charging.request import (
    ChargingAnswer,
    ChargingRequest,
    ChargingStatus,
    FinalUnitAction,
    GroupAnswer,
    GroupKey,
)
from ocs.gateways.gy import GyConfig, charging_request, credit_control_answer, wire_time_s
from ocs.rating.finals import FinalUnits
from ocs.rating.units import UnitKind
from ocs.settings import ClientAbilities, CreditControl, Settings
from protocols.diameter import avp, codes
from protocols.diameter.gy import CreditControlRequest, read_request
from protocols.diameter.message import Message
from protocols.diameter.node import LocalNode
from tests.builders_gy import DATA, ccr, group, mscc, seconds, subscription

NODE = LocalNode("ocs.example.net", "example.net")
NOW_MS = 1_790_000_000_000
FINALS = {
    DATA: FinalUnits(service="data", action="redirect", redirect="http://portal.example.net/", filter_ids=("free",)),
    "32260@3gpp.org": FinalUnits(service="voice", action="redirect", redirect="sip:topup@example.net"),
    "32274@3gpp.org": FinalUnits(service="sms", action="redirect", redirect="2001:db8::1"),
    "32270@3gpp.org": FinalUnits(
        service="mms", action="restrict", filter_rules=("permit out ip from 192.0.2.1 to any",)
    ),
}
Found = dict[int, int]


def config(**settings: object) -> GyConfig:
    control = CreditControl(**settings)  # type: ignore[arg-type]
    return GyConfig(NODE, Settings().services, {"EUR": Currency("EUR", 978, 9, 2)}, control)


def decoded(frame: bytes) -> CreditControlRequest:
    request = read_request(Message(frame), NODE)
    assert isinstance(request, CreditControlRequest), request
    return request


def answered(frame: bytes, answer: ChargingAnswer, gateway: GyConfig) -> tuple[bytes, Found]:
    data = credit_control_answer(decoded(frame), answer, gateway)
    return data, Message(data).walk()[0]


def inside(data: bytes, found: Found, *path: int) -> Found:
    for key in path:
        found, _ = avp.walk(data, *avp.bounds(data, found[key]))
    return found


def success(*groups: GroupAnswer, cost: int = 0, available: int = 0) -> ChargingAnswer:
    return ChargingAnswer(ChargingStatus.SUCCESS, groups, cost, "EUR", available)


def final(granted: int, context: str = "") -> GroupAnswer:
    """The last grant, or none; what follows is as ``context`` has it in FINALS, else the end."""
    last = GroupAnswer(GroupKey(1), ChargingStatus.SUCCESS, UnitKind.SECONDS, granted, 60, FinalUnitAction.TERMINATE)
    policy = final_policy(FINALS[context], 600) if context else None
    return last if policy is None else policy.applied(last)


ASKING = mscc(seconds(codes.REQUESTED_SERVICE_UNIT, 60), rating_group=1)
FINAL_UNIT = (codes.MULTIPLE_SERVICES_CREDIT_CONTROL, codes.FINAL_UNIT_INDICATION)


@pytest.mark.parametrize(
    ("context", "kind", "address"),
    [
        (DATA, 2, "http://portal.example.net/"),
        ("32260@3gpp.org", 3, "sip:topup@example.net"),
        ("32274@3gpp.org", 1, "2001:db8::1"),
    ],
)
def test_g50_redirect_has_its_server(context: str, kind: int, address: str) -> None:
    """Final-Unit-Indication {REDIRECT, Redirect-Server {type, address}}, with or without units [G-51]."""
    gateway = config()
    for granted in (20, 0):
        answer = success(final(granted, context))
        data, found = answered(ccr(ASKING, context=context), answer, gateway)
        unit = inside(data, found, *FINAL_UNIT)
        assert avp.u32(data, unit[codes.FINAL_UNIT_ACTION]) == 1
        server = inside(data, unit, codes.REDIRECT_SERVER)
        assert avp.u32(data, server[codes.REDIRECT_ADDRESS_TYPE]) == kind
        assert avp.text(data, server[codes.REDIRECT_SERVER_ADDRESS]) == address
        assert (codes.FILTER_ID in unit) == (context == DATA)
        group_found = inside(data, found, codes.MULTIPLE_SERVICES_CREDIT_CONTROL)
        assert (codes.GRANTED_SERVICE_UNIT in group_found) == bool(granted)


def test_restrict_access_says_what_stays_allowed() -> None:
    """Final-Unit-Indication {RESTRICT_ACCESS, Restriction-Filter-Rule}; also at command level."""
    gateway = config()
    answer = success(final(20, "32270@3gpp.org"))
    frame = ccr(seconds(codes.REQUESTED_SERVICE_UNIT, 60), context="32270@3gpp.org")
    data, found = answered(frame, answer, gateway)
    unit = inside(data, found, codes.FINAL_UNIT_INDICATION)
    assert avp.u32(data, unit[codes.FINAL_UNIT_ACTION]) == 2
    assert avp.text(data, unit[codes.RESTRICTION_FILTER_RULE]) == "permit out ip from 192.0.2.1 to any"


def test_terminate_has_no_other_member() -> None:
    """gy-ro 8: with TERMINATE no other member may be present."""
    data, found = answered(ccr(ASKING), success(final(20)), config())
    unit = inside(data, found, *FINAL_UNIT)
    assert (list(unit), avp.u32(data, unit[codes.FINAL_UNIT_ACTION])) == ([codes.FINAL_UNIT_ACTION], 0)


def test_failure_handling_is_told_when_a_session_opens() -> None:
    """CC-Session-Failover and CCFH in CCA-I alone, DDFH in the answers to events; never with an error."""
    gateway = config(
        session_failover="supported", failure_handling="retry-and-terminate", debit_failure_handling="continue"
    )
    event = avp.avp_u32(codes.REQUESTED_ACTION, 0)
    told = {}
    for kind in (1, 2, 3, 4):
        data, found = answered(ccr(ASKING, event, kind=kind), success(), gateway)
        told[kind] = [avp.u32(data, found[key]) for key in (418, 427, 428) if key in found]
    assert told == {1: [1, 2], 2: [], 3: [], 4: [1]}
    _, found = answered(ccr(ASKING), ChargingAnswer(ChargingStatus.CREDIT_LIMIT_REACHED), gateway)
    assert not {418, 427, 428} & set(found)
    _, found = answered(ccr(ASKING), success(), config())
    assert not {418, 427, 428} & set(found)


def test_quota_holding_time_goes_with_a_grant() -> None:
    """gy-ro 7: with units, not without."""
    gateway = config(quota_holding_s=90)
    grant = GroupAnswer(GroupKey(1), ChargingStatus.SUCCESS, UnitKind.SECONDS, 60, 600)
    none = GroupAnswer(GroupKey(1), ChargingStatus.CREDIT_LIMIT_REACHED)
    for answer, expected in ((grant, True), (none, False)):
        data, found = answered(ccr(ASKING), success(answer), gateway)
        assert (codes.QUOTA_HOLDING_TIME in inside(data, found, codes.MULTIPLE_SERVICES_CREDIT_CONTROL)) == expected


@pytest.mark.parametrize(("told", "expected"), [(True, {"cost", "balance"}), (False, set())])
def test_cost_and_balance_are_told_when_set(told: bool, expected: set[str]) -> None:
    """Cost-Information and Remaining-Balance in an update, for those who want them."""
    gateway = config(tell_cost=told, tell_balance=told)
    data, found = answered(ccr(ASKING, kind=2), success(cost=10**9, available=5 * 10**8), gateway)
    names = {codes.COST_INFORMATION: "cost", codes.REMAINING_BALANCE: "balance"}
    assert {name for key, name in names.items() if key in found} == expected
    if told:
        value = inside(data, found, codes.REMAINING_BALANCE, codes.UNIT_VALUE)
        assert (avp.i64(data, value[codes.VALUE_DIGITS]), avp.i32(data, value[codes.EXPONENT])) == (5, -1)


def test_identities_are_tried_in_the_order_of_the_settings() -> None:
    """Which Subscription-Id is charged is the operator's choice, for data and for the rest; others do not count."""
    gateway = config(identities=("imsi", "e164"), data_identities=("e164",))
    for context, expected in ((DATA, ("e164:49",)), ("32260@3gpp.org", ("imsi:262", "e164:49"))):
        frame = ccr(ASKING, subscription(0, "49"), subscription(1, "262"), context=context, subscriber=None)
        request = charging_request(decoded(frame), NOW_MS, gateway)
        assert isinstance(request, ChargingRequest)
        assert request.identities == expected


@pytest.mark.parametrize("is_grouped", [True, False])
def test_g81_debit_gets_a_name_and_its_refund_gives_it_back(is_grouped: bool) -> None:
    """Refund-Information of the answer, returned in the MSCC or at command level, leads to the debit."""
    gateway = config()
    asked = [mscc(group(codes.REQUESTED_SERVICE_UNIT))] if is_grouped else []
    debit = ccr(avp.avp_u32(codes.REQUESTED_ACTION, 0), *asked, kind=4, session="client;1;77")
    debited = GroupAnswer(GroupKey(), ChargingStatus.SUCCESS, UnitKind.EVENTS, 1)
    data, found = answered(debit, success(debited, cost=8 * 10**7), gateway)
    assert (codes.REFUND_INFORMATION in found) == (not is_grouped), "it stands where the units do (TS 32.299, 7.1.9)"
    place = inside(data, found, codes.MULTIPLE_SERVICES_CREDIT_CONTROL) if is_grouped else found
    name = avp.octets(data, place[codes.REFUND_INFORMATION])
    back = avp.avp(codes.REFUND_INFORMATION, name)
    where = mscc(group(codes.REQUESTED_SERVICE_UNIT), back) if is_grouped else back
    refund = ccr(avp.avp_u32(codes.REQUESTED_ACTION, 1), where, kind=4, session="client;1;78")
    request = charging_request(decoded(refund), NOW_MS, gateway)
    assert isinstance(request, ChargingRequest)
    assert request.refund_of == "gy:client;1;77"
    _, found = answered(refund, success(cost=1), gateway)
    assert codes.REFUND_INFORMATION not in found


def test_g81_refund_without_a_name_leads_nowhere() -> None:
    """Statement 98: it is refused by charging, not guessed at."""
    request = charging_request(decoded(ccr(avp.avp_u32(codes.REQUESTED_ACTION, 1), kind=4)), NOW_MS, config())
    assert isinstance(request, ChargingRequest)
    assert request.refund_of == ""


@pytest.mark.parametrize("in_group", [True, False])
def test_g70_grant_over_a_change_says_when(in_group: bool) -> None:
    """Tariff-Time-Change stands within the Granted-Service-Unit, in the seconds of Diameter's epoch, which wrap in 2036."""
    answer = success(GroupAnswer(GroupKey(1), ChargingStatus.SUCCESS, 2, 1000, 300, change_at_ms=NOW_MS + 60_000))
    wish = group(codes.REQUESTED_SERVICE_UNIT)
    data, found = answered(ccr(mscc(wish, rating_group=1) if in_group else wish, context=DATA), answer, config())
    way = (codes.MULTIPLE_SERVICES_CREDIT_CONTROL, codes.GRANTED_SERVICE_UNIT)
    members = inside(data, found, *way[0 if in_group else 1 :])
    assert avp.u32(data, members[codes.TARIFF_TIME_CHANGE]) == NOW_MS // 1000 + 60 + 2_208_988_800
    assert avp.u64(data, members[codes.CC_TOTAL_OCTETS]) == 1000
    assert wire_time_s(2_085_978_496_000) == 0


@pytest.mark.parametrize(
    ("hosts", "tells"),
    [
        ({}, False),
        ({"client.example.net": True}, True),
        ({"Client.Example.Net": True}, True),
        ({"other.example.net": True}, False),
        ({"*": True}, True),
        ({"*": True, "client.example.net": False}, False),
    ],
)
def test_g73_who_is_told_of_a_change(hosts: dict[str, bool], tells: bool) -> None:
    """Tariff-Time-Change goes only to clients of which the operator says that they know it."""
    clients = tuple(ClientAbilities(host=host, tariff_time_change=can) for host, can in hosts.items())
    request = charging_request(decoded(ccr(mscc(seconds(437, 1)))), NOW_MS, config(clients=clients))
    assert isinstance(request, ChargingRequest)
    assert request.tells_sides is tells


@pytest.mark.parametrize(("context", "knows"), [(DATA, True), (DATA, False), ("", True), ("", False)])
def test_g54_successor_goes_beside_the_older_indication(context: str, knows: bool) -> None:
    """Clients of RFC 8506 get QoS-Final-Unit-Indication, too; it has no M bit, so that nobody must understand it."""
    clients = (ClientAbilities(host="client.example.net", qos_final_unit=True),) if knows else ()
    data, found = answered(ccr(ASKING, context=DATA), success(final(20, context)), config(clients=clients))
    group_found = inside(data, found, codes.MULTIPLE_SERVICES_CREDIT_CONTROL)
    assert codes.FINAL_UNIT_INDICATION in group_found
    assert (codes.QOS_FINAL_UNIT_INDICATION in group_found) == knows
    if knows:
        unit = inside(data, group_found, codes.QOS_FINAL_UNIT_INDICATION)
        assert avp.u32(data, unit[codes.FINAL_UNIT_ACTION]) == (1 if context else 0)
        assert not data[group_found[codes.QOS_FINAL_UNIT_INDICATION] + 4] & codes.MANDATORY_BIT


def test_no_vendor_avp_must_be_known_but_the_thresholds() -> None:
    """C-304: with everything told, the M bit of a vendor's AVP stands on quota conditions alone, which all dictionaries have."""
    everything = config(tell_cost=True, tell_balance=True, quota_holding_s=60)
    last = GroupAnswer(GroupKey(1), ChargingStatus.SUCCESS, UnitKind.SECONDS, 60, 600, 0, 12)
    answer = structs.replace(success(last, cost=5, available=7), low_balance=True)
    event = avp.avp_u32(codes.REQUESTED_ACTION, 0)
    for kind in (1, 2, 3, 4):
        data, found = answered(ccr(ASKING, event, kind=kind), answer, everything)
        inner = inside(data, found, codes.MULTIPLE_SERVICES_CREDIT_CONTROL)
        demanded = {key for places in (found, inner) for key, at in places.items() if key >> 32 and data[at + 4] & 0x40}
        assert demanded == {codes.TIME_QUOTA_THRESHOLD, codes.QUOTA_HOLDING_TIME}
