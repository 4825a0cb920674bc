"""What a use would cost an account now, and whether it could begin: decided as it would be, and written nowhere. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from msgspec import structs

from balance.account import Account
from balance.money import Amount
from ocs.charging.chains import at_level, decide_chain
from ocs.charging.decision import Case, Rates
from ocs.charging.events import decide_event
from ocs.charging.interrogation import decide
from ocs.charging.policy import QuotaPolicy
from ocs.charging.refused import reason_of
from ocs.charging.request import (
    ChargingRequest,
    ChargingStatus,
    EventAction,
    GroupKey,
    GroupRequest,
    Quantity,
    RequestKind,
)
from ocs.rating.units import UnitKind


class Use(NamedTuple):
    """A use to be; ``amount`` of its unit, 0: nobody knows how much it will be."""

    service: str
    destination: str
    unit: UnitKind
    amount: int = 0
    rating_group: int = -1
    service_ids: tuple[int, ...] = ()
    origin: str = ""
    peer: str = ""
    whereabouts: str = ""
    subscriber_id: str = ""


class Enquired(NamedTuple):
    """``why`` is the reason of the refusal (``refused.ALL_REASONS``), empty: it may begin. ``granted`` is what the first grant
    would be; ``cost`` what the amount costs, without what bundles pay; None where no amount, or no price, is known.
    ``by`` is the account that refuses: of one in levels it may be one above it.
    """

    why: str
    granted: int = 0
    cost: Amount | None = None
    by: str = ""


def enquire(use: Use, accounts: Sequence[Account], rates: Rates, policy: QuotaPolicy, now_ms: int) -> Enquired:
    """Ask as a network element would: the last of the accounts, which is charged along with those before it, from the top on.

    The cost is that account's own: what those above it pay is theirs to know.
    """
    is_event = use.unit is UnitKind.EVENTS
    wanted = Quantity(use.unit, use.amount or (1 if is_event else 0))
    group = GroupRequest(GroupKey(use.rating_group, use.service_ids), (wanted,) if wanted.value else ())
    *above, own = accounts
    priced = decide_event(_case(use, group, EventAction.PRICE_ENQUIRY, rates, policy, now_ms), own).answer
    cost = priced.cost if priced.status is ChargingStatus.SUCCESS and wanted.value else None
    case = _case(use, group, EventAction.DIRECT_DEBITING if is_event else None, rates, policy, now_ms)
    rule = decide_event if is_event else decide
    raised = [structs.replace(case, request=at_level(case.request, each.account_id)) for each in above]
    parts = list(zip((*raised, case), accounts, strict=True))
    for asked, account in reversed(parts):
        decision = rule(asked, account)
        why = reason_of(asked, decision.account, decision.answer)
        if why:
            return Enquired(why, 0, cost, account.account_id)
    answer = decide_chain(parts, {}).answer if above else rule(case, own).answer
    return Enquired("", sum(each.granted for each in answer.groups), cost)


def _case(
    use: Use, group: GroupRequest, action: EventAction | None, rates: Rates, policy: QuotaPolicy, now_ms: int
) -> Case:
    """``action`` None: a session that begins."""
    request = ChargingRequest(
        RequestKind.INITIAL if action is None else RequestKind.EVENT,
        "enquiry:",
        0,
        (),
        use.service,
        now_ms,
        (group,),
        use.destination,
        use.origin,
        action=action or EventAction.DIRECT_DEBITING,
        peer=use.peer,
        whereabouts=use.whereabouts,
    )
    return Case(request, None, None, use.subscriber_id, rates, policy, now_ms)
