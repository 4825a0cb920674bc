"""Where a use comes from: the caller's number, the trunk or peer, where the user is, and whether he is called; named zones.

A rule describes an origin by one fact, or by several that must all hold. Of the rules that do, the one with the highest
fact in the order of ``Origin`` goes first, a direction before all others, then the longer value, then the one with more facts. Rules by a zone come after
all others, and no rule at all last. A rule may be for numbers of some lengths only: of two for the same origin that goes first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from ipaddress import ip_address, ip_network
from itertools import product
from typing import Final, NamedTuple, TypeAlias

from ocs.rating.whereabouts import TECHNOLOGIES, facts_of, technology

NO_MATCH: Final = -1
ZONE: Final = "zone:"
AND: Final = "&"
_LENGTH_BITS: Final = 8
_LENGTH_MAX: Final = (1 << _LENGTH_BITS) - 2  # of a value: one is added, so that a fact counts however short it is
_DIGITS_MAX: Final = 18
ANY_LENGTH: Final = -1  # of a number that is not known whole
LENGTH_MAX: Final = 99  # of a number without an end


class Origin(NamedTuple):
    """The facts, the highest first: the caller's digits, the peer or client that asks, and where the user is.

    ``location`` is network, area and cell, ``serving`` the address of the node that serves the user, ``network`` MCC and
    MNC, ``apn`` the access point, ``rat`` the radio access technology. Empty: not known. ``direction`` is that of the one who is
    charged; empty is outgoing.
    """

    number: str = ""
    trunk: str = ""
    location: str = ""
    serving: str = ""
    network: str = ""
    apn: str = ""
    rat: str = ""
    direction: str = ""


NOWHERE: Final = Origin()
_FIELDS: Final = Origin._fields
_NUMBER, _TRUNK, _LOCATION, _SERVING, _NETWORK, _APN, _RAT, _DIRECTION = range(len(_FIELDS))
_DIRECT: Final = 1 << _LENGTH_BITS * len(_FIELDS)  # above the rank of every rule by a zone
_DIRECTED: Final = 2 * _DIRECT  # above every rule that is for both directions: another's price is not for who is called
_OUTGOING: Final = "outgoing"
DIRECTIONS: Final = ("incoming", _OUTGOING)
INCOMING: Final = "direction:incoming"
LABELS: Final[Mapping[str, int]] = {"": _NUMBER, **{field: kind for kind, field in enumerate(_FIELDS) if kind}}


class Fact(NamedTuple):
    """What must hold: which fact (by its place in Origin) is, or begins with, a value; and what that counts for."""

    kind: int
    value: str
    weight: int


Facts: TypeAlias = tuple[Fact, ...]


def origin_of(number: str, trunk: str, whereabouts: str) -> Origin:
    """Put an origin together, with where the user is as a session keeps it."""
    return Origin(number, trunk, **facts_of(whereabouts)) if whereabouts else Origin(number, trunk)


class OriginRule(NamedTuple):
    """``text`` as it is written; it describes an origin if all facts of one of its members hold.

    Called numbers have ``digits_min`` to ``digits_max`` digits; both are 0 where any number is meant.
    """

    text: str
    members: tuple[Facts, ...]
    is_by_zone: bool = False
    digits_min: int = 0
    digits_max: int = 0

    @property
    def label(self) -> str:
        """Which uses it is for, in words: ``zone:EEA, 10-13 digits``."""
        return ", ".join(filter(None, (self.text, f"{length_text(self)} digits" if self.digits_max else "")))

    def is_as_long(self, length: int) -> bool:
        """Whether a number of so many digits is meant."""
        return not self.digits_max or length == ANY_LENGTH or self.digits_min <= length <= self.digits_max

    @property
    def is_by_place(self) -> bool:
        """Whether it describes origins by what can change in mid-session: where the user is."""
        return any(_LOCATION <= fact.kind < _DIRECTION for member in self.members for fact in member)

    @property
    def is_by_direction(self) -> bool:
        """Whether it describes uses by who is called."""
        return any(fact.kind == _DIRECTION for member in self.members for fact in member)

    def rank(self, origin: Origin) -> int:
        """Say how specifically the rule describes an origin; NO_MATCH if not at all."""
        found = NO_MATCH
        for member in self.members:
            rank = 0
            for kind, value, weight in member:
                if not _HOLDS[kind](origin[kind], value):
                    break
                rank += weight
            else:
                found = max(found, rank)
        return found if found in {NO_MATCH, _DIRECTED} or self.is_by_zone else found + _DIRECT

    @property
    def example(self) -> Origin:
        """An origin that it describes: for comparisons."""
        facts = {_FIELDS[kind]: value for kind, value, _ in self.members[0]} if self.members else {}
        return Origin(**facts | ({"serving": facts["serving"].partition("/")[0]} if "serving" in facts else {}))


EVERYWHERE: Final = OriginRule("", ())
NO_ZONES: Final[Mapping[str, OriginRule]] = {}


def _is_same(fact: str, value: str) -> bool:
    return fact == value


@lru_cache(maxsize=4096)
def _is_within(fact: str, value: str) -> bool:
    try:
        return ip_address(fact) in ip_network(value)
    except ValueError:
        return False


def _is_directed(fact: str, value: str) -> bool:
    return (fact or _OUTGOING) == value


_OTHERWISE: Final[Mapping[int, Callable[[str, str], bool]]] = {
    _TRUNK: _is_same,
    _SERVING: _is_within,
    _APN: _is_same,
    _RAT: _is_same,
    _DIRECTION: _is_directed,
}
_HOLDS: Final = tuple(_OTHERWISE.get(kind, str.startswith) for kind in range(len(_FIELDS)))


def parse_fact(text: str) -> Fact:
    """Read ``44`` (a caller's prefix), ``trunk:NAME``, ``network:26201`` and so on; ValueError says what is wrong."""
    label, colon, value = text.partition(":")
    kind = LABELS.get(label.strip() if colon else "", -1)
    value = value.strip() if colon else text.strip()
    if kind < 0 or (colon and not label.strip()):
        raise ValueError(f"{text!r} is neither digits of the caller's number nor one of {_KNOWN}")
    if kind == _SERVING:
        try:
            network = ip_network(value)
        except ValueError as error:
            raise ValueError(f"{text!r} is no address or range of addresses: {error}") from error
        return _fact(kind, str(network), network.prefixlen)
    if kind in {_NUMBER, _NETWORK} and not (value.isascii() and value.isdigit() and len(value) <= _DIGITS_MAX):
        raise ValueError(f"{text!r} is neither digits of the caller's number nor one of {_KNOWN}")
    if kind == _DIRECTION:
        if value not in DIRECTIONS:
            raise ValueError(f"{text!r} is neither of {', '.join(DIRECTIONS)}")
        return Fact(kind, value, _DIRECTED)
    if kind in {_APN, _RAT, _LOCATION}:
        value = technology(value) if kind == _RAT else value.lower()
    if kind == _RAT and value not in TECHNOLOGIES and not value.isdigit():
        raise ValueError(f"{text!r} is none of {', '.join(TECHNOLOGIES)} nor a number of 3GPP-RAT-Type")
    if not 0 < len(value) <= _LENGTH_MAX:
        raise ValueError(f"{text!r} says nothing after {label}:")
    return _fact(kind, value, len(value))


_KNOWN: Final = (
    "trunk:NAME, network:26201, apn:NAME, rat:eutran, location:26201-1a2b, serving:192.0.2.0/24, direction:incoming"
)


def _fact(kind: int, value: str, length: int) -> Fact:
    return Fact(kind, value, (length + 1) << _LENGTH_BITS * (len(_FIELDS) - 1 - kind))


def parse_length(text: str) -> tuple[int, int]:
    """Read how many digits a called number has: ``11``, ``10-13``, ``10-``, ``-13``. ValueError says what is wrong."""
    first, dash, last = (part.strip() for part in text.partition("-"))
    ends = (first or "1", last or (str(LENGTH_MAX) if dash else first))
    if not (first or last) or not all(end.isascii() and end.isdigit() for end in ends):
        raise ValueError(f"{text!r} is no length of a number")
    digits_min, digits_max = map(int, ends)
    if not 0 < digits_min <= digits_max <= LENGTH_MAX:
        raise ValueError(f"{text!r} is no length that a number can have")
    return digits_min, digits_max


def length_text(rule: OriginRule) -> str:
    """Write the lengths of a rule as decks do; empty for any."""
    if not rule.digits_max:
        return ""
    first, last = rule.digits_min, rule.digits_max
    if first == last:
        return str(first)
    return f"{first if first > 1 else ''}-{last if last < LENGTH_MAX else ''}"


def parse_rule(text: str, zones: Mapping[str, OriginRule]) -> OriginRule:
    """Read one origin as it is written in a deck or a tariff, facts joined by ``&``; ValueError says what is wrong."""
    text = text.strip()
    if not text:
        return EVERYWHERE
    alternatives: list[tuple[Facts, ...]] = []
    for part in _parts(text, zones):
        zone = zones.get(part.removeprefix(ZONE).strip()) if part.startswith(ZONE) else None
        if zone is None and part.startswith(ZONE):
            raise ValueError(f"{part!r} names no zone of zones.toml")
        alternatives.append(((parse_fact(part),),) if zone is None else zone.members)
    members = tuple(tuple(sorted(fact for facts in chosen for fact in facts)) for chosen in product(*alternatives))
    if any(len({fact.kind for fact in member}) < len(member) for member in members):
        raise ValueError(f"{text!r} wants two values of one fact at once")
    return OriginRule(text, members, ZONE in text)


def _parts(text: str, zones: Mapping[str, OriginRule]) -> list[str]:
    """The parts of a rule; a zone may have an ``&`` in its name."""
    if text.startswith(ZONE) and text.removeprefix(ZONE).strip() in zones:
        return [text]
    return [part.strip() for part in text.split(AND)]


def is_contradiction(one: OriginRule, other: OriginRule) -> bool:
    """Tell whether a use can be described equally well by two rules that are written differently, or by two lengths."""
    are_as_long = bool(one.digits_max) == bool(other.digits_max) and (
        one.digits_min <= other.digits_max and other.digits_min <= one.digits_max
    )
    if one == other or not are_as_long:
        return False
    return one.text == other.text or (
        one.is_by_zone is other.is_by_zone and not set(one.members).isdisjoint(other.members)
    )
