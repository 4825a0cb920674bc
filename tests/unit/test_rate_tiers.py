"""Prices by quantity [3.8, 3.18, 5]: graduated and volume tiers, packages, fair use, and events with names of their own."""

from __future__ import annotations

import pytest
from msgspec import structs

from balance.money import Currency, parse_amount
from ocs.rating.build import LoadResult, build
from ocs.rating.charge import owed_by
from ocs.rating.explain import explain
from ocs.rating.price import Price, cost_of, held_for, is_free, units_within
from ocs.rating.terms import Tariff, as_used, terms_of, with_terms

CURRENCY = Currency("EUR", 978, 9, 2)
NOW_MS = 1_790_000_000_000


def eur(text: str) -> int:
    return parse_amount(text, 9)


def load(lines: str, per: str, more: dict[str, str] | None = None, head: str = "") -> LoadResult:
    plan = f'name = "p"\ncurrency = "EUR"\n{head}[[tariffs]]\nservice = "x"\nname = "X"\nper = "{per}"\n{lines}\n'
    texts = {"currencies.toml": "EUR = { numeric = 978, scale = 9, digits = 2 }\n", "rateplans/p.toml": plan}
    return build({name: text.encode() for name, text in (texts | (more or {})).items()}, NOW_MS)


def tariff(lines: str, per: str, more: dict[str, str] | None = None, head: str = "") -> Price:
    result = load(lines, per, more, head)
    assert result.book is not None, result.faults
    found = result.book.tariff_for("p", "x", -1, (), "49", NOW_MS)
    assert isinstance(found, Tariff)
    return found.price


def tiers(*rows: tuple[str, str, str]) -> str:
    lines = ""
    for up_to, rate, fee in rows:
        lines += "[[tariffs.tiers]]\n" + (f'up_to = "{up_to}"\n' if up_to else "") + f'rate = "{rate}"\n'
        lines += f'fee = "{fee}"\n' if fee else ""
    return lines


GRADUATED = tiers(("60", "0.12", ""), ("", "0.06", ""))
HUNDRED = tiers(("100", "1", ""), ("200", "0.5", ""), ("", "0.25", ""))
PACKAGE = tiers(("60", "0", "2"), ("", "0.10", ""))
FAIR_USE = tiers(("2 GB", "0.001", ""), ("", "0.0005", ""))


@pytest.mark.parametrize(
    ("lines", "per", "costs"),
    [
        ("initial = 30\nnext = 6\n" + GRADUATED, "minute", {95: "0.156", 60: "0.12", 61: "0.126", 0: "0"}),  # 3.18
        (HUNDRED, "event", {100: "100", 101: "100.5", 200: "150", 300: "175"}),
        ('tiering = "volume"\n' + HUNDRED, "event", {100: "100", 101: "50.5", 200: "100", 201: "50.25"}),
        (PACKAGE, "minute", {0: "0", 1: "2", 60: "2", 120: "2.1"}),
        ('tiering = "volume"\n' + PACKAGE, "minute", {60: "2", 120: "0.2"}),
        (FAIR_USE, "MB", {10**9: "1", 2 * 10**9: "2", 3 * 10**9: "2.5"}),
        ("free_units = 70\n" + GRADUATED, "minute", {60: "0", 70: "0", 130: "0.06"}),
        ("deducted = 60\n" + GRADUATED, "minute", {60: "0", 120: "0.12", 180: "0.18"}),
        ('setup = "0.5"\ntax = "20 %"\ntax_included = false\n' + GRADUATED, "minute", {120: "0.816"}),
        # A package of started hundreds beyond a hundred free ones: increments say it, no tier is needed.
        ('rate = "0.05"\ndeducted = 100\ninitial = 100\nnext = 100', "event", {100: "0", 101: "5", 201: "10"}),
    ],
)
def test_3_8_tiers(lines: str, per: str, costs: dict[int, str]) -> None:
    """Each slice at its price, or all at the price of the tier that is reached; the end of a tier belongs to it."""
    price = tariff(lines, per)
    assert {used: cost_of(price, used) for used in costs} == {used: eur(cost) for used, cost in costs.items()}


@pytest.mark.parametrize(
    ("lines", "budget", "units"),
    [
        (HUNDRED, "100", 100),
        (HUNDRED, "100.49", 100),
        (HUNDRED, "100.5", 101),
        ('tiering = "volume"\n' + HUNDRED, "99", 99),  # the hundredth is not paid, though a hundred and one would be
        ('tiering = "volume"\n' + HUNDRED, "100", 400),
        (PACKAGE.replace('"0"', '"0.01"'), "2", 0),
    ],
)
def test_3_17_quota_within_tiers(lines: str, budget: str, units: int) -> None:
    """No use within a grant costs more than there is, wherever the client stops."""
    price = tariff(lines, "event")
    assert units_within(price, eur(budget), 10_000) == units
    assert all(cost_of(price, used) <= eur(budget) for used in range(1, units + 1))


def test_what_volume_tiers_hold() -> None:
    """A grant beyond the first tier holds the price of the first tier's last unit, which is the dearest use in it."""
    price = tariff('tiering = "volume"\n' + HUNDRED, "event")
    assert (held_for(price, 99), held_for(price, 150), held_for(price, 300)) == (eur("99"), eur("100"), eur("100"))


def test_destinations_have_tiers_too() -> None:
    """A named destination may be priced by quantity as well as by a rate."""
    more = {"destinations/d.csv": "prefix,destination\n49,Germany\n"}
    lines = 'destinations = "d"\n[[tariffs.rates]]\ndestination = "Germany"\n' + GRADUATED.replace(
        "tariffs.", "tariffs.rates."
    )
    assert cost_of(tariff(lines, "minute", more), 120) == eur("0.18")


def test_tiers_that_are_free_at_first_are_not_free() -> None:
    """Only a price that can never come to anything needs no credit control."""
    assert not is_free(tariff(tiers(("60", "0", ""), ("", "1", "")), "minute"))
    assert not is_free(tariff(tiers(("60", "0", "1"), ("", "0", "")), "minute"))
    assert is_free(tariff(tiers(("60", "0", ""), ("", "0", "")), "minute"))


@pytest.mark.parametrize(
    ("lines", "per", "used", "words"),
    [
        (
            "initial = 30\nnext = 6\n" + tiers(("60", "0.12", ""), ("", "0.06", "0.01")),
            "minute",
            95,
            [
                "used 95 s, billed 96 s: 30 s, then every started 6 s",
                "0.12 EUR 60 s (10 x 6 s) at 0.12 EUR per minute, tier 1",
                "0.036 EUR 36 s (6 x 6 s) at 0.06 EUR per minute, tier 2",
                "0.01 EUR fee of tier 2",
                "0.166 EUR in all",
            ],
        ),
        (
            'tiering = "volume"\nunit = ["sticker", "stickers"]\n' + HUNDRED,
            "event",
            150,
            [
                "used 150 stickers, billed 150 stickers",
                "75.00 EUR 150 stickers at 0.50 EUR per sticker, all in tier 2",
                "75.00 EUR in all",
            ],
        ),
    ],
)
def test_explanations_of_tiers(lines: str, per: str, used: int, words: list[str]) -> None:
    """Each tier has a line, and units have the name that the tariff gives them."""
    price = tariff(lines, per)
    assert explain(price, used, cost_of(price, used), CURRENCY) == words


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        (
            tiers(("60", "1", ""), ("30", "1", ""), ("", "1", "")),
            "11: tariffs.tiers.up_to: is not above the tier before",
        ),
        (tiers(("60", "1", ""), ("90", "1", "")), "11: tariffs.tiers.up_to: what costs a use beyond the last tier?"),
        (tiers(("", "1", ""), ("", "2", "")), "7: tariffs.tiers.up_to: only the last tier has no end"),
        (tiers(("1 MB", "1", ""), ("", "2", "")), "8: tariffs.tiers.up_to: 'MB' is not a unit of seconds"),
        ('rate = "1"\n' + GRADUATED, "3: tariffs: rate and tiers contradict each other"),
        ('rate = "1"\ntiering = "volume"\n', "8: tariffs.tiering: stands without tiers"),
        ('initial_rate = "1"\n' + GRADUATED, "8: tariffs.tiers: tiers and initial_rate are two prices"),
        ('rate = "1"\nunit = ["a", "b"]\n', "8: tariffs.unit: names events, one and several"),
    ],
)
def test_faults_of_tiers(lines: str, fault: str) -> None:
    """What leaves a unit without a price, or with two, has its place and cure."""
    faults = [str(each) for each in load(lines, "minute").faults]
    assert any(fault in each for each in faults), faults


TIERED_DECK = """\
prefix,destination,rate,rate>60,rate>1800,rate:peak
49,Germany,0.12,0.06,0.03,
44,United Kingdom,0.10,,,
33,France,0.10,,0.05,
"""


@pytest.mark.parametrize(
    ("number", "mode", "costs"),
    [
        ("49", "", {60: "0.12", 95: "0.155", 1800: "1.86", 3600: "2.76"}),
        ("49", "volume", {60: "0.12", 120: "0.12", 3600: "1.8"}),
        ("44", "", {3600: "6"}),
        ("33", "", {1800: "3", 3600: "4.5"}),
    ],
)
def test_3_8_tiers_as_columns_of_a_deck(number: str, mode: str, costs: dict[int, str]) -> None:
    """A column ``rate>60`` has the rate beyond 60 units; a line without a cell there has no such tier."""
    deck = TIERED_DECK.replace(",rate:peak", "").replace(",\n", "\n")
    lines = 'deck = "d"\n' + (f'tiering = "{mode}"\n' if mode else "")
    book = load(lines, "minute", {"decks/d.csv": deck}).book
    assert book is not None
    found = book.tariff_for("p", "x", -1, (), number, NOW_MS)
    assert isinstance(found, Tariff)
    assert {used: cost_of(found.price, used) for used in costs} == {used: eur(cost) for used, cost in costs.items()}


@pytest.mark.parametrize(
    ("deck", "lines", "said"),
    [
        ("prefix,destination,rate,rate>1 GB\n49,Germany,1,2\n", "", "decks/d.csv:2: rate>1 GB: 'GB' is not a unit of seconds"),
        ("prefix,destination,rate,rate>90,rate>60\n4,A,1,2,3\n", "", "decks/d.csv:2: rate>60: is not above the tier before"),
        ("prefix,destination,initial_rate,rate,rate>60\n4,A,1,2,3\n", "", "tiers and initial_rate are two prices"),
        ("prefix,destination,rate\n49,Germany,1\n", 'tiering = "volume"', "tiering: the deck has no tiers"),
    ],
)  # fmt: skip
def test_columns_of_tiers_that_contradict(deck: str, lines: str, said: str) -> None:
    """Each fault with file, line, column and cure."""
    faults = [str(fault) for fault in load(f'deck = "d"\n{lines}', "minute", {"decks/d.csv": deck}).faults]
    assert any(said in fault for fault in faults), faults


OVER_MONTH = 'tiers_over = "month"\n'
OVER_VOLUME = OVER_MONTH + 'tiering = "volume"\n'
ZONE = 'time_zone = "Europe/Berlin"\n'


@pytest.mark.parametrize(
    ("head", "lines", "field", "words"),
    [
        ("", OVER_MONTH + GRADUATED, "tariffs.tiers_over", "by which clock"),
        ('time_zone = "Europe/Berlinn"\n', OVER_MONTH + GRADUATED, "time_zone", "no time zone"),
        (ZONE, OVER_MONTH + 'rate = "1"\n', "tariffs.tiers_over", "without tiers"),
        (ZONE, OVER_MONTH + 'deck = "d"', "tariffs.tiers_over", "has no tiers"),
        (ZONE, OVER_MONTH + 'deck = "gap"', "rate>600", "all tiers of a period count together"),
        (ZONE, 'counter = "c"\n' + GRADUATED, "tariffs.counter", "without a period"),
        (ZONE, GRADUATED.replace("up_to", 'status = "slow"\nup_to'), "tariffs.tiers.status", "over a period"),
        (
            ZONE,
            OVER_VOLUME + tiers(("60", "1", ""), ("", "2", "")),
            "tariffs.tiers.rate",
            "paid already",
        ),
        (ZONE, OVER_VOLUME + PACKAGE.replace("0.10", "0"), "tariffs.tiers.fee", "another one than in the tier before"),
        (ZONE, OVER_VOLUME + 'minimum_charge = "1"\n' + GRADUATED, "tariffs.minimum_charge", "given back"),
        (ZONE, OVER_VOLUME + "free_units = 5\n" + GRADUATED, "tariffs.free_units", "given back"),
    ],
)
def test_94_tiers_over_a_period_have_faults_of_their_own(head: str, lines: str, field: str, words: str) -> None:
    """What cannot be counted, or cannot be promised to several sessions at once, is said with its place and its cure."""
    decks = {
        "decks/d.csv": "prefix,destination,rate\n49,Germany,1\n",
        "decks/gap.csv": "prefix,destination,rate,rate>60,rate>600\n49,Germany,1,2,3\n44,Britain,1,2,\n",
    }
    used = {name: text for name, text in decks.items() if name[6:-4] in lines.split('"')}
    faults = load(lines, "minute", used, head=head).faults
    assert [(fault.field, bool(fault.cure)) for fault in faults] == [(field, True)]
    assert words in faults[0].message


def test_94_a_book_prices_a_period_without_other_use() -> None:
    """Asked without an account, tiers over a month cost what the same tiers of one call cost."""
    over_month = tariff(OVER_MONTH + GRADUATED, "minute", head=ZONE)
    of_a_call = tariff(GRADUATED, "minute")
    for seconds in (0, 1, 59, 60, 61, 600):
        assert cost_of(over_month, seconds) == cost_of(of_a_call, seconds) == held_for(over_month, seconds)
    assert units_within(over_month, eur("0.156"), 600) == units_within(of_a_call, eur("0.156"), 600)
    assert "0.12 EUR 60 s at 0.12 EUR per minute, tier 1 of the month" in explain(
        over_month, 90, cost_of(over_month, 90), CURRENCY
    )


VOLUME = (
    OVER_MONTH
    + 'tiering = "volume"\nround_to = "0.01"\ntax = "20 %"\ntax_included = false\n'
    + tiers(("60", "0.12", ""), ("", "0.06", ""))
)


def test_3_8_a_book_prices_volume_over_a_month_as_of_one_call() -> None:
    """Asked without an account, all units have the price of the tier that they reach."""
    over_month = tariff(VOLUME, "minute", head=ZONE)
    of_a_call = tariff(VOLUME.replace(OVER_MONTH, ""), "minute")
    for seconds in (0, 1, 59, 60, 61, 600):
        assert cost_of(over_month, seconds) == cost_of(of_a_call, seconds)
        assert held_for(over_month, seconds) == held_for(of_a_call, seconds)


@pytest.mark.parametrize(
    ("laid", "owed"),
    [
        ((), ()),
        ((60,), ("0",)),
        ((60, 40), ("0", "0.072")),  # 60 s were 0.06 dearer a minute, and so is the tax on them
        ((50, 0), ("0", "0.06")),  # 0.05 and its tax; what is owed is kept until the tier is reached
        ((57, 0), ("0", "0.06")),  # 0.057: rounded down to the cents of the plan, as the use was rounded up
    ],
)
def test_3_8_what_a_tier_for_volume_gives_back(laid: tuple[int, ...], owed: tuple[str, ...]) -> None:
    """The step between the prices, for the units before it, in the digits and with the tax of the price."""
    price = tariff(VOLUME, "minute", head=ZONE)
    period = terms_of(price).period
    assert period is not None
    used = with_terms(price, structs.replace(terms_of(price), period=structs.replace(period, laid=laid)))
    assert owed_by(used) == tuple(map(eur, owed))


def test_3_8_equal_fees_of_tiers_for_volume_are_due_once() -> None:
    """The fee of the tier that is reached takes the place of the one before: it is paid with the first unit."""
    lines = OVER_MONTH + 'tiering = "volume"\n' + tiers(("60", "0.12", "2"), ("", "0.06", "2"))
    price = tariff(lines, "minute", head=ZONE)
    assert [tier.fee for tier in terms_of(price).tiers] == [eur("2"), 0]


@pytest.mark.parametrize(("number", "costs"), [("4930", {60: "0.12", 90: "0.15"}), ("44", {60: "0.10", 90: "0.15"})])
def test_94_tiers_of_a_deck_over_a_month(number: str, costs: dict[int, str]) -> None:
    """The lines of a deck have one count: their own prices, and each tier's end for all of them. 44 has no tiers."""
    deck = "prefix,destination,rate,rate>60\n49,Germany,0.12,0.06\n44,Britain,0.10,\n"
    result = load(OVER_MONTH + 'deck = "d"', "minute", {"decks/d.csv": deck}, head=ZONE)
    assert result.book is not None, result.faults
    found = result.book.tariff_for("p", "x", -1, (), number, 0)
    assert isinstance(found, Tariff)
    assert {units: cost_of(found.price, units) for units in costs} == {u: eur(cost) for u, cost in costs.items()}
    period = terms_of(found.price).period
    assert (period.counter if period else "") == ("X" if number == "4930" else "")


def test_94_a_use_is_priced_anew_where_it_lay() -> None:
    """Re-rating keeps what bundles paid and the tiers of the month; a use that was not counted there has no price."""
    month = tariff(OVER_MONTH + GRADUATED, "minute", head=ZONE)
    dearer = tariff(OVER_MONTH + GRADUATED.replace("0.06", "0.60"), "minute", head=ZONE)
    flat = tariff('rate = "0.30"\n', "minute")
    terms = terms_of(month)
    assert terms.period is not None
    laid = structs.replace(terms.period, laid=(0, 60))
    used = with_terms(month, structs.replace(terms, covered=30, period=laid))
    assert cost_of(used, 90) == eur("0.06")
    anew = [as_used(price, used) for price in (dearer, flat)]
    assert [cost_of(price, 90) for price in anew if price is not None] == [eur("0.60"), eur("0.30")]
    assert as_used(month, flat) is None
    assert as_used(flat, flat) is flat
