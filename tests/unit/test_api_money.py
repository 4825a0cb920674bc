"""Transfers, vouchers and reversals over HTTP: every outcome has its problem, every amount is looked at."""

from __future__ import annotations

import pytest

from balance.account import Hold
from ocs.api.keys import Scope
from ocs.billing.cdrs import JournalRow
from tests.unit.api_world import GOOD_CODE, NOW_MS, World, make_world

ACCOUNT = {"account_id": "alice", "currency": "EUR", "rate_plan": "retail-eur"}


@pytest.fixture
async def world() -> World:
    """Alice and Bob, and an entry of Alice's that can be taken back."""
    world = make_world()
    await world.login(Scope.ADMIN)
    for name in ("alice", "bob"):
        await world.post("/v1/accounts", {**ACCOUNT, "account_id": name})
    world.history.journal.append(_row(17, reference="gy:1"))
    return world


def _row(number: int, reference: str = "", at_ms: int = NOW_MS) -> JournalRow:
    return JournalRow(
        account_id="alice", entry_number=number, at_ms=at_ms, kind="session", currency="EUR", amount=-(10**9),
        changes=(Hold(0, -(10**9)),), reference=reference, actor="", reason="",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("body", "status", "slug"),
    [
        ({"to": "bob", "amount": "1.00", "currency": "EUR"}, 200, ""),
        ({"to": "bob", "amount": "0", "currency": "EUR"}, 422, "invalid"),
        ({"to": "bob", "amount": "-1", "currency": "EUR"}, 422, "invalid"),
        ({"to": "alice", "amount": "1.00", "currency": "EUR"}, 422, "invalid"),
        ({"to": "carol", "amount": "1.00", "currency": "EUR"}, 422, "payee-unknown"),
        ({"to": "bob", "amount": "1.00", "currency": "QQQ"}, 422, "currency-unknown"),
    ],
)
async def test_transfers(world: World, body: dict[str, str], status: int, slug: str) -> None:
    """To another account, forward."""
    answer = await world.post("/v1/accounts/alice/transfers", body, key="t1")
    assert answer.status_code == status, answer.text
    assert slug in answer.json().get("type", "")


@pytest.mark.parametrize(
    ("giver", "into", "status", "slug"),
    [
        ("bob", "alice", 200, ""),
        ("bob", "bob", 422, "invalid"),
        ("bob", "carol", 422, "payee-unknown"),
        ("alice", "bob", 409, "invoices-open"),
    ],
)
async def test_mergers(world: World, giver: str, into: str, status: int, slug: str) -> None:
    """Into another account, and not with open invoices."""
    answer = await world.post(f"/v1/accounts/{giver}/mergers", {"into": into, "reason": "a wish"}, key="m1")
    assert answer.status_code == status, answer.text
    assert slug in answer.json().get("type", "")


@pytest.mark.parametrize(
    ("code", "status", "slug"),
    [
        (GOOD_CODE, 200, ""),
        ("1", 404, "voucher-unknown"),
        ("used", 409, "voucher-used"),
        ("expired", 409, "voucher-void"),
        ("many", 429, "voucher-locked"),
    ],
)
async def test_redemptions(world: World, code: str, status: int, slug: str) -> None:
    """What became of the code, in a problem of its own."""
    answer = await world.post("/v1/accounts/alice/redemptions", {"code": code})
    assert (answer.status_code, slug in answer.json().get("type", "")) == (status, True), answer.text


async def test_reversals(world: World) -> None:
    """An entry that is there, in whole or in part, once."""
    path, body = "/v1/accounts/alice/reversals", {"entry_number": 17, "reason": "bad line"}
    assert (await world.post(path, {**body, "entry_number": 18})).json()["type"].endswith("entry-unknown")
    assert (await world.post(path, {**body, "amount": "0"})).status_code == 422
    assert (await world.post(path, {"entry_number": 17})).status_code == 422, "the reason is mandatory"
    assert (await world.post(path, body)).status_code == 200
    world.history.journal.append(_row(30, "reversal:17", NOW_MS - 7 * 86_400_000))
    late = await world.post(path, body)
    assert (late.status_code, late.json()["detail"]) == (409, "entry 30 has taken it back")
