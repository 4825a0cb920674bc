"""What each entry changed in units, beside money: buckets of units and counters."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Constant defaults cost no rewrite of the table.
    op.execute(
        "ALTER TABLE journal ADD COLUMN unit_ids bigint[] NOT NULL DEFAULT '{}',"
        " ADD COLUMN unit_amounts bigint[] NOT NULL DEFAULT '{}',"
        " ADD CONSTRAINT journal_units_paired CHECK (cardinality(unit_ids) = cardinality(unit_amounts))"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE journal DROP COLUMN unit_ids, DROP COLUMN unit_amounts")
