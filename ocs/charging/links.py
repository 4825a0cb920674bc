"""An account and its reseller in another partition: one use charged to both in two steps that survive a crash between them.

    account:   what would it grant? Nothing is posted; where it refuses, that is all
    reseller:  charged, for no more than that, and a record that the account below is still to be charged, in one posting
    account:   charged, for no more than the reseller grants; then the answer leaves
    reseller:  the record is gone; or the account refused meanwhile, and what the reseller was charged comes back

The record holds the request, and its repeat is the cure: both know by its number what they have done. Whoever finds the record
repeats it: the next request of the session, before it is charged itself, or supervision; that one takes back what was only to
begin, since nobody was told that it does. A reseller may have a reseller, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import structlog
from msgspec import structs

from balance.account import Account
from balance.levels import LEVEL_MARK, top_of
from ocs.charging.chains import DONE, ChainInterrogation, at_level, stored, told
from ocs.charging.decision import Decision
from ocs.charging.lanes import ATTEMPTS_MAX
from ocs.charging.levels import is_above, level_key, levels_in
from ocs.charging.repeats import with_number
from ocs.charging.request import (
    ChargingAnswer,
    ChargingRequest,
    ChargingStatus,
    EventAction,
    GroupAnswer,
    GroupKey,
    GroupRequest,
    Quantity,
    RequestKind,
)
from ocs.charging.session import CreditSession, Record, Seen, Step, StoredAnswer, Tombstone
from ocs.charging.steps import Answered
from ocs.charging.work import Interrogation, merged_into
from ocs.rating.units import UnitKind

if TYPE_CHECKING:
    from ocs.charging.service import OnlineCharging, ReplyTo

log = structlog.get_logger()

PATIENCE_MS: Final = 30_000
"""What is not done by then is taken up by supervision."""

LEVELS_MAX: Final = 8
"""No chain is so long: accounts that are each other's resellers are found out."""

RESELLER: Final = "Charged-Along-With"
"""Among a session's details, and so in its record: the reseller it began with. It ends with that one, whatever the account has by then."""

_UNDECIDED: Final = frozenset(
    {
        ChargingStatus.UNAVAILABLE,
        ChargingStatus.TOO_BUSY,
        ChargingStatus.INTERNAL_FAULT,
        ChargingStatus.USER_UNKNOWN,
    }
)
_NOTHING_SEEN: Final = Seen()


def step_key(key: str, number: int, kind: RequestKind) -> str:
    """Where the record of a request of a reseller's session lives that is still to be charged below."""
    return f"step:{key}#{number}.{int(kind)}"


class Linked:
    """One request at an account whose reseller is elsewhere, or (asked by that account's) at the reseller: work for its lane."""

    __slots__ = (
        "_above", "_attempts", "_charging", "_has_filed", "_is_in_step", "_is_open", "_most", "_preview", "_reseller", "_seen",
        "_takes_back", "_then", "_work", "account_id", "asker", "expects_new", "is_repeat", "keys", "may_be_new", "request",
        "subscriber_id",
    )  # fmt: skip

    keys: tuple[str, ...]

    def __init__(
        self,
        charging: OnlineCharging,
        account_id: str,
        request: ChargingRequest,
        reply: ReplyTo,
        subscriber_id: str = "",
        *,
        asker: Linked | None = None,
        reseller: str = "",
        takes_back: bool = False,
    ) -> None:
        """``reseller`` is one that has charged the request already, as a record says; ``asker`` the account below.

        ``takes_back``: what has not begun here by now is not to begin any more.
        """
        request.complete()
        self._charging = charging
        self.account_id = account_id
        self.request = request
        self.subscriber_id = subscriber_id
        self.asker = asker
        self._reseller = reseller
        self.is_repeat = bool(reseller)
        self._attempts = 0
        self._is_in_step = asker is None or asker.is_repeat  # what is pending is done, and looks for nothing else
        self._work = _work(charging, account_id, request, reply, subscriber_id)
        self.keys = self._work.keys
        self._takes_back = takes_back and _is_offer(request)
        self.expects_new, self.may_be_new = self._work.expects_new, self._work.may_be_new
        if self._takes_back:
            self.expects_new = self.may_be_new = False
        self._then: ReplyTo | None = None
        self._begin()

    def _begin(self) -> None:
        self._above: ChargingAnswer | None = None
        self._preview: ChargingAnswer | None = None
        self._most: dict[GroupKey, int] | None = None
        self._seen, self._is_open = _NOTHING_SEEN, False
        self._has_filed = self.is_repeat

    def submit(self) -> None:
        self._charging.lanes.submit(top_of(self.account_id), self)

    def decide(
        self, account: Account | None, records: Mapping[str, Any], now_ms: int
    ) -> Decision[ChargingAnswer] | None:
        if account is None:
            return None
        self._then = None
        record = records.get(self.request.session_key)
        is_done = isinstance(record, CreditSession | Tombstone) and self.request.request_number in record.seen
        if self._takes_back and not is_done and not isinstance(record, CreditSession):
            answer = ChargingAnswer(ChargingStatus.SERVICE_DENIED)
            return Decision(answer, account, (self._never(answer, now_ms),))
        if self.asker is not None and self._goes_elsewhere(self.asker, account, records):
            return Decision(_LATER, account, is_replay=True)
        decision = self._work.decide(account, records, now_ms, self._most, in_steps=True)
        if decision is None:
            return None
        if decision.is_replay or (is_done and not decision.records):
            return decision if self.asker is None else self._filed(self.asker, decision, now_ms)
        if self._above is not None and self._preview is not None:
            decision = self._joined(decision, self._above, self._preview)
            is_refused = not decision.records and self._has_filed and _is_offer(self.request)
            if is_refused and not isinstance(record, CreditSession):
                decision = structs.replace(decision, records=(self._never(decision.answer, now_ms),))
        elif (self.is_repeat or _concerns(self.request, decision)) and (
            reseller := self._reseller_of(account, records)
        ):
            if isinstance(record, CreditSession | Tombstone):
                self._seen, self._is_open = record.seen, record.is_open
            self._then = partial(self._ask, reseller)
            return Decision(decision.answer, account, is_replay=True)
        return decision if self.asker is None else self._filed(self.asker, decision, now_ms)

    # --- at the account below ---------------------------------------------------------------------------------------

    def _reseller_of(self, account: Account, records: Mapping[str, Any]) -> str:
        """The one that has charged it, or that the session began with; for what begins now, the account's."""
        if self.is_repeat:
            return self._reseller
        for key in self._work.keys:
            record = records.get(key)
            session = record.given_up if isinstance(record, Tombstone) else record
            if isinstance(session, CreditSession) and session.account_id == self.account_id:
                return dict(session.details).get(RESELLER, "")
        return (account.extras.reseller or "") if account.extras is not None else ""

    def _ask(self, reseller: str, preview: ChargingAnswer) -> None:
        if levels_in(self.request.session_key) >= LEVELS_MAX:
            log.error("resellers_in_a_circle", account_id=self.account_id, cure="change the reseller of one of them")
            self._work.answer(ChargingAnswer(ChargingStatus.INTERNAL_FAULT))
            return
        plain = tuple(detail for detail in self.request.details if detail[0] != RESELLER)
        self.request.details = (*plain, (RESELLER, reseller))
        self._reseller, self._preview = reseller, preview
        request = _above(self.request, reseller, preview)
        request.details = plain
        Linked(
            self._charging, reseller, request, partial(self._told_above, preview), self.subscriber_id, asker=self
        ).submit()

    def _told_above(self, preview: ChargingAnswer, answer: ChargingAnswer) -> None:
        """The reseller is charged, or refuses; what it has left is not for others to know."""
        if answer.status in _UNDECIDED:
            self._work.answer(ChargingAnswer(answer.status))
        elif self.request.kind is RequestKind.EVENT and answer.status not in DONE:
            available = preview.available + preview.cost
            refused = structs.replace(
                preview, status=answer.status, groups=answer.groups, cost=0, available=available, low_balance=False
            )
            self._work.answer(refused)
        else:
            self._above, self._most = answer, _most(preview, answer)
            self.submit()

    def _joined(self, decision: Answered, above: ChargingAnswer, preview: ChargingAnswer) -> Decision[ChargingAnswer]:
        """What is told by both, and will be told to a repeat."""
        own = decision.answer
        if self.request.kind is RequestKind.EVENT:
            answer = structs.replace(own, check_balance=max(own.check_balance, above.check_balance))
        else:
            answer = told((above, preview), (above, own))
        return stored(structs.replace(decision, answer=answer), self.request, answer)

    def _never(self, answer: ChargingAnswer, now_ms: int) -> tuple[str, Record]:
        """A refusal that stays, whoever comes with the request again: what the reseller was charged for it goes back."""
        request = self.request
        last = StoredAnswer(request.request_number, request.kind, request.fingerprint, answer)
        return request.session_key, Tombstone(self.account_id, now_ms, Seen(request.request_number), (last,))

    def answer(self, answer: ChargingAnswer) -> None:
        """What was decided, and is true; it goes on from there, or this is the end."""
        then, self._then = self._then, None  # so that nothing holds itself in memory
        (then or self._end)(answer)

    def _end(self, answer: ChargingAnswer) -> None:
        """Answer; then the reseller's record may go."""
        self._work.answer(answer)
        if not self._has_filed:
            return
        request = self.request
        if _is_offer(request) and answer.status not in DONE:
            undone = _undoing(request, self._reseller)
            self._charging.submit_for(self._reseller, undone, self._settled)
        else:
            self._settled(answer)

    def _settled(self, answer: ChargingAnswer) -> None:
        if answer.status not in _UNDECIDED:
            request = self.request
            key = step_key(level_key(request.session_key, self._reseller), request.request_number, request.kind)
            self._charging.lanes.submit(self._reseller, _Removal(key))

    # --- at the reseller --------------------------------------------------------------------------------------------

    def _goes_elsewhere(self, asker: Linked, account: Account, records: Mapping[str, Any]) -> bool:
        """Whether something else comes first: another account that has become of this one, or a step that is not done."""
        record = records.get(self.request.session_key)
        if into := merged_into(account, record):
            self._then = partial(asker.ask_another, into)
            return True
        if self._is_in_step:
            return False
        pending = self._pending(asker, record)
        if any(key not in records for key in pending):
            self.keys, self.expects_new, self.may_be_new = (*self._work.keys, *pending), False, False
            self._then = self._look_again
            return True
        step = next((found for key in pending if isinstance(found := records[key], Step)), None)
        if step is None:
            self._is_in_step = True
            return False
        self._then = partial(asker.after, step)
        return True

    def _pending(self, asker: Linked, record: Record | None) -> tuple[str, ...]:
        """The names of steps that may not be done below: those of requests that are known here, and not there."""
        request = self.request
        if not isinstance(record, CreditSession | Tombstone):
            return ()
        seen, is_open = asker.knows
        if record.seen == seen and record.is_open == is_open:
            return ()
        if request.request_number >= 0 and record.seen == with_number(seen, request.request_number):
            return ()  # it is this one, repeated
        last = [step_key(request.session_key, each.request_number, each.kind) for each in record.answers[-1:]]
        return (*last, step_key(request.session_key, -1, RequestKind.EXPIRY))

    def _look_again(self, _answer: ChargingAnswer) -> None:
        self.submit()

    def _filed(self, asker: Linked, decision: Answered, now_ms: int) -> Answered:
        """With the record that the account below is still to be charged."""
        request = self.request
        is_question = request.kind is RequestKind.EVENT and request.action is EventAction.CHECK_BALANCE
        asker.noted(is_filed=bool(decision.records) or (decision.answer.status in DONE and not is_question))
        if not decision.records:
            return decision
        key = step_key(request.session_key, request.request_number, request.kind)
        due_at_ms = now_ms + PATIENCE_MS
        step = Step(self.account_id, due_at_ms, asker.account_id, asker.subscriber_id, asker.request)
        return structs.replace(decision, records=(*decision.records, (key, step)))

    # --- what the reseller's work tells the one of the account below --------------------------------------------------

    @property
    def knows(self) -> tuple[Seen, bool]:
        """Which requests of the session were charged to it, and whether it is open."""
        return self._seen, self._is_open

    def noted(self, *, is_filed: bool) -> None:
        """Whether a record waits above for the end of this."""
        self._has_filed = is_filed

    def ask_another(self, reseller: str, _answer: ChargingAnswer) -> None:
        """The reseller has become another account."""
        if self._preview is not None:
            self._ask(reseller, self._preview)

    def after(self, step: Step, _answer: ChargingAnswer) -> None:
        """Begin anew when that step is done."""

        def done(answer: ChargingAnswer) -> None:
            self._attempts += 1
            if answer.status in _UNDECIDED:
                self._work.answer(ChargingAnswer(answer.status))
            elif self._attempts >= ATTEMPTS_MAX:
                self._work.busy()
            else:
                self._begin()
                self.submit()

        self._charging.repeat(step, done)

    # --- as all work ------------------------------------------------------------------------------------------------

    def unknown_account(self) -> None:
        self._work.unknown_account()

    def unavailable(self) -> None:
        self._work.unavailable()

    def busy(self) -> None:
        self._work.busy()

    def failed(self, error: Exception) -> None:
        self._work.failed(error)


class _Removal:
    """The record of a step that is done goes; nobody waits for it."""

    __slots__ = ("expects_new", "keys", "may_be_new")

    def __init__(self, key: str) -> None:
        self.keys: tuple[str, ...] = (key,)
        self.expects_new = self.may_be_new = True

    def decide(
        self,
        account: Account | None,
        records: Mapping[str, Any],  # noqa: ARG002 - it goes unread
        now_ms: int,  # noqa: ARG002
    ) -> Decision[bool] | None:
        return None if account is None else Decision(True, account, ((self.keys[0], None),))

    def answer(self, answer: bool) -> None: ...
    def unknown_account(self) -> None: ...
    def unavailable(self) -> None: ...
    def busy(self) -> None: ...
    def failed(self, error: Exception) -> None: ...


_LATER: Final = ChargingAnswer(ChargingStatus.SUCCESS)


def _work(
    charging: OnlineCharging, account_id: str, request: ChargingRequest, reply: ReplyTo, subscriber_id: str
) -> Interrogation:
    if LEVEL_MARK in account_id and not is_above(request.session_key):
        return ChainInterrogation(charging, request, reply, account_id, subscriber_id)
    return Interrogation(charging, request, reply, subscriber_id)


def _is_offer(request: ChargingRequest) -> bool:
    """Whether something is to begin that can be refused. All else tells what was used, or gives back."""
    if request.cumulative:
        return False
    if request.kind is RequestKind.EVENT:
        return request.action is EventAction.DIRECT_DEBITING
    return request.kind is RequestKind.INITIAL


def _concerns(request: ChargingRequest, decision: Answered) -> bool:
    """Whether a reseller has to be asked, or told: not for what changes no session, nor for one that supervision leaves open."""
    if request.kind is RequestKind.EVENT and request.action is EventAction.CHECK_BALANCE:
        return decision.answer.status in DONE
    if request.kind is RequestKind.EXPIRY:
        return any(record is None or isinstance(record, Tombstone) for _, record in decision.records)
    return bool(decision.records)


def _above(request: ChargingRequest, reseller: str, preview: ChargingAnswer) -> ChargingRequest:
    """The request as it concerns the reseller: it is asked for no more than the account would grant."""
    raised = at_level(request, reseller)
    raised.takes_half = False  # it is half already
    if request.kind in {RequestKind.INITIAL, RequestKind.UPDATE}:
        granted = {group.key: group for group in preview.groups if group.granted}
        raised.groups = tuple(_asked(group, granted.get(group.key)) for group in request.groups)
    return raised


def _asked(group: GroupRequest, granted: GroupAnswer | None) -> GroupRequest:
    if group.requested is None:
        return group
    asked: tuple[Quantity, ...] | None = None
    if granted is not None:
        asked = (Quantity(UnitKind(granted.kind), granted.granted),)
        if granted.granted_s:
            asked = (*asked, Quantity(UnitKind.SECONDS, granted.granted_s))
    less: GroupRequest = structs.replace(group, requested=asked)
    return less


def _most(preview: ChargingAnswer, above: ChargingAnswer) -> dict[GroupKey, int]:
    """What the reseller can pay for, of what the account would grant; counted in other units, it has its own measure."""
    there = {group.key: group for group in above.groups} if above.status in DONE else {}
    most: dict[GroupKey, int] = {}
    for own in preview.groups:
        group = there.get(own.key)
        granted = group.granted if group is not None and own.granted else 0
        if group is None or not granted or group.kind == own.kind:
            most[own.key] = granted
        if own.granted_s and group is not None and group.granted_s:
            most[structs.replace(own.key, beside=True)] = group.granted_s
    return most


def _undoing(request: ChargingRequest, reseller: str) -> ChargingRequest:
    """What gives the reseller back what it was charged for something that has not begun."""
    key = level_key(request.session_key, reseller)
    if request.kind is RequestKind.EVENT:
        return ChargingRequest(
            RequestKind.EVENT, f"{key} undone", 0, (), request.service, request.event_at_ms, (), peer=request.peer,
            action=EventAction.REFUND_ACCOUNT, refund_of=key,
        )  # fmt: skip
    return ChargingRequest(
        RequestKind.EXPIRY, key, -1, (), request.service, request.event_at_ms, (), cause="it did not begin below",
        is_forced=True,
    )  # fmt: skip
