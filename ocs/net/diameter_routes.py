"""Which connections lead to a client: itself, the agent that its requests came through, any other agent [B-78]."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol, TypeVar

from ocs.charging.notice_stream import Route

ROUTES_MAX: Final = 10_000


class Line(Protocol):
    """What a connection shows of itself: the peer's identity and realm, and whether requests may be sent on it.

    ``is_sound`` is False once the peer is suspected or leaves [B-60]; ``is_agent``: it forwards to others [B-46].
    """

    @property
    def identity(self) -> str: ...

    @property
    def realm(self) -> str: ...

    @property
    def is_sound(self) -> bool: ...

    @property
    def is_agent(self) -> bool: ...

    @property
    def serves_credit_control(self) -> bool: ...


LineT = TypeVar("LineT", bound=Line)


class RouteBook:
    """Routes by Origin-Host, learned from the requests that came; those that are older than ROUTES_MAX others go."""

    def __init__(self) -> None:
        self._routes: dict[str, Route] = {}
        self._redirects: dict[str, tuple[str, int]] = {}

    def learn(self, host: str, realm: str, via: str) -> Route | None:
        """Note where a request of ``host`` came in; the route if it is a new one by an agent, and worth keeping."""
        name = host.lower()
        route = Route(realm, via.lower())
        if self._routes.get(name) == route:
            return None
        self._routes.pop(name, None)
        if len(self._routes) >= ROUTES_MAX:
            del self._routes[next(iter(self._routes))]
        self._routes[name] = route
        return route if name != route.via else None

    def redirect(self, host: str, via: str, until_ms: int) -> None:
        """An agent says who leads to the client, for so long; whatever wider use it allows, it is kept for this client [B-79]."""
        while len(self._redirects) >= ROUTES_MAX:
            del self._redirects[next(iter(self._redirects))]
        self._redirects[host.lower()] = via.lower(), until_ms

    def route(self, host: str, now_ms: int) -> Route | None:
        name = host.lower()
        route = self._routes.get(name)
        redirect = self._redirects.get(name)
        if redirect is None or now_ms >= redirect[1]:
            return route
        return Route(route.realm if route is not None else realm_of(host, None, ()), redirect[0])


def lines_to(host: str, via: str, lines: Iterable[LineT]) -> list[LineT]:
    """The connections to try, best first."""
    name, via = host.lower(), via.lower()
    ranked: list[tuple[int, LineT]] = []
    for line in lines:
        if not line.is_sound:
            continue
        peer = line.identity.lower()
        if peer == name and (line.serves_credit_control or line.is_agent):
            ranked.append((0, line))
        elif line.is_agent:
            ranked.append((1 if peer == via else 2, line))
        elif peer == via:  # it brought the client's requests, so it takes ours to it, whatever it advertised
            ranked.append((1, line))
    return [line for _, line in sorted(ranked, key=lambda item: item[0])]


def realm_of(host: str, route: Route | None, lines: Iterable[Line]) -> str:
    """The client's realm as it said, else what follows the first label of its name (RFC 6733, section 4.3.1)."""
    if route is not None:
        return route.realm
    for line in lines:
        if line.identity.lower() == host.lower():
            return line.realm
    return host.partition(".")[2] or host
