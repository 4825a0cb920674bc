"""The message header, its framing, and the generic answers (RFC 6733, sections 3 and 7.2)."""

from __future__ import annotations

from struct import Struct
from typing import Final

from protocols.buffer import LengthOf
from protocols.diameter import avp, codes, dictionary
from protocols.diameter.result_codes import ResultCode, is_protocol_error
from protocols.errors import RemoteProtocolError

HEADER_OCTETS: Final = 20
VERSION: Final = 1
_HEADER: Final = Struct(">IIIII")
_WORD: Final = Struct(">I")
_unpack = _HEADER.unpack_from


class Message:
    """One whole message: the header's fields, and the frame that holds the AVPs."""

    __slots__ = ("application_id", "command", "end_to_end", "flags", "frame", "hop_by_hop")

    def __init__(self, frame: bytes) -> None:
        assert len(frame) >= HEADER_OCTETS, "the framing gives whole messages"
        _, word, self.application_id, self.hop_by_hop, self.end_to_end = _unpack(frame)
        self.flags: int = word >> 24
        self.command: int = word & 0xFF_FFFF
        self.frame = frame

    @property
    def is_request(self) -> bool:
        return bool(self.flags & codes.REQUEST)

    @property
    def version(self) -> int:
        return self.frame[0]

    def walk(self) -> tuple[dict[int, int], list[tuple[int, int]]]:
        """Find the top-level AVPs; raises AvpFault."""
        return avp.walk(self.frame, HEADER_OCTETS, len(self.frame))

    def __repr__(self) -> str:
        kind = "request" if self.is_request else "answer"
        return f"<{kind} {self.command} app {self.application_id} {self.hop_by_hop:08x} {self.end_to_end:08x}>"


class MessageTooLargeError(RemoteProtocolError):
    """The message is longer than we take; nothing was allocated for it, and the stream cannot go on [B-12]."""


def length_checker(octets_max: int) -> LengthOf:
    """Make the framing's question: how long is the message that starts here. A wrong length carries the hint 5015."""

    def length_of(data: bytes, position: int) -> int:
        length: int = _WORD.unpack_from(data, position)[0] & 0xFF_FFFF
        if length > octets_max:
            raise MessageTooLargeError(f"a message of {length} octets; the limit is {octets_max}")
        if length < HEADER_OCTETS or length & 3:
            raise RemoteProtocolError(f"a message length of {length}", ResultCode.INVALID_MESSAGE_LENGTH)
        return length

    return length_of


def encode(flags: int, command: int, application_id: int, hop_by_hop: int, end_to_end: int, avps: bytes) -> bytes:
    """Put the header before ready AVPs."""
    length = HEADER_OCTETS + len(avps)
    return _HEADER.pack(VERSION << 24 | length, flags << 24 | command, application_id, hop_by_hop, end_to_end) + avps


def encode_answer(request: Message, avps: bytes, error: bool = False) -> bytes:
    """Answer with the request's identifiers and P bit; R and T clear [B-1]."""
    flags = request.flags & codes.PROXIABLE | (codes.ERROR if error else 0)
    return encode(flags, request.command, request.application_id, request.hop_by_hop, request.end_to_end, avps)


class Fault:
    """What is wrong with a request, as a value: what the answer has to say."""

    __slots__ = ("failed_avp", "message", "result_code")

    def __init__(self, result_code: ResultCode, failed_avp: bytes = b"", message: str = "") -> None:
        self.result_code = result_code
        self.failed_avp = failed_avp
        self.message = message

    def __repr__(self) -> str:
        return f"Fault({self.result_code.name}, {self.message!r})"

    def avps(self) -> bytes:
        """Failed-AVP and Error-Message, where there is something to say."""
        found = avp.avp(codes.FAILED_AVP, self.failed_avp) if self.failed_avp else b""
        if self.message:
            found += avp.avp_text(codes.ERROR_MESSAGE, self.message, mandatory=False)
        return found


def salvage(request: Message) -> tuple[bytes, bytes]:
    """Session-Id and the Proxy-Infos of a request, as far as they can be read: every answer gives them back [B-76]."""
    try:
        found, more = request.walk()
    except avp.AvpFault:
        return _leading_session_id(request.frame), b""
    session_id = found.get(codes.SESSION_ID)
    return (
        avp.raw(request.frame, session_id) if session_id is not None else b"",
        proxy_infos(request.frame, found, more),
    )


def proxy_infos(frame: bytes, found: dict[int, int], more: list[tuple[int, int]]) -> bytes:
    """All Proxy-Info AVPs in their order."""
    first = found.get(codes.PROXY_INFO)
    if first is None:
        return b""
    return avp.raw(frame, first) + b"".join(avp.raw(frame, at) for key, at in more if key == codes.PROXY_INFO)


def _leading_session_id(frame: bytes) -> bytes:
    """Session-Id directly after the header, where it belongs, of a message that cannot be walked to its end."""
    if len(frame) < HEADER_OCTETS + 8 or frame[HEADER_OCTETS + 4] & codes.VENDOR_BIT:
        return b""
    start, end = avp.bounds(frame, HEADER_OCTETS)
    is_session_id = _WORD.unpack_from(frame, HEADER_OCTETS)[0] == codes.SESSION_ID
    return avp.raw(frame, HEADER_OCTETS) if is_session_id and start <= end <= len(frame) else b""


def error_answer(request: Message, fault: Fault, origin: bytes, error: bool | None = None) -> bytes:
    """Answer in the generic grammar (RFC 6733, section 7.2). ``origin`` is our Origin-Host and Origin-Realm.

    The E bit is set for 3xxx; ``error`` sets it for a 5xxx whose command grammar we cannot meet.
    """
    session_id, proxies = salvage(request)
    result = avp.avp_u32(codes.RESULT_CODE, fault.result_code)
    is_error = is_protocol_error(fault.result_code) if error is None else error
    return encode_answer(request, session_id + result + origin + fault.avps() + proxies, is_error)


def describe(frame: bytes) -> list[str]:
    """One line per top-level AVP, by name: for tools and failing tests."""
    message = Message(frame)
    found, more = message.walk()
    positions = sorted([*((at, key) for key, at in found.items()), *((at, key) for key, at in more)])
    return [repr(message), *(f"{dictionary.name_of(key)} {avp.octets(frame, at).hex(' ')}" for at, key in positions)]
