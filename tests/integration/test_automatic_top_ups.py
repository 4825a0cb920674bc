"""Automatic top-ups: real Valkey and PostgreSQL, Stripe's own library, a server that speaks Stripe's HTTP."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from ocs.charging.request import ChargingStatus, RequestKind
from ocs.clock import now_ms
from ocs.payments.collector import Collector
from tests.integration.test_api_server import world
from tests.integration.test_cards import Cards, cards

__all__ = ["cards", "world"]

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),
]
RULE = {"threshold": "5.00", "amount": "20.00"}
PATH = "/v1/accounts/alice/automatic-top-up"
HOUR_MS = 3_600_000
DAY_MS, NOON_MS = 24 * HOUR_MS, 12 * HOUR_MS


class Topped:
    """Alice's account, a collector whose clock a test sets, and what has come of it."""

    def __init__(self, cards: Cards) -> None:
        self.cards = cards
        self.late_ms = 0
        self._to_noon_ms = (NOON_MS - now_ms()) % DAY_MS  # a day that ends in mid-test would be another test
        self._keys = itertools.count()
        self.collector = Collector(cards.payments, clock_ms=self.now)
        cards.payments.top_ups._clock = self.now

    def now(self) -> int:
        return now_ms() + self._to_noon_ms + self.late_ms

    async def rule(self, **changes: Any) -> None:
        headers = {"Idempotency-Key": f"rule-{next(self._keys)}"}
        answer = await self.cards.client.put(PATH, json={**RULE, **changes}, headers=headers)
        assert answer.status_code == 200, answer.text

    async def spend(self, amount: str) -> None:
        body = {"amount": f"-{amount}", "currency": "EUR", "reason": "spent"}
        assert (await self.cards.post("adjustments", body, f"spend-{next(self._keys)}")).status_code == 200

    async def collect(self) -> None:
        """What the flusher and the collector do, until there is nothing to do."""
        for _ in range(3):  # what was told of a failure leaves by the flusher, too
            await self.cards.world.flush()
            await self.collector.settle_all()

    async def events(self) -> list[str]:
        await self.cards.world.flush()
        found = (await self.cards.client.get("/v1/accounts/alice/events")).json()["events"]
        return [each["type"] for each in reversed(found) if each["type"].startswith("automatic")]

    async def states(self) -> list[tuple[str, str]]:
        """Of its charges, the oldest first."""
        found = (await self.cards.client.get("/v1/accounts/alice/automatic-top-ups")).json()["charges"]
        return [(each["state"], each["why"]) for each in reversed(found)]


@pytest.fixture
async def topped(cards: Cards) -> Topped:
    """Alice has 10.00, a card, and a rule: below 5.00, 20.00 more."""
    found = Topped(cards)
    await cards.paid("pi_first", 1000)
    await cards.store()
    await found.rule()
    return found


async def test_a_low_balance_is_topped_up_once(topped: Topped) -> None:
    """Not before it is low; then once, however many look; journal, event and history say so."""
    await topped.spend("5.00")
    await topped.collect()
    assert topped.cards.stripe.charged == []

    await topped.spend("0.01")
    await topped.cards.world.flush()
    others = [Collector(topped.cards.payments) for _ in range(4)]
    await asyncio.gather(*[each.settle_all() for each in others])
    await topped.collect()

    assert topped.cards.stripe.charged == [2000]
    assert await topped.cards.balance() == "24.99"
    assert await topped.events() == ["automatic_top_up"]
    assert await topped.states() == [("paid", "")]
    form = next(form for _, path, form in topped.cards.stripe.requests if path == "/v1/payment_intents")
    assert (form["off_session"], form["payment_method"], form["customer"]) == ("true", "pm_1", "cus_alice")
    assert form["metadata[ocs_name]"] == "alice"


async def test_a_call_is_topped_up_in_its_middle(topped: Topped) -> None:
    """The update that crosses the threshold is the cause, with its own posting; the call goes on, its record is yet to come."""
    world = topped.cards.world
    await topped.spend("4.90")
    await world.charge(RequestKind.INITIAL, 0)
    await topped.collect()
    assert topped.cards.stripe.charged == []
    await world.charge(RequestKind.UPDATE, 1, used_s=60)
    await topped.collect()
    assert topped.cards.stripe.charged == [2000]
    assert await topped.cards.balance() == "24.80"
    assert (await world.charge(RequestKind.TERMINATION, 2, used_s=30)).status is ChargingStatus.SUCCESS


async def test_what_is_low_when_the_rule_is_made_is_topped_up(topped: Topped) -> None:
    """The rule's own entry in the journal is the cause; what is still low after it is topped up again, by the burst's limit."""
    await topped.rule(threshold="40.00")
    await topped.collect()
    assert topped.cards.stripe.charged == [2000, 2000]
    assert await topped.cards.balance() == "50.00"


async def test_the_gateways_message_and_its_answer_book_once(topped: Topped) -> None:
    """The answer is lost, the message comes first; then the answer; then the message again, a month later."""
    topped.cards.stripe.breaks = 3
    await topped.spend("9.00")
    await topped.cards.world.flush()
    with pytest.raises(Exception, match="Stripe"):
        await topped.collector.settle_all()
    (intent,) = topped.cards.stripe.intents.values()
    assert (await topped.cards.told("payment_intent.succeeded", intent)).json() == {"booked": True}
    assert await topped.cards.balance() == "21.00"
    topped.late_ms = HOUR_MS
    await topped.collect()
    assert (await topped.cards.told("payment_intent.succeeded", intent, days_ago=30)).json() == {"booked": True}
    assert topped.cards.stripe.charged == [2000]
    assert await topped.cards.amounts() == ["0.00", "10.00", "0.00", "-9.00", "20.00"]


async def test_an_answer_that_was_lost_is_found_a_day_later(topped: Topped) -> None:
    """Stripe has forgotten the key: the payment itself bears it."""
    topped.cards.stripe.breaks = 3
    await topped.spend("9.00")
    await topped.cards.world.flush()
    with pytest.raises(Exception, match="Stripe"):
        await topped.collector.settle_all()
    topped.cards.stripe.answers.clear()
    topped.late_ms = 30 * HOUR_MS
    await topped.collect()
    assert topped.cards.stripe.charged == [2000]
    assert await topped.cards.balance() == "21.00"


async def test_failures_back_off_and_then_stop(topped: Topped) -> None:
    """By the schedule of payments.toml: after 1, 6 and 24 hours; then the rule stops until it is put again."""
    topped.cards.stripe.declines = ["insufficient_funds"] * 4
    await topped.spend("9.00")
    for hours, failures in ((0, 1), (0.9, 1), (1.1, 2), (7.2, 3), (30, 3), (32, 4), (1000, 4)):
        topped.late_ms = int(hours * HOUR_MS)
        await topped.collect()
        assert len(await topped.states()) == failures, f"after {hours} hours"
    assert await topped.events() == ["automatic_top_up_failed"] * 4 + ["automatic_top_up_stopped"]
    found = (await topped.cards.client.get(PATH)).json()
    assert (found["why_stopped"], found["failures"]) == ("insufficient_funds", 4)
    assert await topped.cards.balance() == "1.00", "it may be spent all the while"

    await topped.rule()
    await topped.collect()
    assert await topped.cards.balance() == "21.00"


async def test_a_final_decline_is_not_tried_again(topped: Topped) -> None:
    """A stolen card: the scheme forbids it."""
    topped.cards.stripe.declines = ["stolen_card"]
    await topped.spend("9.00")
    await topped.collect()
    topped.late_ms = 100 * HOUR_MS
    await topped.collect()
    assert await topped.states() == [("failed", "stolen_card")]
    assert await topped.events() == ["automatic_top_up_failed", "automatic_top_up_stopped"]


async def test_limits_wait_for_their_day(topped: Topped) -> None:
    """Two in an hour at most (payments.toml), one a day by the rule: told once, and taken up when the day is over."""
    await topped.rule(per_day=1)
    for _ in range(2):
        await topped.spend("19.00" if await topped.cards.balance() != "10.00" else "9.00")
        await topped.collect()
        await topped.collect()
    assert topped.cards.stripe.charged == [2000]
    assert await topped.events() == ["automatic_top_up", "automatic_top_up_failed"]
    topped.late_ms = 24 * HOUR_MS
    await topped.collect()
    assert topped.cards.stripe.charged == [2000, 2000]


async def test_a_direct_debit_takes_days(topped: Topped) -> None:
    """Nothing is credited before it is paid, and none is begun beside it."""
    await topped.cards.store("pm_2", "sepa_debit")
    await topped.cards.client.put("/v1/accounts/alice/payment-methods/pm_2/default")
    await topped.spend("9.00")
    await topped.collect()
    await topped.spend("0.10")
    await topped.collect()
    assert (await topped.states(), await topped.cards.balance()) == ([("pending", "")], "0.90")

    (intent,) = topped.cards.stripe.intents.values()
    intent |= {"status": "succeeded", "amount_received": 2000}
    topped.late_ms = 25 * HOUR_MS  # no message has come: it is asked once a day
    await topped.collect()
    assert (await topped.states(), await topped.cards.balance()) == ([("paid", "")], "20.90")


async def test_a_direct_debit_that_fails_in_the_end_backs_off(topped: Topped) -> None:
    """Stripe tells of it days later, twice: one failure, nothing credited, tried again after the first pause."""
    await topped.cards.store("pm_2", "sepa_debit")
    await topped.cards.client.put("/v1/accounts/alice/payment-methods/pm_2/default")
    await topped.spend("9.00")
    await topped.collect()
    (intent,) = topped.cards.stripe.intents.values()
    intent |= {"status": "requires_payment_method", "last_payment_error": {"code": "insufficient_funds"}}
    for _ in range(2):
        assert (await topped.cards.told("payment_intent.payment_failed", intent)).status_code == 200
    assert (await topped.states(), await topped.cards.balance()) == ([("failed", "insufficient_funds")], "1.00")
    assert await topped.events() == ["automatic_top_up_failed"]
    topped.late_ms = 2 * HOUR_MS
    await topped.collect()
    assert [state for state, _ in await topped.states()] == ["failed", "pending"]


async def test_without_a_method_or_in_a_blocked_account_nothing_is_charged(topped: Topped) -> None:
    """A fraud's block is no reason to take more money; a rule without a method stops, and says so."""
    state = {"state": "suspended", "reason": "fraud", "block": "fraud"}
    await topped.cards.client.put("/v1/accounts/alice/state", json=state, headers={"Idempotency-Key": "s1"})
    await topped.spend("9.00")
    await topped.collect()
    assert (await topped.events(), await topped.states()) == ([], [])
    state = {"state": "active", "reason": "cleared", "block": "fraud"}
    await topped.cards.client.delete("/v1/accounts/alice/payment-methods/pm_1")
    await topped.cards.client.put("/v1/accounts/alice/state", json=state, headers={"Idempotency-Key": "s2"})
    await topped.collect()
    assert (await topped.events(), await topped.states()) == (["automatic_top_up_stopped"], [])


async def test_a_rule_is_read_and_removed(topped: Topped) -> None:
    """The threshold is the account's own; what is not there is not known."""
    found = (await topped.cards.client.get(PATH)).json()
    assert (found["threshold"], found["amount"], found["per_day"], found["most_per_day"]) == ("5.00", "20.00", 3, None)
    assert (await topped.cards.client.get("/v1/accounts/alice")).json()["low_balance"] == "5.00"
    assert (await topped.cards.client.delete(PATH)).status_code == 204
    assert (await topped.cards.client.get(PATH)).json()["type"] == "/problems/automatic-top-up-unknown"
    await topped.spend("9.00")
    await topped.collect()
    assert topped.cards.stripe.charged == []
