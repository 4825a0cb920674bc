"""How bill runs get on, and credit notes that are asked for once."""

from __future__ import annotations

from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE bill_run (
            run_id bigserial PRIMARY KEY,
            until date NOT NULL,
            is_issuing boolean NOT NULL,
            state text DEFAULT 'running' NOT NULL,
            customers bigint DEFAULT 0 NOT NULL,
            drafts bigint DEFAULT 0 NOT NULL,
            waiting jsonb DEFAULT '[]' NOT NULL,
            failed jsonb DEFAULT '{}' NOT NULL,
            began_at timestamptz DEFAULT now() NOT NULL,
            heard_at timestamptz DEFAULT now() NOT NULL,
            ended_at timestamptz
        )
        """
    )
    op.execute("ALTER TABLE invoice ADD COLUMN request_key text CONSTRAINT invoice_request_key UNIQUE")


def downgrade() -> None:
    op.execute("ALTER TABLE invoice DROP COLUMN request_key")
    op.execute("DROP TABLE bill_run")
