"""Online charging: who is asked for, which account pays, and the decision in that account's lane."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, TypeAlias

import msgspec
import structlog
from msgspec import structs

from balance.account import Account
from balance.store import BackendUnavailable, Store, Subscriber
from ocs.charging.decision import Case, Decision, Rates
from ocs.charging.events import decide_event
from ocs.charging.interrogation import decide
from ocs.charging.lanes import Keeping, Lanes
from ocs.charging.packages import timer_key, timer_of, with_dues
from ocs.charging.policy import QuotaPolicy
from ocs.charging.request import ChargingAnswer, ChargingRequest, ChargingStatus, RequestKind
from ocs.charging.session import CreditSession, Record, SessionKind, Tombstone, decode_session

log = structlog.get_logger()

ReplyTo: TypeAlias = Callable[[ChargingAnswer], None]
SubscriberDone: TypeAlias = Callable[[Subscriber | BackendUnavailable | None], None]

_INITIAL: Final = RequestKind.INITIAL
_TERMINATION: Final = RequestKind.TERMINATION
_EVENT: Final = RequestKind.EVENT

IDENTITY_KEEP_MS: Final = 60_000
IDENTITIES_MAX: Final = 200_000
HALVING_MS: Final = 30_000
HALVING_MAX: Final = 10_000


class OnlineCharging:
    """Answers charging requests. One per process; every method is called in the loop's thread."""

    def __init__(
        self,
        store: Store,
        rates: Rates,
        policy: QuotaPolicy,
        clock: Callable[[], int],
        on_conflict: Callable[[], None] = lambda: None,
        soon: Callable[[Callable[[], None]], object] = lambda run: run(),
    ) -> None:
        self.rates = rates
        self.policy = policy
        self.follow_since_ms = 0
        self.on_short: Callable[[str, str], None] = lambda _account_id, _session_key: None
        self._halving: dict[str, int] = {}
        self.on_main_ended: Callable[[str, str], None] = lambda _account_id, _session_key: None
        self.lanes = Lanes(store, clock, Keeping(policy.tombstone_ms, policy.event_ms), on_conflict, soon)
        self._store = store
        self._clock = clock
        self._subscribers: dict[str, tuple[int, Subscriber]] = {}

    def use_rates(self, rates: Rates) -> None:
        """Price by another book from now on; whether that concerns sessions that are open is the policy's to say."""
        self.rates = rates
        if self.policy.follows_rates:
            self.follow_since_ms = self._clock()

    def submit(self, request: ChargingRequest, reply: ReplyTo) -> None:
        """Decide one request and call ``reply`` once, after everything that the answer says is durable."""
        if self._halving:
            self._note_half(request)
        account_id = self.lanes.session_accounts.get(request.session_key)
        if account_id is not None and request.kind is not _INITIAL:
            self.submit_for(account_id, request, reply)
            return
        request.complete()
        if request.identities:
            self._identify(request, reply)
        elif request.kind in {RequestKind.INITIAL, RequestKind.EVENT}:
            reply(ChargingAnswer(ChargingStatus.USER_UNKNOWN))
        else:
            self._store.locate(request.session_key, lambda found: self._located(request, reply, found))

    def submit_for(self, account_id: str, request: ChargingRequest, reply: ReplyTo) -> None:
        """The same for a request whose account is known already (supervision)."""
        self.lanes.submit(account_id, Interrogation(self, request, reply))

    def halve(self, session_key: str) -> None:
        """The session's client was asked to come because another session needs money: it is left half of it then."""
        while len(self._halving) >= HALVING_MAX:
            del self._halving[next(iter(self._halving))]
        self._halving[session_key] = self._clock() + HALVING_MS

    def _note_half(self, request: ChargingRequest) -> None:
        until_ms = self._halving.pop(request.session_key, 0)
        request.takes_half = request.kind is RequestKind.UPDATE and self._clock() <= until_ms

    def answer_short(self, reply: ReplyTo, account_id: str, session_key: str, answer: ChargingAnswer) -> None:
        """A session is refused for want of money that others of its account hold: they are asked for it (statement 72)."""
        reply(answer)
        self.on_short(account_id, session_key)

    def answer_main(self, reply: ReplyTo, account_id: str, session_key: str, answer: ChargingAnswer) -> None:
        """A session is over that may have had sub-sessions: what remains of them ends, too [G-9]."""
        reply(answer)
        self.on_main_ended(account_id, session_key)

    def find_subscriber(self, identities: tuple[str, ...], done: SubscriberDone) -> None:
        """The subscriber of the first identity that is known."""
        now_ms = self._clock()
        for identity in identities:
            known = self._subscribers.get(identity)
            if known is not None and known[0] > now_ms:
                done(known[1])
                return
        self._resolve(identities, 0, done)

    def forget_subscribers(self) -> None:
        """Subscribers were changed: ask the store again."""
        self._subscribers.clear()

    # --- inside -----------------------------------------------------------------------------------------------------

    def _identify(self, request: ChargingRequest, reply: ReplyTo) -> None:
        known = self._subscribers.get(request.identities[0])
        if known is not None and known[0] > self._clock():
            self._submit_for(known[1], request, reply)
            return

        def found(subscriber: Subscriber | BackendUnavailable | None) -> None:
            if isinstance(subscriber, Subscriber):
                self._submit_for(subscriber, request, reply)
            elif subscriber is None:
                reply(ChargingAnswer(ChargingStatus.USER_UNKNOWN))
            else:
                reply(ChargingAnswer(ChargingStatus.UNAVAILABLE))

        self.find_subscriber(request.identities, found)

    def _submit_for(self, subscriber: Subscriber, request: ChargingRequest, reply: ReplyTo) -> None:
        self.lanes.submit(subscriber.account_id, Interrogation(self, request, reply, subscriber.subscriber_id))

    def _resolve(self, identities: tuple[str, ...], index: int, done: SubscriberDone) -> None:
        if index == len(identities):
            done(None)
            return

        def resolved(subscriber: Subscriber | BackendUnavailable | None) -> None:
            if subscriber is None:
                self._resolve(identities, index + 1, done)
                return
            if isinstance(subscriber, Subscriber):
                self._know(identities[index], subscriber)
            done(subscriber)

        self._store.resolve(identities[index], resolved)

    def _know(self, identity: str, subscriber: Subscriber) -> None:
        if len(self._subscribers) >= IDENTITIES_MAX:
            for oldest in list(self._subscribers)[: IDENTITIES_MAX // 8]:
                del self._subscribers[oldest]
        self._subscribers[identity] = (self._clock() + IDENTITY_KEEP_MS, subscriber)

    def _located(self, request: ChargingRequest, reply: ReplyTo, found: list[bytes] | BackendUnavailable) -> None:
        if isinstance(found, BackendUnavailable):
            reply(ChargingAnswer(ChargingStatus.UNAVAILABLE))
            return
        try:
            records = [decode_session(value) for value in found]
        except msgspec.MsgspecError:
            log.exception("session_unreadable", session=request.session_key)
            reply(ChargingAnswer(ChargingStatus.INTERNAL_FAULT))
            return
        if not records:
            reply(ChargingAnswer(ChargingStatus.SESSION_UNKNOWN))
            return
        record = next((record for record in records if record.is_open), records[0])
        self.submit_for(record.account_id, request, reply)


class Interrogation:
    """One charging request as work for its account's lane."""

    __slots__ = ("_charging", "_reply", "_request", "_subscriber_id", "answer", "expects_new", "keys", "may_be_new")

    answer: ReplyTo
    keys: tuple[str, ...]

    def __init__(
        self, charging: OnlineCharging, request: ChargingRequest, reply: ReplyTo, subscriber_id: str = ""
    ) -> None:
        self._charging = charging
        self._request = request
        self.answer = self._reply = reply
        self._subscriber_id = subscriber_id
        other = request.refund_of or request.main_key
        others = request.leases or ((other,) if other else ())
        self.keys = (request.session_key, *others) if others else (request.session_key,)
        # An INITIAL or EVENT is new nearly always: its posting fails as a conflict if it is not. A Start has to look for
        # its authorization, unless the account has no money set aside: then there is none that matters.
        kind = request.kind
        is_first = kind is _INITIAL or kind is _EVENT
        self.expects_new = is_first and not (request.cumulative or other)
        self.may_be_new = is_first and not other

    def decide(
        self, account: Account | None, records: Mapping[str, Record | None], now_ms: int
    ) -> Decision[ChargingAnswer] | None:
        if account is None:
            return None
        request = self._request
        keys = self.keys
        record = records.get(keys[0])
        if record is not None and record.account_id != account.account_id:
            # The name was another account's, in the same partition. Its money is not this account's to move.
            if isinstance(record, CreditSession):
                return Decision(ChargingAnswer(ChargingStatus.CONTRADICTION), account)
            record = None
        lease, debit = _others(keys, records, account) if len(keys) > 1 else (None, None)
        case = Case(
            request,
            record,
            lease,
            self._subscriber_id,
            self._charging.rates,
            self._charging.policy,
            now_ms,
            debit,
            self._charging.follow_since_ms,
        )
        if request.kind is _EVENT:
            return decide_event(case, account)
        if request.kind is _TERMINATION and _may_have_subs(request, record):
            self.answer = partial(self._charging.answer_main, self._reply, account.account_id, request.session_key)
        decision = decide(case, account)
        if case.policy.reclaims and _is_short(decision):
            self.answer = partial(self._charging.answer_short, self._reply, account.account_id, request.session_key)
        return _with_main(decision, records.get(request.main_key)) if request.main_key else decision

    def unknown_account(self) -> None:
        self.answer(ChargingAnswer(ChargingStatus.USER_UNKNOWN))

    def unavailable(self) -> None:
        self.answer(ChargingAnswer(ChargingStatus.UNAVAILABLE))

    def busy(self) -> None:
        self.answer(ChargingAnswer(ChargingStatus.TOO_BUSY))

    def failed(self, error: Exception) -> None:  # noqa: ARG002 - it is in the log already
        self.answer(ChargingAnswer(ChargingStatus.INTERNAL_FAULT))


def _others(
    keys: tuple[str, ...], records: Mapping[str, Record | None], account: Account
) -> tuple[CreditSession | None, Tombstone | None]:
    """What stands under the request's other keys: the authorization that waits for this call, or a debit to refund.

    Another call is no authorization, whatever name the client gives it.
    """
    lease: CreditSession | None = None
    debit: Tombstone | None = None
    for key in keys[1:]:
        found = records.get(key)
        if found is None or found.account_id != account.account_id:
            continue
        if isinstance(found, Tombstone):
            debit = debit or found
        elif isinstance(found, CreditSession) and found.kind is SessionKind.LEASE:
            lease = lease or found
    return lease, debit


def _may_have_subs(request: ChargingRequest, record: Record | None) -> bool:
    """Whether sub-sessions may remain: they were opened under the session, or under one that never was."""
    if isinstance(record, CreditSession):
        return record.has_subs
    return record is None and not request.cumulative and not request.is_sub


def _is_short(decision: Decision[ChargingAnswer]) -> bool:
    """Whether a refusal is for want of money of which some is only set aside, for others."""
    answer = decision.answer
    refused = ChargingStatus.CREDIT_LIMIT_REACHED
    is_refused = answer.status is refused or any(
        group.status is refused or (group.final >= 0 and not group.granted) for group in answer.groups
    )
    return is_refused and any(bucket.reserved for bucket in decision.account.buckets)


def _with_main(decision: Decision[ChargingAnswer], main: Record | None) -> Decision[ChargingAnswer]:
    """Remember in the main session that a sub-session was opened."""
    is_opened = any(isinstance(record, CreditSession) for _, record in decision.records)
    if not is_opened or not isinstance(main, CreditSession) or main.has_subs:
        return decision
    if main.account_id != decision.account.account_id:
        return decision
    marked = structs.replace(main, has_subs=True)
    return structs.replace(decision, records=(*decision.records, (main.session_key, marked)))


class Dues:
    """What is due for an account of which nothing is heard, as work for its lane."""

    __slots__ = ("_charging", "_done", "expects_new", "keys", "may_be_new")

    keys: tuple[str, ...]

    def __init__(self, charging: OnlineCharging, account_id: str, done: Callable[[bool], None]) -> None:
        self._charging = charging
        self._done = done
        self.keys = (timer_key(account_id),)
        self.expects_new = self.may_be_new = False

    def decide(
        self,
        account: Account | None,
        records: Mapping[str, Record | None],  # noqa: ARG002 - the account says what is due
        now_ms: int,
    ) -> Decision[bool] | None:
        if account is None:
            return None
        after, entries = with_dues(account, self._charging.rates, now_ms)
        timer = timer_of(after, now_ms)
        return Decision(bool(entries), after, ((self.keys[0], timer),), entries)

    def answer(self, answer: bool) -> None:
        self._done(answer)

    def unknown_account(self) -> None:
        self._done(False)

    def unavailable(self) -> None:
        self._done(False)

    def busy(self) -> None:
        self._done(False)

    def failed(self, error: Exception) -> None:  # noqa: ARG002 - it is in the log already
        self._done(False)
