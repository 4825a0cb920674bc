"""AVPs on the wire: walking, lengths, padding, unknown ones (diameter-base 2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.diameter import avp, codes, dictionary
from protocols.diameter.avp import AvpFault
from protocols.diameter.result_codes import ResultCode

TGPP = codes.VENDOR_3GPP << 32
keys = st.sampled_from([codes.SESSION_ID, codes.USER_NAME, TGPP | 30, 999_999, TGPP | 999_999, 5 << 32 | 7])


@given(st.lists(st.tuples(keys, st.binary(max_size=40), st.booleans()), max_size=20))
def test_walk_finds_what_was_built(members: list[tuple[int, bytes, bool]]) -> None:
    """Each AVP comes back with its key and data, in order, the first of a key apart from the further ones."""
    frame = b"".join(avp.avp(*member) for member in members)
    found, more = avp.walk(frame, 0, len(frame))
    walked = sorted([*((at, key) for key, at in found.items()), *((at, key) for key, at in more)])
    assert [(key, avp.octets(frame, at)) for at, key in walked] == [(key, data) for key, data, _ in members]
    assert b"".join(avp.raw(frame, at) for at, _ in walked) == frame


@given(st.integers(0, 2**32 - 1), st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**64 - 1), st.booleans())
def test_numbers_round_trip(unsigned: int, signed: int, large: int, has_vendor: bool) -> None:
    """What the builders write the readers read, with and without Vendor-Id."""
    key = (TGPP if has_vendor else 0) | 9
    assert avp.u32(avp.avp_u32(key, unsigned), 0) == unsigned
    assert avp.i32(avp.avp_i32(key, signed), 0) == signed
    assert avp.u64(avp.avp_u64(key, large), 0) == large
    assert avp.i64(avp.avp_i64(key, large - 2**63), 0) == large - 2**63


@given(st.text(max_size=50))
def test_text_round_trips_with_padding(text: str) -> None:
    """B-20: the length counts header and data; zero octets fill up to a multiple of four."""
    data = avp.avp_text(codes.SESSION_ID, text)
    assert len(data) % 4 == 0
    assert int.from_bytes(data[5:8], "big") == 8 + len(text.encode())
    assert avp.text(data, 0) == text


@pytest.mark.parametrize(
    ("octets", "sample"),
    [
        pytest.param("00000107 40000007 61626364", "00000107 40000008", id="length below the header's"),
        pytest.param("00000107 40000010 61626364", "00000107 40000008", id="length past the end"),
        pytest.param("00000107 40000000", "00000107 40000008", id="length zero"),
        pytest.param("0000019f 40000004", "0000019f 4000000c 00000000", id="a number's sample has its four zeros"),
        pytest.param("00000369 c000000b 000028af", "00000369 c000000c 000028af", id="V bit without room for a vendor"),
        pytest.param("00000107", "00000107 00000008", id="a header cut short is filled with zeros"),
        pytest.param("00000369 c000000c", "00000369 40000008", id="vendor cut off"),
    ],
)
def test_b21_lengths_that_cannot_be(octets: str, sample: str) -> None:
    """B-21: 5014 with the AVP's header and zero data of the least length its type has."""
    frame = bytes.fromhex(octets)
    with pytest.raises(AvpFault) as caught:
        avp.walk(frame, 0, len(frame))
    assert caught.value.result_code == ResultCode.INVALID_AVP_LENGTH
    assert caught.value.failed_avp == bytes.fromhex(sample)


@pytest.mark.parametrize("length", [8, 9, 11, 13, 16])
def test_a_number_of_wrong_length_is_5014(length: int) -> None:
    """Unsigned32 has four octets, no more and no less."""
    frame = avp.avp(codes.CC_REQUEST_NUMBER, bytes(length - 8))
    with pytest.raises(AvpFault) as caught:
        avp.u32(frame, 0)
    assert caught.value.result_code == ResultCode.INVALID_AVP_LENGTH
    assert caught.value.failed_avp == avp.avp(codes.CC_REQUEST_NUMBER, bytes(4))


def test_text_that_is_no_utf8_is_5004() -> None:
    """Invalid UTF-8 is an invalid value, with the AVP itself."""
    frame = avp.avp(codes.SESSION_ID, b"\xff\xfe")
    with pytest.raises(AvpFault) as caught:
        avp.text(frame, 0)
    assert (caught.value.result_code, caught.value.failed_avp) == (ResultCode.INVALID_AVP_VALUE, frame)


def test_b22_vendor_zero_is_no_vendor() -> None:
    """B-22: the V bit with Vendor-Id 0 means the IETF's AVP."""
    frame = bytes.fromhex("0000019f c0000010 00000000 00000005")
    found, _ = avp.walk(frame, 0, len(frame))
    assert avp.u32(frame, found[codes.CC_REQUEST_NUMBER]) == 5


@pytest.mark.parametrize(("mandatory", "is_refused"), [(True, True), (False, False)])
def test_b24_unknown_avp(mandatory: bool, is_refused: bool) -> None:
    """B-24: an unknown AVP is refused with 5001 if it has the M bit, and passed over if not."""
    unknown = avp.avp(TGPP | 999_999, b"abc", mandatory)
    frame = avp.avp_u32(codes.CC_REQUEST_NUMBER, 1) + unknown
    found, more = avp.walk(frame, 0, len(frame))
    if not is_refused:
        avp.reject_unknown(frame, found, more)
        return
    with pytest.raises(AvpFault) as caught:
        avp.reject_unknown(frame, found, more)
    assert (caught.value.result_code, caught.value.failed_avp) == (ResultCode.AVP_UNSUPPORTED, unknown)


def test_5001_names_the_first_of_several() -> None:
    """Only the first fault found is reported, in the order of the wire."""
    first, second = avp.avp(999_998, b""), avp.avp(999_999, b"")
    frame = first + second + first
    with pytest.raises(AvpFault) as caught:
        avp.reject_unknown(frame, *avp.walk(frame, 0, len(frame)))
    assert caught.value.failed_avp == first


def test_a_fault_inside_groups_has_its_chain_of_parents() -> None:
    """RFC 6733, 7.5: Failed-AVP holds the parents with only the offending leaf inside."""
    leaf = avp.avp_u32(codes.RATING_GROUP, 5)
    outer = avp.avp(codes.MULTIPLE_SERVICES_CREDIT_CONTROL, avp.avp_u32(codes.SERVICE_IDENTIFIER, 1) + leaf)
    fault = AvpFault(ResultCode.INVALID_AVP_VALUE, leaf, "").inside(outer, 0)
    assert fault.failed_avp == avp.avp(codes.MULTIPLE_SERVICES_CREDIT_CONTROL, leaf)


@pytest.mark.parametrize(
    ("name", "vendor_id", "code", "kind"),
    [
        ("Session-Id", 0, 263, "text"),
        ("Multiple-Services-Credit-Control", 0, 456, "group"),
        ("SIP-Method", 10415, 824, "text"),
        ("Unused-Quota-Timer", 10415, 4407, "u32"),
        ("Recipient-Address", 10415, 1201, "group"),
        ("Cause-Code", 10415, 861, "i32"),
    ],
)
def test_dictionary_knows(name: str, vendor_id: int, code: int, kind: str) -> None:
    """Names, codes and types are those of the defining specifications, where dictionaries differ."""
    definition = dictionary.BY_NAME[name]
    assert (definition.vendor_id, definition.code, definition.kind) == (vendor_id, code, kind)
    assert dictionary.name_of(vendor_id << 32 | code) == name


def test_dictionary_says_what_it_does_not_know() -> None:
    """An unknown AVP is written as vendor:code."""
    assert dictionary.name_of(7 << 32 | 8) == "7:8"
    assert len(dictionary.BY_KEY) == 726
