"""Rated uses as CSV, one line for each group of a record, made by PostgreSQL itself: for exports and simulations."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import asyncpg

from balance.money import Currency
from ocs.billing.failures import FAILURES, unavailable
from ocs.billing.groups import TERMS
from ocs.billing.moments import moment
from ocs.rating.units import UnitKind

CONNECT_S_MAX: Final = 10

_KINDS: Final = ", ".join(kind.name.lower() for kind in UnitKind)  # they are numbered from one, as arrays are
USES: Final = f"""
    SELECT c.account_id, c.destination AS number, c.service,
           CASE WHEN (g->>'from_ms')::bigint > 0 THEN to_timestamp((g->>'from_ms')::bigint / 1000.0)
                ELSE c.started_at END AS started_at, (g->>'used')::bigint AS used,
           trim_scale((g->>'cost')::numeric * $4::numeric) AS amount, c.currency,
           g->>'destination' AS destination, g->>'source' AS source,
           c.rate_plan, c.origin, c.peer,
           coalesce(nullif(g->>'whereabouts', ''), c.whereabouts) AS whereabouts, (g->>'rating_group')::bigint AS rating_group,
           CASE WHEN g->'service_ids' = '[]' THEN ''
                ELSE array_to_string(ARRAY(SELECT jsonb_array_elements_text(g->'service_ids')), ' ') END AS service_ids,
           ('{{{_KINDS}}}'::text[])[(g->>'unit_kind')::int] AS unit,
           CASE WHEN (g->>'from_ms')::bigint > 0 THEN coalesce({TERMS}->'carried'->>0, '0') ELSE '' END AS goes_on,
           coalesce({TERMS}->>'covered', '') AS covered
    FROM cdr c CROSS JOIN LATERAL jsonb_array_elements(c.groups) AS g
    WHERE c.started_at >= $1 AND c.started_at < $2 AND c.currency = $3 AND starts_with(g->>'source', $5)
"""  # noqa: S608 - of our own names


async def export_uses(dsn: str, path: Path, since_ms: int, until_ms: int, currency: Currency, source: str = "") -> int:
    """Write the uses that started in ``[since_ms, until_ms)`` and were priced by files whose names begin with ``source``.

    The number of lines. Raises BackendUnavailable.
    """
    unit = f"0.{'1'.rjust(currency.scale, '0')}" if currency.scale else "1"
    try:
        connection = await asyncpg.connect(dsn, timeout=CONNECT_S_MAX)
        try:
            status: str = await connection.copy_from_query(
                USES,
                moment(since_ms),
                moment(until_ms),
                currency.code,
                unit,
                source,
                output=str(path),
                format="csv",
                header=True,
            )
        finally:
            await connection.close()
    except FAILURES as error:
        raise unavailable(error) from error
    return int(status.removeprefix("COPY "))
