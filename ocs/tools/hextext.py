"""Hex as people paste it: plain, spaced, with colons or 0x, or a dump with offsets and the text beside it."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

_OFFSET: Final = re.compile(r"^\s*(?:0x)?[0-9a-fA-F]{4,8}:?\s{1,3}(?=[0-9a-fA-F]{2})")
_DUMP: Final = re.compile(
    r"^\s*(?:0x)?[0-9a-fA-F]{4,8}:?\s+((?:[0-9a-fA-F]{2,4}[ \t]{1,2})*[0-9a-fA-F]{2,4})(?:\s{2,}.*)?$"
)
_NOISE: Final = re.compile(r"0x|\\x|[\s:,;]")
_HEX: Final = re.compile(r"(?:[0-9a-fA-F]{2})*")


def octets_of(text: str) -> bytes | None:
    """The octets that the text writes; None when it is no hex."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    dumped = [_DUMP.match(line) for line in lines]
    if lines and all(_OFFSET.match(line) for line in lines) and all(dumped) and _counts(lines):
        digits = "".join(_NOISE.sub("", match[1]) for match in dumped if match)
    else:
        digits = _NOISE.sub("", "".join(lines))
    return bytes.fromhex(digits) if digits and _HEX.fullmatch(digits) else None


def _counts(lines: list[str]) -> bool:
    """Whether what stands in front counts octets: a number that begins at zero and rises."""
    numbers = [int(line.split()[0].rstrip(":"), 16) for line in lines]
    return numbers[0] == 0 and all(one < other for one, other in pairwise(numbers))
