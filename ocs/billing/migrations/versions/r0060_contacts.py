"""Quiet hours of one's own, and the keys under which contacts were changed."""

from __future__ import annotations

from alembic import op

revision = "0060"
down_revision = "0050"
branch_labels = None
depends_on = None

QUIET = ("contact", "message")
COLUMNS = ("quiet_begins", "quiet_ends")


def upgrade() -> None:
    for table in QUIET:
        for column in COLUMNS:
            op.execute(f"ALTER TABLE {table} ADD COLUMN {column} text NOT NULL DEFAULT ''")
    op.execute(
        """
        CREATE TABLE contact_key (
            account_id text COLLATE "C" NOT NULL,
            key text COLLATE "C" NOT NULL,
            fingerprint bigint NOT NULL,
            at timestamptz NOT NULL,
            PRIMARY KEY (account_id, key)
        )
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE contact_key")
    for table in QUIET:
        for column in COLUMNS:
            op.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
