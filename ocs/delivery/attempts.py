"""How one attempt to deliver a message ended."""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import Enum
from typing import Final, NamedTuple

from ocs.billing.moments import milliseconds

AFTER_S_MAX: Final = 86_400


class Outcome(Enum):
    """ARRIVED: the other side has it. LATER: it may take it yet. NEVER: it will not."""

    ARRIVED = "arrived"
    LATER = "later"
    NEVER = "never"


class Attempt(NamedTuple):
    """``why`` it did not arrive; ``after_s``: the other side wants to be left in peace for so long."""

    outcome: Outcome
    why: str = ""
    after_s: int = 0


ARRIVED: Final = Attempt(Outcome.ARRIVED)


def retry_after_s(text: str, now_ms: int) -> int:
    """The header Retry-After in seconds, from now (RFC 9110, section 10.2.3); 0 for what is none."""
    if text.isascii() and text.isdigit():
        return min(int(text), AFTER_S_MAX)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return 0
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return max(0, min((milliseconds(at) - now_ms) // 1000, AFTER_S_MAX))
