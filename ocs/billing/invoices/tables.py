"""The tables of invoicing. Amounts named ``_minor`` are in cents (or yen), all others are exact, at the currency's scale.

An invoice is a draft until it has a number; then nothing of it changes but what was paid. Which records it bills are
spans of the accounts' entry numbers: each span begins where the one before ended, so that no record can be on two
invoices, and none on none.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from ocs.billing.schema import AccountId, Moment, metadata

Name = Text(collation="C")

customer = Table(
    "customer",
    metadata,
    Column("customer_id", Name, primary_key=True),
    Column("legal_entity", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("address", JSONB, nullable=False),
    Column("country", Text, nullable=False),
    Column("tax_status", Text, nullable=False),
    Column("tax_id", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("cycle_day", Integer, nullable=False),
    Column("terms_days", Integer, nullable=False),
    Column("email", Text, nullable=False),
    Column("since", Date, nullable=False),
    Column("minimum_minor", BigInteger, nullable=False),
    Column("phone", Text, nullable=False, server_default=text("''")),
    Column("buyer_reference", Text, nullable=False, server_default=text("''")),
    Column("endpoint", Text, nullable=False, server_default=text("''")),
    Column("paid_by", Name, nullable=False, server_default=text("''")),
    Index("customer_site", "paid_by", postgresql_where=text("paid_by <> ''")),
    Column("created_at", Moment, nullable=False, server_default=func.now()),
)

# The first account of a customer is the one that pays: invoices and payments are booked there.
customer_account = Table(
    "customer_account",
    metadata,
    Column("account_id", AccountId, primary_key=True),
    Column("customer_id", Name, ForeignKey("customer.customer_id"), nullable=False),
    Column("place", Integer, nullable=False),
    UniqueConstraint("customer_id", "place", name="customer_account_place"),
)

# What is charged beside usage. months 0: once, on the first day; else in advance for each period of so many months.
charge = Table(
    "charge",
    metadata,
    Column("charge_id", Name, primary_key=True),
    Column("customer_id", Name, ForeignKey("customer.customer_id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("tax_code", Text, nullable=False),
    Column("months", Integer, nullable=False),
    Column("first", Date, nullable=False),
    Column("after", Date),
    Column("currency", Text, nullable=False, server_default=text("''")),
    CheckConstraint("months >= 0", name="charge_months"),
    Index("charge_customer", "customer_id"),
)

invoice = Table(
    "invoice",
    metadata,
    Column("invoice_id", BigInteger, primary_key=True),
    Column("customer_id", Name, ForeignKey("customer.customer_id"), nullable=False),
    Column("legal_entity", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("number", Text),
    Column("currency", Text, nullable=False),
    Column("minor_unit", BigInteger, nullable=False),  # how many exact units a cent has
    Column("first", Date, nullable=False),
    Column("after", Date, nullable=False),
    Column("issued_on", Date),
    Column("due_on", Date),
    Column("net_minor", BigInteger, nullable=False),
    Column("tax_minor", BigInteger, nullable=False),
    Column("total_minor", BigInteger, nullable=False),
    Column("paid_minor", BigInteger, nullable=False, server_default=text("0")),
    Column("residue", BigInteger, nullable=False),
    Column("debited", BigInteger, nullable=False),
    Column("corrects", BigInteger, ForeignKey("invoice.invoice_id")),
    Column("supplements", BigInteger, ForeignKey("invoice.invoice_id")),  # that one's spans hold its late records
    Column("reason", Text, nullable=False, server_default=text("''")),
    Column("taxes", JSONB, nullable=False),
    Column("parties", JSONB),  # issuer and customer as they were when it was issued
    Column("is_booked", Boolean, nullable=False, server_default=text("false")),
    Column("sent_on", Date),
    Column("request_key", Text),  # whoever asks for a credit note names the wish: said again, it is the same note
    Column("is_disputed", Boolean, nullable=False, server_default=text("false")),
    Column("reviewed_by", Text, nullable=False, server_default=text("''")),
    Column("reviewed_at", Moment),
    Column("held_by", Text, nullable=False, server_default=text("''")),
    Column("held_reason", Text, nullable=False, server_default=text("''")),  # empty: it is not held
    Column("reopened_on", Date),  # what had paid it was taken back on that day: dunning counts from there
    Column("created_at", Moment, nullable=False, server_default=func.now()),
    UniqueConstraint("legal_entity", "number", name="invoice_number"),
    UniqueConstraint("request_key", name="invoice_request_key"),
    CheckConstraint("(state = 'draft') = (number IS NULL)", name="invoice_numbered_when_issued"),
    Index("invoice_customer", "customer_id", "invoice_id"),
    Index("invoice_supplements", "supplements", postgresql_where=text("supplements IS NOT NULL")),
    Index("invoice_unbooked", "invoice_id", postgresql_where=text("NOT is_booked AND number IS NOT NULL")),
    Index(
        "invoice_open",
        "currency",
        "due_on",
        "invoice_id",
        postgresql_where=text("kind = 'invoice' AND state = 'issued'"),
    ),
)

invoice_line = Table(
    "invoice_line",
    metadata,
    Column("invoice_id", BigInteger, ForeignKey("invoice.invoice_id", ondelete="CASCADE"), primary_key=True),
    Column("line_number", Integer, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("account_id", AccountId, nullable=False),
    Column("charge_id", Name, nullable=False),
    Column("service", Text, nullable=False),
    Column("destination", Text, nullable=False),
    Column("records", BigInteger, nullable=False),
    Column("used", BigInteger, nullable=False),
    Column("unit", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("included_rate", Integer, nullable=False),
    Column("is_debited", Boolean, nullable=False),
    Column("tax_code", Text, nullable=False),
    Column("rate", Integer, nullable=False),
    Column("net_minor", BigInteger, nullable=False),
    Column("first", Date, nullable=False),
    Column("after", Date, nullable=False),
    Column("source_currency", Text, nullable=False, server_default=text("''")),
    Column("source_amount", BigInteger, nullable=False, server_default=text("0")),
    Column("exchange", Text, nullable=False, server_default=text("''")),
    Index("invoice_line_charge", "charge_id", postgresql_where=text("charge_id <> ''")),
)

invoice_span = Table(
    "invoice_span",
    metadata,
    Column("account_id", AccountId, primary_key=True),
    Column("after_entry", BigInteger, primary_key=True, autoincrement=False),
    Column("last_entry", BigInteger, nullable=False),
    Column("invoice_id", BigInteger, ForeignKey("invoice.invoice_id", ondelete="CASCADE"), nullable=False),
    CheckConstraint("last_entry >= after_entry", name="invoice_span_forward"),
    UniqueConstraint("account_id", "last_entry", name="invoice_span_end"),
    Index("invoice_span_invoice", "invoice_id"),
)

# What a void invoice had billed: other invoices bear it now, its annex lists it still.
void_span = Table(
    "void_span",
    metadata,
    Column("invoice_id", BigInteger, ForeignKey("invoice.invoice_id"), primary_key=True),
    Column("account_id", AccountId, primary_key=True),
    Column("after_entry", BigInteger, nullable=False),
    Column("last_entry", BigInteger, nullable=False),
)

invoice_counter = Table(
    "invoice_counter",
    metadata,
    Column("legal_entity", Text, primary_key=True),
    Column("series", Text, primary_key=True),
    Column("year", Integer, primary_key=True, autoincrement=False),
    Column("last", BigInteger, nullable=False),
)

payment = Table(
    "payment",
    metadata,
    Column("payment_id", BigInteger, primary_key=True),
    Column("customer_id", Name, ForeignKey("customer.customer_id"), nullable=False),
    Column("method", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("minor_unit", BigInteger, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("received_on", Date, nullable=False),
    Column("reversed_on", Date),
    Column("is_booked", Boolean, nullable=False, server_default=text("false")),
    Column("created_at", Moment, nullable=False, server_default=func.now()),
    UniqueConstraint("method", "reference", name="payment_reference"),
    Index("payment_customer", "customer_id", "payment_id"),
    Index("payment_amount", "amount_minor", "payment_id"),
)

allocation = Table(
    "allocation",
    metadata,
    Column("payment_id", BigInteger, ForeignKey("payment.payment_id"), primary_key=True),
    Column("invoice_id", BigInteger, ForeignKey("invoice.invoice_id"), primary_key=True),
    Column("amount_minor", BigInteger, nullable=False),
    Index("allocation_invoice", "invoice_id"),
)

# How bill runs get on, for whoever asks: a run itself asks nothing of it.
bill_run = Table(
    "bill_run",
    metadata,
    Column("run_id", BigInteger, primary_key=True),
    Column("until", Date, nullable=False),
    Column("is_issuing", Boolean, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'running'")),
    Column("customers", BigInteger, nullable=False, server_default=text("0")),
    Column("drafts", BigInteger, nullable=False, server_default=text("0")),
    Column("waiting", JSONB, nullable=False, server_default=text("'[]'")),
    Column("failed", JSONB, nullable=False, server_default=text("'{}'")),
    Column("began_at", Moment, nullable=False, server_default=func.now()),
    Column("heard_at", Moment, nullable=False, server_default=func.now()),
    Column("ended_at", Moment),
    Column("payers", BigInteger, nullable=False, server_default=text("0")),
    Column("issued", BigInteger, nullable=False, server_default=text("0")),
)

# What was done about an invoice that is not paid: each step once.
dunning_action = Table(
    "dunning_action",
    metadata,
    Column("invoice_id", BigInteger, ForeignKey("invoice.invoice_id"), primary_key=True),
    Column("step", Text, primary_key=True),
    Column("done_on", Date, nullable=False),
    Column("text", Text, nullable=False),
)

# What a customer's accounts are blocked by; turn counts the changes, and names each one's operation.
dunning_standing = Table(
    "dunning_standing",
    metadata,
    Column("customer_id", Name, ForeignKey("customer.customer_id"), primary_key=True),
    Column("block", Text, nullable=False, server_default=text("''")),
    Column("turn", BigInteger, nullable=False, server_default=text("0")),
    Column("is_carried_out", Boolean, nullable=False, server_default=text("true")),
    Column("is_exempt", Boolean, nullable=False, server_default=text("false")),
    Column("promised_until", Date),
)

# Entries of bank statements, by the bank's own name on each account; payment_id is what one was booked as, or took back.
bank_entry = Table(
    "bank_entry",
    metadata,
    Column("entry_id", BigInteger, primary_key=True),
    Column("iban", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("booked_on", Date, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("party", Text, nullable=False),
    Column("party_iban", Text, nullable=False),
    Column("references", ARRAY(Text), nullable=False),
    Column("is_return", Boolean, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'open'")),
    Column("payment_id", BigInteger, ForeignKey("payment.payment_id")),
    Column("note", Text, nullable=False, server_default=text("''")),
    UniqueConstraint("iban", "reference", name="bank_entry_reference"),
    Index("bank_entry_open", "booked_on", "entry_id", postgresql_where=text("state = 'open'")),
    Index("bank_entry_party", "party_iban"),
)

# Money that was given back to a customer: out of what he had paid in excess, payment by payment.
refund = Table(
    "refund",
    metadata,
    Column("refund_id", BigInteger, primary_key=True),
    Column("customer_id", Name, ForeignKey("customer.customer_id"), nullable=False),
    Column("method", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("minor_unit", BigInteger, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("paid_on", Date, nullable=False),
    Column("is_booked", Boolean, nullable=False, server_default=text("false")),
    UniqueConstraint("method", "reference", name="refund_reference"),
    Index("refund_customer", "customer_id"),
)

refund_part = Table(
    "refund_part",
    metadata,
    Column("refund_id", BigInteger, ForeignKey("refund.refund_id"), primary_key=True),
    Column("payment_id", BigInteger, ForeignKey("payment.payment_id"), primary_key=True),
    Column("amount_minor", BigInteger, nullable=False),
    Index("refund_part_payment", "payment_id"),
)

# What people note about a customer, with or without a file: a contract, a letter.
customer_note = Table(
    "customer_note",
    metadata,
    Column("note_id", BigInteger, primary_key=True),
    Column("customer_id", Name, ForeignKey("customer.customer_id"), nullable=False),
    Column("at", Moment, nullable=False, server_default=func.now()),
    Column("actor", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("file_name", Text, nullable=False, server_default=text("''")),
    Column("content", LargeBinary),
    Index("customer_note_customer", "customer_id", "note_id"),
)
