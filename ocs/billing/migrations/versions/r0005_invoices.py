"""Customers, what they are charged, invoices with their lines, numbers and payments."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

CUSTOMER = """
CREATE TABLE customer (
    customer_id text COLLATE "C" NOT NULL,
    legal_entity text NOT NULL,
    name text NOT NULL,
    address jsonb NOT NULL,
    country text NOT NULL,
    tax_status text NOT NULL,
    tax_id text NOT NULL,
    currency text NOT NULL,
    language text NOT NULL,
    time_zone text NOT NULL,
    cycle_day integer NOT NULL,
    terms_days integer NOT NULL,
    email text NOT NULL,
    since date NOT NULL,
    minimum_minor bigint NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    PRIMARY KEY (customer_id)
)
"""
CUSTOMER_ACCOUNT = """
CREATE TABLE customer_account (
    account_id text COLLATE "C" NOT NULL,
    customer_id text COLLATE "C" NOT NULL,
    place integer NOT NULL,
    PRIMARY KEY (account_id),
    CONSTRAINT customer_account_place UNIQUE (customer_id, place),
    FOREIGN KEY(customer_id) REFERENCES customer (customer_id)
)
"""
CHARGE = """
CREATE TABLE charge (
    charge_id text COLLATE "C" NOT NULL,
    customer_id text COLLATE "C" NOT NULL,
    kind text NOT NULL,
    text text NOT NULL,
    amount bigint NOT NULL,
    tax_code text NOT NULL,
    months integer NOT NULL,
    first date NOT NULL,
    after date,
    PRIMARY KEY (charge_id),
    CONSTRAINT charge_months CHECK (months >= 0),
    FOREIGN KEY(customer_id) REFERENCES customer (customer_id)
)
"""
INVOICE = """
CREATE TABLE invoice (
    invoice_id bigserial,
    customer_id text COLLATE "C" NOT NULL,
    legal_entity text NOT NULL,
    kind text NOT NULL,
    state text NOT NULL,
    number text,
    currency text NOT NULL,
    minor_unit bigint NOT NULL,
    first date NOT NULL,
    after date NOT NULL,
    issued_on date,
    due_on date,
    net_minor bigint NOT NULL,
    tax_minor bigint NOT NULL,
    total_minor bigint NOT NULL,
    paid_minor bigint DEFAULT 0 NOT NULL,
    residue bigint NOT NULL,
    debited bigint NOT NULL,
    corrects bigint,
    reason text DEFAULT '' NOT NULL,
    taxes jsonb NOT NULL,
    parties jsonb,
    is_booked boolean DEFAULT false NOT NULL,
    is_disputed boolean DEFAULT false NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    PRIMARY KEY (invoice_id),
    CONSTRAINT invoice_number UNIQUE (legal_entity, number),
    CONSTRAINT invoice_numbered_when_issued CHECK ((state = 'draft') = (number IS NULL)),
    FOREIGN KEY(customer_id) REFERENCES customer (customer_id),
    FOREIGN KEY(corrects) REFERENCES invoice (invoice_id)
)
"""
INVOICE_LINE = """
CREATE TABLE invoice_line (
    invoice_id bigint NOT NULL,
    line_number integer NOT NULL,
    kind text NOT NULL,
    text text NOT NULL,
    account_id text COLLATE "C" NOT NULL,
    charge_id text COLLATE "C" NOT NULL,
    service text NOT NULL,
    destination text NOT NULL,
    records bigint NOT NULL,
    used bigint NOT NULL,
    unit text NOT NULL,
    amount bigint NOT NULL,
    included_rate integer NOT NULL,
    is_debited boolean NOT NULL,
    tax_code text NOT NULL,
    rate integer NOT NULL,
    net_minor bigint NOT NULL,
    first date NOT NULL,
    after date NOT NULL,
    PRIMARY KEY (invoice_id, line_number),
    FOREIGN KEY(invoice_id) REFERENCES invoice (invoice_id) ON DELETE CASCADE
)
"""
INVOICE_SPAN = """
CREATE TABLE invoice_span (
    account_id text COLLATE "C" NOT NULL,
    after_entry bigint NOT NULL,
    last_entry bigint NOT NULL,
    invoice_id bigint NOT NULL,
    PRIMARY KEY (account_id, after_entry),
    CONSTRAINT invoice_span_forward CHECK (last_entry >= after_entry),
    CONSTRAINT invoice_span_end UNIQUE (account_id, last_entry),
    FOREIGN KEY(invoice_id) REFERENCES invoice (invoice_id) ON DELETE CASCADE
)
"""
INVOICE_COUNTER = """
CREATE TABLE invoice_counter (
    legal_entity text NOT NULL,
    series text NOT NULL,
    year integer NOT NULL,
    last bigint NOT NULL,
    PRIMARY KEY (legal_entity, series, year)
)
"""
PAYMENT = """
CREATE TABLE payment (
    payment_id bigserial,
    customer_id text COLLATE "C" NOT NULL,
    method text NOT NULL,
    reference text NOT NULL,
    currency text NOT NULL,
    minor_unit bigint NOT NULL,
    amount_minor bigint NOT NULL,
    received_on date NOT NULL,
    reversed_on date,
    is_booked boolean DEFAULT false NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    PRIMARY KEY (payment_id),
    CONSTRAINT payment_reference UNIQUE (method, reference),
    FOREIGN KEY(customer_id) REFERENCES customer (customer_id)
)
"""
ALLOCATION = """
CREATE TABLE allocation (
    payment_id bigint NOT NULL,
    invoice_id bigint NOT NULL,
    amount_minor bigint NOT NULL,
    PRIMARY KEY (payment_id, invoice_id),
    FOREIGN KEY(payment_id) REFERENCES payment (payment_id),
    FOREIGN KEY(invoice_id) REFERENCES invoice (invoice_id)
)
"""
DUNNING_ACTION = """
CREATE TABLE dunning_action (
    invoice_id bigint NOT NULL,
    step text NOT NULL,
    done_on date NOT NULL,
    text text NOT NULL,
    PRIMARY KEY (invoice_id, step),
    FOREIGN KEY(invoice_id) REFERENCES invoice (invoice_id)
)
"""
DUNNING_STANDING = """
CREATE TABLE dunning_standing (
    customer_id text COLLATE "C" NOT NULL,
    block text DEFAULT '' NOT NULL,
    turn bigint DEFAULT 0 NOT NULL,
    is_carried_out boolean DEFAULT true NOT NULL,
    is_exempt boolean DEFAULT false NOT NULL,
    promised_until date,
    PRIMARY KEY (customer_id),
    FOREIGN KEY(customer_id) REFERENCES customer (customer_id)
)
"""
INDEXES = (
    "CREATE INDEX charge_customer ON charge (customer_id)",
    "CREATE INDEX invoice_customer ON invoice (customer_id, invoice_id)",
    "CREATE INDEX invoice_unbooked ON invoice (invoice_id) WHERE NOT is_booked AND number IS NOT NULL",
    "CREATE INDEX invoice_line_charge ON invoice_line (charge_id) WHERE charge_id <> ''",
    "CREATE INDEX invoice_span_invoice ON invoice_span (invoice_id)",
    "CREATE INDEX payment_customer ON payment (customer_id, payment_id)",
    "CREATE INDEX allocation_invoice ON allocation (invoice_id)",
)


def upgrade() -> None:
    for statement in (
        CUSTOMER,
        CUSTOMER_ACCOUNT,
        CHARGE,
        INVOICE,
        INVOICE_LINE,
        INVOICE_SPAN,
        INVOICE_COUNTER,
        PAYMENT,
        ALLOCATION,
        DUNNING_ACTION,
        DUNNING_STANDING,
        *INDEXES,
    ):
        op.execute(statement)


def downgrade() -> None:
    for table in (
        "dunning_standing",
        "dunning_action",
        "allocation",
        "payment",
        "invoice_counter",
        "invoice_span",
        "invoice_line",
        "invoice",
        "charge",
    ):
        op.execute(f"DROP TABLE {table}")
    op.execute("DROP TABLE customer_account")
    op.execute("DROP TABLE customer")
