"""A Diameter message as lines of text: header, AVPs by name with groups inside each other, what is wrong with each."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from struct import Struct
from typing import Final, NamedTuple

from ocs.tools.avps import GROUPED, AvpEntry, avp_entries
from protocols.diameter import codes
from protocols.diameter.message import HEADER_OCTETS, VERSION, Message

DEPTH_MAX: Final = 16
TEXT_MAX: Final = 400
_HEAD: Final = Struct(">II")
_LENGTH: Final = 0xFF_FFFF
_NTP_TO_UNIX_S: Final = 2_208_988_800  # RFC 6733, section 4.3.1: Time counts from 1900
_ERA_S: Final = 1 << 32

COMMANDS: Final = {
    257: "Capabilities-Exchange", 258: "Re-Auth", 271: "Accounting", 272: "Credit-Control", 274: "Abort-Session",
    275: "Session-Termination", 280: "Device-Watchdog", 282: "Disconnect-Peer",
}  # fmt: skip
_FLAGS: Final = (
    (codes.REQUEST, "R"), (codes.PROXIABLE, "P"), (codes.ERROR, "E"), (codes.RETRANSMITTED, "T"),
)  # fmt: skip
_APPLICATIONS: Final = {0: "base", 3: "accounting", 4: "credit control", codes.APPLICATION_RELAY: "relay"}


class Line(NamedTuple):
    """One line of the tree; ``fault`` says what is wrong with what it shows."""

    depth: int
    text: str
    fault: str = ""

    def __str__(self) -> str:
        return "  " * self.depth + self.text + (f"   <-- {self.fault}" if self.fault else "")


def message_lines(frame: bytes) -> list[Line]:
    """The tree of one message; a frame that is cut is shown as far as it goes."""
    if len(frame) < HEADER_OCTETS:
        return [Line(0, frame.hex(), f"{len(frame)} octets: a header has {HEADER_OCTETS}")]
    return [_header(frame), *_avps(frame, HEADER_OCTETS, len(frame), 1)]


def _header(frame: bytes) -> Line:
    message = Message(frame)
    kind = "Request" if message.is_request else "Answer"
    name = COMMANDS.get(message.command, "command")
    flags = "".join(letter for bit, letter in _FLAGS if message.flags & bit) or "-"
    application = _APPLICATIONS.get(message.application_id, "application")
    length = int.from_bytes(frame[1:4], "big")
    text = (
        f"{name}-{kind} {message.command} flags {flags} {application} {message.application_id} "
        f"hop-by-hop {message.hop_by_hop:08x} end-to-end {message.end_to_end:08x}"
    )
    return Line(0, text, _header_fault(message, length))


def _header_fault(message: Message, length: int) -> str:
    if message.version != VERSION:
        return f"version {message.version}"
    if length != len(message.frame) or length % 4:
        return f"message length {length}, and there are {len(message.frame)} octets"
    if message.flags & 0x0F:
        return "reserved bits are set"
    if message.is_request and message.flags & codes.ERROR:
        return "E in a request"
    return ""


def _avps(frame: bytes, at: int, end: int, depth: int) -> Iterator[Line]:
    while at < end:
        if end - at < 8:
            yield Line(depth, frame[at:end].hex(), "octets that are no AVP")
            return
        code, word = _HEAD.unpack_from(frame, at)
        flags, length = word >> 24, word & _LENGTH
        header = 12 if flags & codes.VENDOR_BIT else 8
        if length < header or at + length > end:
            yield Line(depth, f"AVP {code}", f"length {length}, and {end - at} octets are left")
            return
        vendor_id = int.from_bytes(frame[at + 8 : at + 12], "big") if header == 12 else 0
        entry = avp_entries().get(vendor_id << 32 | code)
        yield from _avp(entry, (code, vendor_id, flags), frame[at + header : at + length], depth)
        at += length + 3 & -4


def _avp(entry: AvpEntry | None, head: tuple[int, int, int], data: bytes, depth: int) -> Iterator[Line]:
    code, vendor_id, flags = head
    is_mandatory = bool(flags & codes.MANDATORY_BIT)
    vendor = f"{vendor_id}:" if vendor_id else ""
    name = entry.name if entry is not None else "unknown"
    label = f"{name} ({vendor}{code}{'' if is_mandatory else ', no M'})"
    if entry is None:
        yield Line(depth, f"{label} = {data.hex()}", "unknown, with the M bit" if is_mandatory else "")
    elif entry.kind == GROUPED:
        yield Line(depth, label, f"more than {DEPTH_MAX} groups deep" if depth > DEPTH_MAX else "")
        if depth <= DEPTH_MAX:
            yield from _avps(data, 0, len(data), depth + 1)
    else:
        text, fault = _value(entry, data)
        yield Line(depth, f"{label} = {text}", fault)


def _value(entry: AvpEntry, data: bytes) -> tuple[str, str]:
    """The value in words, and what is wrong with it."""
    octets = _FIXED.get(entry.kind)
    if octets is not None and len(data) != octets:
        return data.hex(), f"{len(data)} octets: {entry.kind} has {octets}"
    text, fault = _READERS.get(entry.kind, _octets)(data)
    if entry.values and not fault and len(data) <= 4:
        number = int.from_bytes(data, "big", signed=True)
        named = entry.values.get(number)
        is_closed = entry.kind == "Enumerated"
        return f"{number} {named}" if named else text, "" if named or not is_closed else "no value of this enumeration"
    return text, fault


def _number(data: bytes) -> tuple[str, str]:
    return str(int.from_bytes(data, "big")), ""


def _signed(data: bytes) -> tuple[str, str]:
    return str(int.from_bytes(data, "big", signed=True)), ""


def _time(data: bytes) -> tuple[str, str]:
    seconds = int.from_bytes(data, "big")
    unix_s = seconds - _NTP_TO_UNIX_S + (0 if seconds >> 31 else _ERA_S)  # the top bit tells the era
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M:%SZ"), ""


def _address(data: bytes) -> tuple[str, str]:
    family, address = data[:2], data[2:]
    if (family, len(address)) in {(b"\0\1", 4), (b"\0\2", 16)}:
        return str(ipaddress.ip_address(address)), ""
    if family == b"\0\x08":
        return _text(address)
    return data.hex(), "no address of IPv4, IPv6 or E.164"


def _text(data: bytes) -> tuple[str, str]:
    shown = data[:TEXT_MAX].decode("utf-8", "backslashreplace")
    more = f" ... {len(data)} octets" if len(data) > TEXT_MAX else ""
    try:
        data.decode()
    except UnicodeDecodeError:
        return f'"{_printable(shown)}"{more}', "no UTF-8"
    return f'"{_printable(shown)}"{more}', ""


def _octets(data: bytes) -> tuple[str, str]:
    shown = data[:TEXT_MAX].hex() + (f" ... {len(data)} octets" if len(data) > TEXT_MAX else "")
    text = data.decode("ascii", "replace")
    return (
        f'{shown} "{text}"' if data and len(data) <= TEXT_MAX and text.isprintable() and text.isascii() else shown
    ), ""


def _printable(text: str) -> str:
    """Control characters must not reach a terminal."""
    return "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in text)


_FIXED: Final = {
    "Unsigned32": 4, "Integer32": 4, "Enumerated": 4, "Time": 4, "Unsigned64": 8, "Integer64": 8,
}  # fmt: skip
_READERS: Final[dict[str, Callable[[bytes], tuple[str, str]]]] = {
    "Unsigned32": _number, "Unsigned64": _number, "Integer32": _signed, "Integer64": _signed, "Enumerated": _signed,
    "Time": _time, "Address": _address, "UTF8String": _text, "DiameterIdentity": _text, "DiameterURI": _text,
    "IPFilterRule": _text,
}  # fmt: skip
