"""``config/billing.toml``: who issues invoices, which taxes there are, since when at which rate."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec

from balance.money import Amount
from ocs.billing.invoices.bookkeeping import Bookkeeping
from ocs.billing.invoices.calculation import RATE_UNIT, AppliedTax
from ocs.billing.invoices.dunning import Policy, faults_in
from ocs.billing.invoices.rounding import quotient
from ocs.rating.dated import instant_ms
from ocs.rating.exchange import EXCHANGE_FILE, Rates, parse_exchange
from ocs.rating.faults import ConfigFault, ConfigFaultsError, FaultList, did_you_mean
from ocs.rating.load import load_currencies
from ocs.rating.tomlfile import TomlFile

BILLING_FILE: Final = "billing.toml"
TEMPLATE: Final = "invoice.typ"
PERCENT_DECIMALS_MAX: Final = 4
STANDARD, REVERSE_CHARGE, EXEMPT = "standard", "reverse_charge", "exempt"
_TABLES: Final = ("legal_entity", "tax", "dunning", "bookkeeping")
TAX_STATUSES: Final = (STANDARD, REVERSE_CHARGE, EXEMPT)


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class LegalEntity(_Section, frozen=True):
    """Who issues: all of it is printed. Each series of numbers runs by itself, from 1 each year."""

    id: str
    name: str
    address: tuple[str, ...]
    country: str
    tax_id: str
    usage_tax: str  # the code of usage whose tariff names none
    invoice_series: str = "INV"
    credit_note_series: str = "CN"
    registration: str = ""
    email: str = ""
    bank: str = ""
    iban: str = ""
    bic: str = ""
    endpoint: str = ""  # electronic address as Peppol has it, such as 9930:DE000000000; empty: the email
    terms_days: int = 14
    currency: str = (
        ""  # of its books: the difference of exchange of what is billed in others is exported; empty: none is
    )
    templates: str = ""  # a folder beside the file, with an invoice.typ of the entity's own; empty: ours
    review_required: bool = False  # drafts are issued when somebody has reviewed them, not before
    dunning: str = ""  # the policy of its customers; empty: nobody is chased
    # Records that come after their period has been billed: on the next invoice, on one of their own, or not billed at all.
    late_records: Literal["next_invoice", "supplementary_invoice", "write_off"] = "next_invoice"


class TaxStep(_Section, frozen=True):
    """A rate and the first day of supply that it holds for."""

    since: str
    percent: str


class TaxWords(_Section, frozen=True):
    """What a tax is called in a language. Empty: as everywhere else."""

    name: str = ""
    reverse_charge_note: str = ""
    exempt_note: str = ""


class Tax(_Section, frozen=True):
    """A tax by its code; customers who do not pay it get a note instead. ``in_language`` says it in other words."""

    code: str
    name: str
    steps: tuple[TaxStep, ...]
    reverse_charge_note: str = "Reverse charge: the recipient is liable for the tax."
    exempt_note: str = "Exempt from tax."
    in_language: dict[str, TaxWords] = {}


class _Step(NamedTuple):
    since: date
    rate: int


class Issuers(msgspec.Struct, frozen=True):
    """The whole file, checked."""

    entities: dict[str, LegalEntity]
    taxes: dict[str, Tax]
    steps: dict[str, tuple[_Step, ...]]
    dunning: dict[str, Policy]
    bookkeeping: Bookkeeping = Bookkeeping()
    exchange: Rates = {}
    folder: Path = Path()  # where the file lies, and the templates

    @property
    def reviewing(self) -> frozenset[str]:
        """The entities whose drafts are reviewed before they are issued."""
        return frozenset(entity.id for entity in self.entities.values() if entity.review_required)

    def template_of(self, entity_id: str) -> Path | None:
        """The entity's own template; None: ours."""
        entity = self.entities.get(entity_id)
        return self.folder / entity.templates / TEMPLATE if entity is not None and entity.templates else None

    def exchanged(self, amount: Amount, source: str, target: str, day: date) -> tuple[Amount, str]:
        """An exact amount in another currency, at the rate of a day, half away from zero; and the rate in words.

        Raises KeyError where exchange.csv has no such pair.
        """
        at_ms = instant_ms(day)
        rate = next(each.what for each in self.exchange[source, target] if each.from_ms <= at_ms < each.to_ms)
        return quotient(amount * rate.numerator, rate.denominator), f"1 {source} = {rate.rate} {target}, {day}"

    def applied(self, code: str, status: str, supplied_on: date, language: str = "") -> AppliedTax:
        """What a code means for a customer of this tax status, for a supply of this day, in the customer's words.

        Raises KeyError for a code that the file does not have.
        """
        tax = self.taxes[code]
        words = tax.in_language.get(language, TaxWords())
        name = words.name or tax.name
        if status == REVERSE_CHARGE:
            return AppliedTax(0, name, words.reverse_charge_note or tax.reverse_charge_note)
        if status == EXEMPT:
            return AppliedTax(0, name, words.exempt_note or tax.exempt_note)
        rate = 0
        for step in self.steps[code]:
            if step.since <= supplied_on:
                rate = step.rate
        return AppliedTax(rate, name)


def load_issuers(config_dir: Path) -> Issuers | list[ConfigFault]:
    """Read the file beside the settings. Without one there are no issuers, and no invoices."""
    path = config_dir / BILLING_FILE
    faults = FaultList(BILLING_FILE)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Issuers({}, {}, {}, {})
    except (OSError, UnicodeDecodeError) as error:
        faults.add(1, "file", f"cannot be read: {error}", "save it as UTF-8, readable for us")
        return faults.sorted()
    issuers = parse_issuers(text, faults, config_dir)
    found = faults.sorted()
    exchange = _load_exchange(config_dir)
    return found or msgspec.structs.replace(issuers, exchange=exchange)


def _load_exchange(config_dir: Path) -> Rates:
    """The dated rates beside; what is wrong with them is told where prices are read."""
    try:
        currencies = load_currencies(config_dir / "currencies.toml")
        text = (config_dir / EXCHANGE_FILE).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError, ConfigFaultsError):
        return {}
    return parse_exchange(text, FaultList(EXCHANGE_FILE), currencies)


def parse_issuers(text: str, faults: FaultList, folder: Path = Path()) -> Issuers:
    """Read ``[[legal_entity]]`` and ``[[tax]]`` tables; what has a fault is left out."""
    file = TomlFile(text, faults)
    for name in file.table.keys() - set(_TABLES):
        file.fault((name,), "is not a known table", did_you_mean(name, _TABLES))
    taxes, steps = _taxes(file)
    policies = _policies(file)
    entities: dict[str, LegalEntity] = {}
    taken: set[str] = set()
    for place, raw in enumerate(_tables(file, "legal_entity")):
        path = ("legal_entity", place)
        entity = file.decode(raw, LegalEntity, path)
        if entity is None:
            continue
        if entity.id in entities:
            file.fault((*path, "id"), f"{entity.id!r} is there already", "one table for each id")
        if entity.usage_tax not in taxes:
            cure = did_you_mean(entity.usage_tax, taxes)
            file.fault((*path, "usage_tax"), f"no [[tax]] has the code {entity.usage_tax!r}", cure)
        for name in ("invoice_series", "credit_note_series"):
            series = getattr(entity, name)
            if series in taken:
                file.fault(
                    (*path, name), f"{series!r} is that of others", "a number names one document: choose another"
                )
            taken.add(series)
        if entity.dunning and entity.dunning not in policies:
            cure = did_you_mean(entity.dunning, policies)
            file.fault((*path, "dunning"), f"no [[dunning]] has the name {entity.dunning!r}", cure)
        if entity.templates and not (folder / entity.templates / TEMPLATE).is_file():
            file.fault((*path, "templates"), f"there is no {entity.templates}/{TEMPLATE}", "beside billing.toml")
        entities[entity.id] = entity
    accounts = file.decode(file.table.get("bookkeeping", {}), Bookkeeping, ("bookkeeping",))
    return Issuers(entities, taxes, steps, policies, accounts or Bookkeeping(), folder=folder)


def _taxes(file: TomlFile) -> tuple[dict[str, Tax], dict[str, tuple[_Step, ...]]]:
    taxes: dict[str, Tax] = {}
    steps: dict[str, tuple[_Step, ...]] = {}
    for place, raw in enumerate(_tables(file, "tax")):
        tax = file.decode(raw, Tax, ("tax", place))
        if tax is None:
            continue
        if tax.code in taxes:
            file.fault(("tax", place, "code"), f"{tax.code!r} is there already", "one table for each code")
        taxes[tax.code], steps[tax.code] = tax, _steps(file, tax, place)
    return taxes, steps


def _policies(file: TomlFile) -> dict[str, Policy]:
    policies: dict[str, Policy] = {}
    for place, raw in enumerate(_tables(file, "dunning")):
        policy = file.decode(raw, Policy, ("dunning", place))
        if policy is None:
            continue
        for fault in faults_in(policy):
            file.fault(("dunning", place), fault)
        policies[policy.name] = policy
    return policies


def _tables(file: TomlFile, name: str) -> Iterable[object]:
    found = file.table.get(name, [])
    if isinstance(found, list):
        return found
    file.fault((name,), "has to be a list of tables", f"write [[{name}]]")
    return []


def _steps(file: TomlFile, tax: Tax, place: int) -> tuple[_Step, ...]:
    steps: list[_Step] = []
    for at, step in enumerate(tax.steps):
        path = ("tax", place, "steps", at)
        try:
            since = date.fromisoformat(step.since)
        except ValueError:
            file.fault(path, f"since {step.since!r} is no date", "write it as 2026-01-31")
            continue
        rate = percent_millionths(step.percent)
        if rate is None:
            file.fault(path, f"percent {step.percent!r} is no percentage", "a decimal from 0 to 100, such as 19 or 5.5")
            continue
        if steps and since <= steps[-1].since:
            file.fault(path, f"since {since} is not after the step before", "put the steps in order of their dates")
        steps.append(_Step(since, rate))
    return tuple(steps)


def percent_millionths(text: str) -> int | None:
    """``"19"`` -> 190000, ``"5.5"`` -> 55000; None for what is no percentage from 0 to 100."""
    whole, _, fraction = text.partition(".")
    if not (whole.isascii() and whole.isdigit()) or len(fraction) > PERCENT_DECIMALS_MAX:
        return None
    if fraction and not (fraction.isascii() and fraction.isdigit()):
        return None
    rate = int(whole) * RATE_UNIT // 100 + int(fraction.ljust(PERCENT_DECIMALS_MAX, "0") or "0")
    return rate if rate <= RATE_UNIT else None
