"""Re-rating: records at the prices they should have had, as adjustments of their accounts. Exactly once.

A preview keeps a journal of differences in PostgreSQL. Applying it posts one adjustment an account, by the same
operation as the API's, under a key of the run. The key makes a repeat harmless for as long as the store remembers it,
and the journal's reference for ever; between the two stands the outbox, which is looked through when a run goes on
after an interruption. Records are never changed: what one costs now is its own cost and its applied differences.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from enum import Enum
from typing import Any, Final

import asyncpg
import msgspec

from balance.money import Amount
from balance.valkey import keys
from balance.valkey.codec import decode_account
from ocs.billing import reratings
from ocs.billing.cdrs import CdrRow
from ocs.billing.failures import FAILURES, unavailable
from ocs.billing.reratings import AccountLine, Line, Run, RunState, Selection
from ocs.charging.cdr import CdrGroup
from ocs.charging.operations import RechargeResult, RechargeStatus
from ocs.charging.recharge import AccountDesk
from ocs.posted_once import posted_entry
from ocs.rating.charge import back_at
from ocs.rating.price import Price, Tariff, cost_of
from ocs.rating.ratebook import RateBook
from ocs.rating.tariffs import RatingFault
from ocs.rating.terms import Tiering, as_used, chosen_at_ms, price_in, terms_of
from ocs.rating.timetable import going_on, in_progress
from ocs.rating.units import UnitKind

ACTOR: Final = "rerating"
CONNECT_S_MAX: Final = 5
PAGE: Final = 1000
_NO_COUNTS: Final[Mapping[int, int]] = {}
_DONE: Final = frozenset({RechargeStatus.APPLIED, RechargeStatus.REPLAYED})


class RunRefusedError(Exception):
    """The run cannot be applied or rolled back; the text says why and what to do."""


class Direction(Enum):
    """What is posted: the differences, or the same back."""

    APPLY = "apply"
    UNDO = "undo"

    def key(self, run_id: str) -> str:
        """Name the adjustment in an account: the idempotency key, and the journal's reference."""
        return f"rerate-{run_id}" if self is Direction.APPLY else f"rerate-{run_id}-undo"


class Preview(msgspec.Struct):
    """What was found; ``run_id`` is empty where nothing costs something else. ``unpriced`` counts records by reason."""

    run_id: str = ""
    records: int = 0
    lines: list[Line] = []
    accounts: list[AccountLine] = []
    unpriced: dict[str, int] = {}


@asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[Any]:
    """A connection whose failures are BackendUnavailable."""
    try:
        connection = await asyncpg.connect(dsn, timeout=CONNECT_S_MAX)
        try:
            yield connection
        finally:
            await connection.close()
    except FAILURES as error:
        raise unavailable(error) from error


# --- preview --------------------------------------------------------------------------------------------------------


async def preview(
    dsn: str, redis: Any, book: RateBook, selection: Selection, plan: str, now_ms: int, progress: Callable[[int], None]
) -> Preview:
    """Price the selected records by the book, each at its own instant, and keep the differences as a run.

    ``plan`` empty: the plan that each record was rated by, or its account's of now where the record does not say. Raises BackendUnavailable.
    """
    found = Preview()
    sums: dict[str, tuple[str, Amount, int]] = {}
    plans = _Plans(redis, plan)
    async with _connected(dsn) as connection:
        async for record, cost in reratings.records(connection, selection):
            found.records += 1
            if found.records % PAGE == 0:
                progress(found.records)
            counts = await reratings.counts(connection, record.account_id, _slots_for_volume(record))
            priced = price_anew(book, await plans.of(record), record, counts)
            if isinstance(priced, str):
                found.unpriced[priced] = found.unpriced.get(priced, 0) + 1
            elif priced[0] != cost:
                found.lines.append(Line(record.account_id, record.entry_number, cost, *priced))
                _, amount, records = sums.get(record.account_id, ("", 0, 0))
                sums[record.account_id] = record.currency, amount + cost - priced[0], records + 1
        found.accounts = [AccountLine(name, *each) for name, each in sums.items()]
        if found.lines:
            found.run_id = secrets.token_hex(6)
            run = Run(found.run_id, now_ms, selection_text(selection), book.version, RunState.PREVIEWED)
            await reratings.store_run(connection, run, found.lines, found.accounts)
    return found


def price_anew(
    book: RateBook, plan: str, record: CdrRow, counts: Mapping[int, int] = _NO_COUNTS
) -> tuple[Amount, str] | str:
    """What a record costs by a book, and by which lines of it; in words why it has no price there.

    ``counts`` are what was counted in all by the counters of its tiers for volume: what these have given back is more or less
    by other prices, too.
    """
    total, sources = 0, []
    for group in record.groups:
        tariff, began_ms = _tariff_of(book, plan, record, group)
        if not isinstance(tariff, Tariff):
            return tariff.value
        price = price_in(tariff.price, UnitKind(group.unit_kind))
        if book.currency_of(plan) != record.currency or price is None:
            return "another currency or unit"
        price = as_used(_price_of_part(book.lasting(price, began_ms, group.used), group), group.price)
        if price is None:
            return "tiers over a period, in which it was not counted"
        total += cost_of(price, group.used)
        for slot in _slots_of(group.price):
            total -= back_at(price, counts.get(slot, 0)) - back_at(group.price, counts.get(slot, 0))
        sources.append(tariff.source)
    return total, ", ".join(dict.fromkeys(sources))


def _tariff_of(book: RateBook, plan: str, record: CdrRow, group: CdrGroup) -> tuple[Tariff | RatingFault, int]:
    """What a group of a record is rated by, and from which instant: that of its clock, if it had one price throughout."""
    service, key, origin = record.service, (group.rating_group, group.service_ids), record.from_where_of(group)
    began_ms = group.from_ms or record.started_at_ms
    tariff = book.tariff_for(plan, service, *key, record.destination, began_ms, origin)
    if isinstance(tariff, Tariff) and not group.from_ms:
        at_ms = chosen_at_ms(tariff.price, began_ms, record.ended_at_ms, group.used)
        if at_ms != began_ms:
            return book.tariff_for(plan, service, *key, record.destination, at_ms, origin), at_ms
    return tariff, began_ms


def _slots_for_volume(record: CdrRow) -> list[int]:
    """Name the counters in which a record's units had the price of all that was counted there."""
    return [slot for group in record.groups for slot in _slots_of(group.price)]


def _slots_of(price: Price) -> list[int]:
    terms = terms_of(price)
    if terms.period is None or terms.tiering is not Tiering.VOLUME:
        return []
    return [each.slot for each in terms.period.counted[-1:]]


def _price_of_part(price: Price, group: CdrGroup) -> Price:
    """Give the price of a use that went on from another price: no fee, and what was paid ahead then is paid."""
    carried = terms_of(group.price).carried
    price = in_progress(price) if group.from_ms else price
    return price if carried is None else going_on(price, carried.units, carried.cost)


def selection_text(selection: Selection) -> str:
    """Say what was selected."""
    from ocs.rates.moments import moment_text

    parts = [f"{moment_text(selection.since_ms)}..{moment_text(selection.until_ms)}"]
    for name in ("account_id", "destination", "rate_version"):
        value = getattr(selection, name)
        parts += [f"{name.partition('_')[0]} {value}"] if value else []
    return ", ".join(parts)


class _Plans:
    """By which plan each record is rated anew. Older records do not say: their accounts are asked, each once."""

    def __init__(self, redis: Any, plan: str) -> None:
        self._redis = redis
        self._plan = plan
        self._partitions = 0
        self._known: dict[str, str] = {}

    async def of(self, record: CdrRow) -> str:
        account_id = record.account_id
        if self._plan or record.rate_plan:
            return self._plan or record.rate_plan
        if account_id not in self._known:
            self._partitions = self._partitions or int(await self._redis.get(keys.PARTITIONS_KEY) or 0)
            value = None
            if self._partitions:
                value = await self._redis.get(
                    keys.account_key(keys.partition_of(account_id, self._partitions), account_id)
                )
            self._known[account_id] = decode_account(value).rate_plan if value else ""
        return self._known[account_id]


# --- apply and roll back --------------------------------------------------------------------------------------------

#   state        apply        roll back
#   previewed    applying     refused: nothing was done
#   applying     applying     refused: apply first, it goes on where it stopped
#   applied      refused      undoing
#   undoing      refused      undoing
#   undone       refused      refused
_BEGINS: Final = {
    (RunState.PREVIEWED, Direction.APPLY): RunState.APPLYING,
    (RunState.APPLYING, Direction.APPLY): RunState.APPLYING,
    (RunState.APPLIED, Direction.UNDO): RunState.UNDOING,
    (RunState.UNDOING, Direction.UNDO): RunState.UNDOING,
}
_ENDS: Final = {Direction.APPLY: RunState.APPLIED, Direction.UNDO: RunState.UNDONE}


async def settle(
    dsn: str, redis: Any, desk: AccountDesk, run_id: str, direction: Direction, progress: Callable[[int, int], None]
) -> list[AccountLine]:
    """Post what a run means for each account, and remember it; what was done before is not done again.

    Raises RunRefusedError, or BackendUnavailable: then do the same again, it goes on where it stopped.
    """
    async with _connected(dsn) as connection:
        await connection.execute("SELECT pg_advisory_lock($1)", reratings.LOCK_KEY)
        run = await reratings.find_run(connection, run_id)
        if run is None:
            raise RunRefusedError(f"there is no re-rating {run_id!r}: ocs rerate list")
        begun = _BEGINS.get((run.state, direction))
        if begun is None:
            raise RunRefusedError(f"re-rating {run_id} is {run.state.value}: it cannot be {_WORDS[direction]}")
        await _check(connection, run_id, direction)
        is_resumed = run.state is begun
        await reratings.set_state(connection, run_id, begun)
        accounts = [each for each in await reratings.accounts_of(connection, run_id) if _is_due(each, direction)]
        for done, account in enumerate(accounts, start=1):
            await _settle_account(connection, redis, desk, run, direction, account, is_resumed=is_resumed)
            progress(done, len(accounts))
        accounts = await reratings.accounts_of(connection, run_id)
        if direction is Direction.APPLY or not any(_is_due(each, direction) for each in accounts):
            await reratings.set_state(connection, run_id, _ENDS[direction])
        return accounts


_WORDS: Final = {Direction.APPLY: "applied", Direction.UNDO: "rolled back"}


async def _check(connection: Any, run_id: str, direction: Direction) -> None:
    if direction is Direction.APPLY:
        changed = await reratings.changed_since(connection, run_id)
        if changed:
            raise RunRefusedError(f"{changed} records cost something else since the preview: preview again")
    elif later := await reratings.later_runs(connection, run_id):
        raise RunRefusedError(f"the same records were re-rated after that: roll back {', '.join(later)} first")


def _is_due(account: AccountLine, direction: Direction) -> bool:
    if direction is Direction.APPLY:
        return account.applied_entry is None and not account.refusal
    return account.applied_entry is not None and account.undone_entry is None


async def _settle_account(
    connection: Any,
    redis: Any,
    desk: AccountDesk,
    run: Run,
    direction: Direction,
    account: AccountLine,
    *,
    is_resumed: bool,
) -> None:
    key = direction.key(run.run_id)
    amount = account.amount if direction is Direction.APPLY else -account.amount
    entry = 0 if amount == 0 else None
    if entry is None and is_resumed:
        entry = await posted_entry(connection, redis, account.account_id, key)
    if entry is None:
        reason = f"{account.records} records re-rated by {run.rate_version}"
        reason = f"{reason}, taken back" if direction is Direction.UNDO else reason
        result: RechargeResult = await desk.adjust(
            account.account_id, amount, account.currency, key=key, actor=ACTOR, reason=reason
        )
        if result.status not in _DONE:
            await reratings.set_refusal(connection, run.run_id, account.account_id, result.status.value)
            return
        entry = result.entry_number
    note = reratings.set_applied if direction is Direction.APPLY else reratings.set_undone
    await note(connection, run.run_id, account.account_id, entry)
