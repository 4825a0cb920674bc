"""Diameter peers over HTTP."""

from __future__ import annotations

from ocs.api.keys import Scope
from ocs.api.ports import PeerView
from tests.unit.api_world import make_world


def peer(identity: str, daemon: str, address: str) -> PeerView:
    return PeerView(
        daemon=daemon,
        identity=identity,
        state="r-open" if address else "not connected",
        realm="example.net",
        product="",
        address=address,
        transport="tcp" if address else "",
        dialled=False,
        watchdog="okay" if address else "",
        silent_ms=0,
        requests=7,
        unanswered=0,
    )


async def test_peers_of_all_daemons_and_who_is_missing() -> None:
    """As `ocs peers` has it: a peer that is connected somewhere is missing nowhere."""
    world = make_world()
    world.peers = (
        peer("smf.example.net", "two:2", ""),
        peer("pgw.example.net", "one:1", ""),
        peer("PGW.example.net", "two:2", "192.0.2.1"),
    )
    await world.login(Scope.PEERS_READ)
    found = (await world.client.get("/v1/diameter/peers")).json()
    assert found["missing"] == ["smf.example.net"]
    assert [(each["identity"], each["daemon"]) for each in found["peers"]] == [
        ("PGW.example.net", "two:2"),
        ("pgw.example.net", "one:1"),
        ("smf.example.net", "two:2"),
    ]
    assert (found["peers"][0]["address"], found["peers"][0]["requests"]) == ("192.0.2.1", 7)
