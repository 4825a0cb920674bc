"""A session on the screen: what it used at earlier prices, and a change of price that is to come."""

from __future__ import annotations

from balance.money import Currency
from ocs.charging.cdr import CdrGroup
from ocs.charging.request import ChargingStatus, GroupAnswer, GroupKey
from ocs.charging.session import Course, GroupState
from ocs.cli.inspect_view import _granted_text, _group_fields
from ocs.rating.dated import instant_ms
from ocs.rating.price import Price, Tariff
from ocs.rating.units import UnitKind

EUR = Currency("EUR", 978, 9, 2)
PRICE = Price(UnitKind.SECONDS, 0, 1, 1, 20_000_000, 20_000_000, 1)


def test_g60_earlier_prices_are_shown() -> None:
    """Thirty seconds at home, then abroad."""
    home = CdrGroup(-1, (), UnitKind.SECONDS, 30, 400_000_000, "Home", "", "", "p.toml:1", PRICE)
    state = GroupState(GroupKey(), Tariff(PRICE, "p", "Abroad", "", "", "p.toml:9", "v"), 70, 1_200_000_000)
    moved = GroupState(state.key, state.tariff, state.used, state.cost, course=Course((home,), whereabouts="20801"))
    assert _group_fields(state, EUR)["before"] == []
    assert _group_fields(moved, EUR)["before"] == ["30 s at Home: 0.40"]


def test_g70_change_to_come_is_shown() -> None:
    """With the grant that runs over it."""
    at_ms = instant_ms("2026-09-21T18:00:00+02:00")
    answer = GroupAnswer(GroupKey(30), ChargingStatus.SUCCESS, UnitKind.OCTETS, 1_048_576, 300, change_at_ms=at_ms)
    assert _granted_text(answer, EUR).endswith("valid 300 s, price changes at 2026-09-21T16:00:00.000Z")
