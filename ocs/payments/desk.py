"""What is booked of payments of prepaid accounts: top-ups that the gateway tells of, refunds, chargebacks.

Nothing is remembered here. A payment's id is the key of its top-up, so it is booked once however often it is told; a
refund takes the money from the account first, under a key that names payment and intent, then has the gateway give it back.
What went back without us is debited under the gateway's name of it, and put back under that name if it came again: in
whichever order, and however often, the two are told.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from typing import Final, NamedTuple, Protocol, TypeAlias
from zlib import crc32

import structlog

from balance.account import Account, AccountState
from balance.money import Amount, Currency, format_amount, parse_amount
from ocs.billing.cdrs import JournalRow
from ocs.charging.operations import OperationKind, RechargeResult, RechargeStatus
from ocs.charging.recharge import AccountDesk
from ocs.payments.gateway import Checkout, Gateway, GatewayRefusedError, Paid, PurposeKind, TakenBack

log = structlog.get_logger()

KEYS_LAST_MS: Final = 86_400_000
"""For so long at least the store itself knows a repeat; of what was first told before that, the journal is asked."""

DONE: Final = frozenset({RechargeStatus.APPLIED, RechargeStatus.REPLAYED})
BOOKED_AS: Final = {
    PurposeKind.TOP_UP: (OperationKind.TOP_UP, "paid by card"),
    PurposeKind.AUTOMATIC_TOP_UP: (OperationKind.AUTOMATIC_TOP_UP, "the balance was low"),
}
Posted: TypeAlias = Callable[[str, str], Awaitable[int | None]]
"""The number of an account's entry with this reference, wherever it is on its way (ocs.posted_once)."""


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
        accounts: AccountDesk,
        history: History,
        posted: Posted,
        currencies: Mapping[str, Currency],
        clock: Callable[[], int],
        *,
        blocks_after_chargeback: bool = True,
    ) -> None:
        self.gateway = gateway
        self._accounts = accounts
        self._history = history
        self._posted = posted
        self._currencies = currencies
        self._clock = clock
        self.blocks_after_chargeback = blocks_after_chargeback

    async def start_checkout(self, account: Account, minor: int, *, key: str) -> Checkout:
        """Begin a payment. Raises GatewayRefusedError."""
        account_id = account.account_id
        return await self.gateway.start_checkout(account_id, account.currency, minor, key=f"{account_id}:{key}")

    async def book(self, paid: Paid) -> RechargeResult:
        """Pay in what was paid, once; where the account was merged, into the one that has what it had."""
        account_id, reference = paid.purpose.name, self.reference(paid.payment)
        kind, reason = BOOKED_AS[paid.purpose.kind]
        currency = self._currencies.get(paid.currency)
        if currency is None:
            return self._unbooked(paid, RechargeResult(RechargeStatus.CURRENCY_MISMATCH))
        number = await self._booked_long_ago(account_id, reference, paid.told_at_ms)
        if number is not None:
            account = await self._accounts.account(account_id)
            return RechargeResult(RechargeStatus.REPLAYED, account, number)
        result = await self._accounts.top_up(
            account_id,
            kept(paid.minor, currency),
            paid.currency,
            key=reference,
            actor=self.gateway.name,
            reason=reason,
            kind=kind,
        )
        if result.goes_on_at:
            return await self.book(paid._replace(purpose=paid.purpose._replace(name=result.goes_on_at)))
        return result if result.status in DONE else self._unbooked(paid, result)

    async def take_back(self, account_id: str, told: TakenBack) -> RechargeStatus:
        """Take from the account what has gone back to its payer, whatever is left of it; and put back what came again."""
        reference, currency = self.reference(told.reference), self._currencies.get(told.currency)
        if currency is None:
            return RechargeStatus.CURRENCY_MISMATCH
        amount = kept(told.minor, currency)
        if told.our_key:  # the account has paid for it before we asked for it
            number = told.our_key.rpartition(":")[2]
            return (
                await self._move(account_id, amount, told, f"refused:{number}")
                if told.is_undone
                else RechargeStatus.REPLAYED
            )
        status = await self._move(account_id, -amount, told, reference)
        if told.is_undone and status in DONE:
            status = await self._move(account_id, amount, told, f"{reference}:undone")
        if told.is_chargeback and self.blocks_after_chargeback and status in DONE:
            await self._block(account_id, told, reference)
        return status

    async def _move(self, account_id: str, amount: Amount, told: TakenBack, key: str) -> RechargeStatus:
        if await self._booked_long_ago(account_id, key, told.told_at_ms) is not None:
            return RechargeStatus.REPLAYED
        what = "chargeback" if told.is_chargeback else "refund"
        reason = f"{what} of {self.reference(told.payment)} {told.why}".rstrip()
        result = await self._accounts.adjust(
            account_id, amount, told.currency, key=key, actor=self.gateway.name,
            reason=f"undone: {reason}" if amount > 0 else reason,
            kind=OperationKind.CHARGEBACK if told.is_chargeback else OperationKind.ADJUSTMENT,
        )  # fmt: skip
        return await self._move(result.goes_on_at, amount, told, key) if result.goes_on_at else result.status

    async def _block(self, account_id: str, told: TakenBack, reference: str) -> None:
        """By a block that names the chargeback: if it is won, that one alone is lifted."""
        state = AccountState.ACTIVE if told.is_undone else AccountState.SUSPENDED
        key = f"{reference}:{state.name.lower()}"
        if await self._booked_long_ago(account_id, key, told.told_at_ms) is None:
            block = f"chargeback-{crc32(reference.encode()):08x}"
            result = await self._accounts.set_state(
                account_id, state, key=key, actor=self.gateway.name, reason=f"chargeback {reference}", block=block
            )
            if result.goes_on_at:
                await self._block(result.goes_on_at, told, reference)

    async def _booked_long_ago(self, account_id: str, key: str, told_at_ms: int) -> int | None:
        """The entry that was posted under a key which the store may have forgotten by now."""
        if self._clock() - told_at_ms <= KEYS_LAST_MS:
            return None
        return await self._posted(account_id, key)

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
        taken = await self._taken_long_ago(account, amount, debit_key)
        if taken is None:
            words = f"refund of {self.reference(payment)} {reason}".rstrip()
            taken = await self._accounts.adjust(
                account_id, -amount, currency.code, key=debit_key, actor=actor, reason=words, is_covered=True
            )
        if taken.status not in DONE:
            return Refunded(taken)
        return Refunded(taken, await self._give_back(account_id, payment, minor, taken.entry_number, actor))

    async def _taken_long_ago(self, account: Account, amount: Amount, debit_key: str) -> RechargeResult | None:
        """What the journal knows of the debit; None: the store knows, or it is new."""
        row = await self._history.find_reference(account.account_id, debit_key)
        if row is None:
            return None
        status = RechargeStatus.REPLAYED if row.amount == -amount else RechargeStatus.KEY_REUSED
        return RechargeResult(status, account, row.entry_number)

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
            account_id=paid.purpose.name,
            currency=paid.currency,
            minor=paid.minor,
            why=result.status.value,
        )
        return result


def kept(minor: int, currency: Currency) -> Amount:
    """The amount as accounts keep it."""
    return parse_amount(format_amount(minor, currency.digits, currency.digits), currency.scale)
