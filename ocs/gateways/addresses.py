"""Subscribers and called parties as clients write them, brought to the one form that accounts and prefixes use.

sip:+4915112345@IMS.example.net;user=phone, tel:+49-151-12345 and +4915112345 all mean the number 4915112345.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

# Visual separators of telephone numbers (RFC 3966, section 5.1.1).
_SEPARATORS: Final = str.maketrans("", "", "-.() ")
_URI: Final = re.compile(r"(sips?|tel):", re.IGNORECASE)


# Subscribers and destinations come again and again; these many of each spelling are kept.
_KNOWN_MAX: Final = 65_536


@lru_cache(maxsize=_KNOWN_MAX)
def called_number(address: str) -> str:
    """The digits to rate, or the user of a SIP address that is no number; "" when there is nothing."""
    if address.isascii() and address.isdigit():
        return address
    user = address_user(address)
    return _digits(user) or user


def address_user(address: str) -> str:
    """The user of a SIP address, the number of a tel: address, or what is neither as it is."""
    scheme = _URI.match(address)
    rest = address[scheme.end() :] if scheme is not None else address
    return rest.partition("@")[0].partition(";")[0]


def _digits(user: str) -> str:
    """The number's digits without plus sign and separators, or "" when it is no number."""
    digits = user.translate(_SEPARATORS).removeprefix("+")
    return digits if digits.isascii() and digits.isdigit() else ""


@lru_cache(maxsize=_KNOWN_MAX)
def number_identity(number: str) -> str:
    scheme = _URI.match(number)
    rest = number[scheme.end() :] if scheme is not None else number
    return f"e164:{_digits(rest.partition(';')[0]) or rest}"


@lru_cache(maxsize=_KNOWN_MAX)
def sip_identities(uri: str) -> tuple[str, ...]:
    """``sip:user@domain`` with the domain in lower case; a tel: address, or none at all, is a number.

    A user that is a global number (with its plus sign) names the same subscriber as the number itself, so that is the
    second choice.
    """
    scheme = _URI.match(uri)
    if scheme is None and "@" not in uri:
        return (number_identity(uri),)
    if scheme is not None and scheme[1].lower() == "tel":
        return (number_identity(uri),)
    rest = uri[scheme.end() :] if scheme is not None else uri
    user, _, host = rest.partition("@")
    user = user.partition(";")[0]
    domain = host.partition(";")[0].partition("?")[0].lower()
    identity = f"sip:{user}@{domain}" if domain else f"sip:{user}"
    digits = _digits(user) if user.startswith("+") else ""
    return (identity, f"e164:{digits}") if digits else (identity,)


def nai_identity(nai: str) -> str:
    """Network access identifier (RFC 7542): the realm's case does not matter."""
    user, at, realm = nai.rpartition("@")
    return f"nai:{user}{at}{realm.lower()}" if at else f"nai:{nai}"
