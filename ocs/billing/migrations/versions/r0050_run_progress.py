"""How far a bill run is: of how many customers, and how many invoices it has issued."""

from __future__ import annotations

from alembic import op

revision = "0050"
down_revision = "0040"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE bill_run ADD COLUMN payers bigint DEFAULT 0 NOT NULL, ADD COLUMN issued bigint DEFAULT 0 NOT NULL"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE bill_run DROP COLUMN payers, DROP COLUMN issued")
