"""UTC milliseconds to PostgreSQL's timestamps and back, exactly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_MILLISECOND: Final = timedelta(milliseconds=1)


def moment(at_ms: int) -> datetime:
    """Exact, unlike ``fromtimestamp``, which goes through a double. Raises OverflowError beyond the year 9999."""
    return EPOCH + timedelta(milliseconds=at_ms)


def milliseconds(at: datetime) -> int:
    return (at - EPOCH) // _MILLISECOND
