"""Asking a gateway in mid-call: where to, by which names it knows the call, and what a new Session-Timeout says. Pure.

Every attribute counts as mandatory for the receiver (RFC 5176, section 3): nothing is said that the profile does not
name. All is taken from the session and the settings, so that any process can ask.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import Final, NamedTuple
from urllib.parse import unquote

from ocs.addresses import Address, parse_address
from ocs.charging.request import ChargingAnswer, ChargingRequest, GroupKey, GroupRequest, Quantity, RequestKind
from ocs.charging.session import CreditSession
from ocs.gateways.radius import Profile
from ocs.gateways.radius_profile import IDENTIFIERS
from ocs.rating.units import UnitKind
from protocols.radius.attributes import EVENT_TIMESTAMP, SESSION_TIMEOUT, integer_attribute
from protocols.radius.dictionary import Dictionary
from protocols.radius.dynauth import COA_REQUEST, DISCONNECT_REQUEST
from protocols.radius.words import attribute_octets, quoted

CUT_OFF_MARGIN_MS: Final = 5_000
"""A gateway ends the call by itself at its Session-Timeout; we only ask when it did not."""

_ORIGINATE: Final = ":originate"


class DynamicRequest(NamedTuple):
    """``where`` None: nothing says where this gateway listens."""

    code: int
    attributes: bytes
    where: Address | None


class Named(NamedTuple):
    """What the key of a call says of it."""

    nas: str
    session_id: str


def names_of(session_key: str, profile: Profile) -> Named:
    nas, _, session_id = session_key.removeprefix(profile.prefix).partition(":")
    return Named(unquote(nas), session_id.removesuffix(_ORIGINATE).partition(";")[0])


def disconnect_request(session: CreditSession, profile: Profile, dictionary: Dictionary, now_ms: int) -> DynamicRequest:
    """End the call."""
    attributes = _identity(session, profile, dictionary, now_ms)
    return DynamicRequest(DISCONNECT_REQUEST, attributes, where_of(session, profile))


def extend_request(
    session: CreditSession, total_s: int, profile: Profile, dictionary: Dictionary, now_ms: int
) -> DynamicRequest:
    """Let the call go on until it has lasted ``total_s`` in all."""
    assert profile.dialect.dynamic.extend != "no", "who asks looks whether the product can"
    seconds = total_s
    if profile.dialect.dynamic.extend == "remaining":
        seconds -= max(0, now_ms - session.opened_at_ms) // 1000
    limit = integer_attribute(SESSION_TIMEOUT, max(1, seconds))
    attributes = _identity(session, profile, dictionary, now_ms) + limit
    return DynamicRequest(COA_REQUEST, attributes, where_of(session, profile))


def reauthorization(session: CreditSession, profile: Profile, now_ms: int) -> ChargingRequest:
    """Reserve anew what the account affords now, without a report: its number is the next one after all reports."""
    used_s = max((state.used for state in session.groups), default=0)
    wanted = Quantity(UnitKind.SECONDS, max(1, profile.session_max_s - used_s))
    return ChargingRequest(
        kind=RequestKind.UPDATE,
        session_key=session.session_key,
        request_number=max(session.seen.highest, 0) + 1,
        identities=(),
        service=session.service,
        event_at_ms=now_ms,
        groups=(GroupRequest(GroupKey(), (wanted,)),),
        cumulative=True,
        peer=session.peer,
        all_affordable=True,
    )


def total_s(session: CreditSession, answer: ChargingAnswer) -> int:
    """How long the call may last in all after a re-authorization; 0 if it got nothing."""
    granted = answer.groups[0].granted if answer.groups else 0
    return max((state.used for state in session.groups), default=0) + granted if granted else 0


def grant_ends_ms(session: CreditSession) -> int:
    """When a call that says nothing has used up what it was granted."""
    granted_s = max((state.granted for state in session.groups), default=0)
    return session.heard_at_ms + granted_s * 1000


def _identity(session: CreditSession, profile: Profile, dictionary: Dictionary, now_ms: int) -> bytes:
    """By what the gateway knows the call, and when it is asked: a repeat bears the same instant [R-90] [R-93]."""
    names = names_of(session.session_key, profile)
    kept = dict(session.details)
    octets = b""
    for name in profile.dialect.dynamic.identify:
        said = _SAID[name](session, names) if name in _SAID else kept.get(name, "")
        if said:
            octets += attribute_octets(name, said if name in _ADDRESSES else quoted(said), dictionary)
    if profile.dialect.dynamic.event_timestamp:
        octets += integer_attribute(EVENT_TIMESTAMP, now_ms // 1000)
    return octets


def _nas_address(names: Named) -> str:
    try:
        return str(ip_address(names.nas))
    except ValueError:
        return ""


_SAID: Final[dict[str, Callable[[CreditSession, Named], str]]] = {
    "Acct-Session-Id": lambda _, names: names.session_id,
    "NAS-Identifier": lambda _, names: "" if _nas_address(names) else names.nas,
    "NAS-IP-Address": lambda _, names: _nas_address(names) if ":" not in names.nas else "",
    "NAS-IPv6-Address": lambda _, names: _nas_address(names) if ":" in names.nas else "",
    "Calling-Station-Id": lambda session, _: session.origin,
    "Called-Station-Id": lambda session, _: session.destination,
}
assert _SAID.keys() == set(IDENTIFIERS), "what need not be kept is known from the session"
_ADDRESSES: Final = frozenset(("NAS-IP-Address", "NAS-IPv6-Address"))


def where_of(session: CreditSession, profile: Profile) -> Address | None:
    """As set for the client; else the gateway's own address, or the only one that the client has."""
    client = profile.client
    if client.dynamic_authorization:
        return parse_address(client.dynamic_authorization)
    if client.certificate_names:  # it is asked on its own connection, by the process that has it
        return None
    port = profile.dialect.dynamic.port
    own = _nas_address(names_of(session.session_key, profile))
    if own:
        return Address(own, port)
    networks = [ip_network(text) for text in client.networks]
    if len(networks) == 1 and networks[0].num_addresses == 1:
        return Address(str(networks[0].network_address), port)
    return None
