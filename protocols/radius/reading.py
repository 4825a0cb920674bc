"""What a packet says by meaning instead of by number: the fields of a call and the attributes that carry them [R-120].

Products say the same thing in different attributes: Cisco's ``h323-*`` (vendor 9) are the de facto standard, others
copied them under a number of their own, Asterisk and FreeSWITCH have names of their own. A profile lists for each field
the attributes that may carry it; the dictionary knows their numbers; a ``Reader`` joins both once, at start.

Nothing is judged here, and nothing is read that is not asked for: a report of a known call needs few of its fields.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Final, NamedTuple, TypeAlias

from mypy_extensions import mypyc_attr

from protocols.radius.attributes import VENDOR_SPECIFIC, address, sub_attributes, text
from protocols.radius.dictionary import INTEGER_TYPES, Attribute, Dictionary
from protocols.radius.packet import Packet


class Field(IntEnum):
    """What charging wants to know of a call. Lower case, these are the words of a profile's [read] table."""

    ACCOUNT = 0  # who pays; all that are found are tried, in the order of the profile
    CALLER = 1
    CALLEE = 2
    SESSION = 3  # names the record's leg at its gateway
    CALL = 4  # what all legs of a call have in common
    LEG = 5
    SETUP_TIME = 6
    CONNECT_TIME = 7
    DISCONNECT_TIME = 8
    SECONDS = 9  # a duration that the gateway counted itself
    CAUSE = 10  # why the call ended, by Q.850
    NAS = 11  # what the gateway calls itself, by identifier or address
    TAGS = 12  # what tells the branches of a forked call apart
    TRUNK = 13  # where the call came from before it came to the switch


class Rewrite(NamedTuple):
    """One rule: the first place in a field's text that the pattern fits is replaced."""

    field: Field
    pattern: re.Pattern[str]
    replacement: str


class ReadFault(NamedTuple):
    field: Field
    name: str
    message: str
    near: str = ""


# The number of a standard attribute or 0, the key of a vendor's or of a pair, names that may stand before the value,
# and how octets become text.
Source: TypeAlias = tuple[int, bytes, tuple[bytes, ...], Callable[[bytes], str]]
_Found: TypeAlias = Mapping[bytes, bytes]

_NOTHING: Final[_Found] = {}
_PAIRS: Final = "-avpair"
_NUMBERED: Final = "Attr-"
DIGITS_MAX: Final = 10  # of a count: more than 32 bits have
SOURCE_ADDRESS: Final = "Packet-Src-IP-Address"
"""FreeRADIUS's name for where the packet came from: no attribute, but a source like one."""


class Reader:
    """One profile's fields, ready to be read. ``faults`` says what in the profile the dictionary does not know."""

    def __init__(
        self, dictionary: Dictionary, fields: Mapping[Field, Sequence[str]], rewrites: Iterable[Rewrite] = ()
    ) -> None:
        self.faults: list[ReadFault] = []
        self._layouts = {
            vendor.number.to_bytes(4, "big"): (vendor.type_octets, vendor.length_octets)
            for vendor in dictionary.vendors_by_number.values()
        }
        self._pair_keys = frozenset(
            _vendor_key(attribute)
            for attribute in dictionary.attributes.values()
            if attribute.vendor and attribute.name.lower().endswith(_PAIRS)
        )
        self.sources = [self._sources(dictionary, field, fields.get(field, ())) for field in Field]
        # A packet without vendor attributes is not searched for them.
        self.plain_sources = [tuple(source for source in sources if source[0]) for sources in self.sources]
        self.rewrites = [tuple(rewrite for rewrite in rewrites if rewrite.field is field) for field in Field]
        self.from_address = frozenset(field for field in Field if SOURCE_ADDRESS in fields.get(field, ()))

    def open(self, packet: Packet, source: str = "") -> Reading:
        """``source`` is the address the packet came from."""
        found = self._vendor_values(packet.values(VENDOR_SPECIFIC)) if packet.has(VENDOR_SPECIFIC) else _NOTHING
        return Reading(packet, self, found, source)

    def _sources(self, dictionary: Dictionary, field: Field, names: Sequence[str]) -> tuple[Source, ...]:
        found: list[Source] = []
        for name in names:
            if name == SOURCE_ADDRESS:
                continue
            sources = sources_named(name, dictionary)
            if sources is None:
                self.faults.append(ReadFault(field, name, "is in no dictionary", name.partition(":")[0]))
            found += sources or []
        return tuple(found)

    def _vendor_values(self, values: tuple[bytes, ...]) -> _Found:
        """The first value of each vendor attribute by its key, and of each ``name=value`` pair by its name [R-6]."""
        found: dict[bytes, bytes] = {}
        pair_keys = self._pair_keys
        contents: Iterable[tuple[bytes, bytes]]
        for value in values:
            # Nearly every such attribute holds one sub-attribute of the usual layout: no need to take it apart.
            if len(value) > 6 and value[5] == len(value) - 4:
                contents = ((value[:5], value[6:]),)
            else:
                vendor = value[:4]
                layout = self._layouts.get(vendor, (1, 1))
                found_in = sub_attributes(value, layout)
                contents = [(_key(vendor, number), content) for number, content in found_in if content]
            for key, content in contents:
                if key in pair_keys:
                    name, equals, inner = content.partition(b"=")
                    if equals and inner:
                        found.setdefault(b"pair:" + name.strip().lower(), inner)
                else:
                    found.setdefault(key, content)
        return found


@mypyc_attr(acyclic=True)
class Reading:
    """One packet, seen through a profile."""

    __slots__ = ("_found", "_reader", "packet", "source")

    def __init__(self, packet: Packet, reader: Reader, found: _Found, source: str) -> None:
        self.packet: Final = packet
        self.source = source
        self._reader = reader
        self._found = found

    def text(self, field: Field) -> str:
        """The field's first value; "" if no attribute has one."""
        reader = self._reader
        found = self._found
        for kind, key, names, read in reader.sources[field] if found else reader.plain_sources[field]:
            if kind:
                first = self.packet.first(kind)
                value = read(first) if first is not None else ""
            else:
                content = found.get(key)
                value = _without_name(content, names, read) if content is not None else ""
            if value:
                rewrites = reader.rewrites[field]
                return _rewritten(rewrites, value) if rewrites else value
        return _rewritten(reader.rewrites[field], self.source) if field in reader.from_address else ""

    def texts(self, field: Field) -> list[str]:
        """All the values that the field's attributes have, the profile's first in front."""
        reader = self._reader
        values: list[str] = []
        for kind, key, names, read in reader.sources[field]:
            if kind:
                values += [read(value) for value in self.packet.values(kind)]
            elif key in self._found:
                values.append(_without_name(self._found[key], names, read))
        if field in reader.from_address:
            values.append(self.source)
        rewrites = reader.rewrites[field]
        return list(dict.fromkeys(_rewritten(rewrites, value) for value in values if value))

    def value(self, source: Source) -> str:
        """What stands in one place; "" if nothing does."""
        kind, key, names, read = source
        if kind:
            first = self.packet.first(kind)
            return read(first) if first is not None else ""
        content = self._found.get(key)
        return _without_name(content, names, read) if content is not None else ""

    def count(self, field: Field) -> int | None:
        """The field as a whole number, from the first attribute that has a value; None if that is no number."""
        if not self._found:
            # As nearly always: a standard 32-bit number is read without becoming a text first.
            for kind, _, _, read in self._reader.plain_sources[field]:
                first = self.packet.first(kind)
                if first is not None:
                    if read is _integer_text and len(first) == 4 and not self._reader.rewrites[field]:
                        return int.from_bytes(first, "big")
                    break
        said = self.text(field)
        return int(said[:DIGITS_MAX]) if said.isascii() and said.isdigit() else None

    def number(self, kind: int) -> int | None:
        """A standard 32-bit number; None if it is not there or has another length."""
        first = self.packet.first(kind)
        return None if first is None or len(first) != 4 else int.from_bytes(first, "big")

    def has(self, field: Field) -> bool:
        """Whether the profile looks for the field at all in such a packet."""
        reader = self._reader
        return bool(reader.sources[field] if self._found else reader.plain_sources[field])


def _rewritten(rewrites: tuple[Rewrite, ...], value: str) -> str:
    for _, pattern, replacement in rewrites:
        value = pattern.sub(replacement, value, 1)
    return value


def _by_number(name: str) -> Attribute | None:
    """``Attr-104`` is a text under that number, whatever the dictionary calls it: some products use taken numbers."""
    number = name[len(_NUMBERED) :]
    if not name.startswith(_NUMBERED) or not number.isdecimal() or not 0 < int(number) < 256:
        return None
    return Attribute(name, 0, (int(number),), "string")


def sources_named(name: str, dictionary: Dictionary) -> list[Source] | None:
    """Where an attribute's value may stand; None for a name that no dictionary has."""
    base, colon, pair = name.partition(":")
    attribute = _by_number(base) or dictionary.attribute(base)
    if attribute is None or len(attribute.path) != 1:
        return None
    return [(0, b"pair:" + pair.lower().encode(), (), text)] if colon else _sources_of(attribute)


def _sources_of(attribute: Attribute) -> list[Source]:
    read = _reading_of(attribute.type)
    if not attribute.vendor:
        return [(attribute.path[0], b"", (), read)]
    # The copies of Cisco's attributes are named for their vendor in front: both names stand before values.
    name = attribute.name.lower().encode()
    names = (name, *(name[at + 1 :] for at in range(len(name)) if name[at] == ord("-")))
    return [(0, _vendor_key(attribute), names, read), (0, b"pair:" + name, (), text)]


def _vendor_key(attribute: Attribute) -> bytes:
    return _key(attribute.vendor.to_bytes(4, "big"), attribute.path[0])


def _key(vendor: bytes, number: int) -> bytes:
    """Vendor and number in the octets of the usual layout, where they are a slice of the value."""
    return vendor + number.to_bytes(1 if number < 256 else 4, "big")


def _reading_of(kind: str) -> Callable[[bytes], str]:
    if kind in INTEGER_TYPES:
        return _integer_text
    return _address_text if "ip" in kind else text


def _integer_text(value: bytes) -> str:
    return str(int.from_bytes(value, "big")) if len(value) == 4 else text(value)


def _address_text(value: bytes) -> str:
    return address(value) or text(value)


def _without_name(content: bytes, names: tuple[bytes, ...], read: Callable[[bytes], str]) -> str:
    """A value may repeat its attribute's name in front, ``h323-conf-id=...``: both forms are common."""
    name, equals, value = content.partition(b"=")
    if equals and name.strip().lower() in names:
        return text(value)
    return read(content)
