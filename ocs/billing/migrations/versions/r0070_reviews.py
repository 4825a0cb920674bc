"""Who has reviewed a draft and when, and what keeps one from being issued."""

from __future__ import annotations

from alembic import op

revision = "0070"
down_revision = "0060"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE invoice ADD COLUMN reviewed_by text DEFAULT '' NOT NULL, ADD COLUMN reviewed_at timestamptz, "
        "ADD COLUMN held_by text DEFAULT '' NOT NULL, ADD COLUMN held_reason text DEFAULT '' NOT NULL"
    )


def downgrade() -> None:
    op.execute(
        "ALTER TABLE invoice DROP COLUMN reviewed_by, DROP COLUMN reviewed_at, DROP COLUMN held_by, DROP COLUMN held_reason"
    )
