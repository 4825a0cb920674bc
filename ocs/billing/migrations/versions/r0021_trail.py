"""The audit log: who changed what, with before and after. And the accounts that there are, by their first entry."""

from __future__ import annotations

from alembic import op

revision = "0021"
down_revision = "0036"
branch_labels = None
depends_on = None

STEPS = (
    """
    CREATE TABLE trail (
        trail_id text COLLATE "C" PRIMARY KEY,
        at timestamptz NOT NULL,
        actor text NOT NULL,
        action text NOT NULL,
        target text COLLATE "C" NOT NULL,
        reference text NOT NULL,
        before jsonb NOT NULL,
        after jsonb NOT NULL
    )
    """,
    "CREATE INDEX trail_time ON trail (at, trail_id)",
    "CREATE INDEX trail_target ON trail (target, at)",
    "CREATE INDEX journal_first ON journal (account_id) WHERE entry_number = 1",
)


def upgrade() -> None:
    for step in STEPS:
        op.execute(step)


def downgrade() -> None:
    op.execute("DROP INDEX journal_first")
    op.execute("DROP TABLE trail")
