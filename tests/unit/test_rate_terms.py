"""Prices with terms: fees for attempts, least and most, the four grace rules, tax. Tables that a biller can check by hand."""

from __future__ import annotations

import msgspec
import pytest

from balance.money import Currency, parse_amount
from ocs.rating.build import LoadResult, build
from ocs.rating.charge import charge_of, whole_seconds
from ocs.rating.explain import explain
from ocs.rating.price import Price, Rounding, cost_of, held_for, is_free, units_within
from ocs.rating.terms import SubSecond, Tariff, Terms, price_in
from ocs.rating.units import UnitKind

CURRENCY = Currency("EUR", 978, 9, 2)
NOW_MS = 1_790_000_000_000


def eur(text: str) -> int:
    return parse_amount(text, 9)


def tariff(lines: str, head: str = "", per: str = "minute") -> Price:
    """Read a tariff as an operator writes it: what is tested is the file as much as the arithmetic."""
    plan = f'name = "p"\ncurrency = "EUR"\n{head}\n[[tariffs]]\nservice = "voice"\nname = "Calls"\nper = "{per}"\n{lines}\n'
    files = {"currencies.toml": b"EUR = { numeric = 978, scale = 9, digits = 2 }\n", "rateplans/p.toml": plan.encode()}
    result = build(files, NOW_MS)
    assert result.book is not None, result.faults
    found = result.book.tariff_for("p", "voice", -1, (), "49", NOW_MS)
    assert isinstance(found, Tariff)
    return found.price


# JeraSoft's example: rate 1 per minute, at least 30 s, setup 0.3, grace 2.
THRESHOLD_2 = 'rate = "1"\nminimum = 30\nsetup = "0.3"\nfree_up_to = 2'


@pytest.mark.parametrize(
    ("lines", "costs"),
    [
        ('rate = "0.12"\nfree_up_to = 5', {0: "0", 5: "0", 6: "0.012"}),
        (THRESHOLD_2, {2: "0", 3: "0.8", 30: "0.8", 36: "0.9"}),
        ('rate = "0.12"\ndeducted = 5', {0: "0", 5: "0", 6: "0.002", 65: "0.12"}),
        ('rate = "0.12"\ndeducted = 5\nsetup = "0.05"', {0: "0", 1: "0.05", 5: "0.05", 6: "0.052"}),
        ('rate = "0.12"\ndeducted = 5\ninitial = 60\nnext = 60', {5: "0", 6: "0.12", 65: "0.12", 66: "0.24"}),
        ('rate = "0.12"\nfree_units = 5', {5: "0", 6: "0.002", 65: "0.12"}),
        # Of the started minute five seconds are free: 55 s are charged, and of two minutes 115 s.
        ('rate = "0.12"\nfree_units = 5\ninitial = 60\nnext = 60', {1: "0.11", 65: "0.23"}),
        ('rate = "0.12"\nfree_units = 90\ninitial = 60\nnext = 60', {1: "0", 60: "0", 61: "0.06"}),
        ('rate = "0.12"\nfree_units = 5\nsetup = "0.05"', {1: "0.05", 6: "0.052"}),
        ('rate = "0.12"\nadded = 5', {0: "0", 1: "0.012", 55: "0.12"}),
        ('rate = "0.12"\nadded = 5\ninitial = 60\nnext = 60', {55: "0.12", 56: "0.24"}),
        ('rate = "0.12"\nadded = "10 %"', {1: "0.004", 10: "0.022", 50: "0.11"}),
        ('rate = "0.12"\nadded = "2.5%"', {40: "0.082", 41: "0.086"}),
    ],
)
def test_3_5_four_grace_rules(lines: str, costs: dict[int, str]) -> None:
    """Free up to, deducted, free units and added seconds are four rules, each with its own name."""
    price = tariff(lines)
    assert {used: cost_of(price, used) for used in costs} == {used: eur(cost) for used, cost in costs.items()}


@pytest.mark.parametrize(
    ("lines", "costs"),
    [
        ('rate = "0.12"\nattempt_fee = "0.01"', {0: "0.01", 1: "0.012", 60: "0.13"}),
        ('rate = "0.12"\nattempt_fee = "0.01"\nfree_up_to = 5\nsetup = "0.02"', {0: "0.01", 5: "0.01", 6: "0.042"}),
        ('rate = "0.12"\nminimum_charge = "0.01"', {0: "0", 1: "0.01", 5: "0.01", 6: "0.012"}),
        ('rate = "0.12"\nsetup = "0.05"\nminimum_charge = "0.06"', {1: "0.06", 5: "0.06", 6: "0.062"}),
        ('rate = "0.12"\nmaximum_charge = "0.60"', {299: "0.598", 300: "0.60", 36_000: "0.60"}),
        ('rate = "0.12"\nmaximum_charge = "0.60"\nattempt_fee = "0.01"', {36_000: "0.61"}),
        ('rate = "0.12"\nminimum_charge = "0.01"\nfree_up_to = 3', {3: "0", 4: "0.01"}),
    ],
)
def test_3_6_attempt_fee_least_and_most(lines: str, costs: dict[int, str]) -> None:
    """An attempt may cost a fee, answered or not; an answered call may have a least and a most. None is a setup fee."""
    price = tariff(lines)
    assert {used: cost_of(price, used) for used in costs} == {used: eur(cost) for used, cost in costs.items()}


@pytest.mark.parametrize(
    ("lines", "net", "tax"),
    [
        ('tax = "20 %"\ntax_included = false', "0.122", "0.0244"),
        ('tax = "20 %"\ntax_included = true', "0.101666667", "0.020333333"),
        ('tax = "20"\ntax_included = true', "0.101666667", "0.020333333"),
        ('tax = "8.875 %"\ntax_included = false', "0.122", "0.0108275"),
        ('tax = "0 %"\ntax_included = false', "0.122", "0"),
        ('tax = "20 %"\ntax_included = false\nround_to = "0.01"', "0.13", "0.026"),
        ('tax = "20 %"\ntax_included = false\nattempt_fee = "0.01"', "0.132", "0.0264"),
    ],
)
def test_3_10_tax(lines: str, net: str, tax: str) -> None:
    """0.122 and 20 %: exclusive adds 0.0244, inclusive holds 0.020333 inside; what is rounded, is taxed."""
    charge = charge_of(tariff(f'rate = "0.12"\n{lines}'), 61)
    assert (charge.net, charge.tax) == (eur(net), eur(tax))
    assert charge.total == cost_of(tariff(f'rate = "0.12"\n{lines}'), 61)


@pytest.mark.parametrize(
    ("lines", "budget", "units"),
    [
        ('rate = "0.60"\ninitial = 60\ntax = "20 %"\ntax_included = false', "0.60", 0),
        ('rate = "0.60"\ninitial = 60\ntax = "20 %"\ntax_included = false', "0.72", 60),
        ('rate = "0.60"\ninitial = 60\ntax = "20 %"\ntax_included = false', "0.744", 62),
        ('rate = "0.60"\ninitial = 60\ntax = "20 %"\ntax_included = true', "0.60", 60),
        ('rate = "0.60"\nattempt_fee = "0.10"', "0.10", 0),
        ('rate = "0.60"\nattempt_fee = "0.10"', "0.11", 1),
        ('rate = "0.60"\nminimum_charge = "0.10"', "0.09", 0),
        ('rate = "0.60"\nminimum_charge = "0.10"', "0.10", 10),
        ('rate = "0.60"\nmaximum_charge = "0.10"', "0.10", 3600),
        ('rate = "0.60"\nfree_up_to = 5', "0", 5),
        ('rate = "0.60"\ndeducted = 5', "0.01", 6),
        ('rate = "0.60"\nfree_units = 5', "0.01", 6),
        ('rate = "0.60"\nadded = 5', "0.06", 1),
    ],
)
def test_3_17_quota_is_solved_on_the_gross_price(lines: str, budget: str, units: int) -> None:
    """What is granted can be paid with tax, fees and bounds; one unit more cannot."""
    price = tariff(lines)
    assert units_within(price, eur(budget), 3600) == units
    assert units == 3600 or held_for(price, units) <= eur(budget) < held_for(price, units + 1) or units == 0


@pytest.mark.parametrize(
    ("rule", "from_ms", "to_ms", "seconds"),
    [
        ("up", 0, 400, 1),
        ("up", 0, 1000, 1),
        ("up", 0, 1001, 2),
        ("half-up", 0, 400, 0),
        ("half-up", 0, 500, 1),
        ("down", 0, 400, 0),
        ("down", 0, 1999, 1),
        ("calendar", 1, 999, 0),  # 998 ms within one second of the clock
        ("calendar", 999, 1001, 1),  # 2 ms across its tick
        ("up", 5000, 5000, 0),
        ("up", 5000, 4000, 0),
    ],
)
def test_3_4_sub_second_rules(rule: str, from_ms: int, to_ms: int, seconds: int) -> None:
    """How an answered call in milliseconds becomes seconds is a setting; the default charges every started one."""
    price = tariff(f'rate = "0.12"\nsub_second = "{rule}"')
    assert whole_seconds(price, from_ms, to_ms) == seconds
    assert whole_seconds(tariff('rate = "0.12"'), 0, 400) == 1


def test_3_11_rounding_is_a_plans_and_a_tariffs() -> None:
    """A plan says mode, digits and tax for all its tariffs; a tariff may say otherwise."""
    head = 'round_to = "0.01"\nrounding = "half-up"\ntax = "19 %"\ntax_included = true\ntax_code = "DE-19"'
    inherited, own = tariff('rate = "0.12"', head), tariff('rate = "0.12"\nround_to = "0.001"\ntax = "7 %"', head)
    assert (inherited.quantum, inherited.rounding) == (eur("0.01"), Rounding.HALF_UP)
    assert (own.quantum, own.rounding) == (eur("0.001"), Rounding.HALF_UP)
    assert isinstance(inherited.terms, Terms)
    assert isinstance(own.terms, Terms)
    assert inherited.terms.tax is not None
    assert own.terms.tax is not None
    assert (inherited.terms.tax.rate, inherited.terms.tax.code) == (190_000, "DE-19")
    assert (own.terms.tax.rate, own.terms.tax.is_included) == (70_000, True)


def test_a_rate_of_0_in_a_deck_is_free_of_all_fees() -> None:
    """A freephone number costs nothing in a tariff with fees and a least amount; a fee beside the rate is meant."""
    plan = (
        'name = "p"\ncurrency = "EUR"\n[[tariffs]]\nservice = "voice"\nname = "Calls"\nper = "minute"\ndeck = "d"\n'
        'attempt_fee = "0.01"\nminimum_charge = "0.02"\nsetup = "0.05"\n'
    )
    deck = "prefix,destination,rate,attempt_fee\n1,Paid,0.10,\n2,Free,0,\n3,Attempts,0,0.01\n"
    files = {
        "currencies.toml": b"EUR = { numeric = 978, scale = 9, digits = 2 }\n",
        "rateplans/p.toml": plan.encode(),
        "decks/d.csv": deck.encode(),
    }
    book = build(files, NOW_MS).book
    assert book is not None
    found = [book.tariff_for("p", "voice", -1, (), number, NOW_MS) for number in "123"]
    assert [isinstance(each, Tariff) and is_free(each.price) for each in found] == [False, True, False]
    assert [isinstance(each, Tariff) and cost_of(each.price, 60) for each in found] == [eur("0.16"), 0, eur("0.01")]


def test_an_ordinary_price_is_stored_without_terms() -> None:
    """Ordinary tariffs stay as small as they were: terms that say nothing are not kept."""
    price = tariff('rate = "0.12"\nfree_up_to = 0\ntax = "0 %"\ntax_included = true\nminimum_charge = "0"')
    assert price.terms is Rounding.UP
    assert len(msgspec.msgpack.encode(price)) == 19


@pytest.mark.parametrize("lines", ['rate = "0.12"\nadded = 5\ntax = "20 %"\ntax_included = false', 'rate = "0.12"'])
def test_terms_survive_storage(lines: str) -> None:
    """A price comes back from its record as it was."""
    price = tariff(lines)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(price), type=Price) == price


@pytest.mark.parametrize(
    ("lines", "used", "words"),
    [
        (
            'rate = "0.12"\nsetup = "0.05"\ndeducted = 5\ntax = "20 %"\ntax_included = false\ntax_code = "A"',
            65,
            [
                "used 65 s, billed 60 s: 5 s are taken off",
                "0.05 EUR setup fee",
                "0.12 EUR 60 s at 0.12 EUR per minute",
                "0.034 EUR tax 20 % (A) on 0.17 EUR",
                "0.204 EUR in all",
            ],
        ),
        (
            'rate = "0.12"\ntax = "20 %"\ntax_included = true',
            61,
            [
                "used 61 s, billed 61 s",
                "0.122 EUR 61 s at 0.12 EUR per minute",
                "0.122 EUR in all, in which 0.020333333 EUR tax 20 %",
            ],
        ),
        (
            'rate = "0.12"\nfree_units = 5\nattempt_fee = "0.01"\ninitial = 60\nnext = 60',
            61,
            [
                "used 61 s, billed 120 s: 60 s, then every started 60 s",
                "0.00 EUR 5 s at 0.00 EUR per minute, free units of the call",
                "0.23 EUR 115 s at 0.12 EUR per minute",
                "0.01 EUR fee for the attempt",
                "0.24 EUR in all",
            ],
        ),
        (
            'rate = "0.12"\nminimum_charge = "0.05"',
            1,
            [
                "used 1 s, billed 1 s",
                "0.002 EUR 1 s at 0.12 EUR per minute",
                "0.048 EUR raised to the minimum of 0.05 EUR",
                "0.05 EUR in all",
            ],
        ),
        (
            'rate = "0.12"\nmaximum_charge = "0.05"',
            60,
            [
                "used 60 s, billed 60 s",
                "0.12 EUR 60 s at 0.12 EUR per minute",
                "-0.07 EUR lowered to the maximum of 0.05 EUR",
                "0.05 EUR in all",
            ],
        ),
        (
            'rate = "0.12"\nfree_up_to = 5',
            3,
            ["used 3 s, billed 0 s: a use of up to 5 s is free", "0.00 EUR in all"],
        ),
    ],
)
def test_explanations_of_terms(lines: str, used: int, words: list[str]) -> None:
    """Each rule that changed the amount has a line, and the lines add up."""
    price = tariff(lines)
    assert explain(price, used, cost_of(price, used), CURRENCY) == words


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        (
            "free_up_to = 5\ndeducted = 5",
            "9: tariffs.deducted: free_up_to and deducted are two rules for the same seconds",
        ),
        ('added = "x %"', "8: tariffs.added: 'x %' is not a whole number of units"),
        ('minimum_charge = "2"\nmaximum_charge = "1"', "9: tariffs.maximum_charge: is less than the minimum charge"),
        ('tax = "20 %"', "8: tariffs.tax: does not say whether the prices include it"),
        ('tax = "120 %"\ntax_included = true', "8: tariffs.tax: '120 %' is no rate below 100 per cent"),
        ("tax_included = true", '8: tariffs.tax_included: stands without a tax (add tax = "19 %")'),
        ('sub_second = "ceil"', "8: tariffs.sub_second: invalid enum value 'ceil'"),
        ('attempt_fee = "-1"', "8: tariffs.attempt_fee: -1 is negative"),
    ],
)
def test_faults_of_terms(lines: str, fault: str) -> None:
    """Contradictions are named with file, line, field and cure."""
    plan = f'name = "p"\ncurrency = "EUR"\n[[tariffs]]\nservice = "voice"\nname = "Calls"\nper = "minute"\nrate = "1"\n{lines}\n'
    files = {"currencies.toml": b"EUR = { numeric = 978, scale = 9, digits = 2 }\n", "rateplans/p.toml": plan.encode()}
    assert any(fault in str(found) for found in build(files, NOW_MS).faults), build(files, NOW_MS).faults


def test_sub_second_rules_have_names_in_files() -> None:
    """Each member of the enumeration can be written."""
    found = {tariff(f'rate = "1"\nsub_second = "{rule}"').terms for rule in ("half-up", "down", "calendar")}
    assert {terms.sub_second for terms in found if isinstance(terms, Terms)} == set(SubSecond) - {SubSecond.UP}


DATA = 'name = "d"\ncurrency = "EUR"\n[[tariffs]]\nservice = "data"\nname = "Data"\nper = "{}"\nrate = "0.02"\n{}'
TIME = '[tariffs.time]\nper = "minute"\nrate = "0.01"\ninitial = 60\nnext = 60\n'


def data_plan(lines: str, per: str = "MB") -> LoadResult:
    texts = {
        "currencies.toml": "EUR = { numeric = 978, scale = 9, digits = 2 }\n",
        "rateplans/d.toml": DATA.format(per, lines),
    }
    return build({name: text.encode() for name, text in texts.items()}, 0)


@pytest.mark.parametrize(
    ("lines", "costs"),
    [
        (TIME, {0: "0", 1: "0.01", 61: "0.02"}),
        ('tax = "20 %"\ntax_included = false\nround_to = "0.1"\n' + TIME, {61: "0.12"}),
        (TIME + 'setup = "0.5"\n', {1: "0.51"}),
    ],
)
def test_time_beside_volume(lines: str, costs: dict[int, str]) -> None:
    """[issue: volume, time or both] The seconds have a price of their own, rounded and taxed as the octets are."""
    book = data_plan(lines).book
    assert book is not None, data_plan(lines).faults
    assert book.timed_services == {"data"}
    found = book.tariff_for("d", "data", 10, (), "", 0)
    assert isinstance(found, Tariff)
    time = price_in(found.price, UnitKind.SECONDS)
    assert time is not None
    assert {used: cost_of(time, used) for used in costs} == {
        used: parse_amount(cost, 9) for used, cost in costs.items()
    }
    assert price_in(found.price, UnitKind.OCTETS) is found.price
    assert price_in(found.price, UnitKind.EVENTS) is None


@pytest.mark.parametrize(
    ("lines", "per", "fault"),
    [
        (TIME, "minute", "tariffs.time: stands beside a price that is not per volume"),
        (TIME.replace('rate = "0.01"\n', ""), "MB", "tariffs.time.rate: "),
        (TIME.replace("minute", "MB"), "MB", "tariffs.time.per: "),
        (TIME + "next = -1\n", "MB", "rateplans/d.toml:"),
    ],
)
def test_faults_of_time(lines: str, per: str, fault: str) -> None:
    """Only data has both, and the price of its time is written whole."""
    faults = [str(each) for each in data_plan(lines, per).faults]
    assert any(fault in each for each in faults), faults
