"""What is open, and payments by their amount, are found without reading all invoices and payments."""

from __future__ import annotations

from alembic import op

revision = "0073"
down_revision = "0072"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "CREATE INDEX invoice_open ON invoice (currency, due_on, invoice_id) WHERE kind = 'invoice' AND state = 'issued'"
    )
    op.execute("CREATE INDEX payment_amount ON payment (amount_minor, payment_id)")


def downgrade() -> None:
    op.execute("DROP INDEX payment_amount")
    op.execute("DROP INDEX invoice_open")
