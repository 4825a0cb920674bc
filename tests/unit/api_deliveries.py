"""Events, contacts, messages and the audit log of the API's unit tests: lists in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from ocs.billing.trail import TrailEntry
from ocs.charging.account_events import AccountEvent
from ocs.delivery.contacts import Contact, ContactChanged, ContactStatus, contact_tag
from ocs.delivery.queue import Message


@dataclass
class MemoryDeliveries:
    """Contacts by account; events and messages as a test puts them, newest first."""

    contacts: dict[str, Contact] = field(default_factory=dict)
    keys: dict[tuple[str, str], Contact] = field(default_factory=dict)
    happened: list[AccountEvent] = field(default_factory=list)
    queue: list[Message] = field(default_factory=list)

    async def contact(self, account_id: str) -> Contact | None:
        return self.contacts.get(account_id)

    async def put_contact(self, contact: Contact, expects: frozenset[str], key: str) -> ContactChanged:
        before = self.contacts.get(contact.account_id) or Contact(account_id=contact.account_id)
        known = self.keys.setdefault((contact.account_id, key), contact) if key else None
        if known is not None and known is not contact:
            status = ContactStatus.REPLAYED if known == contact else ContactStatus.KEY_REUSED
            return ContactChanged(status, before, before)
        if expects and contact_tag(before) not in expects:
            return ContactChanged(ContactStatus.CHANGED_MEANWHILE, before, before)
        self.contacts[contact.account_id] = contact
        return ContactChanged(ContactStatus.CHANGED, before, contact)

    async def events(
        self,
        account_id: str,
        types: Sequence[str],
        before: tuple[int, str, int],
        limit: int,
        tenant: str = "",
        since_ms: int = 0,
    ) -> list[AccountEvent]:
        found = [
            event
            for event in self.happened
            if account_id in {"", event.account_id}
            and event.account_id.startswith(tenant)
            and (not types or event.event_type in types)
            and (event.at_ms, event.account_id, event.entry_number) < before
            and event.at_ms >= since_ms
        ]
        return found[:limit]

    async def messages(
        self, state: str, account_id: str, before: tuple[int, str], limit: int, tenant: str = "", since_ms: int = 0
    ) -> list[Message]:
        found = [
            each
            for each in self.queue
            if state in {"", each.state}
            and each.letter.account_id.startswith(tenant)
            and (each.made_at_ms, each.letter.message_id) < before
            and each.made_at_ms >= since_ms
        ]
        return found[:limit]

    async def replay(self, message_ids: Sequence[str], tenant: str = "") -> list[str]:
        return [
            each.letter.message_id
            for each in self.queue
            if each.letter.message_id in message_ids and each.letter.account_id.startswith(tenant)
        ]


@dataclass
class MemoryTrail:
    """The audit log, oldest first."""

    entries: list[TrailEntry] = field(default_factory=list)

    async def note(self, entry: TrailEntry) -> None:
        self.entries.append(msgspec.structs.replace(entry, trail_id=f"{len(self.entries)}-0"))

    async def list_trail(
        self, *, target: str, actor: str, tenant: str, before: tuple[int, str], limit: int
    ) -> list[TrailEntry]:
        found = [
            entry
            for entry in reversed(self.entries)
            if target in {"", entry.target}
            and actor in {"", entry.actor}
            and entry.target.partition(" ")[2].startswith(tenant)
            and (entry.at_ms, entry.trail_id) < before
        ]
        return found[:limit]
