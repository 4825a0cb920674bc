"""The audit log in PostgreSQL: who changed what over the API and the command line, with before and after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Column, Index, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from ocs.billing.failures import FAILURES, unavailable
from ocs.billing.moments import milliseconds, moment
from ocs.billing.schema import Moment, metadata

STREAM_KEY: Final = "ocs:trail"
FIELD: Final = b"e"
"""Where entries wait in Valkey, and under which name; the flusher's process carries them here."""

trail = Table(
    "trail",
    metadata,
    Column("trail_id", Text(collation="C"), primary_key=True),
    Column("at", Moment, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text(collation="C"), nullable=False),
    Column("reference", Text, nullable=False),
    Column("before", JSONB, nullable=False),
    Column("after", JSONB, nullable=False),
    Index("trail_time", "at", "trail_id"),
    Index("trail_target", "target", "at"),
)


class TrailEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One change. ``target`` is a kind and a name (``account alice``); ``before`` and ``after`` are the fields that changed.

    ``trail_id`` is the entry's place in the stream, which nobody else has; it is given when the entry is read from there.
    """

    at_ms: int
    actor: str
    action: str
    target: str
    reference: str = ""
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    trail_id: str = ""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(TrailEntry)
_INSERT: Final = """
    INSERT INTO trail (trail_id, at, actor, action, target, reference, before, after)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (trail_id) DO NOTHING
"""
_LIST: Final = """
    SELECT * FROM trail
    WHERE ($1 = '' OR target = $1) AND ($2 = '' OR actor = $2) AND (at, trail_id) < ($3, $4)
        AND ($5 = '' OR starts_with(split_part(target, ' ', 2), $5))
    ORDER BY at DESC, trail_id DESC LIMIT $6
"""


def encode_trail(entry: TrailEntry) -> bytes:
    return _encoder.encode(entry)


def decode_trail(data: bytes, trail_id: str) -> TrailEntry:
    """Raises msgspec.MsgspecError for what is none of ours."""
    return msgspec.structs.replace(_decoder.decode(data), trail_id=trail_id)


async def keep(connection: Any, entries: Sequence[TrailEntry]) -> None:
    """Write entries; those that are there already stay as they are. Raises BackendUnavailable."""
    try:
        await connection.executemany(_INSERT, [_row(entry) for entry in entries])
    except FAILURES as error:
        raise unavailable(error) from error


async def list_trail(
    pool: Any, *, target: str = "", actor: str = "", tenant: str = "", before: tuple[int, str], limit: int
) -> list[TrailEntry]:
    """Newest first, those that come after ``before`` (at_ms, trail_id); of a tenant: whose names begin with ``tenant``."""
    try:
        rows = await pool.fetch(_LIST, target, actor, moment(before[0]), before[1], tenant, limit)
    except FAILURES as error:
        raise unavailable(error) from error
    return [
        TrailEntry(
            at_ms=milliseconds(row["at"]),
            before=msgspec.json.decode(row["before"]),
            after=msgspec.json.decode(row["after"]),
            **{name: row[name] for name in ("trail_id", "actor", "action", "target", "reference")},
        )
        for row in rows
    ]


def _row(entry: TrailEntry) -> tuple[Any, ...]:
    def text(value: str) -> str:
        return value.replace("\x00", "\ufffd")

    def fields(value: dict[str, Any]) -> str:
        return msgspec.json.encode(value).decode().replace("\\u0000", "\\ufffd")

    return (
        entry.trail_id,
        moment(entry.at_ms),
        text(entry.actor),
        text(entry.action),
        text(entry.target),
        text(entry.reference),
        fields(entry.before),
        fields(entry.after),
    )
