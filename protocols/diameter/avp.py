"""AVPs: a walker that copies nothing, readers that check lengths, builders that pad (RFC 6733, section 4).

The walker gives positions, not values: what nobody asks for is never decoded. Groups are walked only where the
caller knows their grammar, so nesting depth is bounded by our own code, never by the peer [B-13].
"""

from __future__ import annotations

import sys
from array import array
from ipaddress import ip_address
from struct import Struct, error
from typing import Final

from protocols.diameter import codes, dictionary
from protocols.diameter.result_codes import ResultCode

_HEAD: Final = Struct(">II")
_VENDOR: Final = Struct(">I")
_U32: Final = Struct(">III")
_U32_VENDOR: Final = Struct(">IIII")
_U64: Final = Struct(">IIQ")
_U64_VENDOR: Final = Struct(">IIIQ")
_I64: Final = Struct(">q")
_I32: Final = Struct(">i")
_head = _HEAD.unpack_from
_vendor = _VENDOR.unpack_from
_u32 = _U32.unpack_from
_u64 = _U64.unpack_from

_IS_LITTLE_ENDIAN: Final = sys.byteorder == "little"
assert array("I").itemsize == 4, "the walker reads words of four octets"

_LENGTH: Final = 0x00FF_FFFF
_VENDOR_FLAG: Final = codes.VENDOR_BIT << 24
_MANDATORY_FLAG: Final = codes.MANDATORY_BIT << 24
_SHAPE: Final = _VENDOR_FLAG | _LENGTH  # the V bit and the length: what tells the layout
_PADDING: Final = (b"", b"\0\0\0", b"\0\0", b"\0")


class AvpFault(Exception):  # noqa: N818 - a finding about the peer's message; it is answered, not raised further
    """An AVP cannot be taken. ``failed_avp`` is what belongs into Failed-AVP: the leaf in its chain of parents."""

    def __init__(self, result_code: ResultCode, failed_avp: bytes, message: str) -> None:
        super().__init__(message)
        self.result_code = result_code
        self.failed_avp = failed_avp
        self.message = message

    def inside(self, frame: bytes, position: int) -> AvpFault:
        """Wrap the leaf into the group at ``position`` (RFC 6733, section 7.5: the chain of parents)."""
        code, word = _head(frame, position)
        vendor_id = _vendor(frame, position + 8)[0] if word & _VENDOR_FLAG else 0
        parent = avp(vendor_id << 32 | code, self.failed_avp, bool(word & _MANDATORY_FLAG))
        return AvpFault(self.result_code, parent, self.message)


def walk(frame: bytes, position: int, end: int) -> tuple[dict[int, int], list[tuple[int, int]]]:
    """Find the AVPs in ``frame[position:end]``.

    Returns where the first AVP of each key starts, and (key, start) of each further one in the order of the wire.
    Raises AvpFault 5014 when one does not fit its container [B-21].
    """
    found: dict[int, int] = {}
    more: list[tuple[int, int]] = []
    # Everything is aligned to four octets, so the octets are turned into words at once and the loop only indexes.
    words = array("I", frame[position : position + (end - position & -4)])
    if _IS_LITTLE_ENDIAN:
        words.byteswap()
    count = len(words)
    index = last = 0
    try:
        while index < count:
            last = index
            code = words[index]
            word = words[index + 1]
            length = word & _LENGTH
            if word >= _VENDOR_FLAG:
                code |= words[index + 2] << 32
                if length < 12:
                    raise _bad_length(frame, position + 4 * index, end)
            elif length < 8:
                raise _bad_length(frame, position + 4 * index, end)
            if code in found:
                more.append((code, position + 4 * index))
            else:
                found[code] = position + 4 * index
            index += (length + 3) >> 2  # padding is not counted in the length [B-20]
    except IndexError:  # fewer octets are left than a header has
        raise _bad_length(frame, position + 4 * index, end) from None
    if index != count or end - position & 3:
        return _walked_to_the_end(frame, position + 4 * last, end, found, more)
    return found, more


def _walked_to_the_end(
    frame: bytes, last: int, end: int, found: dict[int, int], more: list[tuple[int, int]]
) -> tuple[dict[int, int], list[tuple[int, int]]]:
    """The container's length is no multiple of four: its last AVP may lack its padding, nothing else."""
    if end - last >= 8 and last + (_head(frame, last)[1] & _LENGTH) <= end <= last + (
        (_head(frame, last)[1] & _LENGTH) + 3 & -4
    ):
        return found, more
    raise _bad_length(frame, last, end)


def _bad_length(frame: bytes, position: int, end: int) -> AvpFault:
    """The header of the AVP with zero data of the least length its type has (RFC 6733, section 7.1.5)."""
    code, word = _head(frame[position : min(position + 8, end)].ljust(8, b"\0"), 0)
    key = code
    if word & _VENDOR_FLAG:
        key |= _vendor(frame[position + 8 : min(position + 12, end)].ljust(4, b"\0"), 0)[0] << 32
    sample = avp(key, bytes(dictionary.octets_min(key)), bool(word & _MANDATORY_FLAG))
    return AvpFault(ResultCode.INVALID_AVP_LENGTH, sample, f"{dictionary.name_of(key)} has a length that cannot be")


def reject_unknown(frame: bytes, found: dict[int, int], more: list[tuple[int, int]]) -> None:
    """Raise AvpFault 5001 for the first AVP that we do not know and that has the M bit [B-24]."""
    if dictionary.KNOWN_KEYS.issuperset(found):
        return
    unknown = [(position, key) for key, position in found.items() if key not in dictionary.KNOWN_KEYS]
    unknown += [(position, key) for key, position in more if key not in dictionary.KNOWN_KEYS]
    for position, key in sorted(unknown):
        if _head(frame, position)[1] & _MANDATORY_FLAG:
            message = f"AVP {dictionary.name_of(key)} is not supported"
            raise AvpFault(ResultCode.AVP_UNSUPPORTED, raw(frame, position), message)


def missing(key: int) -> AvpFault:
    """5005 with a sample: the code, and zeros of the least length (RFC 6733, section 7.1.5)."""
    sample = avp(key, bytes(dictionary.octets_min(key)))
    return AvpFault(ResultCode.MISSING_AVP, sample, f"{dictionary.name_of(key)} is missing")


def invalid(frame: bytes, position: int, why: str) -> AvpFault:
    """5004 with the AVP itself."""
    return AvpFault(ResultCode.INVALID_AVP_VALUE, raw(frame, position), why)


def raw(frame: bytes, position: int) -> bytes:
    """The whole AVP as it came, with its padding; it has to be one that ``walk`` found."""
    length = _head(frame, position)[1] & _LENGTH
    return frame[position : position + length] + _PADDING[length & 3]


def bounds(frame: bytes, position: int) -> tuple[int, int]:
    """Where the data of an AVP that ``walk`` found starts and ends."""
    word = _head(frame, position)[1]
    return position + (12 if word & _VENDOR_FLAG else 8), position + (word & _LENGTH)


def octets(frame: bytes, position: int) -> bytes:
    word = _head(frame, position)[1]
    return frame[position + (12 if word >= _VENDOR_FLAG else 8) : position + (word & _LENGTH)]


def text(frame: bytes, position: int) -> str:
    """UTF8String; octets that are no UTF-8 are an invalid value (RFC 6733, section 4.3.1)."""
    word = _head(frame, position)[1]
    try:
        return frame[position + (12 if word >= _VENDOR_FLAG else 8) : position + (word & _LENGTH)].decode()
    except UnicodeDecodeError:
        raise invalid(frame, position, "the text is not UTF-8") from None


def u32(frame: bytes, position: int) -> int:
    """Unsigned32, Enumerated and Time: four octets, with or without Vendor-Id."""
    try:
        _, word, value = _u32(frame, position)
        shape = word & _SHAPE
        if shape == 12:
            return value  # type: ignore[no-any-return]
        if shape == _VENDOR_FLAG | 16:
            return int(_U32_VENDOR.unpack_from(frame, position)[3])
    except error:
        pass
    raise _bad_length(frame, position, len(frame))


def u64(frame: bytes, position: int) -> int:
    try:
        _, word, value = _u64(frame, position)
        shape = word & _SHAPE
        if shape == 16:
            return value  # type: ignore[no-any-return]
        if shape == _VENDOR_FLAG | 20:
            return int(_U64_VENDOR.unpack_from(frame, position)[3])
    except error:
        pass
    raise _bad_length(frame, position, len(frame))


def i32(frame: bytes, position: int) -> int:
    value = u32(frame, position)
    return value - (1 << 32) if value >> 31 else value


def i64(frame: bytes, position: int) -> int:
    value = u64(frame, position)
    return value - (1 << 64) if value >> 63 else value


def avp(key: int, data: bytes, mandatory: bool = True) -> bytes:
    """Build one AVP with its padding. ``key`` holds the vendor in its upper 32 bits."""
    flags = codes.MANDATORY_BIT if mandatory else 0
    vendor_id = key >> 32
    if vendor_id:
        length = 12 + len(data)
        flags |= codes.VENDOR_BIT
        header = _U32.pack(key & 0xFFFF_FFFF, flags << 24 | length, vendor_id)
    else:
        length = 8 + len(data)
        header = _HEAD.pack(key, flags << 24 | length)
    assert length <= _LENGTH, "an AVP has at most 2**24 - 1 octets"
    return header + data + _PADDING[length & 3]


def avp_u32(key: int, value: int, mandatory: bool = True) -> bytes:
    return avp(key, _VENDOR.pack(value), mandatory)


def avp_u64(key: int, value: int, mandatory: bool = True) -> bytes:
    return avp(key, value.to_bytes(8, "big"), mandatory)


def avp_i32(key: int, value: int, mandatory: bool = True) -> bytes:
    return avp(key, _I32.pack(value), mandatory)


def avp_i64(key: int, value: int, mandatory: bool = True) -> bytes:
    return avp(key, _I64.pack(value), mandatory)


def avp_text(key: int, value: str, mandatory: bool = True) -> bytes:
    return avp(key, value.encode(), mandatory)


def avp_address(key: int, host: str, mandatory: bool = True) -> bytes:
    """Address: the family (1 IPv4, 2 IPv6), then the octets (RFC 6733, section 4.3.1)."""
    address = ip_address(host)
    return avp(key, (b"\0\1" if address.version == 4 else b"\0\2") + address.packed, mandatory)
