"""What we ask of a payment gateway. The payer types the card at the gateway; we see amounts and references only."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class GatewayRefusedError(Exception):
    """The gateway works and will not do it; the text says why. Nothing was paid or given back."""


class SignatureError(Exception):
    """A message that claims to be the gateway's is not, or is an old one; it changes nothing."""


class Checkout(NamedTuple):
    """Where the payer goes to pay."""

    checkout_id: str
    url: str


class Paid(NamedTuple):
    """The gateway says that this was paid. ``payment`` is its id for ever; ``told_at_ms``: when it first said so."""

    payment: str
    account_id: str
    currency: str
    minor: int
    told_at_ms: int


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

    def read(self, body: bytes, signature: str) -> Paid | None:
        """Read a message of the gateway; None: nothing was paid by it. Raises SignatureError."""
