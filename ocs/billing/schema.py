"""The tables, as SQLAlchemy Core sees them; the migrations make them, a test holds both equal.

Amounts are BIGINT at the currency's scale: the store refuses what does not fit 63 bits, so nothing is lost here.
An entry's changes are two arrays of one length instead of JSON: exact integers that SQL can add.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    func,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

INDEXED_MAX: Final = 64
"""Characters of a number or a name that an index holds: a B-tree refuses long keys, and peers send what they like."""

metadata = MetaData()

# Order by octets: the order of keyset pages must not depend on the locale that the database was made with.
AccountId = Text(collation="C")
Moment = DateTime(timezone=True)

journal = Table(
    "journal",
    metadata,
    Column("account_id", AccountId, primary_key=True),
    Column("entry_number", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Moment, nullable=False),
    Column("kind", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("bucket_ids", ARRAY(BigInteger), nullable=False),
    Column("bucket_amounts", ARRAY(BigInteger), nullable=False),
    Column("reference", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("stream_id", Text, nullable=False),
    Column("recorded_at", Moment, nullable=False, server_default=func.now()),
    Column("unit_ids", ARRAY(BigInteger), nullable=False, server_default="{}"),
    Column("unit_amounts", ARRAY(BigInteger), nullable=False, server_default="{}"),
    CheckConstraint("entry_number > 0", name="journal_entry_number_positive"),
    CheckConstraint("cardinality(bucket_ids) = cardinality(bucket_amounts)", name="journal_changes_paired"),
    CheckConstraint("cardinality(unit_ids) = cardinality(unit_amounts)", name="journal_units_paired"),
    # The accounts that there are: each has a first entry.
    Index("journal_first", "account_id", postgresql_where=text("entry_number = 1")),
)

cdr = Table(
    "cdr",
    metadata,
    Column("account_id", AccountId, primary_key=True),
    Column("entry_number", BigInteger, primary_key=True, autoincrement=False),
    Column("session_id", Text, nullable=False),
    Column("protocol", Text, nullable=False),
    Column("peer", Text, nullable=False),
    Column("subscriber", Text, nullable=False),
    Column("service", Text, nullable=False),
    Column("origin", Text, nullable=False),
    Column("destination", Text, nullable=False),
    Column("started_at", Moment, primary_key=True),
    Column("ended_at", Moment, nullable=False),
    Column("cost", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("rate_version", Text, nullable=False),
    Column("flags", Integer, nullable=False),
    Column("cause", Text, nullable=False),
    Column("groups", JSONB, nullable=False),
    Column("recorded_at", Moment, nullable=False, server_default=func.now()),
    Column("details", JSONB, nullable=False, server_default="{}"),
    Column("rate_plan", Text, nullable=False, server_default=""),
    Column("whereabouts", Text, nullable=False, server_default=""),
    Index("cdr_account_time", "account_id", "started_at", "entry_number"),
    Index("cdr_time", "started_at"),
    # A hash index takes a Session-Id of any length (RFC 6733 sets no limit).
    Index("cdr_session", "session_id", postgresql_using="hash"),
    postgresql_partition_by="RANGE (started_at)",  # by months: ocs/billing/months.py
)


def _index(name: str, word: ColumnElement[str]) -> None:
    """By the beginning of a word, then by time."""
    start = func.left(word, text(str(INDEXED_MAX))).label("word_start")
    Index(name, start, cdr.c.started_at, postgresql_ops={"word_start": "text_pattern_ops"})


_index("cdr_destination_time", cdr.c.destination)
_index("cdr_origin_time", cdr.c.origin)
_index("cdr_name_time", literal_column("(groups -> 0) ->> 'destination'::text"))

rerating = Table(
    "rerating",
    metadata,
    Column("run_id", Text(collation="C"), primary_key=True),
    Column("created_at", Moment, nullable=False),
    Column("selection", Text, nullable=False),
    Column("rate_version", Text, nullable=False),
    Column("state", Text, nullable=False),
)

# One line for each record that costs something else; what the record costs now is its own cost and all applied lines.
rerating_line = Table(
    "rerating_line",
    metadata,
    Column("run_id", Text(collation="C"), primary_key=True),
    Column("account_id", AccountId, primary_key=True),
    Column("entry_number", BigInteger, primary_key=True, autoincrement=False),
    Column("cost_before", BigInteger, nullable=False),
    Column("cost_after", BigInteger, nullable=False),
    Column("source", Text, nullable=False),
    Index("rerating_line_record", "account_id", "entry_number"),
)

# The lines of an account are applied together or not at all. An entry is the adjustment's number in the journal;
# 0 where the lines add up to nothing.
rerating_account = Table(
    "rerating_account",
    metadata,
    Column("run_id", Text(collation="C"), primary_key=True),
    Column("account_id", AccountId, primary_key=True),
    Column("currency", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("records", BigInteger, nullable=False),
    Column("applied_entry", BigInteger),
    Column("undone_entry", BigInteger),
    Column("refusal", Text, nullable=False, server_default=""),
)

# Records that a feed still has to be given (ocs/feeds).
cdr_feed = Table(
    "cdr_feed",
    metadata,
    Column("feed", Text(collation="C"), primary_key=True),
    Column("account_id", AccountId, primary_key=True),
    Column("entry_number", BigInteger, primary_key=True, autoincrement=False),
    Column("started_at", Moment, nullable=False),
    Column("queued_at", Moment, nullable=False, server_default=func.now()),
    Index("cdr_feed_oldest", "feed", "queued_at", "account_id", "entry_number"),
)

# Files of switches, and their rows by fingerprint: noted before they are charged, marked after (ocs/mediation.py).
mediated_file = Table(
    "mediated_file",
    metadata,
    Column("switch", Text(collation="C"), primary_key=True),
    Column("fingerprint", LargeBinary, primary_key=True),
    Column("name", Text, nullable=False),
    Column("charged", BigInteger, nullable=False, server_default=text("0")),
    Column("repeated", BigInteger, nullable=False, server_default=text("0")),
    Column("passed_over", BigInteger, nullable=False, server_default=text("0")),
    Column("faulty", BigInteger, nullable=False, server_default=text("0")),
    Column("began_at", Moment, nullable=False, server_default=func.now()),
    Column("finished_at", Moment),
)

mediated_record = Table(
    "mediated_record",
    metadata,
    Column("switch", Text(collation="C"), primary_key=True),
    Column("fingerprint", LargeBinary, primary_key=True),
    Column("is_charged", Boolean, nullable=False, server_default=text("false")),
)

# Rows that were not charged, with their cells, until somebody mends, replays or dismisses them.
mediation_fault = Table(
    "mediation_fault",
    metadata,
    Column("fault_id", BigInteger, primary_key=True),
    Column("switch", Text(collation="C"), nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("file", Text, nullable=False),
    Column("line", BigInteger, nullable=False),
    Column("cells", JSONB, nullable=False),
    Column("why", Text, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'open'")),
    Column("created_at", Moment, nullable=False, server_default=func.now()),
    UniqueConstraint("switch", "fingerprint", name="mediation_fault_row"),
    Index("mediation_fault_open", "fault_id", postgresql_where=text("state = 'open'")),
)
