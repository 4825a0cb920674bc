"""Counters: what all sessions of an account have used of one thing in one period, tier by tier. Pure.

A tier takes units until it is full; a grant keeps its places in the tiers that it was priced by, so that no other
session is promised them, and what is not used of them is free again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import structs

from balance.account import MAIN_BUCKET, NO_EXTRAS, NO_LIMIT, Account, Counter, Places, new_slot, with_extras
from balance.burn import credit

PERIODS_KEPT: Final = 2
"""Of each counter the period that runs and the one before it: a report may come after its period's end."""


def laid(units: int, free: Sequence[int]) -> tuple[int, ...]:
    """Lay units into tiers, from the first one on; ``free`` is what each takes, NO_LIMIT for all that is left."""
    assert units >= 0, "use never falls"
    found: list[int] = []
    for room in free:
        part = units if room == NO_LIMIT else min(units, room)
        found.append(part)
        units -= part
    assert units == 0, "the last tier has no end"
    return tuple(found)


def added(first: Sequence[int], second: Sequence[int]) -> tuple[int, ...]:
    """Add up tier by tier; the one that is shorter has nothing further on."""
    longer, shorter = (first, second) if len(first) >= len(second) else (second, first)
    return tuple(units + (shorter[at] if at < len(shorter) else 0) for at, units in enumerate(longer))


def counter_of(account: Account, slot: int) -> Counter | None:
    """The counter of that slot; None when its period is long over."""
    if account.extras is not None:
        for counter in account.extras.counters:
            if counter.slot == slot:
                return counter
    return None


def counter_in(
    account: Account, counter_id: str, ends_at_ms: int, sizes: Sequence[int], statuses: Sequence[str] = ()
) -> tuple[Account, Counter]:
    """Find the counter of the period that ends then, or begin it with tiers of these sizes and forget old ones."""
    extras = account.extras or NO_EXTRAS
    mine = [counter for counter in extras.counters if counter.counter_id == counter_id]
    for counter in mine:
        if counter.ends_at_ms == ends_at_ms:
            return account, counter
    words = dict(enumerate(statuses))
    tiers = tuple(Places(size, status=words.get(at, "")) for at, size in enumerate(sizes))
    begun = Counter(new_slot(account), counter_id, ends_at_ms, tiers)
    old = sorted((counter.ends_at_ms for counter in mine), reverse=True)[PERIODS_KEPT - 1 :]
    kept = tuple(each for each in extras.counters if each.counter_id != counter_id or each.ends_at_ms not in old)
    return with_extras(account, structs.replace(extras, counters=(*kept, begun))), begun


def counted(
    account: Account, counter: Counter, used: Sequence[int], reserved: Sequence[int], owed: Sequence[int] = ()
) -> Account:
    """The account after so many more units were used, and kept for grants, in each tier of a counter.

    ``owed`` is how much more each tier gives back once it is reached; what is due of that is in the main bucket.
    """
    extras = account.extras
    assert extras is not None, "who has a counter has extras"
    after = Counter(
        counter.slot,
        counter.counter_id,
        counter.ends_at_ms,
        tuple(
            Places(tier.size, tier.used + more, tier.reserved + kept, tier.owed + back, tier.status)
            for tier, more, kept, back in zip(counter.tiers, used, reserved, owed or (0,) * len(used), strict=True)
        ),
    )
    assert all(tier.reserved >= 0 for tier in after.tiers), "places are given back at most once"
    back = after.given_back - counter.given_back
    if back:
        account = credit(account, {MAIN_BUCKET: back})
    counters = tuple(after if each.slot == counter.slot else each for each in extras.counters)
    return with_extras(account, structs.replace(extras, counters=counters))


def counted_at_once(account: Account, changes: Mapping[int, tuple[int, int]]) -> Account:
    """The account after counters of one tier have changed: by slot, how many more are used, and kept for grants.

    A counter whose period is long over is not there any more, and is passed over.
    """
    if not changes:
        return account
    assert account.extras is not None, "who has a counter has extras"
    counters = tuple(
        _one_tier(each, *changes[each.slot]) if each.slot in changes else each for each in account.extras.counters
    )
    return with_extras(account, structs.replace(account.extras, counters=counters))


def _one_tier(counter: Counter, used: int, reserved: int) -> Counter:
    (tier,) = counter.tiers
    changed = structs.replace(tier, used=tier.used + used, reserved=tier.reserved + reserved)
    after: Counter = structs.replace(counter, tiers=(changed,))
    assert after.reserved >= 0, "places are given back at most once"
    return after
