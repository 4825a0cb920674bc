"""The tables of this room, as SQLAlchemy Core sees them; the migrations make them, a test holds both equal."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from ocs.billing.schema import AccountId, Moment, metadata

# Written with the journal, in its transaction. ``amount`` and the facts that are amounts: at the currency's scale.
account_event = Table(
    "account_event",
    metadata,
    Column("account_id", AccountId, primary_key=True),
    Column("entry_number", BigInteger, primary_key=True, autoincrement=False),
    Column("event_type", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("currency", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("facts", JSONB, nullable=False),
    Column("recorded_at", Moment, nullable=False, server_default=func.now()),
    Column("routed_at", Moment),
    Index("account_event_time", "at", "account_id", "entry_number"),
    Index("account_event_unrouted", "recorded_at", postgresql_where=text("routed_at IS NULL")),
)

contact = Table(
    "contact",
    metadata,
    Column("account_id", AccountId, primary_key=True),
    Column("mail", Text, nullable=False, server_default=""),
    Column("phone", Text, nullable=False, server_default=""),
    Column("language", Text, nullable=False, server_default=""),
    Column("time_zone", Text, nullable=False, server_default=""),
    Column("muted", ARRAY(Text), nullable=False, server_default="{}"),
    Column("quiet_begins", Text, nullable=False, server_default=""),
    Column("quiet_ends", Text, nullable=False, server_default=""),
)

contact_key = Table(
    "contact_key",
    metadata,
    Column("account_id", AccountId, primary_key=True),
    Column("key", Text(collation="C"), primary_key=True),
    Column("fingerprint", BigInteger, nullable=False),
    Column("at", Moment, nullable=False),
)

message = Table(
    "message",
    metadata,
    Column("message_id", Text(collation="C"), primary_key=True),
    Column("channel", Text, nullable=False),
    Column("receiver", Text, nullable=False),
    Column("account_id", AccountId, nullable=False),
    Column("kind", Text, nullable=False),
    Column("language", Text, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("is_urgent", Boolean, nullable=False),
    Column("payload", JSONB, nullable=False),
    Column("state", Text, nullable=False, server_default="waiting"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("due_at", Moment, nullable=False),
    Column("made_at", Moment, nullable=False),
    Column("finished_at", Moment),
    Column("error", Text, nullable=False, server_default=""),
    Column("quiet_begins", Text, nullable=False, server_default=""),
    Column("quiet_ends", Text, nullable=False, server_default=""),
    CheckConstraint("state IN ('waiting', 'arrived', 'dead')", name="message_state_known"),
    CheckConstraint("channel IN ('webhook', 'mail', 'sms')", name="message_channel_known"),
    Index("message_due", "channel", "due_at", postgresql_where=text("state = 'waiting'")),
    Index("message_made", "made_at", "message_id"),
    Index("message_account", "account_id", "made_at"),
)

message_attachment = Table(
    "message_attachment",
    metadata,
    Column("message_id", Text(collation="C"), ForeignKey("message.message_id", ondelete="CASCADE"), primary_key=True),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("content", LargeBinary, nullable=False),
)
