"""What the client said beside, by its attributes' names, with each record."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A constant default costs no rewrite of the table.
    op.execute("ALTER TABLE cdr ADD COLUMN details jsonb NOT NULL DEFAULT '{}'")


def downgrade() -> None:
    op.execute("ALTER TABLE cdr DROP COLUMN details")
