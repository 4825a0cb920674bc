"""Charging answers to RADIUS reply attributes. Pure; one total table from status to h323-return-code."""

from __future__ import annotations

from typing import Final, NamedTuple

from balance.money import Amount, Currency, format_amount
from ocs.charging.request import ChargingAnswer, ChargingRequest, ChargingStatus, RequestKind
from ocs.gateways.radius import Profile
from ocs.gateways.radius_names import class_of_key
from protocols.radius.attributes import (
    ACCT_INTERIM_INTERVAL,
    CLASS,
    SESSION_TIMEOUT,
    integer_attribute,
    vendor_attribute,
)
from protocols.radius.packet import ACCESS_ACCEPT, ACCESS_REJECT, attribute

CISCO: Final = 9
CREDIT_AMOUNT: Final = (101, "h323-credit-amount")
CREDIT_TIME: Final = (102, "h323-credit-time")
RETURN_CODE: Final = (103, "h323-return-code")
CURRENCY: Final = (110, "h323-currency")

RETURN_SUCCESS: Final = 0
RETURN_ACCOUNT_INVALID: Final = 1
RETURN_PASSWORD_INVALID: Final = 2
RETURN_ZERO_BALANCE: Final = 4

# h323-return-code; None is silence, so that the client asks another server or asks again.
RETURN_CODES: Final[dict[ChargingStatus, int | None]] = {
    ChargingStatus.SUCCESS: RETURN_SUCCESS,
    ChargingStatus.USER_UNKNOWN: RETURN_ACCOUNT_INVALID,
    ChargingStatus.SERVICE_DENIED: 7,  # user denied
    ChargingStatus.CREDIT_LIMIT_REACHED: 12,  # insufficient balance: there is some, but not for one increment
    ChargingStatus.FREE: RETURN_SUCCESS,  # 13 would say toll-free, but some clients take all but 0 for a refusal
    ChargingStatus.RATING_FAILED: 9,  # called number unknown
    ChargingStatus.SESSION_UNKNOWN: 8,  # service not available
    ChargingStatus.CONTRADICTION: 11,  # invalid argument
    ChargingStatus.INVALID_VALUE: 11,
    ChargingStatus.UNAVAILABLE: None,
    ChargingStatus.TOO_BUSY: None,
    ChargingStatus.INTERNAL_FAULT: 8,  # service not available
    ChargingStatus.DESTINATION_BARRED: 9,  # called number blocked
}
assert RETURN_CODES.keys() == set(ChargingStatus), "every outcome has an answer"

# After these nobody can say that the record's effects are durable: no answer, and the client repeats.
UNANSWERED: Final = frozenset((ChargingStatus.UNAVAILABLE, ChargingStatus.TOO_BUSY, ChargingStatus.INTERNAL_FAULT))


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
    return_code = RETURN_CODES[status]
    if return_code is None:
        return None
    if request.kind == RequestKind.EVENT:
        return _balance_reply(request, answer, return_code, profile, currencies)
    granted_s = _granted_s(status, answer, profile)
    if return_code == RETURN_SUCCESS and granted_s > 0:
        return _accept(request, answer, granted_s, profile, currencies)
    if return_code in (RETURN_SUCCESS, RETURN_CODES[ChargingStatus.CREDIT_LIMIT_REACHED]):
        return_code = 12 if answer.available > 0 else RETURN_ZERO_BALANCE
    return rejection(return_code, profile, _amount(answer, profile, currencies))


def is_charged(answer: ChargingAnswer) -> bool:
    """Whether what a record reported found its account and its price."""
    if answer.status != ChargingStatus.SUCCESS:
        return False
    return all(group.status in {ChargingStatus.SUCCESS, ChargingStatus.FREE} for group in answer.groups)


def rejection(return_code: int, profile: Profile, informational: bytes = b"") -> AccessReply:
    """A Reject says why and nothing that would serve a call [R-40]."""
    return AccessReply(ACCESS_REJECT, _voice(RETURN_CODE, str(return_code), profile) + informational)


def _granted_s(status: ChargingStatus, answer: ChargingAnswer, profile: Profile) -> int:
    """Bounded by the longest session: a call without a price gets all of it [R-42]."""
    if status == ChargingStatus.FREE or not answer.groups:
        return profile.session_max_s if status == ChargingStatus.FREE else 0
    return min(answer.groups[0].granted, profile.session_max_s)


def _accept(
    request: ChargingRequest,
    answer: ChargingAnswer,
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
            _voice(RETURN_CODE, str(RETURN_SUCCESS), profile),
            _voice(CREDIT_TIME, str(granted_s), profile),
            _amount(answer, profile, currencies),
            _currency(answer, profile),
        )),
    )  # fmt: skip


def _balance_reply(
    request: ChargingRequest,
    answer: ChargingAnswer,
    return_code: int,
    profile: Profile,
    currencies: dict[str, Currency],
) -> AccessReply:
    """The phase without a destination: who is it, and how much is left. Nothing is reserved [R-48]."""
    amount = _amount(answer, profile, currencies)
    if return_code != RETURN_SUCCESS:
        return rejection(return_code, profile)
    if request.service == "data":
        if answer.available <= 0:
            return rejection(RETURN_ZERO_BALANCE, profile, amount)
        limits = integer_attribute(SESSION_TIMEOUT, profile.session_max_s)
        if profile.client.interim_s:
            limits += integer_attribute(ACCT_INTERIM_INTERVAL, profile.client.interim_s)
        return AccessReply(ACCESS_ACCEPT, limits)
    success = _voice(RETURN_CODE, str(RETURN_SUCCESS), profile)
    return AccessReply(ACCESS_ACCEPT, success + amount + _currency(answer, profile))


def _amount(answer: ChargingAnswer, profile: Profile, currencies: dict[str, Currency]) -> bytes:
    currency = currencies.get(answer.currency)
    return _voice(CREDIT_AMOUNT, credit_amount(answer.available, currency), profile) if currency else b""


def _currency(answer: ChargingAnswer, profile: Profile) -> bytes:
    return _voice(CURRENCY, answer.currency, profile) if answer.currency else b""


def credit_amount(available: Amount, currency: Currency) -> str:
    """What may be spent, with two to four decimals, rounded down and never below zero: a prompt reads it out."""
    digits = min(max(currency.digits, 2), 4, currency.scale)
    step = 10 ** (currency.scale - digits)
    return format_amount(max(0, available) // step * step, currency.scale, digits)


def _voice(which: tuple[int, str], value: str, profile: Profile) -> bytes:
    number, name = which
    text = f"{name}={value}" if profile.client.credit_time_prefix else value
    return vendor_attribute(CISCO, number, text.encode())
