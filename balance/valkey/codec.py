"""Values in Valkey: an account is its version in 8 octets, big endian, then MessagePack.

The version stands in front so that the server function can compare it without reading the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from balance.account import Account
from balance.store import Subscriber

_encoder = msgspec.msgpack.Encoder()
_account_decoder = msgspec.msgpack.Decoder(Account)
_subscriber_decoder = msgspec.msgpack.Decoder(Subscriber)

VERSION_OCTETS = 8


_END: Final = b"\r\n"
_HEADS: Final = tuple(b"$%d\r\n" % octets for octets in range(4096))  # nearly all parts are shorter


def _head(octets: int) -> bytes:
    return _HEADS[octets] if octets < len(_HEADS) else b"$%d\r\n" % octets


def pack(parts: Sequence[bytes | str | int]) -> bytes:
    """One command in RESP: its parts, each after its length."""
    packed: list[bytes] = [b"*%d\r\n" % len(parts)]
    for part in parts:
        octets = part if isinstance(part, bytes) else part.encode() if isinstance(part, str) else b"%d" % part
        packed.append(_head(len(octets)))
        packed.append(octets)
        packed.append(_END)
    return b"".join(packed)


_UPDATE: Final = b"*8\r\n$5\r\nFCALL\r\n$10\r\nocs_update\r\n$1\r\n2\r\n"
_VERSION: Final = b"\r\n$8\r\n"


def pack_update(account_key: str, session_key: str, version: bytes, account: bytes, session: bytes) -> bytes:
    """``FCALL ocs_update 2 account session version account session``: by hand, for two thirds of all requests are it."""
    assert len(version) == VERSION_OCTETS, "an update is of an account that exists"
    first, second = account_key.encode(), session_key.encode()
    return b"".join((
        _UPDATE, _head(len(first)), first, _END, _head(len(second)), second, _VERSION, version, _END,
        _head(len(account)), account, _END, _head(len(session)), session, _END,
    ))  # fmt: skip


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
