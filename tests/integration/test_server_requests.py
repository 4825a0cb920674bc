"""RAR and ASR from any process to the connection that leads to the client: on a real Valkey, with lines of our own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis.asyncio as redis
from msgspec import structs

from ocs import tasks
from ocs.charging import notice_stream
from ocs.charging.notice_stream import STREAM_KEY, NoticeReader, NoticeStream
from ocs.charging.notices import Notice, NoticeKind
from ocs.charging.request import ChargingAnswer, ChargingRequest, RequestKind
from ocs.clock import now_ms
from ocs.net import diameter_notices
from ocs.net.diameter_notices import ServerRequests, session_of
from ocs.observe.counters import Counters
from protocols.diameter import avp, codes
from protocols.diameter.message import Message, encode_answer
from protocols.diameter.node import LocalNode

pytestmark = pytest.mark.integration

OCS = LocalNode("ocs.example.net", "example.net")
NOW_MS = 1_790_000_000_000


@dataclass
class FakeLine:
    """A connection that keeps what is sent on it."""

    identity: str
    name: str
    realm: str = "example.net"
    is_sound: bool = True
    is_agent: bool = False
    serves_credit_control: bool = True
    sent: list[Message] = field(default_factory=list)
    identifier: int = 0

    def next_identifier(self) -> int:
        self.identifier += 1
        return self.identifier

    def send_request(self, data: bytes) -> None:
        self.sent.append(Message(data))


class Process:
    """One process of the server: its lines, its counters, and what charging was asked."""

    def __init__(self, name: str, client: Any, clock: Callable[[], int], lines: tuple[FakeLine, ...]) -> None:
        self.stream = NoticeStream(client, name)
        self.counters = Counters()
        self.closed: list[ChargingRequest] = []
        self.halved: list[str] = []
        self.lines = list(lines)
        self.requests = ServerRequests(OCS, lambda: self.lines, self, clock, self.counters)
        self.requests.use(self.stream)
        self.now = clock
        reader = NoticeReader(self.stream, self.time_ms, {"gy": self.requests.take})
        self.task = asyncio.create_task(reader.run())

    def time_ms(self) -> int:
        return self.now()

    def submit(self, request: ChargingRequest, reply: Callable[[ChargingAnswer], None]) -> None:
        self.closed.append(request)

    def halve(self, session_key: str) -> None:
        self.halved.append(session_key)

    def answer(self, line: FakeLine, result_code: int, at: int = -1) -> None:
        answer = encode_answer(line.sent[at], avp.avp_u32(codes.RESULT_CODE, result_code))
        self.requests.answered(line, Message(answer))

    @property
    def counted(self) -> dict[tuple[str, str, str], int]:
        return dict(self.counters.requests)


@pytest.fixture
async def start(valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., Process]]:
    """Starts processes on one Valkey; the waits are short."""
    monkeypatch.setattr(diameter_notices, "NO_LINE_S", 0.2)
    client: Any = redis.Redis.from_url(valkey_url)
    base_ms = int((await client.time())[0]) * 1000
    processes: list[Process] = []

    def make(name: str, *lines: FakeLine) -> Process:
        processes.append(Process(name, client, lambda: base_ms, lines))
        return processes[-1]

    yield make
    for process in processes:
        await process.requests.close()
    await tasks.end(process.task for process in processes)
    await client.aclose()


def notice(process: Process, kind: NoticeKind = NoticeKind.REAUTHORIZE, peer: str = "pgw.example.net") -> Notice:
    return Notice(kind, "gy:pgw.example.net;1;1", peer, "test", process.requests._clock())


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the processes know nothing of the test
            await asyncio.sleep(0.005)


async def test_g102_notice_reaches_the_process_with_the_connection(start: Callable[..., Process]) -> None:
    """Said in one process, sent by the other one, once; the answer 2002 ends it [G-101]."""
    line = FakeLine("PGW.example.net", "b/1")
    one, two = start("a"), start("b", line)
    await one.stream.publish([notice(one)])
    await until(lambda: line.sent)
    (request,) = line.sent
    assert (request.command, request.flags) == (codes.RE_AUTH, 0xC0)
    two.answer(line, 2002)
    assert two.counted == {("diameter", "re_auth", "success"): 1}
    assert two.requests.unanswered == 0
    await asyncio.sleep(0.3)  # the other process looks again after NO_LINE_S
    assert one.counted == {}
    assert len(line.sent) == 1


async def test_72_g102_process_that_asks_knows_whom_it_left_half(start: Callable[..., Process]) -> None:
    """The next update comes to the process that sent the RAR, on the same connection; other notices halve nothing."""
    line = FakeLine("pgw.example.net", "a/1")
    process = start("a", line)
    await process.stream.publish([notice(process), structs.replace(notice(process), takes_half=True)])
    await until(lambda: len(line.sent) == 2)
    assert process.halved == ["gy:pgw.example.net;1;1"]


async def test_two_processes_with_connections_send_once(start: Callable[..., Process]) -> None:
    """Each could deliver: one claims it."""
    lines = FakeLine("pgw.example.net", "a/1"), FakeLine("pgw.example.net", "b/1")
    one = start("a", lines[0])
    start("b", lines[1])
    await one.stream.publish([notice(one, NoticeKind.ABORT)])
    await until(lambda: lines[0].sent or lines[1].sent)
    await asyncio.sleep(0.05)
    assert len(lines[0].sent) + len(lines[1].sent) == 1


async def test_notice_of_a_process_that_died_is_taken_over(
    start: Callable[..., Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Leased, sent, and then its process is gone without an answer: another one sends it; what is finished nobody does."""
    monkeypatch.setattr(notice_stream, "LEASE_MS", 300)
    monkeypatch.setattr(notice_stream, "LOOK_AGAIN_MS", 100)
    monkeypatch.setattr(notice_stream, "BLOCK_MS", 50)
    lines = FakeLine("pgw.example.net", "a/1"), FakeLine("pgw.example.net", "b/1")
    processes = [start(name, line) for name, line in zip("ab", lines, strict=True)]
    for process in processes:
        process.now = now_ms
    await processes[0].stream.publish([structs.replace(notice(processes[0]), at_ms=now_ms())])
    await until(lambda: lines[0].sent or lines[1].sent)
    dead, alive = (0, 1) if lines[0].sent else (1, 0)
    await tasks.end([processes[dead].task])  # it reads no more, and nobody tells it that its client answered
    await until(lambda: lines[alive].sent)
    processes[alive].answer(lines[alive], 2002)
    await until(lambda: not processes[alive].requests._tasks)
    await asyncio.sleep(0.6)
    assert [len(line.sent) for line in lines] == [1, 1]


async def test_g101_unknown_session_is_closed_as_lost(start: Callable[..., Process]) -> None:
    """RAA 5002: the client has forgotten it, so the money is set free."""
    line = FakeLine("pgw.example.net", "a/1")
    process = start("a", line)
    await process.stream.publish([notice(process)])
    await until(lambda: line.sent)
    process.answer(line, 5002)
    (request,) = process.closed
    assert (request.kind, request.session_key, request.is_forced) == (
        RequestKind.EXPIRY,
        "gy:pgw.example.net;1;1",
        True,
    )
    process.answer(line, 5002)  # once more is nothing
    assert len(process.closed) == 1


async def test_b78_unanswered_request_goes_by_the_other_connection(
    start: Callable[..., Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No answer in time: the peer's other connection, T flag, same end-to-end id; then another process; then an alarm. [C-104]"""
    monkeypatch.setattr(diameter_notices, "ANSWER_S", 0.05)
    first, second = FakeLine("pgw.example.net", "a/1"), FakeLine("pgw.example.net", "a/2")
    third = FakeLine("relay.example.net", "b/1", is_agent=True, serves_credit_control=False)
    one = start("a", first, second)
    two = start("b")
    await one.stream.publish([notice(one)])
    await until(lambda: second.sent)
    assert first.sent[0].end_to_end == second.sent[0].end_to_end
    assert (first.sent[0].flags & 0x10, second.sent[0].flags & 0x10) == (0, 0x10)
    two.lines.append(third)
    await until(lambda: third.sent)
    assert third.sent[0].flags & 0x10
    await until(lambda: two.counted or one.counted)
    assert {**one.counted, **two.counted} == {("diameter", "re_auth", "given_up"): 1}
    assert one.requests.unanswered == two.requests.unanswered == 0


def redirect(usage: int, *uris: str) -> bytes:
    hosts = b"".join(avp.avp_text(codes.REDIRECT_HOST, uri) for uri in uris)
    return (
        avp.avp_u32(codes.RESULT_CODE, 3006)
        + hosts
        + avp.avp_u32(codes.REDIRECT_HOST_USAGE, usage)
        + avp.avp_u32(codes.REDIRECT_MAX_CACHE_TIME, 600)
    )


@pytest.mark.parametrize(("usage", "sent_to_second"), [(0, 1), (1, 2)])
async def test_b79_redirect_is_followed_and_kept_as_long_as_it_says(
    start: Callable[..., Process], usage: int, sent_to_second: int
) -> None:
    """3006: to the first host that is connected; with a use beyond this request, the next one goes there at once."""
    agent = FakeLine("agent.example.net", "a/1", is_agent=True)
    second = FakeLine("dra2.example.net", "a/2", is_agent=True)
    process = start("a", agent, second)
    process.requests.learn_route("pgw.example.net", "example.net", "agent.example.net")
    await process.stream.publish([notice(process)])
    await until(lambda: agent.sent)
    uris = "aaa://dra1.example.net:3868", "aaas://DRA2.example.net:5868;transport=tcp"
    process.requests.answered(agent, Message(encode_answer(agent.sent[0], redirect(usage, *uris))))
    assert (len(second.sent), second.sent[0].end_to_end) == (1, agent.sent[0].end_to_end)
    process.answer(second, 2001)
    await process.stream.publish([notice(process)])
    await until(lambda: len(agent.sent) + len(second.sent) == 3)
    assert len(second.sent) == sent_to_second


@pytest.mark.parametrize("uris", [("aaa://elsewhere.example.net",), ("nonsense",), ()])
async def test_b79_redirect_to_nobody_is_given_up(start: Callable[..., Process], uris: tuple[str, ...]) -> None:
    """We open no connection for it, and do not ask in circles."""
    line = FakeLine("pgw.example.net", "a/1")
    process = start("a", line)
    await process.stream.publish([notice(process)])
    await until(lambda: line.sent)
    process.requests.answered(line, Message(encode_answer(line.sent[0], redirect(1, *uris))))
    assert process.counted == {("diameter", "re_auth", "given_up"): 1}


async def test_b60_suspected_or_lost_connection_fails_over_at_once(start: Callable[..., Process]) -> None:
    """What waits for an answer moves without waiting for the timer."""
    first, second = FakeLine("pgw.example.net", "a/1"), FakeLine("pgw.example.net", "a/2")
    process = start("a", first, second)
    await process.stream.publish([notice(process)])
    await until(lambda: first.sent)
    first.is_sound = False
    process.requests.fail_over(first)
    assert len(second.sent) == 1


async def test_b78_nobody_leads_there_is_an_alarm_once(start: Callable[..., Process]) -> None:
    """No process has a way: one of them says so, and nothing waits for ever."""
    one, two = start("a", FakeLine("other.example.net", "a/1")), start("b")
    await one.stream.publish([notice(one)])
    await until(lambda: one.counted or two.counted)
    await asyncio.sleep(0.1)
    assert sum(one.counted.values()) + sum(two.counted.values()) == 1


@pytest.mark.parametrize(("result_code", "outcome"), [(5012, "refused"), (3007, "refused"), (2001, "success")])
async def test_g101_answers_are_counted(start: Callable[..., Process], result_code: int, outcome: str) -> None:
    """A client that knows no RAR costs one answer. [C-104]"""
    line = FakeLine("pgw.example.net", "a/1")
    process = start("a", line)
    await process.stream.publish([notice(process)])
    await until(lambda: line.sent)
    process.answer(line, result_code)
    assert process.counted == {("diameter", "re_auth", outcome): 1}
    assert not process.closed


async def test_g103_client_that_knows_no_asr_is_asked_to_come(start: Callable[..., Process]) -> None:
    """ASA 3001: a RAR in its place; what it asks then is answered by the account's state."""
    line = FakeLine("pgw.example.net", "a/1")
    process = start("a", line)
    await process.stream.publish([notice(process, NoticeKind.ABORT)])
    await until(lambda: line.sent)
    process.answer(line, 3001)
    assert [request.command for request in line.sent] == [codes.ABORT_SESSION, codes.RE_AUTH]
    assert not line.sent[1].flags & codes.RETRANSMITTED
    process.answer(line, 2002)
    assert process.counted == {("diameter", "abort_session", "refused"): 1, ("diameter", "re_auth", "success"): 1}


async def test_b78_route_by_an_agent_is_known_to_every_process(start: Callable[..., Process]) -> None:
    """A client behind an agent: the process that never heard of it sends there, with the client's realm."""
    agent = FakeLine("agent.example.net", "b/1", is_agent=True)
    other = FakeLine("zzz.example.net", "b/2", is_agent=True)
    one, _ = start("a"), start("b", other, agent)
    one.requests.learn_route("pgw.example.net", "pgw.realm", "Agent.example.net")
    await until(lambda: not one.requests._tasks)
    await one.stream.publish([notice(one)])
    await until(lambda: agent.sent)
    found, _ = agent.sent[0].walk()
    assert avp.text(agent.sent[0].frame, found[codes.DESTINATION_REALM]) == "pgw.realm"
    assert avp.text(agent.sent[0].frame, found[codes.DESTINATION_HOST]) == "pgw.example.net"
    assert not other.sent


async def test_foreign_entries_in_the_stream_are_passed_over(start: Callable[..., Process]) -> None:
    """What another version or another protocol wrote stops nothing."""
    line = FakeLine("pgw.example.net", "a/1")
    process = start("a", line)
    await process.stream._client.xadd(STREAM_KEY, {"n": b"\xc1"})
    await process.stream.publish([Notice(NoticeKind.ABORT, "ra:call", "switch", "", 0), notice(process)])
    await until(lambda: line.sent)
    assert line.sent[0].command == codes.RE_AUTH


@pytest.mark.parametrize(
    ("key", "expected"),
    [("gy:a;1;2", ("a;1;2", None)), ("gy:a;1;2#7", ("a;1;2", 7)), ("gy:a#b", ("a#b", None))],
)
def test_session_id_is_read_from_the_key(key: str, expected: tuple[str, int | None]) -> None:
    """The sub-session's number stands behind the mark."""
    assert session_of(key) == expected
