"""Online charging: who is asked for, which account pays, and the decision in that account's lane."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec
import structlog

from balance.levels import LEVEL_MARK, top_of
from balance.store import BackendUnavailable, Store, Subscriber
from ocs.charging.chains import ChainInterrogation
from ocs.charging.decision import Rates
from ocs.charging.lanes import Keeping, Lanes
from ocs.charging.levels import is_above
from ocs.charging.links import Linked
from ocs.charging.policy import QuotaPolicy
from ocs.charging.request import ChargingAnswer, ChargingRequest, ChargingStatus, RequestKind
from ocs.charging.session import Step, decode_session
from ocs.charging.work import Interrogation

log = structlog.get_logger()

ReplyTo: TypeAlias = Callable[[ChargingAnswer], None]
SubscriberDone: TypeAlias = Callable[[Subscriber | BackendUnavailable | None], None]

_INITIAL: Final = RequestKind.INITIAL
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
        self.on_stranger: Callable[[ChargingRequest, str], None] = lambda _request, _why: None
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
        elif request.kind in {_INITIAL, _EVENT}:
            self._refuse_stranger(request, reply)
        else:
            self._store.locate(request.session_key, lambda found: self._located(request, reply, found))

    def submit_for(self, account_id: str, request: ChargingRequest, reply: ReplyTo) -> None:
        """The same for a request whose account is known already (supervision)."""
        self._ask(account_id, request, reply)

    def submit_in_steps(
        self, account_id: str, request: ChargingRequest, reply: ReplyTo, subscriber_id: str = ""
    ) -> None:
        """The same for an account that has, or had, a reseller elsewhere."""
        Linked(self, account_id, request, reply, subscriber_id).submit()

    def repeat(self, step: Step, reply: ReplyTo, *, takes_back: bool = False) -> None:
        """Bring a request to its end that was charged to a reseller and may not have been to the account below it.

        ``takes_back``: what was only to begin does not any more.
        """
        below, reseller = step.below, step.account_id
        Linked(self, below, step.request, reply, step.subscriber_id, reseller=reseller, takes_back=takes_back).submit()

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
                self._refuse_stranger(request, reply)
            else:
                reply(ChargingAnswer(ChargingStatus.UNAVAILABLE))

        self.find_subscriber(request.identities, found)

    def _refuse_stranger(self, request: ChargingRequest, reply: ReplyTo) -> None:
        self.on_stranger(request, "unknown_subscriber")
        reply(ChargingAnswer(ChargingStatus.USER_UNKNOWN))

    def _submit_for(self, subscriber: Subscriber, request: ChargingRequest, reply: ReplyTo) -> None:
        self._ask(subscriber.account_id, request, reply, subscriber.subscriber_id)

    def _ask(self, account_id: str, request: ChargingRequest, reply: ReplyTo, subscriber_id: str = "") -> None:
        if LEVEL_MARK in account_id and not is_above(request.session_key):
            chain = ChainInterrogation(self, request, reply, account_id, subscriber_id)
            self.lanes.submit(top_of(account_id), chain)
        else:
            self.lanes.submit(account_id, Interrogation(self, request, reply, subscriber_id))

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
