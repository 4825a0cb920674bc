"""Charging answers to RADIUS reply attributes. Pure; one total table from status to the reasons profiles know."""

from __future__ import annotations

from typing import Final, NamedTuple

from balance.money import Amount, Currency, format_amount
from ocs.charging.request import ChargingAnswer, ChargingRequest, ChargingStatus, RequestKind
from ocs.gateways.radius import Profile
from ocs.gateways.radius_names import class_of_key
from ocs.gateways.radius_profile import RETURN_CODES, Reason, dressed
from protocols.radius.attributes import (
    ACCT_INTERIM_INTERVAL,
    CLASS,
    SESSION_TIMEOUT,
    integer_attribute,
)
from protocols.radius.packet import ACCESS_ACCEPT, ACCESS_REJECT, attribute

# Why, in the words of profiles; None is silence, so that the client asks another server or asks again.
REASONS: Final[dict[ChargingStatus, Reason | None]] = {
    ChargingStatus.SUCCESS: Reason.ACCEPTED,
    ChargingStatus.USER_UNKNOWN: Reason.UNKNOWN_ACCOUNT,
    ChargingStatus.SERVICE_DENIED: Reason.SUSPENDED,
    ChargingStatus.CREDIT_LIMIT_REACHED: Reason.TOO_LITTLE_MONEY,  # there is some, but not for one increment
    ChargingStatus.FREE: Reason.FREE,
    ChargingStatus.RATING_FAILED: Reason.UNKNOWN_DESTINATION,
    ChargingStatus.SESSION_UNKNOWN: Reason.UNAVAILABLE,
    ChargingStatus.CONTRADICTION: Reason.INVALID_REQUEST,
    ChargingStatus.INVALID_VALUE: Reason.INVALID_REQUEST,
    ChargingStatus.UNAVAILABLE: None,
    ChargingStatus.TOO_BUSY: None,
    ChargingStatus.INTERNAL_FAULT: Reason.UNAVAILABLE,
    ChargingStatus.DESTINATION_BARRED: Reason.BARRED_DESTINATION,
    ChargingStatus.TOO_MANY_CALLS: Reason.TOO_MANY_CALLS,
}
assert REASONS.keys() == set(ChargingStatus), "every outcome has an answer"

# After these nobody can say that the record's effects are durable: no answer, and the client repeats.
UNANSWERED: Final = frozenset((ChargingStatus.UNAVAILABLE, ChargingStatus.TOO_BUSY, ChargingStatus.INTERNAL_FAULT))


_GOOD: Final = (Reason.ACCEPTED, Reason.FREE)
_NOBODY: Final = ChargingAnswer(ChargingStatus.USER_UNKNOWN)
_NONE: Final[dict[str, Currency]] = {}


class AccessReply(NamedTuple):
    code: int
    attributes: bytes


def authorization_reply(
    request: ChargingRequest, answer: ChargingAnswer, profile: Profile, currencies: dict[str, Currency]
) -> AccessReply | None:
    """Accept or Reject; None for silence."""
    status = answer.status
    if status == ChargingStatus.SUCCESS and answer.groups:
        status = answer.groups[0].status
    reason = REASONS[status]
    if reason is None:
        return None
    if request.kind == RequestKind.EVENT:
        return _balance_reply(request, answer, reason, profile, currencies)
    granted_s = _granted_s(status, answer, profile)
    if reason in _GOOD and granted_s > 0:
        return _accept(request, answer, reason, granted_s, profile, currencies)
    if reason in _GOOD or reason is Reason.TOO_LITTLE_MONEY:
        reason = _want_of_money(answer)
    elif reason is Reason.SUSPENDED and answer.is_expired:
        reason = Reason.EXPIRED
    return rejection(reason, profile, answer, currencies)


def _want_of_money(answer: ChargingAnswer) -> Reason:
    """Some is left, but not for one increment; or all of it is held by the account's other calls; or none is left [R-47]."""
    if answer.available > 0:
        return Reason.TOO_LITTLE_MONEY
    if answer.held:
        return Reason.TOO_MANY_CALLS
    return Reason.CREDIT_LIMIT if answer.on_credit else Reason.NO_MONEY


def is_charged(answer: ChargingAnswer) -> bool:
    """Whether what a record reported found its account and its price."""
    if answer.status != ChargingStatus.SUCCESS:
        return False
    return all(group.status in {ChargingStatus.SUCCESS, ChargingStatus.FREE} for group in answer.groups)


def rejection(
    reason: Reason, profile: Profile, answer: ChargingAnswer = _NOBODY, currencies: dict[str, Currency] = _NONE
) -> AccessReply:
    """A Reject says why and nothing that would serve a call [R-40]."""
    values = _values(reason, 0, answer, profile, currencies)
    return AccessReply(ACCESS_REJECT, dressed(profile.dialect.reject, values))


def _granted_s(status: ChargingStatus, answer: ChargingAnswer, profile: Profile) -> int:
    """Bounded by the longest session: a call without a price gets all of it [R-42]."""
    if not answer.groups:
        return profile.session_max_s if status == ChargingStatus.FREE else 0
    return min(answer.groups[0].granted, profile.session_max_s)


def _accept(
    request: ChargingRequest,
    answer: ChargingAnswer,
    reason: Reason,
    granted_s: int,
    profile: Profile,
    currencies: dict[str, Currency],
) -> AccessReply:
    interim_s = profile.client.interim_s
    reference = class_of_key(request.session_key, profile.secret)
    return AccessReply(
        ACCESS_ACCEPT,
        b"".join((
            integer_attribute(SESSION_TIMEOUT, granted_s),  # its absence would mean "without end"
            integer_attribute(ACCT_INTERIM_INTERVAL, interim_s) if interim_s else b"",
            attribute(CLASS, reference) if reference else b"",
            dressed(profile.dialect.accept, _values(reason, granted_s, answer, profile, currencies)),
        )),
    )  # fmt: skip


def _balance_reply(
    request: ChargingRequest,
    answer: ChargingAnswer,
    reason: Reason,
    profile: Profile,
    currencies: dict[str, Currency],
) -> AccessReply:
    """The phase without a destination: who is it, and how much is left. Nothing is reserved [R-48]."""
    if reason not in _GOOD:
        return rejection(reason, profile)
    if request.service == "data":
        if answer.available <= 0:
            return rejection(Reason.NO_MONEY, profile, answer, currencies)
        limits = integer_attribute(SESSION_TIMEOUT, profile.session_max_s)
        if profile.client.interim_s:
            limits += integer_attribute(ACCT_INTERIM_INTERVAL, profile.client.interim_s)
        return AccessReply(ACCESS_ACCEPT, limits)
    return AccessReply(ACCESS_ACCEPT, dressed(profile.dialect.accept, _values(reason, 0, answer, profile, currencies)))


def _values(
    reason: Reason, granted_s: int, answer: ChargingAnswer, profile: Profile, currencies: dict[str, Currency]
) -> dict[str, str]:
    """What a profile's answers may be made from; "" is what there is nothing to say of.

    The amount of an Accept is what the caller has, with what was just set aside for this very call: a prompt reads it out.
    """
    currency = currencies.get(answer.currency)
    amount = answer.available + answer.held if reason in _GOOD else answer.available
    return {
        "seconds": str(granted_s) if granted_s else "",
        "amount": credit_amount(amount, currency) if currency is not None else "",
        "currency": answer.currency,
        "return_code": str(profile.dialect.return_codes[reason]),
        "billing_model": "0"
        if answer.on_credit
        else "1",  # credit: it may spend what was not paid in; debit: it may not
        "language": profile.client.language,
        "reason": RETURN_CODES[reason][1],
    }


def credit_amount(available: Amount, currency: Currency) -> str:
    """What may be spent, with two to four decimals, rounded down and never below zero: a prompt reads it out."""
    digits = min(max(currency.digits, 2), 4, currency.scale)
    step = 10 ** (currency.scale - digits)
    return format_amount(max(0, available) // step * step, currency.scale, digits)
