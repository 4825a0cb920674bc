"""Re-ratings: journals of differences, and what became of them in each account."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

RERATING = """
CREATE TABLE rerating (
    run_id       text COLLATE "C" PRIMARY KEY,
    created_at   timestamptz NOT NULL,
    selection    text NOT NULL,
    rate_version text NOT NULL,
    state        text NOT NULL
)
"""
LINES = """
CREATE TABLE rerating_line (
    run_id       text COLLATE "C" NOT NULL,
    account_id   text COLLATE "C" NOT NULL,
    entry_number bigint NOT NULL,
    cost_before  bigint NOT NULL,
    cost_after   bigint NOT NULL,
    source       text NOT NULL,
    PRIMARY KEY (run_id, account_id, entry_number)
)
"""
OF_RECORD = "CREATE INDEX rerating_line_record ON rerating_line (account_id, entry_number)"
ACCOUNTS = """
CREATE TABLE rerating_account (
    run_id        text COLLATE "C" NOT NULL,
    account_id    text COLLATE "C" NOT NULL,
    currency      text NOT NULL,
    amount        bigint NOT NULL,
    records       bigint NOT NULL,
    applied_entry bigint,
    undone_entry  bigint,
    refusal       text NOT NULL DEFAULT '',
    PRIMARY KEY (run_id, account_id)
)
"""


def upgrade() -> None:
    for statement in (RERATING, LINES, OF_RECORD, ACCOUNTS):
        op.execute(statement)
