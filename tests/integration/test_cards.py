"""Payments by card: real Valkey and PostgreSQL, Stripe's own library, and a server that speaks Stripe's HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from ocs.api.app import create_app
from ocs.api.context import Context
from ocs.clock import now_ms
from ocs.net.http_server import HttpServer
from ocs.payments.payments import Payments, open_payments
from ocs.payments.settings import PaymentsFile
from ocs.payments.stripe_gateway import StripeGateway
from ocs.settings import Http, Stripe
from tests.integration.stripe_standin import (
    SECRET_KEY,
    WEBHOOK_SECRET,
    StripeStandin,
    event,
    paid_event,
    signed,
    stripe_standin,
)
from tests.integration.test_api_server import World, open_alice, world

__all__ = ["world"]

pytestmark = [
    pytest.mark.integration,
    # Stripe's library hands its form to httpx in a way that httpx would like to be rid of.
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),
]


class Cards:
    """The API with payments by card."""

    def __init__(
        self, world: World, stripe: StripeStandin, client: httpx.AsyncClient, payments: Payments, address: str
    ) -> None:
        self.world, self.stripe, self.client, self.payments, self.address = world, stripe, client, payments, address

    async def post(self, what: str, body: dict[str, Any], key: str) -> httpx.Response:
        path = f"/v1/accounts/alice/{what}"
        return await self.client.post(path, json=body, headers={"Idempotency-Key": key})

    async def tell(self, body: bytes, signature: str) -> httpx.Response:
        return await self.client.post("/webhooks/stripe", content=body, headers={"Stripe-Signature": signature})

    async def paid(self, payment: str, cents: int) -> None:
        now_s = now_ms() // 1000
        body = paid_event("alice", payment, cents, now_s)
        assert (await self.tell(body, signed(body, now_s))).json() == {"booked": True}

    async def told(self, kind: str, thing: dict[str, Any], days_ago: int = 0) -> httpx.Response:
        """Tell of a thing, as Stripe signs it."""
        now_s = now_ms() // 1000
        body = event(kind, thing, now_s - days_ago * 86_400)
        return await self.tell(body, signed(body, now_s))

    async def store(self, method_id: str = "pm_1", kind: str = "card", **changes: Any) -> None:
        """Alice stores a method, and Stripe tells of it."""
        await self.post("payment-method-setups", {"kinds": ["card"]}, f"set-up-{method_id}")
        self.stripe.store(method_id, "cus_alice", kind, **changes)
        metadata = {"ocs_owner_kind": "account", "ocs_owner": "alice"}
        setup = {"id": "seti_1", "object": "setup_intent", "payment_method": method_id, "metadata": metadata}
        assert (await self.told("setup_intent.succeeded", setup)).status_code == 200

    async def balance(self) -> str:
        found: str = (await self.client.get("/v1/accounts/alice")).json()["balance"]
        return found

    async def forget(self, operation: str) -> None:
        """As after the days that the store remembers a key."""
        await self.world.flush()
        names = [name async for name in self.world.store.client.scan_iter(f"*{operation}*")]
        assert len(names) == 1, "the key's record"
        await self.world.store.client.delete(*names)

    async def amounts(self) -> list[str]:
        """Of the journal, the oldest first."""
        await self.world.flush()
        entries = (await self.client.get("/v1/accounts/alice/journal")).json()["entries"]
        return [each["amount"] for each in reversed(entries)]


@pytest.fixture
async def cards(world: World) -> AsyncIterator[Cards]:
    """Alice has an account with nothing in it."""
    await open_alice(world)
    async with stripe_standin() as stripe:
        settings = Stripe(success_url="https://shop.test/paid", api=stripe.base)
        gateway = StripeGateway(settings, SECRET_KEY, WEBHOOK_SECRET)
        context: Context = world.context
        payments = open_payments(
            gateway, context.history.pool, world.store.client, context.accounts, context.history,  # type: ignore[attr-defined,arg-type]  # real ones
            context.currencies, PaymentsFile(), world.online,
            world.context.billing.desk, now_ms,
        )  # fmt: skip
        server = HttpServer(Http(listen="127.0.0.1:0"), create_app(replace(context, payments=payments)))
        (address,) = await server.start()
        async with httpx.AsyncClient(
            base_url=f"http://{address}", headers=world.client.headers, trust_env=False, timeout=60
        ) as client:
            yield Cards(world, stripe, client, payments, str(address))
        await server.close(1.0)
        await gateway.close()


async def test_a_checkout_leads_to_the_page_of_stripe(cards: Cards) -> None:
    """Amount in cents, account in the metadata; a repeat of the key gives the same page; it is in the audit log's stream."""
    first = await cards.post("checkouts", {"amount": "20.00"}, "order-1")
    again = await cards.post("checkouts", {"amount": "20.00"}, "order-1")
    finer = await cards.post("checkouts", {"amount": "20.005"}, "order-2")

    assert (first.status_code, first.json()) == (201, {"checkout_id": "cs_1", "url": "https://pay.test/cs_1"})
    assert again.json() == first.json()
    assert (finer.status_code, finer.json()["type"]) == (422, "/problems/invalid")
    _, _, form = cards.stripe.requests[0]
    assert form["line_items[0][price_data][unit_amount]"] == "2000"
    assert form["line_items[0][price_data][currency]"] == "eur"
    assert (form["metadata[ocs_purpose]"], form["metadata[ocs_name]"]) == ("top_up", "alice")
    assert form["payment_intent_data[metadata][ocs_name]"] == "alice"
    assert await cards.balance() == "0.00"


async def test_what_was_paid_is_booked_once(cards: Cards) -> None:
    """Ten times at once, then again a month later when the store has forgotten the key: one top-up."""
    now_s = now_ms() // 1000
    body = paid_event("alice", "pi_1", 2000, now_s)
    told = await asyncio.gather(*(cards.tell(body, signed(body, now_s)) for _ in range(10)))
    assert [(each.status_code, each.json()) for each in told] == [(200, {"booked": True})] * 10
    assert await cards.balance() == "20.00"

    await cards.forget("op:alice:stripe:pi_1")
    late = paid_event("alice", "pi_1", 2000, now_s - 30 * 86_400)
    assert (await cards.tell(late, signed(late, now_s))).json() == {"booked": True}
    assert await cards.amounts() == ["0.00", "20.00"]


@pytest.mark.parametrize(
    ("age_s", "secret", "spoilt"),
    [(301, WEBHOOK_SECRET, b""), (0, "whsec_other", b""), (0, WEBHOOK_SECRET, b" ")],
    ids=["old", "of another secret", "of another body"],
)
async def test_a_signature_that_is_not_good_books_nothing(cards: Cards, age_s: int, secret: str, spoilt: bytes) -> None:
    """A recorded message that is sent again later, a stranger's, a changed one: 400."""
    now_s = now_ms() // 1000
    body = paid_event("alice", "pi_1", 2000, now_s)
    answer = await cards.tell(body + spoilt, signed(body, now_s - age_s, secret))
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/bad-request")
    assert await cards.balance() == "0.00"


async def test_what_is_not_paid_or_not_ours_is_taken_and_what_cannot_be_booked_is_refused(cards: Cards) -> None:
    """A bank debit under way and another shop's payment: 200. A payment for an account that there is not: Stripe shows it."""
    now_s = now_ms() // 1000
    ignored: tuple[dict[str, Any], ...] = ({"payment_status": "unpaid"}, {"metadata": {}})
    for changes in ignored:
        body = paid_event("alice", "pi_1", 2000, now_s, **changes)
        assert (await cards.tell(body, signed(body, now_s))).json() == {"booked": False}
    for account_id, currency, status in (("nobody", "eur", 404), ("alice", "usd", 422), ("alice", "xxx", 422)):
        body = paid_event(account_id, "pi_2", 2000, now_s, currency=currency)
        assert (await cards.tell(body, signed(body, now_s))).status_code == status
    assert await cards.balance() == "0.00"


async def test_a_refund_takes_the_money_and_gives_it_back_once(cards: Cards) -> None:
    """A repeat says the same, with another amount it is refused; what is not there, or not the account's, is not refunded."""
    await cards.paid("pi_1", 2000)
    body = {"payment": "pi_1", "amount": "5.00", "reason": "goodwill"}
    first = await cards.post("card-refunds", body, "case-1")
    again = await cards.post("card-refunds", body, "case-1")
    other = await cards.post("card-refunds", {**body, "amount": "6.00"}, "case-1")
    strange = await cards.post("card-refunds", {**body, "payment": "pi_2"}, "case-2")
    too_much = await cards.post("card-refunds", {**body, "amount": "15.01"}, "case-3")

    assert first.json() == {"refund_id": "re_1", "entry_number": 3, "replayed": False}
    assert again.json() == {"refund_id": "re_1", "entry_number": 3, "replayed": True}
    assert [each.json()["type"] for each in (other, strange, too_much)] == [
        "/problems/idempotency-key-reused",
        "/problems/payment-unknown",
        "/problems/not-enough-money",
    ]
    assert [(each["payment_intent"], each["amount"]) for each in cards.stripe.refunds] == [("pi_1", 500)]
    assert await cards.amounts() == ["0.00", "20.00", "-5.00"]


async def test_a_refund_that_was_cut_off_is_found_a_month_later(cards: Cards) -> None:
    """Stripe has done it and its answers were lost; it and the store have forgotten the key: still one refund, one debit."""
    await cards.paid("pi_1", 2000)
    body = {"payment": "pi_1", "amount": "5.00"}
    cards.stripe.breaks = 3  # the library tries three times
    cut = await cards.post("card-refunds", body, "case-1")
    assert (cut.status_code, cut.json()["type"]) == (503, "/problems/unavailable")
    assert await cards.balance() == "15.00"

    cards.stripe.answers.clear()
    await cards.forget("op:alice:stripe:pi_1:refund:case-1")
    done = await cards.post("card-refunds", body, "case-1")
    assert (done.status_code, done.json()["refund_id"], done.json()["replayed"]) == (200, "re_1", True)
    assert len(cards.stripe.refunds) == 1
    assert await cards.amounts() == ["0.00", "20.00", "-5.00"]


async def test_what_stripe_will_not_give_back_is_put_back(cards: Cards) -> None:
    """By another entry, once; the same key is done with, even when Stripe would do it now."""
    await cards.paid("pi_1", 2000)
    body = {"payment": "pi_1", "amount": "5.00"}
    cards.stripe.refuses = "Charge ch_1 has been charged back; cannot issue a refund."
    refused = await cards.post("card-refunds", body, "case-1")
    cards.stripe.refuses = ""
    again = await cards.post("card-refunds", body, "case-1")

    assert [each.json()["type"] for each in (refused, again)] == ["/problems/card-refused"] * 2
    assert "charged back" in refused.json()["detail"]
    assert cards.stripe.refunds == []
    assert await cards.amounts() == ["0.00", "20.00", "-5.00", "5.00"]


async def test_without_a_gateway_there_are_no_cards(cards: Cards) -> None:
    """The cure is named."""
    answer = await cards.world.change("POST", "/v1/accounts/alice/checkouts", {"amount": "20.00"}, "order-1")
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/cards-off")


REFUND: dict[str, Any] = {
    "id": "re_9",
    "object": "refund",
    "payment_intent": "pi_1",
    "amount": 500,
    "currency": "eur",
    "metadata": {},
}
DISPUTE: dict[str, Any] = {
    "id": "dp_9", "object": "dispute", "payment_intent": "pi_1", "amount": 2000, "currency": "eur", "reason": "fraudulent",
    "metadata": {},
}  # fmt: skip


def known(cards: Cards) -> None:
    """Stripe knows what the payment was for."""
    metadata = {"ocs_purpose": "top_up", "ocs_name": "alice", "ocs_number": "0"}
    cards.stripe.intents["pi_1"] = {
        "id": "pi_1",
        "object": "payment_intent",
        "status": "succeeded",
        "metadata": metadata,
    }


async def test_a_refund_of_the_dashboard_is_taken_from_the_account(cards: Cards) -> None:
    """Once, however often and late it is told; one that fails in the end is put back, in whichever order that is told."""
    await cards.paid("pi_1", 2000)
    known(cards)
    for days_ago in (0, 0, 30):
        told = await cards.told("refund.created", {**REFUND, "status": "pending"}, days_ago)
        assert told.json() == {"booked": True}
        await cards.world.flush()
    assert await cards.balance() == "15.00"
    for kind, status in (("refund.failed", "failed"), ("refund.updated", "failed"), ("refund.created", "pending")):
        await cards.told(kind, {**REFUND, "status": status})
    await cards.told("refund.failed", {**REFUND, "id": "re_10", "status": "failed"})
    await cards.told("refund.created", {**REFUND, "id": "re_10", "status": "pending"})
    assert await cards.amounts() == ["0.00", "20.00", "-5.00", "5.00", "-5.00", "5.00"]


async def test_a_refund_of_ours_is_not_taken_twice(cards: Cards) -> None:
    """Stripe tells of it, too; if the card's bank sends it back, it is put back once, and the key is done with."""
    await cards.paid("pi_1", 2000)
    known(cards)
    body = {"payment": "pi_1", "amount": "5.00"}
    assert (await cards.post("card-refunds", body, "case-1")).status_code == 200
    (refund,) = cards.stripe.refunds
    refund |= {"currency": "eur"}
    for kind, status in (("refund.created", "pending"), ("refund.failed", "failed"), ("refund.failed", "failed")):
        assert (await cards.told(kind, {**refund, "status": status})).status_code == 200
    assert (await cards.post("card-refunds", body, "case-1")).json()["type"] == "/problems/card-refused"
    assert await cards.amounts() == ["0.00", "20.00", "-5.00", "5.00"]


async def test_the_file_is_read_again_whole_or_not_at_all(cards: Cards, tmp_path: Path) -> None:
    """With a fault in it what was before holds on, for everything in it; without one all of it is new."""
    file = tmp_path / "payments.toml"
    file.write_text("[chargebacks]\nblock_account = false\n[collection]\nretry_days = [0]\n", encoding="utf-8")
    cards.payments.reload(tmp_path)
    assert (cards.payments.cards.blocks_after_chargeback, cards.payments.invoices.policy.retry_days) == (
        True,
        (3, 5, 7),
    )
    file.write_text(
        "[chargebacks]\nblock_account = false\n[collection]\nretry_days = [9]\n[automatic_top_up]\nburst_count = 9\n",
        encoding="utf-8",
    )
    cards.payments.reload(tmp_path)
    assert (cards.payments.invoices.policy.retry_days, cards.payments.top_ups.policy.burst_count) == ((9,), 9)
    await cards.paid("pi_1", 2000)
    known(cards)
    await cards.told("charge.dispute.funds_withdrawn", DISPUTE)
    assert (await cards.client.get("/v1/accounts/alice")).json()["state"] == "active"


async def test_a_chargeback_takes_the_money_and_blocks(cards: Cards) -> None:
    """Below zero, if it has been spent; a dispute that is won gives it back and lifts its own block alone."""
    await cards.paid("pi_1", 2000)
    known(cards)
    await cards.post("adjustments", {"amount": "-15.00", "currency": "EUR", "reason": "spent"}, "spent")
    for _ in range(2):
        await cards.told("charge.dispute.funds_withdrawn", DISPUTE)
    account = (await cards.client.get("/v1/accounts/alice")).json()
    assert (account["balance"], account["state"]) == ("-15.00", "suspended")
    assert [each[:11] for each in account["blocks"]] == ["chargeback-"]
    await cards.told("charge.dispute.funds_withdrawn", {**DISPUTE, "id": "dp_10", "amount": 100})
    for _ in range(2):
        await cards.told("charge.dispute.funds_reinstated", DISPUTE)
    account = (await cards.client.get("/v1/accounts/alice")).json()
    assert (account["balance"], account["state"], len(account["blocks"])) == ("4.00", "suspended", 1)
    await cards.world.flush()
    found = (await cards.client.get("/v1/accounts/alice/events")).json()["events"]
    assert [each["data"]["amount"] for each in reversed(found) if each["type"] == "chargeback"] == [
        "-20.00",
        "-1.00",
        "20.00",
    ]


async def test_what_goes_back_of_others_payments_is_no_matter_of_ours(cards: Cards) -> None:
    """Stripe does not know what it was for: another shop's."""
    cards.stripe.intents["pi_1"] = {"id": "pi_1", "object": "payment_intent", "status": "succeeded", "metadata": {}}
    assert (await cards.told("charge.dispute.funds_withdrawn", DISPUTE)).json() == {"booked": False}


async def test_two_refunds_at_once_take_no_more_than_there_is(cards: Cards) -> None:
    """The balance is looked at by the posting that takes the money: one of them is told that it is not enough."""
    await cards.paid("pi_1", 2000)
    body = {"payment": "pi_1", "amount": "15.00"}
    answers = await asyncio.gather(*(cards.post("card-refunds", body, f"case-{number}") for number in range(5)))
    assert sorted(each.status_code for each in answers) == [200, 409, 409, 409, 409]
    assert await cards.balance() == "5.00"
