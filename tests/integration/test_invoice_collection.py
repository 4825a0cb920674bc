"""Invoices by card and direct debit: real Valkey and PostgreSQL, Stripe's own library, a server that speaks its HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest
from typer.testing import CliRunner

from ocs.api.postgres import PostgresHistory
from ocs.billing.invoices import book
from ocs.billing.invoices.book import Invoice
from ocs.billing.invoices.customers import agreed_charges
from ocs.billing.invoices.payments import payments_of
from ocs.billing_desk import BillingDesk
from ocs.cli.app import app
from ocs.clock import noon_ms, now_ms
from ocs.invoicing import Invoicing
from ocs.payments.collection import Finding
from ocs.payments.collector import Collector
from ocs.payments.gateway import MethodKind, Owner, OwnerKind
from ocs.payments.invoices import set_collect_by
from ocs.payments.payments import Payments, open_payments
from ocs.payments.settings import Collection, PaymentsFile
from ocs.payments.stripe_gateway import StripeGateway
from ocs.settings import Stripe
from tests.integration.invoice_world import BAKERY, World, close_world, open_world
from tests.integration.stripe_standin import SECRET_KEY, WEBHOOK_SECRET, StripeStandin, event, signed, stripe_standin
from tests.integration.test_invoices import BERLIN, NOVEMBER, OCTOBER

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),
]
DUE = date(2026, 10, 15)
FILE = PaymentsFile(collection=Collection(return_fee="7.50", chargeback_fee="20.00"))
BAKERY_PAYS = Owner(OwnerKind.CUSTOMER, "bakery")


class Collected:
    """The bakery owes 11.90, due on 15 October."""

    def __init__(self, world: World, stripe: StripeStandin, payments: Payments, config: Path, clock: list[int]) -> None:
        self.world, self.stripe, self.payments, self.config = world, stripe, payments, config
        self.clock = clock

    async def store(self, kind: MethodKind, method_id: str = "pm_1") -> None:
        """The bakery stores a method, and its invoices are collected by it."""
        self.stripe.store(method_id, "cus_bakery", "card" if kind is MethodKind.CARD else "sepa_debit")
        await self.payments.methods.added(BAKERY_PAYS, method_id)
        await self.payments.methods.choose(BAKERY_PAYS, method_id)
        await set_collect_by(self.world.connection, "bakery", kind)

    async def collect(self, today: date) -> list[Finding]:
        """As two collectors at the same time, on that day by their clocks, whatever day it is."""
        self.clock[0] = noon_ms(today)
        async with self.payments.desks() as first, self.payments.desks() as second:
            found, _ = await asyncio.gather(
                self.payments.invoices.begin(first, today), self.payments.invoices.begin(second, today)
            )
        await asyncio.gather(*[self._charge() for _ in range(2)])
        return found

    async def _charge(self) -> None:
        collector = Collector(self.payments, clock_ms=self.payments.clock)
        while await collector.charge():
            pass

    async def tell(self, kind: str, thing: dict[str, Any]) -> Any:
        now_s = now_ms() // 1000
        body = event(kind, thing, now_s)
        told = self.payments.gateway.read(body, signed(body, now_s))
        assert told is not None
        return await self.payments.take(told)

    async def invoice(self) -> Invoice:
        (found,) = await book.list_invoices(self.world.connection, "bakery")
        return found

    async def tries(self) -> list[str]:
        rows = await self.world.connection.fetch("SELECT state, why FROM gateway_charge ORDER BY charge_id")
        return [f"{row['state']} {row['why']}".rstrip() for row in rows]

    async def paid(self) -> list[tuple[str, str, int]]:
        found = await payments_of(self.world.connection, "bakery")
        return [(each.method, each.reference, each.amount_minor) for each in found]

    async def letters(self) -> list[tuple[str, str]]:
        """What was posted to the bakery: the kind, and the day that it names."""
        rows = await self.world.connection.fetch(
            "SELECT kind, payload::jsonb ->> 'on' AS day FROM message ORDER BY made_at, message_id"
        )
        return [(row["kind"], row["day"]) for row in rows]

    async def is_clean(self) -> bool:
        await self.world.flush()
        return await self.world.is_clean()


@pytest.fixture
async def collected(sample_config: Path, valkey_url: str, billing_dsn: str) -> AsyncIterator[Collected]:
    world = await open_world(sample_config, valkey_url, billing_dsn)
    await world.add(BAKERY)
    await world.call("bakery", "2026-09-10T10:00", BERLIN, 1000)
    (draft,) = await world.bill(OCTOBER)
    await world.invoicing.issue(draft.invoice_id, OCTOBER)
    async with stripe_standin() as stripe, asyncpg.create_pool(billing_dsn, min_size=0, max_size=8) as pool:
        clock = [now_ms()]
        gateway = StripeGateway(Stripe(success_url="https://shop.test", api=stripe.base), SECRET_KEY, WEBHOOK_SECRET)

        @asynccontextmanager
        async def desks() -> AsyncIterator[BillingDesk]:
            async with pool.acquire() as connection:
                invoicing = Invoicing(connection, world.redis, world.desk, world.issuers, world.currencies, ("mail",))
                yield BillingDesk(billing_dsn, connection, invoicing, world.issuers, world.currencies)

        payments = open_payments(
            gateway, pool, world.redis, world.desk, PostgresHistory(pool), world.currencies, FILE, world.online, desks,
            lambda: clock[0],
        )  # fmt: skip
        yield Collected(world, stripe, payments, sample_config, clock)
        await gateway.close()
    await close_world(world)


async def test_an_invoice_is_collected_at_its_due_date_once(collected: Collected) -> None:
    """Not a day before; two collectors, the answer and the message: one charge, one payment; books and accounts agree."""
    await collected.store(MethodKind.CARD)
    await collected.collect(date(2026, 10, 14))
    assert collected.stripe.charged == []
    await collected.collect(DUE)
    await collected.collect(DUE)
    (intent,) = collected.stripe.intents.values()
    await collected.tell("payment_intent.succeeded", intent)

    assert collected.stripe.charged == [1190]
    assert (await collected.invoice()).open_minor == 0
    assert await collected.paid() == [("card", "stripe:pi_1", 1190)]
    assert intent["metadata"] | {"ocs_key": ""} == {
        "ocs_purpose": "invoice", "ocs_name": "bakery", "ocs_number": "1", "ocs_key": "",
    }  # fmt: skip
    assert await collected.is_clean()


async def test_failures_are_tried_again_by_the_schedule(collected: Collected) -> None:
    """After 3, 5 and 7 days, then no more; what dunning does about it is its own matter."""
    await collected.store(MethodKind.CARD)
    collected.stripe.declines = ["insufficient_funds"] * 4
    for count, day in enumerate((DUE, date(2026, 10, 18), date(2026, 10, 23), date(2026, 10, 30)), start=1):
        await collected.collect(day)
        (found,) = await collected.collect(day)
        assert (len(await collected.tries()), found.action.value) == (count, "wait" if count < 4 else "leave")
    assert await collected.tries() == ["failed insufficient_funds"] * 4
    assert (await collected.invoice()).open_minor == 1190


async def test_a_final_decline_waits_for_another_method(collected: Collected) -> None:
    """A lost card is not tried again; a new one is, at once."""
    await collected.store(MethodKind.CARD)
    collected.stripe.declines = ["lost_card"]
    await collected.collect(DUE)
    (found,) = await collected.collect(date(2026, 11, 30))
    assert (found.action.value, found.why) == ("leave", "declined for good: lost_card")
    await collected.store(MethodKind.CARD, "pm_2")
    await collected.collect(DUE)
    assert await collected.tries() == ["failed lost_card", "paid"]


async def test_a_direct_debit_that_is_returned_after_it_was_paid(collected: Collected) -> None:
    """Days under way, when nobody is chased; paid; returned: open again, a fee, chased from that day; then a try again."""
    world, late = collected.world, date(2026, 11, 20)
    await collected.store(MethodKind.DIRECT_DEBIT)
    await collected.collect(DUE)
    (found,) = await collected.collect(DUE)
    assert (found.action.value, (await collected.invoice()).open_minor) == ("under way", 1190)
    assert await world.invoicing.dunning.run(late, is_dry=True) == []

    (intent,) = collected.stripe.intents.values()
    intent |= {"status": "succeeded", "amount_received": 1190}
    for _ in range(2):
        await collected.tell("payment_intent.succeeded", intent)
    assert await collected.paid() == [("direct_debit", "stripe:pi_1", 1190)]

    dispute = {
        "id": "dp_1",
        "payment_intent": "pi_1",
        "amount": 1190,
        "currency": "eur",
        "reason": "insufficient_funds",
    }
    for _ in range(2):
        await collected.tell("charge.dispute.funds_withdrawn", dispute)
    assert ((await collected.invoice()).state.value, (await collected.invoice()).open_minor) == ("issued", 1190)
    assert await collected.tries() == ["taken_back insufficient_funds"]
    fees = [(each.text, each.amount) for each in await agreed_charges(world.connection, "bakery")]
    assert fees == [("Returned direct debit", 75 * 10**8)]
    reopened = await world.connection.fetchval("SELECT reopened_on FROM invoice WHERE number IS NOT NULL")
    (chased,) = await world.invoicing.dunning.run(max(reopened, late).replace(year=reopened.year + 1), is_dry=True)
    assert chased.verdict.oldest_due_on == reopened
    assert await collected.is_clean()

    async with collected.payments.desks() as desk:
        entries = [each async for each in desk.entries(date(2000, 1, 1), date(2100, 1, 1))]
    paid = [entry.amount_minor for entry in entries if entry.text.startswith("direct_debit")]
    assert (sorted(paid), sum(entry.amount_minor for entry in entries)) == ([-1190, -1190, 1190, 1190], 0)


async def test_a_direct_debit_that_fails_before_it_is_paid(collected: Collected) -> None:
    """The message comes days later: nothing was paid, it waits for the next try; a mandate that was withdrawn is left."""
    await collected.store(MethodKind.DIRECT_DEBIT)
    for code, action in (("insufficient_funds", "wait"), ("debit_not_authorized", "leave")):
        await collected.collect(DUE)
        intent = list(collected.stripe.intents.values())[-1]
        intent |= {"status": "requires_payment_method", "last_payment_error": {"code": code}}
        await collected.tell("payment_intent.payment_failed", intent)
        today = (await collected.world.connection.fetchval("SELECT max(ended_at) FROM gateway_charge")).date()
        async with collected.payments.desks() as desk:
            (found,) = await collected.payments.invoices.find(desk, today)
        assert found.action.value == action
        await collected.world.connection.execute("UPDATE gateway_charge SET ended_at = '2026-10-01'")
    assert await collected.tries() == ["failed insufficient_funds", "failed debit_not_authorized"]
    assert await collected.paid() == []


async def test_a_direct_debit_is_announced_and_its_failure_told(collected: Collected) -> None:
    """Once each, whoever looks: first the letter, after five days the money; a failure says when the next try is, or to pay."""
    connection = collected.world.connection
    await connection.execute("UPDATE customer SET email = 'bakery@example.net'")
    await collected.store(MethodKind.DIRECT_DEBIT)
    collected.payments.use(PaymentsFile(collection=Collection(prenotification_days=5)))
    (found,) = await collected.collect(DUE)
    assert (found.action.value, found.until, collected.stripe.charged) == ("announce", date(2026, 10, 20), [])
    told_on = await connection.fetchval("SELECT min(made_at)::date FROM message")
    await collected.collect(told_on + timedelta(days=4))
    assert (await collected.letters(), collected.stripe.charged) == ([("direct_debit_announced", "2026-10-20")], [])
    await collected.collect(told_on + timedelta(days=5))
    assert collected.stripe.charged == [1190]
    (intent,) = collected.stripe.intents.values()
    intent |= {"status": "requires_payment_method", "last_payment_error": {"code": "insufficient_funds"}}
    for _ in range(2):
        await collected.tell("payment_intent.payment_failed", intent)
    ended_on = await connection.fetchval("SELECT max(ended_at)::date FROM gateway_charge")
    assert (await collected.letters())[1:] == [("collection_failed", (ended_on + timedelta(days=3)).isoformat())]
    await collected.collect(ended_on + timedelta(days=3))
    intent = list(collected.stripe.intents.values())[-1]
    intent |= {"status": "requires_payment_method", "last_payment_error": {"code": "debit_not_authorized"}}
    await collected.tell("payment_intent.payment_failed", intent)
    assert (await collected.letters())[2:] == [("collection_failed", "")]


async def test_a_chargeback_that_is_won_pays_again(collected: Collected) -> None:
    """A card's: it is not tried again by itself; when it comes back the invoice is paid, and the books agree."""
    await collected.store(MethodKind.CARD)
    await collected.collect(DUE)
    dispute = {"id": "dp_1", "payment_intent": "pi_1", "amount": 1190, "currency": "eur", "reason": "fraudulent"}
    await collected.tell("charge.dispute.funds_withdrawn", dispute)
    (found,) = await collected.collect(NOVEMBER)
    assert (found.action.value, collected.stripe.charged) == ("leave", [1190])
    for _ in range(2):
        await collected.tell("charge.dispute.funds_reinstated", dispute)
    assert (await collected.invoice()).open_minor == 0
    assert await collected.paid() == [("card", "stripe:pi_1", 1190), ("card", "stripe:dp_1:undone", 1190)]
    assert [each.amount for each in await agreed_charges(collected.world.connection, "bakery")] == [200 * 10**8]
    assert await collected.is_clean()


async def test_a_part_that_is_refunded_at_the_gateway_is_open_again(collected: Collected) -> None:
    """And left to people: nobody refunds to have it collected again."""
    await collected.store(MethodKind.CARD)
    await collected.collect(DUE)
    refund = {"id": "re_1", "payment_intent": "pi_1", "amount": 190, "currency": "eur", "status": "succeeded"}
    for kind in ("refund.created", "refund.updated"):
        await collected.tell(kind, refund)
    assert (await collected.invoice()).open_minor == 190
    (found,) = await collected.collect(NOVEMBER)
    assert (found.action.value, found.why) == ("leave", "it was taken back: refunded at the gateway")
    assert await collected.is_clean()


async def test_what_is_refunded_of_an_excess_leaves_the_invoice_paid(collected: Collected) -> None:
    """It was paid by bank, too: the gateway gives back what was too much."""
    await collected.store(MethodKind.CARD)
    await collected.collect(DUE)
    await collected.world.invoicing.pay(BAKERY, 500, DUE, today=DUE, method="bank", reference="1")
    refund = {"id": "re_1", "payment_intent": "pi_1", "amount": 500, "currency": "eur", "status": "succeeded"}
    await collected.tell("refund.created", refund)
    assert (await collected.invoice()).open_minor == 0
    assert await collected.is_clean()


async def test_the_commands_of_an_operator(collected: Collected) -> None:
    """A dry run says what would happen and why; `collect-by` begins it; a wrong word is refused."""
    environment = {"OCS_VALKEY_URL": collected.world.valkey_url, "OCS_POSTGRES_DSN": collected.world.dsn}

    def says(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, [*words, "--config", str(collected.config)], env=environment)
        return done.exit_code, done.output

    assert (await asyncio.to_thread(says, "bill", "collect-by", "bakery", "cash"))[0] == 78
    assert (await asyncio.to_thread(says, "bill", "collect-by", "bakery", "card"))[0] == 0
    _, text = await asyncio.to_thread(says, "bill", "collect", "--dry-run", "--on", "2026-10-15", "--json")
    (row,) = json.loads(text)["invoices"]
    assert (row["open"], row["what"], row["why"]) == ("11.90", "leave", "the default method is no card")
    await collected.store(MethodKind.CARD)
    _, text = await asyncio.to_thread(says, "bill", "collect", "--dry-run", "--on", "2026-10-15")
    assert "visa 4242" in text
    assert collected.stripe.charged == []
    settings = collected.config.read_text(encoding="utf-8").replace(
        'success_url = ""', 'success_url = "https://x.test"', 1
    )
    collected.config.write_text(settings.replace('api = ""', f'api = "{collected.stripe.base}"', 1), encoding="utf-8")
    environment |= {"OCS_STRIPE_SECRET_KEY": SECRET_KEY, "OCS_STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET}
    status, text = await asyncio.to_thread(says, "bill", "collect", "--on", "2026-10-15", "--json")
    assert (status, collected.stripe.charged) == (0, [1190]), text
    assert msgspec.json.decode(text)["invoices"][0]["what"] == "collect"
    assert (await collected.invoice()).open_minor == 0
