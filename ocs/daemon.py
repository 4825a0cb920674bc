"""The daemon: the one place where objects are built, wired, started and drained.

settings, rate files, Valkey -> charging core -> Diameter, RADIUS and HTTP servers -> signals -> drain
"""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import structlog
import uvloop
from msgspec import structs
from redis.exceptions import RedisError

from balance.money import Currency
from balance.store import BackendUnavailable
from balance.valkey.server import examine
from balance.valkey.store import PartitionsMismatchError, ValkeyStore, open_store
from ocs import limits, tasks
from ocs.accountfile import account_rules, load_account_rules
from ocs.api.app import create_app
from ocs.api.context import Context
from ocs.api.keys import KeyRing, ensure_admin_key
from ocs.api.ports import PeerView
from ocs.api.postgres import ApiTrail, PostgresDeliveries, PostgresHistory
from ocs.billing_service import BillingService
from ocs.charging.following import Following
from ocs.charging.money_desk import MoneyDesk
from ocs.charging.notice_stream import NoticeReader, NoticeStream
from ocs.charging.notifier import Notifier
from ocs.charging.policy import quota_policy
from ocs.charging.recharge import AccountDesk
from ocs.charging.rules import AccountRules
from ocs.charging.service import OnlineCharging
from ocs.charging.strangers import Strangers
from ocs.charging.supervision import Supervision
from ocs.clock import now_ms
from ocs.errors import EXIT_CONFIG, StartRefusedError
from ocs.gateways.gy import currency_fault
from ocs.gateways.numbering import Numbering
from ocs.handover import load_apart
from ocs.net import diameter_report, radius_report
from ocs.net.diameter_server import DiameterServer
from ocs.net.http_server import HttpServer
from ocs.net.radius_memory import RadiusMemory
from ocs.net.radius_notices import RadiusNotices
from ocs.net.radius_server import RadiusServer
from ocs.observe.counters import Counters
from ocs.observe.metrics import Gauge, Metrics
from ocs.observe.reports import Reports, process_name, read_reports
from ocs.payments.payments import Payments, open_payments
from ocs.payments.secrets import open_gateway
from ocs.payments.settings import read_payments
from ocs.payments.stripe_gateway import StripeGateway
from ocs.rate_desk import RateDesk
from ocs.rating.ratebook import RateBook
from ocs.settings import Settings
from ocs.vouchers import VoucherDesk

log = structlog.get_logger()

STORE_PATIENCE_S: Final = 15.0
PROBE_S_MAX: Final = 3.0


class Endpoints(NamedTuple):
    """What the daemon stands on. ``admin_key`` is where the first API key is kept; None: it is not our business."""

    config_dir: Path
    valkey_url: str
    postgres_dsn: str
    admin_key: Path | None = None
    config: Path = Path("ocs.toml")  # the settings' file, for processes that we start


class Charging:
    """The charging core as the servers see it."""

    def __init__(self, online: OnlineCharging, supervision: Supervision) -> None:
        self.submit = online.submit
        self.halve = online.halve
        self.find_subscriber = online.find_subscriber
        self.close_sessions = supervision.close_sessions
        self.find_session = supervision.find_session


class Daemon:
    """Build with ``Daemon.open``; ``run`` serves until a signal asks for the end."""

    def __init__(
        self,
        settings: Settings,
        endpoints: Endpoints,
        store: ValkeyStore,
        book: RateBook,
        currencies: dict[str, Currency],
        rules: AccountRules,
    ) -> None:
        self._settings = settings
        self._currencies = currencies
        self._endpoints = endpoints
        self._store = store
        self._counters = Counters()
        self.online = OnlineCharging(
            store,
            book,
            quota_policy(settings, rules),
            now_ms,
            self._count_conflict,
            asyncio.get_running_loop().call_soon,
        )
        self._supervision = Supervision(self.online, store, now_ms)
        self.online.on_main_ended = self._supervision.end_subs
        self._following = Following(self.online, store, now_ms, settings.rates.reauthorizations_per_s)
        self._rates = RateDesk(
            endpoints.config_dir,
            self._following,
            now_ms,
            lambda: load_apart(endpoints.config_dir, _books(settings)),
            _books(settings) / "in_force",
        )
        self._stop = asyncio.Event()
        self._on_reload: list[Callable[[], None]] = []

    @classmethod
    async def open(cls, settings: Settings, endpoints: Endpoints) -> Daemon:
        """Read the rates and reach the store. Raises StartRefusedError with one line that names the cure."""
        book, currencies = await load_rates(endpoints.config_dir, _books(settings))
        rules = account_rules(endpoints.config_dir)
        if fault := currency_fault(settings, currencies):
            raise StartRefusedError(f"{endpoints.config}: {fault}", EXIT_CONFIG)
        store = await open_checked_store(endpoints.valkey_url, settings.backends.partitions)
        return cls(settings, endpoints, store, book, currencies, rules)

    async def run(self, on_started: Callable[[list[str]], None] = lambda _: None) -> None:
        """Serve. ``on_started`` gets a line per listening address once all of them listen."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self.reload)
        gateway = open_gateway(self._settings.stripe, self._endpoints.config_dir)
        history = await PostgresHistory.open(self._endpoints.postgres_dsn)
        currencies = self._currencies
        charging = Charging(self.online, self._supervision)
        diameter = DiameterServer(
            self._settings, charging, currencies, now_ms, self._counters, self._endpoints.config_dir
        )
        notices = NoticeStream(self._store.client, diameter.process)
        diameter.requests.use(notices)
        self._following.use(notices)
        diameter.restarts.use(self._store.client, self._supervision.close_sessions_of)
        notifier = Notifier(self._store, notices, now_ms)
        self.online.on_short = notifier.short_of_money
        strangers = Strangers(self._store.client, now_ms)
        self.online.on_stranger = strangers.met
        radius = self._radius_server(charging, currencies)
        radius.dynamic.claim = notices.claim
        memory = RadiusMemory(self._store.client, self._settings.radius.lockout_s * 1000)
        radius.desk.memory, radius.desk.on_stranger = memory, strangers.met
        radius_notices = RadiusNotices(notices, radius.dynamic, charging.find_session)
        reader = NoticeReader(notices, now_ms, {"gy": diameter.requests.take, "ra": radius_notices.take})
        self._supervision.on_silent = radius.on_silent
        desk = AccountDesk(self.online, self._store, now_ms, currencies, notifier)
        billing = self.billing = await self._open_billing(desk)
        self._on_reload += [diameter.reload_certificates, radius.reload, billing.reload, self._reload_rules]
        money = MoneyDesk(desk, now_ms)
        self._supervision.on_transfer, self._supervision.on_merger = money.finish, money.finish_merger
        context = self._context(history, currencies, desk, money, billing, gateway)
        http = HttpServer(self._settings.http, create_app(context))
        _watch(context.metrics, diameter, radius, http)
        reports = (
            Reports(self._store.client, diameter_report.KIND, process_name(), diameter.reports),
            Reports(self._store.client, radius_report.KIND, process_name(), radius.reports),
        )
        beside = [
            asyncio.create_task(self._supervision.run(), name="supervision"),
            asyncio.create_task(reader.run(), name="notices"),
            asyncio.create_task(self._rates.run(), name="scheduled rates"),
            asyncio.create_task(memory.run(radius.clients), name="radius memory"),
            *[asyncio.create_task(report.run(), name="reports") for report in reports],
        ]
        try:
            if self._endpoints.admin_key is not None:
                await ensure_admin_key(self._store.client, self._endpoints.admin_key)
            on_started([*await diameter.start(), *await radius.start(), *await http.start()])
            _settle_memory()
            await self._stop.wait()
            log.info("daemon_drains")
        finally:
            # First the servers that take in work, then what they stand on.
            await asyncio.gather(
                diameter.close(limits.DRAIN_S), radius.close(limits.DRAIN_S), http.close(limits.DRAIN_S)
            )
            await notifier.close()
            await strangers.close()
            await self._following.close()
            await tasks.end(beside)
            await billing.close()
            if gateway is not None:
                await gateway.close()
            await history.close()
            await self._store.close()
            log.info("daemon_stopped")

    def _radius_server(self, charging: Charging, currencies: dict[str, Currency]) -> RadiusServer:
        return RadiusServer(
            self._settings,
            charging,
            currencies,
            now_ms,
            self._endpoints.config_dir,
            counters=self._counters,
            is_ready=lambda: self._store.is_ready,
        )

    def stop(self) -> None:
        self._stop.set()

    def reload(self) -> None:
        """SIGHUP: read the rate files again; swap whole, or keep what is there and say every fault. Certificates, too."""
        for read_anew in self._on_reload:
            read_anew()
        task = asyncio.get_running_loop().create_task(self._rates.reload(), name="reload")
        task.add_done_callback(partial(tasks.say_failure, "reload_failed"))

    def _reload_rules(self) -> None:
        """The rules for accounts, whole, or the ones before with every fault in the log."""
        rules = load_account_rules(self._endpoints.config_dir)
        if isinstance(rules, AccountRules):
            self.online.policy = structs.replace(self.online.policy, rules=rules, watches=bool(rules.velocity))
        else:
            log.error("account_rules_refused", faults=[str(fault) for fault in rules])

    def _count_conflict(self) -> None:
        self._counters.post_conflicts += 1

    async def _open_billing(self, desk: AccountDesk) -> BillingService:
        endpoints = self._endpoints
        return await BillingService.open(
            endpoints.postgres_dsn,
            config=endpoints.config,
            data_dir=Path(self._settings.node.data_dir),
            environment={"OCS_VALKEY_URL": endpoints.valkey_url, "OCS_POSTGRES_DSN": endpoints.postgres_dsn},
            redis=self._store.client,
            accounts=desk,
            online=self.online,
            currencies=self._currencies,
            numbering=Numbering.of(self._settings.numbering),
            clock=now_ms,
        )

    def _context(
        self,
        history: PostgresHistory,
        currencies: dict[str, Currency],
        desk: AccountDesk,
        money: MoneyDesk,
        billing: BillingService,
        gateway: StripeGateway | None,
    ) -> Context:
        metrics = Metrics(self._counters, self._store.client, now_ms)
        return Context(
            accounts=desk,
            subscribers=desk.subscribers,
            history=history,
            deliveries=PostgresDeliveries(history.pool, now_ms),
            money=money,
            vouchers=VoucherDesk(self._store.client, desk, now_ms),
            trail=ApiTrail(self._store.client, history.pool),
            keys=KeyRing(self._store.client, now_ms),
            metrics=metrics,
            currencies=currencies,
            rates=self._rates,
            billing=billing,
            clock=now_ms,
            checks={"valkey": self._check_store, "rates": self._check_rates},
            peers=self._peers,
            payments=self._payments(gateway, history, desk, billing),
            requests_per_minute=self._settings.http.requests_per_minute,
        )

    def _payments(
        self, gateway: StripeGateway | None, history: PostgresHistory, desk: AccountDesk, billing: BillingService
    ) -> Payments | None:
        if gateway is None:
            return None
        file = read_payments(self._endpoints.config_dir)
        payments = open_payments(
            gateway,
            history.pool,
            self._store.client,
            desk,
            history,
            self._currencies,
            file,
            self.online,
            billing.desk,
            now_ms,
        )
        self._on_reload.append(partial(payments.reload, self._endpoints.config_dir))
        return payments

    async def _peers(self) -> list[PeerView]:
        """What all daemons tell of their peers. Raises BackendUnavailable."""
        try:
            found = await read_reports(self._store.client, diameter_report.KIND, diameter_report.PeerReport)
        except (RedisError, OSError) as error:
            raise BackendUnavailable(str(error)) from error
        return [
            PeerView(daemon=daemon, **structs.asdict(report)) for daemon, reports in found.items() for report in reports
        ]

    async def _check_store(self) -> str:
        try:
            await asyncio.wait_for(self._store.probe(), PROBE_S_MAX)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what the operator has to read
            return f"Valkey takes no writes: {error or type(error).__name__}"
        return "" if self._store.is_ready else "the posting connection to Valkey is down"

    async def _check_rates(self) -> str:
        return "" if self._rates.book() else "no rate book is loaded"


def _books(settings: Settings) -> Path:
    """Where workers on one data folder share rate books: what one has read, the next one maps."""
    return Path(settings.node.data_dir) / "rates"


async def load_rates(config_dir: Path, books: Path) -> tuple[RateBook, dict[str, Currency]]:
    """The rate book and the currencies; StartRefusedError with every fault on a line of its own."""
    result = await load_apart(config_dir, books)
    if result.book is None:
        faults = "\n".join(str(fault) for fault in result.faults)
        raise StartRefusedError(f"the rate files have {len(result.faults)} faults:\n{faults}", EXIT_CONFIG)
    return result.book, result.currencies


async def serve(settings: Settings, endpoints: Endpoints, on_started: Callable[[list[str]], None]) -> None:
    daemon = await Daemon.open(settings, endpoints)
    await daemon.run(on_started)


def main(settings: Settings, endpoints: Endpoints, on_started: Callable[[list[str]], None] = lambda _: None) -> None:
    """Run the daemon on uvloop until a signal ends it. Raises StartRefusedError when it cannot start."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings, endpoints, on_started))


async def open_checked_store(url: str, partitions: int) -> ValkeyStore:
    """The store on a server that keeps what it acknowledges. Raises StartRefusedError when it would drop accounts."""
    store = await _patiently_open(url, partitions)
    found = await examine(store.client)
    for why in found.lax:
        log.warning("valkey_promises_less", why=why)
    if found.unfit:
        await store.close()
        raise StartRefusedError(f"Valkey at backends.valkey_url is not fit: {'; '.join(found.unfit)}", EXIT_CONFIG)
    return store


async def _patiently_open(url: str, partitions: int) -> ValkeyStore:
    """Valkey may be reading its append-only file still: that is no reason to fail a start."""
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + STORE_PATIENCE_S
    while True:
        try:
            return await open_store(url, partitions)
        except PartitionsMismatchError as error:
            raise StartRefusedError(str(error), EXIT_CONFIG) from error
        except BackendUnavailable as error:
            if loop.time() > give_up_at:
                raise StartRefusedError(f"{error}; is it running, and is backends.valkey_url right?") from error
            await asyncio.sleep(0.2)


def _watch(metrics: Metrics, diameter: DiameterServer, radius: RadiusServer, http: HttpServer) -> None:
    """Let the metrics read what the servers hold at the moment."""
    for gauge, protocol, read in (
        (Gauge.CONNECTIONS, "diameter", lambda: diameter.connections),
        (Gauge.CONNECTIONS, "http", lambda: http.connections),
        (Gauge.IN_FLIGHT, "diameter", lambda: diameter.in_flight),
        (Gauge.IN_FLIGHT, "radius", lambda: radius.in_flight),
    ):
        metrics.watch(gauge, protocol, read)


def _settle_memory() -> None:
    """What is built at the start lives as long as the process: the collector need not look at it ever again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
