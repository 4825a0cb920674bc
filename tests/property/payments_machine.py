"""What payers, their banks and the gateway do to accounts: payments, refunds, chargebacks, told in any order and again."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from ocs.charging.operations import RechargeResult, RechargeStatus
from ocs.payments.desk import CardFault, Refunded
from ocs.payments.gateway import GatewayRefusedError, Paid, Purpose, PurposeKind, TakenBack
from tests.property.accounts_machine import AccountsMachine
from tests.property.sides import Worker

PURPOSES: Final = (PurposeKind.TOP_UP, PurposeKind.AUTOMATIC_TOP_UP)
CENT: Final = 10**7


class PaymentsMachine(AccountsMachine):
    """Accounts that are paid for by card: the rules of a payment's life."""

    def __init__(self) -> None:
        super().__init__()
        self.payments: list[Paid] = []

    @rule(name=st.sampled_from(["A", "B", "R~C"]), kind=st.sampled_from(PURPOSES), minor=st.integers(1, 300), turn=st.integers(0, 1))  # fmt: skip
    def pay_by_card(self, name: str, kind: PurposeKind, minor: int, turn: int) -> None:
        """The gateway tells of a payment, twice as a rule."""
        paid = Paid(f"pi_{len(self.payments)}", Purpose(kind, name), "EUR", minor, self.clock())
        self.payments.append(paid)
        result = self._book(paid, turn)
        if result.status is RechargeStatus.APPLIED and kind is PurposeKind.TOP_UP:
            assert result.account is not None
            self.note_paid(result.account.account_id, minor * CENT)
        assert self._book(paid, turn + 1).status is not RechargeStatus.APPLIED

    @precondition(lambda self: self.payments)
    @rule(at=st.integers(0, 99), turn=st.integers(0, 1))
    def tell_of_a_payment_again(self, at: int, turn: int) -> None:
        """However long ago it was, and whatever has become of the account."""
        paid = self.pick(self.payments, at)
        was_booked = self.reference_of(paid) in self.references()
        result = self._book(paid, turn)
        assert not (was_booked and result.status is RechargeStatus.APPLIED), result
        if result.status is RechargeStatus.APPLIED and paid.purpose.kind is PurposeKind.TOP_UP:
            assert result.account is not None
            self.note_paid(result.account.account_id, paid.minor * CENT)

    @precondition(lambda self: self.payments)
    @rule(at=st.integers(0, 99), is_undone=st.booleans(), is_chargeback=st.booleans(), turn=st.integers(0, 1))
    def take_a_payment_back(self, at: int, is_undone: bool, is_chargeback: bool, turn: int) -> None:
        """The payer's bank, or somebody in the gateway's dashboard; it may come again, before we hear that it went."""
        paid = self.pick(self.payments, at)
        told = TakenBack(
            paid.payment, f"back_{paid.payment}_{is_chargeback}", "EUR", paid.minor, "why", paid.told_at_ms, is_chargeback, is_undone
        )  # fmt: skip
        self.loose |= {"A", "B", "R~C"}  # whatever is left of it: also where a merger has taken it
        once = lambda each: each.cards.take_back(paid.purpose.name, told)  # noqa: E731
        self.both(once, turn)
        assert self.both(once, turn + 1) is not RechargeStatus.APPLIED

    @precondition(lambda self: self.payments)
    @rule(at=st.integers(0, 99), minor=st.integers(1, 300), refuses=st.booleans(), turn=st.integers(0, 1))
    def give_a_payment_back(self, at: int, minor: int, refuses: bool, turn: int) -> None:
        """A shop's refund to the card, which the gateway may refuse: then the account has its money again."""
        paid, key = self.pick(self.payments, at), self.key()
        before = self.balances()

        async def refunded(each: Worker) -> Any:
            account = await each.desk.account(paid.purpose.name)
            assert account is not None
            try:
                return await each.cards.refund(account, paid.payment, minor, **key)
            except GatewayRefusedError as error:
                return str(error)

        self.sides.is_till_closed = refuses
        done = self.both(refunded, turn)
        self.sides.is_till_closed = False
        if isinstance(done, Refunded):
            assert done.taken.status is not RechargeStatus.APPLIED or done.refund_id
        elif not isinstance(done, CardFault):
            assert self.balances() == before, done
        if not refuses:
            again = self.both(refunded, turn + 1)
            assert not isinstance(again, Refunded) or again.taken.status is not RechargeStatus.APPLIED

    def references(self) -> set[str]:
        """Of all entries that there are."""
        return {entry.reference for entries in self.sides.entries.values() for entry in entries}

    def reference_of(self, paid: Paid) -> str:
        return self.sides.memory.cards.reference(paid.payment)

    def balances(self) -> dict[str, int]:
        """What is booked in each account, all buckets together."""
        accounts = self.sides.store.accounts.items()
        return {name: sum(bucket.balance for bucket in account.buckets) for name, account in accounts}

    def _book(self, paid: Paid, turn: int) -> RechargeResult:
        result = self.both(lambda each: each.cards.book(paid), turn)
        assert isinstance(result, RechargeResult)
        return result
