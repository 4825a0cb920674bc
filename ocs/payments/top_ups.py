"""Automatic top-ups, done: an account is looked at when its journal says that its money has changed, a charge is written
down before the gateway is asked, and what it says is booked under the payment's id.

    look (entry of the journal) ──► charge written ──► gateway asked ──► credited ──► noted
                                    key: the cause      key: the cause   key: the payment

Whatever is killed in between, and however many do it, each step is done once: its key is that of what caused it. The
gateway's message and its answer lead to the same two steps. Charging never waits for any of this.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import structlog

from ocs.billing.failures import FAILURES, unavailable
from ocs.charging.life import zone_of
from ocs.charging.recharge import AccountDesk
from ocs.charging.service import OnlineCharging
from ocs.payments import charges, methods, rules
from ocs.payments.automatic import LOOKED_BACK_MS, ChargeNow, Nothing, Rule, Stop, Wait, after_failure, judge
from ocs.payments.charges import KeptCharge, Wish
from ocs.payments.desk import DONE, CardDesk
from ocs.payments.gateway import Charged, ChargeState, Owner, OwnerKind, Paid, PurposeKind
from ocs.payments.rules import Due
from ocs.payments.settings import AutomaticTopUps
from ocs.payments.told import FAILED, STOPPED, record_key, told

log = structlog.get_logger()

ACTOR: Final = "automatic_top_up"


class TopUps:
    """Every method raises BackendUnavailable: what was not done is done by the next who looks."""

    def __init__(
        self,
        pool: Any,
        accounts: AccountDesk,
        cards: CardDesk,
        policy: AutomaticTopUps,
        online: OnlineCharging,
        clock: Callable[[], int],
    ) -> None:
        self._pool = pool
        self._accounts = accounts
        self._cards = cards
        self.policy = policy
        self._online = online
        self._clock = clock

    async def rule(self, account_id: str) -> Rule | None:
        async with self._connection() as connection:
            return await rules.find_rule(connection, account_id)

    async def put_rule(self, rule: Rule) -> None:
        """From the account's next entry on, it is looked at."""
        async with self._connection() as connection:
            await rules.put_rule(connection, rule)

    async def drop_rule(self, account_id: str) -> Rule | None:
        """What was there."""
        async with self._connection() as connection:
            return await rules.drop_rule(connection, account_id)

    async def history(self, account_id: str, limit: int) -> list[KeptCharge]:
        """The newest first."""
        async with self._connection() as connection:
            return await charges.charges_of(connection, PurposeKind.AUTOMATIC_TOP_UP, account_id, limit=limit)

    async def look(self) -> bool:
        """Look at one account whose money has changed, and write down what is to be charged; False: there was none."""
        async with self._connection() as connection, rules.due_rule(connection, self._clock()) as due:
            if due is not None:
                await self._look_at(connection, due)
        return due is not None

    async def settle(self, charge: KeptCharge, charged: Charged) -> None:
        """Do what has to follow from what the gateway says of a charge, once."""
        if charged.state is ChargeState.FAILED:
            await self._failed(charge, charged)
            return
        is_booked = charged.state is not ChargeState.PAID or await self._credited(charge, charged)
        async with self._connection() as connection, connection.transaction():
            noted = await charges.note(connection, charge, charged, self._clock(), is_booked=is_booked)
            if noted and charged.state is ChargeState.PAID:
                await rules.succeeded(connection, charge.name)

    # --- inside -----------------------------------------------------------------------------------------------------------

    async def _look_at(self, connection: Any, due: Due) -> None:
        rule, now_ms = due.rule, self._clock()
        account = await self._accounts.account(rule.account_id)
        if account is None:
            await rules.looked(connection, due)
            return
        zone = zone_of(account, self._online.rates.time_zone_of(account.rate_plan))
        past = await charges.past_of(connection, rule.account_id, now_ms - LOOKED_BACK_MS)
        method = await methods.find_method(connection, Owner(OwnerKind.ACCOUNT, rule.account_id), rule.method_id)
        match judge(rule, self.policy, account, past, zone, now_ms, has_method=method is not None):
            case Nothing():
                await rules.looked(connection, due)
            case Wait(until_ms, why):
                await self._tell(rule.account_id, FAILED, f"automatic-top-up:waits:{due.cause}", why)
                await rules.wait(connection, rule.account_id, until_ms, rule.failures)
            case Stop(why):
                await self._tell(rule.account_id, STOPPED, f"automatic-top-up:stopped:{due.cause}", why)
                await rules.stop(connection, rule.account_id, why)
                await rules.looked(connection, due)
            case ChargeNow():
                assert method is not None, "it was judged with one"
                wish = Wish(PurposeKind.AUTOMATIC_TOP_UP, rule.account_id, rule.currency, rule.minor, due.cause)
                await charges.add(connection, wish, method, now_ms)
                await rules.looked(connection, due)

    async def _credited(self, charge: KeptCharge, charged: Charged) -> bool:
        purpose = charge.asked.purpose
        paid = Paid(charged.payment, purpose, charge.currency, charge.minor, charge.made_at_ms)
        return (await self._cards.book(paid)).status in DONE

    async def _failed(self, charge: KeptCharge, charged: Charged) -> None:
        """Told first and noted then: under the charge's number, so that a repeat tells nothing more."""
        async with self._connection() as connection, connection.transaction():
            held = await charges.find(connection, charge.charge_id, is_held=True)
            if held is None or held.state not in ("charging", "pending"):
                return
            key = f"automatic-top-up:failed:{charge.charge_id}"
            await self._tell(charge.name, FAILED, key, charged.why)
            rule = await rules.find_rule(connection, charge.name)
            if rule is not None:
                now_ms = self._clock()
                again_ms = after_failure(rule, self.policy, now_ms, is_final=charged.is_final)
                if again_ms is None:
                    await self._tell(charge.name, STOPPED, f"automatic-top-up:stopped:{charge.charge_id}", charged.why)
                    await rules.stop(connection, charge.name, charged.why)
                await rules.wait(connection, charge.name, again_ms or now_ms, rule.failures + 1)
            await charges.note(connection, charge, charged, self._clock())
        log.warning("automatic_top_up_failed", account_id=charge.name, why=charged.why, is_final=charged.is_final)

    async def _tell(self, account_id: str, event: str, key: str, why: str) -> None:
        decide = partial(told, event=event, key=key, why=why, actor=ACTOR)
        await self._accounts.do(account_id, (record_key(account_id, key),), decide, False)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        try:
            async with self._pool.acquire() as connection:
                yield connection
        except FAILURES as error:
            raise unavailable(error) from error
