"""Lines about strangers and broken peers: few, whatever they send."""

from __future__ import annotations

from typing import Any, Final

import structlog

log: Any = structlog.get_logger()

LOG_EVERY_MS: Final = 60_000
LINES_MAX: Final = 100


class SeldomLog:
    """One line for each reason and sender in a while: a broken client makes thousands of packets, and an attacker as many
    addresses. Beyond ``LINES_MAX`` a while nothing is written but how much was left out. ``sender`` and ``reason`` are the
    names of the two fields.
    """

    def __init__(self, protocol: str, sender: str, reason: str) -> None:
        self._left_out = f"{protocol}_lines_left_out"
        self._fields = sender, reason
        self._logged_at_ms: dict[tuple[str, str], int] = {}
        self._while_began_ms = 0
        self._lines = 0

    def warn(self, event: str, who: str, reason: str, now_ms: int) -> None:
        if now_ms - self._while_began_ms >= LOG_EVERY_MS:
            if self._lines > LINES_MAX:
                log.warning(self._left_out, lines=self._lines - LINES_MAX)
            self._while_began_ms, self._lines = now_ms, 0
            if len(self._logged_at_ms) > LINES_MAX:
                self._logged_at_ms.clear()
        key = (who, event + reason)
        if now_ms - self._logged_at_ms.get(key, now_ms - LOG_EVERY_MS) < LOG_EVERY_MS:
            return
        self._lines += 1
        if self._lines <= LINES_MAX:
            self._logged_at_ms[key] = now_ms
            named = dict(zip(self._fields, (who, reason), strict=True))
            log.warning(event, **named, again_after_s=LOG_EVERY_MS // 1000)
