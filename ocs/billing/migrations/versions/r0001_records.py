"""The journal and the rated records.

Written in SQL so that the step stays what it was, whatever becomes of ``ocs.billing.schema``.
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

JOURNAL = """
CREATE TABLE journal (
    account_id     text COLLATE "C" NOT NULL,
    entry_number   bigint NOT NULL CONSTRAINT journal_entry_number_positive CHECK (entry_number > 0),
    at             timestamptz NOT NULL,
    kind           text NOT NULL,
    currency       text NOT NULL,
    amount         bigint NOT NULL,
    bucket_ids     bigint[] NOT NULL,
    bucket_amounts bigint[] NOT NULL,
    reference      text NOT NULL,
    actor          text NOT NULL,
    reason         text NOT NULL,
    stream_id      text NOT NULL,
    recorded_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT journal_changes_paired CHECK (cardinality(bucket_ids) = cardinality(bucket_amounts)),
    PRIMARY KEY (account_id, entry_number)
)
"""

CDR = """
CREATE TABLE cdr (
    account_id   text COLLATE "C" NOT NULL,
    entry_number bigint NOT NULL,
    session_id   text NOT NULL,
    protocol     text NOT NULL,
    peer         text NOT NULL,
    subscriber   text NOT NULL,
    service      text NOT NULL,
    origin       text NOT NULL,
    destination  text NOT NULL,
    started_at   timestamptz NOT NULL,
    ended_at     timestamptz NOT NULL,
    cost         bigint NOT NULL,
    currency     text NOT NULL,
    rate_version text NOT NULL,
    flags        integer NOT NULL,
    cause        text NOT NULL,
    groups       jsonb NOT NULL,
    recorded_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, entry_number)
)
"""

INDEXES = (
    "CREATE INDEX cdr_account_time ON cdr (account_id, started_at, entry_number)",
    "CREATE INDEX cdr_session ON cdr USING hash (session_id)",
    "CREATE INDEX cdr_destination_time ON cdr (left(destination, 64) text_pattern_ops, started_at)",
)


def upgrade() -> None:
    for statement in (JOURNAL, CDR, *INDEXES):
        op.execute(statement)
