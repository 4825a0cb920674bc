"""Prices by where the user is [3.8, gy-ro 17]: access point, radio access, location, serving node, network, and several at once."""

from __future__ import annotations

import pytest

from ocs.rating.build import LoadResult, build
from ocs.rating.dated import instant_ms
from ocs.rating.origins import NO_ZONES, NOWHERE, Origin, origin_of, parse_rule
from ocs.rating.price import Tariff
from ocs.rating.whereabouts import facts_of, moved, whereabouts_of

NOW_MS = instant_ms("2026-09-21T12:00:00Z")
ZONES = """
[stadium]
locations = ["26201-1a2b"]
[partners]
networks = ["208", "234"]
serving = ["192.0.2.0/24", "2001:db8::/32"]
["fixed & mobile"]
apns = ["both.example"]
rats = ["wlan"]
"""
TARIFF = '[[tariffs]]\nservice = "data"\nname = "{origin}"\nper = "MB"\nrate = "{rate}"\norigin = "{origin}"\n'
RULES = (
    "",
    "rat:nr",
    "apn:internet",
    "network:208",
    "network:20801",
    "network:208 & rat:nr",
    "serving:198.51.100.0/24",
    "serving:198.51.100.7",
    "location:26201",
    "location:26201-1a2b-0001",
    "zone:stadium",
    "zone:partners",
    "zone:partners & apn:ims",
    "zone:fixed & mobile",
    "direction:incoming",
    "direction:incoming & zone:partners",
)


def faults_of(tariffs: str, zones: str = ZONES) -> tuple[str, ...]:
    return tuple(str(fault) for fault in load(tariffs, zones).faults)


def load(tariffs: str, zones: str = ZONES) -> LoadResult:
    texts = {
        "currencies.toml": "EUR = { numeric = 978, scale = 9, digits = 2 }\n",
        "zones.toml": zones,
        "rateplans/p.toml": 'name = "p"\ncurrency = "EUR"\n' + tariffs,
    }
    return build({name: text.encode() for name, text in texts.items()}, NOW_MS)


BOOK = load("".join(TARIFF.format(origin=origin, rate=rate) for rate, origin in enumerate(RULES, 1))).book


@pytest.mark.parametrize(
    ("whereabouts", "rule"),
    [
        ("", ""),
        ("26201", ""),
        ("rat:nr", "rat:nr"),
        ("rat:eutran", ""),
        ("rat:nr apn:internet", "apn:internet"),
        ("apn:internet.example", ""),  # an access point is its whole name
        ("20802 rat:eutran", "network:208"),
        ("20802 rat:nr", "network:208 & rat:nr"),
        ("20801 rat:nr", "network:20801"),  # the longer network goes before one more condition
        ("20802 apn:internet", "network:208"),
        ("20802 serving:198.51.100.9", "serving:198.51.100.0/24"),
        ("20802 serving:198.51.100.7", "serving:198.51.100.7"),
        ("serving:nonsense", ""),
        ("26201 rat:nr location:26201-1a2b-0001", "location:26201-1a2b-0001"),
        ("26201 rat:nr location:26201-1a2b-0002", "location:26201"),  # a direct rule goes before a zone
        ("23410", "zone:partners"),
        ("23410 apn:ims", "zone:partners & apn:ims"),
        ("serving:2001:db8::1", "zone:partners"),
        ("rat:wlan", "zone:fixed & mobile"),
        (
            "20801 rat:nr location:26201-1a2b direction:incoming",
            "direction:incoming & zone:partners",
        ),  # before all of both
        ("26201 apn:internet direction:incoming", "direction:incoming"),
    ],
)
def test_3_8_the_closest_description_of_the_place(whereabouts: str, rule: str) -> None:
    """By the highest fact that a rule names, then its length, then how many more it names; zones last."""
    assert BOOK is not None
    found = BOOK.tariff_for("p", "data", 10, (), "", NOW_MS, origin_of("", "", whereabouts))
    assert isinstance(found, Tariff)
    assert found.name == rule


def test_plans_that_ask_where_the_user_is() -> None:
    """Only where a place can choose a price, an update is asked for it."""
    by_trunk = load(TARIFF.format(origin="", rate=1) + TARIFF.format(origin="trunk:t", rate=2)).book
    assert BOOK is not None
    assert by_trunk is not None
    assert (BOOK.by_place, by_trunk.by_place) == (frozenset({("p", "data")}), frozenset())
    assert (BOOK.by_direction, by_trunk.by_direction) == (True, False)


@pytest.mark.parametrize(
    ("origins", "fault"),
    [
        (("rat:6g",), "'rat:6g' is none of utran, geran"),
        (("serving:192.0.2.1/24",), "'serving:192.0.2.1/24' is no address or range of addresses"),
        (("apn:",), "'apn:' says nothing after apn:"),
        (("direction:in",), "'direction:in' is neither of incoming, outgoing"),
        (("cell:1",), "'cell:1' is neither digits of the caller's number nor one of trunk:NAME"),
        (("zone:partners & zone:gone",), "'zone:gone' names no zone of zones.toml"),
        (("network:208 & network:262",), "'network:208 & network:262' wants two values of one fact at once"),
        (("zone:partners & network:262",), "wants two values of one fact at once"),
        (("rat:nr & apn:a", "apn:a & rat:nr"), "at the same time"),
        (("rat:10", "rat:nr"), "at the same time"),
    ],
)
def test_what_cannot_be_meant_is_a_fault(origins: tuple[str, ...], fault: str) -> None:
    """A fact that is not known, a range that is none, two values of one fact, and one origin written in two ways."""
    found = faults_of("".join(TARIFF.format(origin=origin, rate=1) for origin in origins))
    assert any(fault in each for each in found), found


_NO_RAT = (
    "z.rats: '6g' is none of these ('rat:6g' is none of utran, geran, wlan, gan, hspa-evolution, eutran, virtual, nb-iot, "
    "lte-m, nr nor a number of 3GPP-RAT-Type)"
)


def test_zones_name_what_is_wrong_in_them() -> None:
    """The place and the cure."""
    faults = faults_of(TARIFF.format(origin="", rate=1), '[z]\nrats = ["6g"]\n[empty]\n')
    no_members = (
        'the zone has no members (add numbers = ["49", "33"] or trunks, locations, serving, networks, apns, rats)'
    )
    assert [each.partition(": ")[2] for each in sorted(faults)] == [f"z: {no_members}", _NO_RAT, f"empty: {no_members}"]


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule and "zone" not in rule])
def test_a_rule_describes_its_own_example(rule: str) -> None:
    """Comparisons of tariffs ask what applies to an origin of each rule."""
    parsed = parse_rule(rule, NO_ZONES)
    assert parsed.rank(parsed.example) >= 0
    assert parsed.rank(NOWHERE) < 0


@pytest.mark.parametrize(
    ("known", "said", "now"),
    [
        ("", "", ""),
        ("26201", "", "26201"),
        ("26201", "20801", "20801"),
        ("", "20801", "20801"),
        ("26201 rat:nr apn:a", "rat:eutran", "26201 rat:eutran apn:a"),
        ("26201 rat:nr", "20801", "20801 rat:nr"),
        ("26201", "rat:nr", "26201 rat:nr"),
        ("rat:nr", "26201 rat:nr serving:2001:db8::7", "26201 rat:nr serving:2001:db8::7"),
    ],
)
def test_what_is_said_anew_counts_and_the_rest_stays(known: str, said: str, now: str) -> None:
    """An update names what it names; that it says nothing of the rest does not mean that the user has left it."""
    assert moved(known, said) == now


def test_whereabouts_are_one_text_and_their_facts() -> None:
    """Written once, read back the same."""
    text = whereabouts_of("26201", "6", "internet", "26201-1a2b", "2001:db8::7")
    assert text == "26201 rat:eutran apn:internet location:26201-1a2b serving:2001:db8::7"
    facts = facts_of(text)
    assert Origin(**facts) == Origin("", "", "26201-1a2b", "2001:db8::7", "26201", "internet", "eutran")
