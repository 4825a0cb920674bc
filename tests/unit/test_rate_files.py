"""Faults in rate files: each with its file, line, field and a cure, and all of them at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocs.rating.build import LoadResult, build
from ocs.rating.dated import FOREVER_MS
from ocs.rating.faults import FAULTS_PER_FILE_MAX, ConfigFaultsError
from ocs.rating.load import check_config, load_currencies, load_ratebook

NOW_MS = 1_790_000_000_000  # 2026-09-21

CURRENCIES = "EUR = { numeric = 978, scale = 9, digits = 2 }\nJPY = { numeric = 392, scale = 6, digits = 0 }\n"
HEAD = 'name = "p"\ncurrency = "EUR"\n'
TARIFF = HEAD + '[[tariffs]]\nservice = "voice"\nname = "Calls"\nper = "minute"\n'
DECK_TARIFF = TARIFF + 'deck = "d"\n'
ZONE_TARIFF = TARIFF + 'destinations = "d"\n'


def files(plan: str = TARIFF + 'rate = "0.1"\n', **others: str) -> dict[str, bytes]:
    texts = {"currencies.toml": CURRENCIES, "rateplans/p.toml": plan}
    texts |= {
        name.replace("__", "/").replace("_csv", ".csv").replace("_toml", ".toml"): text for name, text in others.items()
    }
    return {name: text.encode() for name, text in texts.items()}


def faults_of(result: LoadResult) -> list[str]:
    assert (result.book is None) == bool(result.faults)
    return [str(fault) for fault in result.faults]


def test_sound_files_have_no_faults() -> None:
    """A plan, a deck and a destination list without faults make a book and no warnings."""
    result = build(files(DECK_TARIFF, decks__d_csv="prefix,destination,rate\n49,Germany,0.05\n"), NOW_MS)
    assert result.faults == result.warnings == ()
    assert result.book is not None
    assert result.book.plans() == ("p",)
    assert result.book.currency_of("p") == "EUR"
    assert result.book.currency_of("q") is None


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        ("", "rateplans/p.toml:1: name: is missing"),
        (HEAD, "rateplans/p.toml:1: tariffs: the plan has no tariffs"),
        (HEAD + "tariffs = 3\n", "rateplans/p.toml:3: tariffs: the plan has no tariffs"),
        (HEAD + "tariffs = [3]\n", "rateplans/p.toml:3: tariffs.service: is missing"),
        ('name = ""\n' + TARIFF[11:] + 'rate = "1"\n', "rateplans/p.toml:1: name: is empty"),
        (
            TARIFF.replace("EUR", "EUX") + 'rate = "1"\n',
            "2: currency: 'EUX' is not in currencies.toml (did you mean EUR?)",
        ),
        (
            TARIFF + "rate = 0.05\n",
            'rateplans/p.toml:7: tariffs.rate: expected str, got float (write it in quotes: "0.05")',
        ),
        (
            TARIFF + 'rate = "0,05"\n',
            "7: tariffs.rate: '0,05' is not a decimal amount such as 12.30 (write a point, not a comma)",
        ),
        (TARIFF + 'rate = "0.0000000001"\n', "7: tariffs.rate: 0.0000000001 has more than 9 decimals"),
        (TARIFF + 'rate = "-1"\n', "7: tariffs.rate: -1 is negative"),
        (TARIFF + 'rate = "99999999999"\n', "7: tariffs.rate: 99999999999 is too large"),
        (
            TARIFF,
            "rateplans/p.toml:3: tariffs: the tariff has no price (write exactly one of rate, free, deck, destinations, tiers)",
        ),
        (TARIFF + 'rate = "1"\nfree = true\n', "3: tariffs: rate and free contradict each other"),
        (TARIFF + 'free = true\nsetup = "1"\n', "8: tariffs.setup: a free tariff has a fee"),
        (TARIFF + 'initial_rate = "1"\nfree = true\n', "7: tariffs.initial_rate: stands without a rate"),
        (TARIFF + 'rate = "1"\ninitail = 60\n', "8: tariffs.initail: is not a known field (did you mean initial?)"),
        (TARIFF + 'rate = "1"\nnext = 0\n', "8: tariffs.next: 0 is too small (at least 1)"),
        (TARIFF + 'rate = "1"\nnext = "1 MiB"\n', "8: tariffs.next: 'MiB' is not a unit of seconds"),
        (TARIFF + 'rate = "1"\nnext = "six"\n', "8: tariffs.next: 'six' is not a whole number of units"),
        (
            TARIFF.replace("minute", "minut") + 'rate = "1"\n',
            "6: tariffs.per: invalid enum value 'minut' (did you mean minute?)",
        ),
        (TARIFF + 'rate = "1"\nround_to = "0"\n', "8: tariffs.round_to: is zero"),
        (TARIFF + 'rate = "1"\nround_to = "x"\n', "8: tariffs.round_to: 'x' is not a decimal amount"),
        (TARIFF + 'rate = "1"\nrating_groups = [-1]\n', "8: tariffs.rating_groups: has a number out of range"),
        (TARIFF + 'rate = "1"\nrating_groups = [1, 1]\n', "8: tariffs.rating_groups: names a number twice"),
        (TARIFF + 'rate = "1"\nfrom = "21/09/2026"\n', "8: tariffs.from: '21/09/2026' is no date (write 2026-09-21"),
        (
            TARIFF + 'rate = "1"\nfrom = 2026-09-21\nto = 2026-09-21\n',
            "9: tariffs.to: 2026-09-21 is not after 2026-09-21",
        ),
        (TARIFF + 'rate = "1"\nfrom = 1960-01-01\n', "8: tariffs.from: '1960-01-01' is no date"),
        (TARIFF + 'deck = "e"\n', "7: tariffs.deck: there is no decks/e.csv (known: d)"),
        (TARIFF + 'destinations = "e"\n', "7: tariffs.destinations: there is no destinations/e.csv (known: d)"),
        (TARIFF + 'rate = "1"\nrates = 3\n', "8: tariffs.rates: has to be a list of tables"),
        (TARIFF + 'rate = "1"\n[[tariffs.rates]]\ndestination = "x"\n', "8: tariffs.rates: stand without destinations"),
        (ZONE_TARIFF, "3: tariffs: no destination has a rate (add [[tariffs.rates]])"),
        (
            ZONE_TARIFF + '[[tariffs.rates]]\ndestination = "Jermany"\nrate = "1"\n',
            "9: tariffs.rates.destination: 'Jermany' is not in destinations/d.csv (did you mean Germany?)",
        ),
        (ZONE_TARIFF + '[[tariffs.rates]]\ndestination = "Germany"\n', "8: tariffs.rates: the destination has no rate"),
        (
            ZONE_TARIFF + '[[tariffs.rates]]\ndestination = "Germany"\nrate = "1"\n' * 2,
            "12: tariffs.rates.destination: 'Germany' has a rate above",
        ),
        ('name = "p\n', "rateplans/p.toml:1: file: is no TOML: Illegal character"),
        ('name = "p"\nname = "q"\n', "rateplans/p.toml:2: file: is no TOML: Cannot overwrite a value"),
    ],
)
def test_faults_of_a_plan(plan: str, expected: str) -> None:
    """Each mistake is told where it stands."""
    deck = "prefix,destination,rate\n49,Germany,0.05\n"
    zones = "prefix,destination\n49,Germany\n"
    found = faults_of(build(files(plan, decks__d_csv=deck, destinations__d_csv=zones), NOW_MS))
    assert any(expected in fault for fault in found), found


@pytest.mark.parametrize(
    ("deck", "expected"),
    [
        ("", "decks/d.csv:1: file: has no header"),
        ("prefix,rate\n49,1\n", "decks/d.csv:1: destination: the column is missing"),
        ("prefix,destination,rat\n", "decks/d.csv:1: rat: is not a known column (did you mean rate?)"),
        ("prefix,destination,rate,rate\n", "decks/d.csv:1: rate: is there twice"),
        ("prefix,destination,rate\n49,Germany\n", "decks/d.csv:2: line: has 2 cells, the header 3"),
        ("prefix,destination,rate\n+49,Germany,1\n", "decks/d.csv:2: prefix: '+49' has a plus sign"),
        ("prefix,destination,rate\n4.47E+11,Germany,1\n", "decks/d.csv:2: prefix: '4.47E+11' is not made of digits"),
        ("prefix,destination,rate\n49170-172,Germany,1\n", "decks/d.csv:2: prefix: '49170-172' has a hyphen"),
        ("prefix,destination,rate\n,Germany,1\n", "decks/d.csv:2: prefix: is empty"),
        ("prefix,destination,rate\n" + "4" * 25 + ",Germany,1\n", "is too long (at most 18 digits)"),
        ("prefix,destination,rate\n49,,1\n", "decks/d.csv:2: destination: is empty"),
        ("prefix,destination,rate\n49,Germany,\n", "decks/d.csv:2: rate: is empty"),
        ("prefix,destination,rate\n49,Germany,$0.01\n", "decks/d.csv:2: rate: '$0.01' is not a decimal amount"),
        (
            "prefix,destination,rate\n49,Germany,0.01234567890123\n",
            "decks/d.csv:2: rate: 0.01234567890123 has more than 9 decimals",
        ),
        ("prefix,destination,rate,next\n49,Germany,1,0\n", "decks/d.csv:2: next: 0 is too small"),
        (
            "prefix,destination,rate,forbidden\n49,Germany,1,maybe\n",
            "decks/d.csv:2: forbidden: 'maybe' is neither yes nor no",
        ),
        ("prefix,destination,rate,from\n49,Germany,1,ASAP\n", "decks/d.csv:2: from: 'ASAP' is no date"),
        (
            "prefix,destination,rate\n49,Germany,1\n49,Germany,2\n",
            "decks/d.csv:3: prefix: the same prefix as in line 2",
        ),
        ('prefix,destination,rate\n"49,Germany,1\n', "decks/d.csv:2: line: has 1 cells, the header 3"),
    ],
)
def test_faults_of_a_deck(deck: str, expected: str) -> None:
    """Each mistake in a line is told with its column."""
    found = faults_of(build(files(DECK_TARIFF, decks__d_csv=deck), NOW_MS))
    assert any(expected in fault for fault in found), found


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("EUR = 3", "currencies.toml:1: EUR: has to be a table"),
        ("EUR = { numeric = 978, scale = 9 }", "currencies.toml:1: EUR.digits: is missing"),
        ("eur = { numeric = 978, scale = 9, digits = 2 }", "currencies.toml:1: eur: is no currency code"),
        ("EUR = { numeric = 978, scale = 1, digits = 2 }", "currencies.toml:1: EUR: digits and scale do not fit"),
        ("EUR = { numeric = 0, scale = 9, digits = 2 }", "currencies.toml:1: EUR.numeric: 0 is no numeric code"),
        (
            CURRENCIES + "USD = { numeric = 978, scale = 9, digits = 2 }",
            "currencies.toml:3: USD.numeric: 978 is that of EUR",
        ),
    ],
)
def test_faults_of_the_currencies(line: str, expected: str, tmp_path: Path) -> None:
    """The table of currencies is checked like the rest, in the book and on its own."""
    found = faults_of(build(files(currencies_toml=line), NOW_MS))
    assert any(expected in fault for fault in found), found
    (tmp_path / "currencies.toml").write_text(line)
    with pytest.raises(ConfigFaultsError) as caught:
        load_currencies(tmp_path / "currencies.toml")
    assert expected in str(caught.value)


def test_all_faults_are_listed_at_once() -> None:
    """Faults of several files, tariffs and fields come together, sorted by file and line."""
    plan = (
        HEAD
        + '[[tariffs]]\nname = "a"\nper = "hours"\nrate = 1\n\n[[tariffs]]\nservice = "sms"\nname = 2\nper = "event"\ndeck = "d"\n'
    )
    found = build(files(plan, decks__d_csv="prefix,destination,rate\nx,y,z\n+1,,2\n"), NOW_MS).faults
    assert [(fault.file, fault.line, fault.field) for fault in found] == [
        ("decks/d.csv", 2, "prefix"),
        ("decks/d.csv", 2, "rate"),
        ("decks/d.csv", 3, "destination"),
        ("decks/d.csv", 3, "prefix"),
        ("rateplans/p.toml", 3, "tariffs.service"),
        ("rateplans/p.toml", 5, "tariffs.per"),
        ("rateplans/p.toml", 6, "tariffs.rate"),
        ("rateplans/p.toml", 10, "tariffs.name"),
    ]
    assert all(fault.cure for fault in found)


def test_a_hopeless_file_lists_its_first_faults() -> None:
    """A deck with a fault on each line does not flood the screen."""
    lines = "".join(f"x{number},a,1\n" for number in range(1000))
    found = build(files(DECK_TARIFF, decks__d_csv="prefix,destination,rate\n" + lines), NOW_MS).faults
    assert len(found) == FAULTS_PER_FILE_MAX + 1
    assert found[-1].message == f"{1000 - FAULTS_PER_FILE_MAX} more faults"


@pytest.mark.parametrize(
    ("second", "clashes"),
    [
        ("", True),
        ("rating_groups = [7]\n", False),
        ("service_identifiers = [7]\n", False),
        ("from = 2027-01-01\n", False),
    ],
)
def test_two_tariffs_for_the_same_use(second: str, clashes: bool) -> None:
    """Equal rank is a fault; another group, identifier or time is not."""
    tariff = '[[tariffs]]\nservice = "voice"\nname = "Calls"\nper = "minute"\nrate = "1"\n'
    found = faults_of(build(files(HEAD + tariff + tariff + second), NOW_MS))
    assert found == (
        [
            (
                "rateplans/p.toml:8: tariffs: a second tariff for voice, all rating groups, beside line 3"
                " at the same time (give them different rating_groups, origins, priorities, or from and to)"
            )
        ]
        if clashes
        else []
    )


def test_plans_have_names_of_their_own() -> None:
    """Two files with one plan name are a fault in the later one."""
    plan = TARIFF + 'rate = "1"\n'
    assert faults_of(build(files(plan, rateplans__q_toml=plan), NOW_MS)) == [
        "rateplans/q.toml:1: name: 'p' is that of rateplans/p.toml (give each plan its own name, or each edition of it a \"from\" of its own)"
    ]


def test_a_later_and_dearer_long_prefix_is_warned_of() -> None:
    """3.8: until it starts, a cheaper shorter prefix would answer for it, which nobody means."""
    deck = "prefix,destination,rate,from\n49,Germany,0.01,\n4915,Germany Mobile,0.10,2027-01-01\n4917,Same,0.01,2027-01-01\n"
    result = build(files(DECK_TARIFF, decks__d_csv=deck), NOW_MS)
    assert [str(warning) for warning in result.warnings] == [
        (
            "decks/d.csv:3: from: 4915 is not in force yet; until then the cheaper line 2 applies"
            " (add a line for now, or forbid the prefix until then)"
        )
    ]
    assert result.book is not None


def test_unused_decks_are_checked_too() -> None:
    """A deck that no plan names is a warning, and its faults are faults."""
    result = build(files(decks__d_csv="prefix,destination,rate\nx,y,1\n"), NOW_MS)
    assert [fault.file for fault in result.faults] == [warning.file for warning in result.warnings] == ["decks/d.csv"]


def test_text_that_is_not_utf8_is_a_fault() -> None:
    """An export in another encoding is named as such, not shown as odd destinations."""
    broken = files(DECK_TARIFF) | {"decks/d.csv": "prefix,destination,rate\n225,Côte,1\n".encode("latin-1")}
    assert "decks/d.csv:2: file: is not UTF-8 text (save it as UTF-8)" in faults_of(build(broken, NOW_MS))


def test_semicolons_comments_and_byte_order_marks_are_read() -> None:
    """What European spreadsheets save is read without a question."""
    deck = "\ufeffprefix;destination;rate\n# mobile\n4915 4916;Germany;0.05\n\n"
    result = build(files(DECK_TARIFF, decks__d_csv=deck), NOW_MS)
    assert faults_of(result) == []


def test_an_empty_directory_says_what_is_missing(tmp_path: Path) -> None:
    """Both the currencies and a plan are asked for."""
    assert [(fault.file, fault.line) for fault in check_config(tmp_path)] == [("currencies.toml", 0), ("rateplans", 0)]
    with pytest.raises(ConfigFaultsError, match="cannot be read"):
        load_currencies(tmp_path / "currencies.toml")


def test_unreadable_files_are_faults(tmp_path: Path) -> None:
    """A folder where a file should be is reported like any fault."""
    (tmp_path / "currencies.toml").mkdir()
    assert [fault.file for fault in check_config(tmp_path)] == ["currencies.toml"]


def test_the_version_is_the_content(tmp_path: Path) -> None:
    """The same bytes have the same version; one other byte has another."""
    one, same = build(files(), NOW_MS), build(files(), FOREVER_MS)
    other = build(files(TARIFF + 'rate = "0.2"\n'), NOW_MS)
    assert one.book is not None
    assert same.book is not None
    assert other.book is not None
    assert one.book.digest == same.book.digest != other.book.digest
    assert one.book.version == one.book.digest[:12]
    for name, data in files().items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    loaded = load_ratebook(tmp_path, NOW_MS)
    assert loaded.book is not None
    assert loaded.book.digest == one.book.digest
