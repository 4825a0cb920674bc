"""Gy requests to charging requests and answers back (gy-ro 2 to 6, 11 to 16)."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balance.money import Currency
from ocs.charging.request import (
    ChargingAnswer,
    ChargingRequest,
    ChargingStatus,
    EventAction,
    GroupAnswer,
    GroupKey,
    GroupRequest,
    Quantity,
    RequestKind,
)
from ocs.gateways.gy import (
    RESULT_CODES,
    GyConfig,
    charging_request,
    credit_control_answer,
    event_time_ms,
)
from ocs.rating.units import UnitKind
from ocs.settings import Settings
from protocols.diameter import avp, codes
from protocols.diameter.gy import CreditControlRequest, read_request
from protocols.diameter.message import Fault, Message
from protocols.diameter.node import LocalNode
from tests.builders_gy import DATA, NTP_NOW, SMS, TGPP, VOICE, ccr, group, ims, money, mscc, seconds, subscription

NOW_MS = 1_790_000_000_000
NODE = LocalNode("ocs.example.net", "example.net")
EUR, JPY = Currency("EUR", 978, 9, 2), Currency("JPY", 392, 6, 0)
CONFIG = GyConfig(
    NODE,
    Settings().services | {"Ringback@operator.example": "event"},
    {currency.code: currency for currency in (EUR, JPY)},
)
RSU, USU = codes.REQUESTED_SERVICE_UNIT, codes.USED_SERVICE_UNIT
S, O, E, M = UnitKind.SECONDS, UnitKind.OCTETS, UnitKind.EVENTS, UnitKind.MONEY  # noqa: E741 - the units' letters


def decoded(frame: bytes) -> CreditControlRequest:
    request = read_request(Message(frame), NODE)
    assert isinstance(request, CreditControlRequest), request
    return request


def translated(frame: bytes) -> ChargingRequest:
    request = charging_request(decoded(frame), NOW_MS, CONFIG)
    assert isinstance(request, ChargingRequest), request
    request.complete()
    return request


def fault_of(frame: bytes) -> Fault:
    fault = charging_request(decoded(frame), NOW_MS, CONFIG)
    assert isinstance(fault, Fault), fault
    return fault


def volume(key: int, **counts: int) -> bytes:
    named = {"total": 421, "received": 412, "sent": 414, "events": 417}
    return group(key, *(avp.avp_u64(named[name], value) for name, value in counts.items()))


def test_voice_request() -> None:
    """All that a call's request says arrives in charging's words."""
    request = translated(
        ccr(
            mscc(seconds(RSU, 60), seconds(USU, 30), rating_group=100, service=1000),
            ims("sip:+442079460123@ims.example.net;user=phone", "tel:+4915112345"),
            avp.avp_u32(codes.TERMINATION_CAUSE, 1),
            avp.avp_u64(codes.CC_SUB_SESSION_ID, 3),
            kind=2,
            number=4,
        )
    )
    assert request == ChargingRequest(
        kind=RequestKind.UPDATE,
        session_key="gy:client.example.net;1;1#3",
        request_number=4,
        identities=("e164:4915112345",),
        service="voice",
        event_at_ms=NOW_MS,
        groups=(GroupRequest(GroupKey(100, (1000,)), (Quantity(S, 60),), (Quantity(S, 30),)),),
        destination="442079460123",
        origin="4915112345",
        fingerprint=request.fingerprint,
        peer="client.example.net",
        cause="logout",
        is_sub=True,
    )


@pytest.mark.parametrize(
    ("context", "service"),
    [
        ("32260@3gpp.org", "voice"),
        (VOICE, "voice"),
        ("8.32251@3GPP.ORG", "data"),
        ("ext.32274@3gpp.org", "sms"),
        ("ringback@operator.example", "event"),
        ("v2.RINGBACK@operator.example", "event"),
    ],
)
def test_service_contexts(context: str, service: str) -> None:
    """gy-ro 16: the last label and the domain decide, without case."""
    assert translated(ccr(context=context)).service == service


@pytest.mark.parametrize("context", ["32260@other.org", "99999@3gpp.org", "", "@", "32260"])
def test_unknown_service_context_is_5031(context: str) -> None:
    """gy-ro 16: 5031 with the Service-Context-Id in Failed-AVP, at command level (statement 44)."""
    named = avp.avp_text(codes.SERVICE_CONTEXT_ID, context)
    fault = fault_of(ccr(named, context=None))
    assert (fault.result_code, fault.failed_avp) == (5031, named)


@pytest.mark.parametrize(
    ("subscribers", "context", "identities"),
    [
        pytest.param([(0, "+4915112345")], VOICE, ("e164:4915112345",), id="plus sign"),
        pytest.param([(1, "262011")], DATA, ("imsi:262011",), id="IMSI"),
        pytest.param([(1, "262011"), (0, "49151")], DATA, ("imsi:262011", "e164:49151"), id="data: IMSI first"),
        pytest.param([(1, "262011"), (0, "49151")], VOICE, ("e164:49151", "imsi:262011"), id="voice: number first"),
        pytest.param(
            [(2, "sip:+49151@A.net"), (0, "49151")], VOICE, ("e164:49151", "sip:+49151@a.net"), id="each name once"
        ),
        pytest.param([(2, "tel:+49151")], VOICE, ("e164:49151",), id="tel as SIP URI"),
        pytest.param([(3, "a@B.net"), (4, "card 7")], VOICE, ("nai:a@b.net", "private:card 7"), id="NAI, private"),
    ],
)
def test_identities(subscribers: list[tuple[int, str]], context: str, identities: tuple[str, ...]) -> None:
    """gy-ro 15: prefixes, normal forms, and the usual order for voice and for data. [C-202]"""
    avps = [subscription(kind, data) for kind, data in subscribers]
    assert translated(ccr(*avps, subscriber=None, context=context)).identities == identities


def test_identity_from_elsewhere() -> None:
    """gy-ro 15: from Service-Information if there is none outside; User-Name comes last."""
    inside = group(codes.SERVICE_INFORMATION, subscription(0, "49151"))
    name = avp.avp_text(codes.USER_NAME, "alice@Example.net")
    assert translated(ccr(inside, name, subscriber=None)).identities == ("e164:49151", "nai:alice@example.net")
    assert translated(ccr(name, subscriber=None)).identities == ("nai:alice@example.net",)


@pytest.mark.parametrize(("kind", "is_refused"), [(1, True), (2, False), (3, False), (4, True)])
def test_no_identity(kind: int, is_refused: bool) -> None:
    """gy-ro 15: I and E need one (5005 with a sample Subscription-Id); U and T have the session's."""
    frame = ccr(avp.avp_u32(codes.REQUESTED_ACTION, 0), kind=kind, subscriber=None)
    if is_refused:
        fault = fault_of(frame)
        assert (fault.result_code, fault.failed_avp) == (5005, avp.avp(codes.SUBSCRIPTION_ID, b""))
    else:
        assert translated(frame).identities == ()


BIG = 2**63


@pytest.mark.parametrize(
    ("avps", "kind", "groups"),
    [
        pytest.param([], 1, (), id="G-32 none yet"),
        pytest.param([mscc(group(RSU))], 1, (GroupRequest(GroupKey(), ()),), id="G-20 G-23 anonymous, ours to choose"),
        pytest.param([mscc(rating_group=5)], 2, (GroupRequest(GroupKey(5)),), id="G-22 neither"),
        pytest.param(
            [mscc(group(USU), rating_group=5)], 2, (GroupRequest(GroupKey(5), None, ()),), id="empty report is zero"
        ),
        pytest.param(
            [mscc(volume(USU, total=10, received=1, sent=2))], 2,
            (GroupRequest(GroupKey(), None, (Quantity(O, 10),)),), id="G-27 total governs",
        ),
        pytest.param(
            [mscc(volume(USU, received=1, sent=2))], 2,
            (GroupRequest(GroupKey(), None, (Quantity(O, 3),)),), id="G-27 input and output",
        ),
        pytest.param(
            [mscc(volume(USU, sent=2))], 2, (GroupRequest(GroupKey(), None, (Quantity(O, 2),)),), id="G-27 output alone"
        ),
        pytest.param(
            [mscc(seconds(USU, 3), seconds(USU, 4), volume(USU, total=9))], 2,
            (GroupRequest(GroupKey(), None, (Quantity(S, 7), Quantity(O, 9))),), id="G-28 reports are summed",
        ),
        pytest.param(
            [mscc(seconds(USU, 3), rating_group=1), mscc(seconds(USU, 4), seconds(RSU, 9), rating_group=1)], 2,
            (GroupRequest(GroupKey(1), (Quantity(S, 9),), (Quantity(S, 7),)),), id="G-29 one identity twice",
        ),
        pytest.param(
            [mscc(seconds(RSU, 3), rating_group=1), mscc(seconds(RSU, 4), rating_group=2)], 1,
            (GroupRequest(GroupKey(1), (Quantity(S, 3),)), GroupRequest(GroupKey(2), (Quantity(S, 4),))),
            id="two groups",
        ),
        pytest.param(
            [seconds(RSU, 30), seconds(USU, 20)], 2,
            (GroupRequest(GroupKey(), (Quantity(S, 30),), (Quantity(S, 20),)),), id="G-33 command level",
        ),
        pytest.param(
            [mscc(seconds(RSU, 30), seconds(USU, 20))], 3,
            (GroupRequest(GroupKey(), None, (Quantity(S, 20),)),), id="G-22 nothing is wanted at the end",
        ),
        pytest.param(
            [mscc(volume(USU, total=BIG - 1))], 2,
            (GroupRequest(GroupKey(), None, (Quantity(O, BIG - 1),)),), id="the largest value",
        ),
        pytest.param(
            [mscc(volume(RSU, events=3), service=7)], 1,
            (GroupRequest(GroupKey(-1, (7,)), (Quantity(E, 3),)),), id="events",
        ),
    ],
)  # fmt: skip
def test_groups(avps: list[bytes], kind: int, groups: tuple[GroupRequest, ...]) -> None:
    """What is asked and what is reported, group by group [G-20] [G-22] [G-23] [G-26 to G-29] [G-32] [G-33] (statements 38, 59, 60, 61)."""
    assert translated(ccr(*avps, kind=kind)).groups == groups


def test_money_keeps_its_currency() -> None:
    """gy-ro 14: digits x 10 ** exponent, exactly, at the currency's scale (statement 110)."""
    request = translated(ccr(mscc(money(RSU, 230, -2))))
    assert (request.groups[0].requested, request.currency) == ((Quantity(M, 2_300_000_000),), "EUR")
    request = translated(ccr(mscc(money(RSU, 5, 2, currency=392))))
    assert (request.groups[0].requested, request.currency) == ((Quantity(M, 500_000_000),), "JPY")


@given(st.integers(0, 10**9), st.integers(-9, 0))
def test_money_is_exact(digits: int, exponent: int) -> None:
    """What 9 decimals can hold is held exactly (statements 109, 110)."""
    (quantity,) = translated(ccr(money(RSU, digits, exponent))).groups[0].requested or ()
    assert quantity.value == digits * 10 ** (9 + exponent)


@pytest.mark.parametrize(
    ("avps", "expected"),
    [
        pytest.param([mscc(volume(USU, total=BIG))], 5004, id="beyond 63 bits"),
        pytest.param([mscc(volume(USU, received=BIG - 1, sent=1))], 5004, id="sum of octets beyond 63 bits"),
        pytest.param([mscc(volume(USU, total=BIG - 1), volume(USU, total=1))], 5004, id="sum of reports"),
        pytest.param(
            [mscc(volume(USU, total=BIG - 1), rating_group=1), mscc(volume(USU, total=1), rating_group=1)],
            5004,
            id="sum of groups",
        ),
        pytest.param([money(RSU, -1)], 5004, id="negative money"),
        pytest.param([money(RSU, 1, 10)], 5004, id="exponent too large"),
        pytest.param([money(RSU, 1, -10)], 5004, id="exponent too small"),
        pytest.param([money(RSU, 1, -7, currency=392)], 5004, id="more decimals than the currency keeps"),
        pytest.param([money(RSU, 2**62, 3)], 5004, id="money beyond 63 bits"),
        pytest.param([money(RSU, 1, currency=None)], 5005, id="money without currency"),
        pytest.param([money(RSU, 1, currency=643)], 5031, id="a currency that is not charged here"),
        pytest.param([mscc(money(RSU, 1)), mscc(money(RSU, 1, currency=392))], 5031, id="two currencies"),
    ],
)
def test_64_quantities_that_cannot_be(avps: list[bytes], expected: int) -> None:
    """Behaviour 64: refused with the AVP, never wrapped or guessed."""
    fault = fault_of(ccr(*avps, kind=2))
    assert fault.result_code == expected
    assert fault.failed_avp


def test_failed_quantity_stands_in_its_parents() -> None:
    """RFC 6733, 7.5: MSCC, USU, and the octets themselves."""
    fault = fault_of(ccr(mscc(volume(USU, total=BIG), rating_group=1), kind=2))
    assert fault.failed_avp == mscc(volume(USU, total=BIG))


@pytest.mark.parametrize("action", list(EventAction))
def test_events(action: EventAction) -> None:
    """gy-ro 11: the four actions; units left out are the tariff's, except for a mere balance check."""
    request = translated(ccr(avp.avp_u32(codes.REQUESTED_ACTION, action), kind=4, context=SMS))
    assert (request.kind, request.action) == (RequestKind.EVENT, action)
    assert request.groups == (() if action is EventAction.CHECK_BALANCE else (GroupRequest(GroupKey(), ()),))
    assert translated(ccr(mscc(rating_group=1), avp.avp_u32(436, 0), kind=4)).groups[0].requested == ()


def test_event_without_action_is_5005() -> None:
    """gy-ro 2: Requested-Action is required in E (5005), known (5004), and ignored elsewhere."""
    assert fault_of(ccr(kind=4)).failed_avp == avp.avp(codes.REQUESTED_ACTION, bytes(4))
    assert fault_of(ccr(avp.avp_u32(436, 4), kind=4)).result_code == 5004
    assert translated(ccr(avp.avp_u32(436, 9), kind=1)).action is EventAction.DIRECT_DEBITING


def test_missing_context_and_long_session_id() -> None:
    """A missing Service-Context-Id is 5005; a Session-Id beyond 1 KiB is 5004 [B-100]."""
    assert fault_of(ccr(context=None)).result_code == 5005
    assert fault_of(ccr(session="x" * 1025)).result_code == 5004


@pytest.mark.parametrize(
    ("ntp_s", "event_ms"),
    [
        (None, NOW_MS),
        (NTP_NOW, NOW_MS),
        (NTP_NOW - 86_400, NOW_MS - 86_400_000),
        (NTP_NOW - 86_401, NOW_MS),
        (NTP_NOW + 300, NOW_MS + 300_000),
        (NTP_NOW + 301, NOW_MS),
        (0, NOW_MS),
    ],
)
def test_event_time_window(ntp_s: int | None, event_ms: int) -> None:
    """gy-ro 13: from 24 hours ago to 5 minutes ahead, else the time of arrival."""
    assert event_time_ms(ntp_s, NOW_MS) == event_ms


def test_event_time_after_2036() -> None:
    """diameter-base 11.15: 1 is 2036-02-07 06:28:17 UTC."""
    assert event_time_ms(1, 2_085_978_497_000) == 2_085_978_497_000


@pytest.mark.parametrize(
    ("information", "called"),
    [
        (ims("tel:+49123"), "49123"),
        (group(873 | TGPP, group(TGPP | 3410, avp.avp_text(TGPP | 832, "+49124"))), "49124"),
        (
            group(
                873 | TGPP,
                group(TGPP | 2000, group(TGPP | 2026, group(TGPP | 1201, avp.avp_text(TGPP | 897, "+49125")))),
            ),
            "49125",
        ),
        (group(873 | TGPP, group(TGPP | 877, group(TGPP | 1201, avp.avp_text(TGPP | 897, "+49126")))), "49126"),
        (group(873 | TGPP, group(TGPP | 876)), ""),
        (avp.avp(873 | TGPP, b"noise"), ""),
        (b"", ""),
    ],
)
def test_called_party(information: bytes, called: str) -> None:
    """gy-ro 17: from IMS-, VCS-, SMS- or MMS-Information; what cannot be read is not there."""
    assert translated(ccr(information)).destination == called


@dataclass
class Answer:
    """An answer taken apart: header flags, top-level values, and the members of each MSCC."""

    flags: int
    values: dict[int, list[bytes]] = field(default_factory=dict)
    groups: list[dict[int, bytes]] = field(default_factory=list)

    def number(self, key: int) -> int:
        return int.from_bytes(self.values[key][0], "big")


def members(data: bytes) -> dict[int, bytes]:
    found, more = avp.walk(data, 0, len(data))
    assert not more
    return {key: avp.octets(data, at) for key, at in found.items()}


def answered(frame: bytes, answer: ChargingAnswer) -> Answer:
    message = Message(credit_control_answer(decoded(frame), answer, CONFIG))
    found, more = message.walk()
    taken = Answer(message.flags)
    for key, at in [*found.items(), *more]:
        taken.values.setdefault(key, []).append(avp.octets(message.frame, at))
    taken.groups = [members(data) for data in taken.values.get(codes.MULTIPLE_SERVICES_CREDIT_CONTROL, [])]
    return taken


OK = ChargingStatus.SUCCESS
CALL = ccr(mscc(seconds(RSU, 60), rating_group=100, service=1000))


def test_grant_within_a_group() -> None:
    """G-21, G-30: identity, units, conditions and a result of its own come back in the MSCC (statement 74) [G-50] [G-55]. [C-203] [C-503]"""
    grant = GroupAnswer(GroupKey(100, (1000,)), OK, S, 60, 600, 0, 12)
    answer = answered(CALL, ChargingAnswer(OK, (grant,), 5, "EUR"))
    assert answer.number(codes.RESULT_CODE) == 2001
    assert answer.groups == [
        {
            codes.GRANTED_SERVICE_UNIT: avp.avp_u32(codes.CC_TIME, 60),
            codes.VALIDITY_TIME: (600).to_bytes(4, "big"),
            codes.FINAL_UNIT_INDICATION: avp.avp_u32(codes.FINAL_UNIT_ACTION, 0),
            codes.TIME_QUOTA_THRESHOLD: (12).to_bytes(4, "big"),
            codes.SERVICE_IDENTIFIER: (1000).to_bytes(4, "big"),
            codes.RATING_GROUP: (100).to_bytes(4, "big"),
            codes.RESULT_CODE: (2001).to_bytes(4, "big"),
        }
    ]
    assert codes.COST_INFORMATION not in answer.values


@pytest.mark.parametrize(
    ("kind", "units", "threshold"),
    [
        (O, avp.avp_u64(codes.CC_TOTAL_OCTETS, 60), codes.VOLUME_QUOTA_THRESHOLD),
        (E, avp.avp_u64(codes.CC_SERVICE_SPECIFIC_UNITS, 60), codes.UNIT_QUOTA_THRESHOLD),
    ],
)
def test_other_units(kind: UnitKind, units: bytes, threshold: int) -> None:
    """Volume is granted as a total (open5GS reads no other), messages as service-specific units."""
    grant = GroupAnswer(GroupKey(), OK, kind, 60, 0, -1, 12)
    (only,) = answered(ccr(mscc(group(RSU))), ChargingAnswer(OK, (grant,))).groups
    assert only == {
        codes.GRANTED_SERVICE_UNIT: units,
        threshold: (12).to_bytes(4, "big"),
        codes.RESULT_CODE: (2001).to_bytes(4, "big"),
    }


def test_money_is_granted_as_money() -> None:
    """gy-ro 14: CC-Money with its currency, without idle zeros; at command level when asked there [G-84]."""
    grant = GroupAnswer(GroupKey(), OK, M, 2_300_000_000, 600)
    value = avp.avp(codes.UNIT_VALUE, avp.avp_i64(codes.VALUE_DIGITS, 23) + avp.avp_i32(codes.EXPONENT, -1))
    expected = avp.avp(codes.CC_MONEY, value + avp.avp_u32(codes.CURRENCY_CODE, 978))
    (only,) = answered(ccr(mscc(money(RSU, 230, -2))), ChargingAnswer(OK, (grant,), 0, "EUR")).groups
    assert only[codes.GRANTED_SERVICE_UNIT] == expected
    single = answered(ccr(money(RSU, 230, -2)), ChargingAnswer(OK, (grant,), 0, "EUR"))
    assert single.values[codes.GRANTED_SERVICE_UNIT] == [expected]


def test_g33_single_service_style() -> None:
    """G-33: units asked at command level are granted there, and a refusal is the command's [G-84]."""
    grant = GroupAnswer(GroupKey(), OK, S, 60, 600, 0)
    answer = answered(ccr(seconds(RSU, 60)), ChargingAnswer(OK, (grant,)))
    assert answer.groups == []
    assert answer.values[codes.GRANTED_SERVICE_UNIT] == [avp.avp_u32(codes.CC_TIME, 60)]
    assert answer.number(codes.VALIDITY_TIME) == 600
    refused = GroupAnswer(GroupKey(), ChargingStatus.CREDIT_LIMIT_REACHED)
    assert answered(ccr(seconds(RSU, 60)), ChargingAnswer(OK, (refused,))).number(codes.RESULT_CODE) == 4012


def test_42_one_group_without_tariff() -> None:
    """Behaviour 42: 2001 for the command, 5031 for the group, its Rating-Group in Failed-AVP, the other granted."""
    groups = (
        GroupAnswer(GroupKey(10), OK, S, 60),
        GroupAnswer(GroupKey(99), ChargingStatus.RATING_FAILED),
    )
    answer = answered(ccr(mscc(rating_group=10), mscc(rating_group=99)), ChargingAnswer(OK, groups))
    assert answer.number(codes.RESULT_CODE) == 2001
    assert [int.from_bytes(taken[codes.RESULT_CODE], "big") for taken in answer.groups] == [2001, 5031]
    assert answer.values[codes.FAILED_AVP] == [avp.avp_u32(codes.RATING_GROUP, 99)]


@pytest.mark.parametrize("status", list(ChargingStatus))
def test_g31_every_status_has_its_code(status: ChargingStatus) -> None:
    """G-31: an error of the command comes without groups, E goes with 3xxx only, the mandatory AVPs always [G-1]. [C-209]"""
    grant = GroupAnswer(GroupKey(100, (1000,)), OK, S, 60)
    answer = answered(CALL, ChargingAnswer(status, (grant,)))
    assert answer.number(codes.RESULT_CODE) == RESULT_CODES[status]
    assert bool(answer.flags & codes.ERROR) == (RESULT_CODES[status] // 1000 == 3)
    assert bool(answer.groups) == (status is OK)
    assert answer.number(codes.AUTH_APPLICATION_ID) == 4
    assert answer.number(codes.CC_REQUEST_TYPE) == 1
    assert answer.number(codes.CC_REQUEST_NUMBER) == 0
    needs_failed_avp = status in {ChargingStatus.RATING_FAILED, ChargingStatus.INVALID_VALUE}
    assert (codes.FAILED_AVP in answer.values) == needs_failed_avp


def test_rating_failed_names_what_failed() -> None:
    """gy-ro 6: the Rating-Group if one was named, else the Service-Context-Id (statement 44)."""
    failed = ChargingAnswer(ChargingStatus.RATING_FAILED)
    assert answered(CALL, failed).values[codes.FAILED_AVP] == [avp.avp_u32(codes.RATING_GROUP, 100)]
    context = avp.avp_text(codes.SERVICE_CONTEXT_ID, VOICE)
    assert answered(ccr(), failed).values[codes.FAILED_AVP] == [context]
    assert answered(ccr(mscc()), failed).values[codes.FAILED_AVP] == [context]


def test_denied_group_tells_when_to_ask_again() -> None:
    """G-40, kamailio 3: no zero grant; 4012 with Validity-Time in the group."""
    denied = GroupAnswer(GroupKey(100, (1000,)), ChargingStatus.CREDIT_LIMIT_REACHED, 0, 0, 60)
    (only,) = answered(CALL, ChargingAnswer(OK, (denied,))).groups
    assert codes.GRANTED_SERVICE_UNIT not in only
    assert int.from_bytes(only[codes.VALIDITY_TIME], "big") == 60


@pytest.mark.parametrize(("kind", "has_cost"), [(1, False), (2, False), (3, True), (4, True)])
def test_cost_information(kind: int, has_cost: bool) -> None:
    """gy-ro 3: the total cost at the end and for events."""
    answer = answered(ccr(kind=kind), ChargingAnswer(OK, (), 80_000_000, "EUR"))
    value = avp.avp(codes.UNIT_VALUE, avp.avp_i64(codes.VALUE_DIGITS, 8) + avp.avp_i32(codes.EXPONENT, -2))
    expected = [value + avp.avp_u32(codes.CURRENCY_CODE, 978)]
    assert answer.values.get(codes.COST_INFORMATION) == (expected if has_cost else None)


@pytest.mark.parametrize("result", [0, 1])
def test_check_balance(result: int) -> None:
    """gy-ro 11: Check-Balance-Result, and no cost."""
    answer = answered(ccr(kind=4), ChargingAnswer(OK, (), 0, "EUR", check_balance=result))
    assert answer.number(codes.CHECK_BALANCE_RESULT) == result
    assert codes.COST_INFORMATION not in answer.values


def test_81_low_balance_and_sub_session() -> None:
    """Behaviour 81: the warning has no M bit; CC-Sub-Session-Id is copied."""
    answer = answered(ccr(avp.avp_u64(codes.CC_SUB_SESSION_ID, 3)), ChargingAnswer(OK, low_balance=True))
    assert answer.number(codes.LOW_BALANCE_INDICATION) == 1
    assert answer.number(codes.CC_SUB_SESSION_ID) == 3
