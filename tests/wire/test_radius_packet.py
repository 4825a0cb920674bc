"""The packet on the wire: lengths, order, what is ignored and what is thrown away [R-1] [R-5] [R-7] [R-8]."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocols.radius import attributes as a
from protocols.radius.packet import MalformedPacket, attribute, decode, proxy_states
from protocols.radius.reading import Field, Reader, Reading
from protocols.radius.records import credentials_of, event_at_ms, is_framed, octets_used
from protocols.radius.words import named_attributes
from tests.wire.radius_packets import SECRET, access_request, accounting_request, attributes_of, cisco, dictionary

HEADER = bytes((4, 7)) + b"\x00\x14" + bytes(16)
SAMPLE = accounting_request(
    attributes_of({
        40: 2, 44: "abc-1", 1: "491512345", 30: "442012345", 46: 61, 41: 2, 55: 1_700_000_000, 32: "sbc1",
        26: [cisco(24, "h323-conf-id=1 2 3 4"), cisco(1, "call-id=x")], 33: [b"p1", b""],
    })
)  # fmt: skip


def with_length(octets: bytes, length: int) -> bytes:
    return octets[:2] + length.to_bytes(2, "big") + octets[4:]


@pytest.mark.parametrize(
    ("datagram", "why"),
    [
        (b"", "shorter than a header"),
        (HEADER[:19], "shorter than a header"),
        (with_length(HEADER, 19), "Length out of range"),
        (with_length(HEADER + bytes(5000), 4097), "Length out of range"),
        (with_length(HEADER, 21), "shorter than its Length"),
        (with_length(HEADER + b"\x01", 21), "attribute past the end"),
        (with_length(HEADER + b"\x01\x00", 22), "attribute length below 2"),
        (with_length(HEADER + b"\x01\x01", 22), "attribute length below 2"),
        (with_length(HEADER + b"\x01\x04a", 23), "attribute past the end"),
        (with_length(HEADER + b"\x01\x03a\x02", 24), "attribute past the end"),
    ],
)
def test_r1_lengths_that_disagree_are_malformed(datagram: bytes, why: str) -> None:
    """A packet whose lengths do not agree is thrown away as a whole, and the reason is told to our log only [C-8]."""
    with pytest.raises(MalformedPacket, match=why):
        decode(datagram)


def test_r1_octets_beyond_length_are_padding() -> None:
    """A datagram may be longer than its Length; the tail is not part of the packet [C-9]."""
    packet = decode(SAMPLE + b"\x00padding")
    assert packet.octets == SAMPLE
    assert packet.attributes == decode(SAMPLE).attributes


def test_r8_values_of_one_type_keep_their_order_and_an_empty_one_is_absent() -> None:
    """Order counts within a type; a value of no octets says nothing."""
    packet = decode(accounting_request(attributes_of({1: b"", 25: [b"one", b"", b"two"]})))
    assert packet.attributes == {25: (b"one", b"two")}


def test_r5_proxy_state_comes_back_unchanged_even_when_empty() -> None:
    """All instances, in their order."""
    packet = decode(accounting_request(attributes_of({33: [b"first", b"", b"\x00last"]})))
    assert proxy_states(packet) == attribute(33, b"first") + attribute(33, b"") + attribute(33, b"\x00last")


def test_r7_text_loses_trailing_nuls_and_is_never_a_fault() -> None:
    """Some clients end a text as C does, some send octets that are no UTF-8."""
    assert a.text(b"alice\x00\x00") == "alice"
    assert a.text("Grüße".encode()) == "Grüße"
    assert a.text(b"a\xff") == "a\\xff"


def test_numbers_and_addresses_of_a_wrong_length_are_absent() -> None:
    """A number has four octets, an address four or sixteen."""
    assert a.integer(b"\x00\x00\x01\x00") == 256
    assert a.integer(b"\x01") is None
    assert a.address(bytes((192, 0, 2, 1))) == "192.0.2.1"
    assert a.address(bytes.fromhex("20010db8000000000000000000000001")) == "2001:db8::1"
    assert a.address(b"\x01") == ""


FIELDS = {
    Field.ACCOUNT: ("User-Name",),
    Field.SESSION: ("Acct-Session-Id",),
    Field.CALL: ("h323-conf-id", "call-id"),
    Field.NAS: ("NAS-Identifier", "NAS-IP-Address"),
    Field.SECONDS: ("Acct-Session-Time",),
}


def reading(datagram: bytes) -> Reading:
    return Reader(dictionary(), FIELDS).open(decode(datagram))


def test_a_reading_has_what_charging_needs() -> None:
    """One Accounting-Request."""
    record = reading(SAMPLE)
    assert (record.number(a.ACCT_STATUS_TYPE), record.number(a.ACCT_DELAY_TIME)) == (2, 2)
    said = [record.text(field) for field in FIELDS]
    assert said == ["491512345", "abc-1", "1 2 3 4", "sbc1", "61"]
    assert event_at_ms(record) == 1_700_000_000_000
    assert octets_used(record) is None
    assert not is_framed(record)


@pytest.mark.parametrize(
    ("said", "expected"),
    [({7: 1}, True), ({6: 2}, True), ({6: 4, 7: 1}, True), ({6: 1, 7: 2}, False), ({6: 1}, False), ({}, False)],
)
def test_c19_service_type_tells_data_access_from_a_call(said: dict[int, Any], *, expected: bool) -> None:
    """Framed-Protocol counts where nothing else is said: one voice gateway sends Login with SLIP beside it."""
    assert is_framed(reading(accounting_request(attributes_of(said)))) is expected


def test_gigawords_count_the_wraps_of_the_octet_counters() -> None:
    """RFC 2869, section 5.1: a 32-bit counter that wrapped n times."""
    assert octets_used(reading(accounting_request(attributes_of({42: 5, 43: 7, 52: 1, 53: 2})))) == 12 + 3 * 2**32


@pytest.mark.parametrize(
    ("value", "at_ms"),
    [
        (b"\x65\x53\xf1\x00", 1_700_000_000_000),
        (b"1700000000.123456", 1_700_000_000_123),
        (b"1700000000", 1_700_000_000_000),
        (b"yesterday", None),
        (b"123.x", None),
        (b"9999999999999", None),
    ],
)
def test_event_timestamp_may_be_kamailios_text(value: bytes, at_ms: int | None) -> None:
    """Seconds as an integer, or in one mode of Kamailio as ``seconds.micros``; anything else is absent."""
    assert event_at_ms(reading(accounting_request(attributes_of({55: value})))) == at_ms


READER = Reader(dictionary(), FIELDS)


def read_everything(datagram: bytes) -> None:
    """What the server does with any datagram, short of charging."""
    try:
        packet = decode(datagram)
    except MalformedPacket:
        return
    record = READER.open(packet)
    for field in Field:
        record.text(field)
        record.texts(field)
    event_at_ms(record)
    octets_used(record)
    is_framed(record)
    credentials_of(packet)
    named_attributes(packet, dictionary())
    proxy_states(packet)


def test_a_packet_cut_anywhere_is_malformed() -> None:
    """Truncated at every octet: never a crash, never taken for whole."""
    for size in range(len(SAMPLE)):
        with pytest.raises(MalformedPacket):
            decode(SAMPLE[:size])
        read_everything(with_length(SAMPLE[:size], size) if size >= 4 else SAMPLE[:size])


@given(flips=st.lists(st.integers(0, len(SAMPLE) * 8 - 1), min_size=1, max_size=12))
def test_flipped_bits_never_crash(flips: list[int]) -> None:
    """Any damage is malformed or read as something else."""
    octets = bytearray(SAMPLE)
    for bit in flips:
        octets[bit // 8] ^= 1 << bit % 8
    read_everything(bytes(octets))


@given(body=st.binary(max_size=300), code=st.integers(0, 255))
@example(body=b"\x1a\x02", code=4)
@example(body=b"\x1a\x07\x00\x00\x00\x09\x18", code=4)
def test_any_body_never_crashes(body: bytes, code: int) -> None:
    """Arbitrary octets behind a lawful header."""
    octets = bytes((code, 1)) + (20 + len(body)).to_bytes(2, "big") + bytes(16) + body
    read_everything(octets)


@given(st.lists(st.tuples(st.integers(1, 255), st.binary(min_size=1, max_size=253)), max_size=15))
def test_decode_gives_back_what_was_encoded(pairs: list[tuple[int, bytes]]) -> None:
    """decode(encode(x)) == x, by type."""
    body = b"".join(attribute(kind, value) for kind, value in pairs)
    expected: dict[int, list[bytes]] = {}
    for kind, value in pairs:
        expected.setdefault(kind, []).append(value)
    octets = access_request(body, sign=False, secret=SECRET)
    if len(octets) <= 4096:
        packet = decode(octets)
        assert packet.attributes == {kind: tuple(values) for kind, values in expected.items()}
        for kind in range(256):
            values = expected.get(kind, [])
            assert packet.has(kind) == bool(values)
            assert packet.values(kind) == tuple(values)
            assert packet.first(kind) == (values[0] if values else None)
