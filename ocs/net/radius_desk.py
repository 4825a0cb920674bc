"""What is done with a genuine RADIUS request: the gateway's translation, charging, the reply. Whatever way it came.

No task and no log line per request. Whatever cannot be vouched for stays without an answer, and its repeat is worked
on again (RFC 2866, section 2).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from redis.exceptions import RedisError

from balance.money import Currency
from balance.store import BackendUnavailable, Subscriber
from ocs.charging.request import ChargingAnswer, ChargingRequest, ChargingStatus, GroupAnswer, RequestKind
from ocs.gateways.radius import CloseSessions, Uncharged, accounting_request, authorization_request
from ocs.gateways.radius_credentials import (
    HEARD_BEFORE,
    Attempts,
    Check,
    Used,
    UsedNonces,
    first_look,
    second_look,
    used_nonce,
    who_tries,
)
from ocs.gateways.radius_names import identities_of
from ocs.gateways.radius_profile import Reason
from ocs.gateways.radius_reply import UNANSWERED, authorization_reply, is_charged, rejection
from ocs.net.radius_memory import RadiusMemory
from ocs.net.radius_watch import GrantWatch
from ocs.net.radius_work import Charged, Charging, Work
from ocs.observe.counters import Counters
from ocs.observe.seldom import SeldomLog
from ocs.settings import Radius
from protocols.radius.packet import ACCESS_ACCEPT, ACCESS_CHALLENGE, ACCESS_REQUEST, ACCOUNTING_RESPONSE
from protocols.radius.reading import Reading

log = structlog.get_logger()

# New calls are refused before records of calls that have been.
ACCESS_SHARE: Final = (3, 4)
NONCE_OCTETS: Final = 8
LONGER_MS_MIN: Final = 30_000  # reports are late by some seconds

_OVER: Final = frozenset((
    ChargingStatus.CREDIT_LIMIT_REACHED,
    ChargingStatus.SERVICE_DENIED,
    ChargingStatus.DESTINATION_BARRED,
))  # fmt: skip
_KINDS: Final = {
    RequestKind.INITIAL: "start",
    RequestKind.UPDATE: "interim",
    RequestKind.TERMINATION: "stop",
}
_UPDATE: Final = RequestKind.UPDATE
_TERMINATION: Final = RequestKind.TERMINATION
_RESULTS: Final = {status: status.name.lower() for status in ChargingStatus}


def is_longer(request: ChargingRequest, group: GroupAnswer, known_ms: int, ends_ms: int) -> bool:
    """Whether an interim brought the call more time than its gateway knows of, which no Accounting-Response can say. Of
    a call that this process has not seen before, it is so if its plan gives the money out in parts [R-46].
    """
    if request.kind is not _UPDATE or not group.granted:
        return False
    if known_ms:
        return ends_ms > known_ms + LONGER_MS_MIN
    wanted = request.groups[0].requested or ()
    return group.final < 0 and any(group.granted < quantity.value for quantity in wanted)


class RadiusDesk:
    """One per process: admission, the requests in work, and their results in numbers."""

    def __init__(
        self,
        settings: Radius,
        charging: Charging,
        currencies: dict[str, Currency],
        counters: Counters,
        seldom: SeldomLog,
        watch: GrantWatch,
        clock: Callable[[], int],
    ) -> None:
        self._charging = charging
        self._currencies = currencies
        self._in_flight_max = settings.in_flight_max
        self._access_max = settings.in_flight_max * ACCESS_SHARE[0] // ACCESS_SHARE[1]
        self._attempts = Attempts(settings.attempts_max, settings.lockout_s * 1000)
        self._used_nonces = UsedNonces()
        self._tasks: set[asyncio.Task[None]] = set()
        self._counters = counters
        self._seldom = seldom
        self._watch = watch
        self._clock = clock
        self._charged: list[Charged] = []
        self._on_charged = self._add_charged
        self._is_flush_due = False
        self.memory: RadiusMemory | None = None
        self.trace: Callable[[Work], None] | None = None
        self.on_longer: Callable[[str], None] = lambda _: None
        self.on_stranger: Callable[[ChargingRequest, str], None] = lambda _request, _why: None
        self._drained: asyncio.Event | None = None
        self.in_flight = 0

    def take(self, works: list[Work], now_ms: int) -> None:
        """Answer them now, in a later turn, or never. All are read before the first is submitted: each step's code and
        tables stay in the processor's caches so (docs/adr/0015-steps.md).
        """
        if self.trace is not None:
            for work in works:
                self.trace(work)
        asked: list[Charged] = []
        for work in works:
            is_access = work.packet.code == ACCESS_REQUEST
            if self.in_flight >= (self._access_max if is_access else self._in_flight_max):
                work.channel.responder.forget(work.packet)
                self._counters.count("radius", "access" if is_access else "accounting", "overload")
                continue
            if work.client.in_flight_max and not self._has_room(work):
                continue
            self.in_flight += 1
            try:
                if is_access:
                    self._on_access(work, now_ms)
                elif (request := self._read_accounting(work, now_ms)) is not None:
                    asked.append(Charged(work, request, self._on_charged))
            except Exception:
                log.exception("radius_request_failed", client=work.client.name)
                self._stay_silent(work, "internal_fault")
        submit = self._charging.submit
        for record in asked:
            try:
                submit(record.request, record)
            except Exception:
                log.exception("radius_request_failed", client=record.work.client.name)
                self._stay_silent(record.work, "internal_fault")

    def _has_room(self, work: Work) -> bool:
        """Whether the client may have one more in work, which is counted; it keeps what is beyond its limit for later."""
        client = work.client
        if client.in_flight >= client.in_flight_max:
            work.channel.responder.forget(work.packet)
            client.discard("overload")
            self._counters.count("radius", "datagram", "overload")
            return False
        client.in_flight += 1
        return True

    async def drained(self, within_s: float) -> None:
        """Wait for what is in work; what takes longer is given up."""
        if self.in_flight:
            self._drained = asyncio.Event()
            try:
                await asyncio.wait_for(self._drained.wait(), within_s)
            except TimeoutError:
                log.warning("radius_drain_cut_short", in_flight=self.in_flight)
        for task in self._tasks:
            task.cancel()

    # --- accounting -------------------------------------------------------------------------------------------------

    def _read_accounting(self, work: Work, now_ms: int) -> ChargingRequest | None:
        """What the record asks of charging; None if it asks nothing and is answered already, or in a later turn."""
        profile = work.client.profile
        reading = profile.dialect.reader.open(work.packet, work.source[0])
        request = accounting_request(reading, profile, now_ms)
        if type(request) is ChargingRequest:
            work.kind = _KINDS[request.kind]
            return request
        if isinstance(request, Uncharged):
            work.kind = "other"
            self._reply(work, ACCOUNTING_RESPONSE, b"", request.value)
        elif isinstance(request, CloseSessions):
            work.kind = "on_off"
            self._spawn(self._close_sessions(work, request))
        return None

    def _add_charged(self, record: Charged) -> None:
        """What is durable may be said; it is, with all the others of this turn."""
        self._charged.append(record)
        if not self._is_flush_due:
            self._is_flush_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flush_due = False
        charged, self._charged = self._charged, []
        now_ms = self._clock()
        for record in charged:
            work, answer = record.work, record.answer
            result = _RESULTS[answer.status]
            if answer.status in UNANSWERED:
                self._stay_silent(work, result)
            else:
                self._reply(work, ACCOUNTING_RESPONSE, b"", result)
                self._keep_an_eye_on(work, record.request, answer, now_ms)

    def _keep_an_eye_on(self, work: Work, request: ChargingRequest, answer: ChargingAnswer, now_ms: int) -> None:
        """A call that goes on may outlive its grant; of one that ended and was not paid, a line is all that is left."""
        if request.kind is not _TERMINATION:
            dynamic = work.client.profile.dialect.dynamic
            if answer.groups and (dynamic.disconnect or dynamic.extend != "no"):
                group = answer.groups[0]
                # Refused and yet under way: the gateway started without asking, or the money ended.
                if group.granted or group.status in _OVER:
                    ends_ms = now_ms + group.granted * 1000
                    known_ms = self._watch.granted(request.session_key, ends_ms)
                    if dynamic.extend != "no" and is_longer(request, group, known_ms, ends_ms):
                        self.on_longer(request.session_key)
            return
        self._watch.ended(request.session_key)
        if not is_charged(answer):  # the client will not say it again
            log.warning(
                "radius_use_not_charged",
                client=work.client.name,
                session=request.session_key,
                result=_RESULTS[answer.status],
                used=[(quantity.kind.name.lower(), quantity.value) for quantity in request.groups[0].used or ()],
                details=dict(request.details),
            )

    async def _close_sessions(self, work: Work, request: CloseSessions) -> None:
        try:
            for prefix in request.prefixes:
                await self._charging.close_sessions(prefix, request.before_ms, request.cause)
        except BackendUnavailable:
            self._stay_silent(work, "unavailable")
        except Exception:
            log.exception("radius_close_sessions_failed", client=work.client.name)
            self._stay_silent(work, "internal_fault")
        else:
            self._reply(work, ACCOUNTING_RESPONSE, b"", "success")

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- access -----------------------------------------------------------------------------------------------------

    def _on_access(self, work: Work, now_ms: int) -> None:
        profile = work.client.profile
        reading = profile.dialect.reader.open(work.packet, work.source[0])
        check = first_look(work.packet, profile, secrets.token_bytes(NONCE_OCTETS), now_ms)
        if check is not None:
            self._on_checked(work, reading, check, now_ms)
        elif self._attempts.is_locked(who_tries(reading, profile), now_ms):
            self._refuse(work, Reason.TOO_MANY_ATTEMPTS, "locked_out")
        else:
            identities = identities_of(reading)
            self._charging.find_subscriber(identities, lambda found: self._on_subscriber(work, reading, found, now_ms))

    def _on_subscriber(
        self, work: Work, reading: Reading, found: Subscriber | BackendUnavailable | None, now_ms: int
    ) -> None:
        if isinstance(found, BackendUnavailable):
            self._stay_silent(work, "unavailable")
            return
        profile = work.client.profile
        who = who_tries(reading, profile)
        if found is None:
            request = authorization_request(reading, profile, work.packet.authenticator, now_ms)
            self.on_stranger(request, "unknown_subscriber")
            check = Check(Reason.UNKNOWN_ACCOUNT, "user_unknown")
        else:
            check = second_look(
                work.packet, found, work.peer.secret, self._used_nonces, is_protected=work.channel.is_protected
            )  # fmt: skip
        if check.reason is not None:
            self._attempts.was_wrong(who, now_ms)
        had_wrong_ones = check.reason is None and self._attempts.was_right(who)
        used = used_nonce(work.packet, profile, now_ms) if check.reason is None else None
        if self.memory is None or not (check.reason or had_wrong_ones or used):
            self._on_checked(work, reading, check, now_ms)
        else:
            self._spawn(self._compare(self.memory, work, reading, check, used, who, now_ms))

    async def _compare(
        self,
        memory: RadiusMemory,
        work: Work,
        reading: Reading,
        check: Check,
        used: Used | None,
        who: tuple[str, str],
        now_ms: int,
    ) -> None:
        """With what other processes know, before the answer: a guess elsewhere is a guess, a digest heard is heard."""
        try:
            if check.reason is not None:
                self._attempts.were_wrong(who, await memory.wrong(who), now_ms)
            elif used is not None and await memory.is_heard_before(*used):
                check = HEARD_BEFORE
            else:
                await memory.right(who)
        except (RedisError, OSError):
            self._stay_silent(work, "unavailable")
            return
        try:
            self._on_checked(work, reading, check, now_ms)
        except Exception:
            log.exception("radius_request_failed", client=work.client.name)
            self._stay_silent(work, "internal_fault")

    def _on_checked(self, work: Work, reading: Reading, check: Check, now_ms: int) -> None:
        if check.is_secret_suspect:
            self._seldom.warn("radius_secret_suspect", work.client.name, "", now_ms)
        if check.is_challenge:
            self._reply(work, ACCESS_CHALLENGE, check.octets, check.result)
        elif check.reason is not None:
            self._refuse(work, check.reason, check.result)
        else:
            work.extra = check.octets
            self._authorize(work, reading, now_ms)

    def _authorize(self, work: Work, reading: Reading, now_ms: int) -> None:
        request = authorization_request(reading, work.client.profile, work.packet.authenticator, now_ms)
        self._charging.submit(request, lambda answer: self._on_authorized(work, request, answer))

    def _on_authorized(self, work: Work, request: ChargingRequest, answer: ChargingAnswer) -> None:
        result = _RESULTS[answer.status]
        reply = authorization_reply(request, answer, work.client.profile, self._currencies)
        if reply is None:
            self._stay_silent(work, result)
        else:
            extra = work.extra if reply.code == ACCESS_ACCEPT else b""
            self._reply(work, reply.code, reply.attributes + extra, result)

    def _refuse(self, work: Work, reason: Reason, result: str) -> None:
        reply = rejection(reason, work.client.profile)
        self._reply(work, reply.code, reply.attributes, result)

    # --- out --------------------------------------------------------------------------------------------------------

    def _reply(self, work: Work, code: int, attributes: bytes, result: str) -> None:
        if self._end(work, result):
            channel = work.channel
            octets = channel.responder.reply(work.packet, work.peer, code, attributes)
            if octets is not None:
                channel.send(octets, work.source, work.local)

    def _stay_silent(self, work: Work, result: str) -> None:
        if self._end(work, result):
            work.channel.responder.forget(work.packet)

    def _end(self, work: Work, result: str) -> bool:
        """Count a request out, once: False if that has been done."""
        if work.is_done:
            return False
        work.is_done = True
        self.in_flight -= 1
        if work.client.in_flight_max:
            work.client.in_flight -= 1
        self._counters.count("radius", work.kind, result)
        if self._drained is not None and not self.in_flight:
            self._drained.set()
        return True
