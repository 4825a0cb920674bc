"""One use charged at several levels at once: to an account, its reseller, and whoever is above, each by its own plan. Pure.

Each level is decided as if it were alone; the least that any of them can pay for is granted, and held at all of them. Where
one refuses, none grants. What was used is debited everywhere. All of it is one posting, so no level is ever charged alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from msgspec import structs

from balance.account import Account
from balance.levels import levels_of
from ocs.charging.decision import Case, Decision
from ocs.charging.events import decide_event
from ocs.charging.interrogation import decide
from ocs.charging.levels import account_key, level_key, others_of
from ocs.charging.request import (
    ChargingAnswer,
    ChargingRequest,
    ChargingStatus,
    EventAction,
    GroupAnswer,
    GroupKey,
    RequestKind,
)
from ocs.charging.session import CreditSession, Tombstone
from ocs.charging.steps import Answered, repeat_of
from ocs.charging.work import Interrogation, may_have_subs, with_main

if TYPE_CHECKING:
    from ocs.charging.service import OnlineCharging, ReplyTo

Part: TypeAlias = tuple[Case, Account]
"""One level: what is decided from, and its account."""

_GRANTING: Final = (RequestKind.INITIAL, RequestKind.UPDATE)
_SUCCESS: Final = ChargingStatus.SUCCESS
DONE: Final = frozenset({ChargingStatus.SUCCESS, ChargingStatus.FREE})
"""What is no refusal: a level may charge nothing for what another one charges."""


class ChainInterrogation(Interrogation):
    """A charging request of an account below others, as work for the top's lane."""

    __slots__ = ("_levels",)

    def __init__(
        self,
        charging: OnlineCharging,
        request: ChargingRequest,
        reply: ReplyTo,
        account_id: str,
        subscriber_id: str = "",
    ) -> None:
        request.complete()
        super().__init__(charging, request, reply, subscriber_id)
        self._levels = levels_of(account_id)
        *above, _ = self._levels
        keys = [level_key(key, each) for each in above for key in self.keys]
        self.keys = (*self.keys, *keys, *[account_key(each) for each in self._levels[1:]])
        self.expects_new = self.may_be_new = False

    def decide(
        self,
        account: Account | None,
        records: Mapping[str, Any],
        now_ms: int,
        most: Mapping[GroupKey, int] | None = None,
        in_steps: bool = False,
    ) -> Decision[ChargingAnswer] | None:
        if account is not None and account.extras is not None and account.extras.reseller is not None and not in_steps:
            return self._handed_over(self._levels[-1], account)
        accounts = [account, *[records.get(account_key(each)) for each in self._levels[1:]]]
        parts: list[Part] = []
        for name, each in zip(self._levels, accounts, strict=True):
            if each is None or account is None:
                return None
            request = self._request if name == self._levels[-1] else at_level(self._request, name)
            case = self._case(request, each, keys_of(request), records, now_ms, most)
            if isinstance(case, ChargingAnswer):
                return Decision(case, account)
            parts.append((case, each))
        own, _ = parts[-1]
        if own.request.kind is RequestKind.TERMINATION and may_have_subs(own.request, own.record):
            self.answer = partial(self._charging.answer_main, self._reply, self._levels[-1], own.request.session_key)
        return decide_chain(parts, records)


def keys_of(request: ChargingRequest) -> tuple[str, ...]:
    """The records that a request is decided from at its level."""
    other = request.refund_of or request.main_key
    return (request.session_key, *(request.leases or ((other,) if other else ())))


def at_level(request: ChargingRequest, account_id: str) -> ChargingRequest:
    """The same request as it concerns a higher account."""

    def there(key: str) -> str:
        return level_key(key, account_id) if key else ""

    raised: ChargingRequest = structs.replace(
        request,
        session_key=there(request.session_key),
        leases=tuple(map(there, request.leases)),
        refund_of=there(request.refund_of),
        main_key=there(request.main_key),
    )
    return raised


def decide_chain(parts: Sequence[Part], records: Mapping[str, Any]) -> Answered:
    """One request's outcome at all levels, from the top to the account that the client means."""
    own, account = parts[-1]
    if own.request.kind is RequestKind.EVENT:
        return _event(parts)
    repeated = repeat_of(own, account)
    if repeated is not None:
        return structs.replace(repeated, account=parts[0][1])
    first = [_decided(part, decide, records) for part in parts]
    found, most = first, None
    if own.request.kind in _GRANTING:
        most = _most(parts, first)
    if most is not None:
        found = [_narrowed(part, each, most, records) for part, each in zip(parts, first, strict=True)]
    answer = told([each.answer for each in first], [each.answer for each in found])
    return _joined(parts, [*found[:-1], stored(found[-1], own.request, answer)], answer)


def _narrowed(part: Part, said: Answered, most: Mapping[GroupKey, int], records: Mapping[str, Any]) -> Answered:
    """The same level with no more than the others can pay for; one that has refused all by itself has said all."""
    case, account = part
    if not any(granted for _, granted in _grants(case, said).values()):
        return said
    return _decided((structs.replace(case, most={**(case.most or {}), **most}), account), decide, records)


def _decided(part: Part, rule: Callable[[Case, Account], Answered], records: Mapping[str, Any]) -> Answered:
    case, account = part
    decision = rule(case, account)
    key = case.request.main_key
    return with_main(decision, records.get(key)) if key else decision


def _event(parts: Sequence[Part]) -> Answered:
    """All levels, or none."""
    own, _ = parts[-1]
    if own.request.action is EventAction.PRICE_ENQUIRY:
        return structs.replace(decide_event(*parts[-1]), account=parts[0][1])
    found = [decide_event(case, account) for case, account in parts]
    refused = next((each.answer for each in found if each.answer.status not in DONE), None)
    if refused is not None:
        return Decision(refused, parts[0][1])
    check = max(each.answer.check_balance for each in found)
    return _joined(parts, found, structs.replace(found[-1].answer, check_balance=check))


def _most(parts: Sequence[Part], found: Sequence[Answered]) -> dict[GroupKey, int] | None:
    """What all levels can pay for, by group; None if each of them has granted just that."""
    granted = [_grants(case, decision) for (case, _), decision in zip(parts, found, strict=True)]
    if all(each == granted[0] for each in granted):
        return None
    keys = {key for each in granted for key in each}
    most: dict[GroupKey, int] = {}
    for key in keys:
        kinds = {each[key][0] for each in granted if key in each}
        counts = [each[key][1] if key in each else 0 for each in granted]
        if len(kinds) == 1 or not all(counts):  # counted in different units, each level has its own measure
            most[key] = min(counts)
    return most or None


def _grants(case: Case, decision: Answered) -> dict[GroupKey, tuple[int, int]]:
    """The unit and the amount of the grants that are out; of a refused request there are none."""
    for key, record in decision.records:
        if key == case.request.session_key and isinstance(record, CreditSession):
            asked = {group.key for group in case.request.groups if group.requested is not None}
            return {
                state.key: (int(state.tariff.price.kind), state.granted)
                for state in record.groups
                if structs.replace(state.key, beside=False) in asked
            }
    return {}


def told(first: Sequence[ChargingAnswer], found: Sequence[ChargingAnswer]) -> ChargingAnswer:
    """One answer of all levels: refused for the reason that one gave, granted until the first of their grants ends.

    ``first`` is what each would have said alone, ``found`` what it said when it knew of the others; the account's own come last.
    """
    own = found[-1]
    status = next((each.status for each in reversed(first) if each.status not in DONE), own.status)
    groups = tuple(_group(group, first, found) for group in own.groups)
    return structs.replace(own, status=status, groups=groups)


def _group(own: GroupAnswer, first: Sequence[ChargingAnswer], found: Sequence[ChargingAnswer]) -> GroupAnswer:
    said = [group for each in reversed(first) for group in each.groups if group.key == own.key]
    refusal = next((group for group in said if group.status not in DONE), None)
    if refusal is not None:
        return GroupAnswer(own.key, refusal.status, validity_s=own.validity_s, final=own.final, handling=own.handling)
    last = [group for each in reversed(found) for group in each.groups if group.key == own.key]
    final = next((group for group in last if group.final >= 0), own)
    return structs.replace(
        own,
        validity_s=min(filter(None, (group.validity_s for group in last)), default=0),
        change_at_ms=min(filter(None, (group.change_at_ms for group in last)), default=0),
        final=final.final,
        handling=final.handling,
        threshold=min(group.threshold for group in last),
    )


def stored(decision: Answered, request: ChargingRequest, answer: ChargingAnswer) -> Answered:
    """The account's own decision, with what was told as the answer that a repeat will get."""

    def with_it(name: str, record: Any) -> Any:
        if name != request.session_key or not isinstance(record, CreditSession | Tombstone) or not record.answers:
            return record
        last = record.answers[-1]
        if (last.request_number, last.kind) != (request.request_number, request.kind):
            return record
        return structs.replace(record, answers=(*record.answers[:-1], structs.replace(last, answer=answer)))

    records = tuple((name, with_it(name, record)) for name, record in decision.records)
    return structs.replace(decision, records=records)


def _joined(parts: Sequence[Part], found: Sequence[Answered], answer: ChargingAnswer) -> Answered:
    """All of it as one decision about the top's account."""
    others = [
        other
        for (_, account), decision in zip(parts[1:], found[1:], strict=True)
        for other in others_of(decision, account)
    ]
    return Decision(
        answer,
        found[0].account,
        tuple(record for decision in found for record in decision.records),
        tuple(entry for decision in found for entry in decision.entries),
        all(decision.is_replay for decision in found),
        tuple(others),
    )
