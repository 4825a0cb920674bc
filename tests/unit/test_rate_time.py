"""Prices by the time of day [3.7, 3.9, 82-84, 90]: bands in a named zone, holidays, clocks that change, calls that are split."""

from __future__ import annotations

import pytest

from balance.money import Currency, parse_amount
from ocs.rating.build import LoadResult, build
from ocs.rating.dated import instant_ms
from ocs.rating.explain import explain
from ocs.rating.price import Price, cost_of, held_for, units_within
from ocs.rating.ratebook import RateBook
from ocs.rating.tariffs import RatingFault
from ocs.rating.terms import Tariff, chosen_at_ms, terms_of
from ocs.rating.timetable import begun_later, carried_over, next_switch_s

CURRENCY = Currency("EUR", 978, 9, 2)
NOW_MS = instant_ms("2026-09-21")
# TT: 0.02 per second until 18:00 on the clock of Berlin, 0.01 from then on.
EVENING = 'zone = "Europe/Berlin"\n[[bands]]\nname = "day"\ntimes = ["06:00-18:00"]\n[[bands]]\nname = "evening"\n'
HEAD = 'name = "p"\ncurrency = "EUR"\n[[tariffs]]\nservice = "voice"\nname = "Calls"\nper = "second"\ncalendar = "c"\n'
TT = HEAD + 'price_at = "split"\nrate = "0.01"\n[[tariffs.bands]]\nband = "day"\nrate = "0.02"\n'
MINUTES = (
    HEAD.replace("second", "minute")
    + 'price_at = "split"\nrate = "0.12"\ninitial = 60\nnext = 60\n[[tariffs.bands]]\nband = "day"\nrate = "0.30"\n'
)


def eur(text: str) -> int:
    return parse_amount(text, 9)


def load(plan: str, calendar: str = EVENING, deck: str = "") -> LoadResult:
    texts = {
        "currencies.toml": "EUR = { numeric = 978, scale = 9, digits = 2 }\n",
        "calendars/c.toml": calendar,
        "rateplans/p.toml": plan,
    }
    if deck:
        texts["decks/d.csv"] = deck
    return build({name: text.encode() for name, text in texts.items()}, NOW_MS)


def tariff(plan: str, at: str, calendar: str = EVENING, deck: str = "", number: str = "49") -> Tariff:
    book = load(plan, calendar, deck).book
    assert book is not None, load(plan, calendar, deck).faults
    found = book.tariff_for("p", "voice", -1, (), number, instant_ms(at))
    assert isinstance(found, Tariff)
    return found


def price(plan: str, at: str) -> Price:
    return tariff(plan, at).price


@pytest.mark.parametrize(
    ("plan", "at", "costs"),
    [
        (TT, "2026-09-21T17:59:50+02:00", {0: "0", 10: "0.20", 30: "0.40", 60: "0.70"}),  # 82, 83
        (TT, "2026-09-21T18:00:00+02:00", {30: "0.30"}),
        (TT, "2026-09-21T17:59:59.999+02:00", {1: "0.02", 2: "0.03"}),
        (TT, "2026-12-21T16:59:50Z", {30: "0.40"}),
        (TT, "2026-09-21T17:59:50+02:00", {12 * 3600 + 10: "432.20", 12 * 3600 + 20: "432.40"}),  # and dear again at 6
        (MINUTES, "2026-09-21T17:59:30+02:00", {100: "0.42", 61: "0.42", 60: "0.30"}),  # 84: the price at its start
        (TT.replace('"split"', '"start"'), "2026-09-21T17:59:50+02:00", {30: "0.60"}),
        (TT.replace('price_at = "split"\n', ""), "2026-09-21T17:59:50+02:00", {30: "0.60"}),
        (TT + 'setup = "0.10"\n', "2026-09-21T17:59:50+02:00", {30: "0.50"}),
        (TT + 'setup = "0.10"\n', "2026-09-21T19:00:00+02:00", {30: "0.30"}),
        (TT.replace('rate = "0.01"', 'rate = "0.01"\ndeducted = 5'), "2026-09-21T17:59:50+02:00", {15: "0.15", 5: "0"}),
        (TT.replace('rate = "0.01"', 'rate = "0.01"\nfree_units = 5'), "2026-09-21T17:59:50+02:00", {15: "0.15"}),
    ],
)
def test_82_to_84_split_at_the_switch(plan: str, at: str, costs: dict[int, str]) -> None:
    """Each second has the price of its time; an increment that of its start; or the whole call that of its beginning [G-72]."""
    found = price(plan, at)
    assert {used: cost_of(found, used) for used in costs} == {used: eur(cost) for used, cost in costs.items()}


@pytest.mark.parametrize(("budget", "units"), [("0.20", 10), ("0.21", 11), ("0.40", 30), ("0.019", 0), ("600", 36_000)])
def test_83_quota_over_a_switch(budget: str, units: int) -> None:
    """What is granted across the switch is paid on both sides of it."""
    found = price(TT, "2026-09-21T17:59:50+02:00")
    assert units_within(found, eur(budget), 36_000) == units
    assert held_for(found, 60) == eur("0.70")


DAYS = """zone = "Europe/Berlin"
holidays = ["2026-12-25"]
[[bands]]
name = "peak"
days = ["mon-fri"]
times = ["08:00-12:00", "13:00-18:00"]
[[bands]]
name = "weekend"
days = ["sat", "sun", "holiday"]
[[bands]]
name = "night"
days = ["mon-fri"]
times = ["22:00-24:00", "00:00-06:00"]
[[bands]]
name = "rest"
"""


@pytest.mark.parametrize(
    ("at", "band"),
    [
        ("2026-09-21T08:00:00+02:00", "peak"),  # a Monday
        ("2026-09-21T07:59:59.999+02:00", "rest"),
        ("2026-09-21T12:00:00+02:00", "rest"),
        ("2026-09-21T12:59:59+02:00", "rest"),
        ("2026-09-21T17:59:59+02:00", "peak"),
        ("2026-09-21T18:00:00+02:00", "rest"),
        ("2026-09-21T22:00:00+02:00", "night"),
        ("2026-09-22T05:59:59+02:00", "night"),
        ("2026-09-22T06:00:00+02:00", "rest"),
        ("2026-09-25T23:59:59+02:00", "night"),
        ("2026-09-26T00:00:00+02:00", "weekend"),
        ("2026-09-27T21:59:59Z", "weekend"),
        ("2026-09-27T22:00:00Z", "night"),  # midnight is Berlin's
        ("2026-12-24T10:00:00+01:00", "peak"),
        ("2026-12-25T10:00:00+01:00", "weekend"),  # a Friday, and a holiday
    ],
)
def test_3_9_days_times_and_holidays(at: str, band: str) -> None:
    """Half-open times on the clock of the zone; a holiday is a holiday whatever its weekday."""
    assert (
        terms_of(tariff(HEAD + 'rate = "1"\n[[tariffs.bands]]\nband = "peak"\nrate = "2"\n', at, DAYS).price).band
        == band
    )


NIGHT = 'zone = "Europe/Berlin"\n[[bands]]\nname = "small-hours"\ntimes = ["02:30-03:00"]\n[[bands]]\nname = "rest"\n'
HOURS = HEAD + 'price_at = "split"\nrate = "0"\n[[tariffs.bands]]\nband = "small-hours"\nrate = "1"\n'


@pytest.mark.parametrize(
    ("at", "seconds_in_band"),
    [
        ("2026-10-23T22:00:00Z", 1800),  # an ordinary night
        ("2026-10-24T22:00:00Z", 3600),  # clocks go back: half past two comes twice
        ("2027-03-27T23:00:00Z", 0),  # clocks go forward: it does not come at all
    ],
)
def test_90_clock_changes(at: str, seconds_in_band: int) -> None:
    """Duration is counted in UTC and the price follows the local clock; no second is lost or doubled."""
    book = load(HOURS, NIGHT).book
    assert book is not None
    found = book.tariff_for("p", "voice", -1, (), "49", instant_ms(at))
    assert isinstance(found, Tariff)
    assert cost_of(found.price, 8 * 3600) == eur("1") * seconds_in_band


def test_the_last_price_goes_on_after_three_days() -> None:
    """The switches of three days are kept with a session; what lasts longer keeps the last of their prices."""
    found = price(TT, "2026-09-21T18:00:00+02:00")
    assert len(terms_of(found).switches) == 5
    assert cost_of(found, 5 * 86_400) - cost_of(found, 4 * 86_400) == 86_400 * eur("0.02")


@pytest.mark.parametrize(
    ("later", "cost"), [(0, "0.40"), (-3, "0.40"), (4, "0.36"), (10, "0.30"), (11, "0.30"), (12 * 3600 + 5, "0.55")]
)
def test_a_call_that_is_answered_later_begins_later(later: int, cost: str) -> None:
    """Ringing moves the switch nearer; what was authorized before six may be answered after it."""
    assert cost_of(begun_later(price(TT, "2026-09-21T17:59:50+02:00"), later), 30) == eur(cost)


def test_85_data_carries_what_it_has_cost_over_a_switch() -> None:
    """What was used before has its price; the fee of the beginning is paid once; the lines add up."""
    data = TT.replace('"second"', '"MiB"').replace(
        'rate = "0.01"', 'rate = "0.01"\nsetup = "0.10"\ninitial = "1 MiB"\nnext = "1 MiB"'
    )
    mib = 1_048_576
    first = price(data, "2026-09-21T17:59:50+02:00")
    assert next_switch_s(first) == 10
    assert cost_of(first, 3 * mib) == eur("0.16")  # by itself it does not know when it was used
    assert carried_over(first, 9, mib, cost_of(first, mib)) == first
    then = carried_over(first, 10, 3 * mib, cost_of(first, 3 * mib))
    assert cost_of(then, 3 * mib) == eur("0.16")
    assert cost_of(then, 3 * mib + 1) == eur("0.17")
    assert units_within(then, eur("0.18"), 9 * mib) == 5 * mib
    assert next_switch_s(then) == 12 * 3600 + 10
    again = carried_over(then, 12 * 3600 + 10, 4 * mib, cost_of(then, 4 * mib))
    assert cost_of(again, 5 * mib) == eur("0.19")
    assert explain(again, 5 * mib, cost_of(again, 5 * mib), CURRENCY) == [
        "used 5 MiB, billed 5 MiB",
        "0.17 EUR first 4 MiB, at the prices of the bands before",
        "0.02 EUR 1 MiB at 0.02 EUR per MiB, day",
        "0.19 EUR in all",
    ]


def test_84_85_an_increment_that_is_paid_is_used_to_its_end() -> None:
    """Half a MiB before six is billed as one: what is used after it is in there first, whatever the fee and first step."""
    data = TT.replace('"second"', '"MiB"').replace(
        'rate = "0.01"', 'rate = "0.01"\nsetup = "0.10"\ninitial = "2 MiB"\nnext = "1 MiB"'
    )
    mib = 1_048_576
    first = price(data, "2026-09-21T17:59:50+02:00")
    then = carried_over(first, 10, mib // 2, cost_of(first, mib // 2))
    assert cost_of(then, mib // 2) == cost_of(then, 2 * mib) == eur("0.14")
    assert cost_of(then, 2 * mib + 1) == cost_of(then, 3 * mib) == eur("0.15")
    nothing = carried_over(first, 10, 0, 0)
    assert cost_of(nothing, 1) == eur("0.12"), "nothing was used before: the fee and the first step are still due"


DECK = """prefix,destination,rate,rate:day,setup:day,next
49,Germany,0.01,0.02,,
33,France,0.03,,,
44,UK,0.01,0.02,0.10,
1,Free,0,,,
"""


@pytest.mark.parametrize(
    ("number", "at", "cost"),
    [
        ("49", "2026-09-21T12:00:00+02:00", "1.20"),
        ("49", "2026-09-21T20:00:00+02:00", "0.60"),
        ("33", "2026-09-21T12:00:00+02:00", "1.80"),
        ("44", "2026-09-21T12:00:00+02:00", "1.30"),
        ("44", "2026-09-21T20:00:00+02:00", "0.60"),
        ("1", "2026-09-21T12:00:00+02:00", "0"),
    ],
)
def test_5_1_a_deck_has_columns_for_bands(number: str, at: str, cost: str) -> None:
    """Peak and off-peak stand beside each other; a line without a price for a band has one price."""
    assert cost_of(tariff(HEAD + 'deck = "d"\n', at, deck=DECK, number=number).price, 60) == eur(cost)


def test_a_price_at_the_start_says_until_when_it_is_given() -> None:
    """The next call may cost something else from the next switch on."""
    found = tariff(TT.replace('"split"', '"start"'), "2026-09-21T17:59:50+02:00")
    assert found.valid_until_ms == instant_ms("2026-09-21T18:00:00+02:00")


def test_82_explained() -> None:
    """Each band has a line, under its name."""
    found = price(TT, "2026-09-21T17:59:50+02:00")
    assert explain(found, 30, cost_of(found, 30), CURRENCY) == [
        "used 30 s, billed 30 s",
        "0.20 EUR 10 s at 0.02 EUR per second, day",
        "0.20 EUR 20 s at 0.01 EUR per second, evening",
        "0.40 EUR in all",
    ]


@pytest.mark.parametrize(
    ("calendar", "fault"),
    [
        ('zone = "Europe/Berlin"\n', "calendars/c.toml:1: bands: the calendar has no bands"),
        (EVENING.replace("Berlin", "Bärlin"), "calendars/c.toml:1: zone: 'Europe/Bärlin' is no time zone"),
        (EVENING.replace("zone", "tz"), "calendars/c.toml:1: tz: is not a known field"),
        (EVENING.replace("18:00", "25:00"), "calendars/c.toml:4: bands.times: '06:00-25:00' is no time of day"),
        (EVENING.replace("18:00", "05:00"), "calendars/c.toml:4: bands.times: '06:00-05:00' ends before it begins"),
        (EVENING + 'days = ["mo-fri"]\n', "calendars/c.toml:7: bands.days: 'mo-fri' is no day (did you mean mon?)"),
        (EVENING + "[[bands]]\nname = 'night'\n", "calendars/c.toml:7: bands: a second band for all that is left"),
        (
            EVENING + 'times = ["17:00-19:00"]\n',
            "calendars/c.toml:5: bands: mon 17:00 is in day, too (let each time belong to one band)",
        ),
        (
            EVENING.partition('[[bands]]\nname = "evening')[0],
            "calendars/c.toml:2: bands: mon 00:00 to 06:00 is in no band",
        ),
        ("holidays = ['2026-12-25']\n" + EVENING, "calendars/c.toml:1: holidays: no band is for holidays"),
        ("holidays = ['x']\n" + EVENING, "calendars/c.toml:1: holidays: 'x' is no date"),
        (EVENING.replace('"day"', '"Day time"'), "calendars/c.toml:3: bands.name: 'Day time' is no name"),
    ],
)
def test_faults_of_calendars(calendar: str, fault: str) -> None:
    """A calendar leaves no time without a band and none with two; what it cannot say has its place and cure."""
    faults = [str(each) for each in load(TT, calendar).faults]
    assert any(each.startswith(fault) for each in faults), faults


@pytest.mark.parametrize(
    ("plan", "fault"),
    [
        (TT.replace('"c"', '"x"'), "rateplans/p.toml:7: tariffs.calendar: there is no calendars/x.toml"),
        (
            TT.replace('band = "day"', 'band = "dawn"'),
            "11: tariffs.bands.band: 'dawn' is no band of the tariff's calendar",
        ),
        (TT + '[[tariffs.bands]]\nband = "day"\nrate = "1"\n', "14: tariffs.bands.band: 'day' has a price above"),
        (TT.replace('calendar = "c"\n', ""), "7: tariffs.price_at: stands without a calendar"),
        (
            TT.replace('"second"', '"MB"').replace('rate = "0.01"', 'rate = "0.01"\nattempt_fee = "1"'),
            "10: tariffs.attempt_fee: is for a whole session, which is split at the switch",
        ),
        (TT + 'tax = "19 %"\n', "13: tariffs.bands.tax: is not a known field"),
        (TT.replace('rate = "0.01"', 'deck = "d"'), "10: tariffs.bands: the prices stand elsewhere"),
    ],
)
def test_faults_of_tariffs_with_a_calendar(plan: str, fault: str) -> None:
    """Contradictions have their place and cure."""
    faults = [str(each) for each in load(plan, deck="prefix,destination,rate\n1,A,1\n").faults]
    assert any(fault in each for each in faults), faults


def test_a_deck_without_such_a_band() -> None:
    """A column for a band that the calendar does not have is a fault of the header."""
    faults = load(HEAD + 'deck = "d"\n', deck="prefix,destination,rate,rate:dawn\n1,A,1,2\n").faults
    assert str(faults[0]).startswith("decks/d.csv:1: rate:dawn: is not a known column")


def test_what_is_not_sold_has_no_band() -> None:
    """A refusal stays a refusal."""
    book = load(HEAD + 'deck = "d"\n', deck="prefix,destination,rate,forbidden\n1,A,1,yes\n").book
    assert book is not None
    assert book.tariff_for("p", "voice", -1, (), "1", NOW_MS) is RatingFault.DESTINATION_BARRED


@pytest.mark.parametrize(
    "began", ["2026-09-21T17:59:50+02:00", "2026-10-22T03:00:00+02:00", "2026-12-18T12:34:56.789Z"]
)
def test_a_session_of_many_days_keeps_to_its_calendar(began: str) -> None:
    """[3.7, 90] However long it lasts, over the end of summer time and holidays: seen in pieces or at once, all the same."""
    calendar = EVENING.replace("[[bands]]", 'holidays = ["2026-12-25"]\n[[bands]]', 1)
    calendar = calendar.replace(
        'name = "evening"\n', 'name = "evening"\n[[bands]]\nname = "rest"\ndays = ["holiday"]\n'
    )
    plan = TT + '[[tariffs.bands]]\nband = "rest"\nrate = "0.005"\n'
    book = load(plan, calendar).book
    assert book is not None
    began_ms = instant_ms(began)
    first = book.tariff_for("p", "voice", -1, (), "49", began_ms)
    assert isinstance(first, Tariff)
    bands = {"day": eur("0.02"), "evening": eur("0.01"), "rest": eur("0.005")}
    reader = load(plan, calendar).book
    assert reader is not None
    expected, second = 0, 0
    in_pieces = first.price
    for day in range(1, 41):
        while second < day * 86_400:  # the bands switch at whole hours: an hour at a time, the first one shorter
            left = 3600 - (began_ms // 1000 + second) % 3600
            here = book.tariff_for("p", "voice", -1, (), "49", began_ms + 1000 * second)
            assert isinstance(here, Tariff)
            units = min(left, day * 86_400 - second)
            expected += units * bands[terms_of(here.price).band]
            second += units
        in_pieces = book.lasting(in_pieces, began_ms, second)
        at_once = reader.lasting(first.price, began_ms, second)
        assert cost_of(in_pieces, second) == cost_of(at_once, second) == expected, day
    assert terms_of(in_pieces).switches == terms_of(at_once).switches[: len(terms_of(in_pieces).switches)]


def test_a_call_that_rang_and_lasts_for_days() -> None:
    """What is pinned is moved with the beginning, and what is seen later fits to it."""
    book = load(TT).book
    assert book is not None
    lease_ms = instant_ms("2026-09-21T17:59:00+02:00")
    found = book.tariff_for("p", "voice", -1, (), "49", lease_ms)
    assert isinstance(found, Tariff)
    moved = book.lasting(begun_later(found.price, 50), lease_ms + 50_000, 5 * 86_400)
    plain = book.tariff_for("p", "voice", -1, (), "49", lease_ms + 50_000)
    assert isinstance(plain, Tariff)
    seconds = 5 * 86_400
    assert cost_of(moved, seconds) == cost_of(book.lasting(plain.price, lease_ms + 50_000, seconds), seconds)


def test_a_calendar_that_was_taken_out() -> None:
    """A session that outlives its calendar keeps the last price."""
    found = tariff(TT, "2026-09-21T12:00:00Z").price
    assert RateBook({}, "0").lasting(found, 0, 10**7) is found


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ('clock = "end"\nprice_at = "split"\nrate = "1"\n', "8: tariffs.clock: and a split at the switch contradict"),
        ('clock = "answer"\nrate = "1"\n', ""),
        ('clock = "noon"\nrate = "1"\n', "8: tariffs.clock: "),
    ],
)
def test_3_7_faults_of_a_clock(lines: str, fault: str) -> None:
    """What has no answer, or more than one beginning, cannot be priced by it."""
    faults = [str(each) for each in load(HEAD + lines).faults]
    assert len(faults) == bool(fault)
    assert not fault or f"rateplans/p.toml:{fault}" in faults[0]


@pytest.mark.parametrize(
    ("lines", "per", "head"),
    [
        ('rate = "1"\n', "MB", ""),
        ('tiers_over = "day"\n[[tariffs.tiers]]\nrate = "1"\n', "second", 'time_zone = "UTC"\n'),
    ],
)
def test_3_7_only_calls_have_a_clock(lines: str, per: str, head: str) -> None:
    """Data has no answer, and units that were counted stay where they are."""
    plan = HEAD.replace("second", per).replace("[[", f"{head}[[", 1).replace('calendar = "c"\n', "")
    (fault,) = load(f'{plan}clock = "answer"\n{lines}').faults
    assert fault.field == "tariffs.clock"


@pytest.mark.parametrize(
    ("clock", "used", "at"), [("setup", 60, 0), ("answer", 60, 30_000), ("answer", 100, 0), ("end", 60, 90_000)]
)
def test_3_7_the_instant_of_a_clock(clock: str, used: int, at: int) -> None:
    """A record of 90 s: a call of 60 s was answered 30 s after its setup."""
    found = price(f'{HEAD}clock = "{clock}"\nrate = "1"\n', "2026-09-21")
    assert chosen_at_ms(found, 0, 90_000, used) == at
