"""Invoices by card and direct debit: by what a customer's are collected, and what was asked of the gateway for one."""

from __future__ import annotations

from typing import Final, Literal

import msgspec
from litestar import get, put
from litestar.params import FromPath, JSONBody

from ocs.api.automatic_top_ups import ChargeList, charge_view
from ocs.api.context import Given
from ocs.api.keys import Scope
from ocs.api.operations import noted, operation
from ocs.api.problems import Kind
from ocs.api.schemas import Body
from ocs.payments.charges import charges_of
from ocs.payments.gateway import MethodKind, PurposeKind
from ocs.payments.invoices import collect_by, set_collect_by

NONE: Final = "none"


class NewCollection(Body, frozen=True):
    """By the customer's default method, which has to be of this kind; ``none``: he pays by himself."""

    collect: Literal["card", "direct_debit", "none"]


class CollectionView(msgspec.Struct, frozen=True, kw_only=True):
    """By what the customer's invoices are collected at their due date."""

    customer_id: str
    collect: Literal["card", "direct_debit", "none"]


@get(
    "/customers/{customer_id:str}/collection",
    tags=["billing"],
    **operation("read_collection", Scope.BILLING_READ, Kind.BILLING_UNKNOWN),
)
async def read_collection(customer_id: FromPath[str], context: Given) -> CollectionView:
    """By what the customer's invoices are collected."""
    async with context.billing.desk() as desk:
        await desk.customer(customer_id)
        found = await collect_by(desk.connection, customer_id)
    return CollectionView(customer_id=customer_id, collect=found.value if found is not None else NONE)


@put(
    "/customers/{customer_id:str}/collection",
    tags=["billing"],
    **noted(operation("set_collection", Scope.BILLING_WRITE, Kind.BILLING_UNKNOWN)),
)
async def set_collection(customer_id: FromPath[str], data: JSONBody[NewCollection], context: Given) -> CollectionView:
    """Collect the customer's invoices from now on, those that are open, too; or leave them to him."""
    async with context.billing.desk() as desk:
        await desk.customer(customer_id)
        kind = None if data.collect == NONE else MethodKind(data.collect)
        await set_collect_by(desk.connection, customer_id, kind)
    return CollectionView(customer_id=customer_id, collect=data.collect)


@get(
    "/invoices/{invoice:str}/collections",
    tags=["billing"],
    **operation("list_collections", Scope.BILLING_READ, Kind.BILLING_UNKNOWN),
)
async def list_collections(invoice: FromPath[str], context: Given) -> ChargeList:
    """What was asked of the gateway for an invoice, the newest first."""
    async with context.billing.desk() as desk:
        found = await desk.invoice(invoice)
        asked = await charges_of(desk.connection, PurposeKind.INVOICE, invoice_id=found.invoice_id)
    return ChargeList(charges=tuple(charge_view(each, context.currencies[found.currency]) for each in asked))


ROUTES: Final = (read_collection, set_collection, list_collections)
