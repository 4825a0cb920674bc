"""Automatic top-ups: an account's rule, and what it has charged."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from litestar import Request, delete, get, put
from litestar.params import FromPath, JSONBody
from msgspec import Meta

from balance.account import Account
from balance.money import Currency, format_amount
from ocs.api.accounts import existing
from ocs.api.cards import minor_of, payments_of
from ocs.api.context import Context, Given, actor_of
from ocs.api.cursors import Limit
from ocs.api.idempotency import IdempotencyKey, check_done, usable_key
from ocs.api.keys import Scope
from ocs.api.operations import operation
from ocs.api.problems import Kind, Problem, invalid
from ocs.api.schemas import AccountId, Body, DecimalString, Instant, instant
from ocs.api.trail import note
from ocs.charging.operations import Limits
from ocs.payments.automatic import Rule
from ocs.payments.charges import KeptCharge


class NewAutomaticTopUp(Body, frozen=True):
    """The whole rule. ``threshold`` becomes the account's low-balance threshold: below it, ``amount`` is charged.

    Days and months are those of the account's clock. 0, and an empty amount, are no limit. ``method_id`` empty: the default.
    """

    threshold: DecimalString
    amount: DecimalString
    method_id: Annotated[str, Meta(max_length=100)] = ""
    per_day: Annotated[int, Meta(ge=0, le=100)] = 3
    per_month: Annotated[int, Meta(ge=0, le=1000)] = 10
    most_per_day: DecimalString | None = None
    most_per_month: DecimalString | None = None


class AutomaticTopUpView(msgspec.Struct, frozen=True, kw_only=True):
    """``why_stopped`` not empty: nothing is charged until the rule is put again. ``failures``: in a row."""

    account_id: str
    currency: str
    threshold: DecimalString
    amount: DecimalString
    method_id: str
    per_day: int
    per_month: int
    most_per_day: DecimalString | None
    most_per_month: DecimalString | None
    why_stopped: str
    failures: int


class ChargeView(msgspec.Struct, frozen=True, kw_only=True):
    """``state``: charging, pending (a direct debit takes days), paid, failed, unbooked (paid, and not taken by the account),
    taken_back. ``payment`` is the gateway's.
    """

    charge_id: int
    amount: DecimalString
    currency: str
    method_id: str
    state: str
    payment: str
    why: str
    made_at: Instant
    ended_at: Instant | None


class ChargeList(msgspec.Struct, frozen=True, kw_only=True):
    """The newest first."""

    charges: tuple[ChargeView, ...]


_ASKS: Final = (Kind.CARDS_OFF, Kind.ACCOUNT_UNKNOWN)
_PATH: Final = "/accounts/{account_id:str}/automatic-top-up"


@put(
    _PATH,
    tags=["cards"],
    **operation(
        "set_automatic_top_up", Scope.ACCOUNTS_WRITE, *_ASKS, Kind.KEY_MISSING, Kind.KEY_REUSED, Kind.ACCOUNT_CLOSED
    ),
)
async def set_automatic_top_up(
    account_id: FromPath[AccountId],
    data: JSONBody[NewAutomaticTopUp],
    idempotency_key: IdempotencyKey,
    context: Given,
    request: Request[Any, Any, Any],
) -> AutomaticTopUpView:
    """Have an account topped up by itself when its balance falls below a threshold. Putting it again lifts a stop."""
    key, top_ups = usable_key(idempotency_key), payments_of(context).top_ups
    account = await existing(context, account_id)
    currency = context.currencies[account.currency]
    threshold = context.amount("threshold", data.threshold, currency)
    if threshold <= 0:
        raise invalid("threshold", "must be more than zero")
    rule = _rule(account, data, currency)
    before = await _view_of(context, account)
    await top_ups.put_rule(rule)
    check_done(
        await context.accounts.set_limits(
            account_id,
            Limits(low_balance=threshold),
            key=key,
            actor=actor_of(request.auth),
            reason="automatic top-up",
        )
    )
    view = await _view_of(context, await existing(context, account_id))
    if view is None:
        raise Problem(Kind.RULE_UNKNOWN)
    await note(context, request, f"account {account_id}", before, view)
    return view


@get(_PATH, tags=["cards"], **operation("read_automatic_top_up", Scope.ACCOUNTS_READ, *_ASKS, Kind.RULE_UNKNOWN))
async def read_automatic_top_up(account_id: FromPath[AccountId], context: Given) -> AutomaticTopUpView:
    """The account's rule, and whether it has stopped."""
    payments_of(context)
    view = await _view_of(context, await existing(context, account_id))
    if view is None:
        raise Problem(Kind.RULE_UNKNOWN)
    return view


@delete(_PATH, tags=["cards"], **operation("remove_automatic_top_up", Scope.ACCOUNTS_WRITE, *_ASKS, Kind.RULE_UNKNOWN))
async def remove_automatic_top_up(
    account_id: FromPath[AccountId], context: Given, request: Request[Any, Any, Any]
) -> None:
    """Charge nothing by itself any more. What is under way comes to its end; the threshold stays, and warns."""
    account = await existing(context, account_id)
    before = await _view_of(context, account)
    if await payments_of(context).top_ups.drop_rule(account_id) is None:
        raise Problem(Kind.RULE_UNKNOWN)
    await note(context, request, f"account {account_id}", before, None)


@get(
    "/accounts/{account_id:str}/automatic-top-ups",
    tags=["cards"],
    **operation("list_automatic_top_ups", Scope.ACCOUNTS_READ, *_ASKS),
)
async def list_automatic_top_ups(account_id: FromPath[AccountId], context: Given, limit: Limit = 100) -> ChargeList:
    """What was charged by itself, what is under way, and what failed and why."""
    account = await existing(context, account_id)
    found = await payments_of(context).top_ups.history(account_id, limit)
    return ChargeList(charges=tuple(charge_view(each, context.currencies[account.currency]) for each in found))


def charge_view(charge: KeptCharge, currency: Currency) -> ChargeView:
    facts = {name: getattr(charge, name) for name in ("charge_id", "currency", "method_id", "state", "payment", "why")}
    return ChargeView(
        **facts,
        amount=_text(charge.minor, currency),
        made_at=instant(charge.made_at_ms),
        ended_at=instant(charge.ended_at_ms) if charge.ended_at_ms else None,
    )


def _rule(account: Account, data: NewAutomaticTopUp, currency: Currency) -> Rule:
    return Rule(
        account_id=account.account_id,
        currency=account.currency,
        minor=minor_of("amount", data.amount, currency),
        method_id=data.method_id,
        per_day=data.per_day,
        per_month=data.per_month,
        most_per_day_minor=minor_of("most_per_day", data.most_per_day, currency) if data.most_per_day else 0,
        most_per_month_minor=minor_of("most_per_month", data.most_per_month, currency) if data.most_per_month else 0,
    )


async def _view_of(context: Context, account: Account) -> AutomaticTopUpView | None:
    rule = await payments_of(context).top_ups.rule(account.account_id)
    if rule is None:
        return None
    currency = context.currencies[account.currency]
    facts = {name: getattr(rule, name) for name in AutomaticTopUpView.__struct_fields__ if hasattr(rule, name)}
    return AutomaticTopUpView(
        **facts,
        threshold=format_amount(account.low_balance, currency.scale, currency.digits),
        amount=_text(rule.minor, currency),
        most_per_day=_text(rule.most_per_day_minor, currency) if rule.most_per_day_minor else None,
        most_per_month=_text(rule.most_per_month_minor, currency) if rule.most_per_month_minor else None,
    )


def _text(minor: int, currency: Currency) -> str:
    return format_amount(minor, currency.digits, currency.digits)


ROUTES: Final = (set_automatic_top_up, read_automatic_top_up, remove_automatic_top_up, list_automatic_top_ups)
