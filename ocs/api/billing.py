"""Billing over HTTP: customers and their charges, invoices, payments, bill runs, dunning."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Final, TypeAlias

import msgspec
from litestar import Request, delete, get, post, put
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from ocs.api import cards
from ocs.api.billing_views import (
    ChargeEnd,
    ChargeView,
    CustomerList,
    Dispute,
    Hold,
    InvoiceList,
    InvoiceView,
    Leniency,
    NewCharge,
    NewCreditNote,
    NewNote,
    NewPayment,
    NewRefund,
    NewRun,
    NoteView,
    PaymentView,
    PreviewView,
    RefundView,
    RunList,
    Sending,
    StandingList,
    Voiding,
    VoidView,
    charge_view,
    invoice_view,
    payment_view,
    preview_view,
    standing_view,
)
from ocs.api.context import Given, actor_of
from ocs.api.cursors import Cursor, Limit
from ocs.api.idempotency import IdempotencyKey, usable_key
from ocs.api.keys import ApiKey, Scope
from ocs.api.operations import noted, operation
from ocs.api.problems import Kind, Problem, invalid
from ocs.api.trail import note
from ocs.billing.invoices import book, reviews
from ocs.billing.invoices.bill_runs import BillRun, find_run, list_runs
from ocs.billing.invoices.book import Invoice
from ocs.billing.invoices.credit_notes import draft_credit_note
from ocs.billing.invoices.customers import (
    Customer,
    add_agreed,
    agreed_charges,
    end_agreed,
    list_customers,
)
from ocs.billing.invoices.notes import Note, add_note, notes_of
from ocs.billing.invoices.payments import find_payment, payments_of
from ocs.billing_desk import BillingDesk
from ocs.clock import local_date
from ocs.dunning import Finding
from ocs.payments.gateway import GatewayRefusedError
from ocs.payments.refunding import check_by_hand

Actor: TypeAlias = Request[Any, ApiKey, Any]
READ, WRITE = Scope.BILLING_READ, Scope.BILLING_WRITE
RUNS_SHOWN: Final = 50


def how(name: str, scope: Scope, *kinds: Kind, noted_here: bool = False) -> dict[str, Any]:
    """What the routes of billing declare. ``noted_here``: the handler notes what it changed, with before and after."""
    route = operation(name, scope, Kind.BILLING_UNKNOWN, Kind.BILLING_REFUSED, *kinds)
    return {"tags": ["billing"], **(route if noted_here else noted(route))}


# --- customers ------------------------------------------------------------------------------------------------------


@post("/customers", **how("create_customer", WRITE, noted_here=True))
async def create_customer(data: JSONBody[Customer], request: Actor, context: Given) -> Customer:
    """Bill a customer from now on. His accounts have to be there; the first one pays."""
    async with context.billing.desk() as desk:
        await desk.add_customer(data)
    await note(context, request, f"customer {data.customer_id}", None, data)
    return data


@get("/customers", **how("list_customers", READ))
async def list_all_customers(context: Given, limit: Limit = 100, cursor: Cursor = "") -> CustomerList:
    """Customers by their ids."""
    async with context.billing.desk() as desk:
        found = await list_customers(desk.connection, cursor, limit)
    return CustomerList(customers=tuple(found), next_cursor=found[-1].customer_id if len(found) == limit else "")


@get("/customers/{customer_id:str}", **how("read_customer", READ))
async def read_customer(customer_id: FromPath[str], context: Given) -> Customer:
    """One customer."""
    async with context.billing.desk() as desk:
        return await desk.customer(customer_id)


@get("/customers/{customer_id:str}/charges", **how("list_charges", READ))
async def list_charges(customer_id: FromPath[str], context: Given) -> list[ChargeView]:
    """What the customer is charged beside usage."""
    async with context.billing.desk() as desk:
        customer = await desk.customer(customer_id)
        found = await agreed_charges(desk.connection, customer_id)
    return [charge_view(each, context.currencies[customer.currency]) for each in found]


@post("/customers/{customer_id:str}/charges", **how("create_charge", WRITE, noted_here=True))
async def create_charge(
    customer_id: FromPath[str], data: JSONBody[NewCharge], request: Actor, context: Given
) -> ChargeView:
    """Agree on a fee or a discount. The same charge_id again is refused: its charge is there."""
    async with context.billing.desk() as desk:
        customer = await desk.customer(customer_id)
        agreed = desk.agreed(customer, data.charge_id, data.amount, data.text, data.first, data.months, data.tax_code)
        if not await add_agreed(desk.connection, agreed):
            raise Problem(Kind.BILLING_REFUSED, f"There is a charge {data.charge_id} already")
    view = charge_view(agreed, context.currencies[customer.currency])
    await note(context, request, f"charge {data.charge_id}", None, view)
    return view


@post(
    "/customers/{customer_id:str}/charges/{charge_id:str}/end",
    status_code=204,
    **how("end_charge", WRITE, noted_here=True),
)
async def end_charge(
    customer_id: FromPath[str], charge_id: FromPath[str], data: JSONBody[ChargeEnd], request: Actor, context: Given
) -> None:
    """Let a charge end; what was billed in advance for later days comes back with the next invoice."""
    async with context.billing.desk() as desk:
        theirs = {each.charge_id: each for each in await agreed_charges(desk.connection, customer_id)}
        if charge_id not in theirs or not await end_agreed(desk.connection, charge_id, data.after):
            raise Problem(Kind.BILLING_UNKNOWN, f"{customer_id} has no charge {charge_id}")
    ended = theirs[charge_id].after
    before = ChargeEnd(after=ended) if ended is not None else None
    await note(context, request, f"charge {charge_id}", before, data)


@get("/customers/{customer_id:str}/notes", **how("list_notes", READ))
async def list_notes(customer_id: FromPath[str], context: Given) -> list[Note]:
    """What is noted about the customer, the newest first, without the documents."""
    async with context.billing.desk() as desk:
        return await notes_of(desk.connection, (await desk.customer(customer_id)).customer_id)


@post("/customers/{customer_id:str}/notes", **how("create_note", WRITE, noted_here=True))
async def create_note(customer_id: FromPath[str], data: JSONBody[NewNote], request: Actor, context: Given) -> NoteView:
    """Note something. Notes stay; documents go with them by `ocs customer note`."""
    async with context.billing.desk() as desk:
        await desk.customer(customer_id)
        note_id = await add_note(desk.connection, customer_id, actor_of(request.auth), data.text)
    await note(context, request, f"customer {customer_id} note {note_id}", None, data)
    return NoteView(note_id=note_id)


# --- invoices -------------------------------------------------------------------------------------------------------


@get("/customers/{customer_id:str}/invoice-preview", **how("preview_invoice", READ))
async def preview_invoice(
    customer_id: FromPath[str],
    context: Given,
    until: Annotated[date | None, QueryParameter(description="As if the period ended on this day")] = None,
) -> PreviewView:
    """The customer's next invoice as it would be. Nothing is written."""
    async with context.billing.desk() as desk:
        draft = await desk.preview(customer_id, until)
    return preview_view(draft, context.currencies[draft.customer.currency])


@get("/invoices", **how("list_invoices", READ))
async def list_invoices(
    context: Given,
    limit: Limit = 100,
    cursor: Cursor = "",
    customer_id: FromQuery[str] = "",
    in_state: Annotated[str, QueryParameter(name="state", description="draft, issued, paid or void")] = "",
    unreviewed: Annotated[bool, QueryParameter(description="Drafts that nobody has reviewed, alone")] = False,
) -> InvoiceList:
    """Invoices and credit notes, without their lines."""
    if cursor and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
        raise invalid("cursor", "is not one of ours: start again without it")
    async with context.billing.desk() as desk:
        found = await book.list_invoices(
            desk.connection, customer_id, in_state, int(cursor or 0), limit, is_unreviewed=unreviewed
        )
    views = tuple(invoice_view(each, context.currencies[each.currency]) for each in found)
    return InvoiceList(invoices=views, next_cursor=str(found[-1].invoice_id) if len(found) == limit else "")


@get("/invoices/{invoice:str}", **how("read_invoice", READ))
async def read_invoice(invoice: FromPath[str], context: Given) -> InvoiceView:
    """One invoice with its lines: by its number, or a draft by its id."""
    async with context.billing.desk() as desk:
        return await _whole(desk, await desk.invoice(invoice), context)


@post("/invoices/{invoice:str}/review", status_code=200, **how("review_invoice", WRITE, noted_here=True))
async def review_invoice(invoice: FromPath[str], request: Actor, context: Given) -> InvoiceView:
    """Mark a draft as reviewed, by whose key this is. Again changes nothing."""
    async with context.billing.desk() as desk:
        found = await desk.invoice(invoice)
        reviewed = await reviews.review(desk.connection, found.invoice_id, actor_of(request.auth))
        await _note(context, request, found, reviewed)
        return await _whole(desk, reviewed, context)


@put("/invoices/{invoice:str}/hold", **how("hold_invoice", WRITE, noted_here=True))
async def hold_invoice(invoice: FromPath[str], data: JSONBody[Hold], request: Actor, context: Given) -> InvoiceView:
    """Keep a draft from being issued, or let it go. Bill runs pass over what is held."""
    async with context.billing.desk() as desk:
        found = await desk.invoice(invoice)
        held = await reviews.hold(desk.connection, found.invoice_id, actor_of(request.auth), data.reason)
        await _note(context, request, found, held)
        return await _whole(desk, held, context)


@post("/invoices/{invoice:str}/issue", status_code=200, **how("issue_invoice", WRITE, noted_here=True))
async def issue_invoice(invoice: FromPath[str], request: Actor, context: Given) -> InvoiceView:
    """Give a draft its number and book it. It stands for ever; issuing it again changes nothing."""
    async with context.billing.desk() as desk:
        found = await desk.invoice(invoice)
        issued = await desk.invoicing.issue(found.invoice_id, local_date())
        await _note(context, request, found, issued)
        return await _whole(desk, issued, context)


@post("/invoices/{invoice:str}/send", status_code=202, **how("send_invoice", WRITE, noted_here=True))
async def send_invoice(invoice: FromPath[str], data: JSONBody[Sending], request: Actor, context: Given) -> None:
    """Send an issued invoice to the customer by mail, in his language. It is sent once, unless `again` is true."""
    async with context.billing.desk() as desk:
        found = await desk.invoice(invoice)
        was, today = await book.sent_on(desk.connection, found.invoice_id), local_date()
        why = await desk.send(found, today, has_annex=data.annex, has_ubl=data.ubl, again=data.again)
    if why:
        raise Problem(Kind.BILLING_REFUSED, why)
    before, after = {"sent_on": was}, {"sent_on": today, **msgspec.structs.asdict(data)}
    await note(context, request, f"invoice {found.invoice_id}", before, after)


@delete("/invoices/{invoice:str}", **how("discard_invoice", WRITE, noted_here=True))
async def discard_invoice(invoice: FromPath[str], request: Actor, context: Given) -> None:
    """Take a draft back: its records are free again. Of several drafts of a customer, the last one first."""
    async with context.billing.desk() as desk:
        found = await desk.invoice(invoice)
        await book.discard(desk.connection, found.invoice_id)
    await _note(context, request, found, None)


@post("/invoices/{invoice:str}/credit-notes", **how("create_credit_note", WRITE, noted_here=True))
async def create_credit_note(
    invoice: FromPath[str],
    data: JSONBody[NewCreditNote],
    request: Actor,
    context: Given,
    idempotency_key: IdempotencyKey,
) -> InvoiceView:
    """Correct an issued invoice, in part or whole. The note is issued and booked at once."""
    key = usable_key(idempotency_key)
    async with context.billing.desk() as desk:
        found = await desk.invoice(invoice)
        lines = {each.line: desk.minor(each.net, found.currency) for each in data.lines} or None
        note_id = await draft_credit_note(desk.connection, found.invoice_id, data.reason, lines, key)
        view = await _whole(desk, await desk.invoicing.issue(note_id, local_date()), context)
        await _note(context, request, found, await desk.invoice(str(found.invoice_id)))
    await note(context, request, f"invoice {note_id}", None, view)
    return view


@post("/invoices/{invoice:str}/void", status_code=200, **how("void_invoice", WRITE, noted_here=True))
async def void_invoice(invoice: FromPath[str], data: JSONBody[Voiding], request: Actor, context: Given) -> VoidView:
    """Take a whole invoice back: a draft goes, an issued one stays as void, with a credit note. Again changes nothing.

    Its records are free again and are billed by the next run; what was paid is the customer's credit.
    """
    async with context.billing.desk() as desk:
        found = await desk.invoice(invoice)
        notes = await desk.void(found, data.reason, local_date())
        await _note(context, request, found, await book.find_invoice(desk.connection, str(found.invoice_id)))
    return VoidView(
        invoice_id=found.invoice_id, number=found.number or "", credit_notes=tuple(each.name for each in notes)
    )


@put("/invoices/{invoice:str}/dispute", status_code=204, **how("dispute_invoice", WRITE, noted_here=True))
async def dispute_invoice(invoice: FromPath[str], data: JSONBody[Dispute], request: Actor, context: Given) -> None:
    """Let a disputed invoice not count for dunning, until that is settled."""
    async with context.billing.desk() as desk:
        found = await desk.invoice(invoice)
        was = await book.set_disputed(desk.connection, found.invoice_id, data.is_disputed)
    await note(context, request, f"invoice {found.name}", Dispute(is_disputed=was), data)


# --- bill runs ------------------------------------------------------------------------------------------------------


@post("/bill-runs", status_code=202, **how("start_bill_run", WRITE, noted_here=True))
async def start_bill_run(data: JSONBody[NewRun], request: Actor, context: Given) -> BillRun:
    """Draft the invoices of all customers whose period is over. It goes on beside; read it again to see how far it is.

    Said again, also at the same time, it bills nothing twice.
    """
    if data.until > local_date():
        raise invalid("until", "that day has not come")
    run_id = await context.billing.start_run(data.until, is_issuing=data.is_issuing)
    await note(context, request, f"bill run {run_id}", None, data)
    return await read_bill_run.fn(run_id, context)  # type: ignore[no-any-return]


@get("/bill-runs", **how("list_bill_runs", READ))
async def list_bill_runs(context: Given) -> RunList:
    """The newest first, those of the command line, too."""
    async with context.billing.desk() as desk:
        return RunList(runs=tuple(await list_runs(desk.connection, RUNS_SHOWN)))


@get("/bill-runs/{run_id:int}", **how("read_bill_run", READ))
async def read_bill_run(run_id: FromPath[int], context: Given) -> BillRun:
    """How far a run has come."""
    async with context.billing.desk() as desk:
        found = await find_run(desk.connection, run_id)
    if found is None:
        raise Problem(Kind.BILLING_UNKNOWN, f"There is no bill run {run_id}")
    return found


# --- payments -------------------------------------------------------------------------------------------------------


@get("/customers/{customer_id:str}/payments", **how("list_payments", READ))
async def list_payments(customer_id: FromPath[str], context: Given) -> list[PaymentView]:
    """Payments and credit notes, and what is left of each."""
    async with context.billing.desk() as desk:
        customer = await desk.customer(customer_id)
        found = await payments_of(desk.connection, customer_id)
    return [payment_view(each, context.currencies[customer.currency]) for each in found]


@post("/customers/{customer_id:str}/payments", status_code=200, **how("create_payment", WRITE, noted_here=True))
async def create_payment(
    customer_id: FromPath[str], data: JSONBody[NewPayment], request: Actor, context: Given
) -> PaymentView:
    """Book money that came in: it pays invoices, and lifts the live balance at once. The same reference again changes nothing."""
    today = local_date()
    async with context.billing.desk() as desk:
        chosen = tuple([(await desk.invoice(each)).invoice_id for each in data.invoices])
        payment, is_new = await desk.pay(
            customer_id, data.amount, data.received_on or today, today, data.method, data.reference, chosen
        )
    view = payment_view(payment, context.currencies[payment.currency], is_new=is_new)
    if is_new:
        await note(context, request, f"payment {payment.payment_id}", None, view)
    return view


@post("/payments/{payment_id:int}/reverse", status_code=200, **how("reverse_payment", WRITE, noted_here=True))
async def reverse_payment(payment_id: FromPath[int], request: Actor, context: Given) -> PaymentView:
    """Take back a payment that the bank has called back: what it paid is open again."""
    async with context.billing.desk() as desk:
        before = await find_payment(desk.connection, payment_id)
        payment = await desk.invoicing.reverse(payment_id, local_date())
    currency = context.currencies[payment.currency]
    view = payment_view(payment, currency)
    await note(context, request, f"payment {payment_id}", before and payment_view(before, currency), view)
    return view


@post(
    "/customers/{customer_id:str}/refunds",
    status_code=200,
    **how("create_refund", WRITE, Kind.CARDS_OFF, Kind.CARD_REFUSED, noted_here=True),
)
async def create_refund(
    customer_id: FromPath[str], data: JSONBody[NewRefund], request: Actor, context: Given
) -> RefundView:
    """Give a payment back through the gateway, or book money that was given back out of what was paid in excess.

    The same reference again changes nothing. If the gateway refuses, the money is where it was; if it cannot be reached,
    repeat the same: it goes on by itself, too.
    """
    if data.payment is None:
        view = await _booked(context, customer_id, data)
    else:
        view = await _given_back(context, customer_id, data, data.payment)
    await note(context, request, f"refund {view.refund_id}", None, view)
    return view


async def _booked(context: Given, customer_id: str, data: NewRefund) -> RefundView:
    async with context.billing.desk() as desk:
        customer, minor = await _refunded(desk, customer_id, data)
        if context.payments is not None:
            name = context.payments.gateway.name
            await check_by_hand(desk.connection, name, customer_id, data.method, data.reference)
        done = await desk.invoicing.refund(
            customer, minor, data.paid_on or local_date(), method=data.method, reference=data.reference
        )
    return RefundView(refund_id=done.refund_id, customer_id=customer_id, amount=data.amount, currency=done.currency)


async def _given_back(context: Given, customer_id: str, data: NewRefund, payment: int) -> RefundView:
    async with context.billing.desk() as desk:
        _, minor = await _refunded(desk, customer_id, data)
    try:
        kept = await cards.payments_of(context).refunds.refund(customer_id, payment, minor, key=data.reference)
    except GatewayRefusedError as error:
        raise Problem(Kind.CARD_REFUSED, str(error)) from error
    assert kept.refund_id is not None, "it is given"
    return RefundView(
        refund_id=kept.refund_id, customer_id=customer_id, amount=data.amount, currency=kept.currency,
        gateway_reference=kept.reference,
    )  # fmt: skip


async def _refunded(desk: BillingDesk, customer_id: str, data: NewRefund) -> tuple[Customer, int]:
    customer = await desk.customer(customer_id)
    minor = desk.minor(data.amount, customer.currency)
    if minor <= 0:
        raise invalid("amount", "is to be above zero")
    return customer, minor


# --- dunning --------------------------------------------------------------------------------------------------------


@get("/dunning", **how("preview_dunning", READ))
async def preview_dunning(
    context: Given,
    limit: Limit = 100,
    cursor: Cursor = "",
    on: Annotated[date | None, QueryParameter(description="As of this day; else today")] = None,
) -> StandingList:
    """What a dunning run would do, and why: ``limit`` customers are looked at for a page. Nothing is done."""
    async with context.billing.desk() as desk:
        customers = await list_customers(desk.connection, cursor, limit)
        found = await desk.invoicing.dunning.look_all(customers, on or local_date())
    return _standings(context, found, customers, limit)


@post("/dunning/runs", status_code=200, **how("run_dunning", WRITE))
async def run_dunning(context: Given, limit: Limit = 100, cursor: Cursor = "") -> StandingList:
    """Take every step that is due, each once, for ``limit`` customers a page; go on with `next_cursor` until it is empty.

    Said again, also after an interruption, it does nothing twice. `GET /v1/dunning` says before what would happen.
    """
    async with context.billing.desk() as desk:
        customers = await list_customers(desk.connection, cursor, limit)
        dunning, today = desk.invoicing.dunning, local_date()
        found = await dunning.pass_over(customers, today, context.clock())
    return _standings(context, found, customers, limit)


@put("/customers/{customer_id:str}/leniency", status_code=204, **how("set_leniency", WRITE, noted_here=True))
async def set_leniency(customer_id: FromPath[str], data: JSONBody[Leniency], request: Actor, context: Given) -> None:
    """Leave a customer in peace until a day, because he has promised to pay, or for good."""
    async with context.billing.desk() as desk:
        customer = await desk.customer(customer_id)
        was = await desk.invoicing.dunning.promise(customer, data.promised_until, is_exempt=data.is_exempt)
    before = Leniency(promised_until=was.promised_until, is_exempt=was.is_exempt)
    await note(context, request, f"customer {customer_id}", before, data)


def _standings(context: Given, found: list[Finding], customers: list[Customer], limit: int) -> StandingList:
    return StandingList(
        standings=tuple(standing_view(each, context.currencies) for each in found if each.is_something),
        next_cursor=customers[-1].customer_id if len(customers) == limit else "",
    )


async def _note(context: Given, request: Actor, before: Invoice, after: Invoice | None) -> None:
    """What has become of an invoice."""
    currency = context.currencies[before.currency]
    views = invoice_view(before, currency), invoice_view(after, currency) if after is not None else None
    await note(context, request, f"invoice {before.invoice_id}", *views)


async def _whole(desk: BillingDesk, found: Invoice, context: Given) -> InvoiceView:
    lines = tuple(await book.lines_of(desk.connection, found.invoice_id))
    return invoice_view(found, context.currencies[found.currency], lines)


ROUTES: Final = (
    create_customer, list_all_customers, read_customer, list_charges, create_charge, end_charge, list_notes, create_note, preview_invoice,
    list_invoices, read_invoice, review_invoice, hold_invoice, send_invoice, issue_invoice, discard_invoice, create_credit_note, void_invoice, dispute_invoice,
    start_bill_run, list_bill_runs, read_bill_run, list_payments, create_payment, create_refund, reverse_payment, preview_dunning, run_dunning,
    set_leniency,
)  # fmt: skip
