"""The stages of an account: first use activates, top-ups extend, then grace, suspension, recycling, the end. Pure.

A stage's end stands in the account. Whoever touches the account first after that moves it on, in his own posting, and a timer
has somebody look at an account of which nothing is heard (ADR 53). Why an account is blocked is kept name by name, so
that what lifts one block leaves the others.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, TypeAlias

from msgspec import structs

from balance.account import (
    MAIN_BUCKET,
    NO_EXTRAS,
    OPERATOR,
    Account,
    AccountState,
    Hold,
    Life,
    with_entry_number,
    with_extras,
)
from ocs.charging.cdr import JournalEntry
from ocs.charging.rules import Lifecycle
from ocs.rating.periods import day_end_ms

ACTOR: Final = "lifecycle"
LIMIT: Final = "limit:"
"""What the name of a block begins with that lets incoming calls pass."""

Moved: TypeAlias = tuple[Account, tuple[JournalEntry, ...]]

CREATED, ACTIVE, GRACE, SUSPENDED, RECYCLED, CLOSED, LIMITED = (
    AccountState.CREATED, AccountState.ACTIVE, AccountState.GRACE, AccountState.SUSPENDED, AccountState.RECYCLED,
    AccountState.CLOSED, AccountState.LIMITED,
)  # fmt: skip


class Event(Enum):
    FIRST_USE = "first use"
    TOP_UP = "top-up"
    TIME = "its time was over"


#    Stage      Event             Next
TRANSITIONS: Final[dict[tuple[AccountState, Event], AccountState]] = {
    (CREATED, Event.FIRST_USE): ACTIVE,
    (CREATED, Event.TOP_UP): CREATED,
    (CREATED, Event.TIME): CLOSED,
    (ACTIVE, Event.FIRST_USE): ACTIVE,
    (ACTIVE, Event.TOP_UP): ACTIVE,  # valid for longer
    (ACTIVE, Event.TIME): GRACE,
    (GRACE, Event.FIRST_USE): GRACE,
    (GRACE, Event.TOP_UP): ACTIVE,
    (GRACE, Event.TIME): SUSPENDED,
    (SUSPENDED, Event.FIRST_USE): SUSPENDED,
    (SUSPENDED, Event.TOP_UP): ACTIVE,
    (SUSPENDED, Event.TIME): RECYCLED,  # what is left is written off, the number may be given to others
    (RECYCLED, Event.FIRST_USE): RECYCLED,
    (RECYCLED, Event.TOP_UP): RECYCLED,  # refused before
    (RECYCLED, Event.TIME): CLOSED,
    (CLOSED, Event.FIRST_USE): CLOSED,
    (CLOSED, Event.TOP_UP): CLOSED,
    (CLOSED, Event.TIME): CLOSED,
}

_DAYS: Final[dict[AccountState, str]] = {
    CREATED: "first_use_days",
    ACTIVE: "valid_days",
    GRACE: "grace_days",
    SUSPENDED: "suspended_days",
    RECYCLED: "recycled_days",
}
_PASSED_THROUGH: Final = (GRACE, SUSPENDED, RECYCLED)


# --- blocks -----------------------------------------------------------------------------------------------------------


def blocks_of(account: Account) -> tuple[str, ...]:
    """The names of what blocks it; an account that was suspended in the simplest way is blocked by the operator."""
    extras = account.extras or NO_EXTRAS
    if extras.blocks or extras.life is not None:
        return extras.blocks
    return (OPERATOR,) if account.state is SUSPENDED else ()


def with_block(account: Account, name: str) -> Account:
    return _blocked(account, (*_others(account, name), name))


def with_limit(account: Account, name: str) -> Account:
    """Blocked by that name but for incoming calls: in the place of a whole block of the same name, if it has one."""
    return _blocked(account, (*_others(account, name), LIMIT + name))


def without_block(account: Account, name: str) -> Account:
    """The account without the block of that name, of either kind; the others, and its stage, hold on."""
    return _blocked(account, _others(account, name))


def joined(account: Account, other: Account, now_ms: int) -> Account:
    """What an account becomes by one that is merged into it: blocked by what blocks that one, and active for as long as that one was.

    A whole block takes the place of a limit of the same name. An account that waits for its first use goes on waiting.
    """
    for block in blocks_of(other):
        name = block.removeprefix(LIMIT)
        if block == name:
            account = account if block in blocks_of(account) else with_block(account, block)
        elif not {name, block} & set(blocks_of(account)):
            account = with_limit(account, name)
    extras, given = account.extras or NO_EXTRAS, (other.extras or NO_EXTRAS).life
    own = extras.life
    if own is None or given is None or given.stage is not ACTIVE or 0 < given.until_ms <= now_ms:
        return account
    is_shorter = own.stage in {GRACE, SUSPENDED} or (own.stage is ACTIVE and _is_before(own.until_ms, given.until_ms))
    return (
        _in_state(with_extras(account, structs.replace(extras, life=given)), extras.blocks) if is_shorter else account
    )


def _is_before(end_ms: int, other_ms: int) -> bool:
    """0 is never."""
    return bool(end_ms) and (not other_ms or end_ms < other_ms)


def _others(account: Account, name: str) -> tuple[str, ...]:
    return tuple(each for each in blocks_of(account) if each not in {name, LIMIT + name})


def ended(account: Account) -> Account:
    """Closed for good: no stage follows."""
    extras = account.extras or NO_EXTRAS
    if extras.life is not None:
        account = with_extras(account, structs.replace(extras, life=Life(CLOSED)))
    closed: Account = structs.replace(account, state=CLOSED)
    return closed


def _blocked(account: Account, blocks: tuple[str, ...]) -> Account:
    extras, blocks = account.extras or NO_EXTRAS, tuple(sorted(blocks))
    if account.state is CLOSED:
        return account
    stored = () if blocks == (OPERATOR,) and extras.life is None else blocks
    return _in_state(with_extras(account, structs.replace(extras, blocks=stored)), blocks)


def _in_state(account: Account, blocks: tuple[str, ...]) -> Account:
    """Say in one word what stage and blocks make of it: all that a request has to look at.

    An account that is not active by its stage has nothing to keep of incoming calls: a limit suspends it.
    """
    life = (account.extras or NO_EXTRAS).life
    state = life.stage if life is not None else ACTIVE
    if blocks and state not in {RECYCLED, CLOSED}:
        state = LIMITED if state is ACTIVE and all(each.startswith(LIMIT) for each in blocks) else SUSPENDED
    found: Account = structs.replace(account, state=state)
    return found


# --- stages -----------------------------------------------------------------------------------------------------------


def born(account: Account, lifecycle: Lifecycle | None, zone: str, now_ms: int) -> Account:
    """A new account as its plan's lifecycle has it: it waits for its first use. Without one it is active."""
    if lifecycle is None:
        return account
    life = Life(CREATED, _end_ms(lifecycle.first_use_days, zone, now_ms))
    return _in_state(with_extras(account, structs.replace(account.extras or NO_EXTRAS, life=life)), ())


def is_due(account: Account, now_ms: int) -> bool:
    """Whether its stage has ended."""
    life = account.extras.life if account.extras is not None else None
    return life is not None and 0 < life.until_ms <= now_ms


def lived(account: Account, lifecycle: Lifecycle | None, zone: str, now_ms: int) -> Moved:
    """Move on through the stages that have ended; the next one begins where the one before has ended, however late it is seen."""
    entries: list[JournalEntry] = []
    while lifecycle is not None and is_due(account, now_ms):
        account, more = _moved(account, Event.TIME, lifecycle, zone, now_ms)
        entries += more
    return account, tuple(entries)


def used_first(account: Account, lifecycle: Lifecycle | None, zone: str, now_ms: int) -> Moved:
    """The first use of a new account. Its plan may have lost its lifecycle meanwhile: then it is active without an end."""
    return _moved(account, Event.FIRST_USE, lifecycle or Lifecycle(), zone, now_ms)


def topped_up(account: Account, lifecycle: Lifecycle | None, zone: str, now_ms: int) -> Moved:
    """Money was paid in: the account is valid for longer, and back if it was in grace or suspended by its age."""
    if lifecycle is None or (account.extras or NO_EXTRAS).life is None:
        return account, ()
    return _moved(account, Event.TOP_UP, lifecycle, zone, now_ms)


def _moved(account: Account, event: Event, lifecycle: Lifecycle, zone: str, now_ms: int) -> Moved:
    extras = account.extras or NO_EXTRAS
    assert extras.life is not None, "who has stages has one"
    before = extras.life
    stage, until_ms = TRANSITIONS[before.stage, event], 0
    if event is Event.TOP_UP:
        until_ms = before.until_ms
        if stage is ACTIVE and (until_ms or before.stage is not ACTIVE):
            end_ms = _end_ms(lifecycle.top_up_days, zone, now_ms)
            until_ms = max(end_ms, until_ms if before.stage is ACTIVE else 0) if end_ms else 0
    elif stage is not before.stage:
        from_ms = before.until_ms - 1 if event is Event.TIME else now_ms  # in the last day of the stage before
        while stage in _PASSED_THROUGH and not _days(lifecycle, stage):
            stage = TRANSITIONS[stage, Event.TIME]
        until_ms = _end_ms(_days(lifecycle, stage), zone, from_ms) if stage in _DAYS else 0
    life = Life(stage, until_ms)
    if life == before:
        return account, ()
    was = account.state
    account = _in_state(with_extras(account, structs.replace(extras, life=life)), extras.blocks)
    written_off: tuple[Hold, ...] = ()
    units: tuple[Hold, ...] = ()
    if stage in {RECYCLED, CLOSED}:
        account, written_off, units = _emptied(account)
    account = with_entry_number(account, account.entry_number + 1)
    reason = f"{was.name.lower()} -> {account.state.name.lower()}: {event.value}"
    return account, (
        JournalEntry(
            account.account_id, account.entry_number, now_ms, "state", account.currency, written_off, "", ACTOR, reason,
            units=units,
        ),
    )  # fmt: skip


def _days(lifecycle: Lifecycle, stage: AccountState) -> int:
    days: int = getattr(lifecycle, _DAYS[stage]) if stage in _DAYS else 0
    return days


def _end_ms(days: int, zone: str, from_ms: int) -> int:
    """The end of the local day that is so many days on; 0 for never."""
    return day_end_ms(zone, from_ms, days) if days else 0


def _emptied(account: Account) -> tuple[Account, tuple[Hold, ...], tuple[Hold, ...]]:
    """What nothing holds is written off; a debt stays one."""
    free = {each.bucket_id: each.balance - each.reserved for each in account.buckets}
    buckets = tuple(
        structs.replace(each, balance=min(each.balance, each.reserved))
        for each in account.buckets
        if each.bucket_id == MAIN_BUCKET or each.reserved
    )
    extras = account.extras or NO_EXTRAS
    lost = tuple(Hold(bucket_id, -amount) for bucket_id, amount in free.items() if amount > 0)
    units = tuple(
        Hold(each.bucket_id, each.reserved - each.balance) for each in extras.units if each.balance > each.reserved
    )
    kept = tuple(structs.replace(each, balance=each.reserved) for each in extras.units if each.reserved)
    emptied = with_extras(structs.replace(account, buckets=buckets), structs.replace(extras, units=kept))
    return emptied, lost, units


def zone_of(account: Account, plan_zone: str) -> str:
    """By whose clock its days end."""
    return (account.extras or NO_EXTRAS).time_zone or plan_zone or "UTC"
