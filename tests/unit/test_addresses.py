"""Addresses to listen on: how they are written, and why one is not free."""

from __future__ import annotations

import socket

import pytest

from ocs.addresses import Address, parse_address, why_not_free


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:3868", Address("127.0.0.1", 3868)),
        ("ocs.example.net:0", Address("ocs.example.net", 0)),
        ("[::1]:3868", Address("::1", 3868)),
        ("::1:3868", None),
        ("127.0.0.1", None),
        (":3868", None),
        ("127.0.0.1:", None),
        ("127.0.0.1:65536", None),
        ("127.0.0.1:-1", None),
        ("127.0.0.1:²", None),
    ],
)
def test_parse(text: str, expected: Address | None) -> None:
    """A host and a port, with brackets around what holds colons; anything else is no address."""
    assert parse_address(text) == expected
    if expected is not None:
        assert str(expected) == text


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_taken_port(kind: socket.SocketKind) -> None:
    """A port that another socket has is taken; afterwards it is free."""
    with socket.socket(type=kind) as other:
        other.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            other.listen()
        address = Address(*other.getsockname())
        assert why_not_free(address, kind) == "is taken by another process"
    assert why_not_free(address, kind) == ""


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_address_of_another_machine(host: str) -> None:
    """An address that is not ours is said to be so, not to be taken."""
    assert why_not_free(Address(host, 3868), socket.SOCK_STREAM) == "is no address of this machine"
