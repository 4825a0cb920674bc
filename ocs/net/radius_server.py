"""RADIUS over UDP: sockets, clients, admission and the end. What a record means is the gateway's business.

    datagram -> client by address -> responder (genuine? seen before?) -> gateway -> charging -> gateway -> reply

No task and no log line per request. Whatever cannot be vouched for stays without an answer, and its repeat is
worked on again (RFC 2866, section 2).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Protocol

import structlog

from balance.money import Currency
from balance.store import BackendUnavailable, Subscriber
from ocs.charging.request import ChargingAnswer, ChargingRequest, RequestKind
from ocs.errors import StartRefusedError
from ocs.gateways.radius import (
    CloseSessions,
    Uncharged,
    accounting_request,
    authorization_request,
)
from ocs.gateways.radius_names import identities_of
from ocs.gateways.radius_products import load_products
from ocs.gateways.radius_profile import Reason
from ocs.gateways.radius_reply import (
    UNANSWERED,
    AccessReply,
    authorization_reply,
    is_charged,
    rejection,
)
from ocs.net.datagrams import DatagramSocket, Local, Source
from ocs.net.radius_clients import Client, ClientTable
from ocs.observe.metrics import Counters
from ocs.settings import Settings
from protocols.radius.attributes import ACCT_STATUS_TYPE
from protocols.radius.dedup import ReplyCache
from protocols.radius.packet import ACCESS_REQUEST, ACCOUNTING_RESPONSE, Packet
from protocols.radius.reading import Reading
from protocols.radius.records import (
    Credentials,
    StatusType,
    credentials_of,
    is_password_right,
    is_secret_suspect,
)
from protocols.radius.responder import Discard, Responder, Role

log = structlog.get_logger()

LOG_EVERY_MS: Final = 60_000
# Accounting is repeated for longer than authorization, so its replies are kept for longer.
ACCOUNTING_KEEP_FACTOR: Final = 2
# New calls are refused before records of calls that have been.
ACCESS_SHARE: Final = (3, 4)

_KINDS: Final[dict[int, str]] = {
    StatusType.START: "start",
    StatusType.INTERIM_UPDATE: "interim",
    StatusType.STOP: "stop",
    StatusType.FAILED: "failed",
    StatusType.ACCOUNTING_ON: "on_off",
    StatusType.ACCOUNTING_OFF: "on_off",
}


class Charging(Protocol):
    """What RADIUS asks of the charging core; callbacks come in the loop's thread, at once or in a later turn."""

    def submit(self, request: ChargingRequest, reply: Callable[[ChargingAnswer], None]) -> None:
        """Decide, make durable, then call ``reply`` once."""

    def find_subscriber(
        self, identities: tuple[str, ...], done: Callable[[Subscriber | BackendUnavailable | None], None]
    ) -> None:
        """The subscriber of the first identity that is known."""

    def close_sessions(self, prefix: str, before_ms: int, cause: str) -> Awaitable[object]:
        """Close, at their last known use, the sessions whose key begins so and that were opened before."""


class _Work:
    """One request between its arrival and its reply."""

    __slots__ = ("client", "is_done", "kind", "listener", "local", "packet", "source")

    def __init__(
        self, listener: _Listener, client: Client, packet: Packet, source: Source, local: Local, kind: str
    ) -> None:
        self.listener = listener
        self.client = client
        self.packet = packet
        self.source = source
        self.local = local
        self.kind = kind
        self.is_done = False


class _Listener:
    """One socket with its role and its replies."""

    __slots__ = ("datagrams", "responder")

    def __init__(self, datagrams: DatagramSocket, responder: Responder) -> None:
        self.datagrams = datagrams
        self.responder = responder


def _always() -> bool:
    return True


class RadiusServer:
    """``start`` binds and returns the addresses; ``close`` waits for what is in work."""

    def __init__(
        self,
        settings: Settings,
        charging: Charging,
        currencies: dict[str, Currency],
        clock: Callable[[], int],
        config_dir: Path,
        *,
        counters: Counters | None = None,
        is_ready: Callable[[], bool] = _always,
    ) -> None:
        self._settings = settings.radius
        self._charging = charging
        self._currencies = currencies
        self._clock = clock
        self._is_ready = is_ready
        self._clients = ClientTable(settings.radius, load_products(config_dir, settings.radius))
        self._listeners: dict[DatagramSocket, _Listener] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._logged_at_ms: dict[tuple[str, str], int] = {}
        self._access_max = settings.radius.in_flight_max * ACCESS_SHARE[0] // ACCESS_SHARE[1]
        self.counters = counters if counters is not None else Counters()
        self._drained: asyncio.Event | None = None
        self.in_flight = 0

    @property
    def clients(self) -> list[Client]:
        return self._clients.clients

    # --- begin and end ----------------------------------------------------------------------------------------------

    async def start(self) -> list[str]:
        """Raises StartRefusedError if an address cannot be bound."""
        keep_ms = self._settings.reply_cache_s * 1000
        try:
            for listen in self._settings.authentication:
                self._add(listen, Role.AUTHENTICATION, keep_ms)
            for listen in self._settings.accounting:
                self._add(listen, Role.ACCOUNTING, keep_ms * ACCOUNTING_KEEP_FACTOR)
        except StartRefusedError:
            self._close_sockets()
            raise
        loop = asyncio.get_running_loop()
        for datagrams in self._listeners:
            datagrams.open(loop)
        for client in self.clients:
            if client.peer.requirement == "no":
                log.warning("radius_client_insecure", client=client.name, cure="require_message_authenticator")
        addresses = [datagrams.address for datagrams in self._listeners]
        log.info("radius_listening", addresses=addresses)
        return addresses

    async def close(self, drain_s: float) -> None:
        """Read no more, let what is in work be answered for up to ``drain_s``, then close."""
        loop = asyncio.get_running_loop()
        for datagrams in self._listeners:
            datagrams.stop_reading(loop)
        if self.in_flight:
            self._drained = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._drained.wait(), drain_s)
        if self.in_flight:
            log.warning("radius_drain_cut_short", in_flight=self.in_flight)
        for task in self._tasks:
            task.cancel()
        self._close_sockets()

    def _add(self, listen: str, role: Role, keep_ms: int) -> None:
        datagrams = DatagramSocket(listen, self._on_turn)
        self._listeners[datagrams] = _Listener(datagrams, Responder(role, ReplyCache(keep_ms), self._is_ready))

    def _close_sockets(self) -> None:
        for datagrams in self._listeners:
            datagrams.close()
        self._listeners.clear()

    # --- in ---------------------------------------------------------------------------------------------------------

    def _on_turn(self, datagrams: DatagramSocket, received: list[tuple[bytes, Source, Local]]) -> None:
        listener = self._listeners[datagrams]
        now_ms = self._clock()
        for octets, source, local in received:
            client = self._clients.find(source[0])
            if client is None:
                self.counters.count("radius", "datagram", "unknown_client")
                self._log_seldom("radius_unknown_client", source[0], "", now_ms)
            else:
                self._on_datagram(listener, client, octets, source, local, now_ms)

    def _on_datagram(
        self, listener: _Listener, client: Client, octets: bytes, source: Source, local: Local, now_ms: int
    ) -> None:
        result = listener.responder.receive(octets, source, client.peer, now_ms)
        if isinstance(result, bytes):
            self.counters.count("radius", "datagram", "answered_at_once")
            listener.datagrams.send(result, source, local)
        elif isinstance(result, Discard):
            client.discarded += 1
            self.counters.count("radius", "datagram", result.value)
            if result is not Discard.REPEAT_IN_WORK:
                self._log_seldom("radius_discarded", client.name, result.value, now_ms)
        else:
            self._on_request(_Work(listener, client, result, source, local, "access"), now_ms)

    def _on_request(self, work: _Work, now_ms: int) -> None:
        is_access = work.packet.code == ACCESS_REQUEST
        if self.in_flight >= (self._access_max if is_access else self._settings.in_flight_max):
            work.listener.responder.forget(work.packet, work.source)
            self.counters.count("radius", "access" if is_access else "accounting", "overload")
            return
        self.in_flight += 1
        try:
            if is_access:
                self._on_access(work, now_ms)
            else:
                self._on_accounting(work, now_ms)
        except Exception:
            log.exception("radius_request_failed", client=work.client.name)
            self._stay_silent(work, "internal_fault")

    # --- accounting -------------------------------------------------------------------------------------------------

    def _on_accounting(self, work: _Work, now_ms: int) -> None:
        profile = work.client.profile
        reading = profile.dialect.reader.open(work.packet, work.source[0])
        work.kind = _KINDS.get(reading.number(ACCT_STATUS_TYPE) or 0, "other")
        request = accounting_request(reading, profile, now_ms)
        if isinstance(request, ChargingRequest):
            self._charging.submit(request, lambda answer: self._on_charged(work, request, answer))
        elif isinstance(request, Uncharged):
            self._reply(work, ACCOUNTING_RESPONSE, b"", request.value)
        else:
            self._spawn(self._close_sessions(work, request))

    def _on_charged(self, work: _Work, request: ChargingRequest, answer: ChargingAnswer) -> None:
        result = answer.status.name.lower()
        if answer.status in UNANSWERED:
            self._stay_silent(work, result)
            return
        self._reply(work, ACCOUNTING_RESPONSE, b"", result)
        if request.kind == RequestKind.TERMINATION and not is_charged(answer):
            # The client will not say it again: this line is what is left of the call.
            log.warning(
                "radius_use_not_charged",
                client=work.client.name,
                session=request.session_key,
                result=result,
                used=[(quantity.kind.name.lower(), quantity.value) for quantity in request.groups[0].used or ()],
            )

    async def _close_sessions(self, work: _Work, request: CloseSessions) -> None:
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

    def _on_access(self, work: _Work, now_ms: int) -> None:
        profile = work.client.profile
        reading = profile.dialect.reader.open(work.packet, work.source[0])
        if profile.client.credentials == "none":
            self._authorize(work, reading, now_ms)
        elif credentials_of(work.packet) in {Credentials.PASSWORD, Credentials.CHAP}:
            identities = identities_of(reading)
            self._charging.find_subscriber(identities, lambda found: self._on_subscriber(work, reading, found, now_ms))
        else:
            self._refuse(work, Reason.WRONG_PASSWORD, "no_credentials")

    def _on_subscriber(
        self, work: _Work, reading: Reading, found: Subscriber | BackendUnavailable | None, now_ms: int
    ) -> None:
        secret = work.client.peer.secret
        if isinstance(found, BackendUnavailable):
            self._stay_silent(work, "unavailable")
        elif found is None:
            self._refuse(work, Reason.UNKNOWN_ACCOUNT, "user_unknown")
        elif is_password_right(work.packet, secret, found.password.encode()):
            self._authorize(work, reading, now_ms)
        else:
            if is_secret_suspect(work.packet, secret):
                self._log_seldom("radius_secret_suspect", work.client.name, "", now_ms)
            self._refuse(work, Reason.WRONG_PASSWORD, "wrong_password")

    def _authorize(self, work: _Work, reading: Reading, now_ms: int) -> None:
        request = authorization_request(reading, work.client.profile, work.packet.authenticator, now_ms)
        self._charging.submit(request, lambda answer: self._on_authorized(work, request, answer))

    def _on_authorized(self, work: _Work, request: ChargingRequest, answer: ChargingAnswer) -> None:
        result = answer.status.name.lower()
        reply = authorization_reply(request, answer, work.client.profile, self._currencies)
        if reply is None:
            self._stay_silent(work, result)
        else:
            self._reply(work, reply.code, reply.attributes, result)

    def _refuse(self, work: _Work, reason: Reason, result: str) -> None:
        reply: AccessReply = rejection(reason, work.client.profile)
        self._reply(work, reply.code, reply.attributes, result)

    # --- out --------------------------------------------------------------------------------------------------------

    def _reply(self, work: _Work, code: int, attributes: bytes, result: str) -> None:
        if self._end(work, result):
            octets = work.listener.responder.reply(work.packet, work.source, work.client.peer, code, attributes)
            if octets is not None:
                work.listener.datagrams.send(octets, work.source, work.local)

    def _stay_silent(self, work: _Work, result: str) -> None:
        if self._end(work, result):
            work.listener.responder.forget(work.packet, work.source)

    def _end(self, work: _Work, result: str) -> bool:
        """Count a request out, once: False if that has been done."""
        if work.is_done:
            return False
        work.is_done = True
        self.in_flight -= 1
        self.counters.count("radius", work.kind, result)
        if self._drained is not None and not self.in_flight:
            self._drained.set()
        return True

    def _log_seldom(self, event: str, who: str, reason: str, now_ms: int) -> None:
        """One line a minute for each client and reason: a broken client sends thousands of packets."""
        key = (who, event + reason)
        if now_ms - self._logged_at_ms.get(key, now_ms - LOG_EVERY_MS) < LOG_EVERY_MS:
            return
        if len(self._logged_at_ms) > 4096:
            self._logged_at_ms.clear()
        self._logged_at_ms[key] = now_ms
        log.warning(event, client=who, reason=reason, again_after_s=LOG_EVERY_MS // 1000)
