"""The packet-level reply cache: a repeated packet gets the identical octets, and is worked on once [R-30..R-32].

It knows packets only. What must never be charged twice is guarded by names that outlive this cache (Acct-Session-Id
and event), since a client may change a repeat's content, and with it its authenticator [R-33].
"""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum
from typing import Final, TypeAlias, final

from mypy_extensions import mypyc_attr

from protocols.radius.packet import Packet

ENTRIES_MAX: Final = 65_536

Source: TypeAlias = tuple[object, ...]
_Key: TypeAlias = tuple[Source, int, int]


class Repeat(Enum):
    """NEW is to be worked on; IN_WORK came again before its answer and is dropped."""

    NEW = 1
    IN_WORK = 2


NEW: Final = Repeat.NEW  # the ordinary case: members of an enumeration are looked up slowly


@final
@mypyc_attr(acyclic=True)
class _Entry:
    """``is_latest``: the client has not used the identifier for another request since."""

    __slots__ = ("authenticator", "forget_at_ms", "is_latest", "key", "reply")

    def __init__(self, key: _Key, authenticator: bytes, forget_at_ms: int) -> None:
        self.key: Final = key
        self.authenticator: Final = authenticator
        self.forget_at_ms: Final = forget_at_ms
        self.is_latest = True
        self.reply: bytes | None = None


class ReplyCache:
    """Bounded in time and in number; the oldest go first. One cache serves one socket."""

    def __init__(self, keep_ms: int, entries_max: int = ENTRIES_MAX) -> None:
        assert keep_ms > 0, "a cache that keeps nothing would work on every repeat"
        assert entries_max > 0, "a cache needs room for an entry"
        self._keep_ms = keep_ms
        self._entries_max = entries_max
        self._entries: OrderedDict[_Key, _Entry] = OrderedDict()
        self._next_to_forget_ms = 0

    def __len__(self) -> int:
        return len(self._entries)

    def begin(self, packet: Packet, source: Source, now_ms: int) -> bytes | Repeat:
        """The stored reply of a packet that was answered; else whether it is in work or new.

        The same source, code and identifier with another authenticator is a new request, and the old one is forgotten
        at once [R-31]. Only packets that proved to be genuine may come here [R-32].
        """
        entries = self._entries
        key = (source, packet.code, packet.identifier)
        known = entries.get(key)
        if known is not None:
            if known.authenticator == packet.authenticator and known.forget_at_ms > now_ms:
                return Repeat.IN_WORK if known.reply is None else known.reply
            known.is_latest = False
            del entries[key]
        if now_ms >= self._next_to_forget_ms or len(entries) >= self._entries_max:
            self._make_room(now_ms)
        packet.kept = entries[key] = _Entry(key, packet.authenticator, now_ms + self._keep_ms)
        return NEW

    def finish(self, packet: Packet, reply: bytes) -> bool:
        """Keep the reply. False if the client has meanwhile used the identifier for another request."""
        entry = packet.kept
        assert isinstance(entry, _Entry), "what is answered was let in"
        entry.reply = reply
        return entry.is_latest

    def forget(self, packet: Packet) -> None:
        """The request ended without an answer: its repeat is to be worked on again."""
        entry = packet.kept
        assert isinstance(entry, _Entry), "what is given up was let in"
        if self._entries.get(entry.key) is entry:
            del self._entries[entry.key]

    def _make_room(self, now_ms: int) -> None:
        """Entries stand in the order in which they began, so those to forget are in front."""
        entries = self._entries
        while entries:
            oldest = next(iter(entries.values()))
            if oldest.forget_at_ms > now_ms and len(entries) < self._entries_max:
                self._next_to_forget_ms = oldest.forget_at_ms
                return
            entries.popitem(last=False)
        self._next_to_forget_ms = now_ms + self._keep_ms
