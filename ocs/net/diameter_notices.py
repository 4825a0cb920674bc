"""Requests that the server makes: RAR and ASR to the connection that leads to a session's client, until answered.

    stream of notices -> lease -> the best connection -> answer, or the next connection, or an alarm

A notice that no connection here can take is left to other processes. Nothing waits for any of it, and no money moves
by it: whoever is not told comes at the end of its Validity-Time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from enum import Enum
from typing import Any, Final, Protocol

import structlog
from msgspec import structs

from ocs import tasks
from ocs.charging.notice_stream import LIFE_MS, NoticeStream, Route
from ocs.charging.notices import Notice, NoticeKind
from ocs.charging.request import ChargingAnswer, ChargingRequest, RequestKind
from ocs.net.diameter_routes import Line, RouteBook, lines_to, realm_of
from ocs.observe.counters import Counters
from protocols.diameter.base import Redirect, read_redirect, read_result_code
from protocols.diameter.message import Message
from protocols.diameter.node import LocalNode
from protocols.diameter.result_codes import ResultCode
from protocols.diameter.session_requests import Identifiers, SessionAddress, abort_session_request, re_auth_request

log = structlog.get_logger()

ANSWER_S: Final = 5.0
NO_LINE_S: Final = 3.0  # for a peer that is just coming back, and for another process that has it
TRIES_MAX: Final = 3
REDIRECT_S_MAX: Final = 86_400
UNANSWERED_MAX: Final = 10_000
PREFIX: Final = "gy:"

_REQUESTS: Final = {NoticeKind.REAUTHORIZE: re_auth_request, NoticeKind.ABORT: abort_session_request}
_NAMES: Final = {NoticeKind.REAUTHORIZE: "re_auth", NoticeKind.ABORT: "abort_session"}
assert _REQUESTS.keys() == _NAMES.keys() == set(NoticeKind)


class Outcome(Enum):
    """How a server-initiated request ended; the label of its metric."""

    TOLD = "success"
    SESSION_UNKNOWN = "unknown_session_id"
    REFUSED = "refused"
    GIVEN_UP = "given_up"


class RequestLine(Line, Protocol):
    """A connection on which requests can be sent; their answers come to ``ServerRequests.answered``."""

    @property
    def name(self) -> str: ...

    def next_identifier(self) -> int: ...

    def send_request(self, data: bytes) -> None: ...


class Charging(Protocol):
    def submit(self, request: ChargingRequest, reply: Callable[[ChargingAnswer], None]) -> None: ...

    def halve(self, session_key: str) -> None: ...


class _Sent:
    """One request that is out."""

    __slots__ = ("end_to_end", "entry_id", "notice", "realm", "timer", "via")

    def __init__(self, entry_id: str, notice: Notice, end_to_end: int, realm: str, via: str) -> None:
        self.entry_id = entry_id
        self.notice = notice
        self.end_to_end = end_to_end
        self.realm = realm
        self.via = via
        self.timer: asyncio.TimerHandle | None = None


class ServerRequests:
    """One per process. ``lines`` gives the connections that are open now."""

    def __init__(
        self,
        node: LocalNode,
        lines: Callable[[], Iterable[RequestLine]],
        charging: Charging,
        clock: Callable[[], int],
        counters: Counters,
        first_identifier: int = 1,
        wake: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.routes = RouteBook()
        self._node = node
        self._lines = lines
        self._charging = charging
        self._clock = clock
        self._counters = counters
        self._wake = wake  # by Origin-Host: there is something to send [B-33]
        self._stream: NoticeStream | None = None
        self._sent: dict[tuple[str, int], _Sent] = {}
        self._end_to_end = first_identifier & 0xFFFF_FFFF
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def unanswered(self) -> int:
        return len(self._sent)

    def use(self, stream: NoticeStream) -> None:
        self._stream = stream

    # -- notices in

    async def take(self, entry_id: str, notice: Notice) -> None:
        """See to a notice, if a connection here leads to the client; else look once more before it is given up."""
        route = await self._route(notice.peer)
        if self._choose(notice, route) is None:
            self._wake(notice.peer)
            self._spawn(self._take_later(entry_id, notice, route))
        else:
            await self._claim_and_send(entry_id, notice, route)

    async def close(self) -> None:
        for sent in self._sent.values():
            if sent.timer is not None:
                sent.timer.cancel()
        self._sent.clear()
        await tasks.end(self._tasks)

    def learn_route(self, host: str, realm: str, via: str) -> None:
        """A request of ``host`` came in by that peer. What an agent brought is kept for the other processes, too."""
        route = self.routes.learn(host, realm, via)
        if route is not None and self._stream is not None:
            self._spawn(self._stream.keep_route(host, route))

    async def _take_later(self, entry_id: str, notice: Notice, route: Route | None) -> None:
        """The last look: perhaps the peer has come back, perhaps another process has seen to it."""
        await asyncio.sleep(NO_LINE_S)
        await self._claim_and_send(entry_id, notice, route)

    async def _claim_and_send(self, entry_id: str, notice: Notice, route: Route | None) -> None:
        assert self._stream is not None, "use() comes first"
        if not await self._stream.lease(entry_id):
            return
        line = self._choose(notice, route)
        if line is None:
            self._give_up(entry_id, notice, "no connection leads to the client")
        elif len(self._sent) >= UNANSWERED_MAX:
            self._give_up(entry_id, notice, "too many requests are unanswered")
        elif self._clock() - notice.at_ms > LIFE_MS:
            self._give_up(entry_id, notice, "it is too old")
        else:
            self._end_to_end = (self._end_to_end + 1) & 0xFFFF_FFFF
            realm = realm_of(notice.peer, route, self._lines())
            via = route.via if route is not None else ""
            self._send(line, _Sent(entry_id, notice, self._end_to_end, realm, via))

    async def _route(self, host: str) -> Route | None:
        assert self._stream is not None, "use() comes first"
        return self.routes.route(host, self._clock()) or await self._stream.route(host)

    def _choose(self, notice: Notice, route: Route | None) -> RequestLine | None:
        via = route.via if route is not None else ""
        lines = lines_to(notice.peer, via, self._lines())
        return next((line for line in lines if line.name not in notice.tried), None)

    # -- requests out

    def _send(self, line: RequestLine, sent: _Sent) -> None:
        notice = sent.notice
        identifiers = Identifiers(line.next_identifier(), sent.end_to_end, bool(notice.tried))
        session_id, sub_session_id = session_of(notice.session_key)
        address = SessionAddress(session_id, notice.peer, sent.realm, sub_session_id)
        sent.notice = structs.replace(notice, tried=(*notice.tried, line.name))
        key = line.name, identifiers.hop_by_hop
        self._sent[key] = sent
        sent.timer = asyncio.get_running_loop().call_later(ANSWER_S, self._failed, key, "it was not answered")
        if notice.takes_half:
            self._charging.halve(notice.session_key)
        line.send_request(_REQUESTS[notice.kind](self._node, address, identifiers))
        log.info(
            "diameter_request_sent",
            request=_NAMES[notice.kind],
            session_id=session_id,
            peer=line.identity,
            cause=notice.cause,
        )

    def answered(self, line: RequestLine, message: Message) -> None:
        """An answer to a request of ours came in."""
        sent = self._take_back(line.name, message.hop_by_hop)
        if sent is None:  # later than we waited for it
            return
        result_code = read_result_code(message)
        if result_code // 1000 == 2:  # 2002: a CCR follows [G-101]
            self._end(sent.entry_id, sent.notice, Outcome.TOLD)
        elif result_code == ResultCode.UNKNOWN_SESSION_ID:
            self._end(sent.entry_id, sent.notice, Outcome.SESSION_UNKNOWN)
            self._close_lost(sent.notice)
        elif result_code == ResultCode.REDIRECT_INDICATION:
            self._redirected(sent, read_redirect(message))
        elif result_code in _TRY_ELSEWHERE:
            self._elsewhere(sent, f"it was answered with {result_code}")
        else:
            self._end(sent.entry_id, sent.notice, Outcome.REFUSED)
            log.warning("diameter_request_refused_by_client", peer=sent.notice.peer, result_code=result_code)
            if sent.notice.kind is NoticeKind.ABORT:
                self._ask_instead(line, sent)

    def _redirected(self, sent: _Sent, redirect: Redirect) -> None:
        """By a connection that is there to one of the hosts that were named; we open none for it [B-79]."""
        notice = sent.notice
        for line in self._lines():
            host = line.identity.lower()
            if host in redirect.hosts and line.is_sound and line.name not in notice.tried:
                if redirect.keep_s:
                    until_ms = self._clock() + min(redirect.keep_s, REDIRECT_S_MAX) * 1000
                    self.routes.redirect(notice.peer, host, until_ms)
                sent.via = host
                self._send(line, sent)
                return
        self._give_up(sent.entry_id, notice, f"redirected to {', '.join(redirect.hosts) or 'nobody'}: no connection")

    def _ask_instead(self, line: RequestLine, sent: _Sent) -> None:
        """Not all clients know ASR: those of a barred account are denied when they come [G-103]."""
        notice = structs.replace(sent.notice, kind=NoticeKind.REAUTHORIZE, tried=())
        self._end_to_end = (self._end_to_end + 1) & 0xFFFF_FFFF
        if line.is_sound:
            self._send(line, _Sent(sent.entry_id, notice, self._end_to_end, sent.realm, sent.via))

    def fail_over(self, line: RequestLine) -> None:
        """The connection is gone or its peer suspected: what waits for an answer goes another way (RFC 3539)."""
        for key in [key for key in self._sent if key[0] == line.name]:
            self._failed(key, "the connection failed")

    def _failed(self, key: tuple[str, int], why: str) -> None:
        sent = self._take_back(*key)
        if sent is not None:
            self._elsewhere(sent, why)

    def _take_back(self, line_name: str, hop_by_hop: int) -> _Sent | None:
        sent = self._sent.pop((line_name, hop_by_hop), None)
        if sent is not None and sent.timer is not None:
            sent.timer.cancel()
        return sent

    def _elsewhere(self, sent: _Sent, why: str) -> None:
        """By another connection of this process, else by another process's, else not at all."""
        notice = sent.notice
        if len(notice.tried) >= TRIES_MAX:
            self._give_up(sent.entry_id, notice, why)
            return
        line = self._choose(notice, Route(sent.realm, sent.via))
        if line is not None:
            self._send(line, sent)
            if self._stream is not None:
                self._spawn(self._stream.renew(sent.entry_id))
        elif self._stream is not None:
            self._spawn(self._hand_over(self._stream, sent.entry_id, notice))

    async def _hand_over(self, stream: NoticeStream, entry_id: str, notice: Notice) -> None:
        """Another process may have a way: the notice goes back into the stream."""
        await stream.publish([notice])
        await stream.finish(entry_id)

    def _give_up(self, entry_id: str, notice: Notice, why: str) -> None:
        self._end(entry_id, notice, Outcome.GIVEN_UP)
        session_id, _ = session_of(notice.session_key)
        log.error(
            "diameter_request_given_up",
            request=_NAMES[notice.kind],
            session_id=session_id,
            peer=notice.peer,
            tried=len(notice.tried),
            why=why,
        )

    def _end(self, entry_id: str, notice: Notice, outcome: Outcome) -> None:
        if self._stream is not None:
            self._spawn(self._stream.finish(entry_id))
        self._counters.count("diameter", _NAMES[notice.kind], outcome.value)

    def _close_lost(self, notice: Notice) -> None:
        """The client does not know the session: it ends as when its time is over [G-101]."""
        request = ChargingRequest(
            RequestKind.EXPIRY,
            notice.session_key,
            -1,
            (),
            "",
            self._clock(),
            (),
            cause="the client does not know the session",
            is_forced=True,
        )
        self._charging.submit(request, _ignore)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(_logged(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


_TRY_ELSEWHERE: Final = frozenset({ResultCode.UNABLE_TO_DELIVER, ResultCode.TOO_BUSY, ResultCode.LOOP_DETECTED})


def session_of(session_key: str) -> tuple[str, int | None]:
    """Session-Id and CC-Sub-Session-Id from the session's key."""
    session_id = session_key.removeprefix(PREFIX)
    main, mark, sub_session = session_id.rpartition("#")
    return (main, int(sub_session)) if mark and sub_session.isdecimal() else (session_id, None)


async def _logged(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except Exception as error:  # noqa: BLE001 - advice is lost, nothing else
        log.warning("notice_lost", reason=str(error) or type(error).__name__)


def _ignore(_: ChargingAnswer) -> None:
    pass
