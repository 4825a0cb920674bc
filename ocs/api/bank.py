"""The bank and the books over HTTP: statements and what their entries are, double entries for the bookkeeping."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import date
from tempfile import SpooledTemporaryFile
from typing import IO, Annotated, Any, Final, Literal

import msgspec
from litestar import Request, get, post
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.params import FromPath, JSONBody, QueryParameter
from litestar.response import Stream
from msgspec import Meta

from balance.money import format_amount
from ocs.api.billing import READ, WRITE, how
from ocs.api.context import Context, Given
from ocs.api.cursors import Limit
from ocs.api.problems import Kind, Problem, invalid
from ocs.api.schemas import DecimalString, Reason
from ocs.api.trail import note
from ocs.bank_desk import BankDesk, Loaded
from ocs.billing.bank.camt import BankFileError
from ocs.billing.bank.entries import EntryState, KeptEntry, find_entry
from ocs.billing.bank.matching import Suggestion
from ocs.billing.invoices.bookkeeping import Form
from ocs.clock import local_date

STATEMENT_OCTETS_MAX: Final = 64 << 20
IN_MEMORY_OCTETS_MAX: Final = 1 << 20
MEDIA_TYPES: Final[dict[Form, str]] = {"csv": "text/csv", "jsonl": "application/jsonl"}


class SuggestionView(msgspec.Struct, frozen=True, kw_only=True):
    """What an entry may be: a payment of ``invoices`` first, or (``payment_id``) the return of one."""

    sureness: str
    customer_id: str
    invoices: tuple[int, ...]
    payment_id: int
    why: str


class EntryView(msgspec.Struct, frozen=True, kw_only=True):
    """Money that came, or (below zero) went; ``payment_id`` is what it was booked as, or took back."""

    entry_id: int
    booked_on: date
    amount: DecimalString
    currency: str
    party: str
    party_iban: str
    text: str
    state: str
    payment_id: int | None
    note: str
    suggestions: tuple[SuggestionView, ...] = ()


class Assignment(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Either whose payment it is (``invoices`` are paid first, then the oldest), or the payment that it takes back."""

    customer_id: str = ""
    invoices: tuple[str, ...] = ()
    payment_id: Annotated[int, Meta(ge=0)] = 0


class Ignoring(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Why it is no customer's money: a fee of the bank, a transfer of our own."""

    reason: Reason


@post(
    "/bank/statements",
    status_code=200,
    request_max_body_size=STATEMENT_OCTETS_MAX,
    **how("load_bank_statement", WRITE, Kind.TOO_LARGE),
)
async def load_bank_statement(request: Request[Any, Any, Any], context: Given) -> Loaded:
    """Take a statement (camt.053, .052 or .054; the body, as it is, of up to 64 MiB): what is certain is booked, the rest waits.

    An entry is known by the bank's own name for it: the same again, or a copy of it, books nothing twice. A file that
    cannot be read to its end leaves nothing behind.
    """
    with SpooledTemporaryFile(IN_MEMORY_OCTETS_MAX) as file:
        await _lay_down(request, file)
        async with context.billing.desk() as desk:
            try:
                return await BankDesk(desk, desk.currencies).load(file, local_date())
            except BankFileError as error:
                raise Problem(Kind.BILLING_REFUSED, f"The statement {error}") from error


async def _lay_down(request: Request[Any, Any, Any], file: IO[bytes]) -> None:
    """Write the body to a file, piece by piece, and go back to its beginning."""
    try:
        async for piece in request.stream():
            file.write(piece)
    except RequestEntityTooLarge as error:
        raise Problem(
            Kind.TOO_LARGE,
            f"A statement may have {STATEMENT_OCTETS_MAX:,} octets here",
            cure="Load it on the machine, where any size is taken: ocs bank load FILE.",
        ) from error
    file.seek(0)


@get("/bank/entries", **how("list_bank_entries", READ))
async def list_bank_entries(context: Given, limit: Limit = 100) -> list[EntryView]:
    """Entries that wait for somebody, the oldest first, with what they may be, the surest first."""
    async with context.billing.desk() as desk:
        found = await BankDesk(desk, desk.currencies).waiting(limit)
    return [_view(context, kept, suggestions) for kept, suggestions in found]


@post("/bank/entries/{entry_id:int}/assign", status_code=200, **how("assign_bank_entry", WRITE, noted_here=True))
async def assign_bank_entry(
    entry_id: FromPath[int], data: JSONBody[Assignment], request: Request[Any, Any, Any], context: Given
) -> EntryView:
    """Say what an entry is: a customer's payment, or the return of one."""
    if bool(data.customer_id) == bool(data.payment_id):
        raise invalid("customer_id", "or payment_id is to be given, one of both")
    async with context.billing.desk() as desk:
        bank, today = BankDesk(desk, desk.currencies), local_date()
        if data.payment_id:
            await bank.return_payment(entry_id, data.payment_id, today)
        else:
            chosen = tuple([(await desk.invoice(each)).invoice_id for each in data.invoices])
            await bank.assign(entry_id, data.customer_id, chosen, today)
        return await _settled(context, request, desk.connection, entry_id)


@post("/bank/entries/{entry_id:int}/ignore", status_code=200, **how("ignore_bank_entry", WRITE, noted_here=True))
async def ignore_bank_entry(
    entry_id: FromPath[int], data: JSONBody[Ignoring], request: Request[Any, Any, Any], context: Given
) -> EntryView:
    """Leave an entry out."""
    async with context.billing.desk() as desk:
        await BankDesk(desk, desk.currencies).ignore(entry_id, data.reason)
        return await _settled(context, request, desk.connection, entry_id)


@get("/bookkeeping", media_type="text/csv", **how("export_bookkeeping", READ))
async def export_bookkeeping(
    context: Given,
    first: Annotated[date, QueryParameter(name="from", description="The first day")],
    after: Annotated[date, QueryParameter(name="until", description="The day after the last one")],
    form: Annotated[Literal["csv", "jsonl"], QueryParameter(description="CSV, or a JSON object a line")] = "csv",
) -> Stream:
    """What was issued and paid as double entries, by the accounts of `billing.toml`, as they are read from the books."""
    if after <= first:
        raise invalid("until", "is to come after from")
    pieces = _pieces(context, first, after, form)
    return Stream(_after(await anext(pieces, ""), pieces), media_type=MEDIA_TYPES[form])


async def _pieces(context: Context, first: date, after: date, form: Form) -> AsyncGenerator[str, None]:
    async with context.billing.desk() as desk, aclosing(desk.bookkeeping(first, after, form)) as pieces:
        async for piece in pieces:
            yield piece


async def _after(first: str, rest: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
    """Books that cannot be read are told as a problem: the first piece is there before the answer begins."""
    async with aclosing(rest):
        yield first
        async for piece in rest:
            yield piece


async def _settled(context: Context, request: Request[Any, Any, Any], connection: Any, entry_id: int) -> EntryView:
    """The entry as it is now: it was open before, or it would have been refused."""
    kept = await find_entry(connection, entry_id)
    assert kept is not None, "entries stay"
    view = _view(context, kept)
    before = msgspec.structs.replace(view, state=EntryState.OPEN.value, payment_id=None, note="")
    await note(context, request, f"entry {entry_id}", before, view)
    return view


def _view(context: Context, kept: KeptEntry, suggestions: list[Suggestion] | None = None) -> EntryView:
    entry, digits = kept.entry, context.currencies[kept.entry.currency].digits
    return EntryView(
        entry_id=kept.entry_id, booked_on=entry.booked_on, amount=format_amount(entry.amount_minor, digits, digits),
        currency=entry.currency, party=entry.party, party_iban=entry.party_iban, text=entry.text, state=kept.state.value,
        payment_id=kept.payment_id, note=kept.note,
        suggestions=tuple(
            SuggestionView(
                sureness=each.sureness.name.lower(), customer_id=each.customer_id, invoices=each.invoices,
                payment_id=each.payment_id, why=each.why,
            )
            for each in suggestions or ()
        ),
    )  # fmt: skip


ROUTES: Final[tuple[Any, ...]] = (
    load_bank_statement, list_bank_entries, assign_bank_entry, ignore_bank_entry, export_bookkeeping,
)  # fmt: skip
