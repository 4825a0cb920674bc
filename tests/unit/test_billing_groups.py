"""A record's groups survive the way through JSON, so that its price can be computed again."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from ocs.billing.groups import decode_groups, encode_groups
from ocs.charging.cdr import CdrGroup

words = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))


@given(st.lists(st.from_type(CdrGroup).map(lambda group: group), max_size=3).map(tuple))
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
    assert read.price.initial == 60
