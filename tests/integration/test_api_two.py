"""Two APIs on one Valkey: what many clients do to one account at the same moment is counted."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path

import httpx
import pytest

from tests.integration.test_api_server import World, open_alice, running

pytestmark = pytest.mark.integration

ROUNDS = 10
TRIES_MAX = 200  # sixty changes of one account at the same moment are told to come again


async def test_two_apis_lose_nothing_and_pay_nothing_twice(
    valkey_url: str, billing_dsn: str, project_root: Path
) -> None:
    """Each intent is sent to both at once: top-ups, adjustments and limits of one account, each applied once."""
    async with (
        running(valkey_url, billing_dsn, project_root) as one,
        running(valkey_url, billing_dsn, project_root) as other,
    ):
        await open_alice(one)
        intents = [
            intent
            for number in range(ROUNDS)
            for intent in (
                ("POST", "top-ups", {"amount": "1.10", "currency": "EUR"}, f"t{number}"),
                ("POST", "adjustments", {"amount": "-0.30", "currency": "EUR", "reason": "count"}, f"a{number}"),
                ("PUT", "limits", {"credit_limit": f"{number}.00"}, f"l{number}"),
            )
        ]
        answers = await asyncio.gather(
            *[
                _until_known(api, method, f"/v1/accounts/alice/{part}", body, key)
                for method, part, body, key in intents
                for api in (one, other)
            ]
        )
        assert {answer.status_code for answer in answers} == {200}
        for first, second in zip(answers[::2], answers[1::2], strict=True):
            assert first.json()["replayed"] or second.json()["replayed"]
            assert first.json()["entry_number"] == second.json()["entry_number"]
        seen = [(await api.client.get("/v1/accounts/alice")).json() for api in (one, other)]
        assert seen[0] == seen[1]
        assert Decimal(seen[0]["balance"]) == ROUNDS * (Decimal("1.10") - Decimal("0.30"))
        await _check_journal(one, seen[0], len(intents))


async def _until_known(api: World, method: str, path: str, body: dict[str, str], key: str) -> httpx.Response:
    """As docs/api.md says: after a 503 the outcome is not known, and the same key is sent again."""
    for _ in range(TRIES_MAX):
        answer = await api.change(method, path, body, key)
        if answer.status_code != 503:
            break
        await asyncio.sleep(0.02)
    return answer


async def _check_journal(world: World, account: dict[str, str], intents: int) -> None:
    """One entry for each intent, numbered without a gap; the last limit is the account's."""
    await world.flush()
    entries = (await world.client.get("/v1/accounts/alice/journal?limit=1000")).json()["entries"]
    numbers = sorted(entry["entry_number"] for entry in entries)
    assert numbers == list(range(numbers[0], numbers[0] + 1 + intents))
    assert sum(Decimal(entry["amount"]) for entry in entries) == Decimal(account["balance"])
    last = max((entry for entry in entries if entry["kind"] == "limits"), key=lambda entry: entry["entry_number"])
    assert f"{last['reference'].removeprefix('l')}.00" == account["credit_limit"]
