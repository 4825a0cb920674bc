"""Which records a void invoice had: they are billed by another one, and its annex still lists them."""

from __future__ import annotations

from alembic import op

revision = "0071"
down_revision = "0070"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE void_span (
            invoice_id bigint NOT NULL REFERENCES invoice (invoice_id),
            account_id text COLLATE "C" NOT NULL,
            after_entry bigint NOT NULL,
            last_entry bigint NOT NULL,
            PRIMARY KEY (invoice_id, account_id)
        )
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE void_span")
