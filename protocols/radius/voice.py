"""Vendor attributes of voice gateways and softswitches, brought to one set of names.

Vendors say the same thing under several numbers: Cisco's ``h323-*`` (vendor 9) are the de facto standard, others
copied them under their own vendor number, Asterisk and FreeSWITCH have names of their own. The dictionary knows the
numbers, ``CANONICAL`` the meaning, and ``VoiceNames`` joins them once at start [R-120].
"""

from __future__ import annotations

from typing import Final, TypeAlias

from protocols.radius.attributes import VENDOR_SPECIFIC, text
from protocols.radius.dictionary import INTEGER_TYPES, Dictionary
from protocols.radius.packet import Packet

VoiceTexts: TypeAlias = dict[str, str]

# Dictionary name -> what it means. A call has each meaning at most once; the first value that came wins.
CANONICAL: Final = {
    "h323-conf-id": "conf-id",
    "h323-incoming-conf-id": "incoming-conf-id",
    "call-id": "call-id",
    "h323-call-id": "conf-id",
    "h323-call-origin": "call-origin",
    "h323-setup-time": "setup-time",
    "h323-connect-time": "connect-time",
    "h323-disconnect-time": "disconnect-time",
    "h323-disconnect-cause": "disconnect-cause",
    "h323-remote-address": "remote-address",
    "gw-rxd-cdn": "called-as-received",
    "Quintum-h323-conf-id": "conf-id",
    "Quintum-h323-call-origin": "call-origin",
    "Quintum-h323-setup-time": "setup-time",
    "Quintum-h323-connect-time": "connect-time",
    "Quintum-h323-disconnect-time": "disconnect-time",
    "Quintum-h323-disconnect-cause": "disconnect-cause",
    "ACL-H323-Conf-Id": "conf-id",
    "ACL-H323-Call-Origin": "call-origin",
    "ACL-H323-Setup-Time": "setup-time",
    "ACL-H323-Connect-Time": "connect-time",
    "ACL-H323-Disconnect-Time": "disconnect-time",
    "ACL-H323-Disconnect-Cause": "disconnect-cause-decimal",
    "Asterisk-Acc-Code": "account",
    "Asterisk-Src": "caller-account",
    "Asterisk-Dst": "destination",
    "Asterisk-Bill-Sec": "billed-seconds",
    "Freeswitch-Src": "source",
    "Freeswitch-Dst": "destination",
    "Freeswitch-Direction": "call-origin",
    "Freeswitch-Callanswerdate": "connect-time",
    "Freeswitch-Callenddate": "disconnect-time",
    "Freeswitch-Callstartdate": "setup-time",
    "Freeswitch-Hangupcause": "disconnect-cause-decimal",
    "Sip-Call-Duration": "call-duration",
    "Sip-Call-Setuptime": "call-setup-duration",
}
_PAIR_ATTRIBUTES: Final = ("Cisco-AVPair", "Quintum-AVPair", "Freeswitch-AVPair")
_PAIR: Final = "="


class VoiceNames:
    """What to look for in a packet: (vendor, number) -> (meaning, whether it is a number)."""

    def __init__(self, dictionary: Dictionary) -> None:
        self.layouts = {
            vendor.number: (vendor.type_octets, vendor.length_octets)
            for vendor in dictionary.vendors_by_number.values()
        }
        self.of_vendors: dict[tuple[int, int], tuple[str, bool]] = {}
        self.of_standard: dict[int, str] = {}
        for name, meaning in CANONICAL.items():
            attribute = dictionary.attribute(name)
            if attribute is None or len(attribute.path) != 1:
                continue
            if attribute.vendor:
                self.of_vendors[attribute.vendor, attribute.path[0]] = (meaning, attribute.type in INTEGER_TYPES)
            else:
                self.of_standard[attribute.path[0]] = meaning
        for name in _PAIR_ATTRIBUTES:
            attribute = dictionary.attribute(name)
            if attribute is not None:
                self.of_vendors[attribute.vendor, attribute.path[0]] = (_PAIR, False)
        self.by_name = {name.lower().encode(): meaning for name, meaning in CANONICAL.items()}


def voice_texts(packet: Packet, names: VoiceNames) -> VoiceTexts:
    """The meanings found in a packet. A Vendor-Specific attribute with wrong lengths inside is skipped [R-6]."""
    texts: VoiceTexts = {}
    for value in packet.attributes.get(VENDOR_SPECIFIC, ()):
        _read_vendor_attribute(value, names, texts)
    for kind, meaning in names.of_standard.items():
        values = packet.attributes.get(kind)
        if values is not None and len(values[0]) == 4:
            texts.setdefault(meaning, str(int.from_bytes(values[0], "big")))
    return texts


def _read_vendor_attribute(value: bytes, names: VoiceNames, texts: VoiceTexts) -> None:
    vendor = int.from_bytes(value[:4], "big")
    for number, content in sub_attributes(value, names.layouts.get(vendor, (1, 1))):
        known = names.of_vendors.get((vendor, number))
        if known is None or not content:
            continue
        meaning, is_number = known
        if is_number and len(content) == 4:
            texts.setdefault(meaning, str(int.from_bytes(content, "big")))
        elif meaning is _PAIR:
            _read_pair(content, names, texts)
        else:
            texts.setdefault(meaning, text(_without_name(content, meaning, names)))


def _read_pair(content: bytes, names: VoiceNames, texts: VoiceTexts) -> None:
    name, _, value = content.partition(b"=")
    meaning = names.by_name.get(name.strip().lower())
    if meaning is not None and value:
        texts.setdefault(meaning, text(value))


def _without_name(content: bytes, meaning: str, names: VoiceNames) -> bytes:
    """A value may repeat its attribute's name in front, ``h323-conf-id=...``: both forms are common."""
    name, equals, value = content.partition(b"=")
    return value if equals and names.by_name.get(name.lower()) == meaning else content


def sub_attributes(value: bytes, layout: tuple[int, int]) -> list[tuple[int, bytes]]:
    """The (number, content) pairs of one Vendor-Specific value; empty if its lengths do not agree [R-6] [R-9]."""
    type_octets, length_octets = layout
    head = type_octets + length_octets
    end = len(value)
    found = []
    offset = 4
    while offset < end:
        length_at = offset + type_octets
        size = int.from_bytes(value[length_at : length_at + length_octets], "big") if length_octets else end - offset
        if size < head or offset + size > end:
            return []
        found.append((int.from_bytes(value[offset:length_at], "big"), value[offset + head : offset + size]))
        offset += size
    return found
