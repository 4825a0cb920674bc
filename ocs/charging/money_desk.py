"""The desk for money that moves beside calls: between accounts, whole accounts into others, and what takes entries back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, Protocol

import structlog

from balance.account import Account, Hold
from balance.money import Amount
from ocs.charging.decision import Decision
from ocs.charging.life import blocks_of
from ocs.charging.merging import arrived, finished, left, merger_key, why_not
from ocs.charging.notices import Change
from ocs.charging.operations import Operation, OperationKind, RechargeResult, RechargeStatus
from ocs.charging.recharge import AccountDesk
from ocs.charging.session import Merger, Record, Transfer
from ocs.charging.session_search import FIRST, SessionQuery
from ocs.charging.subscribers import SubscriberChange
from ocs.charging.transfers import STUCK_MS, ended, filed_later, sent, transfer_key

log = structlog.get_logger()

LOOK_AGAIN_MS: Final = 3_600_000
MOVED_AT_ONCE: Final = 100
_DONE: Final = frozenset({RechargeStatus.APPLIED, RechargeStatus.REPLAYED})
_PAYEE: Final = {
    RechargeStatus.ACCOUNT_UNKNOWN: RechargeStatus.PAYEE_UNKNOWN,
    RechargeStatus.ACCOUNT_CLOSED: RechargeStatus.PAYEE_CLOSED,
}

REVERSIBLE: Final = frozenset({"top_up", "automatic_top_up", "adjustment", "session", "event"})
"""Kinds of entries that can be taken back as they stand: a transfer is taken back by one in the other direction, a payment of
invoices where invoices are kept."""

RECORDS: Final = frozenset({"session", "event"})


class Entry(Protocol):
    """An entry of the journal, as the books have it."""

    @property
    def kind(self) -> str: ...

    @property
    def currency(self) -> str: ...

    @property
    def changes(self) -> tuple[Hold, ...]: ...


class MoneyDesk:
    """Raises what AccountDesk does."""

    def __init__(self, desk: AccountDesk, clock: Callable[[], int]) -> None:
        self._desk = desk
        self._clock = clock

    async def transfer(
        self, payer: str, payee: str, amount: Amount, currency: str, *, key: str, actor: str, reason: str
    ) -> RechargeResult:
        """Move money; the result is the payer's. What the payee refuses comes back at once, and its key is free again."""
        assert amount > 0, "money moves forward"
        operation = Operation(OperationKind.TRANSFER, payer, key, actor, reason, amount, currency, payee=payee)
        way_key = transfer_key(payer, key)

        def decide(
            account: Account | None, records: Mapping[str, Record | None], now_ms: int
        ) -> Decision[tuple[RechargeResult, Transfer | None]] | None:
            if account is None:
                return None
            decision = sent(operation, payee, account, records.get(operation.record_key), now_ms)
            there = dict(decision.records).get(way_key) or records.get(way_key)
            way = there if isinstance(there, Transfer) else None
            return Decision(
                (decision.answer, way), decision.account, decision.records, decision.entries, decision.is_replay
            )

        unknown: tuple[RechargeResult, Transfer | None] = (RechargeResult(RechargeStatus.ACCOUNT_UNKNOWN), None)
        result, way = await self._desk.do(payer, (operation.record_key, way_key), decide, unknown)
        refusal = await self.finish(way) if way is not None and result.status in _DONE else None
        return result if refusal is None else RechargeResult(refusal, await self._desk.account(payer))

    async def finish(self, way: Transfer) -> RechargeStatus | None:
        """Bring money that is on its way to its end; why the payee refused it, if so. Supervision calls it, too."""
        if self._clock() - way.at_ms > STUCK_MS:
            log.error(
                "transfer_stuck", payer=way.account_id, payee=way.payee, key=way.key, cure="look at both journals"
            )
            await self._file(filed_later(way, self._clock() + LOOK_AGAIN_MS))
            return None
        key = transfer_key(way.account_id, way.key)
        reason = f"from {way.account_id}: {way.reason}".rstrip(": ")
        result = await self._desk.top_up(
            way.payee, way.amount, way.currency, key=key, actor=way.actor, reason=reason, kind=OperationKind.TRANSFER
        )
        refusal = None if result.status in _DONE else _PAYEE.get(result.status, result.status)
        await self._desk.do(
            way.account_id, (key,), lambda account, records, now_ms: None
            if account is None
            else ended(way, refusal, account, records.get(key), now_ms), False,
        )  # fmt: skip
        return refusal

    async def merge(self, giver: str, taker: str, *, key: str, actor: str, reason: str) -> RechargeResult:
        """Move all that an account has to another one, and close it; the result is the giver's.

        Refused while it has open sessions: they hold what would move. A repeat with the same key brings it to its end.
        """
        assert giver != taker, "an account is not merged into itself"
        operation = Operation(OperationKind.MERGE, giver, key, actor, reason, payee=taker)
        into = await self._desk.account(taker)
        page = await self._desk.find_sessions(SessionQuery(giver), FIRST, MOVED_AT_ONCE)
        refusal = RechargeStatus.IN_USE if page.sessions else None
        refusal = RechargeStatus.IN_LEVELS if await self._desk.has_below(giver) else refusal
        way_key = merger_key(giver, key)

        def decide(
            account: Account | None, records: Mapping[str, Record | None], now_ms: int
        ) -> Decision[tuple[RechargeResult, Merger | None]] | None:
            if account is None:
                return None
            record = records.get(operation.record_key)
            if record is None and refusal is not None:
                why = why_not(account, into) or refusal  # what waiting does not cure is said first
                return Decision((RechargeResult(why, account), None), account)
            decision = left(operation, into, account, record, now_ms)
            there = dict(decision.records).get(way_key) or records.get(way_key)
            way = there if isinstance(there, Merger) else None
            return Decision(
                (decision.answer, way), decision.account, decision.records, decision.entries, decision.is_replay
            )

        unknown: tuple[RechargeResult, Merger | None] = (RechargeResult(RechargeStatus.ACCOUNT_UNKNOWN), None)
        result, way = await self._desk.do(giver, (operation.record_key, way_key), decide, unknown)
        if way is not None and result.status in _DONE:
            await self.finish_merger(way)
        return result

    async def finish_merger(self, way: Merger) -> None:
        """Bring a merger that is on its way to its end. Supervision calls it, too."""
        key = merger_key(way.account_id, way.key)
        done_key = f"op:{way.into}:{key}"
        is_there = await self._desk.do(
            way.into, (done_key,), lambda account, records, now_ms: None
            if account is None
            else arrived(way, account, records.get(done_key), self._desk.rules, now_ms), False,
        )  # fmt: skip
        assert is_there, "accounts are closed, never removed"
        self._desk.tell_sessions(way.into, Change.PAID_IN)
        if blocks_of(way.account):
            self._desk.tell_sessions(way.into, Change.SUSPENDED)
        subscribers = self._desk.subscribers
        while found := await subscribers.page(way.account_id, "", "", MOVED_AT_ONCE):
            for each in found:
                await subscribers.change(each.subscriber_id, SubscriberChange(account_id=way.into))
        await self._desk.do(way.account_id, (key,), lambda account, records, _now_ms: None
            if account is None
            else finished(way, account, records.get(key)), False,
        )  # fmt: skip

    async def take_back(
        self, account_id: str, entry_number: int, entry: Entry, amount: Amount, *, actor: str, reason: str
    ) -> RechargeResult:
        """Undo an entry, or ``amount`` of it (0: all), by a new one that names it; once for each entry."""
        most = abs(sum(change.amount for change in entry.changes))
        if entry.kind not in REVERSIBLE or not most or amount > most:
            return RechargeResult(RechargeStatus.NOT_REVERSIBLE, await self._desk.account(account_id))
        kind = OperationKind.REFUND if entry.kind in RECORDS else OperationKind.REVERSAL
        return await self._desk.take_back(
            Operation(
                kind, account_id, reversal_key(entry_number), actor, f"of entry {entry_number}: {reason}".rstrip(": "),
                amount, entry.currency, takes_back=entry.changes,
            )
        )  # fmt: skip

    async def _file(self, way: Transfer) -> None:
        key = transfer_key(way.account_id, way.key)
        await self._desk.do(way.account_id, (key,), partial(_filed, key, way), False)


def reversal_key(entry_number: int) -> str:
    """The key, and the journal's reference, of what takes an entry back: there is one for each."""
    return f"reversal:{entry_number}"


def _filed(
    key: str, way: Transfer, account: Account | None, records: Mapping[str, Record | None], _now_ms: int
) -> Decision[bool] | None:
    if account is None or not isinstance(records.get(key), Transfer):
        return None
    return Decision(True, account, ((key, way),))
