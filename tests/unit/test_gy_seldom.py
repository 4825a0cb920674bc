"""What is seldom in a request: both sides of a Tariff-Time-Change (RFC 8506, 8.27), sub-sessions, pools, old events."""

from __future__ import annotations

import pytest

from balance.money import Currency
from ocs.charging.request import ChargingRequest, GroupKey, GroupRequest, Quantity
from ocs.gateways.gy import GyConfig, charging_request, currency_fault
from ocs.rating.units import UnitKind
from ocs.settings import CreditControl, Settings
from protocols.diameter import avp, codes
from protocols.diameter.gy import CreditControlRequest, read_request
from protocols.diameter.message import Fault, Message
from protocols.diameter.node import LocalNode
from tests.builders_gy import DATA, NTP_NOW, SMS, ccr, group, money, mscc, subscription

NOW_MS = 1_790_000_000_000
NODE = LocalNode("ocs.example.net", "example.net")
CONFIG = GyConfig(NODE, Settings().services, {})
EUR, JPY = Currency("EUR", 978, 9, 2), Currency("JPY", 392, 6, 0)
ALL, LATER = (Quantity(UnitKind.OCTETS, 12),), (Quantity(UnitKind.OCTETS, 7),)


def side(tariff_change_usage: int, total: int) -> bytes:
    """USU of one side."""
    change = avp.avp_u32(codes.TARIFF_CHANGE_USAGE, tariff_change_usage)
    return group(codes.USED_SERVICE_UNIT, change, avp.avp_u64(codes.CC_TOTAL_OCTETS, total))


@pytest.mark.parametrize(
    ("avps", "reported"),
    [
        pytest.param([mscc(side(0, 5), side(1, 7))], GroupRequest(GroupKey(), None, ALL, LATER), id="both sides"),
        pytest.param([mscc(side(0, 12))], GroupRequest(GroupKey(), None, ALL, ()), id="nothing after"),
        pytest.param(
            [mscc(side(0, 5), side(2, 7))], GroupRequest(GroupKey(), None, ALL, (), True), id="G-74 not known of some"
        ),
        pytest.param([side(0, 5), side(1, 7)], GroupRequest(GroupKey(), None, ALL, LATER), id="at command level"),
        pytest.param(
            [mscc(side(0, 5), rating_group=1), mscc(side(1, 7), rating_group=1)],
            GroupRequest(GroupKey(1), None, ALL, LATER),
            id="G-71 a group for each side",
        ),
    ],
)
def test_g70_g28_sides_of_a_report(avps: list[bytes], reported: GroupRequest) -> None:
    """The total is all of it; what was used after the change is said beside [G-70] [G-28] [G-74]."""
    assert _translated(ccr(*avps, kind=2, context=DATA)).groups == (reported,)


def test_g70_a_side_that_is_none_is_5004() -> None:
    """Tariff-Change-Usage is 0 to 2; the fault names it within its parents."""
    fault = read_request(Message(ccr(mscc(side(3, 1)), kind=2)), NODE)
    assert isinstance(fault, Fault)
    change = avp.avp_u32(codes.TARIFF_CHANGE_USAGE, 3)
    assert (fault.result_code, fault.failed_avp) == (5004, mscc(group(codes.USED_SERVICE_UNIT, change)))


def test_g9_sub_session_names_its_session() -> None:
    """CC-Sub-Session-Id is part of the key; when it begins, the session that it is part of is looked at."""
    sub = avp.avp_u64(codes.CC_SUB_SESSION_ID, 3)
    first, then = (_translated(ccr(sub, kind=kind)) for kind in (1, 2))
    assert (first.session_key, first.main_key, first.is_sub) == (
        "gy:client.example.net;1;1#3",
        "gy:client.example.net;1;1",
        True,
    )
    assert (then.main_key, then.is_sub) == ("", True)
    assert not _translated(ccr()).is_sub


def test_credit_pools_are_not_granted_and_harm_nothing() -> None:
    """gy-ro 5: a reference to a pool, and its exhaustion as the reason of a report, are taken and mean nothing here."""
    pool = avp.avp(457, avp.avp_u32(453, 1) + avp.avp_u32(454, 2))
    reason = avp.avp_u32(codes.VENDOR_3GPP << 32 | 872, 8)
    request = _translated(ccr(mscc(pool, reason, side(0, 12)), kind=2, context=DATA))
    assert request.groups == (GroupRequest(GroupKey(), None, ALL, ()),)


def test_102_events_of_the_last_week_have_their_own_time() -> None:
    """A direct debit that was buffered for two days is rated by its own time; a session's report of then is not."""
    two_days_ago = avp.avp_u32(codes.EVENT_TIMESTAMP, NTP_NOW - 2 * 86_400)
    debit = avp.avp_u32(codes.REQUESTED_ACTION, 0)
    found = {
        kind: _translated(ccr(two_days_ago, debit, kind=kind, without=(codes.EVENT_TIMESTAMP,)), NOW_MS).event_at_ms
        for kind in (2, 4)
    }
    assert found == {2: NOW_MS, 4: NOW_MS - 2 * 86_400_000}


def _translated(frame: bytes, now_ms: int = 0) -> ChargingRequest:
    request = read_request(Message(frame), NODE)
    assert isinstance(request, CreditControlRequest)
    translated = charging_request(request, now_ms, CONFIG)
    assert isinstance(translated, ChargingRequest)
    return translated


@pytest.mark.parametrize(
    ("code", "data", "identity"),
    [
        (codes.SUBSCRIPTION_ID_E164, "+49151", "e164:49151"),
        (codes.SUBSCRIPTION_ID_IMSI, "262011", "imsi:262011"),
        (codes.SUBSCRIPTION_ID_SIP_URI, "tel:+49151", "e164:49151"),
        (codes.SUBSCRIPTION_ID_NAI, "a@B.net", "nai:a@b.net"),
        (codes.SUBSCRIPTION_ID_PRIVATE, "card 7", "private:card 7"),
    ],
)
def test_subscription_id_extension(code: int, data: str, identity: str) -> None:
    """gy-ro 2, RFC 8506, 8.58: the successor of Subscription-Id names the subscriber where that is not there."""
    extension = group(codes.SUBSCRIPTION_ID_EXTENSION, avp.avp_text(code, data))
    older = subscription(1, "262019")
    for avps, expected in (
        ([extension], identity),
        ([extension, extension], identity),
        ([extension, older], "imsi:262019"),
    ):
        request = read_request(Message(ccr(*avps, subscriber=None)), NODE)
        assert isinstance(request, CreditControlRequest)
        asked = charging_request(request, NOW_MS, CONFIG)
        assert isinstance(asked, ChargingRequest)
        assert asked.identities == (expected,)


def test_money_that_names_no_currency_is_in_the_one_of_the_settings() -> None:
    """Currency-Code is optional (RFC 8506, 8.22): the operator says which is meant."""
    config = GyConfig(NODE, Settings().services, {"JPY": JPY}, CreditControl(currency="JPY"))
    wish = money(codes.REQUESTED_SERVICE_UNIT, 23, currency=None)
    frame = ccr(wish, avp.avp_u32(codes.REQUESTED_ACTION, 0), kind=4, context=SMS)
    read = read_request(Message(frame), NODE)
    assert isinstance(read, CreditControlRequest)
    asked = charging_request(read, NOW_MS, config)
    assert isinstance(asked, ChargingRequest)
    assert (asked.groups[0].requested, asked.currency) == ((Quantity(UnitKind.MONEY, 23_000_000),), "JPY")


def test_a_currency_of_the_settings_that_is_none_is_told() -> None:
    """With the ones that there are."""
    wrong = Settings(credit_control=CreditControl(currency="EUX"))
    assert currency_fault(wrong, {"EUR": EUR}) == (
        "credit_control.currency: 'EUX' is not in currencies.toml (one of EUR, or nothing)"
    )
    assert currency_fault(Settings(), {}) == ""
