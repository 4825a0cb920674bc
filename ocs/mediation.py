"""Switches' CDR files through the rating engine: each row charged once, whatever comes twice and whoever dies when.

    file ──known by its octets?──► refused
      └─ rows ──noted by fingerprint──► charged like an event ──► marked
                   └ known: repeated      └ no subscriber, no price, no sense ──► queue ──mended, replayed──► charged

Rows are charged a thousand at a time, each in the lane of its account. A row that was noted and never marked is of a
process that died: its record is looked for in the outbox and the books before it is charged anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from itertools import islice
from typing import Any, Final, NamedTuple

import msgspec

from balance.store import BackendUnavailable, Subscriber
from ocs.billing import mediated
from ocs.billing.cdrs import cdrs_of_session
from ocs.billing.mediated import Fault, FaultState, FaultyRow
from ocs.charging.request import ChargingAnswer, ChargingRequest, ChargingStatus
from ocs.charging.service import OnlineCharging
from ocs.gateways.numbering import Numbering
from ocs.gateways.switch_files import PREFIX, Row, Switch, charge_of, fingerprint_of, is_record, rows_of
from ocs.posted_once import waiting_entry

CHUNK: Final = 1000
_AWAY: Final = frozenset({ChargingStatus.UNAVAILABLE, ChargingStatus.TOO_BUSY, ChargingStatus.INTERNAL_FAULT})
_WORDS: Final[Mapping[ChargingStatus, str]] = {
    ChargingStatus.USER_UNKNOWN: "no subscriber has the identity",
    ChargingStatus.RATING_FAILED: "the plan of the account has no price for it",
    ChargingStatus.DESTINATION_BARRED: "the destination is barred",
    ChargingStatus.INVALID_VALUE: "the amount is beyond what can be",
}


class Report(msgspec.Struct):
    """What became of a file's rows. ``is_repeat``: the file had been taken before, and nothing was done now."""

    charged: int = 0
    repeated: int = 0
    passed_over: int = 0
    faulty: int = 0
    is_repeat: bool = False


class _Work(NamedTuple):
    row: Row
    fingerprint: bytes
    request: ChargingRequest


class Mediation:
    """Works on one connection to PostgreSQL, one to Valkey, and a charging core of its own or the daemon's."""

    def __init__(
        self, connection: Any, redis: Any, online: OnlineCharging, numbering: Numbering, clock: Callable[[], int]
    ) -> None:
        self._connection = connection
        self._redis = redis
        self._online = online
        self._numbering = numbering
        self._clock = clock

    async def take_file(
        self, switch: Switch, name: str, octets: bytes, progress: Callable[[int], None] = lambda _: None
    ) -> Report:
        """Charge a file's rows. Raises UnreadableFileError, and BackendUnavailable: then say it again."""
        digest = sha256(octets).digest()
        rows = rows_of(switch, octets)
        first = list(islice(rows, CHUNK))  # a file that cannot be read is not noted
        noted = await mediated.begin_file(self._connection, switch.name, digest, name)
        if noted.finished_at is not None:
            return Report(noted.charged, noted.repeated, noted.passed_over, noted.faulty, is_repeat=True)
        report = Report()
        while first:
            await self._take(switch, name, first, report)
            progress(report.charged + report.repeated + report.passed_over + report.faulty)
            first = list(islice(rows, CHUNK))
        await mediated.finish_file(
            self._connection, switch.name, digest, report.charged, report.repeated, report.passed_over, report.faulty
        )
        return report

    async def replay(self, switch: Switch, faults: Iterable[Fault]) -> Report:
        """Charge rows of the queue, as they were mended. What has a fault still stays in it, with the fault of now."""
        report = Report()
        for fault in faults:
            before = report.faulty
            await self._take(switch, fault.file, [Row(fault.line, fault.cells)], report)
            if report.faulty == before:
                await mediated.set_state(self._connection, fault.fault_id, FaultState.REPLAYED)
        return report

    # --- inside -----------------------------------------------------------------------------------------------------

    async def _take(self, switch: Switch, file: str, rows: list[Row], report: Report) -> None:
        faulty: list[FaultyRow] = []
        work: dict[bytes, _Work] = {}
        for row in rows:
            if not is_record(switch, row.cells):
                report.passed_over += 1
                continue
            fingerprint = fingerprint_of(switch, row.cells)
            made = charge_of(switch, row.cells, self._numbering, self._clock())
            if isinstance(made, str):
                faulty.append(FaultyRow(fingerprint, row.line, dict(row.cells), made))
            elif fingerprint in work:
                report.repeated += 1
            else:
                work[fingerprint] = _Work(row, fingerprint, made)
        new, unmarked = await mediated.note(self._connection, switch.name, list(work))
        report.repeated += len(work) - len(new) - len(unmarked)
        charged = [each for each in unmarked if await self._is_posted(work[each].request)]
        todo = [work[each] for each in work if each in new or (each in unmarked and each not in charged)]
        answers = await asyncio.gather(*(self._charge(each.request) for each in todo))
        away = next((answer for answer in answers if answer.status in _AWAY), None)
        for each, answer in zip(todo, answers, strict=True):
            if why := _refusal(answer, each.request):
                faulty.append(FaultyRow(each.fingerprint, each.row.line, dict(each.row.cells), why))
            elif answer.status not in _AWAY:
                charged.append(each.fingerprint)
        await mediated.settle(self._connection, switch.name, file, charged, faulty)
        report.charged += len(charged)
        report.faulty += len(faulty)
        if away is not None:
            raise BackendUnavailable(f"the store does not take charges: {away.status.name.lower()}")

    async def _charge(self, request: ChargingRequest) -> ChargingAnswer:
        done: asyncio.Future[ChargingAnswer] = asyncio.get_running_loop().create_future()
        self._online.submit(request, done.set_result)
        return await done

    async def _is_posted(self, request: ChargingRequest) -> bool:
        found: asyncio.Future[Subscriber | BackendUnavailable | None] = asyncio.get_running_loop().create_future()
        self._online.find_subscriber(request.identities, found.set_result)
        subscriber = await found
        if isinstance(subscriber, BackendUnavailable):
            raise subscriber
        if subscriber is None:
            return False
        # The outbox comes first: what is carried to the books meanwhile is seen in at least one of them.
        if await waiting_entry(self._redis, subscriber.account_id, request.session_key) is not None:
            return True
        return bool(await cdrs_of_session(self._connection, request.session_key.removeprefix(PREFIX), 1))


def _refusal(answer: ChargingAnswer, request: ChargingRequest) -> str:
    """Why a row was not charged, in words; "" if it was, or the store is away."""
    groups = (group.status for group in answer.groups if group.status is not ChargingStatus.SUCCESS)
    status = answer.status if answer.status is not ChargingStatus.SUCCESS else next(groups, ChargingStatus.SUCCESS)
    if status is ChargingStatus.SUCCESS or status in _AWAY:
        return ""
    about = ", ".join(request.identities) if status is ChargingStatus.USER_UNKNOWN else request.destination
    return f"{_WORDS.get(status, status.name.lower().replace('_', ' '))}: {about}"
