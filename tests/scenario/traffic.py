"""Requests as the gateways make them, for tests that need more than a table's words: RADIUS calls, several groups."""

from __future__ import annotations

from zlib import crc32

from ocs.charging.request import (
    ChargingAnswer,
    ChargingRequest,
    ChargingStatus,
    EventAction,
    GroupKey,
    GroupRequest,
    Quantity,
    RequestKind,
)
from ocs.rating.units import UnitKind
from tests.scenario.world import IDENTITY, World

STOP_NUMBER = 2**31 - 1
SESSION_S_MAX = 14_400
LEASE_MS = 240_000


def diameter(
    world: World,
    kind: RequestKind,
    name: str,
    number: int,
    *groups: GroupRequest,
    service: str = "voice",
    destination: str = "100",
    identity: str = IDENTITY,
    action: EventAction = EventAction.DIRECT_DEBITING,
    currency: str = "",
) -> ChargingRequest:
    """One Gy request; what it reports and asks is its fingerprint."""
    return ChargingRequest(
        kind,
        f"gy:{name}",
        number,
        (identity,) if identity else (),
        service,
        world.clock(),
        groups,
        destination,
        fingerprint=crc32(repr((kind, groups, destination)).encode()),
        action=action,
        peer="pgw.example.net",
        currency=currency,
    )


def group(
    used: int | None = None,
    ask: int | None = None,
    *,
    rating_group: int = -1,
    unit: UnitKind = UnitKind.SECONDS,
) -> GroupRequest:
    """``ask`` 0 leaves the amount to the server."""
    return GroupRequest(
        GroupKey(rating_group),
        None if ask is None else (Quantity(unit, ask),) if ask else (),
        None if used is None else (Quantity(unit, used),),
    )


def access(world: World, name: str, destination: str = "100", identity: str = IDENTITY) -> ChargingRequest:
    """An Access-Request that authorizes a call: all that is affordable."""
    return ChargingRequest(
        RequestKind.INITIAL,
        f"ra:{name}",
        0,
        (identity,),
        "voice",
        world.clock(),
        (group(ask=SESSION_S_MAX),),
        destination,
        fingerprint=crc32(destination.encode()),
        peer="switch",
        lease_ms=LEASE_MS,
        all_affordable=True,
    )


def accounting(
    world: World, kind: RequestKind, name: str, used: int = 0, lease_of: str = "", identity: str = IDENTITY
) -> ChargingRequest:
    """A Start, Interim-Update or Stop with the total so far; its number follows from it, as the gateway's does."""
    number = {RequestKind.INITIAL: 0, RequestKind.UPDATE: used + 1, RequestKind.TERMINATION: STOP_NUMBER}[kind]
    if kind is RequestKind.INITIAL:
        part = group(ask=SESSION_S_MAX)
    else:
        part = group(used, SESSION_S_MAX if kind is RequestKind.UPDATE else None)
    return ChargingRequest(
        kind,
        f"ra:{name}",
        number,
        (identity,),
        "voice",
        world.clock(),
        (part,),
        "100",
        fingerprint=crc32(repr((kind, used)).encode()),
        cumulative=True,
        peer="switch",
        leases=(f"ra:{lease_of}",) if lease_of else (),
        all_affordable=True,
    )


def granted(answer: ChargingAnswer) -> int:
    """The first group's grant."""
    assert answer.status is ChargingStatus.SUCCESS, answer
    return answer.groups[0].granted
