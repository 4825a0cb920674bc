"""Values in Valkey: an account is its version in 8 octets, big endian, then MessagePack.

The version stands in front so that the server function can compare it without reading the rest.
"""

from __future__ import annotations

from typing import Any

import hiredis
import msgspec

from balance.account import Account
from balance.store import Subscriber

_encoder = msgspec.msgpack.Encoder()
_account_decoder = msgspec.msgpack.Decoder(Account)
_subscriber_decoder = msgspec.msgpack.Decoder(Subscriber)

VERSION_OCTETS = 8


def pack(parts: tuple[Any, ...]) -> bytes:
    """One command in RESP, packed in C. The library's stub names a tuple of one part only, hence Any."""
    packed: bytes = hiredis.pack_command(parts)
    return packed


_UPDATE = (
    b"*8\r\n$5\r\nFCALL\r\n$10\r\nocs_update\r\n$1\r\n2\r\n"
    b"$%d\r\n%b\r\n$%d\r\n%b\r\n$8\r\n%b\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n"
)


def pack_update(account_key: str, session_key: str, version: bytes, account: bytes, session: bytes) -> bytes:
    """``FCALL ocs_update 2 account session version account session``: by hand, for two thirds of all requests are it."""
    assert len(version) == VERSION_OCTETS, "an update is of an account that exists"
    first, second = account_key.encode(), session_key.encode()
    return _UPDATE % (
        len(first), first, len(second), second, version, len(account), account, len(session), session
    )  # fmt: skip


def encode_version(version: int) -> bytes:
    """The 8 octets to compare with; nothing for an account that must not exist."""
    return version.to_bytes(VERSION_OCTETS, "big") if version else b""


def encode_account(account: Account) -> bytes:
    return account.version.to_bytes(VERSION_OCTETS, "big") + _encoder.encode(account)


def decode_account(value: bytes) -> Account:
    """Raises msgspec.ValidationError when the octets are not an account."""
    account = _account_decoder.decode(memoryview(value)[VERSION_OCTETS:])
    assert value[:VERSION_OCTETS] == account.version.to_bytes(VERSION_OCTETS, "big"), "both versions are one"
    return account


def encode_subscriber(subscriber: Subscriber) -> bytes:
    return _encoder.encode(subscriber)


def decode_subscriber(value: bytes) -> Subscriber:
    """Raises msgspec.ValidationError when the octets are not a subscriber."""
    return _subscriber_decoder.decode(value)
