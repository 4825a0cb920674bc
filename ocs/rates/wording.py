"""Prices in a few words, the same in every table."""

from __future__ import annotations

from typing import Final

from balance.money import Amount, Currency, format_amount
from ocs.rating.explain import per_text, price_currency, tax_name, use_text
from ocs.rating.price import Price, Rounding, is_free
from ocs.rating.tariffs import RatingFault
from ocs.rating.terms import Clock, Grace, Tiering, terms_of

_MODES: Final = {Rounding.UP: "up", Rounding.HALF_UP: "half up", Rounding.DOWN: "down"}

FAULT_WORDS: Final[dict[RatingFault, str]] = {
    RatingFault.UNKNOWN_PLAN: "there is no such plan",
    RatingFault.NO_SERVICE: "the plan does not sell this service",
    RatingFault.NO_RATING_GROUP: "the plan has no tariff for this rating group",
    RatingFault.NO_DESTINATION: "no prefix of the number has a price",
    RatingFault.DESTINATION_BARRED: "the destination is barred",
    RatingFault.NOT_IN_FORCE: "there is a price, but not at this time",
}


def amount_text(amount: Amount, currency: Currency) -> str:
    """Write ``0.30 EUR``."""
    return f"{format_amount(amount, currency.scale, currency.digits)} {currency.code}".rstrip()


def rate_text(price: Price, currency: Currency) -> str:
    """Write what a unit costs, and the first increment where it costs something else."""
    currency = price_currency(price, currency)
    rate = f"{amount_text(price.next_rate, currency)} per {per_text(price)}"
    if price.initial_rate == price.next_rate:
        return rate
    first = use_text(price, price.initial)
    return f"{rate}; first {first} at {amount_text(price.initial_rate, currency)}"


def increment_text(price: Price) -> str:
    """Write initial and next increment as the trade does: ``60/1``."""
    return f"{price.initial}/{price.next}"


def price_lines(price: Price, currency: Currency) -> list[str]:
    """Say all of a price: rate, increments, fee, minimum, rounding."""
    if is_free(price):
        return ["free of charge"]
    own = currency
    currency = price_currency(price, own)
    initial, following = use_text(price, price.initial), use_text(price, price.next)
    lines = [rate_text(price, currency)]
    if price.initial != price.next:
        lines.append(f"billed are the first {initial}, then every started {following}")
    elif price.next != 1:
        lines.append(f"billed is every started {following}")
    else:
        lines.append("billed is exactly what was used")
    if price.setup:
        lines.append(f"{amount_text(price.setup, currency)} setup fee with the first use")
    if price.minimum:
        lines.append(f"a shorter use is billed as {use_text(price, price.minimum)}")
    lines += _term_lines(price, currency)
    lines.append(f"the amount is rounded once, {_MODES[price.rounding]}, to {amount_text(price.quantum, own)}")
    return lines


_GRACES: Final = {
    Grace.FREE_UP_TO: "a use of up to {} is free, with its fees",
    Grace.DEDUCTED: "{} are taken off the use before the increments",
    Grace.FREE_UNITS: "of what is billed, the first {} cost nothing",
    Grace.ADDED: "{} are added to every use before the increments",
    Grace.ADDED_PERMILLE: "{} are added to every use before the increments",
}


def _term_lines(price: Price, currency: Currency) -> list[str]:
    terms = terms_of(price)
    lines = [f"the price of the band {terms.band}"] if terms.band else []
    if terms.clock is not Clock.SETUP:
        lines.append(f"a call has the price of the instant of its {terms.clock.name.lower()}")
    if terms.attempt_fee:
        lines.append(f"{amount_text(terms.attempt_fee, currency)} fee for every attempt, answered or not")
    if terms.charge_min:
        lines.append(f"an answered call costs at least {amount_text(terms.charge_min, currency)}")
    if terms.charge_max:
        lines.append(f"a call costs at most {amount_text(terms.charge_max, currency)}")
    if terms.grace is Grace.ADDED_PERMILLE:
        lines.append(_GRACES[terms.grace].format(f"{format_amount(terms.grace_units, 1, 0)} %"))
    elif terms.grace is not Grace.NONE:
        lines.append(_GRACES[terms.grace].format(use_text(price, terms.grace_units)))
    if terms.period:
        lines.append(f"tiers are filled by all uses of a {terms.period.every}, counted as {terms.period.counter!r}")
    for at, tier in enumerate(terms.tiers, start=1):
        reach = f"up to {use_text(price, tier.up_to)}" if tier.up_to else "beyond"
        whole = f", for all of the {terms.period.every}" if terms.period else ", for the whole use"
        whole = whole if terms.tiering is Tiering.VOLUME else ""
        fee = f", fee {amount_text(tier.fee, currency)}" if tier.fee else ""
        rate = f"{amount_text(tier.rate, currency)} per {per_text(price)}"
        status = f", status {tier.status!r}" if tier.status else ""
        lines.append(f"tier {at}, {reach}: {rate}{whole}{fee}{status}")
    if terms.exchange:
        lines.append(f"exchanged at {terms.exchange.rate} per {terms.exchange.currency}")
    # What a session has pinned is told by the bands it goes through.
    lines += [f"in {band.name}: {rate_text(band.price, currency)}" for band in terms.bands if not terms.band]
    lines += [f"after {switch.at_s} s, {switch.name}: {rate_text(switch.price, currency)}" for switch in terms.switches]
    if terms.time:
        time = f"{rate_text(terms.time, currency)}, billed {increment_text(terms.time)}"
        setup = f", {amount_text(terms.time.setup, currency)} setup fee" if terms.time.setup else ""
        lines.append(f"and for the time: {time}{setup}")
    if terms.tax:
        lines.append(f"{tax_name(terms.tax)} is {'inside' if terms.tax.is_included else 'added'}")
    return lines
