"""Explanations and differences as fields for programs: what ``--json`` prints and an API may serve."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import IntEnum
from typing import Any, Final

import msgspec

from balance.money import Currency, format_amount
from ocs.rates.difference import Change, Quote, TariffDifference, permille
from ocs.rates.moments import moment_text
from ocs.rates.replay import after_count, comes_back
from ocs.rates.trace import Trace
from ocs.rates.wording import increment_text, price_lines
from ocs.rating.explain import explain, parts_of, per_text, price_currency
from ocs.rating.price import Price, Tariff, billed_units, cost_of
from ocs.rating.terms import Band, Grace, NextBand, SubSecond, Terms, terms_of

Fields = dict[str, Any]
NO_CURRENCY: Final = Currency("", 0, 9, 2)


def price_fields(price: Price, currency: Currency) -> Fields:
    """Every part of a price; amounts are decimal strings, of ``currency`` if that is not the account's."""
    own = currency
    currency = price_currency(price, own)
    return {
        "rate": _decimal(price.next_rate, currency),
        "initial_rate": _decimal(price.initial_rate, currency),
        "per": per_text(price),
        "initial": price.initial,
        "next": price.next,
        "setup": _decimal(price.setup, currency),
        "minimum": price.minimum,
        "round_to": _decimal(price.quantum, own),
        "rounding": _name(price.rounding),
        **_term_fields(terms_of(price), currency),
    }


def _term_fields(terms: Terms, currency: Currency) -> Fields:
    """What a price has beyond the ordinary, under the names of the rate files."""
    amounts = {
        "attempt_fee": terms.attempt_fee,
        "minimum_charge": terms.charge_min,
        "maximum_charge": terms.charge_max,
    }
    fields: Fields = {name: _decimal(amount, currency) for name, amount in amounts.items() if amount}
    if terms.grace is Grace.ADDED_PERMILLE:
        fields["added"] = f"{format_amount(terms.grace_units, 1, 0)} %"
    elif terms.grace is not Grace.NONE:
        fields[terms.grace.name.lower()] = terms.grace_units
    if terms.sub_second is not SubSecond.UP:
        fields["sub_second"] = _name(terms.sub_second)
    if terms.exchange:
        fields |= {"currency": terms.exchange.currency, "exchange_rate": terms.exchange.rate}
    if terms.band:
        fields["band"] = terms.band
    for name, bands in (("bands", terms.bands), ("switches", terms.switches)):
        if bands:
            fields[name] = [_band_fields(band, currency) for band in bands]
    if terms.tiers:
        fields["tiering"] = _name(terms.tiering)
        fields["tiers_over"] = terms.period.every if terms.period else "call"
        fields["tiers"] = [
            {"up_to": tier.up_to or None, "rate": _decimal(tier.rate, currency), "fee": _decimal(tier.fee, currency)}
            for tier in terms.tiers
        ]
    if terms.time:
        fields["time"] = price_fields(terms.time, currency)
    if terms.tax:
        fields |= {
            "tax": f"{format_amount(terms.tax.rate, 4, 0)} %",
            "tax_included": terms.tax.is_included,
            "tax_code": terms.tax.code,
        }
    return fields


def _band_fields(band: Band | NextBand, currency: Currency) -> Fields:
    after = {"after_seconds": band.at_s} if isinstance(band, NextBand) else {}
    return {"band": band.name, **after, **price_fields(band.price, currency)}


def _name(member: IntEnum) -> str:
    return member.name.lower().replace("_", "-")


def trace_fields(found: Trace, currency: Currency) -> Fields:
    """What was asked, what was in question, and what applies."""
    query = found.query
    fields: Fields = {
        "number": query.number,
        "plan": query.plan,
        "service": query.service,
        "rating_group": None if query.rating_group < 0 else query.rating_group,
        "service_identifiers": list(query.service_ids),
        "origin": {name: fact for name, fact in query.origin._asdict().items() if fact},
        "at": moment_text(query.at_ms),
        "currency": found.currency,
        "version": found.version,
        "tariffs": msgspec.to_builtins(found.tariffs),
        "candidates": msgspec.to_builtins(found.candidates),
    }
    if not isinstance(found.answer, Tariff):
        return {**fields, "refused": found.answer.value, "because": found.refusal}
    tariff = found.answer
    fields["tariff"] = {
        "name": tariff.name,
        "destination": tariff.destination,
        "prefix": tariff.prefix,
        "source": tariff.source,
        "valid_until": moment_text(tariff.valid_until_ms),
        "price": price_fields(tariff.price, currency),
        "words": price_lines(tariff.price, currency),
    }
    return fields


def use_fields(price: Price, used_units: int, currency: Currency, counted: int | None = None) -> Fields:
    """What a use costs and how that adds up; ``counted`` is what its period's counter has before it."""
    if counted is None or terms_of(price).period is None:
        return _use_fields(price, used_units, currency)
    back = comes_back(price, counted, used_units)
    fields = _use_fields(after_count(price, counted), used_units, currency)
    fields |= {"counted_before": counted, "given_back": _decimal(back, currency)}
    if back:
        fields["words"] = [
            *fields["words"],
            f"{fields['given_back']} {currency.code} come back: the tier is for volume",
        ]
    return fields


def _use_fields(price: Price, used_units: int, currency: Currency) -> Fields:
    cost = cost_of(price, used_units)
    return {
        "used": used_units,
        "billed": billed_units(price, used_units),
        "cost": _decimal(cost, currency),
        "parts": [
            {"amount": _decimal(part.amount, currency), "words": part.words}
            for part in parts_of(price, used_units, cost, currency)
        ],
        "words": explain(price, used_units, cost, currency),
    }


def difference_fields(found: TariffDifference, currencies: Mapping[str, Currency]) -> Fields:
    """One tariff's changes."""
    key = found.key
    return {
        "plan": key.plan,
        "service": key.service,
        "selects": key.selects,
        "tariff": key.name,
        "currency": key.currency,
        "currency_before": found.currency_before,
        "unchanged": found.unchanged,
        "counts": dict(Counter(change.kind.value for change in found.changes)),
        "changes": [change_fields(change, found, currencies) for change in found.changes],
    }


def change_fields(change: Change, found: TariffDifference, currencies: Mapping[str, Currency]) -> Fields:
    """One change: what it was and what it becomes."""
    by_mille = permille(change.old.price, change.new.price)
    return {
        "change": change.kind.value,
        "prefix": change.prefix,
        "origin": change.origin,
        "destination": change.destination,
        "from": moment_text(change.from_ms),
        "to": moment_text(change.to_ms),
        "moved_from": moment_text(max(change.moved_from_ms, 0)),
        "percent": None if by_mille is None else format_amount(by_mille, 1, 1),
        "old": _quote(change.old, currencies.get(found.currency_before, NO_CURRENCY)),
        "new": _quote(change.new, currencies.get(found.key.currency, NO_CURRENCY)),
    }


def _quote(quote: Quote, currency: Currency) -> Fields | None:
    if not isinstance(quote.price, Price):
        return {"prefix": quote.prefix, "none": quote.price.value}
    return {
        "prefix": quote.prefix,
        "destination": quote.destination,
        "increments": increment_text(quote.price),
        **price_fields(quote.price, currency),
    }


def _decimal(amount: int, currency: Currency) -> str:
    return format_amount(amount, currency.scale, currency.digits)
