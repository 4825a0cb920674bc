"""The RADIUS server over real sockets, with pyrad as the client and a stand-in for the charging core."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
import uvloop
from pyrad.client import Timeout

from ocs.charging.request import (
    GroupKey,
)
from ocs.errors import StartRefusedError
from ocs.net.radius_server import RadiusServer
from ocs.settings import Radius, RadiusClient, Settings
from protocols.radius.authenticators import chap_response
from tests.integration.radius_standin import NOW_MS, REPLY_S_MAX, Core, access, accounting, exchange, running
from tests.wire.radius_packets import (
    CONFIG,
    access_request,
    accounting_request,
    attributes_of,
    status_server,
)

pytestmark = pytest.mark.integration

CALL: dict[str, Any] = {"User_Name": "49151", "Called_Station_Id": "442012345", "Calling_Station_Id": "49151"}


async def test_a_call_from_authorization_to_stop() -> None:
    """Access-Request with PAP, Start with the Class it got, Interim, Stop: all answered, one session charged."""
    async with running() as server:
        client = server.client()
        request = access(client, **CALL, NAS_Identifier="gw1")
        request["User-Password"] = request.PwCrypt("wonder")
        accept = await exchange(client, request)
        assert accept.code == 2
        assert accept["Session-Timeout"] == [540]
        assert accept["Acct-Interim-Interval"] == [300]
        assert accept["h323-credit-time"] == ["h323-credit-time=540"]
        assert accept["h323-return-code"] == ["h323-return-code=0"]
        assert accept["h323-credit-amount"] == ["h323-credit-amount=5.40"]
        assert accept.verify_message_authenticator(original_authenticator=request.authenticator)
        same = {"Acct_Session_Id": "s1", "NAS_Identifier": "gw1", "Class": accept["Class"][0], **CALL}
        for status, seconds in (("Start", None), ("Interim-Update", 300), ("Stop", 361)):
            record = accounting(client, status, **same)
            if seconds is not None:
                record["Acct-Session-Time"] = seconds
            assert (await exchange(client, record)).code == 5
        authorization, start, interim, stop = server.core.requests
        assert authorization.lease_ms == 240_000
        assert {start.leases[0], interim.leases[0], stop.leases[0]} == {authorization.session_key}
        assert {start.session_key, interim.session_key, stop.session_key} == {"ra:sbc:gw1:s1"}
        assert [r.kind for r in (start, interim, stop)] == [1, 2, 3]
        assert stop.groups[0].key == GroupKey()
        assert (server.server.in_flight, server.counted("stop", "success")) == (0, 1)


@pytest.mark.parametrize(
    ("user", "password", "code", "return_code"),
    [
        ("49151", "wonder", 2, "0"),
        ("alice", "wonder", 2, "0"),
        ("49151", "Wonder", 3, "2"),
        ("49151", "", 3, "2"),
        ("nobody", "wonder", 3, "1"),
        ("49151", None, 3, "2"),
    ],
)
async def test_r13_credentials_are_required_by_default(
    user: str, password: str | None, code: int, return_code: str
) -> None:
    """PAP against the subscriber's password; a Reject says why and is signed [C-10]."""
    async with running() as server:
        client = server.client()
        request = access(client, User_Name=user, Called_Station_Id="44")
        if password is not None:
            request["User-Password"] = request.PwCrypt(password)
        reply = await exchange(client, request)
        assert (reply.code, reply["h323-return-code"]) == (code, [f"h323-return-code={return_code}"])
        assert reply.verify_message_authenticator(original_authenticator=request.authenticator)
        assert ("Session-Timeout" in reply) is (code == 2)


@pytest.mark.parametrize(
    "values",
    [
        {1: "49151", 2: b"fifteen octets."},
        {1: "49151", 2: b"seventeen octets."},
        {1: "49151", 79: b"\x02\x00\x00\x0a\x01alice"},
        {2: bytes(16)},
        {1: "", 2: bytes(16)},
    ],
)
async def test_c10_credentials_that_cannot_be_are_rejected(values: dict[int, Any]) -> None:
    """An odd length, EAP, nobody at all: an answer, so that the switch does not ask again; none of it reaches charging."""
    async with running() as server:
        (reply,) = await server.raw(access_request(attributes_of(values | {30: "44"})), 0)
        assert (reply[0], server.core.requests) == (3, [])


@pytest.mark.parametrize(("status", "code"), [(1, "invite"), (2, "bye")])
async def test_c2_kamailios_own_attributes_are_nobody_elses(status: int, code: str) -> None:
    """101 to 109 of Kamailio: a method, a response code, tags, a port. No digest, no error cause, and no reason to refuse."""
    own: dict[int, Any] = {101: 1, 102: 200, 103: code, 104: "as58", 105: "1c8d", 108: "192.0.2.1", 109: 5060}
    async with running(profile="kamailio", require_message_authenticator="no", credentials="none") as server:
        record: dict[int, Any] = {40: status, 44: "call-id", 1: "sip:49151@example.net", 30: "44", **own}
        assert len(await server.raw(accounting_request(attributes_of(record)), 1)) == 1
        assert [request.session_key for request in server.core.requests] == ["ra:sbc:127.0.0.1:call-id"]
        (reply,) = await server.raw(access_request(attributes_of({1: "49151", 30: "44", 102: 200}), sign=False), 0)
        assert reply[0] == 2


@pytest.mark.parametrize(("password", "code"), [("wonder", 2), ("guess", 3)])
@pytest.mark.parametrize("challenge", [b"", b"a challenge of its own"])
async def test_chap_is_checked_against_the_clear_password(password: str, code: int, challenge: bytes) -> None:
    """[C-12] With CHAP-Challenge, or without it with the Request Authenticator (RFC 2865, section 5.3)."""
    async with running() as server:
        client = server.client()
        request = access(client, User_Name="alice", Called_Station_Id="44")
        request.authenticator = request.CreateAuthenticator()
        if challenge:
            request["CHAP-Challenge"] = challenge
        request["CHAP-Password"] = b"\x07" + chap_response(7, password.encode(), challenge or request.authenticator)
        assert (await exchange(client, request)).code == code


async def test_a_switch_that_sends_neither_password_nor_signature_works_where_configured() -> None:
    """Kamailio's misc_radius: no credentials, no Message-Authenticator, no session id [C-6]."""
    async with running(credentials="none", require_message_authenticator="no") as server:
        client = server.client()
        reply = await exchange(client, access(client, sign=False, Service_Type=30, NAS_Port=5060, **CALL))
        assert (reply.code, reply["Session-Timeout"]) == (2, [540])
        assert server.server.clients[0].peer.insecure == 1


async def test_an_unsigned_access_request_gets_silence_by_default() -> None:
    """require_message_authenticator is on unless the operator says otherwise."""
    async with running(credentials="none") as server:
        client = server.client(timeout_s=0.2)
        with pytest.raises(Timeout):
            await exchange(client, access(client, sign=False, **CALL))
        assert server.counted("datagram", "no_message_authenticator") == 1
        assert server.core.requests == []


async def test_a_wrong_secret_gets_silence() -> None:
    """Nothing is recorded, the client's counter rises."""
    async with running() as server:
        client = server.client(timeout_s=0.2, secret="other")
        with pytest.raises(Timeout):
            await exchange(client, accounting(client, "Start", Acct_Session_Id="s1"))
        assert server.server.clients[0].discarded == {"wrong_authenticator": 1}
        assert server.core.requests == []


async def test_an_unknown_client_gets_silence() -> None:
    """By the address it comes from."""
    async with running(networks=("192.0.2.0/24",)) as server:
        assert await server.raw(accounting_request(attributes_of({40: 1, 44: "s1"})), 1, expected=0) == []
        assert server.counted("datagram", "unknown_client") == 1


async def test_statement_27_identical_packets_get_identical_octets() -> None:
    """One charge, however often the packet comes; also while the first is in work [C-11]."""
    record = accounting_request(attributes_of({40: 2, 44: "s1", 1: "alice", 46: 5, 33: b"proxy"}))
    async with running() as server:
        first, second, third = await server.raw(record, 1, times=3, in_turn=True)
        assert first == second == third
        assert len(server.core.requests) == 1
        assert first[20:] == b"\x21\x07proxy"


async def test_r30_a_repeat_of_what_is_in_work_is_dropped() -> None:
    """One answer when it is ready, to the one request."""
    record = accounting_request(attributes_of({40: 2, 44: "s1", 1: "alice", 46: 5}))
    async with running() as server:
        server.core.held = []
        waiting = asyncio.create_task(server.raw(record, 1, times=2, expected=1))
        await server.until(lambda: server.counted("datagram", "repeat_in_work") == 1)
        assert server.server.in_flight == 1
        server.core.held.pop()()
        assert len(await waiting) == 1
        assert server.counted("datagram", "repeat_in_work") == 1


@pytest.mark.parametrize("port", [0, 1])
async def test_r36_silence_while_the_store_is_away_and_an_answer_afterwards(port: int) -> None:
    """What was not stored is not answered, and its repeat is worked on (statement 117)."""
    body = attributes_of({40: 2, 44: "s1", 1: "alice", 46: 5, 30: "44"})
    async with running(credentials="none") as server:
        octets = access_request(body) if port == 0 else accounting_request(body)
        server.core.is_away = True
        assert await server.raw(octets, port, expected=0) == []
        server.core.is_away = False
        assert len(await server.raw(octets, port)) == 1
        assert server.server.in_flight == 0


async def test_the_store_is_away_while_a_password_is_to_be_checked() -> None:
    """Silence, not a Reject: the other server may know."""
    async with running() as server:
        server.core.is_away = True
        octets = access_request(attributes_of({1: "alice", 2: bytes(16), 30: "44"}))
        assert await server.raw(octets, 0, expected=0) == []


@pytest.mark.parametrize(
    ("attributes", "result", "asked"),
    [
        ({40: 2, 44: "s1", 1: "nobody", 46: 5}, "user_unknown", 1),
        ({40: 2, 1: "alice"}, "no_session_id", 0),
        ({40: 99, 44: "s1"}, "unknown_status_type", 0),
        ({44: "s1"}, "unknown_status_type", 0),
        ({40: 2, 44: "s1", 1: b"\xff\xfe", 26: b"\x00\x00\x00\x09\x18\x63"}, "user_unknown", 1),
    ],
)
async def test_r61_an_authentic_record_is_answered_whatever_is_in_it(
    attributes: dict[int, bytes | str | int | list[bytes]], result: str, asked: int
) -> None:
    """So that the client stops repeating it; it is counted by what was wrong [C-9]."""
    async with running() as server:
        assert len(await server.raw(accounting_request(attributes_of(attributes)), 1)) == 1
        assert len(server.core.requests) == asked
        assert sum(count for key, count in server.server.counters.requests.items() if key[2] == result) == 1


async def test_r70_accounting_on_closes_the_gateways_sessions() -> None:
    """Answered when that is done; silence when it cannot be."""
    record = accounting_request(attributes_of({40: 7, 44: "boot", 32: "gw1"}))
    async with running() as server:
        server.core.is_away = True
        assert await server.raw(record, 1, expected=0) == []
        server.core.is_away = False
        assert len(await server.raw(record, 1)) == 1
        prefixes = ("ra:sbc:gw1:", "ra:sbc:auth:")
        assert server.core.closed == [(prefix, NOW_MS, "Accounting-On") for prefix in prefixes]


async def test_r100_status_server_on_both_ports() -> None:
    """Answered with what the port answers."""
    async with running() as server:
        assert [(await server.raw(status_server(), port))[0][0] for port in (0, 1)] == [2, 5]
        assert server.core.requests == []


async def test_r37_too_much_in_work_is_dropped_authorizations_first() -> None:
    """Records of calls that have been go on being taken while new calls are not."""
    async with running(in_flight_max=4, credentials="none") as server:
        server.core.held = []
        body = attributes_of({1: "alice", 30: "44"})
        for identifier in range(5):
            await server.raw(access_request(body + attributes_of({44: f"a{identifier}"}), identifier), 0, expected=0)
        await server.until(lambda: (server.server.in_flight, server.counted("access", "overload")) == (3, 2))
        for identifier in range(3):
            record = attributes_of({40: 2, 44: f"s{identifier}", 1: "alice"})
            await server.raw(accounting_request(record, identifier), 1, expected=0)
        await server.until(lambda: (server.server.in_flight, server.counted("accounting", "overload")) == (4, 2))
        for answer in server.core.held:
            answer()
        await asyncio.sleep(0)  # answers leave at the end of the turn
        assert server.server.in_flight == 0


async def test_r37_a_client_has_a_limit_of_its_own() -> None:
    """What is beyond it gets no answer, and is worked on when it comes again; others have their room."""
    async with running(in_flight_max_of_client=2) as server:
        server.core.held = []
        records = [accounting_request(attributes_of({40: 1, 44: f"s{n}", 1: "alice"}), n) for n in range(3)]
        waiting = [asyncio.create_task(server.raw(record, 1)) for record in records[:2]]
        await server.until(lambda: len(server.core.requests) == 2)
        assert await server.raw(records[2], 1, expected=0) == []
        assert server.server.clients[0].discarded == {"overload": 1}
        for reply in server.core.held:
            reply()
        assert [len(await each) for each in waiting] == [1, 1]
        server.core.held = None
        assert len(await server.raw(records[2], 1)) == 1
        assert server.server.clients[0].in_flight == 0


async def test_a_fault_of_ours_costs_one_request() -> None:
    """Silence for it, a line in the log, and the next one is served."""
    async with running() as server:
        record = attributes_of({40: 2, 44: "s1", 1: "alice", 46: 5})
        submit = server.core.submit
        server.core.submit = None  # type: ignore[assignment,method-assign]
        assert await server.raw(accounting_request(record), 1, expected=0) == []
        server.core.submit = submit  # type: ignore[method-assign]
        assert len(await server.raw(accounting_request(record), 1)) == 1
        assert server.server.in_flight == 0


async def test_r3_a_socket_on_all_addresses_answers_from_the_one_that_was_asked() -> None:
    """127.0.0.2 was asked, so 127.0.0.2 answers: a connected client takes nothing else."""
    async with running("0.0.0.0:0") as server:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.bind(("127.0.0.1", 0))
            sender.connect(("127.0.0.2", server.ports[1]))
            await loop.sock_sendall(sender, accounting_request(attributes_of({40: 2, 44: "s1", 1: "alice"})))
            assert (await asyncio.wait_for(loop.sock_recv(sender, 4096), REPLY_S_MAX))[0] == 5


@pytest.mark.parametrize("asked", ["::1", "127.0.0.2"])
async def test_r3_one_socket_serves_both_kinds_of_addresses(asked: str) -> None:
    """Bound to [::], an IPv4 client is known by its IPv4 address, and answered from the one that it asked."""
    async with running("[::]:0") as server:
        loop = asyncio.get_running_loop()
        family = socket.AF_INET6 if ":" in asked else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.connect((asked, server.ports[1]))
            await loop.sock_sendall(sender, accounting_request(attributes_of({40: 2, 44: "s1", 1: "alice"})))
            assert (await asyncio.wait_for(loop.sock_recv(sender, 4096), REPLY_S_MAX))[0] == 5
            source = sender.getsockname()[0].replace(":", "%3A")
        assert [request.session_key for request in server.core.requests] == [f"ra:sbc:{source}:s1"]


async def test_close_waits_for_what_is_in_work() -> None:
    """Its answer still leaves; nothing new is read."""
    async with running() as server:
        server.core.held = []
        record = accounting_request(attributes_of({40: 2, 44: "s1", 1: "alice"}))
        waiting = asyncio.create_task(server.raw(record, 1))
        await server.until(lambda: server.server.in_flight == 1)
        closing = asyncio.create_task(server.server.close(5.0))
        await asyncio.sleep(0.05)
        server.core.held.pop()()
        await closing
        assert len(await waiting) == 1


async def test_an_address_that_is_taken_is_one_clear_line() -> None:
    """Both sockets are closed again."""
    async with running() as server:
        radius = Radius(authentication=("127.0.0.1:0",), accounting=(f"127.0.0.1:{server.ports[1]}",))
        second = RadiusServer(Settings(radius=radius), server.core, {}, lambda: NOW_MS, CONFIG)
        with pytest.raises(StartRefusedError, match=r"RADIUS cannot listen on 127\.0\.0\.1:\d+: .*in use"):
            await second.start()


@pytest.mark.parametrize(
    ("clients", "message"),
    [
        ([{"secret": ""}], "the secret is empty"),
        ([{"networks": ("192.0.2.0/33",)}], "networks: .*192.0.2.0/33"),
        ([{"networks": ("192.0.2.1/24",)}], "networks: .*host bits"),
        ([{}, {"networks": ("192.0.2.2",)}], "client sbc is named twice"),
        ([{}, {"name": "other"}], "network 192.0.2.1/32 is named twice"),
    ],
)
def test_wrong_clients_are_refused_at_start(clients: list[dict[str, Any]], message: str) -> None:
    """With what is wrong and what to write."""
    defaults: dict[str, Any] = {"name": "sbc", "networks": ("192.0.2.1",), "secret": "s"}
    radius = Radius(clients=tuple(RadiusClient(**(defaults | client)) for client in clients))
    with pytest.raises(StartRefusedError, match=message):
        RadiusServer(Settings(radius=radius), Core(), {}, lambda: NOW_MS, CONFIG)


def test_a_faulty_dictionary_is_refused_with_file_and_line(tmp_path: Path) -> None:
    """All faults at once."""
    (tmp_path / "dictionaries").mkdir()
    (tmp_path / "dictionaries" / "dictionary").write_text("ATTRIBUTE One 1 strange\n$INCLUDE nowhere\n")
    with pytest.raises(StartRefusedError, match=r"dictionary:1: .*\n.*dictionary:2: "):
        RadiusServer(Settings(), Core(), {}, lambda: NOW_MS, tmp_path)


def test_r2_the_longest_network_chooses_the_client() -> None:
    """A switch inside a network of others has a secret of its own; IPv4 inside IPv6 is IPv4."""
    options: dict[str, Any] = {"secret": "s"}
    radius = Radius(
        clients=(
            RadiusClient(name="net", networks=("192.0.2.0/24", "2001:db8::/32"), **options),
            RadiusClient(name="one", networks=("192.0.2.7",), **options),
        )
    )
    server = RadiusServer(Settings(radius=radius), Core(), {}, lambda: NOW_MS, CONFIG)
    for address, name in (
        ("192.0.2.6", "net"),
        ("192.0.2.7", "one"),
        ("::ffff:192.0.2.7", "one"),
        ("2001:db8::1%eth0", "net"),
        ("192.0.3.1", None),
    ):
        found = server._clients.find(address)
        assert (found.name if found else None) == name


def test_it_runs_on_uvloop_as_the_daemon_does() -> None:
    """The daemon's loop is not the one of the other tests."""

    async def one_call() -> int:
        async with running() as server:
            records = [accounting_request(attributes_of({40: kind, 44: "s1", 1: "alice"}), kind) for kind in (1, 3, 2)]
            replies = [await server.raw(record, 1) for record in records]
            return sum(len(reply) for reply in replies)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(one_call()) == 3
