"""Attributes as people write them, there and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.radius.packet import decode
from protocols.radius.words import Named, WordsError, attribute_octets, code_name, named_attributes
from tests.wire.radius_packets import access_request, accounting_request, attributes_of, cisco, dictionary


def words_of(body: bytes) -> list[Named]:
    return named_attributes(decode(accounting_request(body)), dictionary())


@pytest.mark.parametrize(
    ("name", "text", "octets"),
    [
        ("User-Name", '"alice"', b"\x01\x07alice"),
        ("user-name", "alice", b"\x01\x07alice"),
        ("User-Name", r'"a \"b\" \\ \n"', b'\x01\x0ba "b" \\ \n'),
        ("Acct-Status-Type", "Stop", b"\x28\x06\0\0\0\x02"),
        ("Acct-Status-Type", "99", b"\x28\x06\0\0\0\x63"),
        ("NAS-IP-Address", "192.0.2.1", b"\x04\x06\xc0\0\x02\x01"),
        ("NAS-IPv6-Address", "2001:db8::1", b"\x5f\x12\x20\x01\x0d\xb8" + bytes(11) + b"\x01"),
        ("Event-Timestamp", "2023-11-14T22:13:20Z", b"\x37\x06\x65\x53\xf1\x00"),
        ("Event-Timestamp", "2023-11-14 22:13:20", b"\x37\x06\x65\x53\xf1\x00"),
        ("Event-Timestamp", "1700000000", b"\x37\x06\x65\x53\xf1\x00"),
        ("Class", "0x00ff", b"\x19\x04\0\xff"),
        ("h323-credit-time", "540", b"\x1a\x0b\0\0\0\x09\x66\x05540"),
        ("Attr-231", "0x01", b"\xe7\x03\x01"),
        ("Vendor-9-Attr-250", "x", b"\x1a\x09\0\0\0\x09\xfa\x03x"),
    ],
)
def test_names_and_values_become_octets(name: str, text: str, octets: bytes) -> None:
    """Texts, numbers and their names, addresses, instants, octets in hex, and numbers that have no name."""
    assert attribute_octets(name, text, dictionary()) == octets


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("User-Nmae", "x", "User-Nmae is in no dictionary"),
        ("Acct-Session-Time", "soon", "'soon' is no number"),
        ("Acct-Session-Time", "4294967296", "is no number that fits"),
        ("Event-Timestamp", "yesterday", "'yesterday' is no number"),
        ("NAS-IP-Address", "here", "'here' is no address"),
        ("User-Name", "x" * 254, "the value takes 254 octets, and 253 fit"),
        ("h323-conf-id", "x" * 248, "the value takes 248 octets, and 247 fit"),
        ("Attr-300", "x", "cannot stand by itself"),
    ],
)
def test_what_is_no_attribute_says_why(name: str, text: str, message: str) -> None:
    """One line for whoever wrote it."""
    with pytest.raises(WordsError, match=message):
        attribute_octets(name, text, dictionary())


def test_r6_what_is_unknown_or_broken_is_shown_in_hex() -> None:
    """Nothing is left out, and nothing is a fault."""
    broken = [cisco(24, "1 2 3 4"), cisco(200, "x"), b"\x00\x00\x00\x09\x18\x63a", b"\x00"]
    assert words_of(attributes_of({231: b"a", 26: broken, 46: b"ab", 40: 2, 4: b"abc"})) == [
        ("Attr-231", "0x61"),
        ("h323-conf-id", '"1 2 3 4"'),
        ("Vendor-9-Attr-200", "0x78"),
        ("Vendor-Specific", "0x00000009186361"),
        ("Vendor-Specific", "0x00"),
        ("Acct-Session-Time", "0x6162"),
        ("Acct-Status-Type", "Stop"),
        ("NAS-IP-Address", "0x616263"),
    ]


def test_passwords_are_not_read_out() -> None:
    """User-Password is hidden with the secret: what is on the wire is no text."""
    packet = decode(access_request(attributes_of({2: bytes(16)}), sign=False))
    assert named_attributes(packet, dictionary()) == [("User-Password", f"0x{'00' * 16}")]


def test_codes_have_names() -> None:
    """Also those we do not serve."""
    assert [code_name(code) for code in (1, 40, 99)] == ["Access-Request", "Disconnect-Request", "Code-99"]


@given(
    st.lists(
        st.tuples(st.sampled_from([1, 4, 40, 44, 46, 55, 225, 231]), st.binary(min_size=1, max_size=40)), max_size=8
    ),
)
def test_what_is_shown_can_be_sent_again(pairs: list[tuple[int, bytes]]) -> None:
    """octets -> words -> octets, wherever the value is what its type says."""
    body = attributes_of({})
    for kind, value in pairs:
        body += attributes_of({kind: value if kind not in (1, 44, 225) else value.hex().encode()})
    again = b"".join(attribute_octets(name, text, dictionary()) for name, text in words_of(body))
    assert again == body
