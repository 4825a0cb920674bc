"""Review of drafts: who has looked at one and when, and what keeps one back.

A draft never changes, so a review is good until it is issued or discarded. Who issues may demand one (``review_required``), and any draft
may be held, with a reason, until that is settled: runs pass over it. Credit notes and what voids are issued as they are made.
"""

from __future__ import annotations

from typing import Any, Final

from ocs.billing.invoices.book import Invoice, InvoiceRefusedError, InvoiceState, locked

_MARK: Final = "UPDATE invoice SET reviewed_by = $2, reviewed_at = now() WHERE invoice_id = $1"
_HOLD: Final = "UPDATE invoice SET held_by = $2, held_reason = $3 WHERE invoice_id = $1"


async def review(connection: Any, invoice_id: int, actor: str) -> Invoice:
    """Mark a draft as reviewed; the first one to do so stays. Raises InvoiceRefusedError."""
    async with connection.transaction():
        found = await _draft(connection, invoice_id)
        if found.reviewed_at is None:
            await connection.execute(_MARK, invoice_id, actor)
        return await locked(connection, invoice_id)


async def hold(connection: Any, invoice_id: int, actor: str, reason: str) -> Invoice:
    """Keep a draft from being issued, for a reason; an empty one lets it go. Raises InvoiceRefusedError."""
    async with connection.transaction():
        await _draft(connection, invoice_id)
        await connection.execute(_HOLD, invoice_id, actor if reason else "", reason)
        return await locked(connection, invoice_id)


async def _draft(connection: Any, invoice_id: int) -> Invoice:
    found = await locked(connection, invoice_id)
    if found.state is not InvoiceState.DRAFT:
        raise InvoiceRefusedError(f"invoice {found.number} is issued: there is nothing to review or to hold")
    return found
