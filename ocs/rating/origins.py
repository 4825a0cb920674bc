"""Where a use comes from: the caller's number, the trunk or peer, and where the user is; named zones.

A rule describes an origin by one fact, or by several that must all hold. Of the rules that do, the one with the highest
fact in the order of ``Origin`` goes first, then the longer value, then the one with more facts. Rules by a zone come after
all others, and no rule at all last.
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


class Origin(NamedTuple):
    """The facts, the highest first: the caller's digits, the peer or client that asks, and where the user is.

    ``location`` is network, area and cell, ``serving`` the address of the node that serves the user, ``network`` MCC and
    MNC, ``apn`` the access point, ``rat`` the radio access technology. Empty: not known.
    """

    number: str = ""
    trunk: str = ""
    location: str = ""
    serving: str = ""
    network: str = ""
    apn: str = ""
    rat: str = ""


NOWHERE: Final = Origin()
_FIELDS: Final = Origin._fields
_NUMBER, _TRUNK, _LOCATION, _SERVING, _NETWORK, _APN, _RAT = range(len(_FIELDS))
_DIRECT: Final = 1 << _LENGTH_BITS * len(_FIELDS)  # above the rank of every rule by a zone
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
    """``text`` as it is written; it describes an origin if all facts of one of its members hold."""

    text: str
    members: tuple[Facts, ...]
    is_by_zone: bool = False

    @property
    def is_by_place(self) -> bool:
        """Whether it describes origins by what can change in mid-session: where the user is."""
        return any(fact.kind >= _LOCATION for member in self.members for fact in member)

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
        return found if found < 0 or self.is_by_zone else found + _DIRECT

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


_OTHERWISE: Final[Mapping[int, Callable[[str, str], bool]]] = {
    _TRUNK: _is_same,
    _SERVING: _is_within,
    _APN: _is_same,
    _RAT: _is_same,
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
    if kind in {_APN, _RAT, _LOCATION}:
        value = technology(value) if kind == _RAT else value.lower()
    if kind == _RAT and value not in TECHNOLOGIES and not value.isdigit():
        raise ValueError(f"{text!r} is none of {', '.join(TECHNOLOGIES)} nor a number of 3GPP-RAT-Type")
    if not 0 < len(value) <= _LENGTH_MAX:
        raise ValueError(f"{text!r} says nothing after {label}:")
    return _fact(kind, value, len(value))


_KNOWN: Final = "trunk:NAME, network:26201, apn:NAME, rat:eutran, location:26201-1a2b, serving:192.0.2.0/24"


def _fact(kind: int, value: str, length: int) -> Fact:
    return Fact(kind, value, (length + 1) << _LENGTH_BITS * (len(_FIELDS) - 1 - kind))


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
    """Tell whether an origin can be described equally well by two rules that are written differently."""
    return one != other and one.is_by_zone is other.is_by_zone and not set(one.members).isdisjoint(other.members)
