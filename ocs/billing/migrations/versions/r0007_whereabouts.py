"""Not the visited network alone, but all that is known of where the user was."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_MOVED = "UPDATE cdr SET groups = replace(groups::text, '\"{old}\":', '\"{new}\":')::jsonb WHERE groups::text LIKE '%\"{old}\":%'"


def upgrade() -> None:
    op.execute("ALTER TABLE cdr RENAME COLUMN network TO whereabouts")
    op.execute(_MOVED.format(old="network", new="whereabouts"))


def downgrade() -> None:
    op.execute("ALTER TABLE cdr RENAME COLUMN whereabouts TO network")
    op.execute(_MOVED.format(old="whereabouts", new="network"))
