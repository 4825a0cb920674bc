"""What we ask of a payment gateway. The payer types the card at the gateway; we see amounts and references only."""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import NamedTuple, Protocol, TypeAlias


class GatewayRefusedError(Exception):
    """The gateway works and will not do it; the text says why. Nothing was paid or given back."""


class SignatureError(Exception):
    """A message that claims to be the gateway's is not, or is an old one; it changes nothing."""


class OwnerKind(StrEnum):
    """Who pays by a stored method: a prepaid account, or a customer who gets invoices."""

    ACCOUNT = "account"
    CUSTOMER = "customer"


class Owner(NamedTuple):
    kind: OwnerKind
    owner_id: str


class MethodKind(StrEnum):
    CARD = "card"
    DIRECT_DEBIT = "direct_debit"  # SEPA, with a mandate


class StoredMethod(NamedTuple):
    """A method as the gateway keeps it: its id and what people know it by. ``expires`` is a month, "2027-04", or empty."""

    method_id: str
    payer: str
    kind: MethodKind
    brand: str
    last4: str
    expires: str = ""


class PurposeKind(StrEnum):
    TOP_UP = "top_up"
    AUTOMATIC_TOP_UP = "automatic_top_up"
    INVOICE = "invoice"


class Purpose(NamedTuple):
    """What a payment is for; the gateway keeps it with the payment, so that no message of it depends on our memory.

    ``name`` is the account (of a top-up) or the customer; ``number`` that of our own charge, 0 where there is none.
    """

    kind: PurposeKind
    name: str
    number: int = 0


class Checkout(NamedTuple):
    """Where the payer goes to pay, or to store a method."""

    checkout_id: str
    url: str


class Charge(NamedTuple):
    """So much is to be taken by a stored method, without the payer being there."""

    purpose: Purpose
    payer: str
    method_id: str
    kind: MethodKind
    currency: str
    minor: int


class ChargeState(Enum):
    PAID = "paid"
    PENDING = "pending"  # a direct debit takes days
    FAILED = "failed"


class Charged(NamedTuple):
    """What became of a charge. ``is_final``: the scheme's rules forbid to try this method again."""

    payment: str
    state: ChargeState
    why: str = ""
    is_final: bool = False


class Paid(NamedTuple):
    """The gateway says that this was paid. ``payment`` is its id for ever; ``told_at_ms``: when it first said so."""

    payment: str
    purpose: Purpose
    currency: str
    minor: int
    told_at_ms: int


class NotPaid(NamedTuple):
    """A charge of ours has failed after all."""

    purpose: Purpose
    charged: Charged


class MethodAdded(NamedTuple):
    """A payer has stored a method, and may be charged by it from now on."""

    method_id: str
    owner: Owner


class MethodChanged(NamedTuple):
    """Its bank or its owner has given it another expiry, or another number."""

    method_id: str


class MethodGone(NamedTuple):
    method_id: str


class TakenBack(NamedTuple):
    """Money of a payment went back: by a refund in the gateway's dashboard, or because the payer's bank has taken it.

    ``reference`` is the gateway's name of this; ``is_undone``: it came again (a refund failed, a dispute was won).
    ``our_key`` is the key of a refund that we asked for ourselves.
    """

    payment: str
    reference: str
    currency: str
    minor: int
    why: str
    told_at_ms: int
    is_chargeback: bool
    is_undone: bool = False
    our_key: str = ""


Told: TypeAlias = Paid | NotPaid | MethodAdded | MethodChanged | MethodGone | TakenBack
"""Whatever a message of the gateway may say."""


class Gateway(Protocol):
    """``minor`` is in the currency's smallest coin (cents), ISO 4217.

    All calls but ``read`` raise GatewayRefusedError when it is certain that nothing was done, BackendUnavailable when it
    is not: then they are repeated with the same key, and done once.
    """

    @property
    def name(self) -> str:
        """Who stands as the actor in the journal, and before the ids of payments."""

    async def start_checkout(self, account_id: str, currency: str, minor: int, *, key: str) -> Checkout:
        """Begin a payment of the account."""

    async def refund(self, payment: str, minor: int, *, key: str) -> str:
        """Give back a part of a payment; the refund's id."""

    async def new_payer(self, owner: Owner) -> str:
        """The gateway's name for who will pay; the same one for a repeat."""

    async def start_setup(
        self, owner: Owner, payer: str, currency: str, kinds: frozenset[MethodKind], *, key: str
    ) -> Checkout:
        """Let a payer store a method: a card, or a direct debit with its mandate."""

    async def method(self, method_id: str) -> StoredMethod | None:
        """A stored method as it is now; None: it is gone."""

    async def forget_method(self, method_id: str) -> None:
        """Charge nothing by it any more. One that is gone already is no fault."""

    async def charge(self, charge: Charge, *, key: str, is_repeat: bool) -> Charged:
        """Take money now. ``is_repeat``: it may have been asked for before, however long ago."""

    async def find_charge(self, payment: str) -> Charged:
        """What has become of a charge that was pending."""

    async def purpose_of(self, payment: str) -> Purpose | None:
        """What a payment was for; None: it is none of ours."""

    def read(self, body: bytes, signature: str) -> Told | None:
        """Read a message of the gateway; None: it says nothing that concerns us. Raises SignatureError."""
