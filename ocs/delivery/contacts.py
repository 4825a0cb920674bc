"""Where an account's subscriber can be reached, and in which language: one row an account, in PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum
from typing import Any, Final, NamedTuple
from zlib import crc32

import msgspec

from ocs.billing.moments import moment
from ocs.charging.account_events import EVENT_TYPES
from ocs.delivery.mail import is_address
from ocs.delivery.timing import clock_of
from ocs.rating.faults import Problem, did_you_mean
from ocs.rating.periods import is_zone

_PHONE: Final = re.compile(r"\+[1-9][0-9]{4,14}", re.ASCII)
_LOCK: Final = 0x0C5_C0
KEYS_LAST_MS: Final = 7 * 86_400_000
_FIND_KEY: Final = "SELECT fingerprint FROM contact_key WHERE account_id = $1 AND key = $2"
_PUT_KEY: Final = "INSERT INTO contact_key (account_id, key, fingerprint, at) VALUES ($1, $2, $3, $4)"
_FORGET_KEYS: Final = "DELETE FROM contact_key WHERE account_id = $1 AND at < $2"
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}(-[A-Z]{2})?", re.ASCII)


class Contact(msgspec.Struct, frozen=True, kw_only=True):
    """``mail`` and ``phone`` empty: not by this way. ``muted``: events that this subscriber does not want to hear of.

    ``quiet_begins`` and ``quiet_ends`` are times of day such as ``22:00``, by the contact's clock; both empty: the quiet hours
    of ``delivery.toml``; the same time twice: none.
    """

    account_id: str
    mail: str = ""
    phone: str = ""
    language: str = ""
    time_zone: str = ""
    muted: tuple[str, ...] = ()
    quiet_begins: str = ""
    quiet_ends: str = ""


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
        Problem(name, "is no time of day", "such as 22:00")
        for name in ("quiet_begins", "quiet_ends")
        if getattr(contact, name) and clock_of(getattr(contact, name)) is None
    ]
    if bool(contact.quiet_begins) is not bool(contact.quiet_ends):
        faults.append(Problem("quiet_ends", "needs both ends", "say quiet_begins and quiet_ends, or neither"))
    faults += [
        Problem("muted", f"there is no event {name!r}", did_you_mean(name, EVENT_TYPES))
        for name in contact.muted
        if name not in EVENT_TYPES
    ]
    return faults


async def put_contact(connection: Any, contact: Contact) -> None:
    await connection.execute(
        "INSERT INTO contact (account_id, mail, phone, language, time_zone, muted, quiet_begins, quiet_ends)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (account_id) DO UPDATE SET mail = $2, phone = $3,"
        " language = $4, time_zone = $5, muted = $6, quiet_begins = $7, quiet_ends = $8",
        *msgspec.structs.astuple(contact),
    )


def contact_tag(contact: Contact) -> str:
    """Names what a contact says."""
    return f"{_print_of(contact):08x}"


def _print_of(contact: Contact) -> int:
    return crc32(repr(msgspec.structs.astuple(contact)).encode())


class ContactStatus(Enum):
    """What became of a change."""

    CHANGED = "changed"
    REPLAYED = "replayed"
    KEY_REUSED = "key_reused"
    CHANGED_MEANWHILE = "changed_meanwhile"


class ContactChanged(NamedTuple):
    """``before`` is what was there, ``after`` what is there now."""

    status: ContactStatus
    before: Contact
    after: Contact


async def change_contact(
    connection: Any, contact: Contact, expects: frozenset[str], key: str, now_ms: int
) -> ContactChanged:
    """Put a contact if the one that is there is tagged as expected (empty: whatever is there).

    ``key`` names the intent for seven days, empty: it has none. A repeat changes nothing and is told what is there.
    """
    own = contact.account_id
    async with connection.transaction():
        # Also where there is no row yet that could be locked.
        await connection.execute("SELECT pg_advisory_xact_lock($1, hashtext($2))", _LOCK, own)
        before = await find_contact(connection, own) or Contact(account_id=own)
        if key:
            await connection.execute(_FORGET_KEYS, own, moment(now_ms - KEYS_LAST_MS))
            known = await connection.fetchval(_FIND_KEY, own, key)
            if known is not None:
                same = known == _print_of(contact)
                return ContactChanged(ContactStatus.REPLAYED if same else ContactStatus.KEY_REUSED, before, before)
        if expects and contact_tag(before) not in expects:
            return ContactChanged(ContactStatus.CHANGED_MEANWHILE, before, before)
        await put_contact(connection, contact)
        if key:
            await connection.execute(_PUT_KEY, own, key, _print_of(contact), moment(now_ms))
    return ContactChanged(ContactStatus.CHANGED, before, contact)


async def find_contact(connection: Any, account_id: str) -> Contact | None:
    return (await contacts_of(connection, [account_id])).get(account_id)


async def contacts_of(connection: Any, account_ids: Sequence[str]) -> dict[str, Contact]:
    """Those that there are, by account."""
    rows = await connection.fetch("SELECT * FROM contact WHERE account_id = ANY($1::text[])", list(account_ids))
    found = [Contact(**{**dict(row), "muted": tuple(row["muted"])}) for row in rows]
    return {contact.account_id: contact for contact in found}
