"""Whether an invoice is collected now, when, or why not; and when an automatic top-up is charged: tables for a biller."""

from __future__ import annotations

from datetime import date

import msgspec
import pytest

from balance.account import MAIN_BUCKET, Account, AccountState, Bucket
from ocs.payments.automatic import ChargeNow, Nothing, Past, Rule, Stop, Verdict, Wait, after_failure, judge
from ocs.payments.collection import Owed, Try
from ocs.payments.collection import judge as judge_invoice
from ocs.payments.gateway import MethodKind
from ocs.payments.methods import Method
from ocs.payments.settings import AutomaticTopUps, Collection, PaymentsFile, parse_payments
from ocs.payments.stripe_words import charged
from ocs.rating.faults import FaultList

CARD = Method(
    method_id="pm_1", payer="cus_1", kind=MethodKind.CARD, brand="visa", last4="4242", expires="", is_default=True
)
OWED = Owed(17, "R-1", "bakery", "EUR", 1190, date(2026, 10, 15), False, MethodKind.CARD)
DEBITED = Owed(17, "R-1", "bakery", "EUR", 1190, date(2026, 10, 15), False, MethodKind.DIRECT_DEBIT)
DISPUTED = Owed(17, "R-1", "bakery", "EUR", 1190, date(2026, 10, 15), True, MethodKind.CARD)


def tried(state: str, day: int, *, is_final: bool = False, method_id: str = "pm_1") -> Try:
    return Try(method_id, state, "no", is_final, date(2026, 10, day))


@pytest.mark.parametrize(
    ("owed", "method", "tries", "today", "expected"),
    [
        (OWED, CARD, [], 14, ("wait", 15)),
        (OWED, CARD, [], 15, ("collect", None)),
        (DISPUTED, CARD, [], 15, ("leave", None)),
        (OWED, None, [], 15, ("leave", None)),
        (DEBITED, CARD, [], 15, ("leave", None)),
        (OWED, CARD, [tried("pending", 15)], 30, ("under way", None)),
        (OWED, CARD, [tried("failed", 15)], 17, ("wait", 18)),
        (OWED, CARD, [tried("failed", 15)], 18, ("collect", None)),
        (OWED, CARD, [tried("failed", 15), tried("failed", 18)], 22, ("wait", 23)),
        (OWED, CARD, [tried("failed", 15), tried("failed", 18), tried("failed", 23), tried("failed", 30)], 31, ("leave", None)),
        (OWED, CARD, [tried("failed", 15, is_final=True)], 31, ("leave", None)),
        (OWED, CARD, [tried("failed", 15, is_final=True, method_id="pm_old")], 15, ("collect", None)),
        (OWED, CARD, [tried("taken_back", 16, is_final=True, method_id="pm_old")], 31, ("leave", None)),
        (OWED, CARD, [tried("taken_back", 16)], 19, ("collect", None)),
        (OWED, CARD, [tried("paid", 15)], 16, ("collect", None)),
    ],
)  # fmt: skip
def test_an_invoice_is_collected_from_its_due_date_on(
    owed: Owed, method: Method | None, tries: list[Try], today: int, expected: tuple[str, int | None]
) -> None:
    """Due on the 15th; after failures 3, 5 and 7 days; what the scheme forbids is left, for that method."""
    found = judge_invoice(owed, method, tries, Collection(), date(2026, 10, today))
    assert (found.action.value, found.until.day if found.until is not None else None) == expected
    assert found.action.value == "collect" or found.why or tries, "it says why"


DEBIT = msgspec.structs.replace(CARD, kind=MethodKind.DIRECT_DEBIT)


@pytest.mark.parametrize(
    ("owed", "method", "tries", "today", "announced", "expected"),
    [
        (DEBITED, DEBIT, [], 9, None, ("wait", 15)),
        (DEBITED, DEBIT, [], 10, None, ("announce", 15)),
        (DEBITED, DEBIT, [], 20, None, ("announce", 25)),  # it was chosen late
        (DEBITED, DEBIT, [], 12, 10, ("wait", 15)),
        (DEBITED, DEBIT, [], 15, 10, ("collect", None)),
        (DEBITED, DEBIT, [], 22, 20, ("wait", 25)),
        (DEBITED, DEBIT, [], 25, 20, ("collect", None)),
        (
            DEBITED,
            DEBIT,
            [tried("failed", 15)],
            18,
            None,
            ("collect", None),
        ),  # presented again: it was announced before
        (DEBITED, CARD, [], 10, None, ("wait", 15)),
        (OWED, CARD, [], 15, None, ("collect", None)),
    ],
)
def test_a_direct_debit_is_announced_five_days_before(
    owed: Owed, method: Method, tries: list[Try], today: int, announced: int | None, expected: tuple[str, int | None]
) -> None:
    """Due on the 15th: on the 10th the customer is told, and never later than five days before; cards need no notice."""
    policy, told = Collection(prenotification_days=5), date(2026, 10, announced) if announced else None
    found = judge_invoice(owed, method, tries, policy, date(2026, 10, today), told, can_announce=True)
    assert (found.action.value, found.until.day if found.until is not None else None) == expected
    unreached = judge_invoice(owed, method, tries, policy, date(2026, 10, 15), can_announce=False)
    assert unreached.action.value != "announce", "whom no letter reaches is collected from when it is due"


MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
NOON = 1_792_152_000_000  # 2026-10-16 12:00 UTC
RULE = Rule(account_id="alice", currency="EUR", minor=2000, most_per_day_minor=5000, per_month=4)


def holding(cents: int, state: AccountState = AccountState.ACTIVE) -> Account:
    return Account("alice", 1, "EUR", "retail-eur", state, 0, 500, 3, (Bucket(MAIN_BUCKET, cents, 0),))


@pytest.mark.parametrize(
    ("account", "past", "has_method", "expected"),
    [
        (holding(500), [], True, Nothing()),
        (holding(499), [], True, ChargeNow()),
        (holding(-100), [], True, ChargeNow()),
        (holding(499, AccountState.SUSPENDED), [], True, Nothing()),
        (holding(499, AccountState.CLOSED), [], True, Nothing()),
        (holding(499), [], False, Stop("there is no payment method")),
        (holding(499), [Past(NOON - HOUR, 1000)] * 2, True, ChargeNow()),
        (holding(499), [Past(NOON - 40 * MINUTE, 2000), Past(NOON - MINUTE, 1000)], True, Wait(NOON + 20 * MINUTE, "too many in a short time")),
        (holding(499), [Past(NOON - 11 * HOUR, 2000), Past(NOON - 10 * HOUR, 1001)], True, Wait(NOON + 12 * HOUR, "the most for a day is reached")),
        (holding(499), [Past(NOON - day * DAY, 2000) for day in (13, 12, 11, 10)], True, Wait(1_793_491_200_000, "the limit of 4 a month is reached")),
        (holding(499), [Past(NOON - day * DAY, 2000) for day in (17, 16, 15, 14)], True, ChargeNow()),
    ],
)  # fmt: skip
def test_a_low_balance_is_topped_up_within_limits(
    account: Account, past: list[Past], has_method: bool, expected: Verdict
) -> None:
    """Below 5.00 (here cents): 20.00, at most 50.00 a day and four a month, two an hour."""
    assert judge(RULE, AutomaticTopUps(), account, past, "UTC", NOON, has_method=has_method) == expected


def test_after_a_failure_it_backs_off_and_then_stops() -> None:
    """After 1, 6, 24 hours; the fourth failure is the last, and a final one is at once."""
    rules = [Rule(account_id="alice", currency="EUR", minor=1, failures=number) for number in range(4)]
    found = [after_failure(rule, AutomaticTopUps(), NOON, is_final=False) for rule in rules]
    assert found == [NOON + HOUR, NOON + 6 * HOUR, NOON + 24 * HOUR, None]
    assert after_failure(rules[0], AutomaticTopUps(), NOON, is_final=True) is None


@pytest.mark.parametrize(
    ("error", "is_final"),
    [
        ({"code": "card_declined", "decline_code": "insufficient_funds"}, False),
        ({"code": "card_declined", "decline_code": "stolen_card"}, True),
        ({"code": "card_declined", "decline_code": "do_not_honor", "advice_code": "do_not_try_again"}, True),
        ({"code": "card_declined", "decline_code": "do_not_honor", "advice_code": "try_again_later"}, False),
        ({"code": "authentication_required"}, True),
        ({"code": "debit_not_authorized"}, True),
        ({"code": "a_word_of_tomorrow"}, True),
    ],
)
def test_what_a_scheme_forbids_to_repeat_is_final(error: dict[str, str], is_final: bool) -> None:
    """By Stripe's words for it; what nobody knows yet is not repeated either."""
    intent = {"id": "pi_1", "status": "requires_payment_method", "last_payment_error": error}
    assert charged(intent).is_final is is_final


def test_faults_of_the_file_are_told_with_their_lines() -> None:
    """All at once."""
    faults = FaultList("payments.toml")
    text = '[automatic_top_up]\nretry_minutes = [0]\nburst_count = 0\n\n[collection]\nreturn_fee = "x"\n\n[colection]\n'
    parse_payments(text, faults)
    assert [(fault.line, fault.field) for fault in faults.sorted()] == [
        (2, "automatic_top_up.retry_minutes"), (3, "automatic_top_up.burst_count"), (6, "collection.return_fee"),
        (8, "colection"),
    ]  # fmt: skip
    assert parse_payments("", FaultList("payments.toml")) == PaymentsFile()
