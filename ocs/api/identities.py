"""The identities a subscriber may have, brought to the one form in which the protocols look them up."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Final

IDENTITY_LENGTH_MAX: Final = 253

# What follows the scheme, the form that is kept, and what to write instead.
_FORMS: Final = {
    "e164": (re.compile(r"\d{1,15}", re.ASCII), "1 to 15 digits without + (ITU-T E.164), such as e164:4915112345678"),
    "imsi": (
        re.compile(r"\d{6,15}", re.ASCII),
        "6 to 15 digits (TS 23.003, section 2.2), such as imsi:262011234567890",
    ),
    "sip": (re.compile(r"[!-?A-~]+@[!-?A-~]+", re.ASCII), "user@domain, such as sip:alice@example.net"),
    "nai": (re.compile(r"[!-~]+", re.ASCII), "a network access identifier (RFC 7542), such as nai:alice@example.net"),
    "private": (re.compile(r"[!-~]+", re.ASCII), "visible ASCII characters, such as private:box-17"),
    "ip": (re.compile(r"[0-9A-Fa-f.:]+", re.ASCII), "a trunk's address, such as ip:192.0.2.7 or ip:2001:db8::7"),
    "name": (re.compile(r"[!-~]+", re.ASCII), "a RADIUS User-Name of visible ASCII characters, such as name:alice"),
}


class IdentityError(ValueError):
    """The text is no identity; the message says what to write instead."""


def normalize_identity(text: str) -> str:
    """Bring ``sip:Alice@Example.NET`` to ``sip:Alice@example.net``: a domain has no case, a user part has (RFC 3261).

    Raises IdentityError.
    """
    scheme, _, rest = text.partition(":")
    scheme = scheme.lower()
    if scheme not in _FORMS:
        raise IdentityError(f"{text!r} has no known scheme; use one of {', '.join(f'{name}:' for name in _FORMS)}")
    pattern, hint = _FORMS[scheme]
    if len(text) > IDENTITY_LENGTH_MAX or pattern.fullmatch(rest) is None:
        raise IdentityError(f"{text!r} is not usable; after {scheme}: write {hint}")
    if scheme == "ip":
        rest = _ip_address(rest, hint)
    if scheme == "sip":
        user, _, domain = rest.rpartition("@")
        rest = f"{user}@{domain.lower()}"
    return f"{scheme}:{rest}"


def _ip_address(text: str, hint: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError as error:
        raise IdentityError(f"{text!r} is no address; after ip: write {hint}") from error
