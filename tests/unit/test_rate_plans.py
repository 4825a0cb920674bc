"""Plans over decks over parents [issue: plans]: what a plan says itself goes first, what it leaves out is its parent's."""

from __future__ import annotations

import pytest

from balance.money import Currency
from ocs.rates.decks import PLAIN, read_deck, uses_of
from ocs.rates.difference import compare_sources
from ocs.rates.trace import Query, trace
from ocs.rating.build import LoadResult, build
from ocs.rating.dated import instant_ms
from ocs.rating.origins import Origin
from ocs.rating.price import Tariff
from ocs.rating.ratebook import RateBook
from ocs.rating.rateplan import Authorization

NOW_MS = instant_ms("2026-09-21")
CURRENCIES = "EUR = { numeric = 978, scale = 9, digits = 2 }\nUSD = { numeric = 840, scale = 9, digits = 2 }\n"
CALLS = '[[tariffs]]\nservice = "voice"\nname = "{}"\nper = "minute"\n{}\n'
SMS = '[[tariffs]]\nservice = "sms"\nname = "{}"\nper = "event"\nrate = "{}"\n{}\n'
BASE = "prefix,destination,rate,from,forbidden\n49,Germany,0.05,,\n4915,Germany Mobile,0.12,,\n33,France,0.04,,\n4490,UK Premium,,,yes\n44,UK,0.03,,\n"
SPECIAL = "prefix,destination,rate,from,forbidden\n49,Germany special,0.01,,\n33,France later,0.02,2027-01-01,\n44,UK special,0.02,,\n1,USA,0.01,,\n"


def load(heir: str, base: str = "", **plans: str) -> LoadResult:
    texts = {
        "currencies.toml": CURRENCIES,
        "rateplans/base.toml": 'name = "base"\ncurrency = "EUR"\n'
        + (base or CALLS.format("Calls", 'deck = "base"') + SMS.format("SMS", "0.10", "")),
        "rateplans/heir.toml": f'name = "heir"\n{heir}',
        "decks/base.csv": BASE,
        "decks/special.csv": SPECIAL,
    }
    texts |= {f"rateplans/{name}.toml": text for name, text in plans.items()}
    return build({name: text.encode() for name, text in texts.items()}, NOW_MS)


def book(heir: str, base: str = "", **plans: str) -> RateBook:
    result = load(heir, base, **plans)
    assert result.book is not None, result.faults
    return result.book


HEAD = 'currency = "EUR"\nparent = "base"\n'
SPECIALS = {
    "decks over each other": ('currency = "EUR"\n' + CALLS.format("Acme", 'deck = ["special", "base"]'), "Acme"),
    "a deck over the parent's": (HEAD + CALLS.format("Acme", 'deck = "special"'), "Calls"),
}


@pytest.mark.parametrize("how", SPECIALS)
@pytest.mark.parametrize(
    ("number", "at", "destination"),
    [
        ("49301", "2026-09-21", "Germany special"),  # equal prefixes: what lies above
        ("49151", "2026-09-21", "Germany Mobile"),  # the longer prefix, wherever it is
        ("331", "2026-09-21", "France"),  # not in force yet: what lies below
        ("331", "2027-01-01", "France later"),
        ("441", "2026-09-21", "UK special"),
        ("44901", "2026-09-21", "destination_barred"),  # what is barred below stays barred
        ("1212", "2026-09-21", "USA"),
        ("7", "2026-09-21", "no_destination"),
    ],
)
def test_special_rates_over_a_deck(how: str, number: str, at: str, destination: str) -> None:
    """A customer's special rates are a small deck over the common one: in a list, or over the parent's tariff."""
    found = book(SPECIALS[how][0]).tariff_for("heir", "voice", -1, (), number, instant_ms(at))
    assert (found.destination if isinstance(found, Tariff) else found.value) == destination
    if destination == "Germany Mobile" and isinstance(found, Tariff):
        assert found.name == SPECIALS[how][1]


def test_a_special_rate_says_until_when_the_other_layer_answers() -> None:
    """The answer of today's deck ends when the deck above begins."""
    found = book(SPECIALS["decks over each other"][0]).tariff_for("heir", "voice", -1, (), "331", NOW_MS)
    assert isinstance(found, Tariff)
    assert found.valid_until_ms == instant_ms("2027-01-01")


def name_of(rates: RateBook, service: str, group: int = -1, at: str = "2026-09-21", number: str = "49") -> str:
    found = rates.tariff_for("heir", service, group, (), number, instant_ms(at))
    return f"{found.plan} {found.name}" if isinstance(found, Tariff) else found.value


def test_what_a_plan_leaves_out_is_its_parent_s() -> None:
    """Services, rating groups and times that the plan does not speak of."""
    own = SMS.format("Own SMS", "0.05", 'from = "2026-06-01"\nto = "2027-01-01"')
    rates = book(HEAD + own)
    assert name_of(rates, "voice") == "base Calls"
    assert name_of(rates, "sms") == "heir Own SMS"
    assert name_of(rates, "sms", at="2026-01-01") == name_of(rates, "sms", at="2027-01-01") == "base SMS"
    groups = SMS.format("Ten", "1", "rating_groups = [10]") + SMS.format("Twenty", "1", "rating_groups = [20]")
    rates = book(HEAD + SMS.format("Own ten", "1", "rating_groups = [10]"), groups)
    assert [name_of(rates, "sms", group) for group in (10, 20)] == ["heir Own ten", "base Twenty"]


def test_one_price_for_everything_leaves_nothing_to_the_parent() -> None:
    """Who writes a flat rate means it for every destination."""
    rates = book(HEAD + CALLS.format("Flat", 'rate = "0.01"'))
    assert name_of(rates, "voice", number="4490") == "heir Flat"


def test_grandparents() -> None:
    """A plan without tariffs of its own is its parent under another name, through any number of steps."""
    rates = book(
        'currency = "EUR"\nparent = "middle"\n',
        middle='name = "middle"\ncurrency = "EUR"\nparent = "base"\n' + SMS.format("Middle", "1", ""),
    )
    assert (name_of(rates, "voice"), name_of(rates, "sms")) == ("base Calls", "middle Middle")


def test_origins_are_inherited_too() -> None:
    """A tariff for one origin leaves all others to the parent."""
    rates = book(HEAD + CALLS.format("From trunk", 'deck = "special"\norigin = "trunk:sbc1"'))
    found = [
        rates.tariff_for("heir", "voice", -1, (), "49301", NOW_MS, Origin("", trunk)) for trunk in ("sbc1", "sbc2")
    ]
    assert [each.destination if isinstance(each, Tariff) else each for each in found] == ["Germany special", "Germany"]


def test_r46_how_much_a_call_may_hold_is_inherited() -> None:
    """As a whole: a plan's own [authorization] goes before its parent's."""
    base = "authorization = { share = 4 }\n" + CALLS.format("Calls", 'deck = "base"')
    for own, expected in (("", Authorization(share=4)), ("[authorization]\ncap_s = 600\n", Authorization(cap_s=600))):
        assert book(HEAD + own, base).authorization_of("heir", NOW_MS) == expected
    assert book(HEAD).authorization_of("heir", NOW_MS) is None
    assert book(HEAD).authorization_of("nobody's", NOW_MS) is None


def test_r46_editions_of_a_plan_have_their_own() -> None:
    """Each in its time."""
    first = 'name = "e"\ncurrency = "EUR"\nto = "2027-01-01"\nauthorization = { share = 2 }\n' + SMS.format(
        "A", "1", ""
    )
    then = 'name = "e"\ncurrency = "EUR"\nfrom = "2027-01-01"\nauthorization = { share = 3 }\n' + SMS.format(
        "B", "1", ""
    )
    rates = book(HEAD, one=first, two=then)
    at = [instant_ms(day) for day in ("2026-12-31", "2027-01-01")]
    assert [rates.authorization_of("e", ms) for ms in at] == [Authorization(share=2), Authorization(share=3)]


@pytest.mark.parametrize(
    ("heir", "plans", "fault"),
    [
        (
            HEAD + "[authorization]\nshare = 0\n",
            {},
            "rateplans/heir.toml:5: authorization.share: is 0 (4 for a quarter, 1 for all)",
        ),
        (HEAD + "[authorization]\ncap_s = -1\n", {}, "rateplans/heir.toml:5: authorization.cap_s: is -1"),
        (
            'currency = "EUR"\nparent = "bsae"\n',
            {},
            "rateplans/heir.toml:3: parent: there is no plan 'bsae' (did you mean base?)",
        ),
        (
            'currency = "USD"\nparent = "base"\n',
            {},
            "rateplans/heir.toml:3: parent: has prices in EUR, this plan in USD",
        ),
        (
            'currency = "EUR"\nparent = "other"\n',
            {"other": 'name = "other"\ncurrency = "EUR"\nparent = "heir"\n'},
            "rateplans/heir.toml:3: parent: leads back to the plan itself: heir, other",
        ),
        (
            'currency = "EUR"\n' + CALLS.format("A", 'deck = ["base", "base"]'),
            {},
            "rateplans/heir.toml:7: tariffs.deck: names a deck twice",
        ),
        (
            'currency = "EUR"\n' + CALLS.format("A", 'deck = ["base", "bse"]'),
            {},
            "rateplans/heir.toml:7: tariffs.deck: there is no decks/bse.csv",
        ),
    ],
)
def test_faults_of_inheritance(heir: str, plans: dict[str, str], fault: str) -> None:
    """A parent that is not there, or not of the same currency, or an heir of its heir, has its place and cure."""
    faults = [str(each) for each in load(heir, **plans).faults]
    assert any(each.startswith(fault) for each in faults), faults


def test_explanations_and_comparisons_see_all_layers() -> None:
    """Which deck answered is explained, and a special rate is a change against the plan without it."""
    rates = book(SPECIALS["decks over each other"][0])
    found = trace(rates, Currency("EUR", 978, 9, 2), Query("49151", "heir", "voice", NOW_MS))
    outcomes = {each.source: (each.outcome, each.is_chosen) for each in found.candidates}
    assert outcomes["decks/base.csv:3"] == ("applies: the longest prefix in force", True)
    assert outcomes["decks/special.csv:2"][1] is False
    before, after = (
        next(iter(plan.services["voice"].otherwise)).what for plan in map(rates.rates_of, ("base", "heir")) if plan
    )
    changes, unchanged = compare_sources(before, after, NOW_MS)
    assert {change.prefix: change.kind.value for change in changes} == {
        "1": "new",
        "33": "decrease",
        "44": "decrease",
        "49": "decrease",
    }
    assert unchanged == 2


def test_tools_read_decks_with_bands_zones_and_other_currencies() -> None:
    """A deck by itself may name any band and zone; its use by a plan says bands and currency."""
    deck = (
        "prefix,destination,rate,rate:peak,origin\n49,Germany,1,2,zone:EEA\n49,Germany,3,,zone:else\n49,Germany,4,,\n"
    )
    source, faults = read_deck("decks/d.csv", deck, PLAIN, NOW_MS)
    assert faults == []
    assert len(source.codes.index.candidates("49")[0][1]) == 3
    calendar = 'zone = "Europe/Berlin"\n[[bands]]\nname = "peak"\ntimes = ["08:00-18:00"]\n[[bands]]\nname = "rest"\n'
    plan = 'name = "p"\ncurrency = "EUR"\n' + CALLS.format("A", 'deck = "d"\ncalendar = "c"\ncurrency = "USD"\n')
    texts = {
        "currencies.toml": CURRENCIES,
        "exchange.csv": "from,to,rate,date\nUSD,EUR,0.9,2026-01-01\n",
        "calendars/c.toml": calendar,
        "rateplans/p.toml": plan,
    }
    (use,) = uses_of({name: text.encode() for name, text in texts.items()}, "d")
    assert (use.plan, use.currency, use.template.bands) == ("p", "USD", ("rest", "peak"))


OLD = CALLS.format("Old calls", 'rate = "0.10"') + SMS.format("Old SMS", "0.05", "rating_groups = [10]")
OLD += SMS.format("Old other SMS", "0.06", "")
NEW = CALLS.format("New calls", 'rate = "0.20"') + SMS.format("New SMS", "0.09", "service_identifiers = [7]")
NEW += SMS.format("New other SMS", "0.08", "")
LAST = 'name = "heir"\ncurrency = "EUR"\nfrom = "2028-01-01"\nto = "2029-01-01"\n' + CALLS.format(
    "Last calls", 'rate = "0.30"'
)


@pytest.mark.parametrize(
    ("service", "group", "identifier", "at", "answer"),
    [
        ("voice", -1, 0, "2026-12-31T23:59:59Z", "Old calls"),
        ("voice", -1, 0, "2027-01-01", "New calls"),
        ("voice", -1, 0, "2028-06-01", "Last calls"),
        ("voice", -1, 0, "2029-01-01", "not_in_force"),
        ("sms", 10, 0, "2026-12-31", "Old SMS"),
        ("sms", 10, 0, "2027-01-01", "New other SMS"),  # the edition of its time decides what a group is for
        ("sms", 10, 7, "2026-12-31", "Old SMS"),
        ("sms", 10, 7, "2027-01-01", "New SMS"),
        ("sms", 20, 7, "2026-12-31", "Old other SMS"),
        ("sms", 20, 8, "2027-01-01", "New other SMS"),
        ("sms", 20, 8, "2028-01-01", "not_in_force"),  # the last edition sells no messages
    ],
)
def test_editions_of_a_plan_follow_each_other(service: str, group: int, identifier: int, at: str, answer: str) -> None:
    """Each holds as a whole until the next one begins, whatever it tells apart."""
    heir = 'currency = "EUR"\n' + OLD
    later = 'name = "heir"\ncurrency = "EUR"\nfrom = "2027-01-01"\n' + NEW
    found = book(heir, later=later, last=LAST).tariff_for(
        "heir", service, group, (identifier,) if identifier else (), "49", instant_ms(at)
    )
    assert (found.name if isinstance(found, Tariff) else found.value) == answer


def test_an_edition_inherits_where_it_is_in_force() -> None:
    """Before and after it, the plan is its parent's."""
    edition = 'currency = "EUR"\nparent = "base"\nfrom = "2027-01-01"\nto = "2028-01-01"\n' + SMS.format(
        "Own", "0.01", ""
    )
    found = book(edition)
    at = {
        at: found.tariff_for("heir", "sms", -1, (), "", instant_ms(at))
        for at in ("2026-06-01", "2027-06-01", "2028-06-01")
    }
    assert [each.name for each in at.values() if isinstance(each, Tariff)] == ["SMS", "Own", "SMS"]


@pytest.mark.parametrize(
    ("later", "said"),
    [
        ('name = "heir"\ncurrency = "EUR"\n' + NEW, "rateplans/later.toml:1: name: 'heir' is that of rateplans/heir.toml"),
        ('name = "heir"\ncurrency = "USD"\nfrom = "2027-01-01"\n' + NEW, "rateplans/later.toml:2: currency: is 'EUR' in"),
        ('name = "heir"\ncurrency = "EUR"\nparent = "base"\nfrom = "2027-01-01"\n' + NEW, "parent: is 'none' in"),
        ('name = "heir"\ncurrency = "EUR"\nfrom = "2027-13-01"\n' + NEW, "rateplans/later.toml:3: from: '2027-13-01' is no date"),
    ],
)  # fmt: skip
def test_editions_that_contradict_each_other(later: str, said: str) -> None:
    """Two that begin at once, and what has to be the same in all of them."""
    faults = [str(fault) for fault in load('currency = "EUR"\n' + OLD, later=later).faults]
    assert any(said in fault for fault in faults), faults


PORTAL = '[[final_units]]\nservice = "voice"\naction = "redirect"\nredirect = "sip:topup@example.net"\n'


def test_g50_a_plan_says_what_follows_on_the_last_quota() -> None:
    """By service; what a plan does not say is as its parent has it."""
    base = 'final_units = [{ service = "sms", action = "restrict", filter_ids = ["free"] }]\n' + SMS.format(
        "SMS", "0.10", ""
    )
    found = book(HEAD + PORTAL + CALLS.format("Acme", 'deck = "special"'), base)
    assert found.final_units["heir", "voice"].redirect == "sip:topup@example.net"
    assert found.final_units["heir", "sms"] == found.final_units["base", "sms"]
    assert ("base", "voice") not in found.final_units


@pytest.mark.parametrize(
    ("final", "fault"),
    [
        ('service = "vioce"', "final_units.service: the plan does not sell 'vioce' (did you mean voice?)"),
        ('service = "voice"\naction = "redirect"', "final_units.redirect: belongs to the action redirect"),
        ('service = "voice"\nvalidity_s = 1', "final_units.validity_s: is 1 (choose 10 or more)"),
        ('service = "voice"\n[[final_units]]\nservice = "voice"', "final_units.service: voice stands here twice"),
    ],
)
def test_faults_of_final_units(final: str, fault: str) -> None:
    """Each has its place and its cure."""
    result = load(f"{HEAD}[[final_units]]\n{final}\n")
    assert any(fault in str(each) for each in result.faults), result.faults
