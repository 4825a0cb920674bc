"""Entries of bank statements, and money that was given back."""

from __future__ import annotations

from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

TABLES = (
    """
    CREATE TABLE bank_entry (
        entry_id bigserial PRIMARY KEY,
        iban text NOT NULL,
        reference text NOT NULL,
        booked_on date NOT NULL,
        amount_minor bigint NOT NULL,
        currency text NOT NULL,
        party text NOT NULL,
        party_iban text NOT NULL,
        "references" text[] NOT NULL,
        is_return boolean NOT NULL,
        state text DEFAULT 'open' NOT NULL,
        payment_id bigint REFERENCES payment (payment_id),
        note text DEFAULT '' NOT NULL,
        CONSTRAINT bank_entry_reference UNIQUE (iban, reference)
    )
    """,
    "CREATE INDEX bank_entry_open ON bank_entry (booked_on, entry_id) WHERE state = 'open'",
    "CREATE INDEX bank_entry_party ON bank_entry (party_iban)",
    """
    CREATE TABLE refund (
        refund_id bigserial PRIMARY KEY,
        customer_id text COLLATE "C" NOT NULL REFERENCES customer (customer_id),
        method text NOT NULL,
        reference text NOT NULL,
        currency text NOT NULL,
        minor_unit bigint NOT NULL,
        amount_minor bigint NOT NULL,
        paid_on date NOT NULL,
        is_booked boolean DEFAULT false NOT NULL,
        CONSTRAINT refund_reference UNIQUE (method, reference)
    )
    """,
    "CREATE INDEX refund_customer ON refund (customer_id)",
    """
    CREATE TABLE refund_part (
        refund_id bigint NOT NULL REFERENCES refund (refund_id),
        payment_id bigint NOT NULL REFERENCES payment (payment_id),
        amount_minor bigint NOT NULL,
        PRIMARY KEY (refund_id, payment_id)
    )
    """,
    "CREATE INDEX refund_part_payment ON refund_part (payment_id)",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)


def downgrade() -> None:
    for name in ("refund_part", "refund", "bank_entry"):
        op.execute(f"DROP TABLE {name}")
