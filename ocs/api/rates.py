"""Rates over HTTP: why a number costs what it costs, reading the files again, putting a staged deck in place."""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias

import msgspec
from litestar import Request, get, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from msgspec import Meta

from ocs.api.context import Context, Given
from ocs.api.keys import Scope
from ocs.api.operations import operation
from ocs.api.problems import Kind, Problem, invalid
from ocs.api.schemas import Body, Instant, milliseconds
from ocs.api.trail import note
from ocs.gateways.addresses import called_number
from ocs.rates.report import trace_fields, use_fields
from ocs.rates.trace import Query, trace
from ocs.rates.versions import VersionError
from ocs.rating.faults import ConfigFault
from ocs.rating.origins import INCOMING, origin_of
from ocs.rating.price import Tariff
from ocs.rating.ratebook import NO_GROUP
from ocs.rating.terms import price_of_time
from ocs.rating.whereabouts import moved, whereabouts_of

Network: TypeAlias = Annotated[
    str, QueryParameter(description="The network in which the user is: MCC and MNC", pattern="^[0-9]{0,6}$")
]


class RatesView(msgspec.Struct, frozen=True, kw_only=True):
    """``version`` is what sessions and CDRs carry; empty: no rates are loaded."""

    version: str
    plans: tuple[str, ...]


class Activation(Body, frozen=True):
    """``version`` is the hash that `ocs rates import` gave; ``at`` left out: now."""

    version: Annotated[str, Meta(pattern="^[0-9a-f]{12}$", examples=["494421f43d60"])]
    at: Instant | None = None


@get("/rates", tags=["rates"], **operation("read_rates", Scope.RATES_READ, for_tenants=True))
async def read_rates(context: Given) -> RatesView:
    """The version in force, and its plans."""
    return _view(context)


@get(
    "/rates/explanation",
    tags=["rates"],
    **operation("explain_rate", Scope.RATES_READ, Kind.RATE_PLAN_UNKNOWN, for_tenants=True),
)
async def explain_rate(
    context: Given,
    plan: FromQuery[str],
    number: FromQuery[str] = "",
    service: FromQuery[str] = "voice",
    at: FromQuery[Instant | None] = None,
    used: Annotated[int | None, QueryParameter(ge=0, description="Price this much: seconds, octets, events")] = None,
    seconds: Annotated[
        int | None, QueryParameter(ge=0, description="Beside a volume: the time, if it is priced")
    ] = None,
    counted: Annotated[
        int | None, QueryParameter(ge=0, description="Of tiers over a period: what the account has used of them before")
    ] = None,
    rating_group: Annotated[int, QueryParameter(ge=-1, description="-1: the request names none")] = NO_GROUP,
    service_identifier: Annotated[list[int] | None, QueryParameter(description="Its Service-Identifiers")] = None,
    caller: Annotated[str, QueryParameter(description="The calling number, in international form")] = "",
    trunk: Annotated[str, QueryParameter(description="The Diameter peer or RADIUS client that asks")] = "",
    network: Network = "",
    rat: Annotated[str, QueryParameter(description="The radio access: eutran, nr, wlan, ..., or its number")] = "",
    apn: Annotated[str, QueryParameter(description="The access point")] = "",
    location: Annotated[str, QueryParameter(description="Network, area and cell: 26201-1a2b-0001")] = "",
    serving: Annotated[str, QueryParameter(description="The address of the node that serves the user")] = "",
    incoming: Annotated[bool, QueryParameter(description="The one who is charged is called")] = False,
) -> dict[str, Any]:
    """What a number costs: the tariffs and prefixes in question, why each lost, and the price in words."""
    at_ms = milliseconds("at", at) or context.clock()
    place = moved(whereabouts_of(network, rat, apn, location, serving), INCOMING if incoming else "")
    origin = origin_of(called_number(caller), trunk, place)
    query = Query(number, plan, service, at_ms, rating_group, tuple(service_identifier or ()), origin)
    return explained_rate(context, query, used, seconds, counted)


def explained_rate(
    context: Context, query: Query, used: int | None, seconds: int | None, counted: int | None = None
) -> dict[str, Any]:
    """Explain the price of a use, whose number is as somebody typed it. Raises Problem."""
    book = context.rates.book()
    currency = context.currencies.get(book.currency_of(query.plan) or "") if book else None
    if book is None or currency is None:
        raise Problem(Kind.RATE_PLAN_UNKNOWN, query.plan)
    query = msgspec.structs.replace(query, number=called_number(query.number))
    found = trace(book, currency, query)
    fields = trace_fields(found, currency)
    if not isinstance(found.answer, Tariff):
        return fields
    if used is not None:
        fields["use"] = use_fields(book.lasting(found.answer.price, query.at_ms, used), used, currency, counted)
    if seconds is not None and (time := price_of_time(found.answer.price)) is not None:
        fields["time"] = use_fields(time, seconds, currency)
    return fields


@post(
    "/rates/reload", tags=["rates"], status_code=200, **operation("reload_rates", Scope.RATES_WRITE, Kind.RATES_REFUSED)
)
async def reload_rates(context: Given, request: Request[Any, Any, Any]) -> RatesView:
    """Read the rate files again and swap them whole; with one fault in them nothing is swapped."""
    before = _view(context)
    _refuse_faults(await context.rates.reload())
    await note(context, request, "rates", before, _view(context))
    return _view(context)


@post(
    "/rates/decks/{deck:str}/activations",
    tags=["rates"],
    status_code=200,
    **operation("activate_deck", Scope.RATES_WRITE, Kind.RATES_REFUSED),
)
async def activate_deck(
    deck: FromPath[str], data: JSONBody[Activation], context: Given, request: Request[Any, Any, Any]
) -> RatesView:
    """Put a staged version of a deck in place, now or at an instant; then read the files again."""
    if not deck.replace("-", "").replace("_", "").replace(".", "").isalnum() or deck.startswith("."):
        raise invalid("deck", "letters, digits, dash, underscore and dot")
    try:
        _refuse_faults(await context.rates.activate(deck, data.version, milliseconds("at", data.at)))
    except VersionError as error:
        raise Problem(Kind.RATES_REFUSED, str(error)) from error
    await note(context, request, f"deck {deck}", None, data)
    return _view(context)


def _view(context: Context) -> RatesView:
    book = context.rates.book()
    return RatesView(version=book.version if book else "", plans=book.plans() if book else ())


def _refuse_faults(faults: tuple[ConfigFault, ...]) -> None:
    if faults:
        errors = [{"field": f"{fault.file}:{fault.line}: {fault.field}", "detail": fault.message} for fault in faults]
        raise Problem(Kind.RATES_REFUSED, f"{len(faults)} faults; the old rates stay in force", errors=errors)


ROUTES: Final = (read_rates, explain_rate, reload_rates, activate_deck)
