"""A customer's payment given back by the way it came: taken from the payment and written down, asked for, booked.

Whoever dies in between is followed by the collector, which asks for the same under the same key. The gateway's message of it
bears that key, too: whichever of answer and message is the first, it is booked once.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import date
from typing import Any, Final, TypeAlias

import structlog

from ocs.billing.invoices.book import InvoiceRefusedError
from ocs.billing.invoices.payments import Payment, find_payment, payments_of
from ocs.billing.invoices.refunds import find_refund
from ocs.billing_desk import BillingDesk, NotThereError
from ocs.clock import day_of
from ocs.invoicing import BookingRefusedError
from ocs.payments import kept_refunds
from ocs.payments.gateway import Gateway, GatewayRefusedError, MethodKind, TakenBack
from ocs.payments.kept_refunds import KeptRefund, RefundState

log = structlog.get_logger()

WHY_LONGEST: Final = 200
Desks: TypeAlias = Callable[[], AbstractAsyncContextManager[BillingDesk]]


class Refunding:
    """Raises BackendUnavailable when a part is away: it is filed by then, and the same again, or the collector, goes on."""

    def __init__(self, gateway: Gateway, desks: Desks, clock: Callable[[], int]) -> None:
        self._gateway = gateway
        self._desks = desks
        self._clock = clock

    async def refund(self, customer_id: str, payment_id: int, minor: int, *, key: str) -> KeptRefund:
        """Give back a part of a payment; what it had paid by that is open again. The same key again: the same refund.

        Raises InvoiceRefusedError; GatewayRefusedError: then the money is where it was; BookingRefusedError: it is given.
        """
        assert minor > 0, "a refund gives money"
        async with self._desks() as desk:
            payment = await find_payment(desk.connection, payment_id)
            if payment is None or payment.customer_id != customer_id:
                raise NotThereError(f"{customer_id} has no payment {payment_id}: ocs bill payments {customer_id}")
            if not came_by(self._gateway.name, payment):
                raise InvoiceRefusedError(
                    f"payment {payment_id} did not come through {self._gateway.name}: give the money back, then book that "
                    "by its reference, without the payment"
                )
            now_ms = self._clock()
            kept = await kept_refunds.file(desk.connection, payment, key, minor, day_of(now_ms), now_ms)
        kept = await self._go_on(kept)
        if kept.state is RefundState.REFUSED:
            raise GatewayRefusedError(f"{kept.why}; payment {payment_id} has the money again, {key} is done with")
        return kept

    async def resume(self) -> bool:
        """Bring one to its end whose worker has died, or could reach nobody; False: there is none."""
        async with self._desks() as desk:
            kept = await kept_refunds.claim(desk.connection, self._clock())
        if kept is None:
            return False
        try:
            await self._go_on(kept)
        except BookingRefusedError as error:
            log.error("refund_not_booked", refund_id=kept.refund_id, customer_id=kept.customer_id, why=str(error))  # noqa: TRY400
        return True

    async def told(self, told: TakenBack) -> bool:
        """What the gateway says of a refund, if it is one of ours; one that fails after it was given is a payment again."""
        number = told.our_key.rpartition(":")[2]
        async with self._desks() as desk:
            kept = await kept_refunds.find(desk.connection, int(number)) if number.isdecimal() else None
            if kept is None or kept.gateway_key != told.our_key:
                return False
            if told.is_undone:
                kept = await self._refused(desk, kept, f"it has failed {told.why}".rstrip())
            else:
                kept = await kept_refunds.note_given(desk.connection, kept, told.reference, self._today())
        await self._go_on(kept)
        if told.is_undone and kept.state is not RefundState.REFUSED:
            await self._pay_again(kept, told.reference)
        return True

    # --- inside -------------------------------------------------------------------------------------------------------

    async def _go_on(self, kept: KeptRefund) -> KeptRefund:
        """No connection is held while the gateway thinks."""
        if kept.state is RefundState.ASKING:
            kept = await self._ask(kept)
        if kept.state is RefundState.GIVEN:
            async with self._desks() as desk:
                refund = await find_refund(desk.connection, kept.method, kept.key)
                assert refund is not None, "it is given"
                await desk.invoicing.book_refund(refund)
                await kept_refunds.note_booked(desk.connection, kept, self._clock())
        return kept

    async def _ask(self, kept: KeptRefund) -> KeptRefund:
        why = reference = ""
        try:
            reference = await self._gateway.refund(kept.payment, kept.amount_minor, key=kept.gateway_key)
        except GatewayRefusedError as error:
            why = str(error)
        async with self._desks() as desk:
            if reference:
                return await kept_refunds.note_given(desk.connection, kept, reference, self._today())
            return await self._refused(desk, kept, why)

    async def _refused(self, desk: BillingDesk, kept: KeptRefund, why: str) -> KeptRefund:
        log.warning("refund_refused", payment=kept.paid_as, customer_id=kept.customer_id, why=why)
        return await kept_refunds.note_refused(desk.connection, kept, why[:WHY_LONGEST], self._clock())

    async def _pay_again(self, kept: KeptRefund, reference: str) -> None:
        today = self._today()
        async with self._desks() as desk:
            await desk.invoicing.pay(
                await desk.customer(kept.customer_id), kept.amount_minor, today, today=today, method=kept.method,
                reference=f"{self._gateway.name}:{reference}:undone", chosen=kept.invoices,
            )  # fmt: skip

    def _today(self) -> date:
        return day_of(self._clock())


def came_by(gateway_name: str, payment: Payment) -> bool:
    """A payment that the gateway can give back."""
    return payment.method in set(MethodKind) and payment.reference.startswith(f"{gateway_name}:")


async def check_by_hand(connection: Any, gateway_name: str, customer_id: str, method: str, reference: str) -> None:
    """A refund that is only booked must not stand for one that the gateway has to give. Raises InvoiceRefusedError."""
    if method not in set(MethodKind) or await find_refund(connection, method, reference) is not None:
        return
    able = [
        each.payment_id
        for each in await payments_of(connection, customer_id)
        if each.method == method and each.credit_minor and came_by(gateway_name, each)
    ]
    if able:
        raise InvoiceRefusedError(
            f"{customer_id} has paid by {method} through {gateway_name}: name the payment that is to be given back, such as "
            f"{able[0]}; or the method by which you have given it back, such as bank"
        )
