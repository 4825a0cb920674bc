"""How many requests an API key may make: the generic cell rate algorithm (ITU-T I.371) on one integer per key."""

from __future__ import annotations

from typing import Final

KEYS_MAX: Final = 10_000
BURST_S: Final = 10


class RateLimiter:
    """``per_minute`` requests are sustained; what was not used is saved up for ``BURST_S`` seconds at most.

    Kept per process, in memory: a restart forgives, and nothing of it is worth a round trip.
    """

    def __init__(self, per_minute: int) -> None:
        assert per_minute > 0, "a limit of no requests would lock everybody out"
        self._interval_us = max(1, 60_000_000 // per_minute)
        self._window_us = max(self._interval_us, BURST_S * 1_000_000)
        self._full_at_us: dict[str, int] = {}

    def wait_s(self, key: str, now_ms: int) -> int:
        """Take one request: 0 if it may go on, else the whole seconds after which it may."""
        now_us = now_ms * 1000
        # The wall clock may be set back; then a key must not wait for the old time to come round again.
        start_us = min(max(self._full_at_us.get(key, 0), now_us), now_us + self._window_us)
        over_us = start_us + self._interval_us - now_us - self._window_us
        if over_us > 0:
            self._full_at_us[key] = start_us
            return -(-over_us // 1_000_000)
        if len(self._full_at_us) >= KEYS_MAX:
            self._forget_idle(now_us)
        self._full_at_us[key] = start_us + self._interval_us
        return 0

    def _forget_idle(self, now_us: int) -> None:
        """Drop who has his whole allowance again; if that frees nothing, drop all: memory is bounded first."""
        self._full_at_us = {key: at for key, at in self._full_at_us.items() if at > now_us}
        if len(self._full_at_us) >= KEYS_MAX:
            self._full_at_us.clear()
