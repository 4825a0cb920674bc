"""The application: routes, OpenAPI, problems."""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

from litestar import Litestar, Response, Router
from litestar.datastructures import State
from litestar.di import Provide
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.types import ASGIApp

from ocs.api import (
    accounts,
    automatic_top_ups,
    bank,
    billing,
    cards,
    collections,
    diameter,
    events,
    feeds,
    health,
    history,
    lists,
    mediation,
    money,
    papers,
    parts,
    payment_methods,
    rates,
    sessions,
    subscribers,
    tmf654,
    trail,
)
from ocs.api.context import Context, require_scope
from ocs.api.meter import Meter
from ocs.api.operations import SECURITY_SCHEME
from ocs.api.problems import HANDLERS, Kind, Problem

BODY_OCTETS_MAX: Final = 65_536


def create_app(context: Context) -> ASGIApp:
    """Build the API on what the daemon hands in."""
    return Meter(create_litestar(context), context.metrics.counters)


def create_litestar(context: Context) -> Litestar:
    guarded = Router(
        "/v1",
        route_handlers=[
            *accounts.ROUTES,
            *money.ROUTES,
            *cards.ROUTES,
            *payment_methods.ROUTES,
            *automatic_top_ups.ROUTES,
            *lists.ROUTES,
            *parts.ROUTES,
            *sessions.ROUTES,
            *subscribers.ROUTES,
            *history.ROUTES,
            *rates.ROUTES,
            *diameter.ROUTES,
            *events.ROUTES,
            *billing.ROUTES,
            *papers.ROUTES,
            *collections.ROUTES,
            *bank.ROUTES,
            *feeds.ROUTES,
            *mediation.ROUTES,
            *trail.ROUTES,
        ],
        guards=[require_scope],
    )
    facade = Router(tmf654.BASE, route_handlers=[*tmf654.ROUTES], guards=[require_scope])
    return Litestar(
        route_handlers=[guarded, facade, *cards.OPEN_ROUTES, *health.ROUTES],
        dependencies={"context": Provide(lambda: context, sync_to_thread=False, use_cache=True)},
        exception_handlers=HANDLERS,
        before_send=[trail.note_request],
        openapi_config=_openapi(),
        request_max_body_size=BODY_OCTETS_MAX,
        state=State({"context": context}),
        logging_config=None,
        debug=False,
    )


def _refuse_unknown_pages(response: Response[object]) -> Response[object]:
    """The framework answers other pages under /openapi in HTML; ours are problems everywhere."""
    if response.status_code == 404:
        raise Problem(Kind.NO_ROUTE)
    return response


def _openapi() -> OpenAPIConfig:
    return OpenAPIConfig(
        title="Online charging server",
        version=version("ocs"),
        description="Accounts, top-ups, subscribers and call detail records. Amounts are decimal strings.",
        openapi_router=Router(
            "/openapi", route_handlers=[], include_in_schema=False, after_request=_refuse_unknown_pages
        ),
        render_plugins=[JsonRenderPlugin()],
        components=Components(
            security_schemes={
                SECURITY_SCHEME: SecurityScheme(
                    type="http", scheme="bearer", bearer_format="ocs_<id>_<secret>", description="`ocs keys create`"
                )
            }
        ),
    )
