"""Customers' locks: who drafts, discards or allocates for a customer holds one until the transaction ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

# In one order, so that nobody waits for each other. What only names a customer, as a payment does, goes on meanwhile.
_LOCK: Final = """
    SELECT customer_id FROM customer WHERE customer_id = ANY($1::text[]) ORDER BY customer_id FOR NO KEY UPDATE
"""


async def lock_customers(connection: Any, names: Sequence[str], *, is_waiting: bool = True) -> list[str]:
    """Lock these customers, as soon as all are free; or those that are free now. The ids of those that are locked."""
    rows = await connection.fetch(_LOCK if is_waiting else f"{_LOCK} SKIP LOCKED", names)
    return [row["customer_id"] for row in rows]
