"""Dunning, done: each action once for each invoice and step, accounts suspended and given back.

A customer's block is written down before it is carried out, under a number that counts its changes; the number is in the
key of the operation. After a crash in between, the next look carries it out: nothing is done twice, nothing forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from balance.account import AccountState
from balance.money import Currency, parse_amount
from ocs.billing.invoices.calculation import ChargeKind
from ocs.billing.invoices.customers import Agreed, Customer, add_agreed, all_accounts, list_customers
from ocs.billing.invoices.dunning import BLOCKS, Debt, Flags, Policy, Task, Verdict, judge
from ocs.billing.invoices.issuers import Issuers
from ocs.billing.moments import moment
from ocs.billing_letters import dunning_letters
from ocs.charging.operations import RechargeStatus
from ocs.charging.recharge import AccountDesk
from ocs.clock import now_ms
from ocs.delivery import queue

ACTOR: Final = "dunning"
PAGE: Final = 500
_STATES: Final = {
    "": AccountState.ACTIVE, "limit": AccountState.LIMITED, "suspend": AccountState.SUSPENDED,
    "close": AccountState.CLOSED,
}  # fmt: skip

# What is being collected is not chased meanwhile; what was paid and taken back is as old as that.
DEBTS: Final = """
    SELECT customer_id, invoice_id, number, coalesce(reopened_on, due_on), total_minor - paid_minor AS open_minor, is_disputed
    FROM invoice i WHERE customer_id = ANY($1::text[]) AND kind = 'invoice' AND state = 'issued' AND NOT EXISTS (
        SELECT FROM gateway_charge c WHERE c.invoice_id = i.invoice_id AND c.state IN ('charging', 'pending')
    ) ORDER BY 4, invoice_id
"""
STANDINGS: Final = "SELECT * FROM dunning_standing WHERE customer_id = ANY($1::text[])"
STANDING: Final = "SELECT * FROM dunning_standing WHERE customer_id = $1"
NOTE_BLOCK: Final = """
    INSERT INTO dunning_standing (customer_id, block, turn, is_carried_out) VALUES ($1, $2, 1, false)
    ON CONFLICT (customer_id) DO UPDATE SET block = $2, turn = dunning_standing.turn + 1, is_carried_out = false
"""


class Standing(msgspec.Struct, frozen=True):
    """What a customer's accounts are blocked by, which change of it this is, and whether the accounts have it."""

    customer_id: str
    block: str = ""
    turn: int = 0
    is_carried_out: bool = True
    is_exempt: bool = False
    promised_until: date | None = None


class Finding(msgspec.Struct, frozen=True):
    """A customer and the verdict; ``was`` is the block that is written down, which the accounts have if it is carried out."""

    customer: Customer
    verdict: Verdict
    was: str
    is_carried_out: bool = True

    @property
    def is_due(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.verdict.tasks) or self.verdict.block != self.was or not self.is_carried_out

    @property
    def is_something(self) -> bool:
        """Whether there is anything to do or to say."""
        return bool(self.verdict.tasks) or self.verdict.block != self.was or self.verdict.oldest_due_on is not None


class Dunning:
    """Works on one connection to PostgreSQL and the desk of the accounts."""

    def __init__(
        self,
        connection: Any,
        desk: AccountDesk,
        issuers: Issuers,
        currencies: Mapping[str, Currency],
        ways: Collection[str] = (),
    ) -> None:
        self._connection = connection
        self._ways = ways
        self._desk = desk
        self._issuers = issuers
        self._currencies = currencies

    async def look(self, customer: Customer, today: date, now: int | None = None) -> Finding:
        """Where the customer stands; nothing is done. ``now`` (milliseconds) tells his hour; None: any hour is right."""
        (found,) = await self.look_all([customer], today, now)
        return found

    async def look_all(self, customers: Sequence[Customer], today: date, now: int | None = None) -> list[Finding]:
        """The same for many, whose books are read at once."""
        names = [each.customer_id for each in customers]
        standings = {row["customer_id"]: Standing(**row) for row in await self._connection.fetch(STANDINGS, names)}
        debts: dict[str, list[Debt]] = {name: [] for name in names}
        for name, *debt in await self._connection.fetch(DEBTS, names):
            debts[name].append(Debt(*debt))
        done = await self._connection.fetch(
            "SELECT invoice_id, step FROM dunning_action WHERE invoice_id = ANY($1::bigint[])",
            [debt.invoice_id for each in debts.values() for debt in each],
        )
        acted = {tuple(row) for row in done}
        found = []
        for customer in customers:
            standing = standings.get(customer.customer_id, Standing(customer.customer_id))
            found.append(self._judged(customer, standing, debts[customer.customer_id], acted, today, now))
        return found

    async def act(self, customer: Customer, today: date, now: int | None = None) -> Finding:
        """Do what is due, and give back what was paid for. Raises BackendUnavailable; then do it again."""
        finding = await self.look(customer, today, now)
        for task in finding.verdict.tasks:
            await self._do(customer, task, today)
        if finding.verdict.block != finding.was:
            await self._connection.execute(NOTE_BLOCK, customer.customer_id, finding.verdict.block)
        await self._carry_out(customer)
        return finding

    async def relent(self, customer: Customer, today: date) -> None:
        """Give back what was paid for, at whatever hour; nothing becomes harder, and no step is taken."""
        finding = await self.look(customer, today)
        if BLOCKS.index(finding.verdict.block) < BLOCKS.index(finding.was):
            await self._connection.execute(NOTE_BLOCK, customer.customer_id, finding.verdict.block)
        await self._carry_out(customer)

    async def run(
        self,
        today: date,
        *,
        is_dry: bool,
        now: int | None = None,
        progress: Callable[[str, int, int], None] = lambda _what, _done, _total: None,
    ) -> list[Finding]:
        """Every customer; those of whom there is something to say. ``progress`` is told of each page."""
        found: list[Finding] = []
        last, done, total = "", 0, await self._connection.fetchval("SELECT count(*) FROM customer")
        while page := await list_customers(self._connection, last, PAGE):
            found += [each for each in await self.pass_over(page, today, now, is_dry=is_dry) if each.is_something]
            last, done = page[-1].customer_id, done + len(page)
            progress("customers", done, total)
        return found

    async def pass_over(
        self, customers: Sequence[Customer], today: date, now: int | None = None, *, is_dry: bool = False
    ) -> list[Finding]:
        """Look at these customers; whoever has something due is looked at again, alone, before it is done: he may have paid."""
        found = await self.look_all(customers, today, now)
        if is_dry:
            return found
        return [await self.act(each.customer, today, now) if each.is_due else each for each in found]

    async def promise(self, customer: Customer, until: date | None, *, is_exempt: bool) -> Standing:
        """Let a customer be until a day, or for good; how he stood before."""
        was = await self._standing(customer.customer_id)
        await self._connection.execute(
            "INSERT INTO dunning_standing (customer_id, promised_until, is_exempt) VALUES ($1, $2, $3) "
            "ON CONFLICT (customer_id) DO UPDATE SET promised_until = $2, is_exempt = $3",
            customer.customer_id,
            until,
            is_exempt,
        )
        return was

    # --- inside -----------------------------------------------------------------------------------------------------

    def _judged(
        self,
        customer: Customer,
        standing: Standing,
        debts: Sequence[Debt],
        acted: set[tuple[Any, ...]],
        today: date,
        now: int | None,
    ) -> Finding:
        policy = self._policy(customer)
        least = parse_amount(policy.least_debt, self._currencies[customer.currency].digits)
        flags = Flags(standing.is_exempt, standing.promised_until)
        clock = moment(now).astimezone(ZoneInfo(customer.time_zone)).time() if now is not None else None
        verdict = judge(policy, least, debts, flags, acted, today, standing.block, clock)
        return Finding(customer, verdict, standing.block, standing.is_carried_out)

    def _policy(self, customer: Customer) -> Policy:
        policies = self._issuers.dunning
        return policies.get(self._issuers.entities[customer.legal_entity].dunning, Policy(name="none", steps=()))

    async def _standing(self, customer_id: str) -> Standing:
        row = await self._connection.fetchrow(STANDING, customer_id)
        return Standing(**row) if row is not None else Standing(customer_id)

    async def _do(self, customer: Customer, task: Task, today: date) -> None:
        """One action of one step: words leave by mail or SMS if it is done, a fee is a charge on the next invoice."""
        async with self._connection.transaction():
            status: str = await self._connection.execute(
                "INSERT INTO dunning_action (invoice_id, step, done_on, text) VALUES ($1, $2, $3, $4) "
                "ON CONFLICT (invoice_id, step) DO NOTHING",
                task.debt.invoice_id,
                task.step.name,
                today,
                task.step.text,
            )
            if not status.endswith("1"):
                return
            if task.step.action == "late_fee":
                await add_agreed(self._connection, self._fee(customer, task, today))
            entity, currency = self._issuers.entities[customer.legal_entity], self._currencies[customer.currency]
            for letter in dunning_letters(customer, task, entity, currency, self._ways):
                await queue.post(self._connection, letter, now_ms())

    def _fee(self, customer: Customer, task: Task, today: date) -> Agreed:
        entity = self._issuers.entities[customer.legal_entity]
        return Agreed(
            charge_id=f"late-fee-{task.debt.invoice_id}-{task.step.after_days}",
            customer_id=customer.customer_id,
            kind=ChargeKind.ONE_TIME,
            text=f"{task.step.text or 'Late fee'} ({task.debt.number})",
            amount=parse_amount(task.step.fee, self._currencies[customer.currency].scale),
            tax_code=entity.usage_tax,
            first=today,
        )

    async def _carry_out(self, customer: Customer) -> None:
        standing = await self._standing(customer.customer_id)
        if standing.is_carried_out:
            return
        for account_id in await all_accounts(self._connection, customer):
            result = await self._desk.set_state(
                account_id,
                _STATES[standing.block],
                key=f"dunning-{standing.turn}",
                actor=ACTOR,
                reason=standing.block or "paid",
                block=ACTOR,
            )
            assert result.status is not RechargeStatus.KEY_REUSED, "a turn is carried out in one way"
        await self._connection.execute(
            "UPDATE dunning_standing SET is_carried_out = true WHERE customer_id = $1 AND turn = $2",
            customer.customer_id,
            standing.turn,
        )
