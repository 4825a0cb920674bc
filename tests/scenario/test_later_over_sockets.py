"""Scenarios that need rules of their own, or days to pass, over sockets: a real daemon whose wall clock the tests move."""

from __future__ import annotations

import json
from collections.abc import Iterator
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
# What cannot be said from outside, and why.
NOT_OVER_SOCKETS: Final = {
    "an open session keeps its price and what it holds": "supervision ends a session that is silent for days",
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
    "changes": {name: table for name, table in test_plans.CHANGED.items() if name not in NOT_OVER_SOCKETS},
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


def test_what_is_left_out_exists() -> None:
    """The list of exceptions names scenarios, each with its reason."""
    assert test_plans.CHANGED.keys() >= NOT_OVER_SOCKETS.keys()


class Daemons:
    """One daemon at a time, by its rules: all of them would see to what is due in the one Valkey."""

    def __init__(self, folder: Path, project_root: Path, valkey_url: str) -> None:
        self._folder = folder
        self._project_root = project_root
        self._valkey_url = valkey_url
        self._kind = ""
        self._running: tuple[ServedOcs, Gateway] | None = None

    def of(self, kind: str) -> tuple[ServedOcs, Gateway]:
        """The daemon with these rules, and the connection of an independent Diameter stack to it."""
        if self._running is None or kind != self._kind:
            self.stop()
            self._running = self._start(kind)
            self._kind = kind
        return self._running

    def _start(self, kind: str) -> tuple[ServedOcs, Gateway]:
        with redis.Redis.from_url(self._valkey_url) as client:
            client.flushall()
            client.function_flush()
        rules = RULES[kind]
        text = _written(rules) if rules is not None else test_roaming_caps.sample_text(self._project_root)
        folder = self._folder / kind
        folder.mkdir()
        served = ServedOcs(folder, self._project_root, self._valkey_url, account_rules=text)
        try:
            served.wait_ready()
            return served, Gateway(served.ports[3868])
        except BaseException:
            served.stop()
            raise

    def stop(self) -> None:
        if self._running is not None:
            served, gateway = self._running
            self._running = None
            gateway.close()
            served.stop()


@pytest.fixture(scope="module")
def daemons(
    tmp_path_factory: pytest.TempPathFactory, project_root: Path, valkey_server: EmbeddedValkey
) -> Iterator[Daemons]:
    """The daemon of the tables that are played now."""
    found = Daemons(tmp_path_factory.mktemp("later"), project_root, valkey_server.url)
    yield found
    found.stop()


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, tables in PLAYED.items() for name in tables])
async def test_scenario(daemons: Daemons, kind: str, name: str) -> None:
    """The table's every line comes true for a client on the network, too."""
    served, gateway = daemons.of(kind)
    served.clock.now_ms = START_MS  # the instant at which all tables begin
    world = SocketWorld(served, gateway)
    try:
        await Table(world).play(PLAYED[kind][name].replace("TOO_MANY_CALLS", "SERVICE_DENIED"))  # both are 4010
    finally:
        await world.close()
