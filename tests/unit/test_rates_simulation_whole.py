"""A month's records by a whole configuration: each by its own plan, at its own time, from where it came."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ocs.cli import rates_simulate_work
from ocs.cli.app import app
from ocs.errors import EXIT_CONFIG
from ocs.rating.dated import instant_ms
from ocs.rating.load import load_ratebook
from ocs.rating.origins import Origin
from ocs.rating.price import Tariff
from ocs.rating.timetable import Timetable

# In Berlin 2026-10-01 is a Thursday: 10:00 UTC is peak, 20:00 is not. 60 s each.
RECORDS = """\
account_id,number,used,amount,started_at,service,rate_plan,origin,peer,whereabouts,rating_group,unit,currency,source
a,500123,60,0.60,2026-10-01 10:00:00+00,voice,test-eur,,,,,seconds,EUR,decks/test-voice-eur.csv:6
a,500123,60,0.60,2026-10-01 20:00:00+00,voice,test-eur,,,,,seconds,EUR,decks/test-voice-eur.csv:6
b,600123,60,0.60,2026-10-02 20:00:00+00,voice,test-eur,,sbc2.example.net,,,seconds,EUR,decks/test-voice-eur.csv:7
b,600123,60,0.60,2026-10-02 20:00:00+00,voice,test-eur,,sbc1.example.net,26202,,seconds,EUR,decks/test-voice-eur.csv:7
c,,3,0.24,2026-10-03 20:00:00+00,sms,test-eur,,,,,events,EUR,rateplans/test-eur.toml:16
c,,2097152,0.10,2026-10-03 20:00:00+00,data,test-eur,,,,10,octets,EUR,rateplans/test-eur.toml:22
c,4930,60,0.00,2026-10-03 20:00:00+00,voice,,,,,,seconds,EUR,
c,33612345678,60,1.00,2026-10-03 20:00:00+00,voice,wholesale-usd,,,,,seconds,USD,decks/wholesale-voice-usd.csv:9
c,,60,0.01,2026-10-03 20:00:00+00,sms,test-eur,,,,,seconds,EUR,
"""


@pytest.fixture
def rates(sample_config: Path) -> Path:
    """The sample's folder, with the records beside it."""
    (sample_config.parent.parent / "records.csv").write_text(RECORDS, encoding="utf-8")
    return sample_config.parent


def simulate(rates: Path, *more: str) -> Result:
    records = str(rates.parent / "records.csv")
    return CliRunner().invoke(app, ["rates", "simulate", "--cdrs", records, "-c", str(rates / "ocs.toml"), *more])


def found(rates: Path, *more: str) -> dict[str, dict[str, str]]:
    """What the command says, by destination."""
    result = simulate(rates, "--json", *more)
    assert result.exit_code == 0, result.output
    return {each["name"]: each for each in json.loads(result.output)["by_destination"]}


def test_each_record_at_its_own_time_by_its_own_plan(rates: Path) -> None:
    """Peak and off-peak, trunk, service and rating group as the traffic had them; other currencies are passed over."""
    by = found(rates, "--rates", str(rates), "--currency", "EUR")
    assert by["0.02 per second at peak times and 0.01 else"]["new"] == "1.80"
    assert by["0.03 per second from trunk sbc2"]["new"] == "1.80"
    assert by["0.01 per second"]["new"] == "0.60"
    whole = json.loads(simulate(rates, "--json", "--rates", str(rates), "--currency", "EUR").output)
    assert (whole["at"], whole["others"]) == ("own", 1)
    assert whole["without_price"] == {"no plan": 1, "another unit": 1}
    assert whole["total"]["records"] == 8
    assert {each["name"]: each["new"] for each in whole["by_customer"]} == {"a": "1.80", "b": "2.40", "c": "0.34"}


def test_a_use_that_goes_on_after_a_change_of_price(rates: Path) -> None:
    """[R] A record with a line for each price: fees are due with the first, and an increment that was paid is paid."""
    (rates.parent / "records.csv").write_text(
        "account_id,number,used,amount,rate_plan,goes_on\n"
        "a,300123,60,0.70,test-eur,\na,300123,60,0.60,test-eur,0\na,200123,60,0.30,test-eur,30\n",
        encoding="utf-8",
    )
    by = found(rates, "--rates", str(rates), "--currency", "EUR")
    assert by["0.10 and 0.01 per second"]["new"] == "1.30"
    assert by["0.30 per started minute"]["new"] == "0.30"


OVER_MONTH = """\
account_id,number,used,amount,started_at,service,rate_plan,rating_group,unit,destination,covered
a,,30,0,2026-10-03 10:00:00+00,data,test-eur,50,seconds,falling,
a,,40,0,2026-10-02 10:00:00+00,data,test-eur,50,seconds,falling,
a,,40,0,2026-10-31 23:30:00+00,data,test-eur,50,seconds,falling,
b,,50,0,2026-10-02 10:00:00+00,data,test-eur,50,seconds,falling,20
c,,40,0,2026-10-02 10:00:00+00,data,test-eur,55,seconds,volume,
c,,40,0,2026-10-01 10:00:00+00,data,test-eur,55,seconds,volume,
d,,40,0,2026-10-02 10:00:00+00,data,test-eur,56,seconds,packs,
d,,40,0,2026-10-01 10:00:00+00,data,test-eur,56,seconds,packs,
d,,60,0,2026-10-03 10:00:00+00,data,test-eur,56,seconds,packs,
e,,70,0,2026-10-02 10:00:00+00,data,test-eur,54,seconds,beginning anew,50
"""


@pytest.mark.parametrize("octets", [4_000_000, 100])
def test_94_tiers_over_a_month_are_filled_in_the_order_of_time(
    rates: Path, octets: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each account has its counters, whatever the order of the records and whichever process reads them; the month is that
    of the plan's clocks. What volume gives back is taken off, fees are paid by the first, and bundles pay as they did.
    """
    monkeypatch.setattr(rates_simulate_work, "PART_OCTETS", octets)
    (rates.parent / "records.csv").write_text(OVER_MONTH, encoding="utf-8")
    result = simulate(rates, "--json", "--rates", str(rates), "--currency", "EUR")
    assert result.exit_code == 0, result.output
    assert {each["name"]: each["new"] for each in json.loads(result.output)["by_customer"]} == {
        "a": "2.10",  # 40 and 20 s at 0.02, 10 at 0.01; the last is of November in Berlin, 40 s at 0.02
        "b": "0.60",  # 30 s in money
        "c": "0.80",  # 80 s, all at 0.01
        "d": "1.70",  # two packs, and 20 s at 0.01
        "e": "0.30",  # 20 s beyond the bundle, begun anew
    }


def test_a_plan_for_all(rates: Path) -> None:
    """--plan asks: what if all customers had this one?"""
    by = found(rates, "--rates", str(rates), "--plan", "hours-eur")
    assert sum(int(each["records"]) for each in by.values()) == 8
    whole = json.loads(simulate(rates, "--json", "--rates", str(rates), "--plan", "hours-eur").output)
    assert whole["without_price"] == {"no price": 1, "another unit": 1}  # data; an sms of seconds


def changed_deck(rates: Path, line: str) -> Path:
    """The test deck with another line for 500, beside the configuration."""
    text = (rates / "decks" / "test-voice-eur.csv").read_text(encoding="utf-8")
    lines = [line if each.startswith("500,") else each for each in text.splitlines()]
    new = rates.parent / "test-voice-eur.csv"
    new.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return new


def test_a_deck_in_the_place_of_the_live_one(rates: Path) -> None:
    """Only what the deck priced, or prices now, is a matter of it: plan, bands and trunks are the configuration's."""
    new = changed_deck(rates, "500,Halved,0.005,1,1,,,,0.01,,")
    by = found(rates, "--deck", str(new))
    assert set(by) == {"Halved", "0.03 per second from trunk sbc2", "0.01 per second", "(another unit)", "(no price)"}
    assert (by["Halved"]["old"], by["Halved"]["new"]) == ("1.20", "0.90")


def test_announced_prices_at_the_records_own_hours(rates: Path) -> None:
    """[R-3.9] A price that begins later is simulated as if it were in force: the bands go by the record's time all the same."""
    text = (rates / "decks" / "test-voice-eur.csv").read_text(encoding="utf-8")
    head, *lines = text.splitlines()
    dated = [f"{line}," for line in lines] + ["500,Announced,0.01,1,1,,,,0.04,,,2999-01-01"]
    new = rates.parent / "test-voice-eur.csv"
    new.write_text("\n".join([f"{head},from", *dated]) + "\n", encoding="utf-8")
    assert found(rates, "--deck", str(new))["Announced"]["new"] == "3.00"
    assert found(rates, "--deck", str(new), "--at", "2026-10-01")["0.02 per second at peak times and 0.01 else"]
    assert "Announced" not in found(rates, "--deck", str(new), "--at", "own")
    result = simulate(rates, "--deck", str(new))
    assert "all at the prices of 2999-01-01" in result.output
    assert "each at the prices of its own time" in simulate(rates, "--deck", str(new), "--at", "own").output


def test_what_it_is_bought_for_as_a_plan_says(rates: Path) -> None:
    """Costs by another plan, in another currency: margin, and the records that would be sold at a loss, worst first."""
    more = ("--rates", str(rates), "--currency", "EUR", "--cost-plan", "hours-eur")
    whole = json.loads(simulate(rates, "--json", *more).output)
    total = whole["total"]
    assert [total[name] for name in ("new", "bought", "margin", "without_cost")] == ["4.54", "3.15", "1.39", 1]
    refused = simulate(rates, "--rates", str(rates), "--currency", "EUR", "--cost-plan", "wholesale-usd")
    assert (refused.exit_code, "the costs are in USD: say with --exchange" in refused.output) == (EXIT_CONFIG, True)
    assert simulate(rates, *more[:-1], "wholesale-usd", "--exchange", "0.9").exit_code == 0


def test_files_for_a_spreadsheet_and_a_drawing(rates: Path) -> None:
    """Three tables and a plot with revenue and margin."""
    out, plot = rates.parent / "out", rates.parent / "plot.svg"
    cost = rates.parent / "cost.csv"
    cost.write_text("prefix,destination,rate\n5,X,3.00\n6,Y,0.10\n", encoding="utf-8")
    deck = str(rates / "decks" / "test-voice-eur.csv")
    files = ("--csv", str(out), "--plot", str(plot))
    result = simulate(rates, "--deck", deck, "--cost-deck", str(cost), *files)
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader((out / "at-a-loss.csv").read_text(encoding="utf-8").splitlines()))
    assert [(row["number"], row["loss"], row["started_at"]) for row in rows] == [
        ("500123", "2.40", "2026-10-01 20:00:00+00"),
        ("500123", "1.80", "2026-10-01 10:00:00+00"),
    ]
    assert "records that lose most" in result.output
    assert "margin by destination" in plot.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "say what to simulate: --deck NEW, or --rates DIR"),
        (("--deck", "x.csv", "--rates", "{rates}"), "say what to simulate"),
        (("--rates", "{rates}"), "plans are in EUR, USD: name one with --currency"),
        (("--rates", "{rates}", "--currency", "JPY"), "no plan is in JPY: EUR, USD"),
        (("--rates", "{rates}", "--plan", "gold"), "there is no plan 'gold': acme-usd, "),
        (("--rates", "{rates}", "--currency", "EUR", "--cost-plan", "gold"), "there is no plan 'gold'"),
        (
            ("--deck", "{rates}/decks/test-voice-eur.csv", "--plan", "retail-eur"),
            "plan retail-eur does not use the deck",
        ),
        (("--deck", "{rates}/decks/acme-usd.csv"), "no record of"),
    ],
)
def test_refusals(rates: Path, arguments: tuple[str, ...], said: str) -> None:
    """What is left open is asked for."""
    result = simulate(rates, *(text.format(rates=rates) for text in arguments))
    assert (result.exit_code, said in result.output) == (EXIT_CONFIG, True), result.output


def test_a_book_as_it_is_at_one_instant(sample_config: Path) -> None:
    """[R-3.7] All that is dated stands still: lines, tariffs, rates of exchange, in every layer and origin; bands do not."""
    plan = sample_config.parent / "rateplans" / "dated.toml"
    plan.write_text(
        'name = "dated"\ncurrency = "EUR"\nparent = "test-eur"\n'
        '[[tariffs]]\nservice = "voice"\nname = "Old"\nper = "second"\ndeck = "dated"\nto = 2027-01-01\n'
        '[[tariffs]]\nservice = "voice"\nname = "New"\nper = "second"\ndeck = "dated"\nfrom = 2027-01-01\ncurrency = "USD"\n'
        '[[tariffs]]\nservice = "voice"\nname = "Roaming"\nper = "second"\nrate = "0.5"\norigin = "network:262"\n',
        encoding="utf-8",
    )
    deck = sample_config.parent / "decks" / "dated.csv"
    deck.write_text("prefix,destination,rate,from\n7,Seven,1,\n7,Seven,2,2027-02-01\n", encoding="utf-8")
    (sample_config.parent / "exchange.csv").write_text(
        "from,to,rate,date\nUSD,EUR,0.5,2026-01-01\nUSD,EUR,0.25,2027-03-01\n", encoding="utf-8"
    )
    book = load_ratebook(sample_config.parent, 0).book
    assert book is not None
    then, own = instant_ms("2027-03-05"), instant_ms("2026-10-01T10:00:00Z")
    frozen = book.as_at(then)
    for number, network in (("7", ""), ("500", ""), ("7", "26201"), ("112", ""), ("900", ""), ("1", "")):
        origin = Origin(network=network)
        at_own = frozen.tariff_for("dated", "voice", -1, (), number, own, origin)
        at_then = book.tariff_for("dated", "voice", -1, (), number, then, origin)
        if number == "500":  # Thursday noon in the one, Friday midnight in the other
            assert isinstance(at_own, Tariff)
            assert isinstance(at_then, Tariff)
            assert at_own.price.next_rate == 2 * at_then.price.next_rate
        elif isinstance(at_then, Tariff):
            assert isinstance(at_own, Tariff)
            assert (at_own.price, at_own.source) == (at_then.price, at_then.source)
        else:
            assert at_own == at_then
    assert Timetable(None, is_split=False).as_at(then).exchange == ()
