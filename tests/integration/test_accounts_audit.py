"""``ocs audit`` after everything that accounts can do beside calls: levels, members, lives, transfers, reversals, fraud, contracts."""

from __future__ import annotations

import pytest
from msgspec import structs

from balance.valkey.store import open_store
from ocs.auditor import audit
from ocs.charging.money_desk import MoneyDesk
from ocs.charging.policy import QuotaPolicy
from ocs.charging.rules import NO_RULES, AccountRules, VelocityRule
from tests.integration.books import flush_all
from tests.scenario.table import Table
from tests.scenario.test_levels import LEVELS
from tests.scenario.test_life import LIVES, RULES
from tests.scenario.test_members import MEMBERS
from tests.scenario.test_subscriptions import RENEWED
from tests.scenario.world import POLICY, Clock, World, amount

pytestmark = pytest.mark.integration

PARTITIONS = 4
FRAUD = AccountRules(velocity=(VelocityRule(currency="EUR", spend_per_minute="0.20"),))
TABLES: dict[str, tuple[AccountRules, str]] = {
    "levels": (NO_RULES, LEVELS["both pay, each by its own plan"] + "\nI open T1 ask -> 30"),
    "members": (NO_RULES, MEMBERS["70 a limit in units counts what bundles pay, too"]),
    "lives": (RULES, LIVES["what is left of a recycled account is written off, and at last it is closed"]),
    "contracts": (NO_RULES, RENEWED["the first days are for nothing, once"]),
    "fraud": (
        FRAUD,
        """
        balance 1.00
        I s1 T1 ask             -> 30
        U s1 used 30 ask        -> 30
        U s1 used 30 ask        -> SERVICE_DENIED
        state suspended fraud
        """,
    ),
}


async def _audited(world: World, valkey_url: str, dsn: str, open_sessions: int) -> None:
    await flush_all(valkey_url, dsn)
    report = await audit(valkey_url, dsn)
    assert report.is_clean, report.findings
    assert report.open_sessions == open_sessions
    assert await world.entries() == [], "all of it is in the journal"


@pytest.mark.parametrize("name", TABLES)
async def test_the_audit_is_clean(valkey_url: str, billing_dsn: str, name: str) -> None:
    """From the journal in PostgreSQL and the sessions in Valkey: every account, at every level."""
    rules, table = TABLES[name]
    store = await open_store(valkey_url, PARTITIONS)
    try:
        clock = Clock()
        policy: QuotaPolicy = structs.replace(POLICY, rules=rules, watches=bool(rules.velocity))
        world = World(store, clock, policy)
        await Table(world).play(table)
        await _audited(world, valkey_url, billing_dsn, {"levels": 2, "fraud": 1}.get(name, 0))
    finally:
        await store.close()


async def test_the_audit_is_clean_after_money_has_moved(valkey_url: str, billing_dsn: str) -> None:
    """A transfer that arrived, one that came back, a record that was refunded."""
    store = await open_store(valkey_url, PARTITIONS)
    try:
        clock = Clock()
        world = World(store, clock)
        money = MoneyDesk(world.desk, clock)
        await Table(world).play("""
            balance 1.00
            I s1 T1 ask             -> 30
            T s1 used 30            -> ok       | B 0.70
        """)
        record = (await world.entries())[-1]
        for name in ("B", "C"):
            await world.desk.create_account(name, "EUR", "test-eur", 0, 0, actor="test")
        for to in ("B", "C", "nobody"):
            await money.transfer("A", to, amount("0.10"), "EUR", key=to, actor="test", reason="")
        await money.take_back("A", record.entry_number, record, amount("0.20"), actor="test", reason="bad line")
        assert [(await world.figures(name))[0] for name in "ABC"] == [amount("0.70"), amount("0.10"), amount("0.10")]
        await _audited(world, valkey_url, billing_dsn, 0)
    finally:
        await store.close()
