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
from ocs.api.ports import Accounts, Billing, Check, Deliveries, History, Money, PeerView, Rates, Vouchers
from ocs.api.problems import Kind, Problem, invalid
from ocs.observe.metrics import Metrics

# Tokens whose id is not cached cost a look into the store; this many of them a minute from one address.
LOOKUPS_PER_MINUTE: Final = 600


@dataclass(frozen=True)
class Context:
    """``checks`` decide /ready, by name. ``requests_per_minute`` is each API key's allowance."""

    accounts: Accounts
    history: History
    deliveries: Deliveries
    money: Money
    vouchers: Vouchers
    keys: KeyRing
    metrics: Metrics
    currencies: Mapping[str, Currency]
    rates: Rates
    billing: Billing
    clock: Callable[[], int]
    checks: Mapping[str, Check]
    peers: Callable[[], Awaitable[Sequence[PeerView]]]
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


def actor_of(key: ApiKey) -> str:
    """Who the journal names: the id, because a name may be given twice."""
    return f"api:{key.key_id}"
