"""Bundles and packages in plan files: what they may say, what is wrong with them, and which uses a bundle is for."""

from __future__ import annotations

import pytest

from balance.account import Source
from ocs.rating.build import LoadResult, build
from ocs.rating.bundles import Use
from ocs.rating.origins import Origin
from ocs.rating.terms import Tariff

MONDAY_NOON_MS = 1_789_984_800_000  # 2026-09-21 12:00 in Berlin
CALENDAR = """
zone = "Europe/Berlin"
[[bands]]
name = "peak"
days = ["mon-fri"]
times = ["08:00-18:00"]
[[bands]]
name = "off-peak"
"""
DECK = "prefix,destination,rate\n49,Germany,0.05\n4930,Berlin,0.04\n33,France,0.10\n800,Freephone,0\n"
PLAN = """
name = "p"
currency = "EUR"
time_zone = "Europe/Berlin"
[[tariffs]]
service = "voice"
name = "Calls"
per = "minute"
deck = "d"
"""
BUNDLE = """
[[bundles]]
name = "b"
per = "minute"
services = ["voice"]
"""
PACKAGE = """
[[packages]]
name = "k"
price = "4.99"
[[packages.grants]]
bundle = "b"
units = "100 min"
"""


def load(lines: str, plan: str = PLAN, more: dict[str, str] | None = None) -> LoadResult:
    files = {
        "currencies.toml": "EUR = { numeric = 978, scale = 9, digits = 2 }\n",
        "zones.toml": '[EEA]\nnetworks = ["208", "262"]\n',
        "calendars/c.toml": CALENDAR,
        "decks/d.csv": DECK,
        "rateplans/p.toml": plan + lines,
        **(more or {}),
    }
    return build({name: text.encode() for name, text in files.items()}, MONDAY_NOON_MS)


@pytest.mark.parametrize(
    ("filters", "number", "origin", "hour", "is_covered"),
    [
        ("", "4930", Origin(), 0, True),
        ("", "800", Origin(), 0, False),  # free anyway
        ('destinations = ["Germany", "France"]', "33", Origin(), 0, True),
        ('destinations = ["Germany", "France"]', "4930", Origin(), 0, False),  # its own name in the deck: Berlin
        ('prefixes = ["49"]', "4930", Origin(), 0, True),
        ('prefixes = ["49"]', "33", Origin(), 0, False),
        ('origins = ["network:262"]', "49", Origin(network="26201"), 0, True),
        ('origins = ["network:262"]', "49", Origin(network="31026"), 0, False),
        ('origins = ["network:262"]', "49", Origin(), 0, False),  # where the user is, is not known
        ('origins = ["zone:EEA", "trunk:t"]', "49", Origin(trunk="t"), 0, True),
        ('calendar = "c"\nbands = ["off-peak"]', "49", Origin(), 0, False),
        ('calendar = "c"\nbands = ["off-peak"]', "49", Origin(), 7, True),
        ("rating_groups = [7]", "49", Origin(), 0, False),
    ],
)
def test_3_16_a_bundle_is_for_what_its_filters_let_through(
    filters: str, number: str, origin: Origin, hour: int, is_covered: bool
) -> None:
    """Service, destination by name and by prefix, roaming, time band, rating group: all that are written have to agree."""
    book = load(BUNDLE + filters).book
    assert book is not None
    at_ms = MONDAY_NOON_MS + hour * 3_600_000
    tariff = book.tariff_for("p", "voice", -1, (), number, at_ms)
    assert isinstance(tariff, Tariff)
    found = book.bundles_for("p", tariff, Use("voice", -1, number, at_ms, origin))
    assert found == (("b",) if is_covered else ())
    assert book.bundles_for("p", tariff, Use("video", -1, number, at_ms, origin)) == ()


def test_a_package_holds_buckets_with_their_ends() -> None:
    """Days end at midnight of the plan's zone; without days or a period a bucket stays."""
    second = '[[packages.grants]]\nbundle = "b"\nunits = 60\nuntil = "month"\nsource = "promotional"\npriority = 5\n'
    book = load(BUNDLE + PACKAGE + "days = 30\n" + second).book
    assert book is not None
    package = book.package("p", "k", MONDAY_NOON_MS)
    assert package is not None
    assert (package.price, [grant.units for grant in package.grants]) == (4_990_000_000, [6000, 60])
    ends = [grant.expires_at_ms(package.zone, 0, MONDAY_NOON_MS) for grant in package.grants]
    assert ends == [1_792_620_000_000, 1_790_805_600_000]
    assert (package.grants[1].source, package.grants[1].priority) == (Source.PROMOTIONAL, 5)
    assert book.package("p", "other", MONDAY_NOON_MS) is None


def test_a_plan_sells_what_its_parent_sells() -> None:
    """Bundles and packages are inherited by name."""
    heir = 'name = "heir"\ncurrency = "EUR"\nparent = "p"\n'
    book = load(BUNDLE + PACKAGE, more={"rateplans/heir.toml": heir}).book
    assert book is not None
    assert book.package("heir", "k", MONDAY_NOON_MS) == book.package("p", "k", MONDAY_NOON_MS) is not None


@pytest.mark.parametrize(
    ("lines", "field"),
    [
        (BUNDLE.replace('["voice"]', "[]"), "bundles.services"),
        (BUNDLE + BUNDLE, "bundles.name"),
        (BUNDLE + 'calendar = "x"\nbands = []', "bundles.calendar"),
        (BUNDLE + 'calendar = "c"', "bundles.calendar"),
        (BUNDLE + 'bands = ["peak"]', "bundles.bands"),
        (BUNDLE + 'origins = ["zone:nowhere"]', "bundles.origins"),
        (BUNDLE + 'unit = "s"', "bundles.unit"),
        (BUNDLE + PACKAGE + PACKAGE, "packages.name"),
        (BUNDLE + PACKAGE.replace('"b"', '"c"'), "packages.grants.bundle"),
        (BUNDLE + PACKAGE.replace("100 min", "100 MB"), "packages.grants.units"),
        (BUNDLE + PACKAGE.replace("100 min", "0"), "packages.grants.units"),
        (BUNDLE + PACKAGE.replace("4.99", "-1"), "packages.price"),
        (BUNDLE + PACKAGE.replace("4.99", "4,99"), "packages.price"),
        (BUNDLE + PACKAGE + 'days = 1\nuntil = "day"', "packages.grants.days"),
        (BUNDLE + PACKAGE + "days = -1", "packages.grants.days"),
        ('[[packages]]\nname = "k"', "packages.grants"),
        (BUNDLE + PACKAGE + "rollover = 5", "packages.grants.rollover"),
        (BUNDLE + PACKAGE + 'rollover = "1 MB"', "packages.grants.rollover"),
        (BUNDLE + PACKAGE.replace("4.99", '4.99"\nevery = "year'), "packages.every"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(lines: str, field: str) -> None:
    """One fault each, with a cure."""
    faults = load(lines).faults
    assert [fault.field for fault in faults][:1] == [field], faults
    assert all(fault.line for fault in faults)


def test_a_validity_needs_a_clock() -> None:
    """Days of which zone? The plan has to say."""
    plan = PLAN.replace('time_zone = "Europe/Berlin"\n', "")
    (fault,) = load(BUNDLE + PACKAGE + "days = 30", plan).faults
    assert (fault.field, "time_zone" in fault.cure) == ("packages.grants.days", True)


def test_each_edition_of_a_plan_sells_its_own() -> None:
    """A package of another price from a date on: who buys before pays the old one."""
    october = (
        PLAN.replace('name = "p"', 'name = "p"\nfrom = "2026-10-01"', 1) + BUNDLE + PACKAGE.replace("4.99", "5.99")
    )
    book = load(BUNDLE + PACKAGE, more={"rateplans/p-october.toml": october}).book
    assert book is not None
    packages = [book.package("p", "k", MONDAY_NOON_MS + days * 86_400_000) for days in (0, 20)]
    assert [each.price for each in packages if each is not None] == [4_990_000_000, 5_990_000_000]
