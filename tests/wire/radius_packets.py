"""Packets as a client makes them, for the RADIUS tests."""

from __future__ import annotations

import hashlib
import hmac
from functools import cache
from pathlib import Path

from protocols.radius.attributes import integer_attribute, text_attribute
from protocols.radius.dictionary import Dictionary, read_dictionary
from protocols.radius.packet import attribute
from protocols.radius.voice import VoiceNames

SECRET = b"s3cret"
DICTIONARIES = Path(__file__).parents[2] / "config" / "dictionaries"
COUNTING = bytes(range(16))


@cache
def dictionary() -> Dictionary:
    def read_text(path: str) -> str | None:
        file = DICTIONARIES / path
        return file.read_text() if file.is_file() else None

    read, faults = read_dictionary("dictionary", read_text)
    assert not faults
    return read


@cache
def voice_names() -> VoiceNames:
    return VoiceNames(dictionary())


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
