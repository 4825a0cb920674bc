"""An account in parts: its limits, its plan, its state, what the rules against fraud have counted; and what a use costs it."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from litestar import Response, get
from litestar.params import FromPath, FromQuery, QueryParameter

from balance.account import NO_EXTRAS, Account
from balance.money import Currency, format_amount
from ocs.api.accounts import existing
from ocs.api.context import Given
from ocs.api.etags import quoted
from ocs.api.keys import Scope
from ocs.api.operations import operation
from ocs.api.problems import Kind
from ocs.api.rates import Network, explained_rate
from ocs.api.schemas import DecimalString, Instant, StateName, instant, milliseconds
from ocs.api.views import (
    CallsView,
    CapView,
    account_view,
)
from ocs.charging.enquiry import Enquired, Use
from ocs.charging.life import blocks_of
from ocs.charging.operations import limits_tag, state_tag
from ocs.charging.plans import plan_tag
from ocs.charging.velocity import BLOCK, NO_PACE
from ocs.gateways.addresses import called_number
from ocs.rates.trace import Query
from ocs.rating.origins import origin_of
from ocs.rating.price import Tariff
from ocs.rating.ratebook import NO_GROUP, RateBook
from ocs.rating.units import UnitKind
from ocs.rating.whereabouts import whereabouts_of

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS


class LimitsView(msgspec.Struct, frozen=True, kw_only=True):
    """What an account may spend, and how many calls it may have."""

    credit_limit: DecimalString
    low_balance: DecimalString
    calls: tuple[CallsView, ...]
    caps: tuple[CapView, ...]


class PlanView(msgspec.Struct, frozen=True, kw_only=True):
    """The plan by which an account is charged, and the one that holds from ``plan_changes_at`` on."""

    rate_plan: str
    next_rate_plan: str | None
    plan_changes_at: Instant | None


class StateView(msgspec.Struct, frozen=True, kw_only=True):
    """``blocks`` name what suspends it; ``stage`` is where it is in the life that its plan gives it, if any."""

    state: StateName
    blocks: tuple[str, ...]
    stage: StateName | None
    stage_ends_at: Instant | None


class PaceView(msgspec.Struct, frozen=True, kw_only=True):
    """What the rules against fraud have counted, by the UTC clock: ``spent_in_minute`` of the running minute,
    ``new_dear_destinations`` of the day (``known_destinations`` were called before), ended and short calls of the hour.

    Quotas are small until ``shrunk_until``; ``is_blocked``: the block `fraud` is in force.
    """

    spent_in_minute: DecimalString
    new_dear_destinations: int
    known_destinations: tuple[str, ...]
    calls_in_hour: int
    short_calls_in_hour: int
    shrunk_until: Instant | None
    is_blocked: bool


@get(
    "/accounts/{account_id:str}/limits",
    tags=["accounts"],
    **operation("read_limits", Scope.ACCOUNTS_READ, Kind.ACCOUNT_UNKNOWN),
)
async def read_limits(account_id: FromPath[str], context: Given) -> Response[LimitsView]:
    """What may be spent, and how many calls there may be. Its ETag changes with the limits, not with what is spent."""
    account = await existing(context, account_id)
    view = account_view(account, context.currencies[account.currency], context.clock())
    limits = LimitsView(credit_limit=view.credit_limit, low_balance=view.low_balance, calls=view.calls, caps=view.caps)
    return Response(limits, headers={"ETag": quoted(limits_tag(account))})


@get(
    "/accounts/{account_id:str}/plan",
    tags=["accounts"],
    **operation("read_plan", Scope.ACCOUNTS_READ, Kind.ACCOUNT_UNKNOWN),
)
async def read_plan(account_id: FromPath[str], context: Given) -> Response[PlanView]:
    """The plan, and the one to come. Its ETag changes with them alone."""
    account = await existing(context, account_id)
    view = account_view(account, context.currencies[account.currency], context.clock())
    plan = PlanView(rate_plan=view.rate_plan, next_rate_plan=view.next_rate_plan, plan_changes_at=view.plan_changes_at)
    return Response(plan, headers={"ETag": quoted(plan_tag(account))})


@get(
    "/accounts/{account_id:str}/state",
    tags=["accounts"],
    **operation("read_state", Scope.ACCOUNTS_READ, Kind.ACCOUNT_UNKNOWN),
)
async def read_state(account_id: FromPath[str], context: Given) -> Response[StateView]:
    """Its state, and what it is made of. Its ETag changes with them alone."""
    account = await existing(context, account_id)
    view = account_view(account, context.currencies[account.currency], context.clock())
    state = StateView(state=view.state, blocks=view.blocks, stage=view.stage, stage_ends_at=view.stage_ends_at)
    return Response(state, headers={"ETag": quoted(state_tag(account))})


@get(
    "/accounts/{account_id:str}/price",
    tags=["accounts"],
    **operation("enquire_price", Scope.ACCOUNTS_READ, Kind.ACCOUNT_UNKNOWN, Kind.RATE_PLAN_UNKNOWN),
)
async def enquire_price(
    account_id: FromPath[str],
    context: Given,
    number: FromQuery[str] = "",
    service: FromQuery[str] = "voice",
    at: FromQuery[Instant | None] = None,
    used: Annotated[int | None, QueryParameter(ge=0, description="Price this much: seconds, octets, events")] = None,
    rating_group: Annotated[int, QueryParameter(ge=-1, description="-1: the request names none")] = NO_GROUP,
    service_identifier: Annotated[list[int] | None, QueryParameter(description="Its Service-Identifiers")] = None,
    caller: Annotated[str, QueryParameter(description="The calling number, in international form")] = "",
    trunk: Annotated[str, QueryParameter(description="The Diameter peer or RADIUS client that asks")] = "",
    network: Network = "",
    subscriber_id: Annotated[str, QueryParameter(description="Who uses it, where caps are for members")] = "",
) -> dict[str, Any]:
    """What a use costs this account by its plan, and why; and under `now` whether it could begin at this moment.

    `now` is decided as for a network element: with blocks, caps, limits of calls, bundles and the money that is there. `why` is
    the reason that the event `session_refused` would have, `by` the account that refuses: a reseller's customer is asked along with
    all that are above it. `cost` is for `used`, by this account's plan, without what bundles pay.
    """
    account = await existing(context, account_id)
    at_ms = milliseconds("at", at) or context.clock()
    where = whereabouts_of(network, "", "", "", "")
    groups = tuple(service_identifier or ())
    query = Query(
        number, account.rate_plan, service, at_ms, rating_group, groups, origin_of(called_number(caller), trunk, where)
    )
    fields = explained_rate(context, query, used, None)
    if at is None:
        book = context.rates.book()
        unit = unit_of(book, query) if book is not None else UnitKind.SECONDS
        use = Use(
            service, called_number(number), unit, used or 0, rating_group, groups, called_number(caller), trunk, where,
            subscriber_id,
        )  # fmt: skip
        found = await context.accounts.enquire(account_id, use)
        if found is not None:
            fields["now"] = _now_fields(found, unit, context.currencies[account.currency])
    return fields


def _now_fields(found: Enquired, unit: UnitKind, currency: Currency) -> dict[str, Any]:
    cost = None if found.cost is None else format_amount(found.cost, currency.scale, currency.digits)
    return {
        "begins": not found.why,
        "why": found.why,
        "by": found.by,
        "granted": found.granted,
        "unit": unit.name.lower(),
        "cost": cost,
    }


def unit_of(book: RateBook, query: Query) -> UnitKind:
    """In what a use is counted; seconds where it has no price."""
    found = book.tariff_for(
        query.plan, query.service, query.rating_group, query.service_ids, called_number(query.number), query.at_ms,
        query.origin,
    )  # fmt: skip
    return found.price.kind if isinstance(found, Tariff) else UnitKind.SECONDS


@get(
    "/accounts/{account_id:str}/velocity",
    tags=["accounts"],
    **operation("read_velocity", Scope.ACCOUNTS_READ, Kind.ACCOUNT_UNKNOWN),
)
async def read_velocity(account_id: FromPath[str], context: Given) -> PaceView:
    """What the rules against fraud have counted of it, and what they did."""
    account = await existing(context, account_id)
    return pace_view(account, context.currencies[account.currency], context.clock())


def pace_view(account: Account, currency: Currency, now_ms: int) -> PaceView:
    """What is of an earlier minute, day or hour counts no more."""
    pace = (account.extras or NO_EXTRAS).pace or NO_PACE
    is_minute, is_day, is_hour = (
        then == now_ms // length for then, length in ((pace.minute, 60_000), (pace.day, DAY_MS), (pace.hour, HOUR_MS))
    )
    return PaceView(
        spent_in_minute=format_amount(pace.spent if is_minute else 0, currency.scale, currency.digits),
        new_dear_destinations=pace.new_count if is_day else 0,
        known_destinations=pace.known,
        calls_in_hour=pace.calls if is_hour else 0,
        short_calls_in_hour=pace.short if is_hour else 0,
        shrunk_until=instant(pace.shrunk_until_ms) if pace.shrunk_until_ms > now_ms else None,
        is_blocked=BLOCK in blocks_of(account),
    )


ROUTES: Final = (
    read_limits,
    read_plan,
    read_state,
    enquire_price,
    read_velocity,
)
