"""What the HTTP API asks of the rest of the house, as protocols: the core, the history in PostgreSQL, readiness.

The daemon hands in the real ones; the tests hand in small ones.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import date
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import msgspec

from balance.account import OPERATOR, Account, AccountState
from balance.money import Amount
from balance.store import Subscriber
from ocs.billing.balances import Invoiced
from ocs.billing.cdrs import CdrRow, JournalRow, Page
from ocs.billing.search import FAR_FUTURE_MS, CdrQuery
from ocs.billing.trail import TrailEntry
from ocs.billing_desk import BillingDesk
from ocs.charging.account_events import AccountEvent
from ocs.charging.enquiry import Enquired, Use
from ocs.charging.operations import AccountFault, BucketOptions, Limits, RechargeResult
from ocs.charging.plans import PlanOrder
from ocs.charging.recharge import PackageUnknown
from ocs.charging.session_search import Position, SessionPage, SessionQuery
from ocs.charging.subscribers import SubscriberChange, SubscriberResult
from ocs.delivery.contacts import Contact, ContactChanged
from ocs.delivery.queue import Message
from ocs.feeds.settings import Feed
from ocs.gateways.switch_files import Switch
from ocs.mediation import Mediation
from ocs.rating.faults import ConfigFault
from ocs.rating.ratebook import RateBook
from ocs.vouchers import VoucherFault

# "" if all is well, else what is missing, in words for the operator. Must not write and must not take long.
Check: TypeAlias = Callable[[], Awaitable[str]]


class PeerView(msgspec.Struct, frozen=True, kw_only=True):
    """One connection at one daemon, or a declared peer that has none there (``state`` is "not connected").

    ``silent_ms``: so long a watchdog request has been waiting for its answer.
    """

    daemon: str
    identity: str
    state: str
    realm: str
    product: str
    address: str
    transport: str
    dialled: bool
    watchdog: str
    silent_ms: int
    requests: int
    unanswered: int


class Accounts(Protocol):
    """The charging core's side that is not a call (ocs.charging.recharge). Every method raises BackendUnavailable when the store is away."""

    async def create_account(
        self,
        account_id: str,
        currency: str,
        rate_plan: str,
        credit_limit: Amount,
        low_balance: Amount,
        *,
        actor: str,
        time_zone: str = "",
        cycle_day: int = 0,
        reseller: str = "",
        key: str = "",
    ) -> Account | AccountFault: ...

    async def account(self, account_id: str) -> Account | None: ...

    async def top_up(
        self,
        account_id: str,
        amount: Amount,
        currency: str,
        *,
        key: str,
        actor: str,
        reason: str,
        bucket: BucketOptions | None = None,
    ) -> RechargeResult: ...

    async def adjust(
        self, account_id: str, amount: Amount, currency: str, *, key: str, actor: str, reason: str
    ) -> RechargeResult: ...

    async def set_state(
        self,
        account_id: str,
        state: AccountState,
        *,
        key: str,
        actor: str,
        reason: str,
        block: str = OPERATOR,
        expects: frozenset[str] = frozenset(),
    ) -> RechargeResult: ...

    async def buy(
        self, account_id: str, package: str, *, key: str, actor: str, reason: str
    ) -> RechargeResult | PackageUnknown: ...

    async def cancel(
        self, account_id: str, subscription: int, *, key: str, actor: str, reason: str
    ) -> RechargeResult: ...

    async def change_plan(
        self,
        account_id: str,
        order: PlanOrder,
        *,
        key: str,
        actor: str,
        reason: str,
        expects: frozenset[str] = frozenset(),
    ) -> RechargeResult: ...

    async def change_reseller(
        self,
        account_id: str,
        reseller: str,
        *,
        key: str,
        actor: str,
        reason: str,
        expects: frozenset[str] = frozenset(),
    ) -> RechargeResult: ...

    async def set_limits(
        self,
        account_id: str,
        limits: Limits,
        *,
        key: str,
        actor: str,
        reason: str,
        expects: frozenset[str] = frozenset(),
    ) -> RechargeResult: ...

    async def enquire(self, account_id: str, use: Use) -> Enquired | None: ...

    async def find_sessions(self, query: SessionQuery, after: Position, limit: int) -> SessionPage: ...

    async def abort_session(self, account_id: str, session_key: str, *, actor: str, reason: str) -> bool: ...


class Subscribers(Protocol):
    """Who is charged to which account (ocs.charging.subscribers). Raises BackendUnavailable, or what the store's client raises."""

    async def create(
        self, subscriber_id: str, account_id: str, identities: tuple[str, ...], password: str, *, key: str = ""
    ) -> SubscriberResult: ...

    async def change(
        self, subscriber_id: str, change: SubscriberChange, *, key: str = "", expects: frozenset[str] = frozenset()
    ) -> SubscriberResult: ...

    async def remove(
        self, subscriber_id: str, *, key: str = "", expects: frozenset[str] = frozenset()
    ) -> SubscriberResult: ...

    async def port(
        self, identity: str, giver_id: str, taker_id: str, *, key: str = "", expects: frozenset[str] = frozenset()
    ) -> SubscriberResult: ...

    async def read(self, subscriber_id: str) -> Subscriber | None: ...

    async def find(self, identity: str) -> Subscriber | None: ...

    async def page(self, account_id: str, prefix: str, after: str, limit: int) -> list[Subscriber]: ...


class Money(Protocol):
    """Money that moves beside calls (ocs.charging.money_desk). Raises BackendUnavailable."""

    async def transfer(
        self, payer: str, payee: str, amount: Amount, currency: str, *, key: str, actor: str, reason: str
    ) -> RechargeResult: ...

    async def merge(self, giver: str, taker: str, *, key: str, actor: str, reason: str) -> RechargeResult: ...

    async def take_back(
        self, account_id: str, entry_number: int, entry: JournalRow, amount: Amount, *, actor: str, reason: str
    ) -> RechargeResult: ...


class Vouchers(Protocol):
    """Codes that pay money in (ocs.vouchers). Raises BackendUnavailable."""

    async def redeem(self, account_id: str, code: str, *, actor: str) -> RechargeResult | VoucherFault: ...


class History(Protocol):
    """What left through the outbox and stands in PostgreSQL, newest first, page by page.

    ``cursor`` is the page before's ``next_cursor``, "" to begin; CursorError if it is none of ours. Raises
    BackendUnavailable while PostgreSQL is away.
    """

    async def find_cdrs(self, query: CdrQuery, cursor: str, limit: int) -> Page[CdrRow]: ...

    async def list_journal(
        self,
        account_id: str,
        cursor: str,
        limit: int,
        *,
        kind: str = "",
        reference: str = "",
        since_ms: int = 0,
        until_ms: int = FAR_FUTURE_MS,
    ) -> Page[JournalRow]: ...

    async def account_ids(
        self, after: str, limit: int, *, tenant: str = "", since_ms: int = 0, until_ms: int = FAR_FUTURE_MS
    ) -> list[str]:
        """The names of accounts opened in [since, until), in the order of their octets; of a ``tenant``: those that begin so."""

    async def find_cdr(self, account_id: str, entry_number: int) -> tuple[CdrRow, JournalRow] | None: ...

    async def find_entry(self, account_id: str, entry_number: int) -> JournalRow | None: ...

    async def invoiced(self, account_id: str) -> Invoiced | None: ...

    async def find_reference(self, account_id: str, reference: str) -> JournalRow | None: ...


class Deliveries(Protocol):
    """Account events, contacts and messages in PostgreSQL (ocs.delivery). Raises BackendUnavailable while it is away.

    Lists are newest first, and begin after ``before``; of a ``tenant``: of the accounts whose names begin so.
    """

    async def contact(self, account_id: str) -> Contact | None: ...

    async def put_contact(self, contact: Contact, expects: frozenset[str], key: str) -> ContactChanged:
        """Put it if what is there is tagged as expected, once for each key."""

    async def events(
        self,
        account_id: str,
        types: Sequence[str],
        before: tuple[int, str, int],
        limit: int,
        tenant: str = "",
        since_ms: int = 0,
    ) -> list[AccountEvent]:
        """Those of ``since_ms`` or later."""

    async def messages(
        self, state: str, account_id: str, before: tuple[int, str], limit: int, tenant: str = "", since_ms: int = 0
    ) -> list[Message]:
        """Those that were made at ``since_ms`` or later."""

    async def replay(self, message_ids: Sequence[str], tenant: str = "") -> list[str]: ...


class Trail(Protocol):
    """The audit log: written to Valkey, read from PostgreSQL. Raises BackendUnavailable."""

    async def note(self, entry: TrailEntry) -> None:
        """On disk when this returns."""

    async def list_trail(
        self, *, target: str, actor: str, tenant: str, before: tuple[int, str], limit: int
    ) -> list[TrailEntry]: ...


class Rates(Protocol):
    """The rates in force and their change (ocs.rate_desk)."""

    def book(self) -> RateBook | None:
        """What requests are priced by now."""

    async def reload(self) -> tuple[ConfigFault, ...]:
        """Read the files again and swap whole; with faults nothing is swapped."""

    async def activate(self, deck: str, version: str, at_ms: int) -> tuple[ConfigFault, ...]:
        """Put a staged version in place, now (0) or at an instant. Raises VersionError."""


class Billing(Protocol):
    """Customers, invoices, payments and switches' files (ocs.billing_service). Raises BackendUnavailable."""

    @property
    def switches(self) -> dict[str, Switch]:
        """Those of mediation.toml."""

    @property
    def feeds(self) -> dict[str, Feed]:
        """Those of feeds.toml."""

    @property
    def data_dir(self) -> Path:
        """Where the folders of switches lie."""

    def desk(self) -> AbstractAsyncContextManager[BillingDesk]: ...

    def mediation(self) -> AbstractAsyncContextManager[tuple[Any, Mediation]]: ...

    async def start_run(self, until: date, *, is_issuing: bool) -> int: ...
