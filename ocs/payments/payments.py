"""All that has to do with a payment gateway, built together; and its messages, each taken to whom it concerns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, assert_never

import structlog

from balance.money import Currency
from ocs.billing.failures import FAILURES, unavailable
from ocs.charging.operations import RechargeResult, RechargeStatus
from ocs.charging.recharge import AccountDesk
from ocs.charging.service import OnlineCharging
from ocs.clock import day_of
from ocs.payments import charges
from ocs.payments.charges import KeptCharge
from ocs.payments.desk import CardDesk, History
from ocs.payments.gateway import (
    Charged,
    ChargeState,
    Gateway,
    MethodAdded,
    MethodChanged,
    MethodGone,
    NotPaid,
    Paid,
    Purpose,
    PurposeKind,
    TakenBack,
    Told,
)
from ocs.payments.invoices import Collecting
from ocs.payments.method_desk import MethodDesk
from ocs.payments.refunding import Desks, Refunding
from ocs.payments.settings import PaymentsFile, load_payments
from ocs.payments.top_ups import TopUps
from ocs.posted_once import posted_anywhere

log = structlog.get_logger()


class Payments(NamedTuple):
    """``pool`` is PostgreSQL's, ``desks`` gives a desk of billing on it. Every method raises BackendUnavailable: the gateway tells it again, and then it is done."""

    gateway: Gateway
    pool: Any
    cards: CardDesk
    methods: MethodDesk
    top_ups: TopUps
    invoices: Collecting
    refunds: Refunding
    desks: Desks
    clock: Callable[[], int]

    def use(self, file: PaymentsFile) -> None:
        """Go by another file from now on; what is under way comes to its end."""
        self.cards.blocks_after_chargeback = file.chargebacks.block_account
        self.top_ups.policy = file.automatic_top_up
        self.invoices.policy = file.collection

    def reload(self, config_dir: Path) -> None:
        """SIGHUP: the file whole, or the one before with every fault in the log."""
        found = load_payments(config_dir)
        if isinstance(found, PaymentsFile):
            self.use(found)
        else:
            log.error("payments_refused", faults=[str(fault) for fault in found])

    async def take(self, told: Told) -> RechargeResult | None:
        """Do what a message of the gateway asks for, once; None: there was nothing to book."""
        match told:
            case MethodAdded(method_id, owner):
                await self.methods.added(owner, method_id)
            case MethodChanged(method_id):
                await self.methods.changed(method_id)
            case MethodGone(method_id):
                await self.methods.gone(method_id)
            case NotPaid(purpose, charged):
                await self._settle(purpose, charged)
            case Paid():
                return await self._paid(told)
            case TakenBack():
                return await self._taken_back(told)
            case _:
                assert_never(told)
        return None

    async def settle(self, charge: KeptCharge, charged: Charged) -> None:
        """What the gateway says of a charge of ours."""
        if charge.purpose is PurposeKind.INVOICE:
            async with self.desks() as desk:
                await self.invoices.settle(desk, charge, charged, day_of(self.clock()))
        else:
            await self.top_ups.settle(charge, charged)

    async def begin_invoices(self) -> None:
        """Write down which invoices are to be collected now."""
        async with self.desks() as desk:
            await self.invoices.begin(desk, day_of(self.clock()))

    async def _paid(self, paid: Paid) -> RechargeResult | None:
        if await self._settle(paid.purpose, Charged(paid.payment, ChargeState.PAID)):
            return RechargeResult(RechargeStatus.APPLIED)
        if paid.purpose.kind is PurposeKind.INVOICE:
            log.error(
                "payment_not_booked", payment=paid.payment, customer_id=paid.purpose.name, why="it is no charge of ours"
            )
            return RechargeResult(RechargeStatus.ACCOUNT_UNKNOWN)
        return await self.cards.book(paid)

    async def _settle(self, purpose: Purpose, charged: Charged) -> bool:
        """False: it is no charge that we know of."""
        if not purpose.number:
            return False
        try:
            async with self.pool.acquire() as connection:
                charge = await charges.find(connection, purpose.number)
        except FAILURES as error:
            raise unavailable(error) from error
        if charge is None or charge.name != purpose.name:
            return False
        await self.settle(charge, charged)
        return True

    async def _taken_back(self, told: TakenBack) -> RechargeResult | None:
        purpose = await self.gateway.purpose_of(told.payment)
        if purpose is None:
            return None
        if purpose.kind is PurposeKind.INVOICE:
            if await self.refunds.told(told):
                return RechargeResult(RechargeStatus.APPLIED)
            async with self.desks() as desk:
                is_ours = await self.invoices.take_back(desk, told, day_of(self.clock()))
            return RechargeResult(RechargeStatus.APPLIED if is_ours else RechargeStatus.ACCOUNT_UNKNOWN)
        return RechargeResult(await self.cards.take_back(purpose.name, told))


def open_payments(
    gateway: Gateway,
    pool: Any,
    redis: Any,
    accounts: AccountDesk,
    history: History,
    currencies: Mapping[str, Currency],
    file: PaymentsFile,
    online: OnlineCharging,
    desks: Desks,
    clock: Callable[[], int],
) -> Payments:
    """Build it all on what the process has."""
    cards = CardDesk(
        gateway, accounts, history, partial(posted_anywhere, pool, redis), currencies, clock,
        blocks_after_chargeback=file.chargebacks.block_account,
    )  # fmt: skip
    top_ups = TopUps(pool, accounts, cards, file.automatic_top_up, online, clock)
    invoices = Collecting(gateway.name, file.collection, clock)
    refunds = Refunding(gateway, desks, clock)
    return Payments(gateway, pool, cards, MethodDesk(gateway, pool), top_ups, invoices, refunds, desks, clock)
