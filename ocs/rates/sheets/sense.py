"""Lines of a sheet that are lawful and probably not meant: told to the operator, who decides."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from statistics import median_low
from typing import Final

from balance.money import parse_amount
from ocs.rates.countries import country_of
from ocs.rates.sheets.reader import SheetRate
from ocs.rates.sheets.values import Status
from ocs.rating.price import Price
from ocs.rating.tariffs import DeckRate

FAR_BELOW: Final = 8  # a price so many times below its country's middle has probably lost a digit
FAR_ABOVE: Final = 50
NAMES_MIN: Final = 3  # of a country's destinations, before their middle means anything
SHOWN_MAX: Final = 10
_DAY_MS: Final = 86_400_000


def far_prices(quotes: Iterable[tuple[str, str, int, int]]) -> list[tuple[int, int, int]]:
    """Find prices far from their country's: place, rate, the country's middle.

    ``quotes`` are dial code, destination, rate, place. A country's middle is that of its destinations, so that a
    mobile network with a hundred codes weighs as much as one with one.
    """
    by_country: dict[str, list[tuple[str, int, int]]] = {}
    for code, name, rate, place in quotes:
        if rate > 0:
            by_country.setdefault(country_of(code), []).append((name, rate, place))
    found: list[tuple[int, int, int]] = []
    for prices in by_country.values():
        rates = {name: rate for name, rate, _ in prices}
        if len(rates) < NAMES_MIN:
            continue
        middle = median_low(sorted(rates.values()))
        found += [
            (place, rate, middle) for _, rate, place in prices if rate * FAR_BELOW < middle or rate > middle * FAR_ABOVE
        ]
    return sorted(found)


def doubts(rates: list[SheetRate], live: DeckRate, scale: int, at_ms: int, notice_days: int) -> list[str]:
    """Say what does not fit together: words and prices, notice, prices far from their country's."""
    found: list[str] = []
    rates = [rate for rate in rates if not rate.origin]
    for title, lines in (
        ("the price is far from its country's", _far(rates, scale)),
        ("the status does not fit the price", _contradictions(rates, live, scale, at_ms)),
        ("the sheet's current price is not that of the deck", _other_base(rates, live, scale, at_ms)),
        (
            f"an increase with less than {notice_days} days' notice",
            _short_notice(rates, live, scale, at_ms, notice_days),
        ),
    ):
        shown = list(lines)
        found += [f"{title}: {line}" for line in shown[:SHOWN_MAX]]
        if len(shown) > SHOWN_MAX:
            found.append(f"{title}: and {len(shown) - SHOWN_MAX} more")
    return found


def _priced(
    rates: Iterable[SheetRate], read: Callable[[SheetRate], str], scale: int
) -> Iterator[tuple[SheetRate, int]]:
    known: dict[str, int] = {}
    for rate in rates:
        text = read(rate)
        if text:
            if text not in known:
                known[text] = parse_amount(text, scale)
            yield rate, known[text]


def _far(rates: list[SheetRate], scale: int) -> Iterator[str]:
    by_row = {rate.row: rate for rate in rates}
    quotes = ((rate.code, rate.name or rate.code, price, rate.row) for rate, price in _priced(rates, _price, scale))
    seen: set[int] = set()
    for row, price, middle in far_prices(quotes):
        if row not in seen:
            seen.add(row)
            rate = by_row[row]
            times = f"{middle // price} times below" if price < middle else f"{price // middle} times above"
            yield f"row {row}: {rate.code} {rate.name} at {rate.price} is {times} the middle"


def _price(rate: SheetRate) -> str:
    return rate.price


def _rate_of(live: DeckRate, code: str, at_ms: int) -> int | None:
    row, _ = live.codes.index.find_for(code, at_ms)
    price = live.price_of_row(row) if row >= 0 and live.codes.length_of[row] == len(code) else None
    return price.next_rate if isinstance(price, Price) else None


def _contradictions(rates: list[SheetRate], live: DeckRate, scale: int, at_ms: int) -> Iterator[str]:
    for rate, price in _priced(rates, _price, scale):
        if rate.status is Status.NONE:
            continue
        was = _rate_of(live, rate.code, at_ms)
        if was is None:
            is_known = any(prefix == rate.code for prefix, _ in live.codes.index.candidates(rate.code))
            fits, is_ = is_known or rate.status is Status.NEW, "not in the deck"
        else:
            change = Status.INCREASE if price > was else Status.DECREASE if price < was else Status.UNCHANGED
            fits, is_ = rate.status is change, f"{change.value} against the deck"
        # An empty deck says nothing about a sheet's words.
        if not fits and len(live.codes.destination_of):
            yield f"row {rate.row}: {rate.code} is called {rate.status.value} and is {is_}"


def _other_base(rates: list[SheetRate], live: DeckRate, scale: int, at_ms: int) -> Iterator[str]:
    for rate, price in _priced(rates, lambda rate: rate.old_price, scale):
        was = _rate_of(live, rate.code, at_ms)
        if was is not None and was != price:
            yield f"row {rate.row}: {rate.code} is said to cost {rate.old_price} now"


def _short_notice(rates: list[SheetRate], live: DeckRate, scale: int, at_ms: int, notice_days: int) -> Iterator[str]:
    if not notice_days:
        return
    for rate, price in _priced(rates, _price, scale):
        was = _rate_of(live, rate.code, at_ms)
        if was is not None and price > was and rate.from_ms < at_ms + notice_days * _DAY_MS:
            yield f"row {rate.row}: {rate.code} {rate.name}"
