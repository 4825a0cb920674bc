"""Final-Unit-Indication and QoS-Final-Unit-Indication, octet by octet (gy-ro 8; RFC 8506, 8.34 and 8.68; RFC 5777)."""

from __future__ import annotations

import pytest

from protocols.diameter import avp, codes
from protocols.diameter.final_units import REDIRECT, RESTRICT_ACCESS, TERMINATE, FinalUnit, final_unit


def test_g54_terminate_has_the_action_alone() -> None:
    """Both forms: {Final-Unit-Action 0}."""
    action = avp.avp_u32(codes.FINAL_UNIT_ACTION, 0)
    old, new = avp.avp(430, action), avp.avp(669, action, mandatory=False)
    assert (final_unit(FinalUnit(TERMINATE)), final_unit(FinalUnit(TERMINATE), True)) == (old, old + new)


@pytest.mark.parametrize(
    ("address", "member"),
    [
        ("http://portal.example.net/", avp.avp_text(667, "http://portal.example.net/", mandatory=False)),
        ("sip:topup@example.net", avp.avp_text(668, "sip:topup@example.net", mandatory=False)),
        ("192.0.2.9", avp.avp(666, b"\0\1\xc0\0\2\x09", mandatory=False)),
        ("2001:db8::1", avp.avp(666, b"\0\2" + bytes.fromhex("20010db8") + bytes(11) + b"\1", mandatory=False)),
    ],
)
def test_g54_redirect_server_extension(address: str, member: bytes) -> None:
    """The address stands in the member that is of its kind."""
    assert avp.avp(665, member, mandatory=False) in final_unit(FinalUnit(REDIRECT, address), True)


def test_g54_filter_rule_of_an_ip_filter_rule() -> None:
    """permit out 6 from 192.0.2.0/24 80,8000-8080 to assigned: the same as a classifier, numbered in their order."""
    rule = "permit out 6 from 192.0.2.0/24 80,8000-8080 to assigned"
    network = avp.avp(518, b"\0\1\xc0\0\2\0") + avp.avp_u32(523, 24)
    ports = avp.avp_u32(530, 80) + avp.avp(531, avp.avp_u32(532, 8000) + avp.avp_u32(533, 8080))
    classifier = (
        avp.avp(512, b"rule 1")
        + avp.avp_u32(513, 6)
        + avp.avp_u32(514, 1)
        + avp.avp(515, avp.avp(522, network) + ports)
        + avp.avp(516, avp.avp_u32(534, 1))
    )
    expected = avp.avp(509, avp.avp_u32(510, 1) + avp.avp(511, classifier) + avp.avp_u32(572, 3))
    assert expected in final_unit(FinalUnit(RESTRICT_ACCESS, filter_rules=(rule,)), True)


@pytest.mark.parametrize(
    "rule",
    [
        "deny in ip from any to any",
        "permit in ip from any to any frag",
        "permit in ip from nowhere to any",
        "permit in 6 from any 70000 to any",
        "permit in 6 from any 1-2-3 to any",
    ],
)
def test_g54_what_the_successor_cannot_say_is_left_to_the_older_form(rule: str) -> None:
    """A client that reads the successor ignores the other: half of the rules would be worse than none."""
    unit = FinalUnit(RESTRICT_ACCESS, filter_rules=("permit in ip from any to any", rule))
    assert final_unit(unit, True) == final_unit(unit)
