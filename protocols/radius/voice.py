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
    "call-id": "call-id",
    "h323-call-id": "conf-id",
    "h323-call-origin": "call-origin",
    "h323-setup-time": "setup-time",
    "h323-connect-time": "connect-time",
    "h323-disconnect-time": "disconnect-time",
    "h323-disconnect-cause": "disconnect-cause",
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
    "Freeswitch-Dst": "destination",
    "Freeswitch-Direction": "call-origin",
    "Freeswitch-Callanswerdate": "connect-time",
    "Freeswitch-Callenddate": "disconnect-time",
    "Freeswitch-Callstartdate": "setup-time",
    "Freeswitch-Hangupcause": "disconnect-cause-decimal",
    "Sip-Call-Duration": "call-duration",
}
_PAIR: Final = "="
_PAIRS: Final = {"Cisco-AVPair": _PAIR, "Quintum-AVPair": _PAIR, "Freeswitch-AVPair": _PAIR}


class VoiceNames:
    """What to look for in a packet: (vendor, number) -> (meaning, own name with "=", whether it is a number)."""

    def __init__(self, dictionary: Dictionary) -> None:
        vendors = dictionary.vendors_by_number.values()
        self.layouts = {v.number.to_bytes(4, "big"): (v.type_octets, v.length_octets) for v in vendors}
        self.of_vendors: dict[bytes, tuple[str, bytes, bool]] = {}
        self.of_standard: dict[int, str] = {}
        for name, meaning in (*CANONICAL.items(), *_PAIRS.items()):
            attribute = dictionary.attribute(name)
            if attribute is None or len(attribute.path) != 1:
                continue
            if attribute.vendor:
                entry = (meaning, name.encode() + b"=", attribute.type in INTEGER_TYPES)
                self.of_vendors[_entry_key(attribute.vendor.to_bytes(4, "big"), attribute.path[0])] = entry
            else:
                self.of_standard[attribute.path[0]] = meaning
        self.by_name = {name.lower().encode(): meaning for name, meaning in CANONICAL.items()}


def _entry_key(vendor: bytes, number: int) -> bytes:
    """Vendor and number in the octets of the usual layout, where they are a slice of the value."""
    return vendor + number.to_bytes(1 if number < 256 else 4, "big")


def voice_texts(packet: Packet, names: VoiceNames) -> VoiceTexts:
    """The meanings found in a packet. A Vendor-Specific attribute with wrong lengths inside is skipped [R-6]."""
    texts: VoiceTexts = {}
    known = names.of_vendors
    for value in packet.attributes.get(VENDOR_SPECIFIC, ()):
        # Nearly every such attribute holds one sub-attribute of the usual layout: read that without taking it apart.
        if len(value) > 6 and value[5] == len(value) - 4 and value[:5] in known:
            _take(known[value[:5]], value[6:], names, texts)
        else:
            vendor = value[:4]
            for number, content in sub_attributes(value, names.layouts.get(vendor, (1, 1))):
                entry = known.get(_entry_key(vendor, number))
                if entry is not None and content:
                    _take(entry, content, names, texts)
    for kind, meaning in names.of_standard.items():
        values = packet.attributes.get(kind)
        if values is not None and len(values[0]) == 4:
            texts.setdefault(meaning, str(int.from_bytes(values[0], "big")))
    return texts


def _take(entry: tuple[str, bytes, bool], content: bytes, names: VoiceNames, texts: VoiceTexts) -> None:
    meaning, own_name, is_number = entry
    if content.startswith(own_name):
        # A value may repeat its attribute's name in front, ``h323-conf-id=...``: both forms are common.
        content = content[len(own_name) :]
    elif is_number:
        if len(content) == 4:
            content = b"%d" % int.from_bytes(content, "big")
    else:
        name, equals, value = content.partition(b"=")
        if equals:
            named = names.by_name.get(name.strip().lower())
            if meaning is _PAIR:
                meaning = named or ""
            if named == meaning:
                content = value
        elif meaning is _PAIR:
            return
    if content and meaning and meaning not in texts:
        texts[meaning] = text(content)


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
