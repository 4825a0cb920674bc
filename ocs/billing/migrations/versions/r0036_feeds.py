"""Records that others still have to be given."""

from __future__ import annotations

from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE cdr_feed (
            feed text COLLATE "C" NOT NULL,
            account_id text COLLATE "C" NOT NULL,
            entry_number bigint NOT NULL,
            started_at timestamptz NOT NULL,
            queued_at timestamptz DEFAULT now() NOT NULL,
            PRIMARY KEY (feed, account_id, entry_number)
        )
        """
    )
    op.execute("CREATE INDEX cdr_feed_oldest ON cdr_feed (feed, queued_at, account_id, entry_number)")


def downgrade() -> None:
    op.execute("DROP TABLE cdr_feed")
