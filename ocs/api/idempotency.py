"""The Idempotency-Key header, and the one table from the core's outcomes to answers."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, TypeAlias

from litestar import Request, Response
from litestar.params import HeaderParameter

from balance.account import NO_EXTRAS, Account
from ocs.api.context import Context
from ocs.api.problems import Kind, Problem
from ocs.api.trail import note
from ocs.api.views import RechargeView, account_view
from ocs.charging.life import blocks_of
from ocs.charging.operations import RechargeResult, RechargeStatus

HEADER: Final = "Idempotency-Key"
REPLAYED_HEADER: Final = "Idempotency-Replayed"

IdempotencyKey: TypeAlias = Annotated[
    str,
    HeaderParameter(
        name=HEADER,
        description="Names the intent within the account: new for each intent, the same for each repeat",
    ),
]

OptionalKey: TypeAlias = Annotated[
    str | None,
    HeaderParameter(
        name=HEADER,
        description="If given: names the intent, so that a repeat whose answer got lost is told the same",
    ),
]

_USABLE: Final = re.compile(r"[!-~]{1,128}", re.ASCII)

PROBLEMS: Final = {
    RechargeStatus.KEY_REUSED: Kind.KEY_REUSED,
    RechargeStatus.ACCOUNT_UNKNOWN: Kind.ACCOUNT_UNKNOWN,
    RechargeStatus.ACCOUNT_CLOSED: Kind.ACCOUNT_CLOSED,
    RechargeStatus.CURRENCY_MISMATCH: Kind.CURRENCY_MISMATCH,
    RechargeStatus.AMOUNT_TOO_LARGE: Kind.AMOUNT_TOO_LARGE,
    RechargeStatus.NOT_ENOUGH_MONEY: Kind.NOT_ENOUGH_MONEY,
    RechargeStatus.ACCOUNT_SUSPENDED: Kind.ACCOUNT_SUSPENDED,
    RechargeStatus.CHANGED_MEANWHILE: Kind.PRECONDITION_FAILED,
    RechargeStatus.SUBSCRIPTION_UNKNOWN: Kind.SUBSCRIPTION_UNKNOWN,
    RechargeStatus.PAYEE_UNKNOWN: Kind.PAYEE_UNKNOWN,
    RechargeStatus.PAYEE_CLOSED: Kind.PAYEE_CLOSED,
    RechargeStatus.NOT_REVERSIBLE: Kind.NOT_REVERSIBLE,
    RechargeStatus.RATE_PLAN_UNKNOWN: Kind.RATE_PLAN_UNKNOWN,
    RechargeStatus.COMMITTED: Kind.COMMITTED,
    RechargeStatus.IN_USE: Kind.ACCOUNT_IN_USE,
    RechargeStatus.IN_LEVELS: Kind.ACCOUNT_IN_LEVELS,
}
assert PROBLEMS.keys() | {RechargeStatus.APPLIED, RechargeStatus.REPLAYED} == set(RechargeStatus)


def usable_key(text: str) -> str:
    """The key without the quotes of a structured field (draft-ietf-httpapi-idempotency-key-header, section 2.1)."""
    key = text[1:-1] if len(text) >= 2 and text[0] == text[-1] == '"' else text
    if _USABLE.fullmatch(key) is None:
        raise Problem(Kind.KEY_MISSING, f"{HEADER} is empty, too long, or has other characters")
    return key


def key_if_any(text: str | None) -> str:
    """The usable key where the header was sent; empty where it was not."""
    return usable_key(text) if text is not None else ""


def replayed_header(is_replay: bool) -> dict[str, str]:
    return {REPLAYED_HEADER: "true"} if is_replay else {}


def check_done(result: RechargeResult) -> None:
    """Raise the problem that the outcome is, if it is one."""
    kind = PROBLEMS.get(result.status)
    if kind is not None:
        raise Problem(kind, _about(kind, result.account) if result.account is not None else "")


def _about(kind: Kind, account: Account) -> str:
    """What of the account stands in the way."""
    name, extras = account.account_id, account.extras or NO_EXTRAS
    state = account.state.name.lower()
    if kind is Kind.CURRENCY_MISMATCH:
        return f"The account's currency is {account.currency}"
    if kind is Kind.ACCOUNT_CLOSED:
        return f"{name} was merged into {extras.merged_into}" if extras.merged_into else f"{name} is {state}"
    if kind is Kind.ACCOUNT_SUSPENDED:
        return f"{name} is {state}; blocked by: {', '.join(blocks_of(account)) or 'its age'}"
    if kind is Kind.SUBSCRIPTION_UNKNOWN:
        return f"{name} has subscriptions {', '.join(str(each.number) for each in extras.subscriptions) or '(none)'}"
    return f"account {name}"


async def respond(context: Context, request: Request[Any, Any, Any], result: RechargeResult) -> Response[RechargeView]:
    """200 for a change that was made now or before, so that a repeat sees what the first attempt saw."""
    check_done(result)
    assert result.account is not None, "an applied change has an account"
    replayed = result.status is RechargeStatus.REPLAYED
    currency, now_ms = context.currencies[result.account.currency], context.clock()
    account = account_view(result.account, currency, now_ms)
    if result.before is not None:
        before = account_view(result.before, currency, now_ms)
        await note(context, request, f"account {account.account_id}", before, account)
    view = RechargeView(entry_number=result.entry_number, replayed=replayed, account=account)
    return Response(view, headers=replayed_header(replayed))
