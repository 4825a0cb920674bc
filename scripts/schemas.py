"""JSON Schemas of the configuration files, for editors: from the records that read them into config/schema/.

python scripts/schemas.py            write them
python scripts/schemas.py --check    say which are not current, and end with 1
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from ocs.billing.invoices.bookkeeping import Bookkeeping
from ocs.billing.invoices.dunning import Policy
from ocs.billing.invoices.issuers import LegalEntity, Tax
from ocs.charging.rules import AccountRules
from ocs.delivery.settings import DeliveryFile
from ocs.delivery.words import Words
from ocs.feeds.settings import Feed
from ocs.gateways.switch_files import Switch
from ocs.payments.settings import PaymentsFile
from ocs.rates.sheets.supplier import Supplier
from ocs.rating.rateplan import (
    BandEntry,
    BandRate,
    BundleEntry,
    CalendarFile,
    CurrencyEntry,
    DestinationRate,
    GrantEntry,
    Numbers,
    PackageEntry,
    RatePlan,
    TariffEntry,
    TierEntry,
    TimeRate,
    Zone,
)
from ocs.settings import Settings

FOLDER: Final = Path(__file__).parents[1] / "config" / "schema"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


class Rate(DestinationRate, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The price of one named destination."""

    bands: tuple[BandRate, ...] = ()
    tiers: tuple[TierEntry, ...] = ()


class Tariff(TariffEntry, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one use of a service costs. Exactly one of rate, free, deck, destinations, tiers says it."""

    rates: tuple[Rate, ...] = ()
    bands: tuple[BandRate, ...] = ()
    tiers: tuple[TierEntry, ...] = ()
    time: TimeRate | None = None


class Offer(PackageEntry, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Buckets of units that are sold together."""

    grants: tuple[GrantEntry, ...]


class Plan(RatePlan, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is sold: one plan a file. docs/rating.md says what each field means."""

    tariffs: tuple[Tariff, ...]
    bundles: tuple[BundleEntry, ...] = ()
    packages: tuple[Offer, ...] = ()


class Calendar(CalendarFile, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Bands of the week on the clock of a zone."""

    bands: tuple[BandEntry, ...]


class Billing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who issues invoices, and which taxes there are. docs/billing.md says what each field means."""

    legal_entity: tuple[LegalEntity, ...] = ()
    tax: tuple[Tax, ...] = ()
    dunning: tuple[Policy, ...] = ()
    bookkeeping: Bookkeeping = Bookkeeping()


class Mediation(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """CDR files of switches. docs/mediation.md says what each field means."""

    switch: tuple[Switch, ...] = ()


class Feeds(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who else is given the rated records. docs/mediation.md says what each field means."""

    feed: tuple[Feed, ...] = ()


FILES: Final[dict[str, tuple[str, Any]]] = {
    "ocs.json": ("Settings of the server (ocs.toml)", Settings),
    "rateplan.json": ("A rate plan (rateplans/*.toml)", Plan),
    "calendar.json": ("Bands of the week (calendars/*.toml)", Calendar),
    "zones.json": ("Named origins (zones.toml)", dict[str, Zone]),
    "numbers.json": ("Emergency numbers (numbers.toml)", Numbers),
    "currencies.json": ("Currencies (currencies.toml)", dict[str, CurrencyEntry]),
    "accounts.json": ("Rules for accounts (accounts.toml)", AccountRules),
    "billing.json": ("Issuers of invoices and taxes (billing.toml)", Billing),
    "delivery.json": ("By which ways messages leave, and who is told of what (delivery.toml)", DeliveryFile),
    "messages.json": ("The words of mails and SMS in a language (messages/*.toml)", dict[str, Words]),
    "feeds.json": ("Who else is given the rated records (feeds.toml)", Feeds),
    "mediation.json": ("CDR files of switches (mediation.toml)", Mediation),
    "payments.json": ("How payments by stored methods are collected (payments.toml)", PaymentsFile),
    "supplier.json": ("What was settled for a supplier's sheets (suppliers/*.toml)", Supplier),
}


def schemas() -> dict[str, bytes]:
    """Each file's content by its name."""
    found = {}
    for name, (title, shape) in FILES.items():
        schema = {"$schema": DIALECT, "title": title, **msgspec.json.schema(shape)}
        found[name] = msgspec.json.format(msgspec.json.encode(schema), indent=2) + b"\n"
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    is_check = parser.parse_args().check
    FOLDER.mkdir(exist_ok=True)
    for name, content in schemas().items():
        path = FOLDER / name
        if is_check and (not path.exists() or path.read_bytes() != content):
            sys.exit(f"{path} is not current: run python scripts/schemas.py")
        if not is_check:
            path.write_bytes(content)


if __name__ == "__main__":
    main()
