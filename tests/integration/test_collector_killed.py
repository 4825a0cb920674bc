"""kill -9 of the real processes at the steps between two systems: one charge, one credit, one refund, whatever dies."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from ocs.payments.collector import Collector
from ocs.settings import Settings, load_settings
from tests.integration.stripe_standin import SECRET_KEY, WEBHOOK_SECRET
from tests.integration.test_api_server import PARTITIONS, world
from tests.integration.test_automatic_top_ups import Topped, topped
from tests.integration.test_cards import Cards, cards

__all__ = ["cards", "topped", "world"]

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning"),
]
LIMIT_S = 60.0
REFUND = {"payment": "pi_1", "amount": "5.00"}


class Processes:
    """Our own commands on the test's servers, with Stripe's stand-in as the gateway."""

    def __init__(self, config: Path, data: Path, cards: Cards) -> None:
        self._config, self._data = config, data
        text = config.read_text(encoding="utf-8").replace(
            'success_url = ""', 'success_url = "https://shop.test/paid"', 1
        )
        text = text.replace('api = ""', f'api = "{cards.stripe.base}"', 1).replace(
            "partitions = 16", f"partitions = {PARTITIONS}"
        )
        config.write_text(text, encoding="utf-8")
        settings = load_settings(config)
        assert isinstance(settings, Settings), settings
        self.url = f"http://{settings.http.listen}"
        self._environment = {
            **os.environ,
            "OCS_VALKEY_URL": cards.world.valkey_url,
            "OCS_POSTGRES_DSN": cards.world.billing_dsn,
            "OCS_STRIPE_SECRET_KEY": SECRET_KEY,
            "OCS_STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "NO_PROXY": "127.0.0.1",
        }
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, command: str) -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", "ocs", command, "--config", str(self._config), "--data", str(self._data)]
        with (self._data / f"{command}.log").open("ab") as log:
            child = subprocess.Popen(words, env=self._environment, stdout=log, stderr=subprocess.STDOUT)
        self.started.append(child)
        return child

    def kill(self, child: subprocess.Popen[bytes]) -> None:
        child.send_signal(signal.SIGKILL)
        child.wait()

    def words(self, command: str) -> str:
        return (self._data / f"{command}.log").read_text(encoding="utf-8")


@pytest.fixture
async def processes(sample_config: Path, tmp_path: Path, cards: Cards) -> AsyncIterator[Processes]:
    """All of them are dead in the end."""
    data = tmp_path / "data"
    data.mkdir()
    found = Processes(sample_config, data, cards)
    yield found
    for child in found.started:
        if child.poll() is None:
            found.kill(child)


async def until(condition: Callable[[], Awaitable[bool]], say: Callable[[], str]) -> None:
    async with asyncio.timeout(LIMIT_S):
        try:
            while not await condition():  # noqa: ASYNC110 - what another process does is no event of ours
                await asyncio.sleep(0.05)
        except TimeoutError:
            pytest.fail(say())


async def test_a_collector_dies_between_charge_and_credit(topped: Topped, processes: Processes) -> None:
    """The gateway has taken the money and nobody has heard it; two others take it up: one charge, one credit."""
    cards = topped.cards
    cards.stripe.holds = True
    await topped.spend("9.00")
    await cards.world.flush()
    first = processes.start("collect")
    await until(lambda: _is_set(cards.stripe.held), lambda: processes.words("collect"))
    processes.kill(first)
    assert (cards.stripe.charged, await cards.balance()) == ([2000], "1.00")

    await _goes_on(topped)


async def test_a_collector_dies_between_credit_and_note(topped: Topped, processes: Processes) -> None:
    """The account has the money and PostgreSQL does not know: the next one books nothing, and notes it."""
    cards = topped.cards
    await topped.spend("9.00")
    await cards.world.flush()
    cards.stripe.holds = True
    first = processes.start("collect")
    await until(lambda: _is_set(cards.stripe.held), lambda: processes.words("collect"))
    async with _held(cards.world.billing_dsn):
        cards.stripe.release.set()
        await until(lambda: _has(cards, "21.00"), lambda: processes.words("collect"))
        processes.kill(first)
    assert await topped.states() == [("charging", "")]

    await _goes_on(topped)


async def test_the_daemon_dies_between_refund_and_answer(processes: Processes, cards: Cards) -> None:
    """Stripe has given the money back, the daemon was killed before it could say so: another one gives back nothing more."""
    await cards.paid("pi_1", 2000)
    await cards.world.flush()
    cards.stripe.holds = True
    first = processes.start("serve")
    await until(lambda: _answers(processes), lambda: processes.words("serve"))
    asked = asyncio.create_task(_refund(processes, cards))
    await until(lambda: _is_set(cards.stripe.held), lambda: processes.words("serve"))
    processes.kill(first)
    with pytest.raises(httpx.TransportError):
        await asked
    assert await cards.balance() == "15.00"

    cards.stripe.holds = False
    cards.stripe.release.set()
    again = await cards.post("card-refunds", REFUND, "case-1")
    assert (again.status_code, again.json()["refund_id"], again.json()["replayed"]) == (200, "re_1", True)
    assert [each["amount"] for each in cards.stripe.refunds] == [500]
    assert await cards.amounts() == ["0.00", "20.00", "-5.00"]


async def _goes_on(topped: Topped) -> None:
    """The lease of the dead one is over, and two others look."""
    cards = topped.cards
    cards.stripe.holds = False
    cards.stripe.release.set()
    connection = await asyncpg.connect(cards.world.billing_dsn)
    await connection.execute("UPDATE gateway_charge SET due_at = now()")
    await connection.close()
    await asyncio.gather(*[Collector(cards.payments).settle_all() for _ in range(2)])
    assert await topped.states() == [("paid", "")]
    assert cards.stripe.charged == [2000]
    assert await cards.balance() == "21.00"
    assert await cards.amounts() == ["0.00", "10.00", "0.00", "-9.00", "20.00"]
    assert await topped.events() == ["automatic_top_up"]


async def _is_set(event: asyncio.Event) -> bool:
    return event.is_set()


async def _has(cards: Cards, balance: str) -> bool:
    return await cards.balance() == balance


async def _answers(processes: Processes) -> bool:
    try:
        async with httpx.AsyncClient(trust_env=False) as client:
            return (await client.get(f"{processes.url}/ready")).status_code == 200
    except httpx.TransportError:
        return False


async def _refund(processes: Processes, cards: Cards) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, timeout=LIMIT_S, headers=cards.client.headers) as client:
        return await client.post(
            f"{processes.url}/v1/accounts/alice/card-refunds",
            json=REFUND,
            headers={"Idempotency-Key": "case-1"},
        )


@asynccontextmanager
async def _held(dsn: str) -> AsyncIterator[None]:
    """Nobody can note anything of a charge meanwhile."""
    connection: Any = await asyncpg.connect(dsn)
    try:
        async with connection.transaction():
            await connection.execute("SELECT 1 FROM gateway_charge FOR UPDATE")
            yield
    finally:
        await connection.close()
