"""Stored payment methods, automatic top-ups, and what is asked of the gateway."""

from __future__ import annotations

from alembic import op

revision = "0040"
down_revision = "0021"
branch_labels = None
depends_on = None

OPEN = "state IN ('charging', 'pending')"
STATEMENTS = (
    "ALTER TABLE invoice ADD COLUMN reopened_on date",
    """
    CREATE TABLE payer (
        owner_kind text NOT NULL,
        owner_id text COLLATE "C" NOT NULL,
        payer text DEFAULT '' NOT NULL,
        collect text DEFAULT '' NOT NULL,
        PRIMARY KEY (owner_kind, owner_id),
        CONSTRAINT payer_collect_known CHECK (collect IN ('', 'card', 'direct_debit'))
    )
    """,
    """
    CREATE TABLE payment_method (
        method_id text COLLATE "C" PRIMARY KEY,
        owner_kind text NOT NULL,
        owner_id text COLLATE "C" NOT NULL,
        payer text NOT NULL,
        kind text NOT NULL,
        brand text NOT NULL,
        last4 text NOT NULL,
        expires text DEFAULT '' NOT NULL,
        is_default boolean DEFAULT false NOT NULL,
        added_at timestamptz DEFAULT now() NOT NULL
    )
    """,
    "CREATE INDEX payment_method_owner ON payment_method (owner_kind, owner_id)",
    "CREATE UNIQUE INDEX payment_method_default ON payment_method (owner_kind, owner_id) WHERE is_default",
    """
    CREATE TABLE automatic_top_up (
        account_id text COLLATE "C" PRIMARY KEY,
        currency text NOT NULL,
        minor bigint NOT NULL,
        method_id text NOT NULL,
        per_day integer NOT NULL,
        per_month integer NOT NULL,
        most_per_day_minor bigint NOT NULL,
        most_per_month_minor bigint NOT NULL,
        why_stopped text DEFAULT '' NOT NULL,
        failures integer DEFAULT 0 NOT NULL,
        not_before timestamptz DEFAULT now() NOT NULL
    )
    """,
    """
    CREATE TABLE automatic_top_up_look (
        account_id text COLLATE "C" NOT NULL,
        entry_number bigint NOT NULL,
        PRIMARY KEY (account_id, entry_number)
    )
    """,
    """
    CREATE TABLE gateway_charge (
        charge_id bigserial PRIMARY KEY,
        purpose text NOT NULL,
        name text COLLATE "C" NOT NULL,
        cause bigint DEFAULT 0 NOT NULL,
        invoice_id bigint REFERENCES invoice (invoice_id),
        currency text NOT NULL,
        minor bigint NOT NULL,
        payer text NOT NULL,
        method_id text NOT NULL,
        method_kind text NOT NULL,
        state text DEFAULT 'charging' NOT NULL,
        payment text DEFAULT '' NOT NULL,
        why text DEFAULT '' NOT NULL,
        is_final boolean DEFAULT false NOT NULL,
        tries integer DEFAULT 0 NOT NULL,
        due_at timestamptz NOT NULL,
        made_at timestamptz NOT NULL,
        ended_at timestamptz,
        CONSTRAINT gateway_charge_state_known
            CHECK (state IN ('charging', 'pending', 'paid', 'failed', 'unbooked', 'taken_back'))
    )
    """,
    f"CREATE INDEX gateway_charge_due ON gateway_charge (due_at) WHERE {OPEN}",
    "CREATE INDEX gateway_charge_name ON gateway_charge (purpose, name, made_at)",
    "CREATE INDEX gateway_charge_payment ON gateway_charge (payment)",
    "CREATE UNIQUE INDEX gateway_charge_cause ON gateway_charge (name, cause) WHERE purpose = 'automatic_top_up'",
    f"CREATE UNIQUE INDEX gateway_charge_account_open ON gateway_charge (name) WHERE purpose = 'automatic_top_up' AND {OPEN}",
    "CREATE INDEX gateway_charge_invoice ON gateway_charge (invoice_id)",
    f"CREATE UNIQUE INDEX gateway_charge_invoice_open ON gateway_charge (invoice_id) WHERE {OPEN}",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    for name in ("gateway_charge", "automatic_top_up_look", "automatic_top_up", "payment_method", "payer"):
        op.execute(f"DROP TABLE {name}")
    op.execute("ALTER TABLE invoice DROP COLUMN reopened_on")
