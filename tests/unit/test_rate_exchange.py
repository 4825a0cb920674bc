"""Prices in another currency than the plan's, at the rate of the day a session begins: exact, rounded once [plans, 10]."""

from __future__ import annotations

import pytest

from balance.money import Currency, parse_amount
from ocs.rates.wording import price_lines
from ocs.rating.build import LoadResult, build
from ocs.rating.dated import instant_ms
from ocs.rating.explain import explain
from ocs.rating.price import cost_of, units_within
from ocs.rating.terms import Tariff

EUR = Currency("EUR", 978, 9, 2)
CURRENCIES = (
    "EUR = { numeric = 978, scale = 9, digits = 2 }\nUSD = { numeric = 840, scale = 9, digits = 2 }\n"
    "JPY = { numeric = 392, scale = 6, digits = 0 }\n"
)
RATES = "from,to,rate,date\nUSD,EUR,0.9234,2026-01-01\nUSD,EUR,0.9,2026-07-01\nJPY,EUR,0.006,2026-01-01\n"


def load(lines: str, rates: str = RATES) -> LoadResult:
    plan = f'name = "p"\ncurrency = "EUR"\n[[tariffs]]\nservice = "x"\nname = "X"\nper = "minute"\n{lines}\n'
    texts = {"currencies.toml": CURRENCIES, "exchange.csv": rates, "rateplans/p.toml": plan}
    texts["decks/d.csv"] = "prefix,destination,rate\n1,USA,0.012\n"
    return build({name: text.encode() for name, text in texts.items()}, instant_ms("2026-09-21"))


def tariff(lines: str, at: str = "2026-03-01", number: str = "1") -> Tariff:
    result = load(lines)
    assert result.book is not None, result.faults
    found = result.book.tariff_for("p", "x", -1, (), number, instant_ms(at))
    assert isinstance(found, Tariff)
    return found


@pytest.mark.parametrize(
    ("lines", "at", "used", "cost"),
    [
        ('rate = "0.12"\ncurrency = "USD"', "2026-03-01", 60, "0.110808"),
        ('rate = "0.12"\ncurrency = "USD"', "2026-07-01", 60, "0.108"),
        ('rate = "0.12"\ncurrency = "USD"', "2025-01-01", 60, "0.110808"),  # before the first date: the first rate
        ('rate = "0.12"\ncurrency = "EUR"', "2026-03-01", 60, "0.12"),
        ('rate = "18"\ncurrency = "JPY"', "2026-03-01", 61, "0.1098"),  # six decimals kept there, nine here
        ('rate = "0.12"\nsetup = "0.1"\ncurrency = "USD"', "2026-07-01", 60, "0.198"),
        ('rate = "0.12"\ncurrency = "USD"\nround_to = "0.01"', "2026-03-01", 60, "0.12"),
        ('rate = "0.12"\ncurrency = "USD"\ntax = "20 %"\ntax_included = false', "2026-07-01", 60, "0.1296"),
        ('deck = "d"\ncurrency = "USD"', "2026-07-01", 60, "0.0108"),
    ],
)
def test_exchange(lines: str, at: str, used: int, cost: str) -> None:
    """The sum in the price's currency times the rate of the day, rounded once and taxed in the account's."""
    assert cost_of(tariff(lines, at).price, used) == parse_amount(cost, 9)


def test_a_third_is_not_rounded_twice() -> None:
    """A thousand calls' worth of seconds at a price without an exact second is exact in the other currency, too."""
    price = tariff('rate = "0.10"\ncurrency = "USD"', "2026-03-01").price
    assert cost_of(price, 3600) == parse_amount("5.5404", 9)


def test_quota_is_found_in_the_account_s_currency() -> None:
    """0.11 EUR pay for 59 seconds at 0.12 USD per minute, and not for 60."""
    price = tariff('rate = "0.12"\ncurrency = "USD"').price
    assert units_within(price, parse_amount("0.11", 9), 3600) == 59


def test_the_answer_holds_until_the_next_rate() -> None:
    """A session keeps its rate; the next one may have another."""
    assert tariff('rate = "0.12"\ncurrency = "USD"').valid_until_ms == instant_ms("2026-07-01")
    assert tariff('rate = "0.12"\ncurrency = "USD"', "2026-07-01").valid_until_ms == 0


def test_explained() -> None:
    """First what it costs in the other currency, then at which rate, and the lines add up."""
    price = tariff('rate = "0.12"\nsetup = "0.1"\ncurrency = "USD"', "2026-07-01").price
    assert explain(price, 61, cost_of(price, 61), EUR) == [
        "used 61 s, billed 61 s; 0.10 USD setup fee; 0.122 USD 61 s at 0.12 USD per minute",
        "0.1998 EUR 0.222 USD at 0.9 per USD",
        "0.1998 EUR in all",
    ]
    assert price_lines(price, EUR)[0] == "0.12 USD per minute"
    assert "exchanged at 0.9 per USD" in price_lines(price, EUR)


@pytest.mark.parametrize(
    ("lines", "rates", "fault"),
    [
        (
            'rate = "1"\ncurrency = "USX"',
            RATES,
            "rateplans/p.toml:8: tariffs.currency: 'USX' is not in currencies.toml",
        ),
        ('rate = "1"\ncurrency = "USD"', "", "rateplans/p.toml:8: tariffs.currency: there is no rate from USD to EUR"),
        ('rate = "1"', "von,nach\n", "exchange.csv:1: file: begins with von,nach"),
        ('rate = "1"', RATES + "USD,EUX,1,2026-01-01\n", "exchange.csv:5: to: 'EUX' is not in currencies.toml"),
        ('rate = "1"', RATES + 'USD,EUR,"0,9",2026-08-01\n', "exchange.csv:5: rate: '0,9' is no rate of exchange"),
        ('rate = "1"', RATES + "USD,EUR,0,2026-08-01\n", "exchange.csv:5: rate: '0' is no rate of exchange"),
        ('rate = "1"', RATES + "USD,EUR,1,August\n", "exchange.csv:5: date: 'August' is no date"),
        ('rate = "1"', RATES + "USD,EUR,1,2026-07-01\n", "exchange.csv:5: date: line 3 has a rate of this date"),
        ('rate = "1"', RATES + "USD,EUR,1\n", "exchange.csv:5: line: has 3 cells, the header 4"),
    ],
)
def test_faults(lines: str, rates: str, fault: str) -> None:
    """A rate that cannot be read, or is not there, has its place and cure."""
    faults = [str(each) for each in load(lines, rates).faults]
    assert any(each.startswith(fault) for each in faults), faults
