"""Measure RADIUS: the codec step by step, the whole server over loopback with a core that answers at once, and the
road of accounting records through server and charging core, with a store in memory.

    python scripts/bench_radius_codec.py [--rounds 20000] [--datagrams 20000] [--profile]

Figures are CPU microseconds per packet, the best of several runs.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import pstats
import socket
import sys
import time
import timeit
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench_road import ACCOUNTS, PackingStore

from balance.account import MAIN_BUCKET, Account, AccountState, Bucket
from balance.store import BackendUnavailable, Subscriber
from ocs.charging.policy import quota_policy
from ocs.charging.request import ChargingAnswer, ChargingRequest, ChargingStatus, GroupAnswer, GroupKey
from ocs.charging.service import OnlineCharging
from ocs.charging.session import CreditSession
from ocs.charging.supervision import Supervision
from ocs.gateways.radius import accounting_request, profile_of
from ocs.gateways.radius_products import load_products
from ocs.gateways.radius_reply import authorization_reply
from ocs.net.radius_server import RadiusServer
from ocs.rating.load import load_ratebook
from ocs.settings import Radius, RadiusClient, Settings
from protocols.radius.authenticators import has_valid_request_authenticator, sign_reply
from protocols.radius.dedup import ReplyCache
from protocols.radius.packet import Packet, decode
from protocols.radius.responder import Peer, Responder, Role
from tests.wire import radius_packets as p

NOW_MS = 1_700_000_000_000
RUNS = 5
CLIENT = RadiusClient(name="sbc", networks=("127.0.0.1",), secret="s3cret")


def record_octets(identifier: int, number: int, *, is_voice_rich: bool) -> bytes:
    """An Interim-Update as an SBC sends it; rich: with the vendor attributes of a Cisco-like switch."""
    body = p.attributes_of({
        40: 3, 44: f"{number:08x}-call@sbc.example.net", 1: "4915112345678", 30: "442012345678", 31: "4915112345678",
        32: "sbc1", 4: bytes((192, 0, 2, 1)), 46: 300, 55: 1_700_000_000, 41: 0, 6: 1, 5: 5060, 61: 0,
    })  # fmt: skip
    if is_voice_rich:
        values = {
            23: "h323-remote-address=192.0.2.9", 24: "h323-conf-id=16087660 E2B011D7 8C0B0003 BA0A5A1F",
            25: "h323-setup-time=09:33:37.657 UTC Tue Dec 8 2015", 26: "h323-call-origin=answer",
            27: "h323-call-type=VoIP", 28: "h323-connect-time=09:33:40.657 UTC Tue Dec 8 2015",
            33: "h323-gw-id=sbc1", 1: "call-id=16087660-e2b0@192.0.2.9",
        }  # fmt: skip
        body += b"".join(p.attributes_of({26: p.cisco(kind, text)}) for kind, text in values.items())
    return p.accounting_request(body, identifier)


def microseconds(work: Callable[[], object], rounds: int) -> float:
    return min(timeit.repeat(work, number=rounds, repeat=RUNS, timer=time.process_time)) / rounds * 1e6


def measure_codec(rounds: int) -> None:
    profile = profile_of(CLIENT, Radius(), load_products(p.CONFIG, Radius()).dialect_of(CLIENT))
    reader = profile.dialect.reader
    peer = Peer(p.SECRET)
    for title, is_rich in (("plain accounting", False), ("with eight vendor attributes", True)):
        octets = record_octets(1, 1, is_voice_rich=is_rich)
        packet = decode(octets)
        responder = Responder(Role.ACCOUNTING, ReplyCache(1))
        ticks = iter(range(1, 10**9, 2))
        steps: dict[str, Callable[[], object]] = {
            "decode": lambda octets=octets: decode(octets),  # type: ignore[misc]
            "authenticator": lambda packet=packet: has_valid_request_authenticator(packet, p.SECRET),  # type: ignore[misc]
            "charging request": lambda packet=packet: accounting_request(reader.open(packet, "::1"), profile, NOW_MS),  # type: ignore[misc]
            "answer": lambda packet=packet: sign_reply(5, packet, b"", p.SECRET, with_message_authenticator=False),  # type: ignore[misc]
            "responder (decode, authenticator, cache)": lambda o=octets, r=responder, t=ticks: r.receive(  # type: ignore[misc]
                o, ("127.0.0.1", 1), peer, next(t)
            ),
        }
        print(f"{title}, {len(octets)} octets")
        for name, work in steps.items():
            print(f"  {name:<44}{microseconds(work, rounds):6.2f} us")
    request = ChargingRequest(1, "ra:sbc:auth:" + "0" * 32, 0, (), "voice", 0, ())  # type: ignore[arg-type]
    answer = ChargingAnswer(ChargingStatus.SUCCESS, (GroupAnswer(GroupKey(), ChargingStatus.SUCCESS, 1, 540),))
    accept = microseconds(lambda: authorization_reply(request, answer, profile, {}), rounds)
    print(f"Access-Accept's attributes{accept:22.2f} us")


class AtOnce:
    """A charging core that costs nothing."""

    def submit(self, request: ChargingRequest, reply: Callable[[ChargingAnswer], None]) -> None:
        assert request.session_key
        reply(ChargingAnswer(ChargingStatus.SUCCESS))

    def find_subscriber(
        self, identities: tuple[str, ...], done: Callable[[Subscriber | BackendUnavailable | None], None]
    ) -> None:
        raise NotImplementedError

    def find_session(self, session_key: str) -> Awaitable[CreditSession | None]:
        raise NotImplementedError

    def close_sessions(
        self, prefix: str, before_ms: int, cause: str, is_meant: Callable[[CreditSession], bool] = bool
    ) -> Awaitable[object]:
        raise NotImplementedError


async def measure_server(datagrams: int) -> None:
    """Send in bursts; between them let the loop serve. The client's own CPU is measured alone and taken off."""
    radius = Radius(authentication=(), accounting=("127.0.0.1:0",), clients=(CLIENT,))
    clock_ms = [NOW_MS]
    server = RadiusServer(Settings(radius=radius), AtOnce(), {}, lambda: clock_ms[0], p.CONFIG)
    (address,) = await server.start()
    target = ("127.0.0.1", int(address.rpartition(":")[2]))
    packets = [record_octets(number % 256, number, is_voice_rich=False) for number in range(datagrams)]
    spent_s = {"new": 0.0, "again": 0.0}
    answered = dict.fromkeys(spent_s, 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        sender.connect(target)
        for at, which in ((at, which) for at in range(0, datagrams, 64) for which in spent_s):
            burst = packets[at : at + 64]
            for packet in burst:
                sender.send(packet)
            begin_s = time.process_time()
            for _ in range(4):
                await asyncio.sleep(0)
            spent_s[which] += time.process_time() - begin_s
            for _ in burst:
                try:
                    sender.recv(4096)
                    answered[which] += 1
                except BlockingIOError:
                    break
    await server.close(1.0)
    print("whole server, bursts of 64 over loopback")
    for which, title in (("new", "a new record"), ("again", "the same packet again")):
        print(f"  {title:<44}{spent_s[which] / max(1, answered[which]) * 1e6:6.1f} us, {answered[which]} answered")


def call_octets(status: int, number: int, seconds: int) -> bytes:
    """Start (1), Interim-Update (3) or Stop (2) of one call, as the load generator sends them."""
    subscriber = f"4915{number % ACCOUNTS:08d}"
    values: dict[int, bytes | str | int | list[bytes]] = {
        40: status, 44: f"{number:08x}-call@sbc.example.net", 1: subscriber, 30: "442012345678", 31: subscriber,
        32: "sbc1", 4: bytes((192, 0, 2, 1)), 55: 1_700_000_000 + seconds,
    }  # fmt: skip
    if status != 1:
        values[46] = seconds
    return p.accounting_request(p.attributes_of(values), number % 256)


class Core:
    """The charging core on a store in memory, as the server sees it."""

    def __init__(self, store: PackingStore, clock: Callable[[], int]) -> None:
        book = load_ratebook(p.CONFIG, NOW_MS).book
        assert book is not None, "the shipped rates are sound"
        soon = asyncio.get_running_loop().call_soon
        online = OnlineCharging(store, book, quota_policy(Settings()), clock, soon=soon)
        supervision = Supervision(online, store, clock)
        self.submit, self.find_subscriber = online.submit, online.find_subscriber
        self.close_sessions, self.find_session = supervision.close_sessions, supervision.find_session


async def measure_road(calls: int, *, is_profiled: bool) -> None:
    """Start, two interims, Stop, 64 in flight; each record is answered once its posting is durable."""
    store = PackingStore(lambda: NOW_MS)
    for place in range(ACCOUNTS):
        name, number = f"A{place}", f"4915{place:08d}"
        bucket = Bucket(MAIN_BUCKET, 10**17)
        store.accounts[name] = Account(name, 1, "EUR", "retail-eur", AccountState.ACTIVE, 0, 0, 0, (bucket,))
        store.directory.put(Subscriber(number, name, (f"e164:{number}",)))
    radius = Radius(authentication=(), accounting=("127.0.0.1:0",), clients=(CLIENT,))
    server = RadiusServer(Settings(radius=radius), Core(store, lambda: NOW_MS), {}, lambda: NOW_MS, p.CONFIG)
    (address,) = await server.start()
    profiler = cProfile.Profile()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)  # as the daemon does
    spent_us: dict[str, float] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        sender.connect(("127.0.0.1", int(address.rpartition(":")[2])))
        steps = (("start", 1, 0), ("interim", 3, 60), ("interim", 3, 120), ("stop", 2, 150))
        for first, (name, status, seconds) in ((run * calls, step) for run in range(RUNS) for step in steps):
            packets = [call_octets(status, first + number, seconds) for number in range(calls)]
            gc.collect()
            spent_s = 0.0
            for at in range(0, calls, 64):
                for packet in packets[at : at + 64]:
                    sender.send(packet)
                spent_s += await _turns(store, profiler if is_profiled else None)
                for _ in packets[at : at + 64]:
                    sender.recv(4096)
            spent_us[name] = min(spent_us.get(name, 1e9), spent_s / calls * 1e6)
    await server.close(1.0)
    print("road of a record with the charging core, over loopback")
    for name, figure in spent_us.items():
        print(f"  {name:<44}{figure:6.1f} us")
    print(f"  {'S,I,I,S':<44}{(spent_us['start'] + 2 * spent_us['interim'] + spent_us['stop']) / 4:6.1f} us")
    if is_profiled:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(60)


async def _turns(store: PackingStore, profiler: cProfile.Profile | None) -> float:
    """Let the server read, the lanes decide and post, and the answers leave."""
    begin_s = time.process_time()
    if profiler is not None:
        profiler.enable()
    for _ in range(8):  # the lanes may wait a turn for more, replies leave in a turn of their own
        await asyncio.sleep(0)
        store.answer()
    if profiler is not None:
        profiler.disable()
    return time.process_time() - begin_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20_000)
    parser.add_argument("--datagrams", type=int, default=20_000)
    parser.add_argument("--profile", action="store_true", help="where the road's time goes")
    options = parser.parse_args()
    assert isinstance(decode(record_octets(1, 1, is_voice_rich=True)), Packet)
    measure_codec(options.rounds)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(measure_server(options.datagrams))
        runner.run(measure_road(max(options.datagrams // 10, 512), is_profiled=options.profile))


if __name__ == "__main__":
    main()
