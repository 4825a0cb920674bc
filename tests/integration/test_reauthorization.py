"""Two daemons on one Valkey: money comes in by the API of the one, the client's connection is at the other."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from ocs.embedded.valkey import EmbeddedValkey
from protocols.diameter import avp, base, codes
from protocols.diameter.message import Message, encode_answer
from protocols.diameter.node import LocalNode
from tests.builders_gy import ccr, ims, mscc, seconds
from tests.integration.diameter_world import RawClient
from tests.scenario.sockets import ServedOcs

pytestmark = pytest.mark.integration

TOLD_WITHIN_S = 2.0  # statement 77
CLIENT = LocalNode("client.example.net", "example.net")
CALLED = ims("tel:100")
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def daemons(
    tmp_path_factory: pytest.TempPathFactory, project_root: Path, valkey_server: EmbeddedValkey
) -> Iterator[tuple[ServedOcs, ServedOcs]]:
    """Two of them, each with its ports; started once, so each test has an account of its own."""
    with redis.Redis.from_url(valkey_server.url) as client:
        client.flushall()
    folders = [tmp_path_factory.mktemp(name) for name in ("one", "two")]
    follow = {'open_sessions = "keep"': 'open_sessions = "follow"'}
    both = [ServedOcs(folder, project_root, valkey_server.url, follow) for folder in folders]
    for daemon in both:
        daemon.wait_ready()
    yield both[0], both[1]
    for daemon in both:
        daemon.stop()


@pytest.fixture
async def api(daemons: tuple[ServedOcs, ServedOcs]) -> AsyncIterator[httpx.AsyncClient]:
    """The API of one of the two; the first key is in whichever folder made it."""
    one, two = daemons
    owner = one if (one._data / "admin.key").exists() else two
    async with owner.api() as client:
        yield client


class Gateway:
    """A client at the other daemon."""

    def __init__(self, client: RawClient, number: int) -> None:
        self.client = client
        self.account = f"a{number}"
        self.session = f"client.example.net;1;{number}"
        self.subscriber = f"49151{number:07d}"
        self.number = -1

    async def ask(self, kind: int, *members: bytes) -> Message:
        self.number += 1
        group = mscc(*members, rating_group=1)
        self.client.send(
            ccr(group, CALLED, kind=kind, number=self.number, session=self.session, subscriber=self.subscriber)
        )
        return await self.client.receive()

    async def answer(self, result_code: int) -> Message:
        """Wait for a request of the server's and answer it."""
        request = await self.client.receive()
        assert request.is_request
        avps = avp.avp_u32(codes.RESULT_CODE, result_code) + CLIENT.origin
        self.client.send(encode_answer(request, avps))
        return request


@pytest.fixture
async def gateway(daemons: tuple[ServedOcs, ServedOcs], api: httpx.AsyncClient) -> AsyncIterator[Gateway]:
    """Connected to the daemon whose API is not used; its subscriber has 0.30."""
    other = next(daemon for daemon in daemons if daemon.url not in str(api.base_url))
    client = await RawClient.connect(other.ports[3868])
    assert base.read_result_code(await client.open()) == 2001
    gateway = Gateway(client, next(_numbers))
    account = gateway.account
    await _post(api, "accounts", {"account_id": account, "currency": "EUR", "rate_plan": "test-eur"})
    identities = [f"e164:{gateway.subscriber}"]
    await _post(api, "subscribers", {"subscriber_id": account, "account_id": account, "identities": identities})
    await _pay(api, account, "0.30", "k1")
    yield gateway
    await client.close()


async def _post(api: httpx.AsyncClient, path: str, body: dict[str, Any], key: str = "") -> None:
    answer = await api.post(f"/{path}", json=body, headers={"Idempotency-Key": key} if key else {})
    assert answer.is_success, answer.text


async def _pay(api: httpx.AsyncClient, account: str, amount: str, key: str) -> None:
    await _post(api, f"accounts/{account}/top-ups", {"amount": amount, "currency": "EUR"}, key)


async def test_77_top_up_in_one_process_reaches_the_client_at_the_other(
    api: httpx.AsyncClient, gateway: Gateway
) -> None:
    """Blocked for want of money; paid elsewhere: RAR within two seconds, RAA 2002, a CCR-U that names no reason, and a
    grant [G-52, G-104].
    """
    wish, used = seconds(codes.REQUESTED_SERVICE_UNIT, 30), seconds(codes.USED_SERVICE_UNIT, 40)
    assert base.read_result_code(await gateway.ask(1, wish)) == 2001
    blocked = await gateway.ask(2, used, wish)
    assert _group_result(blocked) == 4012
    paid_at = time.monotonic()
    await _pay(api, gateway.account, "5.00", "k2")
    request = await gateway.answer(2002)
    told_after_s = time.monotonic() - paid_at
    assert request.command == codes.RE_AUTH
    found, _ = request.walk()
    assert avp.text(request.frame, found[codes.SESSION_ID]) == gateway.session
    assert avp.text(request.frame, found[codes.DESTINATION_HOST]) == "client.example.net"
    assert _group_result(await gateway.ask(2, wish)) == 2001
    assert told_after_s < TOLD_WITHIN_S


async def test_80_operator_closes_a_session_at_the_other_process(api: httpx.AsyncClient, gateway: Gateway) -> None:
    """ASR, ASA 2001, CCR-T: what was used is debited, the rest is free."""
    await gateway.ask(1, seconds(codes.REQUESTED_SERVICE_UNIT, 30))
    (session,) = (await api.get(f"/accounts/{gateway.account}/sessions")).json()["sessions"]
    closure = {"session_key": session["session_key"], "reason": "fraud"}
    await _post(api, f"accounts/{gateway.account}/session-closures", closure)
    assert (await gateway.answer(2001)).command == codes.ABORT_SESSION
    assert base.read_result_code(await gateway.ask(3, seconds(codes.USED_SERVICE_UNIT, 10))) == 2001
    account = (await api.get(f"/accounts/{gateway.account}")).json()
    assert (account["balance"], account["reserved"]) == ("0.20", "0.00")


async def test_g101_client_that_lost_the_session_sets_its_money_free(api: httpx.AsyncClient, gateway: Gateway) -> None:
    """A barred account, RAR, and RAA 5002: the session is closed, its reservation released."""
    await gateway.ask(1, seconds(codes.REQUESTED_SERVICE_UNIT, 30))
    state = await api.put(
        f"/accounts/{gateway.account}/state", json={"state": "suspended"}, headers={"Idempotency-Key": "k3"}
    )
    assert state.is_success
    await gateway.answer(5002)
    async with asyncio.timeout(10):
        while (await api.get(f"/accounts/{gateway.account}")).json()["reserved"] != "0.00":  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)


async def test_g102_changed_rates_ask_those_to_come_whom_they_concern(
    daemons: tuple[ServedOcs, ServedOcs], api: httpx.AsyncClient, gateway: Gateway
) -> None:
    """Prefix 100 becomes dearer in mid-call, and sessions follow: RAR; what was used has the old price, the grant the new one."""
    await gateway.ask(1, seconds(codes.REQUESTED_SERVICE_UNIT, 10))
    for daemon in daemons:
        deck = daemon.config / "decks" / "test-voice-eur.csv"
        lines = deck.read_text(encoding="utf-8").splitlines()
        at = next(at for at, line in enumerate(lines) if line.startswith("100,"))
        assert "0.01" in lines[at]
        lines[at] = lines[at].replace("0.01", "0.02")
        deck.write_text("\n".join(lines) + "\n", encoding="utf-8")
    for daemon in daemons:
        daemon.read_rates_anew()
    assert (await gateway.answer(2002)).command == codes.RE_AUTH
    used, wish = seconds(codes.USED_SERVICE_UNIT, 10), seconds(codes.REQUESTED_SERVICE_UNIT, 10)
    reserved = ""
    async with asyncio.timeout(20):
        while reserved != "0.20":  # the process that the client is at may have read its files a little later
            await gateway.ask(2, used, wish)
            account = (await api.get(f"/accounts/{gateway.account}")).json()
            reserved = account["reserved"]
            used = seconds(codes.USED_SERVICE_UNIT, 0)
    assert account["balance"] == "0.20"


def _group_result(answer: Message) -> int:
    found, _ = answer.walk()
    inner, _ = avp.walk(answer.frame, *avp.bounds(answer.frame, found[codes.MULTIPLE_SERVICES_CREDIT_CONTROL]))
    return avp.u32(answer.frame, inner[codes.RESULT_CODE])
