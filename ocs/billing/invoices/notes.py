"""What people note about a customer, with or without a file: a contract, a letter, a call. Nothing is changed or removed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

FILE_OCTETS_MAX = 16 << 20


class Note(msgspec.Struct, frozen=True):
    """``file_name`` is empty where there is none."""

    note_id: int
    at: datetime
    actor: str
    text: str
    file_name: str
    octets: int


async def add_note(
    connection: Any, customer_id: str, actor: str, text: str, file_name: str = "", content: bytes | None = None
) -> int:
    note_id: int = await connection.fetchval(
        "INSERT INTO customer_note (customer_id, actor, text, file_name, content) VALUES ($1, $2, $3, $4, $5) "
        "RETURNING note_id",
        customer_id,
        actor,
        text,
        file_name,
        content,
    )
    return note_id


async def notes_of(connection: Any, customer_id: str) -> list[Note]:
    """The newest first, without the files."""
    rows = await connection.fetch(
        "SELECT note_id, at, actor, text, file_name, coalesce(octet_length(content), 0) AS octets FROM customer_note "
        "WHERE customer_id = $1 ORDER BY note_id DESC",
        customer_id,
    )
    return [Note(**row) for row in rows]


async def document_of(connection: Any, customer_id: str, note_id: int) -> tuple[str, bytes] | None:
    """A note's file with its name."""
    row = await connection.fetchrow(
        "SELECT file_name, content FROM customer_note WHERE customer_id = $1 AND note_id = $2 AND content IS NOT NULL",
        customer_id,
        note_id,
    )
    return (row["file_name"], row["content"]) if row is not None else None
