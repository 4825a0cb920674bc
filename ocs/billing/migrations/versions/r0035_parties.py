"""Enterprises that pay for their sites, notes, charges in other currencies, late records on invoices of their own."""

from __future__ import annotations

from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

STEPS = (
    "ALTER TABLE customer ADD COLUMN paid_by text COLLATE \"C\" NOT NULL DEFAULT ''",
    "CREATE INDEX customer_site ON customer (paid_by) WHERE paid_by <> ''",
    "ALTER TABLE charge ADD COLUMN currency text NOT NULL DEFAULT ''",
    "ALTER TABLE invoice ADD COLUMN supplements bigint REFERENCES invoice (invoice_id)",
    "CREATE INDEX invoice_supplements ON invoice (supplements) WHERE supplements IS NOT NULL",
    "ALTER TABLE invoice_line ADD COLUMN source_currency text NOT NULL DEFAULT ''",
    "ALTER TABLE invoice_line ADD COLUMN source_amount bigint NOT NULL DEFAULT 0",
    "ALTER TABLE invoice_line ADD COLUMN exchange text NOT NULL DEFAULT ''",
    """
    CREATE TABLE customer_note (
        note_id bigserial PRIMARY KEY,
        customer_id text COLLATE "C" NOT NULL REFERENCES customer (customer_id),
        at timestamptz DEFAULT now() NOT NULL,
        actor text NOT NULL,
        text text NOT NULL,
        file_name text DEFAULT '' NOT NULL,
        content bytea
    )
    """,
    "CREATE INDEX customer_note_customer ON customer_note (customer_id, note_id)",
)


def upgrade() -> None:
    for statement in STEPS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE customer_note")
    op.execute("ALTER TABLE invoice_line DROP COLUMN exchange, DROP COLUMN source_amount, DROP COLUMN source_currency")
    op.execute("ALTER TABLE invoice DROP COLUMN supplements")
    op.execute("ALTER TABLE charge DROP COLUMN currency")
    op.execute("ALTER TABLE customer DROP COLUMN paid_by")
