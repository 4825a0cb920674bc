"""Reports of use before and after a Tariff-Time-Change (gy-ro 10; RFC 8506, section 8.27)."""

from __future__ import annotations

import pytest

from ocs.charging.request import ChargingRequest, GroupKey, GroupRequest, Quantity
from ocs.gateways.gy import GyConfig, charging_request
from ocs.rating.units import UnitKind
from ocs.settings import Settings
from protocols.diameter import avp, codes
from protocols.diameter.gy import CreditControlRequest, read_request
from protocols.diameter.message import Fault, Message
from protocols.diameter.node import LocalNode
from tests.builders_gy import DATA, ccr, group, mscc

NODE = LocalNode("ocs.example.net", "example.net")
CONFIG = GyConfig(NODE, Settings().services, {})
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
    request = read_request(Message(ccr(*avps, kind=2, context=DATA)), NODE)
    assert isinstance(request, CreditControlRequest)
    translated = charging_request(request, 0, CONFIG)
    assert isinstance(translated, ChargingRequest)
    assert translated.groups == (reported,)


def test_g70_a_side_that_is_none_is_5004() -> None:
    """Tariff-Change-Usage is 0 to 2; the fault names it within its parents."""
    fault = read_request(Message(ccr(mscc(side(3, 1)), kind=2)), NODE)
    assert isinstance(fault, Fault)
    change = avp.avp_u32(codes.TARIFF_CHANGE_USAGE, 3)
    assert (fault.result_code, fault.failed_avp) == (5004, mscc(group(codes.USED_SERVICE_UNIT, change)))
