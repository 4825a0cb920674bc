"""Messages on their way, in PostgreSQL: each is written down before it is sent, and stays until it has arrived.

    waiting -> arrived      the other side has taken it
    waiting -> dead         it will never be taken, or was tried too often
    dead, arrived -> waiting    replayed by somebody

Any number of workers claims (FOR UPDATE SKIP LOCKED). A claim is a lease: it makes the message due again later, so that
what a dead worker had in hand is sent by another one. So a message is sent at least once, and bears its id each time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec

from ocs.billing.moments import milliseconds, moment
from ocs.delivery.settings import TIMEOUT_S_MAX

Channel: TypeAlias = Literal["webhook", "mail", "sms"]
State: TypeAlias = Literal["waiting", "arrived", "dead"]

LEASE_MS: Final = 120_000
"""Longer than any attempt may take (the channels' ``timeout_s``)."""
assert TIMEOUT_S_MAX * 1000 < LEASE_MS, "who still tries has not lost his claim"

ERROR_CHARACTERS_MAX: Final = 500


class Attachment(msgspec.Struct, frozen=True):
    """A file that goes with a mail."""

    name: str
    media_type: str
    content: bytes


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A message to be sent. ``message_id`` is the caller's: the same one is sent once, however often it is posted.

    ``receiver`` is a mail address, a number (digits with +), or a webhook's name. ``kind`` chooses the words, in
    ``language``; ``values`` are what they show (amounts as decimal strings, dates and instants in ISO 8601). A webhook's
    values are its body. ``quiet_begins`` and ``quiet_ends`` are the receiver's own quiet hours; empty: those for all.
    """

    message_id: str
    channel: Channel
    receiver: str
    kind: str
    values: dict[str, Any]
    account_id: str = ""
    language: str = ""
    time_zone: str = ""
    is_urgent: bool = False
    quiet_begins: str = ""
    quiet_ends: str = ""
    attachments: tuple[Attachment, ...] = ()


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A letter as it stands in the queue. ``attempts`` counts those that were begun."""

    letter: Letter
    state: State
    attempts: int
    due_at_ms: int
    made_at_ms: int
    finished_at_ms: int = 0
    error: str = ""


_COLUMNS: Final = (
    "message_id", "channel", "receiver", "account_id", "kind", "language", "time_zone", "is_urgent",
    "quiet_begins", "quiet_ends",
)  # fmt: skip
_POST: Final = f"""
    INSERT INTO message (payload, due_at, made_at, {", ".join(_COLUMNS)})
    VALUES ($1, $2, $2, {", ".join(f"${number}" for number in range(3, 3 + len(_COLUMNS)))})
"""  # noqa: S608 - names of our own
_ONCE: Final = " ON CONFLICT (message_id) DO NOTHING"
_AGAIN: Final = (
    " ON CONFLICT (message_id) DO UPDATE SET state = 'waiting', attempts = 0, due_at = excluded.due_at, error = '',"
    " finished_at = NULL"
)
_CLAIM: Final = """
    WITH due AS (
        SELECT message_id FROM message
        WHERE state = 'waiting' AND due_at <= $1 AND channel = $2 AND ($3 = '' OR receiver = $3)
        ORDER BY due_at LIMIT $4 FOR UPDATE SKIP LOCKED
    )
    UPDATE message m SET due_at = $5, attempts = attempts + 1 FROM due WHERE m.message_id = due.message_id RETURNING m.*
"""
# Whose lease ran out may have been overtaken: the count of attempts says whether the message is still ours.
_FINISH: Final = """
    UPDATE message SET state = $3, due_at = $4, finished_at = $5, error = $6
    WHERE message_id = $1 AND attempts = $2 AND state = 'waiting'
"""
_POSTPONE: Final = """
    UPDATE message SET due_at = $3, attempts = attempts - 1
    WHERE message_id = $1 AND attempts = $2 AND state = 'waiting'
"""
_LIST: Final = """
    SELECT * FROM message
    WHERE ($1 = '' OR state = $1) AND ($2 = '' OR account_id = $2) AND ($3 = '' OR channel = $3)
        AND (made_at, message_id) < ($4, $5) AND ($6 = '' OR starts_with(account_id, $6)) AND made_at >= $8
    ORDER BY made_at DESC, message_id DESC LIMIT $7
"""
_REPLAY: Final = """
    UPDATE message SET state = 'waiting', attempts = 0, due_at = $1, finished_at = NULL, error = ''
    WHERE message_id = ANY($2::text[]) AND ($3 = '' OR starts_with(account_id, $3)) RETURNING message_id
"""
_REPLAY_DEAD: Final = """
    UPDATE message SET state = 'waiting', attempts = 0, due_at = $1, finished_at = NULL, error = ''
    WHERE state = 'dead' AND ($2 = '' OR channel = $2) AND ($3 = '' OR receiver = $3) RETURNING message_id
"""
_FORGET: Final = "DELETE FROM message WHERE state = 'arrived' AND finished_at < $1"
_BURY_STRAYS: Final = """
    UPDATE message SET state = 'dead', finished_at = $1, error = 'delivery.toml has no webhook of this name'
    WHERE state = 'waiting' AND channel = 'webhook' AND receiver <> ALL($2::text[])
"""


async def post(connection: Any, letter: Letter, now_ms: int, *, again: bool = False) -> bool:
    """Write a letter down; False if there was one of its id. ``again``: then that one is sent once more.

    In the caller's transaction, if there is one: then the letter leaves if what it tells of has happened.
    """
    async with connection.transaction():
        status: str = await connection.execute(_POST + (_AGAIN if again else _ONCE), *_row(letter, now_ms))
        if status.endswith(" 0"):
            return False
        if letter.attachments:
            await connection.executemany(
                "INSERT INTO message_attachment (message_id, place, name, media_type, content)"
                " VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
                [
                    (letter.message_id, place, each.name, each.media_type, each.content)
                    for place, each in enumerate(letter.attachments)
                ],
            )
    return True


async def post_all(connection: Any, letters: Sequence[Letter], now_ms: int, *, again: bool = False) -> None:
    """The same for many letters without attachments."""
    await connection.executemany(_POST + (_AGAIN if again else _ONCE), [_row(letter, now_ms) for letter in letters])


async def claim(connection: Any, channel: Channel, receiver: str, now_ms: int, limit: int) -> list[Message]:
    """Take up to ``limit`` messages that are due, for as long as LEASE_MS; ``receiver`` empty: anybody's."""
    rows = await connection.fetch(_CLAIM, moment(now_ms), channel, receiver, limit, moment(now_ms + LEASE_MS))
    mails = [row["message_id"] for row in rows if row["channel"] == "mail"]
    attached = await connection.fetch(
        "SELECT * FROM message_attachment WHERE message_id = ANY($1::text[]) ORDER BY message_id, place", mails
    ) if mails else []  # fmt: skip
    files: dict[str, list[Attachment]] = {}
    for row in attached:
        file = Attachment(row["name"], row["media_type"], row["content"])
        files.setdefault(row["message_id"], []).append(file)
    return [_message(row, tuple(files.get(row["message_id"], ()))) for row in rows]


async def arrived(connection: Any, message: Message, now_ms: int) -> None:
    """The other side has it."""
    await _finish(connection, message, "arrived", message.due_at_ms, now_ms, "")


async def tried(connection: Any, message: Message, now_ms: int, wait_ms: int, error: str) -> None:
    """It did not work; it will be tried again after ``wait_ms``."""
    await _finish(connection, message, "waiting", now_ms + wait_ms, 0, error)


async def died(connection: Any, message: Message, now_ms: int, error: str) -> None:
    """It is given up. It stays, and can be replayed."""
    await _finish(connection, message, "dead", message.due_at_ms, now_ms, error)


async def postpone(connection: Any, message: Message, until_ms: int) -> None:
    """It waits, and this was no attempt (quiet hours)."""
    await connection.execute(_POSTPONE, message.letter.message_id, message.attempts, moment(until_ms))


async def replay(connection: Any, message_ids: Iterable[str], now_ms: int, tenant: str = "") -> list[str]:
    """Send messages once more; the ids of those that there are (of accounts whose names begin with ``tenant``)."""
    return [row[0] for row in await connection.fetch(_REPLAY, moment(now_ms), list(message_ids), tenant)]


async def replay_dead(connection: Any, now_ms: int, channel: str = "", receiver: str = "") -> list[str]:
    """Send all dead ones once more, of a channel or a receiver if one is named."""
    return [row[0] for row in await connection.fetch(_REPLAY_DEAD, moment(now_ms), channel, receiver)]


async def forget(connection: Any, before_ms: int) -> None:
    """Let go of what arrived before an instant."""
    await connection.execute(_FORGET, moment(before_ms))


async def bury_strays(connection: Any, webhooks: Iterable[str], now_ms: int) -> None:
    """What waits for a webhook that is no longer there will not arrive."""
    await connection.execute(_BURY_STRAYS, moment(now_ms), list(webhooks))


async def find_message(connection: Any, message_id: str) -> Message | None:
    row = await connection.fetchrow("SELECT * FROM message WHERE message_id = $1", message_id)
    return _message(row) if row is not None else None


async def list_messages(
    connection: Any,
    *,
    state: str = "",
    account_id: str = "",
    channel: str = "",
    before: tuple[int, str],
    limit: int,
    tenant: str = "",
    since_ms: int = 0,
) -> list[Message]:
    """Newest first, those that come after ``before`` (made_at_ms, message_id) in that order, back to ``since_ms``."""
    rows = await connection.fetch(
        _LIST, state, account_id, channel, moment(before[0]), before[1], tenant, limit, moment(since_ms)
    )
    return [_message(row) for row in rows]


async def _finish(
    connection: Any, message: Message, state: State, due_at_ms: int, finished_at_ms: int, error: str
) -> None:
    await connection.execute(
        _FINISH,
        message.letter.message_id,
        message.attempts,
        state,
        moment(due_at_ms),
        moment(finished_at_ms) if finished_at_ms else None,
        error.replace("\x00", "\ufffd")[:ERROR_CHARACTERS_MAX],
    )


def _row(letter: Letter, now_ms: int) -> tuple[Any, ...]:
    payload = msgspec.json.encode(letter.values).decode()
    return (payload, moment(now_ms), *[getattr(letter, name) for name in _COLUMNS])


def _message(row: Any, attachments: tuple[Attachment, ...] = ()) -> Message:
    values = msgspec.json.decode(row["payload"])
    return Message(
        letter=Letter(**{name: row[name] for name in _COLUMNS}, values=values, attachments=attachments),
        state=row["state"],
        attempts=row["attempts"],
        due_at_ms=milliseconds(row["due_at"]),
        made_at_ms=milliseconds(row["made_at"]),
        finished_at_ms=milliseconds(row["finished_at"]) if row["finished_at"] is not None else 0,
        error=row["error"],
    )
