"""The clients of the kill tests: load generators that retry, and payments that are repeated until they are acknowledged."""

from __future__ import annotations

import asyncio
import random
import subprocess
from collections import Counter
from pathlib import Path
from typing import Final, NamedTuple

import httpx
import msgspec
from bench_accounts import CURRENCY, msisdn
from bench_run import ClientReport
from bench_world import BUILD, CALLED, SECRET, BenchError
from kill_world import Daemon

from balance.money import parse_amount

SCALE: Final = 9
RICH: Final = "1000000"
RETRIED: Final = frozenset({429, 502, 503, 504})
RETRY_PAUSE_S: Final = 0.1
GRANT_S: Final = 60
DRAIN_S: Final = 90


class Accounts(NamedTuple):
    """The first ``rich`` never run dry; the others live from hand to mouth, so that refusals and last grants occur."""

    rich: int
    poor: int

    @property
    def all(self) -> list[str]:
        return [msisdn(number) for number in range(self.rich + self.poor)]


class Payment(NamedTuple):
    account_id: str
    key: str
    amount: str


class Payer:
    """Opens accounts and tops them up through either daemon; each payment until it is acknowledged."""

    def __init__(self, daemons: tuple[Daemon, ...], admin_key: str, accounts: Accounts, chance: random.Random) -> None:
        self._urls = [daemon.url for daemon in daemons]
        self._client = httpx.AsyncClient(headers={"Authorization": f"Bearer {admin_key}"}, timeout=10)
        self._accounts = accounts
        self._chance = chance
        self._is_over = False
        self._numbers = 0
        self.acknowledged: dict[Payment, int] = {}
        self.opened_with: dict[str, str] = {}
        self.attempts = 0
        self.repeats = 0
        self.statuses: Counter[str] = Counter()
        self.faults: list[str] = []

    async def open_accounts(self) -> None:
        for place, name in enumerate(self._accounts.all):
            await self._create("/v1/accounts", {"account_id": name, "currency": CURRENCY, "rate_plan": "bench"})
            identities = [f"e164:{name}"]
            await self._create("/v1/subscribers", {"subscriber_id": name, "account_id": name, "identities": identities})
            await self.pay(Payment(name, "opening", RICH if place < self._accounts.rich else "0.30"))

    async def _create(self, path: str, body: dict[str, object]) -> None:
        answer = await self._client.post(f"{self._urls[0]}{path}", json=body)
        if not answer.is_success:
            raise BenchError(f"{path}: {answer.status_code} {answer.text}")

    async def run(self, payers: int) -> None:
        """Pay until told to stop; then finish what was begun."""
        await asyncio.gather(*(self._payer() for _ in range(payers)))

    def stop(self) -> None:
        self._is_over = True

    async def close(self) -> None:
        await self._client.aclose()

    async def _payer(self) -> None:
        chance = self._chance
        while not self._is_over:
            self._numbers += 1
            place = self._accounts.rich + chance.randrange(self._accounts.poor)
            payment = Payment(msisdn(place), f"pay-{self._numbers}", f"{chance.randrange(5, 60) / 100:.2f}")
            if chance.random() < 0.2:  # an impatient customer: the same intent twice at once, to whichever daemon
                await asyncio.gather(self.pay(payment), self.pay(payment))
            else:
                await self.pay(payment)
            if chance.random() < 0.2:  # and a forgetful one
                await self.pay(payment)
            await asyncio.sleep(chance.random() * 0.1)

    async def pay(self, payment: Payment) -> None:
        """Repeat with the same key until there is an answer that says it is done."""
        while True:
            self.attempts += 1
            try:
                answer = await self._client.post(
                    f"{self._chance.choice(self._urls)}/v1/accounts/{payment.account_id}/top-ups",
                    json={"amount": payment.amount, "currency": CURRENCY},
                    headers={"Idempotency-Key": payment.key},
                )
            except httpx.TransportError as error:
                self.statuses[type(error).__name__] += 1
            else:
                self.statuses[str(answer.status_code)] += 1
                if answer.is_success:
                    self._acknowledge(payment, answer.json())
                    return
                if answer.status_code not in RETRIED:
                    self.faults.append(f"top-up {payment}: {answer.status_code} {answer.text}")
                    return
            await asyncio.sleep(RETRY_PAUSE_S)

    def _acknowledge(self, payment: Payment, answer: dict[str, object]) -> None:
        number = answer["entry_number"]
        assert isinstance(number, int)
        before = self.acknowledged.setdefault(payment, number)
        if before != number:
            self.faults.append(f"{payment} was answered as entry {before} and as entry {number}")
        self.repeats += bool(answer["replayed"])
        account = answer["account"]
        assert isinstance(account, dict)
        if parse_amount(account["available"], SCALE) < 0:
            self.faults.append(f"account {payment.account_id} is oversold: {account}")


class Generator:
    """A load generator under way, with its ledger."""

    def __init__(self, kind: str, ledger: Path, options: dict[str, int | str], run: int, *, retry: bool) -> None:
        self.ledger = ledger
        self._output = ledger.with_suffix(".json")
        common: dict[str, int | str] = {
            "--ledger": str(ledger),
            "--run": run,
            "--seed": run,
            "--seconds": 86_400,
            "--drain-seconds": DRAIN_S,
            "--connections": 2,
        }
        words = [str(part) for option in (common | options).items() for part in option]
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [str(BUILD / f"{kind}_load"), *words, *(["--retry"] if retry else [])],
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
            )

    async def stop(self) -> ClientReport:
        """No new sessions; wait until the open ones have ended."""
        self.process.terminate()
        await asyncio.to_thread(self.process.wait, DRAIN_S + 10)
        output = self._output.read_bytes()
        if not output.startswith(b"{"):
            raise BenchError(f"{self.ledger.stem}: {output.decode(errors='replace').strip()}")
        return msgspec.json.decode(output, type=ClientReport)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def start_generators(folder: Path, daemons: tuple[Daemon, ...], accounts: Accounts, in_flight: int) -> list[Generator]:
    """Credit control for the same accounts through each daemon, and by turns through whichever is there; and RADIUS.

    A RADIUS gateway reports what was used, granted or not: only a rich account can pay for it whatever happens.
    """
    first, second = (daemon.ports.diameter for daemon in daemons)
    generators = []
    for number, ports in enumerate(((first, first), (second, second), (second, first)), 1):
        options: dict[str, int | str] = {
            "--port": ports[0],
            "--failover-port": ports[1],
            "--origin-host": f"load{number}.example.net",
            "--requested": GRANT_S,
            "--accounts": len(accounts.all),
            "--in-flight": in_flight,
        }
        generators.append(Generator("ccr", folder / f"ccr-{number}.ledger", options, number, retry=True))
    options = {
        "--port": daemons[0].ports.accounting,
        "--secret": SECRET,
        "--called": CALLED,
        "--step": GRANT_S,
        "--accounts": accounts.rich,
        "--in-flight": max(1, in_flight // 2),
        "--retransmit-ms": 5000,
    }
    generators.append(Generator("radius", folder / "radius.ledger", options, 9, retry=False))
    return generators
