"""The road of one CCR without sockets or Valkey: what our own code costs, step by step.

    python scripts/bench_road.py [--calls 4000] [--profile] [--furnished]

A stand-in transport takes the answers, the memory store the postings. Figures are CPU microseconds per request, the
best of several rounds: other programs can only make them larger. The rest of `make bench` is the system's share.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import pstats
import re
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop
from msgspec import structs

from balance.account import MAIN_BUCKET, Account, AccountState, Bucket, Cap, Extras
from balance.memory import MemoryStore
from balance.store import Posting, PostingDone, PostingResult, PostingStatus, Subscriber
from balance.valkey.codec import encode_account, encode_version, pack
from ocs.charging.policy import quota_policy
from ocs.charging.service import OnlineCharging
from ocs.clock import now_ms
from ocs.net.diameter_connection import DiameterConnection
from ocs.net.diameter_server import DiameterServer
from ocs.rating.load import load_ratebook
from ocs.settings import Diameter, Settings

ROOT = Path(__file__).parents[1]
ACCOUNTS = 500
IN_FLIGHT = 64
MSISDN = b"491500000000"  # of the templates
_APPLIED = PostingResult(PostingStatus.APPLIED)


class PackingStore(MemoryStore):
    """The memory store, after the same packing that the Valkey store does; it answers when it is told to."""

    def __init__(self, clock: Callable[[], int]) -> None:
        super().__init__(clock)
        self.posted: list[PostingDone] = []

    def answer(self) -> None:
        """Tell all that their postings are durable, as the replies of one read do."""
        posted, self.posted = self.posted, []
        for done in posted:
            done(_APPLIED)

    def post(self, posting: Posting, done: PostingDone) -> None:
        account = posting.account
        parts: list[Any] = [
            "FCALL",
            "ocs_post",
            5,
            f"{{p1}}a:{account.account_id}",
            b"{p1}outbox",
            b"{p1}deadlines",
            b"{p1}holders",
        ]
        parts += (encode_version(posting.expected_version), encode_account(account))
        for write in posting.sessions:
            parts += (f"{{p1}}s:{write.key}", write.value or b"", str(write.keep_ms), str(write.deadline_ms))
        parts += posting.entries
        pack(tuple(parts))
        self.accounts[account.account_id] = account
        for write in posting.sessions:
            if write.value is not None:
                self.sessions[write.key] = write.value
        self.posted.append(done)


class Transport(asyncio.Transport):
    """Swallows what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = 0
        self.is_lost = False

    def get_extra_info(self, name: str, default: object = None) -> object:
        return {"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2), "socket": _Socket()}.get(name, default)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def write(self, data: Any) -> None:
        self.written += data.count(b"\x01\x00\x01")

    def is_closing(self) -> bool:
        return self.is_lost

    def close(self) -> None: ...

    def abort(self) -> None:
        raise SystemExit("the server gave the connection up: its log says why")


class _Socket:
    def setsockopt(self, *_: int) -> None: ...


def templates() -> dict[str, bytes]:
    """The load generator's messages by name."""
    text = subprocess.run([ROOT / "build" / "ccr_load", "--dump"], check=True, capture_output=True, text=True).stdout
    return {
        name.lower(): bytes.fromhex(octets) for name, octets in re.findall(r"^(\S+)\s+([0-9a-f]+)$", text, re.MULTILINE)
    }


def patched(frame: bytes, session: int, number: int) -> bytes:
    """The template for one session: its id's last digits, its number, its identifiers and its subscriber."""
    frame = frame.replace(MSISDN, b"4915%08d" % (session % ACCOUNTS))
    at = frame.index(b"\x00\x00\x01\x07")
    length = struct.unpack_from(">I", frame, at + 4)[0] & 0xFFFFFF
    session_id = frame[at + 8 : at + length]
    head, _, digits = session_id.rpartition(b";")
    new = head + b";" + str(session).zfill(len(digits)).encode()
    frame = frame.replace(session_id, new)
    frame = frame[:12] + struct.pack(">II", session & 0xFFFFFFFF, session & 0xFFFFFFFF) + frame[20:]
    at = frame.index(b"\x00\x00\x01\x9f\x40\x00\x00\x0c")
    return frame[: at + 8] + struct.pack(">I", number) + frame[at + 12 :]


def account_of(name: str, is_furnished: bool) -> Account:
    """With nothing but money, as most are; or with ten buckets, and five caps that each use is counted for."""
    plain = Account(name, 1, "EUR", "retail-eur", AccountState.ACTIVE, 0, 0, 0, (Bucket(MAIN_BUCKET, 10**17),))
    if not is_furnished:
        return plain
    others = tuple(Bucket(number, 10**6, expires_at_ms=2**50 + number) for number in range(1, 10))
    caps = tuple(Cap(f"cap {number}", "month", "Europe/Berlin", 10**17, warn_percent=80) for number in range(5))
    return structs.replace(plain, buckets=(*plain.buckets, *others), extras=Extras(caps=caps))


async def main(calls: int, rounds: int, profile: bool, is_furnished: bool) -> None:
    book = load_ratebook(ROOT / "config", now_ms()).book
    assert book is not None
    settings = Settings(diameter=Diameter(accept_realms=("example.net", "example.com", "localdomain", "bench")))
    store = PackingStore(now_ms)
    messages = templates()
    for place in range(ACCOUNTS):
        name, msisdn = f"A{place}", f"4915{place:08d}"
        store.accounts[name] = account_of(name, is_furnished)
        store.directory.put(Subscriber(msisdn, name, (f"e164:{msisdn}",)))
    charging = OnlineCharging(store, book, quota_policy(settings), now_ms, soon=asyncio.get_running_loop().call_soon)
    server = DiameterServer(settings, charging, {}, now_ms)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)  # as the daemon does
    best: dict[str, float] = {}
    profiler = cProfile.Profile()
    session = 0
    for _ in range(rounds):
        connection = DiameterConnection(server)
        transport = Transport()
        connection.connection_made(transport)
        connection.data_received(messages["capabilities"])
        await asyncio.sleep(0)
        for name, number in (("initial", 0), ("update", 1), ("update", 2), ("update", 3), ("termination", 4)):
            frames = [patched(messages[name], session + call, number) for call in range(calls)]
            reads = [b"".join(frames[at : at + IN_FLIGHT]) for at in range(0, calls, IN_FLIGHT)]
            gc.collect()
            started = time.process_time()
            if profile:
                profiler.enable()
            for read in reads:
                connection.data_received(read)
                await asyncio.sleep(0)
                await asyncio.sleep(0)  # the lanes have decided and posted, be it after waiting a turn for more
                store.answer()
                await asyncio.sleep(0)  # the answers leave
            if profile:
                profiler.disable()
            spent_us = (time.process_time() - started) / calls * 1e6
            best[name] = min(best.get(name, 1e9), spent_us)
        session += calls
        transport.is_lost = True
        connection.connection_lost(None)
    for name, spent_us in best.items():
        print(f"{name:12s} {spent_us:6.1f} us")
    print(f"{'I,U,U,U,T':12s} {(best['initial'] + 3 * best['update'] + best['termination']) / 5:6.1f} us a request")
    answered = sum(count for (_, kind, _), count in server.counters.requests.items() if kind != "connection")
    assert answered == rounds * 5 * calls, "each request has its answer"
    if profile:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(40)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    arguments.add_argument("--calls", type=int, default=2000)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--profile", action="store_true")
    arguments.add_argument("--furnished", action="store_true", help="accounts with ten buckets and five counters")
    chosen = arguments.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(chosen.calls, chosen.rounds, chosen.profile, chosen.furnished))
