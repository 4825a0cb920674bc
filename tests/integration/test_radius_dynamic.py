"""What the server asks of gateways in mid-call (RFC 5176): Disconnect when money or grant are over, CoA after a top-up.

The gateway is a socket that judges what it gets with pyrad.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pyrad.dictionary import Dictionary
from pyrad.packet import CoAPacket, Packet

from balance.account import AccountState
from ocs.charging.session import CreditSession
from ocs.net import radius_dynamic
from tests.integration.radius_world import Gateway, playing
from tests.scenario.world import CONFIG
from tests.wire.radius_packets import cisco

pytestmark = pytest.mark.integration

USER = "4915100000001"
START, STOP, INTERIM = 1, 2, 3
CALL: dict[int, Any] = {1: USER, 31: USER, 32: "gw1", 30: "100555", 44: "s1"}
DICTIONARY = Dictionary(str(CONFIG / "dictionaries" / "dictionary"))


class Nas:
    """The gateway's port for requests of the server. ``answers``: whether, and as what, it answers."""

    def __init__(self, bound: socket.socket) -> None:
        self._socket = bound
        self.address = f"127.0.0.1:{bound.getsockname()[1]}"
        self.requests: list[bytes] = []

    async def next(self) -> Packet:
        octets, self._source = await asyncio.wait_for(asyncio.get_running_loop().sock_recvfrom(self._socket, 4096), 5)
        self.requests.append(octets)
        packet = CoAPacket(packet=octets, secret=b"s3cret", dict=DICTIONARY)
        assert packet.VerifyCoARequest()
        return packet

    async def answer(self, packet: Packet, code: int, error_cause: int = 0, secret: bytes = b"s3cret") -> None:
        reply = Packet(code, packet.id, secret, packet.authenticator, dict=DICTIONARY)
        if error_cause:
            reply["Error-Cause"] = error_cause
        await asyncio.get_running_loop().sock_sendto(self._socket, reply.ReplyPacket(), self._source)

    def is_silent(self) -> bool:
        try:
            self._socket.recv(4096)
        except BlockingIOError:
            return True
        return False


@contextmanager
def nas_port() -> Iterator[Nas]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.setblocking(False)
        bound.bind(("127.0.0.1", 0))
        yield Nas(bound)


@asynccontextmanager
async def cut_off_world(balance: str = "10.00", **client: Any) -> AsyncIterator[tuple[Gateway, Nas]]:
    with nas_port() as nas:
        async with playing(balance, dynamic_authorization=nas.address, **client) as gateway:
            yield gateway, nas


async def counted(gateway: Gateway, kind: str, result: str) -> None:
    """Wait until the result has been counted."""
    async with asyncio.timeout(5):
        while not gateway.server.counters.requests["radius", kind, result]:  # noqa: ASYNC110 - counters tell nobody
            await asyncio.sleep(0.01)


async def session_of(gateway: Gateway, key: str = "ra:sbc:gw1:s1") -> CreditSession:
    session = await gateway.world.supervision.find_session(key)
    assert session is not None
    return session


def in_words(packet: Packet) -> dict[str, Any]:
    return {name: packet[name] for name in packet.keys()}  # noqa: SIM118 - pyrad's packets are no mappings


@pytest.mark.parametrize("is_wanted", [True, False])
async def test_r93_event_timestamp_where_the_profile_wants_it(tmp_path: Path, is_wanted: bool) -> None:
    """The instant of the request, in every repeat the same; else nothing that a gateway might not know."""
    shutil.copytree(CONFIG, tmp_path / "config")
    words = f'title = "x"\n[dynamic]\ndisconnect = true\nevent_timestamp = {str(is_wanted).lower()}\n'
    (tmp_path / "config" / "profiles" / "stamped.toml").write_text(words, encoding="utf-8")
    async with cut_off_world(config=tmp_path / "config", profile="stamped") as (gateway, nas):
        await gateway.account(START, CALL)
        gateway.server.dynamic.disconnect(await session_of(gateway), "test")
        at_s = [gateway.world.clock.now_ms // 1000] if is_wanted else None
        assert in_words(await nas.next()).get("Event-Timestamp") == at_s


async def test_of_several_processes_one_asks() -> None:
    """What all of them notice, a call at its end or a silent one, the first to claim it sends, also without the store."""
    async with cut_off_world() as (gateway, nas):
        await gateway.account(START, CALL)
        session = await session_of(gateway)
        claimed: list[str] = []

        async def claim(name: str) -> bool:
            claimed.append(name)
            if len(claimed) == 3:
                raise OSError
            return len(claimed) == 1

        gateway.server.dynamic.claim = claim
        for _ in range(2):
            gateway.server.on_silent(session)
        await nas.answer(await nas.next(), 41)
        await counted(gateway, "disconnect", "success")
        assert (len(claimed), len(set(claimed)), nas.is_silent()) == (2, 1, True)
        gateway.server.on_silent(session)
        await nas.answer(await nas.next(), 41)


async def test_a_client_of_a_certificate_is_asked_by_who_has_its_connection() -> None:
    """Another process leaves it alone, and claims nothing."""
    async with cut_off_world(certificate_names=("sbc.example.net",)) as (gateway, _):
        await gateway.account(START, CALL)
        session = await session_of(gateway)
        assert gateway.server.dynamic.can_ask(session)
    async with playing(certificate_names=("sbc.example.net",)) as gateway:
        await gateway.account(START, CALL)
        assert not gateway.server.dynamic.can_ask(session)
        gateway.server.on_silent(session)
        await asyncio.sleep(0)
        assert gateway.server.clients[0].asked == {}


async def test_a_call_that_outlives_its_grant_is_disconnected() -> None:
    """Ten euros at a cent a second: after 1000 s and a margin the gateway is asked, and not before [R-95]."""
    async with cut_off_world() as (gateway, nas):
        await gateway.account(START, CALL)
        gateway.world.clock.now_ms += 1_004_000
        assert await gateway.server.watch.round() == 0
        gateway.world.clock.now_ms += 3_000
        assert await gateway.server.watch.round() == 1
        packet = await nas.next()
        assert (packet.code, in_words(packet)) == (40, {"Acct-Session-Id": ["s1"], "NAS-Identifier": ["gw1"]})
        await nas.answer(packet, 41)
        await counted(gateway, "disconnect", "success")
        assert gateway.server.clients[0].asked == {"disconnect:success": 1}
        assert await gateway.figures() == (1000, 1000)  # only the report debits
        await gateway.account(STOP, {**CALL, 46: 1008})
        assert await gateway.figures() == (-8, 0)


async def test_a_call_whose_money_is_gone_is_disconnected_after_its_report() -> None:
    """What it was granted at first would last 1000 s, but the account was debited meanwhile: the next report finds nothing
    more to grant, and the gateway is asked then [R-66].
    """
    async with cut_off_world() as (gateway, nas):
        await gateway.account(START, CALL)
        await gateway.world.change("-9.90")
        gateway.world.clock.now_ms += 60_000
        await gateway.account(INTERIM, {**CALL, 46: 60})
        gateway.world.clock.now_ms += 7_000
        assert await gateway.server.watch.round() == 1
        packet = await nas.next()
        assert packet.code == 40
        await nas.answer(packet, 41)
        await counted(gateway, "disconnect", "success")


async def test_a_gateway_is_asked_by_the_names_its_profile_wants() -> None:
    """What cannot be told from the call's key was kept with the session, for whichever process asks."""
    async with cut_off_world(profile="cisco") as (gateway, nas):
        await gateway.account(START, {**CALL, 26: [cisco(23, "h323-remote-address=192.0.2.8")]})
        gateway.server.dynamic.disconnect(await session_of(gateway), "test")
        assert in_words(await nas.next()) == {"Acct-Session-Id": ["s1"], "User-Name": [USER]}
        await gateway.account(STOP, {**CALL, 46: 5, 26: [cisco(115, "release-source=2")]})
        (record,) = await gateway.records()
        assert dict(record.details) == {"h323-remote-address": "192.0.2.8", "User-Name": USER, "release-source": "2"}


async def test_an_interim_moves_the_end_and_a_stop_takes_it_away() -> None:
    """What is watched is what was granted last; a call that ended is not asked about."""
    async with cut_off_world() as (gateway, nas):
        await gateway.account(START, CALL)
        gateway.world.clock.now_ms += 500_000
        await gateway.account(INTERIM, {**CALL, 46: 490})
        gateway.world.clock.now_ms += 506_000
        assert await gateway.server.watch.round() == 0
        await gateway.account(STOP, {**CALL, 46: 900})
        gateway.world.clock.now_ms += 3_600_000
        assert await gateway.server.watch.round() == 0
        assert nas.is_silent()
        assert len(gateway.server.watch) == 0


async def test_a_call_that_began_without_money_is_disconnected() -> None:
    """The gateway did not ask, or did not listen."""
    async with cut_off_world("0") as (gateway, nas):
        await gateway.account(START, CALL)
        gateway.world.clock.now_ms += 7_000
        assert await gateway.server.watch.round() == 1
        assert (await nas.next()).code == 40


async def test_supervision_asks_for_the_end_of_what_it_gives_up() -> None:
    """After a restart nothing is watched: the deadline in the store finds the call."""
    async with cut_off_world() as (gateway, nas):
        gateway.world.supervision.on_silent = gateway.server.on_silent
        await gateway.account(START, CALL)
        gateway.world.clock.now_ms += 3_600_000
        assert await gateway.world.close_silent_sessions() == 1
        assert (await nas.next()).code == 40


async def test_r90_a_request_is_repeated_with_the_same_octets_then_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five times in all; what comes with a wrong authenticator is no answer. Then the gateway is left alone [R-92]."""
    monkeypatch.setattr(radius_dynamic, "delay_ms", lambda *_: 20)
    async with cut_off_world() as (gateway, nas):
        await gateway.account(START, CALL)
        session = await session_of(gateway)
        gateway.server.dynamic.disconnect(session, "test")
        first = await nas.next()
        await nas.answer(first, 41, secret=b"guess")
        for _ in range(4):
            await nas.next()
        assert len(set(nas.requests)) == 1
        await counted(gateway, "disconnect", "unanswered")
        gateway.server.dynamic.disconnect(session, "test")
        await counted(gateway, "disconnect", "not_asked")
        assert nas.is_silent()
        gateway.world.clock.now_ms += radius_dynamic.NOT_AGAIN_MS
        gateway.server.dynamic.disconnect(session, "test")
        assert (await nas.next()).code == 40


@pytest.mark.parametrize(
    ("error_cause", "result", "is_asked_again"),
    [(503, "session_unknown", True), (406, "unsupported", False), (501, "refused", True)],
)
async def test_r91_r92_what_a_nak_means(error_cause: int, result: str, is_asked_again: bool) -> None:
    """No such session: its Stop or supervision end it. Not supported: not asked again."""
    async with cut_off_world() as (gateway, nas):
        await gateway.account(START, CALL)
        session = await session_of(gateway)
        gateway.server.dynamic.disconnect(session, "test")
        packet = await nas.next()
        await nas.answer(packet, 42, error_cause)
        await counted(gateway, "disconnect", result)
        gateway.server.dynamic.disconnect(session, "test")
        if is_asked_again:
            assert (await nas.next()).code == 40
        else:
            await counted(gateway, "disconnect", "not_asked")


@pytest.fixture
def extending(tmp_path: Path) -> Path:
    """A configuration whose profiles can extend calls: by the total, and by what remains."""
    shutil.copytree(CONFIG, tmp_path / "config")
    for name in ("total", "remaining"):
        (tmp_path / "config" / "profiles" / f"{name}.toml").write_text(
            f'title = "x"\n[dynamic]\ndisconnect = true\nextend = "{name}"\n'
            'identify = ["Acct-Session-Id", "Calling-Station-Id", "Called-Station-Id", "NAS-IP-Address"]\n'
        )
    return tmp_path / "config"


@pytest.mark.parametrize(("profile", "seconds"), [("total", 1500), ("remaining", 1400)])
async def test_a_top_up_in_mid_call_extends_it(extending: Path, profile: str, seconds: int) -> None:
    """A CoA with a new Session-Timeout, where the client's profile says it can; the money is reserved before."""
    call = {**CALL, 4: bytes((127, 0, 0, 9)), 32: b"\x00"}
    async with cut_off_world(config=extending, profile=profile) as (gateway, nas):
        await gateway.account(START, {kind: value for kind, value in call.items() if kind != 32})
        gateway.world.clock.now_ms += 100_000
        await gateway.world.change("5.00")
        gateway.server.dynamic.reauthorize(await session_of(gateway, "ra:sbc:127.0.0.9:s1"), "money was paid in")
        packet = await nas.next()
        assert (packet.code, in_words(packet)) == (
            43,
            {
                "Acct-Session-Id": ["s1"], "Calling-Station-Id": [USER], "Called-Station-Id": ["100555"],
                "NAS-IP-Address": ["127.0.0.9"], "Session-Timeout": [seconds],
            },
        )  # fmt: skip
        await nas.answer(packet, 44)
        await counted(gateway, "coa", "success")
        assert await gateway.figures() == (1500, 1500)


async def test_an_account_that_is_suspended_in_mid_call_ends_it(extending: Path) -> None:
    """The gateway does not ask again, so it is told."""
    async with cut_off_world(config=extending, profile="total") as (gateway, nas):
        await gateway.account(START, CALL)
        await gateway.world.set_state(AccountState.SUSPENDED)
        gateway.server.dynamic.reauthorize(await session_of(gateway), "the account was suspended")
        assert (await nas.next()).code == 40


async def test_a_profile_that_can_do_neither_is_left_alone() -> None:
    """Kamailio's acc_radius knows no such requests: Session-Timeout has to do."""
    async with cut_off_world(profile="kamailio") as (gateway, nas):
        await gateway.account(START, CALL)
        session = await session_of(gateway)
        gateway.server.dynamic.disconnect(session, "test")
        gateway.server.dynamic.reauthorize(session, "test")
        assert await gateway.figures() == (1000, 1000)
        assert nas.is_silent()


async def test_a_gateway_without_an_address_is_named_in_the_log() -> None:
    """A whole network of gateways that give identifiers only: the operator has to say where they listen."""
    async with playing(networks=("127.0.0.0/8",)) as gateway:
        await gateway.account(START, CALL)
        gateway.server.dynamic.disconnect(await session_of(gateway), "test")
        assert gateway.server.counters.requests["radius", "disconnect", "no_address"] == 1
