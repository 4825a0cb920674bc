"""The names RADIUS gives to subscribers, numbers, gateways and calls, brought to the forms charging knows.

A call's name comes from the client, so that a repeat by another packet, to another node, or after a restart finds
what was done before [R-33] [R-60]. An authorization's name goes out in Class, signed, and comes back with the Start.
"""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache
from ipaddress import ip_address
from typing import Final

from ocs.settings import RadiusClient
from protocols.radius.h323 import normal_conf_id
from protocols.radius.packet import VALUE_OCTETS_MAX
from protocols.radius.reading import Field, Reading

IDENTITIES_MAX: Final = 8
KNOWN_MAX: Final = 65_536  # subscribers and destinations come again and again; so many spellings are kept
_E164_DIGITS_MAX: Final = 15
_SEPARATORS: Final = str.maketrans("", "", " -.()")
_CLASS_HEAD: Final = b"ocs1."
_CLASS_SIGNATURE_DIGITS: Final = 24


# --- subscribers and numbers ------------------------------------------------------------------------------------


def identities_of(reading: Reading) -> tuple[str, ...]:
    """Under which identities the subscriber may be known: each account name in each form it may have, in the profile's
    order.
    """
    names = reading.texts(Field.ACCOUNT)
    if len(names) == 1:  # its forms differ, and are few
        return identity_forms(names[0])
    found = [form for name in names for form in identity_forms(name)]
    return tuple(dict.fromkeys(found))[:IDENTITIES_MAX]


@lru_cache(maxsize=KNOWN_MAX)
def identity_forms(text: str) -> tuple[str, ...]:
    """``e164:``, ``sip:``, ``ip:`` and ``name:`` forms of one name, as far as it has them."""
    if text.isascii() and text.isdigit() and len(text) <= _E164_DIGITS_MAX:
        return ("e164:" + text, "name:" + text)
    text = text.strip()
    if not text:
        return ()
    address = _ip_address(text)
    if address:
        return ("ip:" + address, "name:" + text)
    bare = _without_scheme(text)
    user, at, domain = bare.rpartition("@")
    digits = _digits(user if at else bare)
    forms = ["e164:" + digits] if digits and len(digits) <= _E164_DIGITS_MAX else []
    if at and user and domain:
        forms.append(f"sip:{user}@{domain.lower()}")  # a domain has no case, a user part has (RFC 3261, 19.1.4)
    forms.append("name:" + text)
    return tuple(forms)


def _ip_address(text: str) -> str:
    """A trunk is named by its address: not by the digits in it."""
    try:
        return str(ip_address(text))
    except ValueError:
        return ""


@lru_cache(maxsize=KNOWN_MAX)
def normal_number(text: str) -> str:
    """The digits to rate (or the SIP user, where it is no number) of ``+49..``, ``tel:..``, ``sip:..@..``."""
    if text.isascii() and text.isdigit():
        return text
    bare = _without_scheme(text.strip())
    user, at, _ = bare.rpartition("@")
    name = user if at else bare
    return _digits(name) or name


def _without_scheme(text: str) -> str:
    scheme, colon, rest = text.partition(":")
    if colon and scheme.lower() in ("sip", "sips", "tel"):
        text = rest
    return text.partition(";")[0].partition("?")[0]


def _digits(text: str) -> str:
    bare = text.translate(_SEPARATORS).removeprefix("+")
    return bare if bare.isascii() and bare.isdigit() else ""


# --- calls ------------------------------------------------------------------------------------------------------


def client_prefix(client: RadiusClient) -> str:
    """What all keys of one client begin with: all addresses of one switch are one client [R-60]."""
    return f"ra:{_label(client.name)}:"


@lru_cache(maxsize=4096)
def nas_prefix(client: str, nas: str) -> str:
    """What the keys of one gateway's calls begin with; ``client`` is the client's prefix."""
    return f"{client}{'%61uth' if nas == 'auth' else _label(nas)}:"


def _label(text: str) -> str:
    """Without a colon, so that one gateway's prefix is never the beginning of another's name."""
    return text.replace("%", "%25").replace(":", "%3A") if "%" in text or ":" in text else text


def call_reference(reading: Reading) -> str:
    """The name all legs of a call have in common; "" if the client gives none."""
    return normal_conf_id(reading.text(Field.CALL))


def authorization_key(reading: Reading, client: str, *, is_named: bool = True) -> str:
    """The name of an authorization that has no Acct-Session-Id: who calls whom, and (``is_named``) the call's reference
    [R-35].
    """
    names = (reading.text(Field.ACCOUNT), reading.text(Field.CALLEE), reading.text(Field.CALLER))
    digest = hashlib.sha256("\0".join((*names, call_reference(reading) if is_named else "")).encode()).hexdigest()[:32]
    return authorizations_prefix(client) + digest


def authorizations_prefix(client: str) -> str:
    """What the keys of a client's authorizations without an Acct-Session-Id begin with."""
    return f"{client}auth:"


# --- Class ------------------------------------------------------------------------------------------------------


def class_of_key(key: str, secret: bytes) -> bytes | None:
    """A signed reference to an authorization, in visible ASCII since some switches treat Class as text.

    None if the key does not fit one attribute: the Start is then bound by its Acct-Session-Id, which made it long.
    """
    octets = key.encode()
    value = b"%b%b.%b" % (_CLASS_HEAD, _signature(octets, secret), octets)
    return value if len(value) <= VALUE_OCTETS_MAX else None


def key_of_class(value: bytes, secret: bytes) -> str | None:
    """The reference in a Class that we issued; None for all others."""
    if not value.startswith(_CLASS_HEAD):
        return None
    signature, _, octets = value[len(_CLASS_HEAD) :].partition(b".")
    if not hmac.compare_digest(signature, _signature(octets, secret)):
        return None
    return octets.decode("utf-8", "backslashreplace")


def _signature(octets: bytes, secret: bytes) -> bytes:
    return hmac.digest(secret, octets, "sha256").hex()[:_CLASS_SIGNATURE_DIGITS].encode()
