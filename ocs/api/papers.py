"""What is written of an invoice, over HTTP: PDF, UBL, and its records as CSV."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Final, Literal

from litestar import Response, get
from litestar.params import FromPath, QueryParameter
from litestar.response import Stream

from ocs.api.billing import READ, how
from ocs.api.context import Context, Given
from ocs.billing.invoices.book import Invoice

PDF: Final = "application/pdf"
XML: Final = "application/xml"
CSV: Final = "text/csv"


@get("/invoices/{invoice:str}/pdf", media_type=PDF, **how("print_invoice", READ))
async def print_invoice(
    invoice: FromPath[str],
    context: Given,
    annex: Annotated[bool, QueryParameter(description="With the list of all records")] = False,
) -> Response[bytes]:
    """The invoice in the customer's language."""
    async with context.billing.desk() as desk:
        found, paper = await desk.paper(invoice, has_annex=annex)
        octets = await desk.set_in_type(found, paper)
    return Response(octets, media_type=PDF, headers={"Content-Disposition": f'inline; filename="{found.name}.pdf"'})


@get("/invoices/{invoice:str}/ubl", media_type=XML, **how("read_invoice_ubl", READ))
async def read_invoice_ubl(invoice: FromPath[str], context: Given) -> Response[bytes]:
    """An issued invoice or credit note as UBL 2.1 (Peppol BIS Billing 3.0)."""
    async with context.billing.desk() as desk:
        found = await desk.invoice(invoice)
        octets = await desk.ubl(found)
    return Response(octets, media_type=XML)


@get("/invoices/{invoice:str}/records", media_type=CSV, **how("list_invoice_records", READ))
async def list_invoice_records(
    invoice: FromPath[str],
    context: Given,
    heading: Annotated[
        Literal["names", "words"],
        QueryParameter(description="`names` for programs, `words` in the customer's language"),
    ] = "names",
) -> Stream:
    """The records behind an invoice as CSV, as they are read from the books, whatever their number."""
    async with context.billing.desk() as desk:
        found = await desk.invoice(invoice)
    headers = {"Content-Disposition": f'attachment; filename="{found.name}.csv"'}
    return Stream(_pieces(context, found, in_words=heading == "words"), media_type=CSV, headers=headers)


async def _pieces(context: Context, found: Invoice, *, in_words: bool) -> AsyncGenerator[str, None]:
    async with (
        context.billing.desk() as desk,
        aclosing(desk.annex(found, in_words=in_words)) as pieces,
    ):
        async for piece in pieces:
            yield piece


ROUTES: Final[tuple[Any, ...]] = (print_invoice, read_invoice_ubl, list_invoice_records)
