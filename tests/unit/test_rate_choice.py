"""Which line applies [3.8]: longest destination prefix, then origin, then newest date, then priority; emergency passes."""

from __future__ import annotations

import pytest

from balance.money import Currency
from ocs.rates.trace import Query, trace
from ocs.rating.build import LoadResult, build
from ocs.rating.dated import instant_ms
from ocs.rating.origins import NOWHERE, Origin
from ocs.rating.price import Tariff, is_free
from ocs.rating.ratebook import RateBook

NOW_MS = instant_ms("2026-09-21T12:00:00Z")
ZONES = '[EEA]\nnumbers = ["33", "49"]\nnetworks = ["262"]\n[core]\ntrunks = ["sbc1", "sbc2"]\n[also-france]\nnumbers = ["33"]\n'
NUMBERS = 'emergency = ["112"]\n'
PLAN = (
    'name = "p"\ncurrency = "EUR"\n'
    '[[tariffs]]\nservice = "voice"\nname = "Calls"\nper = "minute"\ndeck = "d"\n'
    '[[tariffs]]\nservice = "data"\nname = "Home"\nper = "MB"\nrate = "1"\n'
    '[[tariffs]]\nservice = "data"\nname = "Roaming"\nper = "MB"\nrate = "2"\norigin = "network:2"\n'
    '[[tariffs]]\nservice = "data"\nname = "Roaming EEA"\nper = "MB"\nrate = "1"\norigin = "zone:EEA"\n'
    '[[tariffs]]\nservice = "data"\nname = "Roaming A"\nper = "MB"\nrate = "3"\norigin = "network:26201"\nto = "2026-01-01"\n'
)


def load(deck: str, plan: str = PLAN, zones: str = ZONES) -> LoadResult:
    texts = {
        "currencies.toml": "EUR = { numeric = 978, scale = 9, digits = 2 }\n",
        "numbers.toml": NUMBERS,
        "zones.toml": zones,
        "rateplans/p.toml": plan,
        "decks/d.csv": deck,
    }
    return build({name: text.encode() for name, text in texts.items()}, NOW_MS)


def book_of(deck: str) -> RateBook:
    result = load(deck)
    assert result.book is not None, result.faults
    return result.book


DECK = book_of(
    """prefix,destination,rate,origin,priority,from,to,forbidden
49,Any,0.05,,,,,
49,From Germany,0.01,49,,,,
49,From Berlin,0.02,4930,,,,
49,From trunk 1,0.03,trunk:sbc1,,,,
49,From core,0.04,zone:core,,,,
49,From EEA,0.06,zone:EEA,,,,
4915,Mobile from EEA,0.07,zone:EEA,,,,
4916,Mobile barred from trunk 1,0,trunk:sbc1,,,,yes
44,Old,0.01,,,2025-01-01,2030-01-01,
44,New,0.02,,,2026-01-01,2026-12-01,
33,Ordinary,0.01,,,2026-01-01,,
33,Preferred,0.02,,5,2026-01-01,,
112,A deck with 112,9,,,,,
"""
)


@pytest.mark.parametrize(
    ("number", "origin", "destination"),
    [
        ("49301", NOWHERE, "Any"),
        ("49301", Origin("4989123"), "From Germany"),
        ("49301", Origin("4930123"), "From Berlin"),
        ("49301", Origin("4930123", "sbc1"), "From Berlin"),
        ("49301", Origin("1", "sbc1"), "From trunk 1"),
        ("49301", Origin("1", "sbc2"), "From core"),
        ("49301", Origin("33123", "sbc3"), "From EEA"),
        ("49301", Origin("1", network="26202"), "From EEA"),
        ("49301", Origin("1", "sbc", network="310"), "Any"),
        ("49151", Origin("33123"), "Mobile from EEA"),
        ("49151", Origin("1"), "Any"),
        ("49161", Origin("", "sbc1"), "destination_barred"),
        ("49161", Origin("", "sbc2"), "From core"),
        ("33123", NOWHERE, "Preferred"),
    ],
)
def test_3_8_destination_then_origin(number: str, origin: Origin, destination: str) -> None:
    """The longest destination first; of its lines the caller's prefix, the trunk, the network, the zone, then any."""
    found = DECK.tariff_for("p", "voice", -1, (), number, NOW_MS, origin)
    assert (found.destination if isinstance(found, Tariff) else found.value) == destination


@pytest.mark.parametrize(
    ("at", "destination"), [("2025-06-01", "Old"), ("2026-06-01", "New"), ("2026-12-01", "Old"), ("2030-01-01", "none")]
)
def test_3_8_newest_effective_date(at: str, destination: str) -> None:
    """Of two lines in force the one that started last applies; when it ends before the other, the other is back."""
    found = DECK.tariff_for("p", "voice", -1, (), "44", instant_ms(at))
    assert (found.destination if isinstance(found, Tariff) else "none") == destination


def test_explain_says_why_each_line_lost() -> None:
    """Every line of every prefix of the number has its reason, and one applies."""
    query = Query("49151", "p", "voice", NOW_MS, origin=Origin("4930", "sbc1"))
    found = trace(DECK, Currency("EUR", 978, 9, 2), query)
    assert [(each.prefix, each.origin, each.outcome, each.is_chosen) for each in found.candidates] == [
        ("4915", "zone:EEA", "applies: the longest prefix in force", True),
        ("49", "", "shorter than 4915", False),
        ("49", "49", "shorter than 4915", False),
        ("49", "4930", "shorter than 4915", False),
        ("49", "trunk:sbc1", "shorter than 4915", False),
        ("49", "zone:core", "shorter than 4915", False),
        ("49", "zone:EEA", "shorter than 4915", False),
    ]
    other = trace(DECK, Currency("EUR", 978, 9, 2), Query("49151", "p", "voice", NOW_MS, origin=Origin("1", "sbc1")))
    assert [(each.origin, each.outcome) for each in other.candidates] == [
        ("zone:EEA", "for another origin"),
        ("", "a more specific origin goes first"),
        ("49", "for another origin"),
        ("4930", "for another origin"),
        ("trunk:sbc1", "applies: the longest prefix in force"),
        ("zone:core", "a more specific origin goes first"),
        ("zone:EEA", "for another origin"),
    ]


def test_explain_says_why_each_tariff_lost() -> None:
    """Tariffs of other origins, and one that is over, are told apart."""
    found = trace(DECK, Currency("EUR", 978, 9, 2), Query("", "p", "data", NOW_MS, 10, (), Origin(network="26201")))
    assert [(each.name, each.outcome, each.is_chosen) for each in found.tariffs] == [
        ("Roaming A", "ended 2026-01-01", False),
        ("Roaming", "applies", True),
        ("Roaming EEA", "a more specific tariff goes first", False),
        ("Home", "a more specific tariff goes first", False),
    ]


def test_an_end_after_the_next_start_is_warned_of() -> None:
    """Lawful, and hardly ever meant."""
    deck = "prefix,destination,rate,from,to\n49,Old,1,2026-01-01,2026-03-01\n49,New,2,2026-02-01,\n"
    assert [str(warning) for warning in load(deck).warnings] == [
        "decks/d.csv:2: to: is still in force when line 3 begins, which then goes first (end it where the other begins)"
    ]


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ("49,A,1,33,\n49,B,1,33,\n", "decks/d.csv:3: prefix: the same prefix as in line 2, at the same time"),
        ("49,A,1,zone:EEA,\n49,B,1,zone:also-france,\n", "decks/d.csv:3: prefix: the same prefix as in line 2"),
        ("49,A,1,,3\n49,B,1,,3\n", "decks/d.csv:3: prefix: the same prefix as in line 2, at the same time"),
        ("49,A,1,zone:EAA,\n", "decks/d.csv:2: origin: 'zone:EAA' names no zone of zones.toml (did you mean EEA?)"),
        (
            "49,A,1,+33,\n",
            "decks/d.csv:2: origin: '+33' is neither digits of the caller's number nor one of trunk:NAME",
        ),
        ("49,A,1,,high\n", "decks/d.csv:2: priority: 'high' is no priority"),
    ],
)
def test_3_8_equal_rank_is_a_fault(lines: str, fault: str) -> None:
    """Nothing is decided by chance: lines of equal rank, and origins that cannot be read, are faults with their place."""
    faults = [str(each) for each in load(f"prefix,destination,rate,origin,priority\n{lines}").faults]
    assert any(each.startswith(fault) for each in faults), faults


@pytest.mark.parametrize(
    "lines",
    [
        "49,A,1,33,\n49,B,1,3,\n",
        "49,A,1,zone:EEA,\n49,B,1,zone:also-france,1\n",
        "49,A,1,zone:EEA,\n49,B,1,zone:core,\n",
    ],
)
def test_other_origins_and_priorities_are_no_fault(lines: str) -> None:
    """What differs in rank, or can never meet, may stand beside each other."""
    assert load(f"prefix,destination,rate,origin,priority\n{lines}").faults == ()


@pytest.mark.parametrize(
    ("network", "at", "name"),
    [
        ("", "2026-06-01", "Home"),
        ("310260", "2026-06-01", "Home"),
        ("23430", "2026-06-01", "Roaming"),
        ("26202", "2026-06-01", "Roaming"),  # a direct rule goes before a zone, however short
        ("26201", "2025-06-01", "Roaming A"),
        ("26201", "2026-06-01", "Roaming"),
    ],
)
def test_tariffs_have_origins_too(network: str, at: str, name: str) -> None:
    """Data has no destination: the visited network chooses among the tariffs of a plan."""
    found = DECK.tariff_for("p", "data", 10, (), "", instant_ms(at), Origin(network=network))
    assert isinstance(found, Tariff)
    assert found.name == name


@pytest.mark.parametrize(("plan", "service"), [("p", "voice"), ("p", "sms"), ("gone", "voice")])
def test_41_emergency_numbers_always_pass(plan: str, service: str) -> None:
    """Whatever the plan sells, whatever its deck says, even if the account's plan is no longer there."""
    found = DECK.tariff_for(plan, service, -1, (), "112", NOW_MS)
    assert isinstance(found, Tariff)
    assert is_free(found.price)
    assert (found.name, found.source) == ("Emergency", "numbers.toml")


def test_a_number_that_only_begins_like_an_emergency_number_does_not_pass() -> None:
    """112 is free; 1125 is a line of the deck."""
    found = DECK.tariff_for("p", "voice", -1, (), "1125", NOW_MS)
    assert isinstance(found, Tariff)
    assert found.destination == "A deck with 112"


@pytest.mark.parametrize(
    ("zones", "fault"),
    [
        ("[EEA]\n", "zones.toml:1: EEA: the zone has no members"),
        ('[EEA]\nnumbers = ["+49"]\n', "zones.toml:2: EEA.numbers: '+49' is none of these"),
        ('[EEA]\nnumber = ["49"]\n', "zones.toml:2: EEA.number: is not a known field"),
    ],
)
def test_faults_of_zones(zones: str, fault: str) -> None:
    """A zone that cannot be read is a fault with its place."""
    faults = [str(each) for each in load("prefix,destination,rate\n49,A,1\n", zones=zones).faults]
    assert any(each.startswith(fault) for each in faults), faults


def test_two_tariffs_of_zones_that_share_a_member_are_a_fault() -> None:
    """A caller from France would have two prices."""
    plan = PLAN.replace('"network:2"', '"zone:also-france"')
    faults = [str(each) for each in load("prefix,destination,rate\n49,A,1\n", plan).faults]
    assert any("a second tariff for data, all rating groups, beside line 13" in each for each in faults), faults
