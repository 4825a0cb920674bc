"""A record's groups survive the way through JSON, so that its price can be computed again."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from ocs.billing.groups import decode_groups, encode_groups
from ocs.charging.cdr import CdrGroup
from ocs.rating.terms import NextBand, Price, Rounding, Tax, Terms
from ocs.rating.units import UnitKind

words = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))

amounts = st.integers(0, 2**60)
ordinary = st.builds(Price, terms=st.sampled_from(Rounding))
terms = st.builds(
    Terms,
    rounding=st.sampled_from(Rounding),
    attempt_fee=amounts,
    tax=st.none() | st.builds(Tax, code=words),
    band=words,
    switches=st.lists(st.builds(NextBand, name=words, price=ordinary), max_size=2).map(tuple),
)
groups_of_records = st.builds(CdrGroup, price=ordinary | st.builds(Price, terms=terms))


@given(st.lists(groups_of_records, max_size=3).map(tuple))
def test_groups_come_back_as_they_went(groups: tuple[CdrGroup, ...]) -> None:
    """decode(encode(x)) == x, NUL apart: PostgreSQL cannot hold it."""
    again = decode_groups(encode_groups(groups))
    assert len(again) == len(groups)
    for before, after in zip(groups, again, strict=True):
        assert after.price == before.price
        assert (after.rating_group, after.service_ids, after.used, after.cost) == (
            before.rating_group,
            before.service_ids,
            before.used,
            before.cost,
        )
        assert after.tariff == before.tariff.replace("\x00", "\ufffd")


def test_a_record_of_an_older_version_is_still_read() -> None:
    """Fields that came later have their defaults, fields that are gone are passed over."""
    price = {"kind": 1, "setup": 0, "initial": 60, "next": 1, "initial_rate": 3, "next_rate": 3, "per": 60, "gone": 1}
    group = {
        "rating_group": 1,
        "service_ids": [],
        "unit_kind": 1,
        "used": 61,
        "cost": 4,
        "tariff": "t",
        "destination": "d",
        "prefix": "49",
        "source": "f:1",
        "price": price,
    }
    (read,) = decode_groups(json.dumps([group]))
    assert read.price.minimum == 0
    assert read.price.terms is Rounding.UP
    assert read.price.initial == 60


def test_a_price_that_names_its_numbers_is_still_read() -> None:
    """Records of before had the price as an object; in the oldest, before prices had terms, the last field was the rounding."""
    price = {"kind": 1, "setup": 0, "initial": 1, "next": 1, "initial_rate": 3, "next_rate": 3, "per": 60, "terms": 1}
    rounded = {**{name: value for name, value in price.items() if name != "terms"}, "rounding": 3}
    taxed = {**price, "terms": {"rounding": 2, "tax": [190000, True, "full"]}}
    group = CdrGroup(1, (), 1, 61, 4, "t", "d", "49", "f:1", Price(UnitKind.SECONDS, 0, 1, 1, 3, 3, 60))
    (record,) = json.loads(encode_groups((group,)))
    written = [{**record, "price": each, "service_ids": [], "from_ms": 0} for each in (price, rounded, taxed)]
    assert decode_groups(encode_groups((group,))) == (group,)
    plain, down, half_up = decode_groups(json.dumps(written))
    assert plain == group
    assert down.price.terms is Rounding.DOWN
    assert half_up.price.terms == Terms(rounding=Rounding.HALF_UP, tax=Tax(190000, True, "full"))
