"""Where customers are reached, and when an invoice was sent."""

from __future__ import annotations

from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE customer ADD COLUMN phone text NOT NULL DEFAULT ''")
    op.execute("ALTER TABLE invoice ADD COLUMN sent_on date")


def downgrade() -> None:
    op.execute("ALTER TABLE invoice DROP COLUMN sent_on")
    op.execute("ALTER TABLE customer DROP COLUMN phone")
