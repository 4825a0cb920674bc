"""What a command that changes accounts stands on: the running instance's Valkey, the rates and rules, the audit log."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec
from redis.exceptions import RedisError

from balance.account import Account
from balance.money import Amount, AmountError, Currency, parse_amount
from balance.store import BackendUnavailable
from balance.valkey.store import PartitionsMismatchError, ValkeyStore, open_store
from ocs.accountfile import account_rules
from ocs.api.idempotency import PROBLEMS
from ocs.api.views import account_view
from ocs.billing.trail import FIELD, STREAM_KEY, TrailEntry, encode_trail
from ocs.charging.money_desk import MoneyDesk
from ocs.charging.notice_stream import NoticeStream
from ocs.charging.notifier import Notifier
from ocs.charging.operations import RechargeResult, RechargeStatus
from ocs.charging.policy import quota_policy
from ocs.charging.recharge import AccountDesk
from ocs.charging.rules import AccountRules
from ocs.charging.service import OnlineCharging
from ocs.cli.common import find_servers, read_settings
from ocs.clock import now_ms
from ocs.errors import EXIT_CONFIG, EXIT_UNKNOWN, StartRefusedError
from ocs.rating.load import load_ratebook
from ocs.settings import Settings
from ocs.vouchers import VoucherDesk

ResultT = TypeVar("ResultT")


class DeskWorld(NamedTuple):
    """The desks, as the daemon has them; each change is noted in the audit log by whoever makes it."""

    store: ValkeyStore
    accounts: AccountDesk
    money: MoneyDesk
    vouchers: VoucherDesk
    currencies: dict[str, Currency]
    rules: AccountRules

    async def account(self, account_id: str) -> Account:
        """Raises StartRefusedError when there is none."""
        account = await self.accounts.account(account_id)
        if account is None:
            raise StartRefusedError(f"there is no account {account_id!r} on this Valkey", EXIT_UNKNOWN)
        return account

    async def amount(self, account_id: str, option: str, text: str) -> Amount:
        """An amount in the account's currency. Raises StartRefusedError."""
        currency = self.currencies[(await self.account(account_id)).currency]
        try:
            return parse_amount(text, currency.scale)
        except AmountError as error:
            raise StartRefusedError(f"{option}: {error}", EXIT_CONFIG) from error

    async def done(self, action: str, account_id: str, key: str, result: RechargeResult) -> Account:
        """What came of an operation, noted; raises StartRefusedError with its reason and cure if nothing did."""
        problem = PROBLEMS.get(result.status)
        if problem is not None:
            facts = problem.value
            exit_status = EXIT_UNKNOWN if facts.status == 404 else EXIT_CONFIG
            raise StartRefusedError(f"{facts.title}. {facts.cure}", exit_status)
        assert result.account is not None, "an applied change has an account"
        if result.status is RechargeStatus.APPLIED and result.before is not None:
            await self.note(
                action, f"account {account_id}", key, self._shown(result.before), self._shown(result.account)
            )
        print(f"{'done before' if result.status is RechargeStatus.REPLAYED else 'done'}: entry {result.entry_number}")
        return result.account

    async def note(self, action: str, target: str, key: str, before: dict[str, Any], after: dict[str, Any]) -> None:
        """A line in the audit log, with the fields that changed."""
        changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        entry = TrailEntry(
            at_ms=now_ms(),
            actor="cli",
            action=action,
            target=target,
            reference=key,
            before={name: before[name] for name in changed if name in before},
            after={name: after[name] for name in changed if name in after},
        )
        await self.store.client.xadd(STREAM_KEY, {FIELD: encode_trail(entry)})

    def _shown(self, account: Account) -> dict[str, Any]:
        fields: dict[str, Any] = msgspec.to_builtins(account_view(account, self.currencies[account.currency], now_ms()))
        return fields


def new_key(given: str) -> str:
    """The key that was given, else one for an intent that nobody has named."""
    return given or f"cli-{secrets.token_urlsafe(12)}"


def run(config: Path, data: Path | None, work: Callable[[DeskWorld], Awaitable[ResultT]]) -> ResultT:
    """Open all of it, work, close it. Raises StartRefusedError for whatever does not go."""
    settings = read_settings(config, data)
    url = find_servers(settings).valkey_url
    try:
        return asyncio.run(_work(settings, url, config.absolute().parent, work))
    except PartitionsMismatchError as error:
        raise StartRefusedError(str(error), EXIT_CONFIG) from error
    except BackendUnavailable as error:
        raise StartRefusedError(f"{error}: say the same again, with --key and the same key") from error
    except (RedisError, OSError) as error:
        raise StartRefusedError(f"cannot reach Valkey: {error}") from error


async def _work(settings: Settings, url: str, folder: Path, work: Callable[[DeskWorld], Awaitable[ResultT]]) -> ResultT:
    loaded = load_ratebook(folder, now_ms())
    if loaded.book is None:
        raise StartRefusedError(f"the rates have faults: see `ocs config check {folder}`", EXIT_CONFIG)
    rules = account_rules(folder)
    async with AsyncExitStack() as stack:
        store = await open_store(url, settings.backends.partitions)
        stack.push_async_callback(store.close)
        notifier = Notifier(store, NoticeStream(store.client, "command line"), now_ms)
        stack.push_async_callback(notifier.close)
        online = OnlineCharging(store, loaded.book, quota_policy(settings, rules), now_ms)
        desk = AccountDesk(online, store, now_ms, loaded.currencies, notifier)
        vouchers = VoucherDesk(store.client, desk, now_ms)
        return await work(DeskWorld(store, desk, MoneyDesk(desk, now_ms), vouchers, loaded.currencies, rules))
