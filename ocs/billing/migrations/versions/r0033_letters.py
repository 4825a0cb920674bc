"""Where customers are reached, and when an invoice was sent."""

from __future__ import annotations

from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("phone", "buyer_reference", "endpoint"):
        op.execute(f"ALTER TABLE customer ADD COLUMN {name} text NOT NULL DEFAULT ''")
    op.execute("ALTER TABLE invoice ADD COLUMN sent_on date")


def downgrade() -> None:
    op.execute("ALTER TABLE invoice DROP COLUMN sent_on")
    for name in ("endpoint", "buyer_reference", "phone"):
        op.execute(f"ALTER TABLE customer DROP COLUMN {name}")
