"""Ways to damage octets: those a line makes, those a bad implementation makes, and those an attacker makes."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final

INTERESTING: Final = (
    0,
    1,
    7,
    8,
    12,
    19,
    20,
    21,
    0x7F,
    0x80,
    0xFF,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFF,
    0xFFFFFFFF,
)
ROUNDS_MAX: Final = 6

Change = Callable[[bytearray, random.Random], None]


def flip_bit(data: bytearray, chance: random.Random) -> None:
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def set_octet(data: bytearray, chance: random.Random) -> None:
    data[chance.randrange(len(data))] = chance.choice((0, 1, 2, 0x7F, 0x80, 0xC0, 0xFF, chance.randrange(256)))


def set_word(data: bytearray, chance: random.Random) -> None:
    """A number an implementer did not think of, where numbers stand."""
    at = chance.randrange(len(data)) & ~3
    data[at : at + 4] = chance.choice(INTERESTING).to_bytes(4, "big")[: len(data) - at]


def set_low_word(data: bytearray, chance: random.Random) -> None:
    """A length that lies, below whatever flags stand before it."""
    at = chance.randrange(len(data)) & ~3
    data[at + 1 : at + 4] = (chance.choice(INTERESTING) & 0xFFFFFF).to_bytes(3, "big")[: max(0, len(data) - at - 1)]


def cut(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(len(data)) :]


def remove(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(data)) & ~3
    del data[at : at + 4 * chance.randint(1, 8)]


def insert(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(data) + 1) & ~3
    data[at:at] = chance.randbytes(4 * chance.randint(1, 8))


def repeat(data: bytearray, chance: random.Random) -> None:
    """A part over and over: what is quadratic shows itself."""
    at = chance.randrange(len(data)) & ~3
    part = bytes(data[at : at + 4 * chance.randint(1, 16)])
    times = chance.choice((1, 2, 8, 64, 400)) if chance.random() < 0.3 else 1
    data[at:at] = part * times


def swap(data: bytearray, chance: random.Random) -> None:
    first, second = (chance.randrange(len(data)) & ~3 for _ in range(2))
    length = 4 * chance.randint(1, 4)
    part = data[first : first + length]
    data[first : first + length] = data[second : second + length]
    data[second : second + length] = part


CHANGES: Final[Sequence[Change]] = (
    flip_bit,
    set_octet,
    set_word,
    set_low_word,
    cut,
    remove,
    insert,
    repeat,
    swap,
)


def damaged(data: bytes, others: Sequence[bytes], chance: random.Random) -> bytearray:
    """A few changes, and now and then the rest of another packet."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, ROUNDS_MAX)):
        if not changed:
            break
        chance.choice(CHANGES)(changed, chance)
    if chance.random() < 0.1:
        other = chance.choice(others)
        at = chance.randrange(len(other)) & ~3
        changed[len(changed) & ~3 :] = other[at:]
    return changed
