"""A customer's payment given back through the gateway: real Valkey and PostgreSQL, Stripe's own library, its HTTP."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from typer.testing import CliRunner

from ocs.api.app import create_app
from ocs.billing.invoices import book
from ocs.billing.invoices.payments import payments_of
from ocs.cli.app import app
from ocs.clock import day_of, noon_ms, now_ms
from ocs.payments import kept_refunds
from ocs.payments.collector import Collector
from ocs.payments.gateway import MethodKind, Owner, OwnerKind
from ocs.payments.invoices import set_collect_by
from ocs.payments.kept_refunds import KeptRefund
from ocs.payments.payments import Payments, open_payments
from ocs.payments.settings import PaymentsFile
from ocs.payments.stripe_gateway import StripeGateway
from ocs.settings import Stripe
from tests.integration.invoice_world import BAKERY
from tests.integration.stripe_standin import SECRET_KEY, WEBHOOK_SECRET, StripeStandin, event, signed, stripe_standin
from tests.integration.test_billing_api import Api, api
from tests.integration.test_billing_api_books import _changes
from tests.integration.test_invoices import BERLIN, OCTOBER

__all__ = ("api",)  # a fixture
pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),
]
DUE = date(2026, 10, 15)
PATH = "/customers/bakery/refunds"
PART = {"amount": "5.00", "reference": "case-1", "payment": 1}


class Shop:
    """The bakery has paid its invoice of 11.90 by card: payment 1."""

    def __init__(self, api: Api, stripe: StripeStandin, payments: Payments, clock: list[int]) -> None:
        self.api, self.stripe, self.payments, self.clock = api, stripe, payments, clock

    async def collect(self) -> None:
        """What the collector finds to do."""
        async with self.payments.desks() as desk:
            await self.payments.invoices.begin(desk, day_of(self.clock[0]))
        await Collector(self.payments, clock_ms=self.payments.clock).settle_all()

    async def resume(self) -> None:
        """Two collectors, when the lease of whoever had it in hand is over."""
        await self.api.world.connection.execute("UPDATE gateway_refund SET due_at = '2026-01-01'")
        while any(await asyncio.gather(self.payments.refunds.resume(), self.payments.refunds.resume())):
            pass

    async def file(self, key: str) -> KeptRefund:
        """As somebody who dies after it."""
        (payment,) = await payments_of(self.api.world.connection, "bakery")
        return await kept_refunds.file(self.api.world.connection, payment, key, 300, DUE, now_ms())

    async def tell(self, kind: str, refund: dict[str, Any]) -> None:
        body = event(kind, refund, now_ms() // 1000)
        headers = {"Stripe-Signature": signed(body, now_ms() // 1000)}
        answer = await self.api.client.post("/webhooks/stripe", content=body, headers=headers)
        assert answer.status_code == 200, answer.text

    async def stands(self) -> tuple[int, int, int]:
        """In cents: what is open of the invoice, what the account is at, and what Stripe has given back."""
        world = self.api.world
        (invoice,) = await book.list_invoices(world.connection, "bakery")
        balance = await world.balance("bakery")
        return invoice.open_minor, balance // 10**7, sum(each["amount"] for each in self.stripe.refunds)

    async def states(self) -> list[str]:
        rows = await self.api.world.connection.fetch("SELECT state, why FROM gateway_refund ORDER BY gateway_refund_id")
        return [f"{row['state']} {row['why']}".rstrip() for row in rows]

    async def is_clean(self) -> bool:
        await self.api.world.flush()
        return await self.api.world.is_clean()


@pytest.fixture
async def shop(api: Api) -> AsyncIterator[Shop]:
    world, clock = api.world, [noon_ms(DUE)]
    await world.add(BAKERY)
    await world.call("bakery", "2026-09-10T10:00", BERLIN, 1000)
    (draft,) = await world.bill(OCTOBER)
    await world.invoicing.issue(draft.invoice_id, OCTOBER)
    async with stripe_standin() as stripe:
        gateway = StripeGateway(Stripe(success_url="https://shop.test", api=stripe.base), SECRET_KEY, WEBHOOK_SECRET)
        history: Any = api.context.history
        payments = open_payments(
            gateway, history.pool, world.redis, world.desk, history, world.currencies, PaymentsFile(), world.online,
            api.billing.desk, lambda: clock[0],
        )  # fmt: skip
        stripe.store("pm_1", "cus_bakery", "card")
        await payments.methods.added(Owner(OwnerKind.CUSTOMER, "bakery"), "pm_1")
        await set_collect_by(world.connection, "bakery", MethodKind.CARD)
        transport = httpx.ASGITransport(app=cast(Any, create_app(replace(api.context, payments=payments))))
        async with httpx.AsyncClient(
            transport=transport, base_url="http://ocs", headers=api.client.headers, timeout=60
        ) as api.client:
            found = Shop(api, stripe, payments, clock)
            await found.collect()
            assert await found.stands() == (0, 0, 0)
            yield found
        await gateway.close()


async def test_a_payment_is_given_back_once(shop: Shop) -> None:
    """Said twice, and told before and after by Stripe: one refund, one booking; open again, and nobody collects it anew."""
    first = await shop.api.post(PATH, PART)
    assert (first["gateway_reference"], await shop.stands()) == ("re_1", (500, -500, 500))
    (refund,) = shop.stripe.refunds
    for kind in ("refund.created", "refund.updated"):
        await shop.tell(kind, refund)
    assert await shop.api.post(PATH, PART) == first
    await shop.collect()
    await shop.resume()
    assert (await shop.stands(), shop.stripe.charged) == ((500, -500, 500), [1190])

    assert (await _changes(shop.api))["create_refund"] == (f"refund {first['refund_id']}", {}, first)
    async with shop.payments.desks() as desk:
        entries = [each async for each in desk.entries(date(2000, 1, 1), date(2100, 1, 1))]
    assert [(each.day, each.amount_minor) for each in entries if "case-1" in each.text] == [(DUE, -500), (DUE, 500)]
    assert (await shop.states(), await shop.is_clean()) == (["booked"], True)


REFUSALS: tuple[tuple[dict[str, Any], int, str], ...] = (
    (PART | {"amount": "12.00"}, 409, "payment 1 has less than 1200"),
    (PART | {"payment": 2}, 409, "payment 2 did not come through stripe: give the money back, then book that"),
    (PART | {"payment": 9}, 404, "bakery has no payment 9: ocs bill payments bakery"),
    ({"amount": "1.00", "reference": "x", "method": "card"}, 409, "name the payment that is to be given back, such as 3"),
    (PART | {"reference": "case-0"}, 409, "case-0 is a refund of payment 3 of bakery, or of another amount"),
    (PART | {"amount": "0.00"}, 422, "is to be above zero"),
)  # fmt: skip


async def test_what_cannot_be_given_back_is_said(shop: Shop) -> None:
    """Nothing moves then, and Stripe is not asked; what was paid otherwise is refunded as ever, by booking it."""
    world = shop.api.world
    for method, reference in (("bank", "b"), ("card", "stripe:pi_3")):
        await world.invoicing.pay(BAKERY, 300, DUE, today=DUE, method=method, reference=reference)
    await shop.api.post(PATH, {"amount": "1.00", "reference": "case-0", "payment": 3})
    before = await shop.stands()
    for body, status, words in REFUSALS:
        found = await shop.api.refused("POST", PATH, body)
        assert (found[0], words in found[1]) == (status, True), found
    assert await shop.stands() == before == (0, 500, 100)

    by_hand = await shop.api.post(PATH, {"amount": "3.00", "reference": "camt-1"})
    assert (by_hand["gateway_reference"], await shop.stands()) == ("", (0, 200, 100))
    assert await shop.is_clean()


async def test_stripe_refuses(shop: Shop) -> None:
    """The payment pays the invoice as before and the account knows of nothing; the reference is done with, another one goes."""
    shop.stripe.refuses = "Charge has been disputed."
    for _ in range(2):
        answer = await shop.api.client.post(f"/v1{PATH}", json=PART)
        assert (answer.status_code, answer.json()["type"]) == (409, "/problems/card-refused"), answer.text
        assert (
            answer.json()["detail"] == "Charge has been disputed.; payment 1 has the money again, case-1 is done with"
        )
        assert "Use a new key" in answer.json()["cure"]
        assert await shop.stands() == (0, 0, 0)
        shop.stripe.refuses = ""
    assert await shop.api.world.connection.fetchval("SELECT state FROM gateway_charge") == "paid"
    await shop.api.post(PATH, PART | {"reference": "case-2"})
    assert await shop.states() == ["refused Charge has been disputed.", "booked"]
    assert (await shop.stands(), await shop.is_clean()) == ((500, -500, 500), True)


async def _filed(shop: Shop, key: str) -> None:
    """Written down, and Stripe does not know yet; no bill run books it meanwhile."""
    await shop.file(key)
    await shop.api.world.invoicing.settle(DUE)


async def _unanswered(shop: Shop, key: str) -> None:
    """Stripe has done it, the line breaks each time, and the caller is told to come again."""
    shop.stripe.breaks = 3
    assert (await shop.api.refused("POST", PATH, PART | {"amount": "3.00", "reference": key}))[0] == 503


async def _given(shop: Shop, key: str) -> None:
    """It is noted, and not booked."""
    kept = await shop.file(key)
    reference = await shop.payments.gateway.refund("pi_1", 300, key=kept.gateway_key)
    await kept_refunds.note_given(shop.api.world.connection, kept, reference, DUE)


async def test_who_dies_is_followed_by_the_collector(shop: Shop) -> None:
    """Wherever: one refund at Stripe, one booking; the caller who says it again hears of that one."""
    for number, (died, given) in enumerate(((_filed, 0), (_unanswered, 300), (_given, 300)), start=1):
        await died(shop, f"case-{number}")
        before = (number - 1) * 300
        assert await shop.stands() == (before + 300, -before, before + given)
        await shop.resume()
        for _ in range(2):
            assert await shop.stands() == (before + 300, -before - 300, before + 300)
            again = await shop.api.post(PATH, PART | {"amount": "3.00", "reference": f"case-{number}"})
            assert again["gateway_reference"] == f"re_{number}"
    assert (await shop.states(), await shop.is_clean()) == (["booked"] * 3, True)


async def test_the_message_comes_before_the_answer(shop: Shop) -> None:
    """It bears our key: booked by the message, and not again by the answer. One that fails days later is a payment again."""
    shop.stripe.holds = True
    asked = asyncio.create_task(shop.api.post(PATH, PART))
    await shop.stripe.held.wait()
    (refund,) = shop.stripe.refunds
    await shop.tell("refund.created", refund)
    assert (await shop.stands(), await shop.states()) == ((500, -500, 500), ["booked"])
    shop.stripe.release.set()
    assert (await asked)["gateway_reference"] == "re_1"
    assert await shop.stands() == (500, -500, 500)
    for _ in range(2):
        await shop.tell("refund.failed", refund | {"status": "failed"})
    assert (await shop.stands())[:2] == (0, 0)
    assert (await shop.is_clean(), len(await payments_of(shop.api.world.connection, "bakery"))) == (True, 2)


async def test_a_command_is_killed_and_said_again(shop: Shop, sample_config: Path) -> None:
    """kill -9 of `ocs bill refund` while Stripe holds its answer: the same again gives nothing more."""
    world = shop.api.world
    _name_gateway(sample_config, shop.stripe.base)
    environment = {
        "OCS_VALKEY_URL": world.valkey_url, "OCS_POSTGRES_DSN": world.dsn, "OCS_STRIPE_SECRET_KEY": SECRET_KEY,
        "OCS_STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET, "NO_PROXY": "127.0.0.1",
    }  # fmt: skip
    words = ["bill", "refund", "bakery", "5.00", "--payment", "1", "-r", "case-1", "--config", str(sample_config)]
    shop.stripe.holds = True
    first = await asyncio.create_subprocess_exec(sys.executable, "-m", "ocs", *words, env={**os.environ, **environment})
    async with asyncio.timeout(60):
        await shop.stripe.held.wait()
    first.send_signal(signal.SIGKILL)
    await first.wait()
    shop.stripe.holds = False
    shop.stripe.release.set()
    assert await shop.stands() == (500, 0, 500)

    again = await asyncio.to_thread(CliRunner().invoke, app, words, env=environment)
    assert (again.exit_code, "5.00 EUR to bakery by card (re_1)" in again.output) == (0, True), again.output
    assert (await shop.stands(), await shop.is_clean()) == ((500, -500, 500), True)


def _name_gateway(config: Path, base: str) -> None:
    text = config.read_text(encoding="utf-8").replace('success_url = ""', 'success_url = "https://x.test"', 1)
    config.write_text(text.replace('api = ""', f'api = "{base}"', 1), encoding="utf-8")
