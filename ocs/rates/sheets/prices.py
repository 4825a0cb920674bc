"""Which columns of a sheet are prices: one for all, or one for each band of the week, or for origins.

Where several columns can be the price, they are told apart by what is known and certain: the deck's currency, and the names
of the bands in the calendar by which a plan reads the deck. Everything else is asked.

    price             the price
    price:peak        the price in a band; initial_price:peak that of the first increment
    price@zone:EEA    the price of uses that come from somewhere
"""

from __future__ import annotations

from typing import Final

from ocs.rates.sheets.faults import SheetFault
from ocs.rates.sheets.header import PRICE_AT_BAND, PRICE_FROM, Table, choose, plain

_SYMBOLS: Final = {"$": "USD", "€": "EUR", "£": "GBP"}
_RATE_WORDS: Final = frozenset({"rate", "rates", "price", "prices", "per", "minute", "min"})
DECK_COLUMNS: Final = {"price": "rate", "initial_price": "initial_rate"}


def price_columns(table: Table, bands: tuple[str, ...], currency: str) -> tuple[dict[str, int], list[SheetFault]]:
    """Find the columns of all prices by field: ``price`` and those of bands and origins."""
    faults: list[SheetFault] = []
    _take_titles_of_bands(table, bands)
    qualified = sorted(filter(_is_qualified, table.fields), key=lambda field: not field.startswith("price"))
    found = {field: table.fields[field][0] for field in qualified}
    places = list(table.fields.get("price", []))
    if len(places) > 1:
        places = _in_currency(table, places, currency) or places
    if len(places) > 1 and (named := _by_band(table, places, bands)):
        found |= named
        places = [place for place in places if place not in named.values()]
    if len(places) > 1:
        _, fault = choose(table, "price")
        faults += [fault] if fault else []
        return found, faults
    faults += _unknown_bands(table, found, bands)
    of_bands = {field: place for field, place in found.items() if field.startswith(f"price{PRICE_AT_BAND}")}
    if places:
        found["price"] = places[0]
    elif of_bands and not faults:
        missing = [band for band in bands if f"price{PRICE_AT_BAND}{band}" not in of_bands]
        if missing:
            message = f"the sheet has no price for the band {', '.join(missing)} of the calendar"
            faults.append(SheetFault(table.place(table.header_row), message, "--column price=... holds in all others"))
        else:
            found["price"] = next(iter(of_bands.values()))
    return found, faults


def deck_column(field: str) -> str:
    """Name the column of our decks that the price of a band goes to: ``rate:peak``."""
    name, _, band = field.partition(PRICE_AT_BAND)
    return f"{DECK_COLUMNS[name]}:{band}"


def _is_qualified(field: str) -> bool:
    return PRICE_AT_BAND in field or PRICE_FROM in field


def _in_currency(table: Table, places: list[int], currency: str) -> list[int]:
    """Keep the one column whose title names the deck's currency."""
    found = [place for place in places if currency and currency in _currencies(table.title(place))]
    return found if len(found) == 1 else []


def _currencies(title: str) -> set[str]:
    words = set("".join(letter if letter.isalnum() else " " for letter in title.upper()).split())
    return words | {code for symbol, code in _SYMBOLS.items() if symbol in title}


def _by_band(table: Table, places: list[int], bands: tuple[str, ...]) -> dict[str, int]:
    """Match titles such as "Off-Peak Rate" with the names of bands; nothing where that leaves two open."""
    named: dict[str, int] = {}
    for place in places:
        band = _band_of(table.title(place))
        if band in bands and f"price{PRICE_AT_BAND}{band}" not in named:
            named[f"price{PRICE_AT_BAND}{band}"] = place
    return named if len(places) - len(named) <= 1 else {}


def _band_of(title: str) -> str:
    return "-".join(word for word in plain(title).split() if word not in _RATE_WORDS)


def _take_titles_of_bands(table: Table, bands: tuple[str, ...]) -> None:
    """Read columns that are named as a band and otherwise mean nothing to us: "Night Rate"."""
    if not any(field.startswith(f"price{PRICE_AT_BAND}") for field in table.fields):
        known = {place for places in table.fields.values() for place in places}
        places = [place for place, _ in enumerate(table.header) if place not in known]
        if found := [place for place in places if _band_of(table.title(place)) in bands]:
            table.fields["price"] = sorted([*table.fields.get("price", []), *found])


def _unknown_bands(table: Table, found: dict[str, int], bands: tuple[str, ...]) -> list[SheetFault]:
    faults = []
    for field, place in found.items():
        _, mark, band = field.partition(PRICE_AT_BAND)
        if mark and PRICE_FROM not in field and band not in bands:
            known = f"bands are {', '.join(bands)}" if bands else "name a calendar in the tariff that uses the deck"
            faults.append(SheetFault(table.place(table.header_row, place), f"no calendar has a band {band!r}", known))
    return faults
