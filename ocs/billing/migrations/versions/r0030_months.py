"""Records in months: the table becomes the part in which they wait until their month is made."""

from __future__ import annotations

from alembic import op

revision = "0030"
down_revision = "0020"
branch_labels = None
depends_on = None

INDEXES = (
    "CREATE INDEX cdr_account_time ON cdr (account_id, started_at, entry_number)",
    "CREATE INDEX cdr_time ON cdr (started_at)",
    "CREATE INDEX cdr_session ON cdr USING hash (session_id)",
    "CREATE INDEX cdr_destination_time ON cdr (left(destination, 64) text_pattern_ops, started_at)",
    "CREATE INDEX cdr_origin_time ON cdr (left(origin, 64) text_pattern_ops, started_at)",
    "CREATE INDEX cdr_name_time ON cdr (left((groups -> 0) ->> 'destination', 64) text_pattern_ops, started_at)",
)


def upgrade() -> None:
    for name in ("cdr_account_time", "cdr_session", "cdr_destination_time"):
        op.execute(f"DROP INDEX {name}")
    op.execute("ALTER TABLE cdr RENAME TO cdr_other")
    op.execute("ALTER TABLE cdr_other DROP CONSTRAINT cdr_pkey, ADD PRIMARY KEY (account_id, entry_number, started_at)")
    op.execute("CREATE TABLE cdr (LIKE cdr_other INCLUDING DEFAULTS) PARTITION BY RANGE (started_at)")
    op.execute("ALTER TABLE cdr ADD PRIMARY KEY (account_id, entry_number, started_at)")
    # The part's own key is taken into the whole's; nothing is copied.
    op.execute("ALTER TABLE cdr ATTACH PARTITION cdr_other DEFAULT")
    for statement in INDEXES:
        op.execute(statement)


def downgrade() -> None:
    op.execute("CREATE TABLE cdr_whole (LIKE cdr INCLUDING DEFAULTS)")
    op.execute("INSERT INTO cdr_whole SELECT * FROM cdr")
    op.execute("DROP TABLE cdr")
    op.execute("ALTER TABLE cdr_whole RENAME TO cdr")
    op.execute("ALTER TABLE cdr ADD PRIMARY KEY (account_id, entry_number)")
    for statement in (INDEXES[0], INDEXES[2], INDEXES[3]):
        op.execute(statement)
