"""Which tariff applies: plan, service, group, prefix and time."""

from __future__ import annotations

import msgspec
import pytest

from ocs.rating.build import build
from ocs.rating.dated import FOREVER_MS, instant_ms
from ocs.rating.price import Tariff, cost_of, is_free
from ocs.rating.ratebook import RateBook, RatingFault

NOW_MS = instant_ms("2026-09-21T12:00:00Z")
CURRENCIES = b"EUR = { numeric = 978, scale = 9, digits = 2 }\n"


def book_of(plan: str, deck: str = "", zones: str = "", loaded_at_ms: int = NOW_MS) -> RateBook:
    files = {"currencies.toml": CURRENCIES, "rateplans/p.toml": f'name = "p"\ncurrency = "EUR"\n{plan}'.encode()}
    if deck:
        files["decks/d.csv"] = deck.encode()
    if zones:
        files["destinations/d.csv"] = zones.encode()
    result = build(files, loaded_at_ms)
    assert result.book is not None, result.faults
    return result.book


def tariff(service: str, name: str, more: str = 'rate = "1"') -> str:
    return f'[[tariffs]]\nservice = "{service}"\nname = "{name}"\nper = "minute"\n{more}\n'


def calls(deck: str, loaded_at_ms: int = NOW_MS, more: str = "") -> RateBook:
    return book_of(tariff("voice", "Calls", f'deck = "d"\n{more}'), deck, loaded_at_ms=loaded_at_ms)


def voice(book: RateBook, number: str, at: str = "2026-09-21T12:00:00Z") -> str:
    """Look up a call and give its destination, or the fault's name."""
    found = book.tariff_for("p", "voice", 1, (), number, instant_ms(at))
    return found.destination if isinstance(found, Tariff) else found.value


GROUPS = book_of(
    tariff("data", "ten", 'rate = "1"\nrating_groups = [10]')
    + tariff("data", "ten five", 'rate = "1"\nrating_groups = [10]\nservice_identifiers = [5]')
    + tariff("data", "six", 'rate = "1"\nservice_identifiers = [6]')
    + tariff("data", "others")
    + tariff("strict", "twenty", 'rate = "1"\nrating_groups = [20]')
    + tariff("named", "thirty", 'rate = "1"\nrating_groups = [30, 31]\ndefault = true')
    + tariff("identified", "only", 'rate = "1"\nrating_groups = [10]\nservice_identifiers = [5]\ndefault = true')
)


@pytest.mark.parametrize(
    ("service", "group", "identifiers", "name"),
    [
        ("data", 10, (), "ten"),
        ("data", 10, (5,), "ten five"),
        ("data", 10, (4, 5), "ten five"),
        ("data", 10, (6,), "six"),
        ("data", 11, (6,), "six"),
        ("data", 11, (5,), "others"),
        ("data", -1, (), "others"),
        ("strict", 20, (), "twenty"),
        ("strict", 21, (), RatingFault.NO_RATING_GROUP),
        ("strict", -1, (), RatingFault.NO_RATING_GROUP),
        ("named", 31, (), "thirty"),
        ("named", -1, (), "thirty"),
        ("named", 10, (), RatingFault.NO_RATING_GROUP),
        ("identified", -1, (5,), "only"),
        ("identified", 11, (5,), RatingFault.NO_RATING_GROUP),
        ("mms", 10, (), RatingFault.NO_SERVICE),
    ],
)
def test_choice_by_group_and_identifier(service: str, group: int, identifiers: tuple[int, ...], name: str) -> None:
    """The most specific tariff wins; a tariff without groups takes what no other is for [42, 43]."""
    found = GROUPS.tariff_for("p", service, group, identifiers, "", NOW_MS)
    assert (found.name if isinstance(found, Tariff) else found) == name


def test_unknown_plan() -> None:
    """An account may carry a plan that is no longer in the files."""
    assert GROUPS.tariff_for("gone", "data", 10, (), "", NOW_MS) is RatingFault.UNKNOWN_PLAN


DECK = """prefix,destination,rate,from,to,forbidden
49,Germany,0.05,,,
4915,Germany Mobile,0.12,2026-01-01,,
49157,Germany Mobile,0.15,2027-01-01,,
49800,Freephone,0,,,
49900,Premium,,,,yes
44,UK old,0.06,,2026-10-01,
44,UK new,0.07,2026-10-01,,
33,France old,0.06,2026-01-01,,
33,France new,0.07,2026-10-01T00:00:00+02:00,,
1,Later,0.01,2027-01-01,,
7,Past,0.01,2025-01-01,2026-01-01,
"""


@pytest.mark.parametrize("loaded_at", ["2025-01-01", "2026-09-21", "2026-12-01", "2028-01-01"])
@pytest.mark.parametrize(
    ("number", "at", "destination"),
    [
        ("4930123456", "2026-09-21", "Germany"),
        ("49", "2026-09-21", "Germany"),
        ("4915123456", "2026-09-21", "Germany Mobile"),
        ("4915123456", "2026-01-01", "Germany Mobile"),
        ("4915123456", "2025-12-31T23:59:59.999Z", "Germany"),
        ("49800123456", "2026-09-21", "Freephone"),
        ("49900123456", "2026-09-21", "destination_barred"),
        ("4420", "2026-09-30T23:59:59.999Z", "UK old"),
        ("4420", "2026-10-01", "UK new"),
        ("331", "2026-09-30T21:59:59.999Z", "France old"),
        ("331", "2026-09-30T22:00:00Z", "France new"),
        ("331", "2025-12-31", "not_in_force"),
        ("1212", "2026-09-21", "not_in_force"),
        ("1212", "2027-01-01", "Later"),
        ("7495", "2026-09-21", "not_in_force"),
        ("7495", "2025-06-01", "Past"),
        ("4", "2026-09-21", "no_destination"),
        ("", "2026-09-21", "no_destination"),
        ("+49", "2026-09-21", "no_destination"),
        ("alice", "2026-09-21", "no_destination"),
        ("999", "2026-09-21", "no_destination"),
    ],
)
def test_3_8_longest_prefix_in_force(number: str, at: str, destination: str, loaded_at: str) -> None:
    """The answer is that of the longest prefix in force at the instant asked for, whenever the files were loaded (statement 91)."""
    assert voice(calls(DECK, instant_ms(loaded_at)), number, at) == destination


@pytest.mark.parametrize(
    ("number", "until"),
    [
        ("4930", ""),
        ("4420", "2026-10-01"),
        ("33", "2026-09-30T22:00:00Z"),
        ("49157", "2027-01-01"),
    ],
)
def test_valid_until(number: str, until: str) -> None:
    """A tariff says when it ends, and also when a longer prefix will take over."""
    found = calls(DECK).tariff_for("p", "voice", 1, (), number, NOW_MS)
    assert isinstance(found, Tariff)
    assert found.valid_until_ms == (instant_ms(until) if until else 0)


def test_tariffs_of_a_plan_have_dates_too() -> None:
    """A flat tariff is followed by the next one at its instant, and before the first one there is none."""
    book = book_of(
        tariff("sms", "old", 'rate = "1"\nfrom = 2026-01-01')
        + tariff("sms", "new", 'rate = "2"\nfrom = 2027-01-01\nto = "2028-01-01T00:00:00Z"')
        + tariff("voice", "calls", 'deck = "d"\nto = 2026-10-10'),
        DECK,
    )

    def sms(at: str) -> Tariff | RatingFault:
        return book.tariff_for("p", "sms", -1, (), "", instant_ms(at))

    old, new = sms("2026-12-31"), sms("2027-01-01")
    assert isinstance(old, Tariff)
    assert isinstance(new, Tariff)
    assert (old.name, old.valid_until_ms) == ("old", instant_ms("2027-01-01"))
    assert (new.name, new.valid_until_ms) == ("new", instant_ms("2028-01-01"))
    assert sms("2025-12-31") is sms("2028-01-01") is RatingFault.NOT_IN_FORCE
    ends = [book.tariff_for("p", "voice", 1, (), number, NOW_MS) for number in ("4930", "4420", "49900")]
    assert [end.valid_until_ms for end in ends if isinstance(end, Tariff)] == [
        instant_ms("2026-10-10"),
        instant_ms("2026-10-01"),
    ]
    assert ends[-1] is RatingFault.DESTINATION_BARRED


def test_a_tariff_says_where_it_comes_from() -> None:
    """Plan, name, destination, matched prefix, file and line, and the version of the files [7]."""
    book = calls(DECK)
    found = book.tariff_for("p", "voice", 1, (), "4930123", NOW_MS)
    assert isinstance(found, Tariff)
    assert (found.plan, found.name, found.destination, found.prefix) == ("p", "Calls", "Germany", "49")
    assert (found.source, found.version) == ("decks/d.csv:2", book.version)
    flat = GROUPS.tariff_for("p", "data", 10, (), "", NOW_MS)
    assert isinstance(flat, Tariff)
    assert flat.source == "rateplans/p.toml:3"


def test_lines_inherit_from_their_tariff_and_override_it() -> None:
    """Empty cells are the tariff's; a rate of 0 is free without the tariff's fee; a written fee stays."""
    deck = "prefix,destination,rate,initial_rate,initial,next,setup,minimum\n1,a,0.6,,,,,\n2,b,0.6,1.2,30,10,0.05,40\n3,c,0,,,,,\n4,d,0,,,,0.02,\n"
    book = calls(deck, more='setup = "0.10"\ninitial = 60\nnext = 6\nround_to = "0.01"\nrounding = "half-up"')

    def cost(number: str, used_s: int) -> int:
        found = book.tariff_for("p", "voice", 1, (), number, NOW_MS)
        assert isinstance(found, Tariff)
        return cost_of(found.price, used_s)

    cents = 10_000_000
    assert cost("1", 1) == 70 * cents
    assert cost("1", 61) == 76 * cents
    assert cost("2", 1) == (5 + 60 + 10) * cents
    assert cost("2", 45) == (5 + 60 + 20) * cents
    assert cost("3", 600) == 0
    assert cost("4", 600) == 2 * cents
    toll_free = book.tariff_for("p", "voice", 1, (), "3", NOW_MS)
    assert isinstance(toll_free, Tariff)
    assert is_free(toll_free.price)


def test_destinations_priced_by_name() -> None:
    """A list of prefixes is priced in the plan; what has no rate is not sold, what is forbidden is barred."""
    zones = "prefix,destination\n49,Germany\n4915,Germany\n44,UK\n33,France\n88,Satellite\n"
    rates = "".join(
        f"[[tariffs.rates]]\n{rate}\n"
        for rate in (
            'destination = "Germany"\nrate = "0.6"\nnext = 60',
            'destination = "UK"\nrate = "0"',
            'destination = "Satellite"\nforbidden = true',
        )
    )
    book = book_of(tariff("voice", "Zones", f'destinations = "d"\ninitial = 60\n{rates}'), zones=zones)
    assert [voice(book, number) for number in ("491512", "44", "33", "88")] == [
        "Germany",
        "UK",
        "no_destination",
        "destination_barred",
    ]
    found = book.tariff_for("p", "voice", 1, (), "491512", NOW_MS)
    assert isinstance(found, Tariff)
    assert (found.prefix, found.source, found.price.next) == ("4915", "destinations/d.csv:3", 60)


def test_two_tariffs_with_one_deck_share_its_table() -> None:
    """Equal defaults read a deck once; other defaults make other prices of the same lines."""
    deck = "prefix,destination,rate\n49,Germany,0.6\n"
    book = book_of(
        tariff("voice", "one", 'deck = "d"')
        + tariff("video", "two", 'deck = "d"')
        + tariff("fax", "three", 'deck = "d"\ninitial = 60'),
        deck,
    )
    prices = [book.tariff_for("p", service, 1, (), "491", NOW_MS) for service in ("voice", "video", "fax")]
    assert [price.price.initial for price in prices if isinstance(price, Tariff)] == [1, 1, 60]


def test_tariffs_survive_the_wire() -> None:
    """A tariff frozen in a session is read back as it was."""
    found = calls(DECK).tariff_for("p", "voice", 1, (), "4930", NOW_MS)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(found), type=Tariff) == found


def test_instants() -> None:
    """Dates are midnight UTC; an offset is honoured; forever is beyond all of them."""
    assert instant_ms("1970-01-02") == 86_400_000
    assert instant_ms("2026-09-21T02:00:00+02:00") == instant_ms("2026-09-21")
    assert instant_ms("9999-12-31") < FOREVER_MS
