"""Attribute dictionaries in FreeRADIUS's file format: names, numbers and types of attributes, also of vendors.

Understood: ATTRIBUTE, VALUE, VENDOR (with ``format=type,length``), BEGIN-VENDOR, END-VENDOR, BEGIN-TLV, END-TLV,
$INCLUDE and ``$INCLUDE-`` (no fault when the file is not there). All faults are found at once, each with file and line.
The reading of files is the caller's: ``read_text`` gets a path and returns the text, or None if there is none.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

INCLUDE_DEPTH_MAX: Final = 16
INTEGER_TYPES: Final = frozenset(
    ("integer", "signed", "short", "byte", "date", "integer64", "uint8", "uint16", "uint32", "uint64")
)
TYPES: Final = INTEGER_TYPES | frozenset((
    "string", "text", "octets", "ipaddr", "ipv4addr", "ipv4prefix", "ipv6addr", "ipv6prefix", "ifid", "ether",
    "abinary", "tlv", "vsa", "evs", "extended", "long-extended", "combo-ip", "combo-ipaddr", "combo-ipprefix",
    "bool", "int32", "int64", "time_delta", "struct", "group",
))  # fmt: skip
_FLAGS: Final = frozenset(("has_tag", "encrypt", "array", "concat", "virtual", "secret", "abinary", "length"))


class DictionaryFault(NamedTuple):
    """``str(fault)`` is what an operator reads: file:line: what is wrong."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


class Attribute(NamedTuple):
    """``vendor`` 0 is the standard space. ``path`` has more than one number for what lies inside a TLV."""

    name: str
    vendor: int
    path: tuple[int, ...]
    type: str
    encryption: int = 0
    has_tag: bool = False


class Vendor(NamedTuple):
    """``type_octets`` and ``length_octets``: how its sub-attributes are laid out; 1 and 1 is usual [R-9]."""

    name: str
    number: int
    type_octets: int = 1
    length_octets: int = 1


class Dictionary(msgspec.Struct):
    """Names are looked up without regard to case, as FreeRADIUS does."""

    attributes: dict[str, Attribute] = {}
    by_number: dict[tuple[int, int], Attribute] = {}
    values: dict[tuple[str, str], int] = {}
    value_names: dict[tuple[str, int], str] = {}
    vendors: dict[str, Vendor] = {}
    vendors_by_number: dict[int, Vendor] = {}

    def attribute(self, name: str) -> Attribute | None:
        return self.attributes.get(name.lower())

    def value(self, attribute: str, name: str) -> int | None:
        return self.values.get((attribute.lower(), name.lower()))

    def name_of_value(self, attribute: str, number: int) -> str:
        """What the attribute's value is called; "" if it has no name."""
        return self.value_names.get((attribute.lower(), number), "")


ReadText = Callable[[str], str | None]


def read_dictionary(path: str, read_text: ReadText) -> tuple[Dictionary, list[DictionaryFault]]:
    """Read ``path`` and all it includes. With faults, the dictionary holds what could be understood."""
    reader = _Reader(read_text)
    text = read_text(path)
    if text is None:
        return reader.dictionary, [DictionaryFault(path, 0, "there is no such file")]
    reader.read(path, text, depth=0)
    return reader.dictionary, reader.faults


class _BadLine(Exception):  # noqa: N818 - it never leaves this module
    pass


class _Reader:
    def __init__(self, read_text: ReadText) -> None:
        self.dictionary = Dictionary()
        self.faults: list[DictionaryFault] = []
        self._read_text = read_text
        self._vendor: Vendor | None = None
        self._tlvs: list[Attribute] = []

    def read(self, path: str, text: str, depth: int) -> None:
        self._leave_vendor()
        for number, line in enumerate(text.splitlines(), start=1):
            words = line.partition("#")[0].split()
            if not words:
                continue
            try:
                self._line(words, path, depth)
            except _BadLine as bad:
                self.faults.append(DictionaryFault(path, number, str(bad)))
        unended = self._leave_vendor()
        if unended is not None:
            self.faults.append(DictionaryFault(path, 0, f"BEGIN-VENDOR {unended.name} has no END-VENDOR"))

    def _leave_vendor(self) -> Vendor | None:
        """A file begins and ends outside of any vendor."""
        vendor, self._vendor, self._tlvs = self._vendor, None, []
        return vendor

    def _line(self, words: list[str], path: str, depth: int) -> None:
        match words:
            case ["ATTRIBUTE", name, number, kind, *flags]:
                self._attribute(name, number, kind, ",".join(flags))
            case ["VALUE", attribute, name, number]:
                self._value(attribute, name, number)
            case ["VENDOR", name, number, *layout]:
                self._add_vendor(name, number, layout)
            case ["BEGIN-VENDOR", name]:
                self._begin_vendor(name)
            case ["END-VENDOR", name]:
                self._end_vendor(name)
            case ["BEGIN-TLV", name]:
                self._tlvs.append(self._known_attribute(name))
            case ["END-TLV", name]:
                if not self._tlvs or self._tlvs.pop().name.lower() != name.lower():
                    raise _BadLine(f"END-TLV {name} has no BEGIN-TLV {name}")
            case [("$INCLUDE" | "$INCLUDE-") as how, name]:
                self._include(posixpath.join(posixpath.dirname(path), name), depth, is_optional=how.endswith("-"))
            case [keyword, *_]:
                raise _BadLine(f"{keyword} with {len(words) - 1} words after it is not understood")

    def _attribute(self, name: str, number: str, kind: str, flags: str) -> None:
        base, _, size = kind.partition("[")
        if base not in TYPES or (size and not size.endswith("]")):
            raise _BadLine(f"{name}: {kind} is not a known type")
        vendor, encryption, has_tag = self._vendor, 0, False
        for flag in filter(None, flags.split(",")):
            word, _, argument = flag.partition("=")
            if word == "encrypt":
                encryption = _number(argument)
            elif word == "has_tag":
                has_tag = True
            elif word not in _FLAGS and vendor is None:
                vendor = self._known_vendor(flag)  # the old form names the vendor at the end of the line
            elif word not in _FLAGS:
                raise _BadLine(f"{name}: {flag} is not a known flag")
        path = tuple(_number(part) for part in number.split("."))
        inside = self._tlvs[-1].path if self._tlvs else ()
        self._add(Attribute(name, vendor.number if vendor else 0, inside + path, kind, encryption, has_tag))

    def _add(self, attribute: Attribute) -> None:
        known = self.dictionary.attributes.get(attribute.name.lower())
        if known is not None and (known.vendor, known.path) != (attribute.vendor, attribute.path):
            raise _BadLine(f"{attribute.name} already has another number, {'.'.join(map(str, known.path))}")
        self.dictionary.attributes[attribute.name.lower()] = attribute
        if len(attribute.path) == 1:
            self.dictionary.by_number[attribute.vendor, attribute.path[0]] = attribute

    def _value(self, attribute: str, name: str, number: str) -> None:
        self._known_attribute(attribute)
        self.dictionary.values[attribute.lower(), name.lower()] = _number(number)
        self.dictionary.value_names[attribute.lower(), _number(number)] = name

    def _add_vendor(self, name: str, number: str, layout: list[str]) -> None:
        type_octets, length_octets = 1, 1
        for word in layout:
            key, _, sizes = word.partition("=")
            octets = sizes.split(",")
            if key != "format" or len(octets) < 2 or octets[0] not in "124" or octets[1] not in "012":
                raise _BadLine(f"{name}: {word} is not understood; known is format=(1|2|4),(0|1|2)")
            type_octets, length_octets = int(octets[0]), int(octets[1])
        vendor = Vendor(name, _number(number), type_octets, length_octets)
        known = self.dictionary.vendors.get(name.lower())
        if known is not None and known.number != vendor.number:
            raise _BadLine(f"{name} already has another number, {known.number}")
        self.dictionary.vendors[name.lower()] = vendor
        self.dictionary.vendors_by_number[vendor.number] = vendor

    def _begin_vendor(self, name: str) -> None:
        if self._vendor is not None:
            raise _BadLine(f"BEGIN-VENDOR {name} inside of {self._vendor.name}")
        self._vendor = self._known_vendor(name)

    def _end_vendor(self, name: str) -> None:
        if self._vendor is None or self._vendor.name.lower() != name.lower():
            raise _BadLine(f"END-VENDOR {name} has no BEGIN-VENDOR {name}")
        self._vendor = None

    def _include(self, path: str, depth: int, *, is_optional: bool) -> None:
        if depth >= INCLUDE_DEPTH_MAX:
            raise _BadLine(f"$INCLUDE {path} is nested deeper than {INCLUDE_DEPTH_MAX}")
        text = self._read_text(path)
        if text is None:
            if is_optional:
                return
            raise _BadLine(f"$INCLUDE {path}: there is no such file")
        vendor, tlvs = self._vendor, self._tlvs
        self.read(path, text, depth + 1)
        self._vendor, self._tlvs = vendor, tlvs

    def _known_vendor(self, name: str) -> Vendor:
        vendor = self.dictionary.vendors.get(name.lower())
        if vendor is None:
            raise _BadLine(f"there is no VENDOR {name} above")
        return vendor

    def _known_attribute(self, name: str) -> Attribute:
        attribute = self.dictionary.attributes.get(name.lower())
        if attribute is None:
            raise _BadLine(f"there is no ATTRIBUTE {name} above")
        return attribute


def _number(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise _BadLine(f"{text!r} is not a number") from None
