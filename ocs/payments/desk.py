"""What is booked of payments by card: top-ups that the gateway tells of, and refunds.

Nothing is remembered here. A payment's id is the key of its top-up, so it is booked once however often it is told; a
refund takes the money from the account first, under a key that names payment and intent, then has the gateway give it back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from typing import Final, NamedTuple, Protocol, TypeAlias

import structlog

from balance.account import Account
from balance.burn import available
from balance.money import Amount, Currency, format_amount, parse_amount
from ocs.billing.cdrs import JournalRow
from ocs.charging.operations import RechargeResult, RechargeStatus
from ocs.payments.gateway import Checkout, Gateway, GatewayRefusedError, Paid

log = structlog.get_logger()

KEYS_LAST_MS: Final = 86_400_000
"""For so long at least the store itself knows a repeat; of what was first told before that, the journal is asked."""

DONE: Final = frozenset({RechargeStatus.APPLIED, RechargeStatus.REPLAYED})
Posted: TypeAlias = Callable[[str, str], Awaitable[int | None]]
"""The number of an account's entry with this reference, wherever it is on its way (ocs.posted_once)."""


class Accounts(Protocol):
    """The part of the desk of accounts that is used here."""

    async def account(self, account_id: str) -> Account | None: ...

    async def top_up(
        self, account_id: str, amount: Amount, currency: str, *, key: str, actor: str, reason: str
    ) -> RechargeResult: ...

    async def adjust(
        self, account_id: str, amount: Amount, currency: str, *, key: str, actor: str, reason: str
    ) -> RechargeResult: ...


class History(Protocol):
    """The journal."""

    async def find_reference(self, account_id: str, reference: str) -> JournalRow | None: ...


class CardFault(Enum):
    """Why nothing was given back, beside what the gateway and the account say."""

    PAYMENT_UNKNOWN = "payment_unknown"


class Refunded(NamedTuple):
    """``taken`` is the debit; ``refund_id`` is empty where the account did not pay."""

    taken: RechargeResult
    refund_id: str = ""


class CardDesk:
    """Every method raises BackendUnavailable when a part is away: the same again does what was left to do."""

    def __init__(
        self,
        gateway: Gateway,
        accounts: Accounts,
        history: History,
        posted: Posted,
        currencies: Mapping[str, Currency],
        clock: Callable[[], int],
    ) -> None:
        self.gateway = gateway
        self._accounts = accounts
        self._history = history
        self._posted = posted
        self._currencies = currencies
        self._clock = clock

    async def start_checkout(self, account: Account, minor: int, *, key: str) -> Checkout:
        """Begin a payment. Raises GatewayRefusedError."""
        account_id = account.account_id
        return await self.gateway.start_checkout(account_id, account.currency, minor, key=f"{account_id}:{key}")

    async def book(self, paid: Paid) -> RechargeResult:
        """Pay in what was paid, once."""
        reference = self.reference(paid.payment)
        currency = self._currencies.get(paid.currency)
        if currency is None:
            return self._unbooked(paid, RechargeResult(RechargeStatus.CURRENCY_MISMATCH))
        if self._clock() - paid.told_at_ms > KEYS_LAST_MS:
            number = await self._posted(paid.account_id, reference)
            if number is not None:
                account = await self._accounts.account(paid.account_id)
                return RechargeResult(RechargeStatus.REPLAYED, account, number)
        result = await self._accounts.top_up(
            paid.account_id,
            kept(paid.minor, currency),
            paid.currency,
            key=reference,
            actor=self.gateway.name,
            reason="paid by card",
        )
        return result if result.status in DONE else self._unbooked(paid, result)

    async def refund(
        self, account: Account, payment: str, minor: int, *, key: str, actor: str, reason: str
    ) -> Refunded | CardFault:
        """Take money from the account, and give it back to the card. Raises GatewayRefusedError: then it is put back.

        The account pays first, so that what is given back cannot be spent meanwhile.
        """
        account_id, currency = account.account_id, self._currencies[account.currency]
        if await self._posted(account_id, self.reference(payment)) is None:
            return CardFault.PAYMENT_UNKNOWN
        amount, debit_key = kept(minor, currency), f"{self.reference(payment)}:refund:{key}"
        taken = await self._taken(account, amount, debit_key)
        if taken is None:
            words = f"refund of {self.reference(payment)} {reason}".rstrip()
            taken = await self._accounts.adjust(
                account_id, -amount, currency.code, key=debit_key, actor=actor, reason=words
            )
        if taken.status not in DONE:
            return Refunded(taken)
        return Refunded(taken, await self._give_back(account_id, payment, minor, taken.entry_number, actor))

    async def _taken(self, account: Account, amount: Amount, debit_key: str) -> RechargeResult | None:
        """What is known of the debit without the store; None: the store knows."""
        row = await self._history.find_reference(account.account_id, debit_key)
        if row is not None:
            status = RechargeStatus.REPLAYED if row.amount == -amount else RechargeStatus.KEY_REUSED
            return RechargeResult(status, account, row.entry_number)
        is_new = await self._posted(account.account_id, debit_key) is None
        if is_new and available(account, self._clock()) < amount:
            return RechargeResult(RechargeStatus.NOT_ENOUGH_MONEY, account)
        return None

    async def _give_back(self, account_id: str, payment: str, minor: int, number: int, actor: str) -> str:
        undo_key = f"refused:{number}"
        if await self._posted(account_id, undo_key) is not None:
            raise GatewayRefusedError("it was refused before, and the money is in the account: use a new key")
        try:
            return await self.gateway.refund(payment, minor, key=f"{account_id}:{number}")
        except GatewayRefusedError as error:
            account = await self._accounts.account(account_id)
            assert account is not None, "it has paid"
            await self._accounts.adjust(
                account_id,
                kept(minor, self._currencies[account.currency]),
                account.currency,
                key=undo_key,
                actor=actor,
                reason=f"not refunded: {error}"[:200],
            )
            raise

    def reference(self, payment: str) -> str:
        """How a payment is called in the journal."""
        return f"{self.gateway.name}:{payment}"

    def _unbooked(self, paid: Paid, result: RechargeResult) -> RechargeResult:
        """A payer has paid and the account has nothing: a person has to know."""
        log.error(
            "payment_not_booked",
            payment=self.reference(paid.payment),
            account_id=paid.account_id,
            currency=paid.currency,
            minor=paid.minor,
            why=result.status.value,
        )
        return result


def kept(minor: int, currency: Currency) -> Amount:
    """The amount as accounts keep it."""
    return parse_amount(format_amount(minor, currency.digits, currency.digits), currency.scale)
