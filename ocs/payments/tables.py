"""The tables of this room, as SQLAlchemy Core sees them; the migrations make them, a test holds both equal.

No card number and no IBAN: the gateway's ids, and what people know a method by.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from ocs.billing.schema import AccountId, Moment, metadata

Name = Text(collation="C")
IS_OPEN = "state IN ('charging', 'pending')"

# Who pays by stored methods, and the gateway's name for them. ``collect``: by what a customer's invoices are collected.
payer = Table(
    "payer",
    metadata,
    Column("owner_kind", Text, primary_key=True),
    Column("owner_id", Name, primary_key=True),
    Column("payer", Text, nullable=False, server_default=text("''")),
    Column("collect", Text, nullable=False, server_default=text("''")),
    CheckConstraint("collect IN ('', 'card', 'direct_debit')", name="payer_collect_known"),
)

payment_method = Table(
    "payment_method",
    metadata,
    Column("method_id", Name, primary_key=True),
    Column("owner_kind", Text, nullable=False),
    Column("owner_id", Name, nullable=False),
    Column("payer", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("brand", Text, nullable=False),
    Column("last4", Text, nullable=False),
    Column("expires", Text, nullable=False, server_default=text("''")),
    Column("is_default", Boolean, nullable=False, server_default=text("false")),
    Column("added_at", Moment, nullable=False, server_default=func.now()),
    Index("payment_method_owner", "owner_kind", "owner_id"),
    Index("payment_method_default", "owner_kind", "owner_id", unique=True, postgresql_where=text("is_default")),
)

# The rule of an account; its threshold is the account's own, where the charging path sees it.
automatic_top_up = Table(
    "automatic_top_up",
    metadata,
    Column("account_id", AccountId, primary_key=True),
    Column("currency", Text, nullable=False),
    Column("minor", BigInteger, nullable=False),
    Column("method_id", Text, nullable=False),
    Column("per_day", Integer, nullable=False),
    Column("per_month", Integer, nullable=False),
    Column("most_per_day_minor", BigInteger, nullable=False),
    Column("most_per_month_minor", BigInteger, nullable=False),
    Column("why_stopped", Text, nullable=False, server_default=text("''")),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    Column("not_before", Moment, nullable=False, server_default=func.now()),
)

# Written with the journal, in its transaction: accounts with a rule whose money has changed, by the entry that says so.
automatic_top_up_look = Table(
    "automatic_top_up_look",
    metadata,
    Column("account_id", AccountId, primary_key=True),
    Column("entry_number", BigInteger, primary_key=True, autoincrement=False),
)

# What is asked of the gateway, written before it is asked. ``cause`` is the entry that found an account low.
gateway_charge = Table(
    "gateway_charge",
    metadata,
    Column("charge_id", BigInteger, primary_key=True),
    Column("purpose", Text, nullable=False),
    Column("name", Name, nullable=False),
    Column("cause", BigInteger, nullable=False, server_default=text("0")),
    Column("invoice_id", BigInteger, ForeignKey("invoice.invoice_id")),
    Column("currency", Text, nullable=False),
    Column("minor", BigInteger, nullable=False),
    Column("payer", Text, nullable=False),
    Column("method_id", Text, nullable=False),
    Column("method_kind", Text, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'charging'")),
    Column("payment", Text, nullable=False, server_default=text("''")),
    Column("why", Text, nullable=False, server_default=text("''")),
    Column("is_final", Boolean, nullable=False, server_default=text("false")),
    Column("tries", Integer, nullable=False, server_default=text("0")),
    Column("due_at", Moment, nullable=False),
    Column("made_at", Moment, nullable=False),
    Column("ended_at", Moment),
    CheckConstraint(
        "state IN ('charging', 'pending', 'paid', 'failed', 'unbooked', 'taken_back')",
        name="gateway_charge_state_known",
    ),
    Index("gateway_charge_due", "due_at", postgresql_where=text(IS_OPEN)),
    Index("gateway_charge_name", "purpose", "name", "made_at"),
    Index("gateway_charge_payment", "payment"),
    Index("gateway_charge_cause", "name", "cause", unique=True, postgresql_where=text("purpose = 'automatic_top_up'")),
    Index(
        "gateway_charge_account_open",
        "name",
        unique=True,
        postgresql_where=text(f"purpose = 'automatic_top_up' AND {IS_OPEN}"),
    ),
    Index("gateway_charge_invoice", "invoice_id"),
    Index("gateway_charge_invoice_open", "invoice_id", unique=True, postgresql_where=text(IS_OPEN)),
)

# What is given back of a payment, written with the refund that takes it from the payment. ``key`` is the caller's,
# ``reference`` the gateway's; ``invoices`` are those that the payment had paid, ``refund_id`` goes if it is refused.
gateway_refund = Table(
    "gateway_refund",
    metadata,
    Column("gateway_refund_id", BigInteger, primary_key=True),
    Column("payment_id", BigInteger, ForeignKey("payment.payment_id"), nullable=False),
    Column("key", Name, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'asking'")),
    Column("refund_id", BigInteger, ForeignKey("refund.refund_id")),
    Column("invoices", ARRAY(BigInteger), nullable=False),
    Column("reference", Text, nullable=False, server_default=text("''")),
    Column("why", Text, nullable=False, server_default=text("''")),
    Column("due_at", Moment, nullable=False),
    Column("made_at", Moment, nullable=False),
    Column("ended_at", Moment),
    UniqueConstraint("key", name="gateway_refund_key"),
    CheckConstraint("state IN ('asking', 'given', 'booked', 'refused')", name="gateway_refund_state_known"),
    Index("gateway_refund_due", "due_at", postgresql_where=text("state IN ('asking', 'given')")),
    Index("gateway_refund_payment", "payment_id"),
    Index("gateway_refund_refund", "refund_id"),
)
