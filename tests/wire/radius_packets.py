"""Packets as a client makes them, for the RADIUS tests."""

from __future__ import annotations

import hashlib
import hmac
from functools import cache
from pathlib import Path

from protocols.radius.attributes import integer_attribute, text_attribute
from protocols.radius.dictionary import Dictionary, read_dictionary
from protocols.radius.packet import attribute, decode
from protocols.radius.reading import Field, Reader, Reading
from protocols.radius.words import attribute_octets

SECRET = b"s3cret"
CONFIG = Path(__file__).parents[2] / "config"
DICTIONARIES = CONFIG / "dictionaries"
COUNTING = bytes(range(16))


@cache
def dictionary() -> Dictionary:
    def read_text(path: str) -> str | None:
        file = DICTIONARIES / path
        return file.read_text() if file.is_file() else None

    read, faults = read_dictionary("dictionary", read_text)
    assert not faults
    return read


def reading_of(
    contents: list[bytes], fields: dict[Field, tuple[str, ...]], attributes: bytes = b"", source: str = "192.0.2.9"
) -> Reading:
    """A packet with these Vendor-Specific attributes, seen through fields that lie there."""
    reader = Reader(dictionary(), fields)
    assert not reader.faults
    return reader.open(decode(accounting_request(attributes_of({26: contents}) + attributes)), source)


def attributes_of(values: dict[int, bytes | str | int | list[bytes]]) -> bytes:
    """Attributes by number: texts, numbers, octets, or a list of octets for several instances."""
    octets = b""
    for kind, value in values.items():
        match value:
            case int():
                octets += integer_attribute(kind, value)
            case str():
                octets += text_attribute(kind, value)
            case bytes():
                octets += attribute(kind, value)
            case list():
                octets += b"".join(attribute(kind, each) for each in value)
    return octets


def named(values: dict[str, str | int | list[str]]) -> bytes:
    """Attributes by their names; a list for several instances of one."""
    return b"".join(
        attribute_octets(name, str(each), dictionary())
        for name, value in values.items()
        for each in (value if isinstance(value, list) else [value])
    )


def access_request(attributes: bytes, identifier: int = 1, *, sign: bool = True, secret: bytes = SECRET) -> bytes:
    """An Access-Request (or, by changing its first octet, a Status-Server) with a fixed authenticator."""
    return _request(1, identifier, COUNTING, attributes, sign=sign, secret=secret)


def status_server(attributes: bytes = b"", identifier: int = 1, *, sign: bool = True) -> bytes:
    return _request(12, identifier, COUNTING, attributes, sign=sign, secret=SECRET)


def accounting_request(attributes: bytes, identifier: int = 1, *, sign: bool = False, secret: bytes = SECRET) -> bytes:
    unsigned = _request(4, identifier, bytes(16), attributes, sign=sign, secret=secret)
    return unsigned[:4] + hashlib.md5(unsigned + secret).digest() + unsigned[20:]


def _request(
    code: int, identifier: int, authenticator: bytes, attributes: bytes, *, sign: bool, secret: bytes
) -> bytes:
    body = (b"\x50\x12" + bytes(16) if sign else b"") + attributes
    octets = bytes((code, identifier)) + (20 + len(body)).to_bytes(2, "big") + authenticator + body
    if sign:
        octets = octets[:22] + hmac.digest(secret, octets, "md5") + octets[38:]
    return octets


def cisco(number: int, value: str) -> bytes:
    """The content of one Vendor-Specific attribute of vendor 9."""
    octets = value.encode()
    return b"\x00\x00\x00\x09" + bytes((number, len(octets) + 2)) + octets
