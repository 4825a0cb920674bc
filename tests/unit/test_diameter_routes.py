"""Which connections lead to a client (diameter-base 4)."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from ocs.charging.notice_stream import Route
from ocs.net.diameter_routes import ROUTES_MAX, RouteBook, lines_to, realm_of


class FakeLine(NamedTuple):
    """What a connection shows of itself."""

    identity: str
    is_agent: bool = False
    serves_credit_control: bool = True
    is_sound: bool = True
    realm: str = "example.net"


CLIENT = FakeLine("Client.example.net")
DEAF = FakeLine("client.example.net", serves_credit_control=False)
SUSPECT = FakeLine("client.example.net", is_sound=False)
VIA = FakeLine("proxy.example.net")
AGENT = FakeLine("agent.example.net", is_agent=True)
OTHER_AGENT = FakeLine("zzz.example.net", is_agent=True)
STRANGER = FakeLine("other.example.net")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([STRANGER, OTHER_AGENT, AGENT, VIA, CLIENT], [CLIENT, VIA, OTHER_AGENT, AGENT]),
        ([DEAF, AGENT], [AGENT]),  # it never said that it knows credit control
        ([SUSPECT, VIA], [VIA]),
        ([STRANGER], []),
        ([], []),
    ],
)
def test_b46_b78_the_best_way_first(lines: list[FakeLine], expected: list[FakeLine]) -> None:
    """The client itself if it serves the application, then who brought its requests, then any agent."""
    assert lines_to("client.example.net", "PROXY.example.net", lines) == expected


def test_routes_are_learned_and_bounded() -> None:
    """Only what an agent brought, and only what is new, is worth keeping for others."""
    book = RouteBook()
    assert book.learn("c.example.net", "realm", "C.example.net") is None
    assert book.learn("c.example.net", "realm", "agent.example.net") == Route("realm", "agent.example.net")
    assert book.learn("C.example.net", "realm", "agent.example.net") is None
    for number in range(ROUTES_MAX):
        book.learn(f"{number}.example.net", "realm", "agent.example.net")
    assert book.route("c.example.net", 0) is None
    assert book.route("0.EXAMPLE.net", 0) is not None


@pytest.mark.parametrize(
    ("host", "route", "expected"),
    [
        ("client.example.net", Route("told.realm", ""), "told.realm"),
        ("client.example.net", None, "example.net"),
        ("pgw.epc.example.org", None, "epc.example.org"),
        ("local", None, "local"),
    ],
)
def test_destination_realm_is_what_the_client_said(host: str, route: Route | None, expected: str) -> None:
    """Else the peer's own, else what follows its name's first label."""
    assert realm_of(host, route, [CLIENT._replace(realm="example.net")]) == expected
