"""Files of switches and their rows by fingerprint, and the queue of rows that were not charged."""

from __future__ import annotations

from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

TABLES = (
    """
    CREATE TABLE mediated_file (
        switch text COLLATE "C" NOT NULL,
        fingerprint bytea NOT NULL,
        name text NOT NULL,
        charged bigint DEFAULT 0 NOT NULL,
        repeated bigint DEFAULT 0 NOT NULL,
        passed_over bigint DEFAULT 0 NOT NULL,
        faulty bigint DEFAULT 0 NOT NULL,
        began_at timestamptz DEFAULT now() NOT NULL,
        finished_at timestamptz,
        PRIMARY KEY (switch, fingerprint)
    )
    """,
    """
    CREATE TABLE mediated_record (
        switch text COLLATE "C" NOT NULL,
        fingerprint bytea NOT NULL,
        is_charged boolean DEFAULT false NOT NULL,
        PRIMARY KEY (switch, fingerprint)
    )
    """,
    """
    CREATE TABLE mediation_fault (
        fault_id bigserial PRIMARY KEY,
        switch text COLLATE "C" NOT NULL,
        fingerprint bytea NOT NULL,
        file text NOT NULL,
        line bigint NOT NULL,
        cells jsonb NOT NULL,
        why text NOT NULL,
        state text DEFAULT 'open' NOT NULL,
        created_at timestamptz DEFAULT now() NOT NULL,
        CONSTRAINT mediation_fault_row UNIQUE (switch, fingerprint)
    )
    """,
    "CREATE INDEX mediation_fault_open ON mediation_fault (fault_id) WHERE state = 'open'",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)


def downgrade() -> None:
    for name in ("mediation_fault", "mediated_record", "mediated_file"):
        op.execute(f"DROP TABLE {name}")
