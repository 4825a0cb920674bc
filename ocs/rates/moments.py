"""Instants as people write and read them: RFC 3339 in UTC, and dates where a day begins."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from ocs.rating.dated import EVER_MS, FOREVER_MS

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_MS: Final = 86_400_000


def moment_text(instant_ms: int) -> str:
    """Write an instant as decks do: ``2027-01-01`` where a UTC day begins, else with the time; empty for always."""
    if instant_ms in {EVER_MS, FOREVER_MS}:
        return ""
    moment = _EPOCH + timedelta(milliseconds=instant_ms)
    if instant_ms % _DAY_MS == 0:
        return moment.date().isoformat()
    return moment.isoformat(timespec="milliseconds" if instant_ms % 1000 else "seconds").replace("+00:00", "Z")
