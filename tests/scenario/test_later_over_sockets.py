"""Scenarios that need rules of their own, or days to pass, over sockets: a real daemon whose wall clock the tests move."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import redis

from ocs.charging.rules import NO_RULES, AccountRules
from ocs.embedded.valkey import EmbeddedValkey
from tests.scenario import (
    test_bundles,
    test_charging,
    test_counters,
    test_levels,
    test_life,
    test_limits,
    test_money_between,
    test_plans,
    test_roaming_caps,
    test_subscriptions,
    test_velocity,
)
from tests.scenario.sockets import Gateway, ServedOcs, SocketWorld
from tests.scenario.table import Table
from tests.scenario.world import START_MS

pytestmark = pytest.mark.integration

# The rules of a daemon, and what is played with it.
RULES: Final[dict[str, AccountRules | None]] = {
    "none": NO_RULES,
    "lives": test_life.RULES,
    "changes": AccountRules(plan_changes=(test_plans.PRORATED,)),
    "signs": test_velocity.SPENDING,
    "sample": None,  # the file itself
}
PLAYED: Final[dict[str, dict[str, str]]] = {
    "none": {
        **test_bundles.ON_A_CLOCK,
        **test_counters.ON_A_CLOCK,
        **test_levels.ON_A_CLOCK,
        **test_limits.ON_A_CLOCK,
        **test_subscriptions.RENEWED,
        **test_life.BLOCKS,
        **test_money_between.GIVEN,
        **{name: table for name, table in test_charging.SCENARIOS.items() if "close silent" in table},
    },
    "lives": test_life.LIVES,
    "changes": test_plans.CHANGED,
    "signs": test_velocity.SIGNS,
    "sample": test_roaming_caps.ABROAD,
}


def _written(rules: AccountRules) -> str:
    """The rules as their file: a table's fields are JSON, which is TOML here."""
    found: dict[str, list[dict[str, Any]]] = json.loads(msgspec.json.encode(rules))
    lines = []
    for kind, entries in found.items():
        for entry in entries:
            entry.pop("scale", None)  # filled in, not read
            lines += [f"[[{kind}]]", *(f"{name} = {json.dumps(value)}" for name, value in entry.items())]
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module", params=list(PLAYED))
def served(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    project_root: Path,
    valkey_server: EmbeddedValkey,
) -> Iterator[ServedOcs]:
    """One daemon at a time, since all of them would see to what is due in the one Valkey."""
    with redis.Redis.from_url(valkey_server.url) as client:
        client.flushall()
        client.function_flush()
    rules = RULES[request.param]
    text = _written(rules) if rules is not None else test_roaming_caps.sample_text(project_root)
    folder = tmp_path_factory.mktemp(request.param)
    running = ServedOcs(folder, project_root, valkey_server.url, account_rules=text)
    try:
        running.wait_ready()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def gateway(served: ServedOcs) -> Iterator[Gateway]:
    """One connection of an independent Diameter stack."""
    client = Gateway(served.ports[3868])
    yield client
    client.close()


@pytest.fixture
async def world(served: ServedOcs, gateway: Gateway) -> AsyncIterator[SocketWorld]:
    """A fresh account, at the instant at which all tables begin."""
    served.clock.now_ms = START_MS
    fresh = SocketWorld(served, gateway)
    yield fresh
    await fresh.close()


@pytest.mark.parametrize(
    ("served", "name"), [(kind, name) for kind, tables in PLAYED.items() for name in tables], indirect=["served"]
)
async def test_scenario(world: SocketWorld, served: ServedOcs, name: str) -> None:
    """The table's every line comes true for a client on the network, too."""
    (table,) = (tables[name] for tables in PLAYED.values() if name in tables)
    await Table(world).play(table.replace("TOO_MANY_CALLS", "SERVICE_DENIED"))  # both are 4010
