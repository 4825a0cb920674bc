"""TM Forum's Prepay Balance Management (TMF654, version 4) on the same operations: buckets, top-ups, adjustments, transfers.

Names and shapes are TM Forum's; scopes, tenants, Idempotency-Key, problems and the audit log are those of the rest. TMF
writes amounts as JSON numbers: they are read and written as decimals here, never as binary fractions.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Final

import msgspec
from litestar import MediaType, Request, Response, get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Meta, field

from balance.account import NO_EXTRAS, Account, Bucket, UnitBucket
from balance.allowances import is_over
from balance.burn import is_expired
from balance.money import Currency, format_amount
from ocs.api.accounts import existing
from ocs.api.context import Context, Given, actor_of, check_own
from ocs.api.idempotency import IdempotencyKey, respond, usable_key
from ocs.api.keys import Scope
from ocs.api.operations import operation
from ocs.api.problems import Kind, Problem, invalid
from ocs.api.schemas import Body, Instant, instant
from ocs.billing.cdrs import JournalRow
from ocs.billing.search import ENTRY_MAX
from ocs.rating.units import UnitKind

BASE: Final = "/tmf-api/prepayBalanceManagement/v4"
LISTED_MAX: Final = 100

_UNITS: Final = {
    UnitKind.SECONDS: ("voice", "seconds"),
    UnitKind.OCTETS: ("data", "octets"),
    UnitKind.EVENTS: ("other", "events"),
}
_MONEY: Final = (Kind.KEY_MISSING, Kind.ACCOUNT_UNKNOWN, Kind.ACCOUNT_CLOSED, Kind.KEY_REUSED, Kind.CURRENCY_MISMATCH, Kind.CURRENCY_UNKNOWN, Kind.AMOUNT_TOO_LARGE)  # fmt: skip
_encoder: Final = msgspec.json.Encoder(decimal_format="number")


class Quantity(Body, frozen=True):
    """``units`` is a currency, or seconds, octets, events."""

    amount: Decimal
    units: Annotated[str, Meta(min_length=1, max_length=10, examples=["EUR"])]


class Reference(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of an account or a bucket, by its id."""

    id: Annotated[str, Meta(min_length=1, max_length=100)]
    href: str = ""


class ValidFor(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    start_date_time: Instant
    end_date_time: Instant | None


class TmfBucket(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One balance. ``usage_type`` is monetary, voice, data or other; ``status`` is active, suspended or expired."""

    id: str
    href: str
    name: str
    usage_type: str
    remaining_value: Quantity
    reserved_value: Quantity
    status: str
    is_shared: bool
    valid_for: ValidFor
    party_account: Reference
    type_: str = field(default="Bucket", name="@type")


class NewBalanceAction(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What is asked: so much for an account. What else TMF654 knows is taken and not looked at."""

    amount: Quantity
    party_account: Reference
    description: Annotated[str, Meta(max_length=200)] = ""
    reason: Annotated[str, Meta(max_length=200)] = ""


class NewBalanceTransfer(NewBalanceAction, frozen=True, kw_only=True, rename="camel"):
    """So much from ``partyAccount`` to ``receiverPartyAccount``."""

    receiver_party_account: Reference


class BalanceAction(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A top-up, an adjustment or a transfer that was carried out; its ``id`` is the account and the number of its journal entry."""

    id: str
    href: str
    amount: Quantity
    party_account: Reference
    description: str
    status: str
    confirmation_date: Instant
    type_: str = field(name="@type")


def _described(name: str, scope: Scope, status: int, shape: Any, *kinds: Kind) -> dict[str, Any]:
    """The keyword arguments of a route that writes its body itself."""
    found = operation(name, scope, *kinds, for_tenants=True)
    found["responses"][status] = ResponseSpec(shape, description="As TMF654 has it", generate_examples=False)
    return {**found, "tags": ["tmf654"], "status_code": status, "media_type": MediaType.JSON}


@get("/bucket", **_described("tmf_list_buckets", Scope.ACCOUNTS_READ, 200, list[TmfBucket], Kind.ACCOUNT_UNKNOWN))
async def list_buckets(
    context: Given,
    request: Request[Any, Any, Any],
    account_id: Annotated[str, QueryParameter(name="partyAccount.id", description="Whose")],
) -> Response[bytes]:
    """An account's buckets of money and of units."""
    account = await _own(context, request, account_id)
    return _answer(_buckets(context, account), 200)


@get(
    "/bucket/{bucket_id:str}",
    **_described("tmf_read_bucket", Scope.ACCOUNTS_READ, 200, TmfBucket, Kind.ACCOUNT_UNKNOWN),
)
async def read_bucket(bucket_id: FromPath[str], context: Given, request: Request[Any, Any, Any]) -> Response[bytes]:
    """One bucket."""
    account = await _own(context, request, _named(bucket_id)[0])
    for bucket in _buckets(context, account):
        if bucket.id == bucket_id:
            return _answer(bucket, 200)
    raise Problem(Kind.ACCOUNT_UNKNOWN, "there is no such bucket")


@post("/topupBalance", **_described("tmf_top_up", Scope.TOPUP, 201, BalanceAction, *_MONEY))
async def top_up(
    data: JSONBody[NewBalanceAction], idempotency_key: IdempotencyKey, context: Given, request: Request[Any, Any, Any]
) -> Response[bytes]:
    """Pay money in, as POST /v1/accounts/{id}/top-ups does."""
    return await _act(context, request, await _exactly(request, data), "topupBalance", usable_key(idempotency_key))


@post("/adjustBalance", **_described("tmf_adjust", Scope.ACCOUNTS_WRITE, 201, BalanceAction, *_MONEY))
async def adjust(
    data: JSONBody[NewBalanceAction], idempotency_key: IdempotencyKey, context: Given, request: Request[Any, Any, Any]
) -> Response[bytes]:
    """Correct the balance by a signed amount; the reason is mandatory."""
    if not (data.reason or data.description):
        raise invalid("reason", "is missing: it stands in the journal")
    return await _act(context, request, await _exactly(request, data), "adjustBalance", usable_key(idempotency_key))


@post(
    "/transferBalance",
    **_described(
        "tmf_transfer",
        Scope.ACCOUNTS_WRITE,
        201,
        BalanceAction,
        *_MONEY,
        Kind.NOT_ENOUGH_MONEY,
        Kind.ACCOUNT_SUSPENDED,
        Kind.PAYEE_UNKNOWN,
        Kind.PAYEE_CLOSED,
    ),
)
async def transfer(
    data: JSONBody[NewBalanceTransfer],
    idempotency_key: IdempotencyKey,
    context: Given,
    request: Request[Any, Any, Any],
) -> Response[bytes]:
    """Move money to another account, as POST /v1/accounts/{id}/transfers does."""
    payee = data.receiver_party_account.id
    check_own(request.auth, "receiverPartyAccount.id", payee)
    if payee == data.party_account.id:
        raise invalid("receiverPartyAccount.id", "is the account itself")
    return await _act(
        context, request, await _exactly(request, data), "transferBalance", usable_key(idempotency_key), payee
    )


@get("/topupBalance", **_described("tmf_list_top_ups", Scope.CDRS_READ, 200, list[BalanceAction]))
async def list_top_ups(
    context: Given,
    request: Request[Any, Any, Any],
    account_id: Annotated[str, QueryParameter(name="partyAccount.id", description="Whose")],
) -> Response[bytes]:
    """The last hundred of an account, newest first."""
    return await _list(context, request, account_id, "topupBalance")


@get("/adjustBalance", **_described("tmf_list_adjustments", Scope.CDRS_READ, 200, list[BalanceAction]))
async def list_adjustments(
    context: Given,
    request: Request[Any, Any, Any],
    account_id: Annotated[str, QueryParameter(name="partyAccount.id", description="Whose")],
) -> Response[bytes]:
    """The last hundred of an account, newest first."""
    return await _list(context, request, account_id, "adjustBalance")


_decoder: Final = msgspec.json.Decoder(NewBalanceAction)


# --- inside -----------------------------------------------------------------------------------------------------

_KINDS: Final = {
    "topupBalance": ("top_up", "TopupBalance"),
    "adjustBalance": ("adjustment", "AdjustBalance"),
    "transferBalance": ("transfer", "TransferBalance"),
}


async def _exactly(request: Request[Any, Any, Any], data: NewBalanceAction) -> NewBalanceAction:
    """The body once more: the framework has made a binary fraction of its amount."""
    exact = _decoder.decode(await request.body())
    assert exact.party_account == data.party_account, "it is the same body"
    return exact


async def _act(
    context: Context,
    request: Request[Any, Any, Any],
    data: NewBalanceAction,
    resource: str,
    key: str,
    payee: str = "",
) -> Response[bytes]:
    account_id, currency = data.party_account.id, context.currency(data.amount.units)
    check_own(request.auth, "partyAccount.id", account_id)
    amount = context.amount("amount.amount", _decimal_text(data.amount.amount), currency)
    reason, actor = data.reason or data.description, actor_of(request.auth)
    if payee:
        if amount <= 0:
            raise invalid("amount.amount", "must be more than zero")
        result = await context.money.transfer(
            account_id, payee, amount, currency.code, key=key, actor=actor, reason=reason
        )
    elif resource == "topupBalance":
        if amount <= 0:
            raise invalid("amount.amount", "a top-up must be more than zero; use adjustBalance to take money away")
        result = await context.accounts.top_up(account_id, amount, currency.code, key=key, actor=actor, reason=reason)
    else:
        if amount == 0:
            raise invalid("amount.amount", "must not be zero")
        result = await context.accounts.adjust(account_id, amount, currency.code, key=key, actor=actor, reason=reason)
    done = await respond(context, request, result)
    action = _action(account_id, result.entry_number, amount, currency, reason, instant(context.clock()), resource)
    return _answer(action, 201, done.headers)


async def _list(context: Context, request: Request[Any, Any, Any], account_id: str, resource: str) -> Response[bytes]:
    check_own(request.auth, "partyAccount.id", account_id)
    page = await context.history.list_journal(account_id, "", LISTED_MAX, kind=_KINDS[resource][0])
    return _answer([_action_of(context, row, resource) for row in page.items], 200)


def _action_of(context: Context, row: JournalRow, resource: str) -> BalanceAction:
    currency = context.currencies[row.currency]
    return _action(row.account_id, row.entry_number, row.amount, currency, row.reason, instant(row.at_ms), resource)


def _action(
    account_id: str, number: int, amount: int, currency: Currency, description: str, at: Instant, resource: str
) -> BalanceAction:
    name = f"{account_id}.{number}"
    return BalanceAction(
        id=name,
        href=f"{BASE}/{resource}/{name}",
        amount=_money(amount, currency),
        party_account=_account(account_id),
        description=description,
        status="completed",
        confirmation_date=at,
        type_=_KINDS[resource][1],
    )


async def _own(context: Context, request: Request[Any, Any, Any], account_id: str) -> Account:
    """An account that the key may know. Raises Problem."""
    if not account_id.startswith(request.auth.prefix):
        raise Problem(Kind.ACCOUNT_UNKNOWN)
    return await existing(context, account_id)


def _named(name: str) -> tuple[str, int]:
    """The account and the number in it that an id is made of. Raises Problem."""
    account_id, _, number = name.rpartition(".")
    if not account_id or not (number.isascii() and number.isdigit()) or len(number) > len(str(ENTRY_MAX)):
        raise Problem(Kind.ACCOUNT_UNKNOWN, "the id is that of an account, a dot and a number")
    return account_id, int(number)


def _buckets(context: Context, account: Account) -> list[TmfBucket]:
    currency, now_ms = context.currencies[account.currency], context.clock()
    status = "active" if account.state.name == "ACTIVE" else "suspended"

    def bucket(
        each: Bucket | UnitBucket, name: str, usage: str, values: tuple[Quantity, Quantity], over: bool
    ) -> TmfBucket:
        bucket_id = f"{account.account_id}.{each.bucket_id}"
        return TmfBucket(
            id=bucket_id,
            href=f"{BASE}/bucket/{bucket_id}",
            name=name,
            usage_type=usage,
            remaining_value=values[0],
            reserved_value=values[1],
            status="expired" if over else status,
            is_shared=False,
            valid_for=ValidFor(
                start_date_time=instant(each.created_at_ms),
                end_date_time=instant(each.expires_at_ms) if each.expires_at_ms else None,
            ),
            party_account=_account(account.account_id),
        )

    money = [
        bucket(
            each,
            "money",
            "monetary",
            (_money(each.balance, currency), _money(each.reserved, currency)),
            is_expired(each, now_ms),
        )
        for each in account.buckets
    ]
    units = []
    for each in (account.extras or NO_EXTRAS).units:
        usage, unit = _UNITS[UnitKind(each.kind)]
        values = (
            Quantity(amount=Decimal(each.balance), units=unit),
            Quantity(amount=Decimal(each.reserved), units=unit),
        )
        units.append(bucket(each, each.bundle, usage, values, is_over(each, now_ms)))
    return money + units


def _account(account_id: str) -> Reference:
    return Reference(id=account_id, href=f"/v1/accounts/{account_id}")


def _money(amount: int, currency: Currency) -> Quantity:
    return Quantity(amount=Decimal(format_amount(amount, currency.scale, currency.digits)), units=currency.code)


def _decimal_text(number: Decimal) -> str:
    try:
        return f"{number:f}" if number.is_finite() and abs(number.adjusted()) < 40 else str(number)
    except InvalidOperation:
        return str(number)


def _answer(content: object, status: int, headers: Any = None) -> Response[bytes]:
    return Response(_encoder.encode(content), status_code=status, media_type=MediaType.JSON, headers=headers)


ROUTES: Final = (list_buckets, read_bucket, top_up, adjust, transfer, list_top_ups, list_adjustments)
