"""What is asked of the gateway, in PostgreSQL: written down before it is asked, and noted when its end is known.

    charging ──► paid            the money is where it belongs
        │   └──► failed
        ├──► pending ──► paid, failed    a direct debit takes days; the gateway tells, or is asked once a day
        └──► unbooked     paid, and the account does not take it: a person has to know
    paid ──► taken_back   by the payer's bank, or given back by us; paid again where the gateway refuses that

Any number of workers claims. A claim is a lease, so that what a dead worker had in hand is taken up by another one, who asks
for the same under the same key: it is done once.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final, NamedTuple

import msgspec

from ocs.billing.moments import milliseconds, moment
from ocs.payments.automatic import Past
from ocs.payments.gateway import Charge, Charged, ChargeState, MethodKind, Purpose, PurposeKind
from ocs.payments.methods import Method

LEASE_MS: Final = 120_000
"""Longer than the gateway's library tries."""
ASK_AGAIN_MS: Final = 86_400_000
GIVEN_BACK: Final = "given back"


class KeptCharge(msgspec.Struct, frozen=True, kw_only=True):
    """``cause``: the entry that found the account low; ``invoice_id``: what is collected. ``tries`` counts this one."""

    charge_id: int
    purpose: PurposeKind
    name: str
    cause: int
    invoice_id: int | None
    currency: str
    minor: int
    payer: str
    method_id: str
    method_kind: MethodKind
    state: str
    payment: str
    why: str
    is_final: bool
    tries: int
    made_at_ms: int
    ended_at_ms: int

    @property
    def key(self) -> str:
        """Names the wish at the gateway, by its cause: whoever wishes it again for the same cause gets the same payment."""
        if self.purpose is PurposeKind.AUTOMATIC_TOP_UP:
            return f"automatic:{self.name}:{self.cause}"
        return f"invoice:{self.invoice_id}:{self.charge_id}"

    @property
    def asked(self) -> Charge:
        purpose = Purpose(self.purpose, self.name, self.charge_id)
        return Charge(purpose, self.payer, self.method_id, self.method_kind, self.currency, self.minor)


class Wish(NamedTuple):
    """A charge to be: for an account, with the entry that is its cause; or for an invoice of a customer."""

    purpose: PurposeKind
    name: str
    currency: str
    minor: int
    cause: int = 0
    invoice_id: int | None = None


_ADD: Final = """
    INSERT INTO gateway_charge
        (purpose, name, currency, minor, cause, invoice_id, payer, method_id, method_kind, due_at, made_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10) ON CONFLICT DO NOTHING RETURNING charge_id
"""
_CLAIM: Final = """
    UPDATE gateway_charge SET due_at = $2, tries = tries + 1
    WHERE charge_id = (
        SELECT charge_id FROM gateway_charge WHERE state IN ('charging', 'pending') AND due_at <= $1 AND purpose = ANY($3)
        ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED
    ) RETURNING *
"""
_END: Final = """
    UPDATE gateway_charge SET state = $2, payment = $3, why = $4, is_final = $5, due_at = $6, ended_at = $7
    WHERE charge_id = $1 AND state IN ('charging', 'pending')
"""


async def add(connection: Any, wish: Wish, method: Method, now_ms: int) -> int | None:
    """Write a wish down; None: its cause has one already, or one is under way."""
    found: int | None = await connection.fetchval(
        _ADD, wish.purpose.value, wish.name, wish.currency, wish.minor, wish.cause, wish.invoice_id, method.payer,
        method.method_id, method.kind.value, moment(now_ms),
    )  # fmt: skip
    return found


async def claim(
    connection: Any, now_ms: int, purposes: Collection[PurposeKind] = tuple(PurposeKind)
) -> KeptCharge | None:
    """One that is due, for us alone until the lease is over."""
    wanted = [each.value for each in purposes]
    row = await connection.fetchrow(_CLAIM, moment(now_ms), moment(now_ms + LEASE_MS), wanted)
    return _charge(row) if row is not None else None


async def find(connection: Any, charge_id: int, *, is_held: bool = False) -> KeptCharge | None:
    """``is_held``: nobody else ends it before our transaction is over."""
    end = " FOR UPDATE" if is_held else ""
    row = await connection.fetchrow(
        f"SELECT * FROM gateway_charge WHERE charge_id = $1{end}",  # noqa: S608 - words of our own
        charge_id,
    )
    return _charge(row) if row is not None else None


async def note(connection: Any, charge: KeptCharge, charged: Charged, now_ms: int, *, is_booked: bool = True) -> bool:
    """Note what became of it; False: somebody has noted its end before."""
    is_open = charged.state is ChargeState.PENDING
    state = charged.state.value if is_booked else "unbooked"
    due_ms, ended = now_ms + ASK_AGAIN_MS, None if is_open else moment(now_ms)
    status: str = await connection.execute(
        _END, charge.charge_id, state, charged.payment, charged.why, charged.is_final, moment(due_ms), ended
    )
    return status.endswith("1")


async def note_taken_back(connection: Any, payment: str, why: str, *, is_final: bool) -> KeptCharge | None:
    """The payer's bank has taken back what was paid; None: it was none of ours."""
    row = await connection.fetchrow(
        "UPDATE gateway_charge SET state = 'taken_back', why = $2, is_final = $3 WHERE payment = $1 RETURNING *",
        payment,
        why,
        is_final,
    )
    return _charge(row) if row is not None else None


async def note_given_back(connection: Any, payment: str) -> None:
    """We give something of it back, on purpose: what is open by that is not collected."""
    await connection.execute(
        "UPDATE gateway_charge SET state = 'taken_back', why = $2, is_final = true WHERE payment = $1 AND state = 'paid'",
        payment,
        GIVEN_BACK,
    )


async def note_kept(connection: Any, payment: str, payment_id: int) -> None:
    """It was not given back after all, and nothing else of it was."""
    await connection.execute(
        "UPDATE gateway_charge SET state = 'paid', why = '', is_final = false "
        "WHERE payment = $1 AND state = 'taken_back' AND why = $2 AND NOT EXISTS "
        "(SELECT 1 FROM gateway_refund g WHERE g.payment_id = $3 AND g.state <> 'refused')",
        payment, GIVEN_BACK, payment_id,
    )  # fmt: skip


async def past_of(connection: Any, account_id: str, since_ms: int) -> list[Past]:
    """The account's automatic top-ups that were paid or are under way, the oldest first."""
    rows = await connection.fetch(
        "SELECT made_at, minor FROM gateway_charge "
        "WHERE purpose = 'automatic_top_up' AND name = $1 AND made_at >= $2 AND state <> 'failed' ORDER BY made_at",
        account_id,
        moment(since_ms),
    )
    return [Past(milliseconds(row["made_at"]), row["minor"]) for row in rows]


async def charges_of(
    connection: Any, purpose: PurposeKind, name: str = "", invoice_id: int | None = None, limit: int = 100
) -> list[KeptCharge]:
    """The newest first; of an account, a customer or an invoice."""
    rows = await connection.fetch(
        "SELECT * FROM gateway_charge WHERE purpose = $1 AND ($2 = '' OR name = $2) AND ($3::bigint IS NULL OR invoice_id = $3) "
        "ORDER BY made_at DESC, charge_id DESC LIMIT $4",
        purpose.value,
        name,
        invoice_id,
        limit,
    )
    return [_charge(row) for row in rows]


def _charge(row: Any) -> KeptCharge:
    values = {name: row[name] for name in KeptCharge.__struct_fields__ if not name.endswith("_ms")}
    values |= {"purpose": PurposeKind(row["purpose"]), "method_kind": MethodKind(row["method_kind"])}
    ended_ms = milliseconds(row["ended_at"]) if row["ended_at"] is not None else 0
    return KeptCharge(**values, made_at_ms=milliseconds(row["made_at"]), ended_at_ms=ended_ms)
