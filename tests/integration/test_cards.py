"""Payments by card: real Valkey and PostgreSQL, Stripe's own library, and a server that speaks Stripe's HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from typing import Any

import httpx
import pytest

from ocs.api.app import create_app
from ocs.api.context import Context
from ocs.clock import now_ms
from ocs.net.http_server import HttpServer
from ocs.payments.desk import CardDesk
from ocs.payments.stripe_gateway import StripeGateway
from ocs.posted_once import posted_anywhere
from ocs.settings import Http, Stripe
from tests.integration.stripe_standin import (
    SECRET_KEY,
    WEBHOOK_SECRET,
    StripeStandin,
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

    def __init__(self, world: World, stripe: StripeStandin, client: httpx.AsyncClient) -> None:
        self.world, self.stripe, self.client = world, stripe, client

    async def post(self, what: str, body: dict[str, Any], key: str) -> httpx.Response:
        path = f"/v1/accounts/alice/{what}"
        return await self.client.post(path, json=body, headers={"Idempotency-Key": key})

    async def tell(self, body: bytes, signature: str) -> httpx.Response:
        return await self.client.post("/webhooks/stripe", content=body, headers={"Stripe-Signature": signature})

    async def paid(self, payment: str, cents: int) -> None:
        now_s = now_ms() // 1000
        body = paid_event("alice", payment, cents, now_s)
        assert (await self.tell(body, signed(body, now_s))).json() == {"booked": True}

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
        posted = partial(posted_anywhere, context.history.pool, world.store.client)  # type: ignore[attr-defined]  # a real one
        desk = CardDesk(gateway, context.accounts, context.history, posted, context.currencies, now_ms)
        server = HttpServer(Http(listen="127.0.0.1:0"), create_app(replace(context, cards=desk)))
        (address,) = await server.start()
        async with httpx.AsyncClient(
            base_url=f"http://{address}", headers=world.client.headers, trust_env=False, timeout=60
        ) as client:
            yield Cards(world, stripe, client)
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
    assert form["metadata[account_id]"] == "alice"
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
