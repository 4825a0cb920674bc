"""The Diameter server over real sockets, with python-diameter as the independent client."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
import uvloop
from diameter.message import constants
from diameter.message.commands import CreditControlAnswer, CreditControlRequest
from diameter.node import Node
from diameter.node.application import SimpleThreadingApplication
from structlog.testing import capture_logs

from ocs.charging.request import Quantity
from ocs.errors import StartRefusedError
from ocs.rating.units import UnitKind
from ocs.settings import DiameterPeer
from protocols.diameter import avp, base, codes
from protocols.diameter.message import Message, encode
from protocols.diameter.node import LocalNode
from tests.builders_gy import capabilities_request, ccr, mscc, seconds
from tests.builders_rf import acr
from tests.integration.diameter_world import GRANTED_S, RawClient, running_server

pytestmark = pytest.mark.integration


class PythonDiameter:
    """python-diameter as a gateway: a node with one application, in its own threads."""

    def __init__(self, port: int) -> None:
        self.node = Node("gateway.example.net", "example.net")
        self.peer = self.node.add_peer(
            f"aaa://ocs.example.net:{port}", "example.net", ip_addresses=["127.0.0.1"], is_persistent=True
        )
        self.app = SimpleThreadingApplication(
            constants.APP_DIAMETER_CREDIT_CONTROL_APPLICATION, is_auth_application=True
        )
        self.node.add_application(self.app, [self.peer])

    def start(self) -> None:
        self.node.wakeup_interval = 1
        self.node.start()
        self.app.wait_for_ready(10)

    def stop(self) -> None:
        self.node.stop(wait_timeout=5)

    def request(self, kind: int, number: int, session: str = "gateway.example.net;1;1") -> CreditControlRequest:
        request = CreditControlRequest()
        request.session_id = session
        request.origin_host = self.node.origin_host.encode()
        request.origin_realm = self.node.realm_name.encode()
        request.destination_realm = b"example.net"
        request.auth_application_id = constants.APP_DIAMETER_CREDIT_CONTROL_APPLICATION
        request.service_context_id = "8.32251@3gpp.org"
        request.cc_request_type = kind
        request.cc_request_number = number
        request.add_subscription_id(subscription_id_type=0, subscription_id_data="+4915112345")
        return request

    async def send(self, request: CreditControlRequest) -> CreditControlAnswer:
        answer = await asyncio.to_thread(self.app.send_request, request, 10)
        assert isinstance(answer, CreditControlAnswer)
        return answer


@pytest.fixture(autouse=True)
def _quiet() -> None:
    """python-diameter logs each refusal as a warning; the tests look at the answers."""
    logging.getLogger("diameter").setLevel(logging.CRITICAL)


async def test_python_diameter_makes_a_call() -> None:
    """CER, CCR-I, CCR-U, CCR-T and DPR of an independent stack get the answers it can read [B-30]."""
    async with running_server() as (server, port, charging):
        client = PythonDiameter(port)
        await asyncio.to_thread(client.start)
        try:
            opening = client.request(kind=1, number=0)
            opening.add_multiple_services_credit_control(requested_service_unit=_seconds(60), rating_group=100)
            first = await client.send(opening)
            assert (first.result_code, first.cc_request_type, first.cc_request_number) == (2001, 1, 0)
            assert (first.session_id, first.origin_host) == (opening.session_id, b"ocs.example.net")
            (group,) = first.multiple_services_credit_control
            assert (group.rating_group, group.result_code) == (100, 2001)
            assert group.granted_service_unit.cc_time == GRANTED_S
            assert group.validity_time == 600

            update = client.request(kind=2, number=1)
            update.add_multiple_services_credit_control(
                requested_service_unit=_seconds(60), used_service_unit=_used(60), rating_group=100
            )
            assert (await client.send(update)).result_code == 2001

            end = client.request(kind=3, number=2)
            end.add_multiple_services_credit_control(used_service_unit=_used(12), rating_group=100)
            last = await client.send(end)
            assert last.result_code == 2001
            unit_value = last.cost_information.unit_value
            assert (unit_value.value_digits, unit_value.exponent) == (3, -1)
            assert last.cost_information.currency_code == 978
            assert charging.requests[1].groups[0].used == (Quantity(UnitKind.SECONDS, 60),)
            assert server.in_flight == 0
        finally:
            await asyncio.to_thread(client.stop)
        await _until(lambda: server.connections == 0)


async def test_server_takes_leave_of_python_diameter() -> None:
    """close() sends DPR, the independent stack agrees, and nothing is left."""
    async with running_server() as (server, port, _):
        client = PythonDiameter(port)
        await asyncio.to_thread(client.start)
        try:
            await server.close(8)
            assert server.connections == 0
        finally:
            await asyncio.to_thread(client.node.stop, 1, True)


@pytest.mark.parametrize(
    ("digits", "expected"),
    [("404", 5030), ("402", 4012), ("500", 5012)],
)
async def test_refusals_are_read_by_python_diameter(digits: str, expected: int) -> None:
    """A 4xxx or 5xxx answer has all that the grammar of the command wants (client-expectations 3.3)."""
    async with running_server() as (server, port, _):
        client = PythonDiameter(port)
        await asyncio.to_thread(client.start)
        try:
            request = client.request(kind=1, number=0)
            request.subscription_id = []
            request.add_subscription_id(subscription_id_type=0, subscription_id_data=digits)
            answer = await client.send(request)
            assert answer.result_code == expected
            assert not answer.header.is_error
            assert (answer.auth_application_id, answer.cc_request_type, answer.cc_request_number) == (4, 1, 0)
            assert server.in_flight == 0
        finally:
            await asyncio.to_thread(client.node.stop, 1, True)


def _result(message: Message) -> int:
    return base.read_result_code(message)


async def test_answers_of_one_read_come_together_and_complete() -> None:
    """A hundred pipelined requests get a hundred answers, whenever the core makes up its mind."""
    async with running_server() as (server, port, charging):
        client = await RawClient.connect(port)
        await client.open()
        for number in range(100):
            client.send(ccr(mscc(seconds(codes.REQUESTED_SERVICE_UNIT, 30)), number=number, hop_by_hop=number))
        seen = {(await client.receive()).hop_by_hop for _ in range(100)}
        assert seen == set(range(100))
        assert len(charging.requests) == 100
        assert server.in_flight == 0
        assert server.counters.requests["diameter", "initial", "success"] == 100
        await client.close()


@pytest.mark.parametrize(
    ("settings", "identity", "realm", "expected"),
    [
        ({}, "client.example.net", "example.net", 2001),
        ({}, "client.example.net", "EXAMPLE.NET", 2001),
        ({}, "client.example.org", "example.org", 3010),
        ({}, "OCS.example.net", "example.net", 3010),
        ({"peers": (DiameterPeer(identity="gw.example.org"),)}, "GW.example.org", "example.org", 2001),
        ({"peers": (DiameterPeer(identity="gw.example.org", realm="a.org"),)}, "gw.example.org", "b.org", 3010),
        ({"peers": (DiameterPeer(identity="gw.b.org", addresses=("127.0.0.0/8",)),)}, "gw.b.org", "b.org", 2001),
        ({"peers": (DiameterPeer(identity="gw.b.org", addresses=("10.0.0.7",)),)}, "gw.b.org", "b.org", 3010),
    ],
)
async def test_b43_who_may_connect(settings: dict[str, Any], identity: str, realm: str, expected: int) -> None:
    """B-43: declared peers, and those of accepted realms; our own identity never [B-45]."""
    async with running_server(**settings) as (_, port, _):
        client = await RawClient.connect(port)
        answer = await client.open(identity, realm)
        assert _result(answer) == expected
        if expected != 2001:
            assert answer.flags & codes.ERROR
            assert await client.is_closed_by_server()
        await client.close()


async def test_b14_too_many_in_flight_is_3004() -> None:
    """B-14: beyond the limit the answer is TOO_BUSY with E, at once; what was taken in is still answered."""
    async with running_server(in_flight_max=2) as (server, port, charging):
        charging.is_holding = True
        client = await RawClient.connect(port)
        await client.open()
        for number in range(3):
            client.send(ccr(number=number, hop_by_hop=number))
        busy = await client.receive()
        assert (_result(busy), busy.hop_by_hop, busy.flags & codes.ERROR) == (3004, 2, codes.ERROR)
        assert server.in_flight == 2
        charging.release()
        assert [_result(await client.receive()) for _ in range(2)] == [2001, 2001]
        await client.close()


async def test_too_many_connections_are_turned_away() -> None:
    """The limit holds before a single octet is read."""
    async with running_server(connections_max=1) as (server, port, _):
        first = await RawClient.connect(port)
        await first.open()
        second = await RawClient.connect(port)
        assert await second.is_closed_by_server()
        assert server.connections == 1
        await first.close()
        await second.close()


async def test_b32_second_connection_of_a_living_peer_is_closed() -> None:
    """B-32: one connection per identity; the first is asked for a sign of life, answers, and stays."""
    async with running_server() as (server, port, _):
        first = await RawClient.connect(port)
        await first.open()
        second = await RawClient.connect(port)
        second.send(capabilities_request())
        assert await second.is_closed_by_server()
        question = await first.receive_any()
        assert (question.command, question.is_request) == (codes.DEVICE_WATCHDOG, True)
        first.send(base.success_answer(question, LocalNode("client.example.net", "example.net")))
        first.send(ccr())
        assert _result(await first.receive()) == 2001
        assert server.connections == 1
        await first.close()
        await second.close()


async def test_b32_dead_connection_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """B-32: a client that lost its connection unnoticed comes in as soon as the old one is found silent. [C-103]"""
    monkeypatch.setattr("ocs.net.diameter_connection.SILENCE_TO_REPLACE_MS", 0)
    async with running_server() as (server, port, _):
        first = await RawClient.connect(port)
        await first.open()
        second = await RawClient.connect(port)
        assert _result(await second.open()) == 2001
        await _until(lambda: server.connections == 1)
        second.send(ccr())
        assert _result(await second.receive()) == 2001
        await first.close()
        await second.close()


async def test_b51_close_waits_for_answers_in_flight() -> None:
    """B-51: DPR first, new requests get 3004, the answer in flight still leaves, then the transport closes."""
    async with running_server() as (server, port, charging):
        charging.is_holding = True
        client = await RawClient.connect(port)
        await client.open()
        client.send(ccr(hop_by_hop=1))
        await _until(lambda: server.in_flight == 1)
        closing = asyncio.create_task(server.close(5))
        dpr = await client.receive()
        assert dpr.command == codes.DISCONNECT_PEER
        client.send(ccr(hop_by_hop=2))
        assert _result(await client.receive()) == 3004
        client.send(base.success_answer(dpr, LocalNode("client.example.net", "example.net")))
        await asyncio.sleep(0.05)
        charging.release()
        answer = await client.receive()
        assert (_result(answer), answer.hop_by_hop) == (2001, 1)
        assert await client.is_closed_by_server()
        await closing
        await client.close()


async def test_close_does_not_wait_for_ever() -> None:
    """A peer that ignores the DPR is cut off when the time is over."""
    async with running_server() as (server, port, _):
        client = await RawClient.connect(port)
        await client.open()
        await server.close(0.1)
        assert (await client.receive()).command == codes.DISCONNECT_PEER
        assert await client.is_closed_by_server()
        await client.close()


async def test_answer_for_a_lost_connection_is_dropped() -> None:
    """B-77: the client went away in between; the core's answer finds nobody, and nothing is left behind."""
    async with running_server() as (server, port, charging):
        charging.is_holding = True
        client = await RawClient.connect(port)
        await client.open()
        client.send(ccr())
        await _until(lambda: server.in_flight == 1)
        await client.close()
        await _until(lambda: server.connections == 0)
        charging.release()
        await _until(lambda: server.in_flight == 0)  # the answer is dropped at the end of the turn


async def test_client_that_does_not_read_is_not_read() -> None:
    """Answers that nobody takes stop the reading: the server's memory stays bounded."""
    async with running_server(in_flight_max=100_000) as (server, port, charging):
        client = await RawClient.connect(port)
        await client.open()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        burst = ccr(avp.avp(codes.PROXY_INFO, bytes(8000))) * 50

        async def flood() -> None:
            for _ in range(60):
                client.send(burst)
                await client.writer.drain()

        flooding = asyncio.create_task(flood())
        taken = -1
        while taken < len(charging.requests):  # until no more are taken
            taken = len(charging.requests)
            await asyncio.sleep(0.5)
        assert taken < 3000
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        for _ in range(3000):
            await client.receive()
        await flooding
        assert server.in_flight == 0
        await client.close()


async def test_noise_closes_the_connection_and_is_counted() -> None:
    """A web browser that went astray."""
    async with running_server() as (server, port, _):
        client = await RawClient.connect(port)
        client.send(b"GET / HTTP/1.1\r\nHost: example.net\r\n\r\n")
        assert await client.is_closed_by_server()
        await _until(lambda: server.connections == 0)
        assert server.counters.requests["diameter", "connection", "breach"] == 1
        await client.close()


async def test_silent_connection_is_closed() -> None:
    """B-40: no CER in time."""
    async with running_server(capabilities_timeout_s=0) as (_, port, _):
        client = await RawClient.connect(port)
        assert await client.is_closed_by_server()
        await client.close()


async def test_strangers_do_not_fill_the_log() -> None:
    """Whoever finds the port can open connections without end: one line for an address and a reason."""
    with capture_logs() as lines:
        async with running_server(capabilities_timeout_s=0) as (_, port, _):
            for _ in range(20):
                client = await RawClient.connect(port)
                assert await client.is_closed_by_server()
                await client.close()
    closed = [line for line in lines if line["event"] in {"diameter_stranger_closed", "diameter_peer_closed"}]
    assert [(line["event"], line["address"]) for line in closed] == [("diameter_stranger_closed", "127.0.0.1")]


async def test_port_that_is_taken_is_said_in_one_line() -> None:
    """A second daemon on the same port gets a reason, not a traceback."""
    async with running_server() as (_, port, _):
        with pytest.raises(StartRefusedError, match=f"127.0.0.1:{port} is taken"):
            async with running_server(listen=(f"127.0.0.1:{port}",)):
                pass


def test_works_on_uvloop() -> None:
    """The daemon runs on uvloop: the same server there."""

    async def call() -> int:
        async with running_server() as (_, port, _):
            client = await RawClient.connect(port)
            await client.open()
            client.send(ccr())
            code = _result(await client.receive())
            await client.close()
            return code

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(call()) == 2001


def _seconds(value: int) -> Any:
    from diameter.message.commands.credit_control import RequestedServiceUnit

    return RequestedServiceUnit(cc_time=value)


def _used(value: int) -> Any:
    from diameter.message.commands.credit_control import UsedServiceUnit

    return UsedServiceUnit(cc_time=value)


async def _until(is_so: Any) -> None:
    for _ in range(600):
        if is_so():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it never came to be so")


async def test_b120_accounting_on_the_same_connection() -> None:
    """ACR beside CCR: each is answered in its own application; too much at once is TOO_BUSY."""
    async with running_server(in_flight_max=2) as (server, port, charging):
        client = await RawClient.connect(port)
        await client.open()
        client.send(acr(2, 0) + ccr())
        answers = {(answer := await client.receive()).command: answer for _ in range(2)}
        assert {command: base.read_result_code(answer) for command, answer in answers.items()} == {271: 2001, 272: 2001}
        charging.is_holding = True
        client.send(b"".join(acr(3, number) for number in range(1, 4)))
        assert base.read_result_code(await client.receive()) == 3004
        charging.release()
        assert [base.read_result_code(await client.receive()) for _ in range(2)] == [2001, 2001]
        assert server.in_flight == 0
        await client.close()


async def test_b107_session_termination_ends_a_session_as_supervision_does() -> None:
    """STR for application 4: STA with the outcome; without a Session-Id 5005."""
    async with running_server() as (server, port, charging):
        client = await RawClient.connect(port)
        await client.open()
        origin = LocalNode("client.example.net", "example.net").origin
        session = avp.avp_text(codes.SESSION_ID, "client.example.net;1;1")
        for avps, expected in ((session + origin, 2001), (origin, 5005)):
            client.send(encode(0xC0, codes.SESSION_TERMINATION, 4, 1, 1, avps))
            answer = await client.receive()
            assert (answer.command, base.read_result_code(answer)) == (codes.SESSION_TERMINATION, expected)
        (request,) = charging.requests
        assert (request.session_key, request.is_forced) == ("gy:client.example.net;1;1", True)
        assert server.in_flight == 0
        await client.close()
