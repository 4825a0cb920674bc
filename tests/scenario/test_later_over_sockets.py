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
from tests.scenario.switch import RadiusTable, Switch, can_say
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
NOT_OVER_RADIUS: Final = {
    "104 what was held before the expiry pays after it, the rest is written off": "a report holds what two interims may cost",
    "a session that goes on over midnight pays from the new bucket": "a report holds what two interims may cost",
    "112 what a silent session held comes back": "a silent call is held for its late Stop, not ended [R-71]",
    "supervision ends it at both": "a silent call is held for its late Stop, not ended [R-71]",
    "71 supervision gives the place of a silent call back": "a silent call is held for its late Stop, not ended [R-71]",
    "an INITIAL under the name of an open session replaces it at both": "a call has a name of its own",
}
GRANTS_ALIKE: Final = {"session_max_s = 14400 ": "session_max_s = 30 "}
"""RADIUS gives a call all that its account can pay for, up to this: as much at once as Diameter does here."""
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
    said = {name for tables in PLAYED.values() for name, table in tables.items() if can_say(table)}
    assert said >= NOT_OVER_RADIUS.keys()


class Daemons:
    """One daemon at a time, by its rules: all of them would see to what is due in the one Valkey."""

    def __init__(self, folder: Path, project_root: Path, valkey_url: str) -> None:
        self._folder = folder
        self._project_root = project_root
        self._valkey_url = valkey_url
        self._kind = ""
        self._running: tuple[ServedOcs, Gateway, Switch] | None = None

    def of(self, kind: str) -> tuple[ServedOcs, Gateway, Switch]:
        """The daemon with these rules, an independent Diameter stack that is connected to it, and a client of RADIUS."""
        if self._running is None or kind != self._kind:
            self.stop()
            self._running = self._start(kind)
            self._kind = kind
        return self._running

    def _start(self, kind: str) -> tuple[ServedOcs, Gateway, Switch]:
        with redis.Redis.from_url(self._valkey_url) as client:
            client.flushall()
            client.function_flush()
        rules = RULES[kind]
        text = _written(rules) if rules is not None else test_roaming_caps.sample_text(self._project_root)
        folder = self._folder / kind
        folder.mkdir()
        served = ServedOcs(folder, self._project_root, self._valkey_url, GRANTS_ALIKE, account_rules=text)
        try:
            served.wait_ready()
            return served, Gateway(served.ports[3868]), Switch(served)
        except BaseException:
            served.stop()
            raise

    def stop(self) -> None:
        if self._running is not None:
            served, gateway, switch = self._running
            self._running = None
            switch.close()
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


@pytest.mark.parametrize(
    ("kind", "name", "protocol"),
    [
        (kind, name, protocol)
        for kind, tables in PLAYED.items()
        for name, table in tables.items()
        for protocol in ("diameter", *(("radius",) if can_say(table) and name not in NOT_OVER_RADIUS else ()))
    ],
)
async def test_scenario(daemons: Daemons, kind: str, name: str, protocol: str) -> None:
    """The table's every line comes true for a client on the network, too: a packet gateway, and a switch where it can say it all."""
    served, gateway, switch = daemons.of(kind)
    served.clock.now_ms = START_MS  # the instant at which all tables begin
    world = SocketWorld(served, gateway)
    table = Table(world) if protocol == "diameter" else RadiusTable(world, switch)
    try:
        await table.play(PLAYED[kind][name].replace("TOO_MANY_CALLS", "SERVICE_DENIED"))  # both are 4010
    finally:
        await world.close()
