"""What a back end has to do for the flusher. PostgreSQL is one; a file or a queue would be others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from ocs.charging.cdr import JournalEntry


class OutboxEntry(NamedTuple):
    """One entry on its way: where it lies in the outbox, what it says, and its octets as they were written."""

    partition: int
    stream_id: str
    entry: JournalEntry
    raw: bytes

    @property
    def name(self) -> str:
        """Names the entry for ever, whatever happens to the stream."""
        return f"{self.partition}:{self.stream_id}"


class Written(NamedTuple):
    """What became of a batch. ``contradicted``: names of entries whose number the sink holds with other content."""

    added: int
    repeated: int = 0
    contradicted: frozenset[str] = frozenset()


class EntryRefused(Exception):  # noqa: N818 - a verdict on the data, not a fault of the program
    """The back end works, and will never take (one of) these entries as they are."""


class Sink(Protocol):
    """A batch that ``write`` returned from is durable, and writing it again changes nothing."""

    @property
    def name(self) -> str:
        """The consumer group in the streams: each sink has its own progress."""

    async def write(self, batch: Sequence[OutboxEntry]) -> Written:
        """All or nothing. Raises BackendUnavailable (try again later) or EntryRefused (never will)."""

    async def close(self) -> None:
        """Give the connection back."""
