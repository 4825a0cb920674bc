"""Vendor attributes of voice switches: layouts, dialects, names, times and causes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.radius.attributes import sub_attributes
from protocols.radius.h323 import CallTime, cause_of_decimal, cause_of_hex, dialled_digits, normal_conf_id, parse_time
from protocols.radius.packet import decode
from protocols.radius.reading import SOURCE_ADDRESS, Field, Reader, Rewrite
from tests.wire.radius_packets import accounting_request, attributes_of, cisco, dictionary, reading_of

AT_MS = 1_449_567_217_657  # 2015-12-08 09:33:37.657 UTC


FIELDS = {
    Field.ACCOUNT: ("Asterisk-Acc-Code", "User-Name", "Asterisk-Src"),
    Field.CALLER: ("Cisco-AVPair:xpgk-src-number-in", "Calling-Station-Id"),
    Field.CALLEE: ("Called-Station-Id", "Freeswitch-Dst"),
    Field.CALL: ("h323-conf-id", "Quintum-h323-conf-id", "call-id"),
    Field.LEG: ("h323-call-origin", "Freeswitch-Direction"),
    Field.CONNECT_TIME: ("h323-connect-time",),
    Field.DISCONNECT_TIME: ("h323-disconnect-time",),
    Field.SECONDS: ("Acct-Session-Time", "Sip-Call-Duration", "Asterisk-Bill-Sec"),
    Field.CAUSE: ("Freeswitch-Hangupcause",),
    Field.NAS: ("NAS-Identifier", "NAS-IP-Address", "NAS-IPv6-Address"),
}


def texts_of(*contents: bytes) -> dict[Field, str]:
    reading = reading_of(list(contents), FIELDS)
    return {field: reading.text(field) for field in Field if reading.text(field)}


def vendor(number: int, *subs: bytes) -> bytes:
    return number.to_bytes(4, "big") + b"".join(subs)


def sub(number: int, value: bytes) -> bytes:
    return bytes((number, len(value) + 2)) + value


@pytest.mark.parametrize(
    ("contents", "expected"),
    [
        ([cisco(24, "h323-conf-id=A B C D")], {Field.CALL: "A B C D"}),
        ([cisco(24, "A B C D")], {Field.CALL: "A B C D"}),
        ([cisco(24, "H323-Conf-ID=A B C D")], {Field.CALL: "A B C D"}),
        ([cisco(26, "h323-call-origin=answer"), cisco(26, "originate")], {Field.LEG: "answer"}),
        ([cisco(1, "call-id=x@y")], {Field.CALL: "x@y"}),
        ([cisco(1, "Call-ID=x@y")], {Field.CALL: "x@y"}),
        ([cisco(1, "h323-connect-time = never")], {Field.CONNECT_TIME: " never"}),
        ([cisco(1, "xpgk-src-number-in=49151")], {Field.CALLER: "49151"}),
        ([cisco(1, "xpgk-route-retries=2"), cisco(1, "no pair"), cisco(1, "call-id=")], {}),
        ([vendor(9, sub(28, b"one"), sub(29, b"two"))], {Field.CONNECT_TIME: "one", Field.DISCONNECT_TIME: "two"}),
        ([vendor(6618, sub(24, b"Quintum-h323-conf-id=1 2 3 4"))], {Field.CALL: "1 2 3 4"}),
        ([vendor(6618, sub(24, b"h323-conf-id=1 2 3 4"))], {Field.CALL: "1 2 3 4"}),
        ([vendor(22736, sub(114, (61).to_bytes(4, "big")))], {Field.SECONDS: "61"}),
        ([vendor(22736, sub(114, b"61"))], {Field.SECONDS: "61"}),
        ([vendor(22736, sub(101, b"acc1"), sub(102, b"49151"))], {Field.ACCOUNT: "acc1"}),
        ([vendor(27880, sub(24, b"outbound"), sub(5, b"44"))], {Field.LEG: "outbound", Field.CALLEE: "44"}),
        ([vendor(27880, sub(13, bytes((0, 0, 0, 16))))], {Field.CAUSE: "16"}),
        ([vendor(9, b"\x18")], {}),
        ([vendor(9, b"\x18\x01")], {}),
        ([vendor(9, b"\x18\x09abc")], {}),
        ([vendor(9, sub(24, b""))], {}),
        ([b"\x00\x00"], {}),
        ([vendor(4711, sub(24, b"1 2 3 4"))], {}),
    ],
)
def test_r6_r120_vendor_attributes_by_meaning(contents: list[bytes], expected: dict[Field, str]) -> None:
    """Both dialects [C-13], several in one, and what is broken or unknown is left out without harm [C-9]."""
    assert texts_of(*contents) == expected


def test_r9_vendors_with_other_layouts() -> None:
    """USR has numbers of four octets and no length, Lucent numbers of two, Starent both of two (RFC 2865, 5.26)."""
    assert sub_attributes(vendor(429, b"\x00\x00\x98\x43rest"), (4, 0)) == [(0x9843, b"rest")]
    assert sub_attributes(vendor(4846, b"\x01\x02\x05ab"), (2, 1)) == [(0x0102, b"ab")]
    assert sub_attributes(vendor(8164, b"\x00\x03\x00\x06ab\x00\x04\x00\x04"), (2, 2)) == [(3, b"ab"), (4, b"")]
    assert sub_attributes(vendor(8164, b"\x00\x03\x00"), (2, 2)) == []


def test_r120_the_profiles_order_decides() -> None:
    """The first attribute that has a value wins; of the account every one that has is a candidate."""
    of = reading_of([vendor(22736, sub(102, b"49151"))], FIELDS, attributes_of({1: "alice", 46: 9, 227: 65}))
    assert (of.text(Field.SECONDS), of.text(Field.ACCOUNT)) == ("9", "alice")
    assert of.texts(Field.ACCOUNT) == ["alice", "49151"]
    assert of.texts(Field.CALL) == []


def test_r7_numbers_and_addresses_are_read_as_text() -> None:
    """A gateway's address is its name where it has no identifier."""
    of = reading_of([], FIELDS, attributes_of({4: bytes((192, 0, 2, 1)), 95: bytes(15) + b"\1", 46: b"\0\1"}))
    assert of.texts(Field.NAS) == ["192.0.2.1", "::1"]
    assert of.text(Field.SECONDS) == "\0\1"


def test_where_the_packet_came_from_may_name_the_account() -> None:
    """Trunks that are known by their address alone."""
    of = reading_of([], {Field.ACCOUNT: ("User-Name", SOURCE_ADDRESS)}, source="192.0.2.7")
    assert (of.text(Field.ACCOUNT), of.texts(Field.ACCOUNT)) == ("192.0.2.7", ["192.0.2.7"])
    named = reading_of([], {Field.ACCOUNT: ("User-Name", SOURCE_ADDRESS)}, attributes_of({1: "t"}), "192.0.2.7")
    assert (named.text(Field.ACCOUNT), named.texts(Field.ACCOUNT)) == ("t", ["t", "192.0.2.7"])


def test_taken_numbers_are_read_by_number() -> None:
    """Kamailio's tags stand where RFC 5090 has a digest's realm [C-2]."""
    of = reading_of([], {Field.TAGS: ("Attr-104", "Attr-105")}, attributes_of({104: "b", 105: "a"}))
    assert of.texts(Field.TAGS) == ["b", "a"]


def test_rewriting_rules_follow_one_another() -> None:
    """Each replaces the first place that its pattern fits, in its own field."""
    rules = [
        Rewrite(Field.CALLEE, re.compile(r"^(?:00|\+)"), ""),
        Rewrite(Field.CALLEE, re.compile(r"^0([1-9])"), r"49\1"),
        Rewrite(Field.CALLER, re.compile(r"^x"), ""),
    ]
    reader = Reader(dictionary(), FIELDS, rules)
    for said, meant in (("0044201", "44201"), ("0301234", "49301234"), ("+44201", "44201"), ("x1", "x1")):
        of = reader.open(decode(accounting_request(attributes_of({30: said, 31: "x1"}))))
        assert (of.text(Field.CALLEE), of.text(Field.CALLER), of.texts(Field.CALLEE)) == (meant, "1", [meant])


def test_names_that_no_dictionary_has_are_told() -> None:
    """So that a typing error is found before the first call."""
    reader = Reader(dictionary(), {Field.CALL: ("h323-conf-di", "Attr-0", "Cisco-AVPear:x", "h323-conf-id")})
    assert [(fault.field, fault.name) for fault in reader.faults] == [
        (Field.CALL, "h323-conf-di"), (Field.CALL, "Attr-0"), (Field.CALL, "Cisco-AVPear:x"),
    ]  # fmt: skip


def test_opensips_reports_durations_in_the_standard_space() -> None:
    """Sip-Call-Duration is attribute 227 of no vendor."""
    assert reading_of([], FIELDS, attributes_of({227: 65})).text(Field.SECONDS) == "65"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("09:33:37.657 UTC Tue Dec 8 2015", CallTime(AT_MS, is_trusted=True)),
        ("09:33:37.657 UTC Fri Dec 8 2015", CallTime(AT_MS, is_trusted=True)),
        ("*09:33:37.657 UTC Tue Dec 8 2015", CallTime(AT_MS, is_trusted=False)),
        (".09:33:37.657 GMT Tue Dec  8 2015", CallTime(AT_MS, is_trusted=False)),
        ("9:33:37 GMT Dec 08 2015", CallTime(AT_MS - 657, is_trusted=True)),
        ("12:33:37.657 +0300 Tue Dec 8 2015", CallTime(AT_MS, is_trusted=True)),
        ("04:03:37.657 -05:30 Tue Dec 8 2015", CallTime(AT_MS, is_trusted=True)),
        ("13:33:37.657 GMT+4 Tue Dec 8 2015", CallTime(AT_MS, is_trusted=True)),
        ("06:03:37.657 UTC-03:30 Dec 8 2015", CallTime(AT_MS, is_trusted=True)),
        ("2015-12-08_09:33:37", CallTime(AT_MS - 657, is_trusted=True)),
        ("09:33:37.657 EST+4 Tue Dec 8 2015", None),
        ("09:33:37.657 MSK Tue Dec 8 2015", CallTime(AT_MS, is_trusted=False)),
        ("2015-12-08T09:33:37.657Z", CallTime(AT_MS, is_trusted=True)),
        ("2015-12-08T10:33:37.657000+0100", CallTime(AT_MS, is_trusted=True)),
        ("2015-12-08 09:33:37", CallTime(AT_MS - 657, is_trusted=True)),
        ("2015-12-08 06:33:37 -0300", CallTime(AT_MS - 657, is_trusted=True)),
        ("1449567217.657", CallTime(AT_MS, is_trusted=True)),
        ("1449567217", CallTime(AT_MS - 657, is_trusted=True)),
        ("", None),
        ("*", None),
        ("never", None),
        ("09:33:37.657 UTC Tue Foo 8 2015", None),
        ("25:33:37.657 UTC Tue Dec 8 2015", None),
        ("2015-02-30T09:33:37", None),
    ],
)
def test_h323_times(text: str, expected: CallTime | None) -> None:
    """Cisco's form, its marks [C-17], zones by offset and by name, ISO 8601 and epoch seconds."""
    assert parse_time(text) == expected


@given(st.text(max_size=60))
def test_no_text_makes_the_time_parser_fail(text: str) -> None:
    """Clients send what they like."""
    parse_time(text)
    parse_time(f"09:33:37.657 {text} Dec 8 2015")
    normal_conf_id(text)
    cause_of_hex(text)
    cause_of_decimal(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12AB 0 F00 1", "000012ab0000000000000f0000000001"),
        (" 12345678 9ABCDEF0 12345678 9abcdef0 ", "123456789abcdef0123456789abcdef0"),
        ("some-call@host", "some-call@host"),
        ("1 2 3", "1 2 3"),
        ("123456789 1 2 3", "123456789 1 2 3"),
    ],
)
def test_conf_ids_are_brought_to_one_form(text: str, expected: str) -> None:
    """Four groups of eight hex digits, whose leading zeros and case differ between legs; all else stays [R-74]."""
    assert normal_conf_id(text) == expected


@pytest.mark.parametrize(("text", "cause"), [("10", 16), ("1F", 31), ("66", 102), ("0", 0), ("FF", None), ("x", None)])
def test_disconnect_causes_are_hex(text: str, cause: int | None) -> None:
    """Q.850 causes have seven bits."""
    assert cause_of_hex(text) == cause


@pytest.mark.parametrize(
    ("text", "cause"), [("16", 16), ("22 (0x16)", 22), ("102", 102), ("200", None), ("1F", None), ("", None)]
)
def test_disconnect_causes_are_decimal_at_some(text: str, cause: int | None) -> None:
    """AudioCodes, and FreeSWITCH whose attribute is a number."""
    assert cause_of_decimal(text) == cause


def test_dialled_digits_of_ciscos_form() -> None:
    """ton:x,npi:y,#:digits, or the digits alone."""
    assert dialled_digits("ton:0,npi:0,#:442012345") == "442012345"
    assert dialled_digits("442012345") == "442012345"
