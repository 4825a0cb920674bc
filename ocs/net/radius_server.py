"""RADIUS: sockets, clients, and the end; UDP here, connections in ``radius_streams``. What a record means is the gateway's business.

datagram -> client by address -> responder (genuine? seen before?) -> desk (gateway, charging) -> reply
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from balance.money import Currency
from ocs.charging.session import CreditSession
from ocs.errors import StartRefusedError
from ocs.gateways.numbering import Numbering
from ocs.gateways.radius_products import load_products
from ocs.net.datagrams import RECEIVE_BUFFER_OCTETS, DatagramSocket, Local, Source
from ocs.net.radius_clients import Client, ClientTable
from ocs.net.radius_desk import RadiusDesk
from ocs.net.radius_dynamic import DynamicAuthorization
from ocs.net.radius_report import ClientReport, report_of
from ocs.net.radius_streams import RadiusStreams
from ocs.net.radius_tls import TlsFiles
from ocs.net.radius_watch import GrantWatch
from ocs.net.radius_work import Charging, Work
from ocs.observe.counters import Counters
from ocs.observe.logging import is_tracing
from ocs.observe.seldom import SeldomLog
from ocs.settings import Settings
from protocols.radius.dedup import ReplyCache
from protocols.radius.packet import Packet
from protocols.radius.responder import Discard, Responder, Role
from protocols.radius.words import code_name, named_attributes

log = structlog.get_logger()

# Accounting is repeated for longer than authorization, so its replies are kept for longer.
ACCOUNTING_KEEP_FACTOR: Final = 2
KEY_PREFIX: Final = "ra:"


class _Listener:
    """One socket with its role and its replies."""

    __slots__ = ("datagrams", "is_protected", "responder", "send")

    def __init__(self, datagrams: DatagramSocket, responder: Responder) -> None:
        self.datagrams = datagrams
        self.responder = responder
        self.is_protected = False
        self.send = datagrams.send


def _always() -> bool:
    return True


class RadiusServer:
    """``start`` binds and returns the addresses; ``close`` waits for what is in work."""

    def __init__(
        self,
        settings: Settings,
        charging: Charging,
        currencies: dict[str, Currency],
        clock: Callable[[], int],
        config_dir: Path,
        *,
        counters: Counters | None = None,
        is_ready: Callable[[], bool] = _always,
    ) -> None:
        self._settings = settings.radius
        self._clock = clock
        self._is_ready = is_ready
        products = load_products(config_dir, settings.radius)
        self._clients = ClientTable(settings.radius, products, Numbering.of(settings.numbering))
        self._listeners: dict[DatagramSocket, _Listener] = {}
        self._seldom = SeldomLog("radius", "client", "reason")
        self.counters = counters if counters is not None else Counters()
        self.dynamic = DynamicAuthorization(self._clients, products.dictionary, charging, self.counters, clock)
        self.watch = GrantWatch(charging.find_session, self._cut_off, clock)
        self.desk = RadiusDesk(settings.radius, charging, currencies, self.counters, self._seldom, self.watch, clock)
        self.desk.on_longer = self.dynamic.tell_longer
        self._dictionary = products.dictionary
        if is_tracing():
            self.desk.trace = self._trace
        tls = TlsFiles(config_dir, settings.radius.tls) if settings.radius.radsec else None
        self.streams = RadiusStreams(
            settings.radius, self._clients, self.desk, self.counters, self._seldom, clock, is_ready, tls
        )
        self.streams.on_answer = self.dynamic.answered
        self.dynamic.line_to = self.streams.line_to
        self._watching: asyncio.Task[None] | None = None

    @property
    def clients(self) -> list[Client]:
        return self._clients.clients

    @property
    def in_flight(self) -> int:
        return self.desk.in_flight

    # --- begin and end ----------------------------------------------------------------------------------------------

    async def start(self) -> list[str]:
        """Raises StartRefusedError if an address cannot be bound."""
        keep_ms = self._settings.reply_cache_s * 1000
        try:
            for listen in self._settings.authentication:
                self._add(listen, Role.AUTHENTICATION, keep_ms)
            for listen in self._settings.accounting:
                self._add(listen, Role.ACCOUNTING, keep_ms * ACCOUNTING_KEEP_FACTOR)
            streams = self.streams.start()
        except StartRefusedError:
            await self.streams.stop_reading()
            self._close_sockets()
            raise
        loop = asyncio.get_running_loop()
        for datagrams in self._listeners:
            datagrams.open(loop)
            if datagrams.is_buffer_small:
                cure = f"sysctl -w net.core.rmem_max={RECEIVE_BUFFER_OCTETS}"
                log.warning("radius_buffer_small", address=datagrams.address, cure=cure)
        for client in self.clients:
            if client.peer.requirement == "no":
                log.warning("radius_client_insecure", client=client.name, cure="require_message_authenticator")
        self._watching = asyncio.create_task(self.watch.run(), name="radius grants")
        addresses = [*(datagrams.address for datagrams in self._listeners), *streams]
        log.info("radius_listening", addresses=addresses)
        return addresses

    async def close(self, drain_s: float) -> None:
        """Read no more, let what is in work be answered for up to ``drain_s``, then close."""
        loop = asyncio.get_running_loop()
        for datagrams in self._listeners:
            datagrams.stop_reading(loop)
        await self.streams.stop_reading()
        await self.desk.drained(drain_s)
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        await self.dynamic.close()
        self.streams.close()
        self._close_sockets()

    def _add(self, listen: str, role: Role, keep_ms: int) -> None:
        datagrams = DatagramSocket(listen, self._on_turn, is_shared=self._settings.workers > 1)
        self._listeners[datagrams] = _Listener(datagrams, Responder(role, ReplyCache(keep_ms), self._is_ready))

    def _close_sockets(self) -> None:
        for datagrams in self._listeners:
            datagrams.close()
        self._listeners.clear()

    def reports(self) -> list[ClientReport]:
        """What each client has done so far."""
        return [report_of(client, self.streams.count_of(client)) for client in self.clients]

    def reload(self) -> None:
        """Read certificates anew."""
        self.streams.reload()

    def on_silent(self, session: CreditSession) -> None:
        """The session was given up: should its call go on nevertheless, it is to end."""
        if session.session_key.startswith(KEY_PREFIX):
            self.dynamic.disconnect_once(session, "no sign of the gateway")

    def _cut_off(self, session: CreditSession) -> None:
        self.dynamic.disconnect_once(session, "the granted time is over")

    def _trace(self, work: Work) -> None:
        """The request in words, by the names of the dictionaries."""
        attributes = {each.name: each.text.strip('"') for each in named_attributes(work.packet, self._dictionary)}
        log.debug("radius_request", client=work.client.name, code=code_name(work.packet.code), attributes=attributes)

    # --- in ---------------------------------------------------------------------------------------------------------

    def _on_turn(self, datagrams: DatagramSocket, received: list[tuple[bytes, Source, Local]]) -> None:
        listener = self._listeners[datagrams]
        now_ms = self._clock()
        works: list[Work] = []
        for octets, source, local in received:
            client = self._clients.find(source[0])
            if client is None:
                self.counters.count("radius", "datagram", "unknown_client")
                self._seldom.warn("radius_unknown_client", source[0].removeprefix("::ffff:"), "", now_ms)
                continue
            result = listener.responder.receive(octets, source, client.peer, now_ms)
            if type(result) is Packet:
                client.requests += 1
                works.append(Work(listener, client, client.peer, result, source, local))
            elif isinstance(result, bytes):
                self.counters.count("radius", "datagram", "answered_at_once")
                datagrams.send(result, source, local)
            elif isinstance(result, Discard):
                self._discarded(client, result, now_ms)
        self.desk.take(works, now_ms)

    def _discarded(self, client: Client, why: Discard, now_ms: int) -> None:
        client.discard(why.value)
        self.counters.count("radius", "datagram", why.value)
        if why is not Discard.REPEAT_IN_WORK:
            self._seldom.warn("radius_discarded", client.name, why.value, now_ms)
