"""Damage that keeps the lengths right: packets as trees of elements, so that it reaches what lies behind the framing."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

from mutations import INTERESTING, damaged

from protocols.diameter import avp, codes
from protocols.diameter.message import HEADER_OCTETS, Message, encode
from protocols.radius.packet import VALUE_OCTETS_MAX, attribute

GROUPED: Final = frozenset(
    {
        codes.SUBSCRIPTION_ID,
        codes.MULTIPLE_SERVICES_CREDIT_CONTROL,
        codes.REQUESTED_SERVICE_UNIT,
        codes.USED_SERVICE_UNIT,
        codes.CC_MONEY,
        codes.UNIT_VALUE,
        codes.PROXY_INFO,
        codes.SERVICE_INFORMATION,
        codes.IMS_INFORMATION,
    }
)
TEXTS: Final = (b"", b"\0", b"\xff\xfe", b"+" * 40, "٣é\u202e".encode(), b"9" * 2000, b"sip:@;?", b"tel:", b"a@" * 99)
CHANGES_MAX: Final = 4


class Element:
    """One AVP or attribute; ``children`` of a group, ``value`` of all others."""

    __slots__ = ("children", "is_mandatory", "key", "value")

    def __init__(self, key: int, value: bytes, children: Elements | None = None, is_mandatory: bool = True) -> None:
        self.key, self.value, self.children, self.is_mandatory = key, value, children, is_mandatory

    def copy(self) -> Element:
        children = None if self.children is None else [child.copy() for child in self.children]
        return Element(self.key, self.value, children, self.is_mandatory)


Elements: TypeAlias = list[Element]


def diameter_elements(frame: bytes, start: int = HEADER_OCTETS, end: int | None = None) -> Elements:
    found, more = avp.walk(frame, start, len(frame) if end is None else end)
    elements = []
    for at, key in sorted([*((at, key) for key, at in found.items()), *((at, key) for key, at in more)]):
        inner = diameter_elements(frame, *avp.bounds(frame, at)) if key in GROUPED else None
        elements.append(Element(key, avp.octets(frame, at), inner))
    return elements


def diameter_octets(elements: Elements) -> bytes:
    return b"".join(
        avp.avp(each.key, each.value if each.children is None else diameter_octets(each.children), each.is_mandatory)
        for each in elements
    )


def damaged_request(frame: bytes, others: Sequence[bytes], chance: random.Random) -> bytearray:
    """A Diameter request with sound framing and AVP headers, and nonsense in it."""
    message = Message(frame)
    elements = diameter_elements(frame)
    change(elements, diameter_elements(chance.choice(others)), chance)
    return bytearray(encode(message.flags, message.command, message.application_id, 7, 9, diameter_octets(elements)))


def radius_elements(packet: bytes) -> Elements:
    elements, at = [], 20
    while at < len(packet):
        elements.append(Element(packet[at], packet[at + 2 : at + packet[at + 1]]))
        at += packet[at + 1]
    return elements


def damaged_packet(packet: bytes, others: Sequence[bytes], chance: random.Random) -> bytearray:
    """A RADIUS packet whose attributes' lengths agree."""
    elements = radius_elements(packet)
    change(elements, radius_elements(chance.choice(others)), chance)
    return bytearray(packet[:20]) + b"".join(
        attribute(each.key & 0xFF, each.value[:VALUE_OCTETS_MAX]) for each in elements
    )


def change(elements: Elements, others: Elements, chance: random.Random) -> None:
    """A few changes at any depth."""
    for _ in range(chance.randint(1, CHANGES_MAX)):
        places = list(_places(elements))
        if not places:
            return
        siblings, index = chance.choice(places)
        element = siblings[index]
        match chance.randrange(8):
            case 0:
                del siblings[index]
            case 1:
                times = chance.choice((1, 2, 30, 300)) if chance.random() < 0.3 else 1
                siblings[index:index] = [element.copy() for _ in range(times)]
            case 2:
                siblings.insert(chance.randrange(len(siblings) + 1), siblings.pop(index))
            case 3:
                siblings.insert(index, chance.choice(others).copy() if others else element.copy())
            case 4:
                element.key = chance.choice(places)[0][0].key if chance.random() < 0.7 else chance.randrange(1, 2000)
            case 5:
                element.is_mandatory = not element.is_mandatory
            case _:
                element.children, element.value = None, _value(element.value, chance)


def _places(elements: Elements) -> Iterator[tuple[Elements, int]]:
    for index, element in enumerate(elements):
        yield elements, index
        if element.children is not None:
            yield from _places(element.children)


def _value(value: bytes, chance: random.Random) -> bytes:
    """A number of the same size that nobody expects, an odd text, or damage."""
    match chance.randrange(4):
        case 0 | 1 if len(value) in {4, 8}:
            number = chance.choice((*INTERESTING, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, chance.getrandbits(64)))
            return (number & (1 << 8 * len(value)) - 1).to_bytes(len(value), "big")
        case 2:
            return chance.choice(TEXTS)
        case _:
            return bytes(damaged(value, [value or b"\0"], chance)) if value else chance.randbytes(4)
