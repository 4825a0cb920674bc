"""One queue per account: requests for the same account are decided together and written in one step.

A lane keeps what it knows of its account between requests, so that the usual request costs one round trip. What it
knows may be stale: the store compares versions and tells what is there. A refusal that was decided on remembered
facts alone is decided once more on fresh ones, since no posting would have checked it.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

import msgspec
import structlog
from mypy_extensions import mypyc_attr

from balance.account import Account
from balance.burn import with_version
from balance.levels import LEVEL_MARK, top_of
from balance.store import BackendUnavailable, Posting, PostingResult, PostingStatus, SessionWrite, Snapshot, Store
from ocs.charging.cdr import JournalEntry, encode_entry
from ocs.charging.decision import Decision
from ocs.charging.lane import Known, Lane, Work
from ocs.charging.levels import OfMember, account_key, account_of_key
from ocs.charging.packages import timed_account
from ocs.charging.session import (
    CreditSession,
    Merger,
    Record,
    Step,
    Timer,
    Tombstone,
    Transfer,
    decode_session,
    encode_session,
)

log = structlog.get_logger()

QUEUE_MAX: Final = 1024
HOLD_MAX: Final = 32
"""Lanes that are enough to begin with while more of them keep getting ready: a step is the cheaper, the more it takes."""

ATTEMPTS_MAX: Final = 8
LANES_MAX: Final = 200_000
SESSIONS_PER_LANE_MAX: Final = 4096
OPERATION_KEEP_MS: Final = 7 * 86_400_000

_APPLIED: Final = PostingStatus.APPLIED
_FILED: Final = (Timer, Transfer, Merger, Step)


@mypyc_attr(acyclic=True)
class Proposal:
    """What a lane's batch came to: the account and the records after it, and each work with its decision. Called with what
    became of its posting.
    """

    __slots__ = ("_lanes", "account", "changed", "entries", "lane", "outcomes")

    def __init__(
        self,
        lanes: Lanes,
        lane: Lane,
        account: Account,
        changed: dict[str, Known],
        entries: list[JournalEntry],
        outcomes: list[tuple[Work, Any]],
    ) -> None:
        self._lanes: Final = lanes
        self.lane: Final = lane
        self.account = account
        self.changed: Final = changed
        self.entries: Final = entries
        self.outcomes: Final = outcomes

    def __call__(self, result: PostingResult) -> None:
        self._lanes.posted(self, result)


class Keeping(NamedTuple):
    """For how long what is over can answer a late repeat: sessions, and events that were paid."""

    session_ms: int
    event_ms: int


class Lanes:
    """Loads, decides, posts and answers, lane by lane.

    ``soon`` runs a function at the end of this turn of the loop: what a turn brings is decided together, step by step
    for all lanes, and that costs a fifth less than lane by lane (docs/adr/0015-steps.md). By default it is run at once.
    """

    def __init__(
        self,
        store: Store,
        clock: Callable[[], int],
        keeping: Keeping,
        on_conflict: Callable[[], None],
        soon: Callable[[Callable[[], None]], object] = lambda run: run(),
    ) -> None:
        self._store = store
        self._clock = clock
        self._keeping = keeping
        self._lanes: dict[str, Lane] = {}
        self._ready: list[Lane] = []
        self._is_due = False
        self._held = 0
        self._soon = soon
        self.session_accounts: dict[str, str] = {}
        self._on_conflict = on_conflict
        self.waiting = 0

    def submit(self, account_id: str, work: Work) -> None:
        if LEVEL_MARK in account_id:
            account_id, work = top_of(account_id), OfMember(account_id, work)
        lane = self._lanes.get(account_id)
        if lane is None:
            lane = self._lanes[account_id] = Lane(account_id)
            if len(self._lanes) > LANES_MAX:
                self._evict()
        if len(lane.pending) >= QUEUE_MAX:
            work.busy()
            return
        self.waiting += 1
        lane.pending.append(work)
        if not lane.busy:
            lane.busy = True
            self._make_ready(lane)

    # --- the road of one batch --------------------------------------------------------------------------------------

    def _make_ready(self, lane: Lane) -> None:
        self._ready.append(lane)
        if not self._is_due:
            self._is_due = True
            self._held = 0
            self._soon(self._run)

    def _run(self) -> None:
        """Decide what can be decided of all lanes that are ready, then post all of it."""
        waiting = len(self._ready)  # a turn that brought more may be followed by one that does, too
        if self._held < waiting < HOLD_MAX:
            self._held = waiting
            self._soon(self._run)
            return
        self._is_due = False
        ready, self._ready = self._ready, []
        now_ms = self._clock()
        proposals: list[Proposal] = []
        for lane in ready:
            try:
                if not lane.batch:
                    lane.take_batch()
                missing = lane.missing() if not lane.fresh else None
                if missing is not None:
                    self._look_up(lane, missing)
                elif (proposal := self._decide(lane, now_ms)) is not None:
                    proposals.append(proposal)
            except Exception as error:  # a defect of ours costs this batch, and no other lane its turn
                log.exception("lane_failed", account_id=lane.account_id)
                self._give_up(lane, partial(_fail, error))
        for proposal in proposals:
            try:
                self._post(proposal)
            except Exception as error:
                log.exception("posting_failed", account_id=proposal.lane.account_id)
                self._give_up(proposal.lane, partial(_fail, error))

    def _next(self, lane: Lane) -> None:
        lane.batch = []
        if lane.pending:
            self._make_ready(lane)
        else:
            lane.busy = False

    def _load(self, lane: Lane, keys: list[str]) -> None:
        others = [name for key in keys if (name := account_of_key(key))]
        if others:
            keys = [key for key in keys if not account_of_key(key)]
        self._store.load(lane.account_id, keys, lambda snapshot: self._loaded(lane, snapshot), others)

    def _loaded(self, lane: Lane, snapshot: Snapshot | BackendUnavailable) -> None:
        if isinstance(snapshot, BackendUnavailable):
            self._give_up(lane, lambda work: work.unavailable())
            return
        try:
            self._learn(lane, snapshot)
        except Exception as error:
            log.exception("record_unreadable", account_id=lane.account_id)
            self._give_up(lane, partial(_fail, error))
            return
        lane.attempts += 1
        self._make_ready(lane)

    def _learn(self, lane: Lane, snapshot: Snapshot) -> None:
        """Take over what stands in the store. Of another version, nothing that was known before may stay."""
        before = lane.account.version if lane.account is not None else 0
        if before != (snapshot.account.version if snapshot.account is not None else 0):
            self._forget_records(lane)
        lane.account = snapshot.account
        for name, other in snapshot.others.items():
            lane.has_levels = True
            lane.records[account_key(name)] = other
        for key, value in snapshot.sessions.items():
            record = decode_session(value) if value is not None else None
            lane.records[key] = record
            if isinstance(record, CreditSession):
                if top_of(record.account_id) == lane.account_id:  # the name may be another account's, in this partition
                    self.session_accounts[key] = record.account_id
            else:
                lane.has_closed = True
        # A conflict tells of the sessions that were to be written; what else the batch is decided from is read again.
        lane.fresh = all(key in lane.records for work in lane.batch for key in work.keys)

    def _decide(self, lane: Lane, now_ms: int) -> Proposal | None:
        """Decide the batch, each request on what those before it left; None when nothing is to be posted."""
        account = lane.account
        records = lane.records
        changed: dict[str, Known] = {}
        entries: list[JournalEntry] = []
        outcomes: list[tuple[Work, Any]] = []
        unread: list[str] = []
        for work in lane.batch:
            view = ChainMap(changed, records) if changed else records
            try:
                decision = work.decide(account, view, now_ms)
            except Exception as error:
                log.exception("decision_failed", account_id=lane.account_id)
                outcomes.append((work, error))
                continue
            outcomes.append((work, decision))
            if decision is None:
                continue
            account = decision.account
            if decision.others:
                changed.update({account_key(other.account_id): other for other in decision.others})
            if decision.records:
                changed.update(decision.records)
            elif work.expects_new:
                # It is refused, so no write of its own will find out that it was done before.
                unread += [key for key in work.keys if key not in view]
            if decision.entries:
                entries += decision.entries
        if unread:
            self._look_up(lane, unread)
        elif account is lane.account and not changed and not entries:
            self._conclude(lane, outcomes)
        else:
            assert account is not None, "a decision that changes something has an account"
            return Proposal(self, lane, account, changed, entries, outcomes)
        return None

    def _look_up(self, lane: Lane, keys: list[str]) -> None:
        """Read what is not known or was taken for absent, and decide all of it then."""
        if lane.attempts >= ATTEMPTS_MAX:
            self._give_up(lane, lambda work: work.busy())
        else:
            self._load(lane, keys)

    def _conclude(self, lane: Lane, outcomes: list[tuple[Work, Any]]) -> None:
        """Nothing changes. What was decided from memory alone is confirmed by a fresh look first."""
        if not lane.fresh and not all(_is_replay(outcome) for _, outcome in outcomes):
            self._forget(lane)
            if lane.attempts >= ATTEMPTS_MAX:
                self._give_up(lane, lambda work: work.busy())
            else:
                self._load(lane, [key for work in lane.batch for key in work.keys])
            return
        self._answer(lane, outcomes)

    def _post(self, proposal: Proposal) -> None:
        lane = proposal.lane
        version = lane.account.version if lane.account is not None else 0
        account = proposal.account = with_version(proposal.account, version + 1)
        writes: list[SessionWrite] = []
        others: list[Account] = []
        for key, record in proposal.changed.items():
            if isinstance(record, Account):
                others.append(record)
            else:
                writes.append(self._write(lane, key, record))
        entries = [encode_entry(entry) for entry in proposal.entries] if proposal.entries else []
        if lane.has_levels:
            writes = _owned(lane, writes, proposal.changed)
        posting = Posting(account, version, writes, entries, others)
        self._store.post(posting, proposal)

    def _write(self, lane: Lane, key: str, record: Record | None) -> SessionWrite:
        before = lane.records.get(key)
        if type(record) is CreditSession:
            if type(before) is CreditSession:
                deadline_ms = record.filed_ms if record.filed_ms != before.filed_ms else -1
                return SessionWrite(key, encode_session(record), 0, deadline_ms, False)
            return SessionWrite(key, encode_session(record), 0, record.filed_ms or -1, key not in lane.records)
        if record is None:
            return SessionWrite(key, None, 0, 0, False)
        deadline_ms = 0 if type(before) is CreditSession else -1
        keep_ms = OPERATION_KEEP_MS
        if type(record) is Tombstone:
            keep_ms = self._keeping.event_ms if record.debits else self._keeping.session_ms
        elif isinstance(record, _FILED):
            return SessionWrite(key, encode_session(record), 0, record.due_at_ms, False)
        return SessionWrite(key, encode_session(record), keep_ms, deadline_ms, key not in lane.records)

    def posted(self, proposal: Proposal, result: PostingResult) -> None:
        """Answer, or decide again on what stands there."""
        lane = proposal.lane
        if result.status is _APPLIED:
            lane.account = proposal.account
            self._remember(lane, proposal.changed)
            self._answer(lane, proposal.outcomes)
        elif result.status is PostingStatus.UNAVAILABLE:
            self._give_up(lane, lambda work: work.unavailable())
        else:
            self._again(lane, result.current)

    def _again(self, lane: Lane, current: Snapshot | None) -> None:
        assert current is not None, "a conflict says what stands there"
        self._on_conflict()
        lane.attempts += 1
        self._forget_records(lane)
        try:
            self._learn(lane, current)
        except Exception as error:
            log.exception("record_unreadable", account_id=lane.account_id)
            self._give_up(lane, partial(_fail, error))
            return
        if lane.attempts >= ATTEMPTS_MAX:
            self._give_up(lane, lambda work: work.busy())
        else:
            self._make_ready(lane)

    def _answer(self, lane: Lane, outcomes: list[tuple[Work, Any]]) -> None:
        self.waiting -= len(outcomes)
        for work, outcome in outcomes:
            try:
                if type(outcome) is Decision:
                    work.answer(outcome.answer)
                elif outcome is None:
                    work.unknown_account()
                else:
                    work.failed(outcome)
            except Exception:
                log.exception("answer_failed", account_id=lane.account_id)
        if lane.has_closed:
            lane.drop_closed()
        if lane.account is None:  # nobody of that name: nothing to remember
            lane.batch = []
            self._lanes.pop(lane.account_id, None)
            if not lane.pending:
                lane.busy = False
                return
            self._lanes[lane.account_id] = lane
        self._next(lane)

    def _give_up(self, lane: Lane, say: Callable[[Work], None]) -> None:
        batch = lane.batch
        self.waiting -= len(batch)
        self._forget(lane)
        for work in batch:
            try:
                say(work)
            except Exception:
                log.exception("answer_failed", account_id=lane.account_id)
        self._next(lane)

    # --- memory -----------------------------------------------------------------------------------------------------

    def _remember(self, lane: Lane, changed: dict[str, Known]) -> None:
        """Open sessions are kept; of closed ones the store knows enough."""
        for key, record in changed.items():
            if type(record) is CreditSession:
                if key not in lane.records and len(lane.records) >= SESSIONS_PER_LANE_MAX:
                    self._forget_oldest(lane)
                lane.records[key] = record
                self.session_accounts[key] = record.account_id
            elif type(record) is Account:
                if key not in lane.records and len(lane.records) >= SESSIONS_PER_LANE_MAX:
                    self._forget_oldest(lane)
                lane.records[key] = record
            else:
                lane.records.pop(key, None)
                self.session_accounts.pop(key, None)

    def _forget_oldest(self, lane: Lane) -> None:
        oldest = next(iter(lane.records))
        del lane.records[oldest]
        self.session_accounts.pop(oldest, None)

    def _forget(self, lane: Lane) -> None:
        self._forget_records(lane)
        lane.account = None

    def _forget_records(self, lane: Lane) -> None:
        for key in lane.records:
            self.session_accounts.pop(key, None)
        lane.records.clear()

    def _evict(self) -> None:
        """Forget the oldest idle lanes; an account that is used again is simply read again."""
        idle = [lane for lane in self._lanes.values() if not lane.busy and not lane.pending]
        for lane in idle[: max(1, len(idle) // 8)]:
            self._forget_records(lane)
            del self._lanes[lane.account_id]


def _fail(error: Exception, work: Work) -> None:
    work.failed(error)


def _owned(lane: Lane, writes: list[SessionWrite], changed: Mapping[str, Known]) -> list[SessionWrite]:
    """The same with the account of each session that is not the lane's own."""
    found = []
    for write in writes:
        record = changed[write.key] or lane.records.get(write.key)
        owner = record.account_id if record is not None else timed_account(write.key)
        found.append(write if owner == lane.account_id else msgspec.structs.replace(write, owner=owner))
    return found


def _is_replay(outcome: object) -> bool:
    """A stored answer needs no confirmation: it was durable before it was remembered."""
    return isinstance(outcome, Decision) and outcome.is_replay
