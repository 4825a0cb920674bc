"""By which plan, and in which visited network, each record was rated: what re-rating and simulations need."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Constant defaults cost no rewrite of the table. Older records have none: the account's plan of now stands in.
    op.execute("ALTER TABLE cdr ADD COLUMN rate_plan text NOT NULL DEFAULT ''")
    op.execute("ALTER TABLE cdr ADD COLUMN network text NOT NULL DEFAULT ''")


def downgrade() -> None:
    op.execute("ALTER TABLE cdr DROP COLUMN network")
    op.execute("ALTER TABLE cdr DROP COLUMN rate_plan")
