"""What waits in an account's lane: a charging request, or what is due for an account of which nothing is heard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

from msgspec import structs
from mypy_extensions import mypyc_attr

from balance.account import Account, AccountState
from ocs.charging.decision import Case, Decision
from ocs.charging.dues import with_dues
from ocs.charging.events import decide_event
from ocs.charging.expiry_notices import due_timer
from ocs.charging.interrogation import decide
from ocs.charging.packages import timer_key
from ocs.charging.request import ChargingAnswer, ChargingRequest, ChargingStatus, GroupKey, RequestKind
from ocs.charging.session import CreditSession, Record, SessionKind, Tombstone

if TYPE_CHECKING:
    from ocs.charging.service import OnlineCharging, ReplyTo

_INITIAL: Final = RequestKind.INITIAL
_TERMINATION: Final = RequestKind.TERMINATION
_EVENT: Final = RequestKind.EVENT
_CLOSED: Final = AccountState.CLOSED
_LATER: Final = ChargingAnswer(ChargingStatus.SUCCESS)


@mypyc_attr(acyclic=True)
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
        self,
        account: Account | None,
        records: Mapping[str, Record | None],
        now_ms: int,
        most: Mapping[GroupKey, int] | None = None,
        in_steps: bool = False,
    ) -> Decision[ChargingAnswer] | None:
        """``most`` is what others can pay for; ``in_steps``: whoever asks has asked the account's reseller."""
        if account is None:
            return None
        request = self._request
        if account.state is _CLOSED and (into := merged_into(account, records.get(self.keys[0]))):
            self.answer = partial(_go_on, self._charging, into, request, self._reply)
            return Decision(ChargingAnswer(ChargingStatus.SERVICE_DENIED), account)
        if account.extras is not None and account.extras.reseller is not None and not in_steps:
            return self._handed_over(account.account_id, account)
        case = self._case(request, account, self.keys, records, now_ms, most)
        if isinstance(case, ChargingAnswer):
            return Decision(case, account)
        if request.kind is _EVENT:
            return decide_event(case, account)
        if request.kind is _TERMINATION and may_have_subs(request, case.record):
            self.answer = partial(self._charging.answer_main, self._reply, account.account_id, request.session_key)
        decision = decide(case, account)
        if case.policy.reclaims and _is_short(decision):
            self.answer = partial(self._charging.answer_short, self._reply, account.account_id, request.session_key)
        return with_main(decision, records.get(request.main_key)) if request.main_key else decision

    def _case(
        self,
        request: ChargingRequest,
        account: Account,
        keys: tuple[str, ...],
        records: Mapping[str, Record | None],
        now_ms: int,
        most: Mapping[GroupKey, int] | None,
    ) -> Case | ChargingAnswer:
        """What is decided from, or the refusal of a session's name that is another account's."""
        record = records.get(keys[0])
        if record is not None and record.account_id != account.account_id:
            # The name was another account's, in the same partition. Its money is not this account's to move.
            if isinstance(record, CreditSession):
                return ChargingAnswer(ChargingStatus.CONTRADICTION)
            record = None
        lease, debit = _others(keys, records, account) if len(keys) > 1 else (None, None)
        return Case(
            request,
            record,
            lease,
            self._subscriber_id,
            self._charging.rates,
            self._charging.policy,
            now_ms,
            debit,
            self._charging.follow_since_ms,
            most,
        )

    def _handed_over(self, account_id: str, account: Account) -> Decision[ChargingAnswer]:
        """It goes on in steps, since the account has, or had, a reseller elsewhere; nothing is decided here."""
        self.expects_new = False
        self.answer = partial(_in_steps, self._charging, account_id, self._request, self._reply, self._subscriber_id)
        return Decision(_LATER, account, is_replay=True)

    def unknown_account(self) -> None:
        self._charging.on_stranger(self._request, "unknown_account")
        self.answer(ChargingAnswer(ChargingStatus.USER_UNKNOWN))

    def unavailable(self) -> None:
        self.answer(ChargingAnswer(ChargingStatus.UNAVAILABLE))

    def busy(self) -> None:
        self.answer(ChargingAnswer(ChargingStatus.TOO_BUSY))

    def failed(self, error: Exception) -> None:  # noqa: ARG002 - it is in the log already
        self.answer(ChargingAnswer(ChargingStatus.INTERNAL_FAULT))


def _go_on(
    charging: OnlineCharging, account_id: str, request: ChargingRequest, reply: ReplyTo, _answer: ChargingAnswer
) -> None:
    charging.submit_for(account_id, request, reply)


def _in_steps(
    charging: OnlineCharging,
    account_id: str,
    request: ChargingRequest,
    reply: ReplyTo,
    subscriber_id: str,
    _answer: ChargingAnswer,
) -> None:
    charging.submit_in_steps(account_id, request, reply, subscriber_id)


def merged_into(account: Account, record: Record | None) -> str:
    """The account that has what this one had, for whatever is not about a session that was this one's; empty for none."""
    is_own = record is not None and record.account_id == account.account_id
    return account.extras.merged_into if account.extras is not None and not is_own else ""


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


def may_have_subs(request: ChargingRequest, record: Record | None) -> bool:
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


def with_main(decision: Decision[ChargingAnswer], main: Record | None) -> Decision[ChargingAnswer]:
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
        after, entries = with_dues(account, self._charging.rates, self._charging.policy.rules, now_ms)
        timer = due_timer(after, self._charging.policy.rules, now_ms)
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
