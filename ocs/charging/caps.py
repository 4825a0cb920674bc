"""Caps: the most that an account, or a member of it, may spend or use of a service in a period, in the charging path.

What is spent is a counter of money (or of units), changed in the posting that debits, and a grant holds its share of the
cap as it holds its money: so sessions at once cannot pass it together. That a cap is passed is told by ``crossings.py``.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from msgspec import structs

from balance.account import CAP_PREFIX, EACH_MEMBER, MEMBER_MARK, NO_EXTRAS, NO_LIMIT, Account, Cap, Counter
from balance.counters import counted_at_once, counter_in
from balance.money import Amount, parse_amount
from ocs.charging.rules import CapRule
from ocs.charging.session import CapUse, CreditSession, GroupState, UnitUse
from ocs.rating.periods import period_end_ms
from ocs.rating.price import is_free


class Room(NamedTuple):
    """What the caps of a group leave: the slots of their counters, and the least that is left of any.

    ``money`` and ``units`` None: no cap of that kind. ``slots`` are of money, ``unit_slots`` of units.
    """

    slots: tuple[int, ...] = ()
    unit_slots: tuple[int, ...] = ()
    money: Amount | None = None
    units: int | None = None


NO_CAPS: Final = Room()


def cap_names(account: Account, session: CreditSession, state: GroupState, network: str) -> tuple[str, ...]:
    """The caps that a group counts for, its user being in a network; a cap for each member has the member's name behind its own."""
    caps = (account.extras or NO_EXTRAS).caps
    return tuple(_name(cap, session.subscriber_id) for cap in caps if _counts(cap, session, state, network))


def asks_where(account: Account) -> bool:
    """Whether some cap counts by where the user is."""
    return any(cap.networks or cap.not_networks for cap in (account.extras or NO_EXTRAS).caps)


def capped(rule: CapRule, zone: str, scale: int) -> Cap:
    """A plan's cap as one of an account whose days end there."""
    most = parse_amount(rule.most, scale)
    return Cap(
        rule.name, rule.every, zone, most, rule.services, rule.warn_percent, "", 0, rule.destinations, rule.networks,
        rule.not_networks,
    )  # fmt: skip


def room(account: Account, units: UnitUse, now_ms: int) -> tuple[Account, Room]:
    """Find what the caps of a group leave, in their counters of the running periods."""
    found = NO_CAPS
    caps = {cap.name: cap for cap in (account.extras or NO_EXTRAS).caps}
    for name in units.caps:
        cap = caps.get(name.partition(MEMBER_MARK)[0])
        if cap is None:
            continue  # it was lifted meanwhile
        account, counter = _running(account, cap, name, now_ms)
        left = max(0, cap.most - counter.used - counter.reserved)
        if cap.unit:
            least = left if found.units is None else min(found.units, left)
            found = found._replace(unit_slots=(*found.unit_slots, counter.slot), units=least)
        else:
            least = left if found.money is None else min(found.money, left)
            found = found._replace(slots=(*found.slots, counter.slot), money=least)
    return account, found


def hold(account: Account, state: GroupState, found: Room, amount: Amount, granted: int) -> tuple[Account, GroupState]:
    """Hold a grant's share of its caps."""
    assert state.units is not None, "asked only for a group that has caps"
    uses = {use.slot: use for use in state.units.spent}
    changes: dict[int, tuple[int, int]] = {}
    for slots, held, is_units in ((found.slots, amount, False), (found.unit_slots, granted, True)):
        for slot in slots if held else ():
            changes[slot] = (0, held)
            known = uses.get(slot) or CapUse(slot)
            uses[slot] = CapUse(slot, known.spent, held, is_units)
    account = counted_at_once(account, changes)
    return account, structs.replace(state, units=structs.replace(state.units, spent=tuple(uses.values())))


def settle_caps(
    account: Account,
    state: GroupState,
    units: UnitUse,
    debit: Amount,
    used: int,
    now_ms: int,
    keeps_grant: bool = False,
) -> tuple[Account, GroupState]:
    """End what a grant held of its caps, and count what was debited and used, in the periods of the grant."""
    uses = {use.slot: use for use in units.spent}
    held = [use for use in units.spent if use.held]
    slots = {use.slot: used if use.is_units else debit for use in held}
    if debit or used:
        has_money, has_units = (any(use.is_units is kind for use in held) for kind in (False, True))
        account, running = (account, NO_CAPS) if has_money and has_units else room(account, units, now_ms)
        slots |= {} if has_money or not debit else dict.fromkeys(running.slots, debit)
        slots |= {} if has_units or not used else dict.fromkeys(running.unit_slots, used)
        kinds = dict.fromkeys(running.slots, False) | dict.fromkeys(running.unit_slots, True)
        uses |= {slot: CapUse(slot, is_units=kinds[slot]) for slot in slots if slot not in uses}
    changes: dict[int, tuple[int, int]] = {}
    for slot, count in slots.items():
        known = uses[slot]
        kept = known.held if keeps_grant else 0
        changes[slot] = (count, kept - known.held)
        uses[slot] = CapUse(slot, known.spent + count, kept, known.is_units)
    account = counted_at_once(account, changes)
    return account, structs.replace(state, units=structs.replace(units, spent=tuple(uses.values())))


def _counts(cap: Cap, session: CreditSession, state: GroupState, network: str) -> bool:
    price = state.tariff.price
    if (cap.networks and not network.startswith(cap.networks)) or (
        cap.not_networks and (not network or network.startswith(cap.not_networks))
    ):
        return False
    return (
        (not cap.services or session.service in cap.services)
        and cap.member in {"", EACH_MEMBER, session.subscriber_id}
        and (not cap.destinations or state.tariff.destination in cap.destinations)
        and (not cap.unit or (cap.unit == price.kind and not is_free(price)))
    )


def _name(cap: Cap, member: str) -> str:
    return f"{cap.name}{MEMBER_MARK}{member}" if cap.member == EACH_MEMBER else cap.name


def _running(account: Account, cap: Cap, name: str, now_ms: int) -> tuple[Account, Counter]:
    extras = account.extras or NO_EXTRAS
    end_ms = period_end_ms(cap.every, cap.zone, now_ms, extras.cycle_day)
    return counter_in(account, f"{CAP_PREFIX}{name}", end_ms, (NO_LIMIT,))
