"""Attributes as people write them, ``User-Name = "alice"``, by the dictionary's names: for tools, rules and tests.

What the dictionary does not know is written by number, ``Attr-231`` and ``Vendor-9-Attr-250``, with its octets in hex.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Final, NamedTuple

from protocols.radius import attributes as a
from protocols.radius.dictionary import INTEGER_TYPES, Attribute, Dictionary
from protocols.radius.packet import VALUE_OCTETS_MAX, Packet, attribute

CODES: Final = {
    1: "Access-Request",
    2: "Access-Accept",
    3: "Access-Reject",
    4: "Accounting-Request",
    5: "Accounting-Response",
    11: "Access-Challenge",
    12: "Status-Server",
    40: "Disconnect-Request",
    41: "Disconnect-ACK",
    42: "Disconnect-NAK",
    43: "CoA-Request",
    44: "CoA-ACK",
    45: "CoA-NAK",
}
_BY_NUMBER: Final = re.compile(r"(?:Vendor-(\d{1,10})-)?Attr-(\d{1,10})")
_ESCAPE: Final = re.compile(r"\\(.)")
_SIZES: Final = {"byte": 1, "uint8": 1, "short": 2, "uint16": 2, "integer64": 8, "uint64": 8}


class WordsError(ValueError):
    """The text is no attribute; the message says what is wrong with it."""


class Named(NamedTuple):
    """``text`` is as a person would write it: texts in quotes, numbers by their names where they have one."""

    name: str
    text: str


def code_name(code: int) -> str:
    return CODES.get(code, f"Code-{code}")


def named_attributes(packet: Packet, dictionary: Dictionary) -> list[Named]:
    """Every attribute of the packet in the order on the wire, vendors' taken apart. Never a fault [R-6]."""
    found: list[Named] = []
    octets = packet.octets
    offset = 20
    while offset < len(octets):
        kind, size = octets[offset], octets[offset + 1]
        value = octets[offset + 2 : offset + size]
        offset += size
        found += _vendor_words(value, dictionary) if kind == a.VENDOR_SPECIFIC else [_word(0, kind, value, dictionary)]
    return found


def _vendor_words(value: bytes, dictionary: Dictionary) -> list[Named]:
    vendor = int.from_bytes(value[:4], "big")
    known = dictionary.vendors_by_number.get(vendor)
    layout = (known.type_octets, known.length_octets) if known is not None else (1, 1)
    contents = a.sub_attributes(value, layout) if len(value) > 4 else []
    if not contents:
        return [Named("Vendor-Specific", f"0x{value.hex()}")]
    return [_word(vendor, number, content, dictionary) for number, content in contents]


def _word(vendor: int, number: int, value: bytes, dictionary: Dictionary) -> Named:
    known = dictionary.by_number.get((vendor, number))
    if known is None:
        name = f"Vendor-{vendor}-Attr-{number}" if vendor else f"Attr-{number}"
        return Named(name, f"0x{value.hex()}")
    return Named(known.name, _text_of(known, value, dictionary))


def _text_of(known: Attribute, value: bytes, dictionary: Dictionary) -> str:
    if known.type in ("string", "text") and not known.encryption:
        return quoted(a.text(value))
    if known.type == "date" and len(value) == 4:
        return datetime.fromtimestamp(int.from_bytes(value, "big"), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if known.type in INTEGER_TYPES and len(value) == _SIZES.get(known.type, 4):
        number = int.from_bytes(value, "big")
        return dictionary.name_of_value(known.name, number) or str(number)
    if "ip" in known.type and len(value) in (4, 16):
        return a.address(value)
    return f"0x{value.hex()}"


def line_octets(line: str, dictionary: Dictionary) -> bytes:
    """One attribute from a line ``Name = value``. Raises WordsError."""
    name, equals, text = line.partition("=")
    if not equals:
        raise WordsError(f"{line!r} is no attribute: write Name = value")
    return attribute_octets(name.strip(), text.strip(), dictionary)


def quoted(text: str) -> str:
    """A text as it is written, whatever is in it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def attribute_octets(name: str, text: str, dictionary: Dictionary) -> bytes:
    """One attribute from its name and its value as written. Raises WordsError."""
    by_number = _BY_NUMBER.fullmatch(name)
    known = dictionary.attribute(name)
    if by_number is not None:
        vendor, number = int(by_number[1] or 0), int(by_number[2])
        known = dictionary.by_number.get((vendor, number)) or Attribute(name, vendor, (number,), "string")
    if known is None:
        raise WordsError(f"{name} is in no dictionary")
    if len(known.path) != 1 or known.path[0] > 255:
        raise WordsError(f"{name} cannot stand by itself")
    value = _value_of(known, text, dictionary)
    limit = VALUE_OCTETS_MAX - 6 if known.vendor else VALUE_OCTETS_MAX
    if len(value) > limit:
        raise WordsError(f"{name}: the value takes {len(value)} octets, and {limit} fit")
    if known.vendor:
        return a.vendor_attribute(known.vendor, known.path[0], value)
    return attribute(known.path[0], value)


def _value_of(known: Attribute, text: str, dictionary: Dictionary) -> bytes:
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return _ESCAPE.sub(lambda found: {"n": "\n"}.get(found[1], found[1]), text[1:-1]).encode()
    if re.fullmatch(r"0x(?:[0-9A-Fa-f]{2})*", text) is not None:
        return bytes.fromhex(text[2:])
    if known.type in INTEGER_TYPES:
        return _number(known, text, dictionary).to_bytes(_SIZES.get(known.type, 4), "big")
    if "ip" in known.type:
        try:
            return ip_address(text).packed
        except ValueError:
            raise WordsError(f"{known.name}: {text!r} is no address") from None
    return text.encode()


def _number(known: Attribute, text: str, dictionary: Dictionary) -> int:
    number = dictionary.value(known.name, text)
    if number is None and known.type == "date":
        number = _epoch_seconds(text)
    if number is None and text.isascii() and text.isdigit():
        number = int(text)
    if number is None or number >> 8 * _SIZES.get(known.type, 4):
        raise WordsError(f"{known.name}: {text!r} is no number that fits, and no name of one")
    return number


def _epoch_seconds(text: str) -> int | None:
    """An instant in ISO 8601; without a zone it is UTC."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return int((at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp())
