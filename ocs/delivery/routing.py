"""Who is told of an account event, and by which way: events become letters, once each.

Events are claimed, turned into letters and marked in one transaction: whatever crashes, and however many workers there
are, each event has its letters once.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from balance.money import Currency, format_amount
from ocs.billing.moments import milliseconds, moment
from ocs.charging.account_events import MONEY_FACTS, AccountEvent
from ocs.delivery.contacts import Contact, contacts_of
from ocs.delivery.queue import Letter, post_all
from ocs.delivery.settings import EVERY_EVENT, Delivery, Tell, Webhook

BATCH_MAX: Final = 500
HOUR_MS: Final = 3_600_000

_UNROUTED: Final = """
    SELECT * FROM account_event WHERE routed_at IS NULL ORDER BY recorded_at LIMIT $1 FOR UPDATE SKIP LOCKED
"""
_ROUTED: Final = """
    UPDATE account_event SET routed_at = $1
    FROM unnest($2::text[], $3::bigint[]) AS done (account_id, entry_number)
    WHERE account_event.account_id = done.account_id AND account_event.entry_number = done.entry_number
"""
_SINCE: Final = """
    SELECT * FROM account_event
    WHERE (at, account_id, entry_number) > ($1, $2, $3) AND at < $4 ORDER BY at, account_id, entry_number LIMIT $5
"""
_LIST: Final = """
    SELECT * FROM account_event
    WHERE ($1 = '' OR account_id = $1) AND (cardinality($2::text[]) = 0 OR event_type = ANY($2))
        AND (at, account_id, entry_number) < ($3, $4, $5) AND ($6 = '' OR starts_with(account_id, $6)) AND at >= $8
    ORDER BY at DESC, account_id DESC, entry_number DESC LIMIT $7
"""


NO_CURRENCY: Final = Currency("", 0, 0, 0)


def currency_of(event: AccountEvent, currencies: Mapping[str, Currency]) -> Currency | None:
    """In which its amounts are; an event of no account has none, and None is one that is not known any more."""
    return currencies.get(event.currency) if event.currency else NO_CURRENCY


def event_id(event: AccountEvent) -> str:
    """Names the event for ever, for whoever has to recognize a repeat."""
    name = f"{event.account_id}\0{event.entry_number}".encode()
    return "evt_" + base64.b32encode(hashlib.blake2b(name, digest_size=15).digest()).decode().lower()


def body_of(event: AccountEvent, currency: Currency) -> dict[str, Any]:
    """What a program is told of an event: its id, type, instant and data; amounts are decimal strings."""

    def text(amount: int) -> str:
        return format_amount(amount, currency.scale, currency.digits)

    data: dict[str, Any] = {
        "account_id": event.account_id,
        "entry_number": event.entry_number,
        "currency": event.currency,
        "amount": text(event.amount),
    }
    for name, value in event.facts.items():
        data[name] = text(int(value)) if name in MONEY_FACTS else value
    return {"id": event_id(event), "type": event.event_type, "timestamp": instant(event.at_ms), "data": data}


def instant(at_ms: int) -> str:
    """RFC 3339 in UTC, in milliseconds."""
    return moment(at_ms).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def letters_of(
    event: AccountEvent, contact: Contact | None, delivery: Delivery, currency: Currency
) -> tuple[Letter, ...]:
    """All that an event has to be told to. Pure."""
    body = body_of(event, currency)
    letters = [
        webhook_letter(hook, body) for hook in delivery.webhooks.values() if _wants(hook.events, event.event_type)
    ]
    if contact is not None and event.event_type not in contact.muted:
        letters += _told(body, contact, delivery)
    return tuple(letters)


def webhook_letter(hook: Webhook, body: dict[str, Any]) -> Letter:
    return Letter(
        message_id=f"{body['id']}:webhook:{hook.name}",
        channel="webhook",
        receiver=hook.name,
        kind=body["type"],
        values=body,
        account_id=body["data"]["account_id"],
        is_urgent=True,
    )


def _told(body: dict[str, Any], contact: Contact, delivery: Delivery) -> list[Letter]:
    addresses = {"mail": contact.mail, "sms": contact.phone}
    letters: dict[str, Letter] = {}
    for tell in delivery.file.tell:
        for way in tell.by if _wants(tell.events, body["type"]) else ():
            if addresses[way] and way in delivery.ways and way not in letters:
                letters[way] = _letter(body, contact, tell, way, addresses[way])
    return list(letters.values())


def _letter(body: dict[str, Any], contact: Contact, tell: Tell, way: Any, address: str) -> Letter:
    return Letter(
        message_id=f"{body['id']}:{way}",
        channel=way,
        receiver=address,
        kind=body["type"],
        values={**body["data"], "at": body["timestamp"]},
        account_id=contact.account_id,
        language=contact.language,
        time_zone=contact.time_zone,
        is_urgent=tell.urgent,
        quiet_begins=contact.quiet_begins,
        quiet_ends=contact.quiet_ends,
    )


def _wants(events: Sequence[str], event_type: str) -> bool:
    return event_type in events or EVERY_EVENT in events


async def route(connection: Any, delivery: Delivery, currencies: Mapping[str, Currency], now_ms: int) -> int:
    """Turn waiting events into letters; how many events there were. Events that are too old are told nobody."""
    async with connection.transaction():
        rows = await connection.fetch(_UNROUTED, BATCH_MAX)
        events = [event_from_row(row) for row in rows]
        fresh = [event for event in events if event.at_ms >= now_ms - delivery.file.late_hours * HOUR_MS]
        contacts = await contacts_of(connection, list({event.account_id for event in fresh}))
        letters = [
            letter
            for event in fresh
            if (currency := currency_of(event, currencies)) is not None
            for letter in letters_of(event, contacts.get(event.account_id), delivery, currency)
        ]
        await post_all(connection, letters, now_ms)
        names = [event.account_id for event in events], [event.entry_number for event in events]
        await connection.execute(_ROUTED, moment(now_ms), *names)
    return len(events)


async def replay_events(
    connection: Any, hook: Webhook, currencies: Mapping[str, Currency], since_ms: int, until_ms: int, now_ms: int
) -> int:
    """Tell a webhook all that it wants to know of ``[since, until)`` once more, or for the first time; how many events."""
    position: tuple[Any, ...] = (moment(since_ms), "", 0)
    number = 0
    while rows := await connection.fetch(_SINCE, *position, moment(until_ms), BATCH_MAX):
        events = [event_from_row(row) for row in rows]
        letters = [
            webhook_letter(hook, body_of(event, currency))
            for event in events
            if (currency := currency_of(event, currencies)) is not None and _wants(hook.events, event.event_type)
        ]
        await post_all(connection, letters, now_ms, again=True)
        number += len(letters)
        position = (rows[-1]["at"], rows[-1]["account_id"], rows[-1]["entry_number"])
    return number


async def list_events(
    connection: Any,
    *,
    account_id: str = "",
    types: Sequence[str] = (),
    before: tuple[int, str, int],
    limit: int,
    tenant: str = "",
    since_ms: int = 0,
) -> list[AccountEvent]:
    """Newest first, those that come after ``before`` (at_ms, account_id, entry_number) in that order, back to ``since_ms``."""
    rows = await connection.fetch(
        _LIST, account_id, list(types), moment(before[0]), before[1], before[2], tenant, limit, moment(since_ms)
    )
    return [event_from_row(row) for row in rows]


def event_from_row(row: Mapping[str, Any]) -> AccountEvent:
    return AccountEvent(
        row["account_id"],
        row["entry_number"],
        row["event_type"],
        milliseconds(row["at"]),
        row["currency"],
        row["amount"],
        msgspec.json.decode(row["facts"], type=dict[str, str]),
    )
