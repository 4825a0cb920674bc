"""What the parts of the RADIUS server hand to one another: a request in work, and the way it came."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from mypy_extensions import mypyc_attr

from balance.store import BackendUnavailable, Subscriber
from ocs.charging.request import ChargingAnswer, ChargingRequest
from ocs.charging.session import CreditSession
from ocs.net.datagrams import Local, Source
from ocs.net.radius_clients import Client, plain_address
from protocols.radius.packet import Packet
from protocols.radius.responder import Peer, Responder


class Charging(Protocol):
    """What RADIUS asks of the charging core; callbacks come in the loop's thread, at once or in a later turn."""

    def submit(self, request: ChargingRequest, reply: Callable[[ChargingAnswer], None]) -> None:
        """Decide, make durable, then call ``reply`` once."""

    def find_subscriber(
        self, identities: tuple[str, ...], done: Callable[[Subscriber | BackendUnavailable | None], None]
    ) -> None:
        """The subscriber of the first identity that is known."""

    def find_session(self, session_key: str) -> Awaitable[CreditSession | None]:
        """The open session of that key, as it stands in the store."""

    def close_sessions(
        self, prefix: str, before_ms: int, cause: str, is_meant: Callable[[CreditSession], bool] = ...
    ) -> Awaitable[object]:
        """Close, at their last known use, the sessions whose key begins so, that were opened before, and that are meant."""


class Channel(Protocol):
    """A socket or a connection with its replies. ``is_protected``: nobody on the way can read or change it."""

    responder: Responder
    is_protected: bool

    def send(self, octets: bytes, source: Source, local: Local) -> None:
        """Whether it arrives nobody knows."""


@mypyc_attr(acyclic=True)
class Work:
    """One request between its arrival and its reply. ``peer`` is the client as this channel knows it: its secret and
    its policies. ``extra`` are attributes that an Accept gets in addition.
    """

    __slots__ = ("channel", "client", "extra", "is_done", "kind", "local", "packet", "peer", "source")

    def __init__(
        self, channel: Channel, client: Client, peer: Peer, packet: Packet, source: Source, local: Local
    ) -> None:
        self.channel = channel
        self.client = client
        self.peer = peer
        self.packet = packet
        self.source = source
        self.local = local
        self.kind = "access"
        self.extra = b""
        self.is_done = False

    @property
    def address(self) -> str:
        """Where it came from. A socket for IPv6 shows IPv4 clients as ``::ffff:192.0.2.1``."""
        said = self.source[0]
        return plain_address(said) if said[0] == ":" else said


@mypyc_attr(acyclic=True)
class Charged:
    """An accounting record that is being charged: called with the answer, it says so to its desk, once."""

    __slots__ = ("_on_charged", "answer", "request", "work")

    answer: ChargingAnswer

    def __init__(self, work: Work, request: ChargingRequest, on_charged: Callable[[Charged], None]) -> None:
        self.work: Final = work
        self.request: Final = request
        self._on_charged = on_charged

    def __call__(self, answer: ChargingAnswer) -> None:
        self.answer = answer
        self._on_charged(self)
