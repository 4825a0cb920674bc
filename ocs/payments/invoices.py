"""Invoices collected by card and direct debit: written down, asked for, booked as payments; and what the payer's bank takes back.

A payment's reference is the gateway's id of it, so that its message and its answer book it once. What is taken back is a
refund out of that very payment: what it paid is open again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import Any, Final

import structlog

from balance.money import parse_amount
from ocs.billing.invoices.book import InvoiceRefusedError
from ocs.billing.invoices.calculation import ChargeKind
from ocs.billing.invoices.customers import Agreed, Customer, add_agreed
from ocs.billing.invoices.payments import Payment, find_reference
from ocs.billing_desk import BillingDesk
from ocs.billing_letters import ANNOUNCED, COLLECTION_FAILED, Collected, collection_letters
from ocs.delivery import queue
from ocs.delivery.queue import Letter
from ocs.invoicing import BookingRefusedError
from ocs.payments import charges, methods
from ocs.payments.charges import KeptCharge, Wish
from ocs.payments.collection import Action, Finding, Owed, Try, judge
from ocs.payments.gateway import Charged, ChargeState, MethodKind, Owner, OwnerKind, PurposeKind, TakenBack
from ocs.payments.methods import Method
from ocs.payments.settings import Collection

log = structlog.get_logger()

RETRIED: Final = frozenset({"insufficient_funds", "bank_cannot_process"})
"""Why a bank returns a direct debit that may be presented again (SEPA rulebook: AM04, MS03)."""
_OWED: Final = """
    SELECT i.invoice_id, i.number, i.customer_id, i.currency, i.total_minor - i.paid_minor AS open_minor, i.due_on,
        i.is_disputed, p.collect
    FROM invoice i JOIN payer p ON p.owner_kind = 'customer' AND p.owner_id = i.customer_id AND p.collect <> ''
    WHERE i.kind = 'invoice' AND i.state = 'issued' AND i.total_minor > i.paid_minor AND ($1::bigint IS NULL OR i.invoice_id = $1)
    ORDER BY i.due_on, i.invoice_id
"""
_ANNOUNCED: Final = "SELECT min(made_at)::date FROM message WHERE message_id = ANY($1::text[])"
_TRIES: Final = """
    SELECT method_id, state, why, is_final, coalesce(ended_at, made_at)::date AS on FROM gateway_charge
    WHERE invoice_id = $1 ORDER BY charge_id
"""
_SET_COLLECT: Final = """
    INSERT INTO payer (owner_kind, owner_id, collect) VALUES ('customer', $1, $2)
    ON CONFLICT (owner_kind, owner_id) DO UPDATE SET collect = $2
"""


class Collecting:
    """Works on a desk of billing and its connection. Raises what PostgreSQL and the accounts raise: then it is done again."""

    def __init__(self, gateway_name: str, policy: Collection, clock: Callable[[], int]) -> None:
        self._gateway_name = gateway_name
        self.policy = policy
        self._clock = clock

    async def find(self, desk: BillingDesk, today: date, invoice_id: int | None = None) -> list[Finding]:
        """Every invoice that is not paid, or one, of customers whose invoices are collected, and what is to be done about it."""
        found = []
        for row in await desk.connection.fetch(_OWED, invoice_id):
            owed = Owed(**{**row, "collect": MethodKind(row["collect"])})
            tries = [Try(**each) for each in await desk.connection.fetch(_TRIES, owed.invoice_id)]
            method = await methods.find_method(desk.connection, Owner(OwnerKind.CUSTOMER, owed.customer_id))
            notice = await self._letters(desk, owed, method, ANNOUNCED) if self.policy.prenotification_days else []
            names = [each.message_id for each in notice]
            announced = await desk.connection.fetchval(_ANNOUNCED, names) if names else None
            found.append(judge(owed, method, tries, self.policy, today, announced, can_announce=bool(names)))
        return found

    async def begin(self, desk: BillingDesk, today: date) -> list[Finding]:
        """The same, and write down what is to be collected or announced now: once, however many do it."""
        findings = await self.find(desk, today)
        for finding in findings:
            if finding.action is Action.COLLECT:
                await self._wish(desk, finding)
            elif finding.action is Action.ANNOUNCE:
                await self._post(
                    desk, await self._letters(desk, finding.owed, finding.method, ANNOUNCED, finding.until)
                )
        return findings

    async def settle(self, desk: BillingDesk, charge: KeptCharge, charged: Charged, today: date) -> None:
        """Do what has to follow from what the gateway says of a charge, once."""
        is_booked = True
        if charged.state is ChargeState.PAID:
            is_booked = await self._paid(desk, charge, charged, today)
        noted = await charges.note(desk.connection, charge, charged, self._clock(), is_booked=is_booked)
        if noted and charged.state is ChargeState.FAILED:
            log.warning("collection_failed", customer_id=charge.name, invoice_id=charge.invoice_id, why=charged.why)
            await self._tell_failed(desk, charge, today)

    async def take_back(self, desk: BillingDesk, told: TakenBack, today: date) -> bool:
        """Book what has gone back to the payer, and what came again; False: there is no such payment."""
        reference = f"{self._gateway_name}:{told.reference}"
        payment = await find_reference(desk.connection, f"{self._gateway_name}:{told.payment}")
        if payment is None:
            return False
        await desk.invoicing.take_from(payment, reference, told.minor, today)
        customer = await desk.customer(payment.customer_id)
        if told.is_undone:
            await desk.invoicing.pay(
                customer, told.minor, today, today=today, method=payment.method, reference=f"{reference}:undone"
            )
            return True
        why = told.why if told.is_chargeback else "refunded at the gateway"
        is_final = why not in RETRIED or payment.method != MethodKind.DIRECT_DEBIT
        charge = await charges.note_taken_back(desk.connection, told.payment, why, is_final=is_final)
        if told.is_chargeback and charge is not None:
            await self._tell_failed(desk, charge, today)
        if told.is_chargeback:
            await self._fee(desk, customer, payment, reference, today)
        return True

    # --- inside -----------------------------------------------------------------------------------------------------------

    async def _tell_failed(self, desk: BillingDesk, charge: KeptCharge, today: date) -> None:
        """Tell the customer, once for each try, and when the next one will be, if there is one."""
        method = await methods.find_method(desk.connection, Owner(OwnerKind.CUSTOMER, charge.name), charge.method_id)
        for finding in await self.find(desk, today, charge.invoice_id):
            name = f"{COLLECTION_FAILED}-{charge.charge_id}"
            on = finding.until if finding.action is Action.WAIT else None
            await self._post(desk, await self._letters(desk, finding.owed, method, COLLECTION_FAILED, on, name))

    async def _letters(
        self, desk: BillingDesk, owed: Owed, method: Method | None, kind: str, on: date | None = None, name: str = ""
    ) -> list[Letter]:
        customer = await desk.customer(owed.customer_id)
        known_by = f"{method.brand} {method.last4}" if method is not None else ""
        what = Collected(
            f"billing-{name or f'{kind}-{owed.invoice_id}'}", kind, owed.number, owed.open_minor, known_by, on
        )
        entity, currency = desk.issuers.entities[customer.legal_entity], desk.currencies[owed.currency]
        return collection_letters(customer, what, entity, currency, desk.invoicing.ways)

    async def _post(self, desk: BillingDesk, letters: Sequence[Letter]) -> None:
        for letter in letters:
            await queue.post(desk.connection, letter, self._clock())

    async def _wish(self, desk: BillingDesk, finding: Finding) -> None:
        owed, method = finding.owed, finding.method
        assert method is not None, "it was judged with one"
        async with desk.connection.transaction():
            # Whoever pays it in another way meanwhile waits, or is waited for.
            left: int | None = await desk.connection.fetchval(
                "SELECT total_minor - paid_minor FROM invoice WHERE invoice_id = $1 AND state = 'issued' FOR UPDATE",
                owed.invoice_id,
            )
            if left:
                wish = Wish(PurposeKind.INVOICE, owed.customer_id, owed.currency, left, invoice_id=owed.invoice_id)
                await charges.add(desk.connection, wish, method, self._clock())

    async def _paid(self, desk: BillingDesk, charge: KeptCharge, charged: Charged, today: date) -> bool:
        customer = await desk.customer(charge.name)
        chosen = (charge.invoice_id,) if charge.invoice_id is not None else ()
        reference = f"{self._gateway_name}:{charged.payment}"
        try:
            await desk.invoicing.pay(
                customer,
                charge.minor,
                today,
                today=today,
                method=charge.method_kind.value,
                reference=reference,
                chosen=chosen,
            )
        except (BookingRefusedError, InvoiceRefusedError) as error:
            log.error("payment_not_booked", payment=reference, customer_id=charge.name, why=str(error))  # noqa: TRY400
            return False
        return True

    async def _fee(self, desk: BillingDesk, customer: Customer, payment: Payment, reference: str, today: date) -> None:
        """On the next invoice, once for each chargeback."""
        is_debit = payment.method == MethodKind.DIRECT_DEBIT
        fee = self.policy.return_fee if is_debit else self.policy.chargeback_fee
        if fee:
            entity = desk.issuers.entities[customer.legal_entity]
            text = "Returned direct debit" if is_debit else "Chargeback"
            await add_agreed(
                desk.connection,
                Agreed(
                    charge_id=f"chargeback-fee-{reference}", customer_id=customer.customer_id, kind=ChargeKind.ONE_TIME,
                    text=text, amount=parse_amount(fee, desk.currencies[customer.currency].scale),
                    tax_code=entity.usage_tax, first=today,
                ),
            )  # fmt: skip


async def collect_by(connection: Any, customer_id: str) -> MethodKind | None:
    """By what a customer's invoices are collected; None: they are not."""
    found = await connection.fetchval(
        "SELECT collect FROM payer WHERE owner_kind = 'customer' AND owner_id = $1", customer_id
    )
    return MethodKind(found) if found else None


async def set_collect_by(connection: Any, customer_id: str, kind: MethodKind | None) -> None:
    await connection.execute(_SET_COLLECT, customer_id, kind.value if kind is not None else "")
