"""What the handlers stand on, and who is asking: one object from the daemon, one check before each handler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler

from balance.money import Amount, AmountError, Currency, parse_amount
from ocs.api.keys import ApiKey, KeyRing, Scope, parse_token
from ocs.api.limiter import RateLimiter
from ocs.api.ports import (
    Accounts,
    Billing,
    Check,
    Deliveries,
    History,
    Money,
    PeerView,
    Rates,
    Subscribers,
    Trail,
    Vouchers,
)
from ocs.api.problems import Kind, Problem, invalid
from ocs.observe.metrics import Metrics
from ocs.payments.payments import Payments

# Tokens whose id is not cached cost a look into the store; this many of them a minute from one address.
LOOKUPS_PER_MINUTE: Final = 600


@dataclass(frozen=True)
class Context:
    """``checks`` decide /ready, by name. ``requests_per_minute`` is each API key's allowance."""

    accounts: Accounts
    subscribers: Subscribers
    history: History
    deliveries: Deliveries
    money: Money
    vouchers: Vouchers
    trail: Trail
    keys: KeyRing
    metrics: Metrics
    currencies: Mapping[str, Currency]
    rates: Rates
    billing: Billing
    clock: Callable[[], int]
    checks: Mapping[str, Check]
    peers: Callable[[], Awaitable[Sequence[PeerView]]]
    payments: Payments | None = None  # None: there is no payment gateway
    requests_per_minute: int = 6000
    limiter: RateLimiter = field(init=False)
    lookups: RateLimiter = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "limiter", RateLimiter(self.requests_per_minute))
        object.__setattr__(self, "lookups", RateLimiter(LOOKUPS_PER_MINUTE))

    def currency(self, code: str) -> Currency:
        """The currency that a client named."""
        currency = self.currencies.get(code)
        if currency is None:
            raise Problem(Kind.CURRENCY_UNKNOWN, f"{code} is not configured")
        return currency

    def amount(self, name: str, text: str, currency: Currency) -> Amount:
        """The amount that a client wrote into the field ``name``."""
        try:
            return parse_amount(text, currency.scale)
        except AmountError as error:
            raise invalid(name, str(error)) from error


Given: TypeAlias = NamedDependency[Context]

_BEARER: Final = "bearer "
_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="ocs"'}


async def require_scope(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Guard of every handler under /v1: a known key, within its rate, with the scope that the handler declares."""
    context: Context = connection.app.state.context
    scope: Scope = handler.opt["scope"]
    key = await _authenticate(connection, context)
    wait_s = context.limiter.wait_s(key.key_id, context.clock())
    if wait_s:
        raise Problem(
            Kind.RATE_LIMITED,
            f"This key may make {context.requests_per_minute} requests a minute",
            headers={"Retry-After": str(wait_s)},
        )
    if not key.allows(scope):
        raise Problem(Kind.FORBIDDEN, f"This needs the scope {scope}", required_scope=scope)
    if key.tenant:
        _keep_apart(key, connection.path_params, is_own_matter=handler.opt["for_tenants"])
    connection.scope["auth"] = key


async def _authenticate(connection: ASGIConnection[Any, Any, Any, Any], context: Context) -> ApiKey:
    header = connection.headers.get("authorization", "")
    token = parse_token(header[len(_BEARER) :].strip()) if header.lower().startswith(_BEARER) else None
    if token is None:
        raise Problem(Kind.UNAUTHENTICATED, headers=_CHALLENGE)
    if not context.keys.is_cached(token.key_id):
        address = connection.client.host if connection.client else ""
        wait_s = context.lookups.wait_s(address, context.clock())
        if wait_s:
            raise Problem(Kind.RATE_LIMITED, "Too many unknown keys", headers={"Retry-After": str(wait_s)})
    key = await context.keys.check(token)
    if key is None:
        raise Problem(Kind.UNAUTHENTICATED, "The key is unknown or revoked", headers=_CHALLENGE)
    return key


def _keep_apart(key: ApiKey, path: Mapping[str, Any], *, is_own_matter: bool) -> None:
    """A tenant's key knows nothing of others: what is not its own does not exist."""
    for name, kind in _NAMED.items():
        if name in path:
            if not str(path[name]).startswith(key.prefix):
                raise Problem(kind)
            return
    if not is_own_matter:
        raise Problem(Kind.FORBIDDEN, "This is not for keys of a tenant")


_NAMED: Final = {"account_id": Kind.ACCOUNT_UNKNOWN, "subscriber_id": Kind.SUBSCRIBER_UNKNOWN}


def prefix_of(key: ApiKey) -> str:
    """How the names begin that a key may know; empty: all of them."""
    return key.prefix


def check_own(key: ApiKey, field: str, name: str) -> None:
    """A new name of a tenant's key begins with its tenant."""
    if not name.startswith(key.prefix):
        raise invalid(field, f"names of this key begin with {key.prefix}")


def actor_of(key: ApiKey) -> str:
    """Who the journal names: the id, because a name may be given twice."""
    return f"api:{key.key_id}"
