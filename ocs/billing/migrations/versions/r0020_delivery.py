"""Account events, contacts, and messages on their way."""

from __future__ import annotations

from alembic import op

revision = "0020"
down_revision = "0007"
branch_labels = None
depends_on = None

STEPS = (
    """
    CREATE TABLE account_event (
        account_id text COLLATE "C" NOT NULL,
        entry_number bigint NOT NULL,
        event_type text NOT NULL,
        at timestamptz NOT NULL,
        currency text NOT NULL,
        amount bigint NOT NULL,
        facts jsonb NOT NULL,
        recorded_at timestamptz NOT NULL DEFAULT now(),
        routed_at timestamptz,
        PRIMARY KEY (account_id, entry_number)
    )
    """,
    "CREATE INDEX account_event_time ON account_event (at, account_id, entry_number)",
    "CREATE INDEX account_event_unrouted ON account_event (recorded_at) WHERE routed_at IS NULL",
    """
    CREATE TABLE contact (
        account_id text COLLATE "C" PRIMARY KEY,
        mail text NOT NULL DEFAULT '',
        phone text NOT NULL DEFAULT '',
        language text NOT NULL DEFAULT '',
        time_zone text NOT NULL DEFAULT '',
        muted text[] NOT NULL DEFAULT '{}'
    )
    """,
    """
    CREATE TABLE message (
        message_id text COLLATE "C" PRIMARY KEY,
        channel text NOT NULL CONSTRAINT message_channel_known CHECK (channel IN ('webhook', 'mail', 'sms')),
        receiver text NOT NULL,
        account_id text COLLATE "C" NOT NULL,
        kind text NOT NULL,
        language text NOT NULL,
        time_zone text NOT NULL,
        is_urgent boolean NOT NULL,
        payload jsonb NOT NULL,
        state text NOT NULL DEFAULT 'waiting'
            CONSTRAINT message_state_known CHECK (state IN ('waiting', 'arrived', 'dead')),
        attempts integer NOT NULL DEFAULT 0,
        due_at timestamptz NOT NULL,
        made_at timestamptz NOT NULL,
        finished_at timestamptz,
        error text NOT NULL DEFAULT ''
    )
    """,
    "CREATE INDEX message_due ON message (channel, due_at) WHERE state = 'waiting'",
    "CREATE INDEX message_made ON message (made_at, message_id)",
    "CREATE INDEX message_account ON message (account_id, made_at)",
    """
    CREATE TABLE message_attachment (
        message_id text COLLATE "C" NOT NULL REFERENCES message (message_id) ON DELETE CASCADE,
        place integer NOT NULL,
        name text NOT NULL,
        media_type text NOT NULL,
        content bytea NOT NULL,
        PRIMARY KEY (message_id, place)
    )
    """,
)


def upgrade() -> None:
    for step in STEPS:
        op.execute(step)


def downgrade() -> None:
    op.execute("DROP TABLE message_attachment, message, contact, account_event")
