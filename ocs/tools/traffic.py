"""Scripted sessions against a Diameter server: one that is told step by step, or many at a rate, counted."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ocs.tools.ccr import (
    EVENT,
    INITIAL,
    TERMINATION,
    UPDATE,
    Answer,
    Asked,
    Interrogation,
    read_answer,
    request_avps,
)
from ocs.tools.diameter_client import ClientError, Connection
from protocols.diameter.avp import AvpFault
from protocols.diameter.result_codes import ResultCode

IN_FLIGHT: Final = 64
"""Sessions at once on one connection; what is more waits for its turn."""


class Script(NamedTuple):
    """What each session does. ``used`` -1: all that was granted. ``wanted`` 0: the amount is the server's choice."""

    realm: str
    context: str
    msisdn: int
    msisdns: int
    called: str
    unit: int
    rating_groups: tuple[int, ...]
    updates: int
    wanted: int
    used: int
    is_event: bool


class Step(NamedTuple):
    """A request and what came of it."""

    request: Interrogation
    answer: Answer
    took_us: int


Told = Callable[[Step], None]


@dataclass
class Tally:
    """What many sessions came to."""

    sessions: int = 0
    lost: int = 0
    granted: int = 0
    results: Counter[int] = field(default_factory=Counter)
    took_us: list[int] = field(default_factory=list)

    def tell(self, step: Step) -> None:
        """Count a step."""
        self.results[step.answer.least] += 1
        self.granted += sum(grant.granted for grant in step.answer.grants)
        self.took_us.append(step.took_us)

    def percentile_us(self, share: float) -> int:
        """The time that this share of the answers did not exceed."""
        times = sorted(self.took_us)
        return times[min(len(times) - 1, int(len(times) * share))] if times else 0


async def play(connection: Connection, script: Script, number: int, clock: Callable[[], int], told: Told) -> None:
    """One session, or event: each answer is told. Raises ClientError when one does not come."""
    session_id = f"{connection.node.identity};{clock() // 1000};{number};{secrets.token_hex(4)}"
    kinds = [EVENT] if script.is_event else [INITIAL, *[UPDATE] * script.updates, TERMINATION]
    granted: dict[int, int] = {}
    for position, kind in enumerate(kinds):
        groups = tuple(_asked(script, kind, rating_group, granted) for rating_group in script.rating_groups)
        msisdn = str(script.msisdn + number % script.msisdns)
        request = Interrogation(
            session_id, kind, position, script.context, msisdn, script.called, clock(), script.unit, groups
        )
        answer, took_us = await _ask(connection, script, request)
        told(Step(request, answer, took_us))
        granted = {grant.rating_group: grant.granted for grant in answer.grants}
        if answer.result_code != ResultCode.SUCCESS and kind == INITIAL:
            return


async def play_many(
    connections: list[Connection], script: Script, count: int, rate: float, clock: Callable[[], int], tally: Tally
) -> None:
    """``count`` sessions over the connections in turn, ``rate`` a second begun (0: as fast as they are answered)."""
    loop = asyncio.get_running_loop()
    places = asyncio.Semaphore(IN_FLIGHT * len(connections))
    started_s = loop.time()

    async def one(number: int) -> None:
        try:
            await play(connections[number % len(connections)], script, number, clock, tally.tell)
        except ClientError:
            tally.lost += 1
        finally:
            tally.sessions += 1
            places.release()

    async with asyncio.TaskGroup() as group:
        for number in range(count):
            if rate:
                await asyncio.sleep(max(0.0, started_s + number / rate - loop.time()))
            await places.acquire()
            group.create_task(one(number))


async def _ask(connection: Connection, script: Script, request: Interrogation) -> tuple[Answer, int]:
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    message = await connection.ask(request_avps(request, connection.node, script.realm))
    took_us = int((loop.time() - started_s) * 1e6)
    try:
        return read_answer(message), took_us
    except (AvpFault, KeyError) as fault:
        raise ClientError(f"an answer that cannot be read: {fault}") from fault


def _asked(script: Script, kind: int, rating_group: int, granted: dict[int, int]) -> Asked:
    wanted = script.wanted if kind != TERMINATION else -1
    if kind in {INITIAL, EVENT}:
        return Asked(rating_group, wanted)
    return Asked(rating_group, wanted, granted.get(rating_group, 0) if script.used < 0 else script.used)
