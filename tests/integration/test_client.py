"""The Python client and the commands of docs/api.md against a running API: sockets, Valkey, PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
from pathlib import Path

import pytest

from ocs.api.schemas import NewAccount, NewSubscriber, TopUp
from ocs.client.client import Client
from ocs.client.transport import ProblemError
from tests.integration.test_api_server import World, world

__all__ = ["world"]
pytestmark = pytest.mark.integration


def _key(world: World) -> str:
    return world.client.headers["Authorization"].removeprefix("Bearer ")


async def test_the_client_speaks_to_a_running_api(world: World) -> None:
    """[R-40] Accounts, money, a problem, an ETag, TMF654's numbers: each typed."""

    def talk() -> None:
        with Client(f"http://{world.address}", _key(world)) as ocs:
            ocs.create_account(NewAccount(account_id="alice", currency="EUR", rate_plan="retail-eur"))
            paid = ocs.top_up("alice", TopUp(amount="10.00", currency="EUR"), idempotency_key="k")
            again = ocs.top_up("alice", TopUp(amount="10.00", currency="EUR"), idempotency_key="k")
            assert (paid.replayed, again.replayed, again.account.balance) == (False, True, "10.00")
            ocs.create_subscriber(NewSubscriber(subscriber_id="s1", account_id="alice", identities=("e164:49151",)))
            assert [each.subscriber_id for each in ocs.list_subscribers(identity="e164:49151").subscribers] == ["s1"]
            account = ocs.read_account("alice")
            assert account is not None
            assert ocs.read_account("alice", if_none_match=ocs.etag) is None
            (bucket,) = ocs.tmf_list_buckets(account_id="alice")
            assert str(bucket.remaining_value.amount) == "10.00"
            assert ocs.read_rates().version
            with pytest.raises(ProblemError) as raised:
                ocs.read_account("nobody")
            assert (raised.value.details.type, raised.value.details.status) == ("/problems/account-unknown", 404)

    await asyncio.to_thread(talk)


async def test_the_example_in_python_runs(world: World, project_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is pasted from docs/api.md."""
    page = (project_root / "docs" / "api.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.setenv("OCS", f"http://{world.address}")
    monkeypatch.setenv("OCS_KEY", _key(world))
    told = io.StringIO()

    def run() -> None:
        with contextlib.redirect_stdout(told):
            exec(compile(example, "docs/api.md", "exec"), {})

    await asyncio.to_thread(run)
    lines = told.getvalue().splitlines()
    assert (lines[0], lines[-1]) == ("10.00", "/problems/account-unknown")
