"""What is given back of a payment through the gateway, written down before the gateway is asked."""

from __future__ import annotations

from alembic import op

revision = "0072"
down_revision = "0071"
branch_labels = None
depends_on = None

STATEMENTS = (
    """
    CREATE TABLE gateway_refund (
        gateway_refund_id bigserial PRIMARY KEY,
        payment_id bigint NOT NULL REFERENCES payment (payment_id),
        key text COLLATE "C" NOT NULL,
        amount_minor bigint NOT NULL,
        state text NOT NULL DEFAULT 'asking',
        refund_id bigint REFERENCES refund (refund_id),
        invoices bigint[] NOT NULL,
        reference text NOT NULL DEFAULT '',
        why text NOT NULL DEFAULT '',
        due_at timestamptz NOT NULL,
        made_at timestamptz NOT NULL,
        ended_at timestamptz,
        CONSTRAINT gateway_refund_key UNIQUE (key),
        CONSTRAINT gateway_refund_state_known CHECK (state IN ('asking', 'given', 'booked', 'refused'))
    )
    """,
    "CREATE INDEX gateway_refund_due ON gateway_refund (due_at) WHERE state IN ('asking', 'given')",
    "CREATE INDEX gateway_refund_payment ON gateway_refund (payment_id)",
    "CREATE INDEX gateway_refund_refund ON gateway_refund (refund_id)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE gateway_refund")
