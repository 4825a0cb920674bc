"""Stripe's words and ours: purposes as metadata, what a failed charge means, what an event says. Pure.

A decline is final where the schemes forbid to try again (Visa's category 1, Mastercard's advice codes 03 and 21, and the
SEPA rulebook's R-transactions but those for lack of money) or where the same try without the payer cannot do better.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ocs.payments.gateway import (
    Charged,
    ChargeState,
    MethodAdded,
    MethodChanged,
    MethodGone,
    MethodKind,
    NotPaid,
    Owner,
    OwnerKind,
    Paid,
    Purpose,
    PurposeKind,
    StoredMethod,
    TakenBack,
    Told,
)

KEY: Final = "ocs_key"
PURPOSE, NAME, NUMBER = "ocs_purpose", "ocs_name", "ocs_number"
OWNER_KIND, OWNER_ID = "ocs_owner_kind", "ocs_owner"
ACCOUNT: Final = "account_id"  # stands alone on payments that were begun before purposes were kept

TYPES: Final[Mapping[MethodKind, str]] = {MethodKind.CARD: "card", MethodKind.DIRECT_DEBIT: "sepa_debit"}
KINDS: Final = {word: kind for kind, word in TYPES.items()}
STATES: Final[Mapping[str, ChargeState]] = {
    "succeeded": ChargeState.PAID,
    "processing": ChargeState.PENDING,
    "requires_capture": ChargeState.PENDING,
}
"""Of a PaymentIntent that was confirmed off-session; in every other state it waits for a payer who is not there."""

SOFT: Final = frozenset({
    "insufficient_funds", "processing_error", "try_again_later", "issuer_not_available", "reenter_transaction",
    "approve_with_id", "call_issuer", "card_velocity_exceeded", "withdrawal_count_limit_exceeded", "generic_decline",
    "do_not_honor", "service_not_allowed", "no_action_taken", "card_declined", "charge_exceeds_source_limit",
    "generic_could_not_process", "refer_to_customer", "bank_cannot_process",
})  # fmt: skip
"""Everything that is not certain to fail again; whatever is not in here is final, so that an unknown word costs no fees."""

REFUND_EVENTS: Final = frozenset({"refund.created", "refund.updated", "refund.failed", "charge.refund.updated"})
UNDONE: Final = frozenset({"failed", "canceled"})
DISPUTE_EVENTS: Final = {"charge.dispute.funds_withdrawn": False, "charge.dispute.funds_reinstated": True}
METHOD_EVENTS: Final = frozenset({"payment_method.updated", "payment_method.automatically_updated"})
PAID_CHECKOUTS: Final = frozenset({"checkout.session.completed", "checkout.session.async_payment_succeeded"})


def metadata_of(purpose: Purpose) -> dict[str, str]:
    return {PURPOSE: purpose.kind.value, NAME: purpose.name, NUMBER: str(purpose.number)}


def purpose_in(metadata: Mapping[str, str] | None) -> Purpose | None:
    """None: others may use this account of Stripe, too."""
    metadata = metadata or {}
    if metadata.get(PURPOSE) in {kind.value for kind in PurposeKind}:
        return Purpose(PurposeKind(metadata[PURPOSE]), metadata[NAME], int(metadata[NUMBER]))
    return Purpose(PurposeKind.TOP_UP, metadata[ACCOUNT]) if ACCOUNT in metadata else None


def charged(intent: Mapping[str, Any]) -> Charged:
    """What a PaymentIntent says of a charge."""
    state = STATES.get(intent["status"], ChargeState.FAILED)
    if state is not ChargeState.FAILED:
        return Charged(intent["id"], state)
    error = intent.get("last_payment_error") or {}
    code = error.get("decline_code") or error.get("code") or intent.get("cancellation_reason") or intent["status"]
    advice = error.get("advice_code") or "try_again_later"
    return Charged(intent["id"], state, code, code not in SOFT or advice != "try_again_later")


def stored(method: Mapping[str, Any]) -> StoredMethod | None:
    """What is kept of a method; None for one that we cannot charge."""
    kind = KINDS.get(method["type"])
    if kind is None or not method.get("customer"):
        return None
    facts = method[method["type"]]
    expires = f"{facts['exp_year']:04d}-{facts['exp_month']:02d}" if kind is MethodKind.CARD else ""
    brand = facts["brand"] if kind is MethodKind.CARD else f"SEPA {facts.get('country') or ''}".strip()
    return StoredMethod(method["id"], method["customer"], kind, brand, facts["last4"], expires)


def told(kind: str, thing: Mapping[str, Any], created_s: int) -> Told | None:
    """What an event of this type says; None: nothing that concerns us."""
    at_ms = created_s * 1000
    if kind in PAID_CHECKOUTS:
        return _checkout(thing, at_ms)
    if kind == "payment_intent.succeeded":
        purpose = purpose_in(thing.get("metadata"))
        return _paid(thing["id"], purpose, thing["currency"], thing["amount_received"], at_ms)
    if kind == "payment_intent.payment_failed":
        purpose = purpose_in(thing.get("metadata"))
        return NotPaid(purpose, charged(thing)) if purpose is not None else None
    if kind == "setup_intent.succeeded":
        metadata = thing.get("metadata") or {}
        if metadata.get(OWNER_KIND) not in {each.value for each in OwnerKind}:
            return None
        return MethodAdded(str(thing["payment_method"]), Owner(OwnerKind(metadata[OWNER_KIND]), metadata[OWNER_ID]))
    if kind in METHOD_EVENTS:
        return MethodChanged(thing["id"])
    if kind == "payment_method.detached":
        return MethodGone(thing["id"])
    return _taken_back(kind, thing, at_ms)


def _checkout(session: Mapping[str, Any], at_ms: int) -> Paid | None:
    # A bank debit completes the checkout days before it is paid; and others may use this account of Stripe, too.
    if session.get("payment_status") != "paid" or not session.get("payment_intent"):
        return None
    purpose = purpose_in(session.get("metadata"))
    return _paid(session["payment_intent"], purpose, session["currency"], session["amount_total"], at_ms)


def _paid(payment: str, purpose: Purpose | None, currency: str, minor: int, at_ms: int) -> Paid | None:
    return Paid(payment, purpose, currency.upper(), int(minor), at_ms) if purpose is not None else None


def _taken_back(kind: str, thing: Mapping[str, Any], at_ms: int) -> TakenBack | None:
    is_chargeback = kind in DISPUTE_EVENTS
    if not thing.get("payment_intent") or not (is_chargeback or kind in REFUND_EVENTS):
        return None
    is_undone = DISPUTE_EVENTS[kind] if is_chargeback else thing.get("status") in UNDONE
    return TakenBack(
        payment=str(thing["payment_intent"]),
        reference=str(thing["id"]),
        currency=str(thing["currency"]).upper(),
        minor=int(thing["amount"]),
        why=str(thing.get("reason") or ""),
        told_at_ms=at_ms,
        is_chargeback=is_chargeback,
        is_undone=is_undone,
        our_key=(thing.get("metadata") or {}).get(KEY, ""),
    )
