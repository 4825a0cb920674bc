"""Every error of the API as an RFC 9457 problem: one table of kinds, one exception, one way to answer.

``type`` is a path on this server where the kind is explained (GET it), so that a stranger who sees a problem in a log
can find out what to do.
"""

from __future__ import annotations

import secrets
from enum import Enum
from typing import Any, Final, NamedTuple

import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from redis.exceptions import RedisError

from balance.store import BackendUnavailable
from ocs.billing.invoices.book import InvoiceRefusedError
from ocs.billing_desk import NotThereError
from ocs.invoicing import BookingRefusedError

log = structlog.get_logger()

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 1


class KindFacts(NamedTuple):
    """``cure`` says what the client should do; it is a member of each problem, and on its explanation page."""

    slug: str
    status: int
    title: str
    cure: str


class Kind(Enum):
    """The closed set of problems. Clients may rely on ``type``; ``detail`` is for people and may change."""

    BAD_REQUEST = KindFacts("bad-request", 400, "The request cannot be read", "Correct the request; see detail.")
    KEY_MISSING = KindFacts(
        "idempotency-key-missing",
        400,
        "The Idempotency-Key header is missing or not usable",
        "Send a header Idempotency-Key of 1 to 128 visible ASCII characters, new for each intent, the same for each repeat.",
    )
    UNAUTHENTICATED = KindFacts(
        "unauthenticated",
        401,
        "A valid API key is required",
        "Send the header Authorization: Bearer ocs_..., with a key from `ocs keys create` that is not revoked.",
    )
    FORBIDDEN = KindFacts(
        "forbidden", 403, "The API key lacks the scope", "Use a key with the scope that detail names."
    )
    NO_ROUTE = KindFacts("no-such-route", 404, "There is nothing at this address", "See /openapi.json for the routes.")
    ACCOUNT_UNKNOWN = KindFacts("account-unknown", 404, "There is no such account", "Check the account_id.")
    SESSION_UNKNOWN = KindFacts(
        "session-unknown",
        404,
        "There is no such open session",
        "List the account's sessions; it may have ended by now.",
    )
    CDR_UNKNOWN = KindFacts(
        "cdr-unknown",
        404,
        "There is no such CDR",
        "Check the account and the entry_number; a record arrives a moment after the call.",
    )
    SUBSCRIBER_UNKNOWN = KindFacts(
        "subscriber-unknown", 404, "There is no such subscriber", "Check the subscriber_id or the identity."
    )
    SUBSCRIPTION_UNKNOWN = KindFacts(
        "subscription-unknown",
        404,
        "The account has no such subscription",
        "Its `subscriptions` name those that it has.",
    )
    BILLING_UNKNOWN = KindFacts(
        "billing-unknown", 404, "There is no such customer or document", "`detail` says which, and what there is."
    )
    METHOD_NOT_ALLOWED = KindFacts(
        "method-not-allowed", 405, "The method is not allowed here", "See the Allow header or /openapi.json."
    )
    ACCOUNT_EXISTS = KindFacts(
        "account-exists", 409, "The account exists already", "Read it; or choose another account_id."
    )
    SUBSCRIBER_EXISTS = KindFacts(
        "subscriber-exists", 409, "The subscriber exists already", "Read it; or choose another subscriber_id."
    )
    IDENTITY_TAKEN = KindFacts(
        "identity-taken", 409, "Another subscriber has this identity", "An identity leads to exactly one subscriber."
    )
    NOT_PORTABLE = KindFacts(
        "not-portable", 409, "The giver does not have this identity", "Find the subscriber who has it, and name him."
    )
    ACCOUNT_CLOSED = KindFacts(
        "account-closed", 409, "The account is closed", "A closed account takes no more money and is not opened again."
    )
    NOT_ENOUGH_MONEY = KindFacts(
        "not-enough-money",
        409,
        "The account cannot pay for it",
        "Top up first, then repeat with a new Idempotency-Key.",
    )
    ACCOUNT_SUSPENDED = KindFacts(
        "account-suspended", 409, "The account is suspended", "Activate it first; it keeps what it has."
    )
    COMMITTED = KindFacts(
        "committed", 409, "A subscription binds the account to its plan", "Change it at its `committed_until` or later."
    )
    ACCOUNT_IN_USE = KindFacts(
        "account-in-use", 409, "The account has open sessions", "End them, or wait until they have ended; then repeat."
    )
    ACCOUNT_IN_LEVELS = KindFacts(
        "account-in-levels",
        409,
        "The account is charged along with others",
        "The place that stands in a name (`acme~alice`) stays: no `reseller`, and no merging; transfer what they have.",
    )
    INVOICES_OPEN = KindFacts(
        "invoices-open", 409, "The account has open invoices", "Have them paid or credited first; then repeat."
    )
    RATES_REFUSED = KindFacts(
        "rates-refused",
        409,
        "The rates cannot be put in place",
        "Nothing was changed; each entry of `errors` or detail says what to repair.",
    )
    BILLING_REFUSED = KindFacts(
        "billing-refused", 409, "It cannot be done with this document", "Nothing was changed; `detail` says why."
    )
    PRECONDITION_FAILED = KindFacts(
        "precondition-failed",
        412,
        "It has changed since it was read",
        "Read it again, look at it, repeat with its ETag.",
    )
    TOO_LARGE = KindFacts(
        "too-large",
        413,
        "The request body is too large",
        "A body may have 65,536 octets, a file of records or a bank statement 64 MiB; larger ones: `ocs mediate load`, `ocs bank load`.",
    )
    INVALID = KindFacts(
        "invalid", 422, "The request has invalid fields", "Each entry of `errors` names a field and what is wrong."
    )
    KEY_REUSED = KindFacts(
        "idempotency-key-reused",
        422,
        "The Idempotency-Key was used for another request",
        "Nothing was changed now. A repeat must have the same content; a new intent needs a new key.",
    )
    CURRENCY_MISMATCH = KindFacts(
        "currency-mismatch", 422, "The currency is not the account's", "Amounts are not converted; use the account's."
    )
    CURRENCY_UNKNOWN = KindFacts(
        "currency-unknown", 422, "The currency is not known", "Use an ISO 4217 code that config/currencies.toml lists."
    )
    RATE_PLAN_UNKNOWN = KindFacts(
        "rate-plan-unknown",
        422,
        "There is no such rate plan in this currency",
        "Use the name of a plan in config/rateplans, and its currency.",
    )
    PARENT_UNKNOWN = KindFacts(
        "parent-unknown",
        422,
        "There is no account above it",
        "Create the account before the last ~ of the name first: both are charged together.",
    )
    RESELLER_UNKNOWN = KindFacts(
        "reseller-unknown", 422, "There is no open account of the reseller", "Create the reseller's account first."
    )
    RESELLER_IN_CIRCLE = KindFacts(
        "reseller-in-circle",
        422,
        "The reseller is charged along with the account itself",
        "Change the reseller of the accounts above first: nobody is charged along with himself.",
    )
    PACKAGE_UNKNOWN = KindFacts(
        "package-unknown",
        422,
        "The account's plan sells no such package",
        "Use the name of one of the plan's [[packages]] in config/rateplans.",
    )
    AMOUNT_TOO_LARGE = KindFacts(
        "amount-too-large", 422, "The balance would become too large", "Amounts and balances have to fit 63 bits."
    )
    PAYEE_UNKNOWN = KindFacts(
        "payee-unknown", 422, "There is no account of that name to pay", "Check its name; nothing was moved."
    )
    PAYEE_CLOSED = KindFacts(
        "payee-closed", 422, "The account to pay takes no more money", "Nothing was moved; choose another account."
    )
    VOUCHER_UNKNOWN = KindFacts(
        "voucher-unknown",
        404,
        "There is no such voucher",
        "Check the digits; too many wrong ones lock the account out.",
    )
    VOUCHER_USED = KindFacts("voucher-used", 409, "The voucher was redeemed before", "Each pays in once.")
    VOUCHER_VOID = KindFacts(
        "voucher-void", 409, "The voucher is no longer valid", "It has expired, or its batch was withdrawn."
    )
    VOUCHER_LOCKED = KindFacts(
        "voucher-locked", 429, "Too many wrong voucher codes", "This account may try again in a quarter of an hour."
    )
    ENTRY_UNKNOWN = KindFacts(
        "entry-unknown",
        404,
        "There is no such entry in the journal",
        "Check the account and the entry_number; an entry arrives a moment after the change.",
    )
    NOT_REVERSIBLE = KindFacts(
        "not-reversible",
        409,
        "The entry cannot be taken back",
        "It moved no money, was taken back before, or is of a kind that has another way back; see detail.",
    )
    CARDS_OFF = KindFacts(
        "cards-off", 409, "There are no payments by card here", "Configure [stripe] in ocs.toml: docs/payments.md."
    )
    CARD_REFUSED = KindFacts(
        "card-refused", 409, "The payment gateway refuses it", "No money has moved; detail says why. Use a new key."
    )
    PAYMENT_UNKNOWN = KindFacts(
        "payment-unknown",
        404,
        "The account has no such payment by card",
        "The reference of its top-up in the journal names it, after `stripe:`.",
    )
    METHOD_UNKNOWN = KindFacts(
        "payment-method-unknown",
        404,
        "There is no such payment method",
        "The list of payment methods names those there are.",
    )
    RULE_UNKNOWN = KindFacts(
        "automatic-top-up-unknown", 404, "The account has no automatic top-up", "Put one; see docs/payments.md."
    )
    RATE_LIMITED = KindFacts(
        "rate-limited", 429, "Too many requests", "Wait for the seconds in Retry-After, then repeat."
    )
    CLIENT_ERROR = KindFacts("client-error", 400, "The request was refused", "See detail.")
    INTERNAL = KindFacts(
        "internal-error",
        500,
        "Something failed on our side",
        "Repeat with the same Idempotency-Key; report the error_id, it stands in the log.",
    )
    UNAVAILABLE = KindFacts(
        "unavailable",
        503,
        "A server we depend on is away",
        "Repeat with the same Idempotency-Key after the seconds in Retry-After.",
    )
    NOT_READY = KindFacts("not-ready", 503, "The server is not ready", "`checks` says what is missing.")


_BY_STATUS: Final = {
    400: Kind.BAD_REQUEST,
    401: Kind.UNAUTHENTICATED,
    403: Kind.FORBIDDEN,
    404: Kind.NO_ROUTE,
    405: Kind.METHOD_NOT_ALLOWED,
    413: Kind.TOO_LARGE,
    429: Kind.RATE_LIMITED,
    503: Kind.UNAVAILABLE,
}
_AMOUNT_WORDS: Final = ("amount", "credit_limit", "low_balance")


class Problem(Exception):  # noqa: N818 - the RFC's word
    """Raised by a handler or a guard to answer with a problem of one kind."""

    def __init__(
        self,
        kind: Kind,
        detail: str = "",
        *,
        headers: dict[str, str] | None = None,
        **members: object,
    ) -> None:
        super().__init__(kind.value.slug, detail)
        self.kind = kind
        self.detail = detail
        self.headers = headers or {}
        self.members = members


def invalid(field: str, detail: str) -> Problem:
    """One field of the body or the query is wrong."""
    return Problem(Kind.INVALID, f"{field}: {detail}", errors=[{"field": field, "detail": detail}])


def respond(request: Request[Any, Any, Any], problem: Problem) -> Response[dict[str, object]]:
    status = problem.kind.value.status
    return Response(
        body_of(problem, request.url.path), status_code=status, media_type=MEDIA_TYPE, headers=problem.headers
    )


def body_of(problem: Problem, instance: str) -> dict[str, object]:
    facts = problem.kind.value
    body: dict[str, object] = {"type": f"/problems/{facts.slug}", "title": facts.title, "status": facts.status}
    if problem.detail:
        body["detail"] = problem.detail
    return {**body, "cure": facts.cure, "instance": instance, **problem.members}


def on_problem(request: Request[Any, Any, Any], problem: Problem) -> Response[dict[str, object]]:
    return respond(request, problem)


def on_http_exception(request: Request[Any, Any, Any], error: HTTPException) -> Response[dict[str, object]]:
    """What the framework refuses: unknown routes, methods, unreadable bodies, bodies over the limit."""
    kind = _BY_STATUS.get(error.status_code)
    if kind is None:
        return on_any(request, error) if error.status_code >= 500 else respond(request, Problem(Kind.CLIENT_ERROR))
    detail = "" if error.status_code in (404, 405) else error.detail
    return respond(request, Problem(kind, detail, headers=dict(error.headers or {})))


def on_validation(request: Request[Any, Any, Any], error: ValidationException) -> Response[dict[str, object]]:
    """Fields of body, path or query that do not have the documented type."""
    errors = [_field_error(entry) for entry in error.extra or [] if isinstance(entry, dict)]
    if not errors:
        # A parameter that is missing altogether: the framework says which in its detail only.
        kind = Kind.KEY_MISSING if "'Idempotency-Key'" in error.detail else Kind.BAD_REQUEST
        return respond(request, Problem(kind, error.detail))
    if errors == [{"field": "", "detail": "'data'"}]:
        return respond(request, Problem(Kind.BAD_REQUEST, "A JSON object is expected as body"))
    detail = "; ".join(f"{one['field']}: {one['detail']}" if one["field"] else one["detail"] for one in errors)
    return respond(request, Problem(Kind.INVALID, detail, errors=errors))


def _field_error(entry: dict[str, Any]) -> dict[str, str]:
    field, detail = str(entry.get("key", "")).removeprefix("data"), str(entry.get("message", ""))
    if field in _AMOUNT_WORDS and ("got `int`" in detail or "got `float`" in detail):
        # A JSON number becomes a binary fraction in most languages on its way here; then the cents are lost already.
        detail = 'an amount is a JSON string, such as "12.30", not a number'
    return {"field": field, "detail": detail}


def on_backend_away(request: Request[Any, Any, Any], _: Exception) -> Response[dict[str, object]]:
    detail = "The outcome is not known. Repeat with the same Idempotency-Key." if request.method != "GET" else ""
    return respond(request, Problem(Kind.UNAVAILABLE, detail, headers={"Retry-After": str(RETRY_AFTER_S)}))


def on_redis_error(request: Request[Any, Any, Any], error: RedisError) -> Response[dict[str, object]]:
    """What the store's client did not turn into BackendUnavailable: a full disk (MISCONF), a read-only replica."""
    log.warning("http_store_refused", reason=str(error))
    return on_backend_away(request, error)


def on_any(request: Request[Any, Any, Any], error: Exception) -> Response[dict[str, object]]:
    """Our bug: this request gets a number to report, the log gets the traceback under the same number."""
    error_id = secrets.token_hex(8)
    log.error("http_request_failed", error_id=error_id, method=request.method, exc_info=error)
    return respond(request, Problem(Kind.INTERNAL, error_id=error_id))


def on_refused(request: Request[Any, Any, Any], error: InvoiceRefusedError) -> Response[dict[str, object]]:
    """What billing says no to, in its words."""
    kind = Kind.BILLING_UNKNOWN if isinstance(error, NotThereError) else Kind.BILLING_REFUSED
    return respond(request, Problem(kind, str(error)))


def on_not_booked(request: Request[Any, Any, Any], error: BookingRefusedError) -> Response[dict[str, object]]:
    """The document stands; what it books waits for the account to be mended."""
    return respond(
        request, Problem(Kind.BILLING_REFUSED, f"{error}; the document stands, and is booked when it is issued again")
    )


HANDLERS: Final[dict[int | type[Exception], Any]] = {
    Problem: on_problem,
    InvoiceRefusedError: on_refused,
    BookingRefusedError: on_not_booked,
    ValidationException: on_validation,
    HTTPException: on_http_exception,
    BackendUnavailable: on_backend_away,
    RedisError: on_redis_error,
    Exception: on_any,
}
