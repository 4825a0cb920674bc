"""Where a use comes from: the caller's number, the trunk or peer it came in by, the network it roams in, named zones.

A rule is one of these, and the more specific one goes first: the caller's number (the longer prefix), then the trunk,
then the network (the longer), then a zone that lists one of them, then no rule at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

NO_MATCH: Final = -1
NETWORK: Final = 0  # among the kinds below
TRUNK: Final = 1
ZONE: Final = "zone:"
_KINDS: Final = ("network:", "trunk:", "")  # by rising rank; a number has no label
_LENGTHS: Final = 1 << 8  # more than a member is long
_DIRECT: Final = len(_KINDS) * _LENGTHS


class Origin(NamedTuple):
    """The caller's digits, the peer or client that asks, and the visited network (MCC and MNC); empty: not known."""

    number: str = ""
    trunk: str = ""
    network: str = ""


NOWHERE: Final = Origin()


class OriginRule(NamedTuple):
    """``text`` as it is written; ``members`` are (kind, value) pairs, one for a direct rule, any for a zone's."""

    text: str
    members: tuple[tuple[int, str], ...]

    @property
    def has_network(self) -> bool:
        """Whether it describes origins by the network that the user roams in."""
        return any(kind == NETWORK for kind, _ in self.members)

    def rank(self, origin: Origin) -> int:
        """Say how specifically the rule describes an origin; NO_MATCH if not at all."""
        found = NO_MATCH
        facts = (origin.network, origin.trunk, origin.number)
        for kind, value in self.members:
            fact = facts[kind]
            if fact == value or (kind != TRUNK and fact.startswith(value)):
                found = max(found, kind * _LENGTHS + len(value))
        return found if found < 0 or self.text.startswith(ZONE) else found + _DIRECT


EVERYWHERE: Final = OriginRule("", ())
NO_ZONES: Final[Mapping[str, OriginRule]] = {}


def parse_member(text: str) -> tuple[int, str]:
    """Read ``44`` (a caller's prefix), ``trunk:NAME`` or ``network:26201``; ValueError says what is wrong."""
    for kind, label in enumerate(_KINDS):
        if not text.startswith(label):
            continue
        value = text[len(label) :].strip()
        if kind == TRUNK and 0 < len(value) < _LENGTHS:
            return kind, value
        if kind != TRUNK and value.isascii() and value.isdigit() and len(value) <= 18:
            return kind, value
    raise ValueError(f"{text!r} is neither digits of the caller's number nor trunk:NAME nor network:26201")


def parse_rule(text: str, zones: Mapping[str, OriginRule]) -> OriginRule:
    """Read one origin as it is written in a deck or a tariff; ValueError says what is wrong."""
    text = text.strip()
    if not text:
        return EVERYWHERE
    if text.startswith(ZONE):
        zone = zones.get(text.removeprefix(ZONE).strip())
        if zone is None:
            raise ValueError(f"{text!r} names no zone of zones.toml")
        return zone
    return OriginRule(text, (parse_member(text),))


def is_contradiction(one: OriginRule, other: OriginRule) -> bool:
    """Tell whether an origin can be described equally well by two different rules: zones that share a member."""
    return (
        one != other
        and not set(one.members).isdisjoint(other.members)
        and (one.text.startswith(ZONE) and other.text.startswith(ZONE))
    )
