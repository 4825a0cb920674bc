"""Two workers on one pair of RADIUS ports, as ``ocs run`` starts them: whichever a packet reaches, it is one server."""

from __future__ import annotations

import hashlib
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from ocs.addresses import Address, parse_address, why_not_free
from ocs.workers import worker_http
from protocols.radius.dynauth import DISCONNECT_REQUEST
from protocols.radius.packet import decode
from tests.conftest import find_free_port
from tests.e2e.conftest import RunningOcs
from tests.wire.radius_packets import access_request, accounting_request, attributes_of

pytestmark = pytest.mark.integration

SECRET: Final = b"testing123"
SUBSCRIBER: Final = "4915100000009"
SOCKETS_MAX: Final = 64
CALL: Final[dict[int, Any]] = {1: SUBSCRIBER, 30: "491711234567", 31: SUBSCRIBER, 4: b"\x7f\x00\x00\x01"}


class Gateway:
    """A gateway with a socket that the kernel gives to the daemon, and one that it gives to worker 1."""

    def __init__(self, running: RunningOcs) -> None:
        self._ports = {
            1: parse_address(running.settings.radius.authentication[0]),
            4: parse_address(running.settings.radius.accounting[0]),
        }
        self._http = (running.settings.http.listen, worker_http(running.settings, 1))
        self._identifier = 0
        self._sockets: list[socket.socket] = []
        self.ways: dict[int, tuple[socket.socket, socket.socket]] = {}

    def find_ways(self) -> None:
        """Try sockets until both ports have been reached at both processes."""
        for code in self._ports:
            found: dict[int, socket.socket] = {}
            for _ in range(SOCKETS_MAX):
                if len(found) == len(self._http):
                    break
                before = [self._taken(url, code) for url in self._http]
                sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                self._sockets.append(sender)
                sender.settimeout(30)
                sender.bind(("127.0.0.1", 0))
                # A question about nobody, or a record of no known kind: answered, and worth nothing.
                assert self.say(sender, code, {1: "nobody", 30: "491711234567"} if code == 1 else {40: 99})
                after = [self._taken(url, code) for url in self._http]
                found[next(number for number in range(2) if after[number] > before[number])] = sender
            self.ways[code] = found[0], found[1]

    def _taken(self, address: str, code: int) -> int:
        kind = {1: "access", 4: "other"}[code]
        text = httpx.get(f"http://{address}/metrics", timeout=10).text
        return sum(int(float(n)) for n in re.findall(rf'ocs_requests_total\{{.*type="{kind}"\}} (\S+)', text))

    def packet(self, code: int, values: dict[int, Any]) -> bytes:
        self._identifier = (self._identifier + 1) % 256
        made = access_request if code == 1 else accounting_request
        return made(attributes_of(values), self._identifier, secret=SECRET)

    def say(self, sender: socket.socket, code: int, values: dict[int, Any]) -> bytes:
        return self.send(sender, code, self.packet(code, values))

    def send(self, sender: socket.socket, code: int, packet: bytes) -> bytes:
        address = self._ports[code]
        assert address is not None
        sender.sendto(packet, address)
        return sender.recv(4096)

    def access(self, way: int, session: str) -> dict[int, tuple[bytes, ...]]:
        reply = decode(self.say(self.ways[1][way], 1, CALL | {44: session}))
        assert reply.code == 2
        return reply.attributes

    def account(self, way: int, status: int, session: str, seconds: int = 0) -> None:
        assert self.say(self.ways[4][way], 4, CALL | {40: status, 44: session, 46: seconds})[0] == 5

    def close(self) -> None:
        for each in self._sockets:
            each.close()


@pytest.fixture
def workers_config(sample_config: Path) -> Iterator[tuple[Path, socket.socket]]:
    """The sample with two workers, and where its gateway takes Disconnect-Requests."""
    text = sample_config.read_text(encoding="utf-8")
    listen = re.search(r'\[http\]\nlisten = "127.0.0.1:(\d+)"', text)
    assert listen is not None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.bind(("127.0.0.1", 0))
        asked.settimeout(30)
        for old, new in (
            ("workers = 1 ", "workers = 2 "),
            (listen[0], listen[0].replace(listen[1], str(_two_free_ports(text)))),
            ('dynamic_authorization = ""', f'dynamic_authorization = "127.0.0.1:{asked.getsockname()[1]}"'),
        ):
            assert old in text
            text = text.replace(old, new)
        sample_config.write_text(text, encoding="utf-8")
        yield sample_config, asked


def _two_free_ports(text: str) -> int:
    """The first of two that nobody has, and that the settings do not name either."""
    while True:
        port = find_free_port()
        is_free = not why_not_free(Address("127.0.0.1", port + 1), socket.SOCK_STREAM)
        if is_free and f":{port + 1}" not in text:
            return port


def _balance(client: httpx.Client) -> dict[str, Any]:
    account: dict[str, Any] = client.get("/v1/accounts/shared").json()
    return account


def test_r34_two_workers_are_one_server(workers_config: tuple[Path, socket.socket], tmp_path: Path) -> None:
    """[R-3] [R-35] [R-60] Each packet of a call at the other worker, repeats at both, a Disconnect asked once."""
    config, asked = workers_config
    running = RunningOcs(config, tmp_path / "data")
    gateway = Gateway(running)
    try:
        running.wait_ready()
        with running.client() as client:
            _make_account(client)
            gateway.find_ways()
            _call_goes_from_worker_to_worker(gateway, client)
            _disconnect_comes_once(gateway, client, asked)
            _rates_are_read_by_all(running, client)
        assert running.pid("worker-1") not in {0, running.pid("daemon")}
        running.kill("worker-1")
        running.wait_for(lambda: _answers(worker_http(running.settings, 1)))
    finally:
        gateway.close()
        assert running.stop() == 0


def _make_account(client: httpx.Client) -> None:
    for path, body in (
        ("/v1/accounts", {"account_id": "shared", "currency": "EUR", "rate_plan": "retail-eur"}),
        ("/v1/accounts/shared/top-ups", {"amount": "5.00", "currency": "EUR"}),
        (
            "/v1/subscribers",
            {"subscriber_id": "shared", "account_id": "shared", "identities": [f"e164:{SUBSCRIBER}"]},
        ),
    ):
        answer = client.post(path, json=body, headers={"Idempotency-Key": path})
        assert answer.is_success, answer.text


def _call_goes_from_worker_to_worker(gateway: Gateway, client: httpx.Client) -> None:
    first = gateway.access(0, "s1")
    held = _balance(client)["reserved"]
    assert gateway.access(1, "s1")[27] == first[27]
    assert _balance(client)["reserved"] == held, "asked again at the other worker: reserved once"
    gateway.account(1, 1, "s1")
    gateway.account(0, 3, "s1", 30)
    gateway.account(1, 3, "s1", 60)
    stop = gateway.packet(4, CALL | {40: 2, 44: "s1", 46: 90})
    reply = gateway.send(gateway.ways[4][0], 4, stop)
    paid = _balance(client)
    assert float(paid["reserved"]) == 0
    assert float(paid["balance"]) < 5
    assert gateway.send(gateway.ways[4][0], 4, stop) == reply, "the same packet gets the same octets"
    assert gateway.send(gateway.ways[4][1], 4, stop) == reply
    gateway.account(1, 2, "s1", 90)
    assert _balance(client) == paid


def _disconnect_comes_once(gateway: Gateway, client: httpx.Client, asked: socket.socket) -> None:
    gateway.access(0, "s2")
    gateway.account(1, 1, "s2")
    answer = client.put(
        "/v1/accounts/shared/state", json={"state": "suspended"}, headers={"Idempotency-Key": "suspend"}
    )
    assert answer.is_success, answer.text
    request, source = asked.recvfrom(4096)
    assert request[0] == DISCONNECT_REQUEST
    asked.sendto(_ack(request), source)
    gateway.account(0, 2, "s2", 5)
    asked.settimeout(0.2)
    with pytest.raises(TimeoutError):
        asked.recvfrom(4096)


def _ack(request: bytes) -> bytes:
    head = bytes((41, request[1], 0, 20))
    return head + hashlib.md5(head + request[4:20] + SECRET).digest()


def _rates_are_read_by_all(running: RunningOcs, client: httpx.Client) -> None:
    plan = running.config.parent / "rateplans" / "retail-eur.toml"
    plan.write_text(plan.read_text(encoding="utf-8") + "\n# changed\n", encoding="utf-8")
    assert client.post("/v1/rates/reload").is_success
    version = client.get("/v1/rates").json()["version"]
    other = httpx.Client(base_url=f"http://{worker_http(running.settings, 1)}", headers=client.headers, timeout=10)
    with other:
        running.wait_for(lambda: bool(other.get("/v1/rates").json()["version"] == version))


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"http://{address}/ready", timeout=5).status_code == 200
    except httpx.HTTPError:
        time.sleep(0.05)
        return False
