"""Numbers as each client writes them, brought to the one international form that prefixes, accounts and records use.

A switch may send national numbers, its own international prefix, or a technical prefix that chooses a route. What a
client does is a setting ([[numbering]]); without one, numbers are read as international, with or without a plus sign.
Short numbers (emergency, directory) and names stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final, Literal, NamedTuple

import phonenumbers
from phonenumbers import NumberParseException, PhoneMetadata, ValidationResult

from ocs.gateways.addresses import address_user, called_number
from ocs.settings import NumberingEntry

_KNOWN_MAX: Final = 65_536


class NumberFormat(NamedTuple):
    """How a client writes numbers. ``region`` is the country (ISO 3166) whose dialling rules it follows.

    ``plain`` says what digits without plus sign, international or trunk prefix are. ``tech_prefixes`` are taken off the
    called number first, the longest that fits; ``international_prefixes`` are known beside the region's own.
    """

    region: str = ""
    plain: Literal["international", "national"] = "international"
    tech_prefixes: tuple[str, ...] = ()
    international_prefixes: tuple[str, ...] = ()


class Numbering:
    """The formats of all clients: by the name of the peer or client, and one for all others."""

    def __init__(
        self, formats: Mapping[str, NumberFormat] | None = None, otherwise: NumberFormat | None = None
    ) -> None:
        self._formats = dict(formats or {})
        self._otherwise = otherwise

    @classmethod
    def of(cls, entries: Iterable[NumberingEntry]) -> Numbering:
        """Make it of the operator's settings."""
        formats: dict[str, NumberFormat] = {}
        otherwise: NumberFormat | None = None
        for entry in entries:
            rules = NumberFormat(entry.region, entry.plain, entry.tech_prefixes, entry.international_prefixes)
            formats |= dict.fromkeys(entry.clients, rules)
            otherwise = otherwise if entry.clients else rules
        return cls(formats, otherwise)

    def knows(self, client: str) -> bool:
        """Tell whether the operator has said how this client writes numbers."""
        return client in self._formats or self._otherwise is not None

    def called(self, client: str, address: str) -> str:
        """Give the digits to rate, or the user of a SIP address that is no number."""
        rules = self._formats.get(client, self._otherwise)
        return called_number(address) if rules is None else _normal(rules, address, is_called=True)

    def calling(self, client: str, address: str) -> str:
        """Give the caller's number in the same form; it has no technical prefix."""
        rules = self._formats.get(client, self._otherwise)
        return called_number(address) if rules is None else _normal(rules, address, is_called=False)


PLAIN_NUMBERING: Final = Numbering()


@lru_cache(maxsize=_KNOWN_MAX)
def _normal(rules: NumberFormat, address: str, *, is_called: bool) -> str:
    user = address_user(address)
    if is_called:
        user = user.removeprefix(
            max((each for each in rules.tech_prefixes if user.startswith(each)), key=len, default="")
        )
    bare = called_number(user)
    if user.startswith("+") or not bare.isdigit():
        return bare
    for prefix in sorted(rules.international_prefixes, key=len, reverse=True):
        if bare.startswith(prefix):
            return bare[len(prefix) :]
    if not rules.region or (rules.plain == "international" and not _is_dialled(rules.region, bare)):
        return bare
    return _international(bare, rules.region)


def _is_dialled(region: str, digits: str) -> bool:
    """Tell whether digits begin as they are dialled in a country: no country code begins with 0, nor with its trunk."""
    metadata = PhoneMetadata.metadata_for_region(region)
    trunk = metadata.national_prefix if metadata is not None else None
    return digits.startswith(("0", trunk or "0"))


def _international(digits: str, region: str) -> str:
    """Read digits by a country's rules; what is no whole number there (112, a local number) stays as it is."""
    try:
        number = phonenumbers.parse(digits, region)
    except NumberParseException:
        return digits
    if phonenumbers.is_possible_number_with_reason(number) != ValidationResult.IS_POSSIBLE:
        return digits
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164).removeprefix("+")
