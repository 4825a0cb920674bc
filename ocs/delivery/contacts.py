"""Where an account's subscriber can be reached, and in which language: one row an account, in PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final
from zlib import crc32

import msgspec

from ocs.charging.account_events import EVENT_TYPES
from ocs.delivery.mail import is_address
from ocs.rating.faults import Problem, did_you_mean
from ocs.rating.periods import is_zone

_PHONE: Final = re.compile(r"\+[1-9][0-9]{4,14}", re.ASCII)
_LOCK: Final = 0x0C5_C0
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}(-[A-Z]{2})?", re.ASCII)


class Contact(msgspec.Struct, frozen=True, kw_only=True):
    """``mail`` and ``phone`` empty: not by this way. ``muted``: events that this subscriber does not want to hear of."""

    account_id: str
    mail: str = ""
    phone: str = ""
    language: str = ""
    time_zone: str = ""
    muted: tuple[str, ...] = ()


def faults_of(contact: Contact) -> list[Problem]:
    """What is wrong with a contact."""
    faults = []
    if contact.mail and not is_address(contact.mail):
        faults.append(Problem("mail", "is no mail address", "such as alice@example.net"))
    if contact.phone and _PHONE.fullmatch(contact.phone) is None:
        faults.append(Problem("phone", "is no number", "international, such as +4915112345678"))
    if contact.language and _LANGUAGE.fullmatch(contact.language) is None:
        faults.append(Problem("language", "is no language", "such as de or de-AT"))
    if contact.time_zone and not is_zone(contact.time_zone):
        faults.append(Problem("time_zone", "is no zone", "such as Europe/Berlin"))
    faults += [
        Problem("muted", f"there is no event {name!r}", did_you_mean(name, EVENT_TYPES))
        for name in contact.muted
        if name not in EVENT_TYPES
    ]
    return faults


async def put_contact(connection: Any, contact: Contact) -> None:
    await connection.execute(
        "INSERT INTO contact (account_id, mail, phone, language, time_zone, muted) VALUES ($1, $2, $3, $4, $5, $6)"
        " ON CONFLICT (account_id) DO UPDATE SET mail = $2, phone = $3, language = $4, time_zone = $5, muted = $6",
        *msgspec.structs.astuple(contact),
    )


def contact_tag(contact: Contact) -> str:
    """Names what a contact says."""
    return f"{crc32(repr(msgspec.structs.astuple(contact)).encode()):08x}"


async def change_contact(connection: Any, contact: Contact, expects: frozenset[str]) -> Contact | None:
    """Put a contact if the one that is there is tagged as expected (empty: whatever is there), and give that one.

    None: it is another one by now, and stays.
    """
    async with connection.transaction():
        # Also where there is no row yet that could be locked.
        await connection.execute("SELECT pg_advisory_xact_lock($1, hashtext($2))", _LOCK, contact.account_id)
        before = await find_contact(connection, contact.account_id) or Contact(account_id=contact.account_id)
        if expects and contact_tag(before) not in expects:
            return None
        await put_contact(connection, contact)
    return before


async def find_contact(connection: Any, account_id: str) -> Contact | None:
    return (await contacts_of(connection, [account_id])).get(account_id)


async def contacts_of(connection: Any, account_ids: Sequence[str]) -> dict[str, Contact]:
    """Those that there are, by account."""
    rows = await connection.fetch("SELECT * FROM contact WHERE account_id = ANY($1::text[])", list(account_ids))
    found = [Contact(**{**dict(row), "muted": tuple(row["muted"])}) for row in rows]
    return {contact.account_id: contact for contact in found}
