"""Disconnect and CoA on their way: sent from one socket, repeated, answered, counted by result (RFC 5176).

Nothing waits for any of it, and no money moves by it: only a report does that [R-95]. A gateway that does not know
such requests is not asked again for an hour [R-92].
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Awaitable, Callable, Coroutine
from enum import Enum
from typing import Any, Final, Protocol, TypeAlias

import structlog
from redis.exceptions import RedisError

from balance.store import BackendUnavailable
from ocs.addresses import Address
from ocs.charging.request import ChargingAnswer, ChargingStatus
from ocs.charging.session import CreditSession, SessionKind
from ocs.gateways.radius_dynamic import (
    DynamicRequest,
    disconnect_request,
    extend_request,
    reauthorization,
    total_s,
    where_of,
)
from ocs.net.radius_clients import Client, ClientTable
from ocs.net.radius_work import Charging
from ocs.observe.counters import Counters
from protocols.radius.dictionary import Dictionary
from protocols.radius.dynauth import (
    COA_REQUEST,
    DISCONNECT_REQUEST,
    SESSION_NOT_FOUND,
    TRANSMISSIONS_MAX,
    UNSUPPORTED_EXTENSION,
    UNSUPPORTED_SERVICE,
    DynamicAnswer,
    delay_ms,
    dynamic_request,
    read_answer,
)
from protocols.radius.packet import PACKET_OCTETS_MAX

log = structlog.get_logger()

ON_LINE_WAIT_MS: Final = 30_000
NOT_AGAIN_MS: Final = 3_600_000
WAITING_MAX: Final = 10_000
_NAMES: Final = {DISCONNECT_REQUEST: "disconnect", COA_REQUEST: "coa"}


class Outcome(Enum):
    """How it ended; the value is the word in metrics and logs."""

    ACKED = "success"
    UNKNOWN_SESSION = "session_unknown"  # supervision closes it
    UNSUPPORTED = "unsupported"
    REFUSED = "refused"
    UNANSWERED = "unanswered"
    NO_WAY = "no_address"
    NOT_ASKED = "not_asked"  # it did not know the last one


async def _nobody_else(_name: str) -> bool:
    return True


class Line(Protocol):
    """A connection that the client opened and on which it can be asked, too (RFC 6614, section 2.5)."""

    @property
    def secret(self) -> bytes: ...

    def send(self, octets: bytes) -> None: ...


Way: TypeAlias = Line | Address


class _Sent:
    """One request that is out. ``asked`` is where to as it was set, ``way`` where that led."""

    __slots__ = ("asked", "client", "octets", "secret", "session_key", "timer", "transmissions", "way")

    def __init__(
        self, client: Client, session_key: str, octets: bytes, secret: bytes, asked: Address | None, way: Way
    ) -> None:
        self.client = client
        self.session_key = session_key
        self.octets = octets
        self.secret = secret
        self.asked = asked
        self.way = way
        self.transmissions = 0
        self.timer: asyncio.TimerHandle | None = None


class _Socket(asyncio.DatagramProtocol):
    """Answers come to ``on_answer`` with the address they came from."""

    def __init__(self, on_answer: Callable[[Address, bytes], None]) -> None:
        self._on_answer = on_answer

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._on_answer(Address(addr[0], addr[1]), data)


class DynamicAuthorization:
    """One per process. ``disconnect`` and ``reauthorize`` return at once; what comes of it is counted and logged."""

    def __init__(
        self,
        clients: ClientTable,
        dictionary: Dictionary,
        charging: Charging,
        counters: Counters,
        clock: Callable[[], int],
    ) -> None:
        self._clients = {client.name: client for client in clients.clients}
        self._dictionary = dictionary
        self._charging = charging
        self._counters = counters
        self._clock = clock
        self._sockets: dict[socket.AddressFamily, asyncio.DatagramTransport] = {}
        self._sent: dict[tuple[Way, int], _Sent] = {}
        self._not_before_ms: dict[tuple[str, int, int], int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.line_to: Callable[[Client], Line | None] = lambda _: None
        self.claim: Callable[[str], Awaitable[bool]] = _nobody_else

    @property
    def unanswered(self) -> int:
        return len(self._sent)

    def disconnect(self, session: CreditSession, cause: str) -> None:
        """Ask the gateway to end the call, if its profile says that it can."""
        client = self._clients.get(session.peer)
        if client is None or session.kind is not SessionKind.CALL or not client.profile.dialect.dynamic.disconnect:
            return
        request = disconnect_request(session, client.profile, self._dictionary, self._clock())
        self._ask(client, session, request, cause)

    def disconnect_once(self, session: CreditSession, cause: str) -> None:
        """The same for what several processes may notice at once: the first to claim it asks, of those that can."""
        client = self._clients.get(session.peer)
        if client is not None and client.profile.client.certificate_names and not self.can_ask(session):
            return
        self._spawn(self._claim_and_disconnect(session, cause))

    def reauthorize(self, session: CreditSession, cause: str) -> None:
        """The account changed: reserve anew, and tell the gateway how long the call may last now."""
        client = self._clients.get(session.peer)
        if client is None or session.kind is not SessionKind.CALL or session.service != "voice":
            return
        dynamic = client.profile.dialect.dynamic
        if dynamic.extend == "no" and not dynamic.disconnect:
            return
        now_ms = self._clock()
        self._charging.submit(
            reauthorization(session, client.profile, now_ms),
            lambda answer: self._reauthorized(client, session, answer, cause),
        )

    def tell_longer(self, session_key: str) -> None:
        """An interim brought the call more time: say so, since the gateway would end it at the time that it knows."""
        self._spawn(self._find_and_tell(session_key))

    def can_ask(self, session: CreditSession) -> bool:
        """Whether this process has a way to the session's gateway."""
        client = self._clients.get(session.peer)
        if client is None:
            return False
        return self.line_to(client) is not None or where_of(session, client.profile) is not None

    async def close(self) -> None:
        for sent in self._sent.values():
            if sent.timer is not None:
                sent.timer.cancel()
        self._sent.clear()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for transport in self._sockets.values():
            transport.close()
        self._sockets.clear()

    # --- inside -----------------------------------------------------------------------------------------------------

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _find_and_tell(self, session_key: str) -> None:
        try:
            session = await self._charging.find_session(session_key)
        except BackendUnavailable:
            return  # the next interim brings it up again
        client = self._clients.get(session.peer) if session is not None else None
        if session is None or client is None or session.service != "voice":
            return
        lasts_s = max(state.used + state.granted for state in session.groups)
        if lasts_s <= client.profile.session_max_s:
            request = extend_request(session, lasts_s, client.profile, self._dictionary, self._clock())
            self._ask(client, session, request, "an interim brought more time")

    async def _claim_and_disconnect(self, session: CreditSession, cause: str) -> None:
        try:
            is_ours = await self.claim(f"disconnect:{session.session_key}:{session.heard_at_ms}")
        except (RedisError, OSError):  # twice is better than not at all: a gateway says that it knows no such session
            is_ours = True
        if is_ours:
            self.disconnect(session, cause)

    def _reauthorized(self, client: Client, session: CreditSession, answer: ChargingAnswer, cause: str) -> None:
        status = answer.status
        if status is ChargingStatus.SUCCESS and answer.groups:
            status = answer.groups[0].status
        lasts_s = total_s(session, answer)
        if status is ChargingStatus.SERVICE_DENIED:
            self.disconnect(session, cause)
        elif lasts_s and client.profile.dialect.dynamic.extend != "no":
            request = extend_request(session, lasts_s, client.profile, self._dictionary, self._clock())
            self._ask(client, session, request, cause)

    def _ask(self, client: Client, session: CreditSession, request: DynamicRequest, cause: str) -> None:
        name, key = _NAMES[request.code], session.session_key
        line = self.line_to(client)
        if line is None and request.where is not None and self._is_left_alone(request.where, request.code):
            self._count(client, name, Outcome.NOT_ASKED)
            return
        if len(self._sent) >= WAITING_MAX or (line is None and request.where is None):
            self._count(client, name, Outcome.NO_WAY)
            cure = "set dynamic_authorization of this client"
            log.warning("radius_request_not_sent", request=name, client=client.name, session=key, cure=cure)
            return
        to = "its connection" if line is not None else str(request.where)
        log.info("radius_request_sent", request=name, client=client.name, session=key, to=to, cause=cause)
        if line is not None:
            self._send(client, key, request, line, line.secret)
            return
        self._spawn(self._look_up_and_send(client, key, request))

    def _is_left_alone(self, where: Address, code: int) -> bool:
        return self._not_before_ms.get((*where, code), 0) > self._clock()

    async def _look_up_and_send(self, client: Client, session_key: str, request: DynamicRequest) -> None:
        assert request.where is not None, "that has been looked at"
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(*request.where, type=socket.SOCK_DGRAM)
            family, address = found[0][0], Address(*found[0][4][:2])
            await self._open(family)
        except OSError as error:
            self._count(client, _NAMES[request.code], Outcome.NO_WAY)
            log.warning("radius_request_not_sent", client=client.name, session=session_key, reason=str(error))
            return
        self._send(client, session_key, request, address, client.profile.secret)

    def _send(self, client: Client, session_key: str, request: DynamicRequest, way: Way, secret: bytes) -> None:
        identifier = self._free_identifier(way)
        octets = dynamic_request(request.code, identifier, request.attributes, secret)
        self._sent[way, identifier] = _Sent(client, session_key, octets, secret, request.where, way)
        self._transmit((way, identifier))

    async def _open(self, family: socket.AddressFamily) -> None:
        if family not in self._sockets:
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_datagram_endpoint(lambda: _Socket(self.answered), family=family,
                                                               local_addr=_ANY[family])  # fmt: skip
            if family in self._sockets:  # somebody else was faster
                transport.close()
            else:
                self._sockets[family] = transport

    def _free_identifier(self, way: Way) -> int:
        """One that is not out on this way, by chance, since an answer may come late; with all of them out, the request
        that has one is given up.
        """
        start = secrets.randbelow(256)
        identifier = next((n % 256 for n in range(start, start + 256) if (way, n % 256) not in self._sent), start)
        if (way, identifier) in self._sent:
            self._end((way, identifier), Outcome.UNANSWERED)
        return identifier

    def _transmit(self, key: tuple[Way, int]) -> None:
        sent = self._sent.get(key)
        if sent is None:
            return
        if sent.transmissions == TRANSMISSIONS_MAX:
            self._end(key, Outcome.UNANSWERED)
            return
        sent.transmissions += 1
        wait_ms = delay_ms(sent.transmissions, secrets.randbelow(1001))
        if isinstance(sent.way, Address):
            family = socket.AF_INET6 if ":" in sent.way.host else socket.AF_INET
            self._sockets[family].sendto(sent.octets, sent.way)
        else:  # a connection loses nothing: nothing is repeated on it
            sent.way.send(sent.octets)
            sent.transmissions, wait_ms = TRANSMISSIONS_MAX, ON_LINE_WAIT_MS
        sent.timer = asyncio.get_running_loop().call_later(wait_ms / 1000, self._transmit, key)

    def answered(self, way: Way, datagram: bytes) -> None:
        """What came back on a way; anything but the answer to what is out on it is passed over."""
        if not 2 <= len(datagram) <= PACKET_OCTETS_MAX:
            return
        key = way, datagram[1]
        sent = self._sent.get(key)
        if sent is None:
            return
        answer = read_answer(datagram, sent.octets, sent.secret)
        if answer is None:
            sent.client.discard("wrong_authenticator")
            self._counters.count("radius", "datagram", "wrong_authenticator")
        else:
            self._end(key, outcome_of(answer))

    def _end(self, key: tuple[Way, int], outcome: Outcome) -> None:
        sent = self._sent.pop(key)
        if sent.timer is not None:
            sent.timer.cancel()
        code = sent.octets[0]
        if outcome in (Outcome.UNSUPPORTED, Outcome.UNANSWERED) and sent.asked is not None:
            self._not_before_ms[*sent.asked, code] = self._clock() + NOT_AGAIN_MS
        self._count(sent.client, _NAMES[code], outcome)
        say = log.info if outcome is Outcome.ACKED else log.warning
        say(
            "radius_request_ended",
            request=_NAMES[code],
            client=sent.client.name,
            session=sent.session_key,
            result=outcome.value,
            transmissions=sent.transmissions,
        )

    def _count(self, client: Client, name: str, outcome: Outcome) -> None:
        client.asked[f"{name}:{outcome.value}"] = client.asked.get(f"{name}:{outcome.value}", 0) + 1
        self._counters.count("radius", name, outcome.value)


_ANY: Final = {socket.AF_INET: ("0.0.0.0", 0), socket.AF_INET6: ("::", 0)}  # noqa: S104 - answers come back to where we sent from


def outcome_of(answer: DynamicAnswer) -> Outcome:
    if answer.is_ack:
        return Outcome.ACKED
    if answer.error_cause == SESSION_NOT_FOUND:
        return Outcome.UNKNOWN_SESSION
    if answer.error_cause in (UNSUPPORTED_SERVICE, UNSUPPORTED_EXTENSION):
        return Outcome.UNSUPPORTED
    return Outcome.REFUSED
