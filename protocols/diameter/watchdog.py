"""The watchdog of one connection (RFC 3539, section 3.4): is the peer still there?

Each message only notes when it came. The timer is not moved for each: when it fires too early it is set to what is
left. That is the RFC's "set Tw with each message" without its cost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from protocols.diameter.peer_table import WATCHDOG, Sign, Watch, Watching

DWA_COUNT_TO_REOPEN: Final = 3
_OKAY: Final = Watch.OKAY


class Watchdog:
    """``interval_ms`` is Twinit; ``jitter_ms`` gives -2000..+2000 anew for each setting (the core knows no chance)."""

    __slots__ = ("_dwa_count", "_interval_ms", "_jitter_ms", "_set_ms", "_wait_ms", "is_pending", "state")

    def __init__(self, interval_ms: int, jitter_ms: Callable[[], int], was_down: bool = False) -> None:
        self.state = Watch.DOWN if was_down else Watch.INITIAL
        self.is_pending = False  # a DWR is out and not answered
        self._interval_ms = interval_ms
        self._jitter_ms = jitter_ms
        self._set_ms = 0
        self._wait_ms = interval_ms
        self._dwa_count = 0

    def deadline_ms(self) -> int:
        return self._set_ms + self._wait_ms

    def heard(self, now_ms: int) -> None:
        """Something came that is no DWA. In OKAY this is all there is to do, and it is on the hot path."""
        if self.state is _OKAY:
            self._set_ms = now_ms
        else:
            self.see(Sign.RECEIVED, now_ms)

    def answered(self, now_ms: int) -> Watching:
        """A DWA came."""
        is_last = self.state is Watch.REOPEN and self._dwa_count + 1 >= DWA_COUNT_TO_REOPEN
        return self.see(Sign.RECEIVED_LAST_DWA if is_last else Sign.RECEIVED_DWA, now_ms)

    def expired(self, now_ms: int) -> Watching:
        """The timer fired. The answer is NOTHING when it has been set anew in the meantime."""
        if now_ms < self.deadline_ms():
            return Watching.NOTHING
        if not self.is_pending:
            return self.see(Sign.TIMER_IDLE, now_ms)
        has_missed = self.state is Watch.REOPEN and self._dwa_count < 0
        return self.see(Sign.TIMER_MISSED if has_missed else Sign.TIMER_PENDING, now_ms)

    def see(self, sign: Sign, now_ms: int) -> Watching:
        """Take the table's row, and say what the connection has to do for it."""
        row = WATCHDOG.get((self.state, sign))
        if row is None:  # such as a DWA before the connection is up: nothing follows from it
            return Watching.NOTHING
        action, self.state = row
        if action is not Watching.NOTHING:
            self._set_timer(now_ms)
        if action is Watching.COUNT_DWA:
            self.is_pending = False
            self._dwa_count += 1
        elif action is Watching.FAIL_BACK:
            self.is_pending = False
        elif action in {Watching.SEND_DWR, Watching.START_REOPEN}:
            self.is_pending = True
            self._dwa_count = 0 if action is Watching.START_REOPEN else self._dwa_count
        elif action is Watching.MISS:
            self._dwa_count = -1
        return action

    def _set_timer(self, now_ms: int) -> None:
        self._set_ms = now_ms
        self._wait_ms = max(self._interval_ms + self._jitter_ms(), 1)
