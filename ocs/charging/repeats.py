"""What a session remembers of its requests, so that a repeat is known and answered as the request was [B-94]."""

from __future__ import annotations

from typing import Final

from ocs.charging.session import SEEN_BITS, CreditSession, Seen, StoredAnswer, Tombstone

STORED_ANSWERS: Final = 2
"""A client asks again when it has its answer, so a repeat is of the last request, or of the one before that when they
crossed; an older one is answered without its grants."""

_MASK: Final = (1 << SEEN_BITS) - 1


def with_number(seen: Seen, number: int) -> Seen:
    """One more request number that was processed."""
    highest = seen.highest
    if number > highest:
        shift = number - highest
        if highest < 0 or shift > SEEN_BITS:
            return Seen(number, 1 << (shift - 1) if highest >= 0 and shift <= SEEN_BITS else 0)
        return Seen(number, ((seen.below << shift) | (1 << (shift - 1))) & _MASK)
    return Seen(highest, seen.below | 1 << (highest - number - 1)) if number < highest else seen


def stored_answer(record: CreditSession | Tombstone, number: int) -> StoredAnswer | None:
    """The answer that a request number got, if it is still kept."""
    for stored in record.answers:
        if stored.request_number == number:
            return stored
    return None


def with_answer(answers: tuple[StoredAnswer, ...], stored: StoredAnswer) -> tuple[StoredAnswer, ...]:
    """The last answers and one more; the oldest goes."""
    return (*answers, stored)[-STORED_ANSWERS:]
