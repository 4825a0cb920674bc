"""A supplier's file against the live deck: what it says, what it changes, what the deck becomes. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import PurePosixPath

import msgspec

from balance.money import Currency
from ocs.rates.decks import PLAIN, DeckUse, deck_file, read_deck, uses_of
from ocs.rates.difference import TariffDifference, TariffKey, compare_sources
from ocs.rates.sheets.faults import Place, SheetFault, SheetFaultsError
from ocs.rates.sheets.merge import Merged, merge
from ocs.rates.sheets.reader import Progress, Reading, read_file
from ocs.rates.sheets.sense import doubts
from ocs.rates.sheets.supplier import Supplier
from ocs.rates.versions import Manifest, hash_of
from ocs.rating.currencies import CURRENCIES_FILE, parse_currencies
from ocs.rating.deckfile import DeckTemplate
from ocs.rating.faults import FaultList
from ocs.rating.numbers import ZONES_FILE, parse_zones
from ocs.rating.origins import parse_rule
from ocs.rating.units import UnitKind


class Source(msgspec.Struct, frozen=True):
    """A file as it came."""

    name: str
    data: bytes
    supplier_name: str


class Intake(msgspec.Struct, frozen=True):
    """All there is to show before anything is kept. ``supplier`` holds what was concluded."""

    manifest: Manifest
    text: str
    reading: Reading
    difference: TariffDifference
    currency: Currency
    notes: tuple[str, ...]

    @property
    def supplier(self) -> Supplier:
        return self.reading.supplier


def take_over(
    files: Mapping[str, bytes],
    source: Source,
    supplier: Supplier,
    at_ms: int,
    now_ms: int,
    progress: Progress = lambda *_: None,
) -> Intake:
    """Read, merge and compare. ``at_ms`` is when ASAP is. Raises SheetFaultsError with all that has to be answered."""
    deck = supplier.deck
    uses = uses_of(files, deck)
    currencies = parse_currencies(files.get(CURRENCIES_FILE, b"").decode("utf-8-sig", "replace"), FaultList(""))
    supplier = _with_currency(supplier, uses)
    scale = currencies[supplier.currency].scale if supplier.currency in currencies else PLAIN.scale
    template = uses[0].template if uses else DeckTemplate(PLAIN.price, scale)
    reading = read_file(source.data, supplier, scale, progress, template.bands)
    _check_origins(reading, files)
    currency = _checked_currency(reading.supplier.currency, currencies, uses, deck)
    progress("merging", 0, 0)
    live = files.get(deck_file(deck), b"")
    live_text = live.decode("utf-8-sig", "replace")
    old, faults = read_deck(deck_file(deck), live_text, template, now_ms) if live else (None, [])
    if faults:
        raise SheetFaultsError([SheetFault(Place(), f"the live deck has faults: {faults[0]}", "ocs config check")])
    merged = merge(live_text, reading, at_ms, reading.supplier.kind, reading.supplier.withdrawn)
    progress("comparing", 0, 0)
    new, faults = read_deck(deck_file(deck), merged.text, template, now_ms)
    if faults:
        raise SheetFaultsError([SheetFault(Place(), f"the new deck has faults: {faults[0]}", "correct the sheet")])
    before = old if old is not None else read_deck(deck_file(deck), _EMPTY, template, now_ms)[0]
    changes, unchanged = compare_sources(before, new, min(at_ms, now_ms))
    difference = TariffDifference(TariffKey("", currency.code, "", "", deck), tuple(changes), unchanged, currency.code)
    data = merged.text.encode()
    manifest = Manifest(
        deck=deck,
        hash=hash_of(data),
        base=hash_of(live),
        supplier=source.supplier_name,
        source=PurePosixPath(source.name).name,
        source_hash=hash_of(source.data),
        staged_at_ms=now_ms,
        at_ms=at_ms,
        counts={"unchanged": unchanged, **Counter(change.kind.value for change in changes)},
        warnings=tuple(doubts(reading.rates, before, currency.scale, at_ms, reading.supplier.increase_notice_days)),
    )
    return Intake(manifest, merged.text, reading, difference, currency, (*reading.notes, *_notes(merged)))


def _check_origins(reading: Reading, files: Mapping[str, bytes]) -> None:
    """Every origin of the sheet has to be one that the deck can name. Raises SheetFaultsError."""
    zones = parse_zones(files.get(ZONES_FILE, b"").decode("utf-8-sig", "replace"), FaultList(""))
    faults = []
    for origin in dict.fromkeys(rate.origin for rate in reading.rates if rate.origin):
        try:
            parse_rule(origin, zones)
        except ValueError as error:
            faults.append(
                SheetFault(Place(), f"the origin {error}", "add the zone, or correct [origins] of the supplier")
            )
    if faults:
        raise SheetFaultsError(faults)


_EMPTY = "prefix,destination,rate\n"


def _notes(merged: Merged) -> list[str]:
    notes = []
    if merged.past:
        notes.append(f"{merged.past} codes have a date in the past: their prices begin with this import")
    if merged.withdrawn:
        notes.append(f"{merged.withdrawn} codes are not in the sheet and are withdrawn")
    if merged.kept_later:
        notes.append(f"{merged.kept_later} codes keep a later change of the deck that the sheet does not mention")
    return notes


def _with_currency(supplier: Supplier, uses: list[DeckUse]) -> Supplier:
    """A deck that a plan uses has that plan's currency."""
    if supplier.currency or not uses:
        return supplier
    return msgspec.structs.replace(supplier, currency=uses[0].currency)


def _checked_currency(code: str, currencies: Mapping[str, Currency], uses: list[DeckUse], deck: str) -> Currency:
    faults: list[SheetFault] = []
    if code not in currencies:
        faults.append(SheetFault(Place(), f"{code} is not in {CURRENCIES_FILE}", "add it, or correct --currency"))
    for use in uses:
        if use.currency != code:
            message = f"plan {use.plan} uses {deck} in {use.currency}, the sheet is in {code}"
            faults.append(SheetFault(Place(), message, "choose another deck with --deck"))
        if use.template.price.kind is not UnitKind.SECONDS or use.template.price.per != 60:
            message = f"plan {use.plan} reads {deck} per {use.template.price.per} units"
            faults.append(
                SheetFault(Place(), message, 'imported decks are per minute: write per = "minute" in the plan')
            )
    if faults:
        raise SheetFaultsError(faults)
    return currencies[code]
