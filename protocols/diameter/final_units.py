"""Final-Unit-Indication, and its successor QoS-Final-Unit-Indication for clients of RFC 8506 (sections 8.34 and 8.68)."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final, NamedTuple

from protocols.diameter import avp, codes

TERMINATE: Final = 0
REDIRECT: Final = 1
RESTRICT_ACCESS: Final = 2

# Redirect-Address-Type (RFC 8506, section 8.38), and for the successor the member that has such an address (8.65 to 8.67).
_IPV4, _IPV6, _URL, _SIP_URI = range(4)
_PERMIT: Final = 3  # Treatment-Action (RFC 5777, section 5.1)
_DIRECTIONS: Final = {"in": 0, "out": 1}  # Direction (RFC 5777, section 4.1.3)
_PORT_MAX: Final = 65_535
_RULE: Final = re.compile(
    r"permit (in|out) (ip|\d{1,3}) from (\S+)(?: (\d[\d,-]*))? to (\S+)(?: (\d[\d,-]*))?", re.ASCII
)


class FinalUnit(NamedTuple):
    """What a client does when the units of a grant are used: the action, and where to or what stays allowed."""

    action: int
    redirect: str = ""
    filter_rules: tuple[str, ...] = ()
    filter_ids: tuple[str, ...] = ()


@lru_cache(maxsize=1024)
def final_unit(unit: FinalUnit, knows_successor: bool = False) -> bytes:
    """The indication; for a client that knows the successor that, too, as far as it can say the same [G-54]."""
    return _indication(unit) + (_qos_indication(unit) if knows_successor else b"")


def _indication(unit: FinalUnit) -> bytes:
    """{action, Restriction-Filter-Rule*, Filter-Id*, [Redirect-Server]}; with TERMINATE nothing else."""
    members = [avp.avp_u32(codes.FINAL_UNIT_ACTION, unit.action)]
    members += [avp.avp_text(codes.RESTRICTION_FILTER_RULE, rule) for rule in unit.filter_rules]
    members += [avp.avp_text(codes.FILTER_ID, name) for name in unit.filter_ids]
    if unit.redirect:
        kind = avp.avp_u32(codes.REDIRECT_ADDRESS_TYPE, _address_type(unit.redirect))
        server = kind + avp.avp_text(codes.REDIRECT_SERVER_ADDRESS, unit.redirect)
        members.append(avp.avp(codes.REDIRECT_SERVER, server))
    return avp.avp(codes.FINAL_UNIT_INDICATION, b"".join(members))


FINAL_UNIT_TERMINATE: Final = _indication(FinalUnit(TERMINATE))


def _qos_indication(unit: FinalUnit) -> bytes:
    """{action, Filter-Rule*, Filter-Id*, [Redirect-Server-Extension]}, without the M bit: who knows it reads it alone.

    So where a rule cannot be said in it, it is left out: the older indication has them all.
    """
    rules = [_filter_rule(rule, number) for number, rule in enumerate(unit.filter_rules, start=1)]
    if b"" in rules:
        return b""
    members = [avp.avp_u32(codes.FINAL_UNIT_ACTION, unit.action), *rules]
    members += [avp.avp_text(codes.FILTER_ID, name) for name in unit.filter_ids]
    if unit.redirect:
        members.append(avp.avp(codes.REDIRECT_SERVER_EXTENSION, _redirect_address(unit.redirect), mandatory=False))
    return avp.avp(codes.QOS_FINAL_UNIT_INDICATION, b"".join(members), mandatory=False)


def _address_type(address: str) -> int:
    if address.lower().startswith(("sip:", "sips:")):
        return _SIP_URI
    try:
        return _IPV4 if ip_address(address).version == 4 else _IPV6
    except ValueError:
        return _URL


def _redirect_address(address: str) -> bytes:
    kind = _address_type(address)
    if kind == _URL:
        return avp.avp_text(codes.REDIRECT_ADDRESS_URL, address, mandatory=False)
    if kind == _SIP_URI:
        return avp.avp_text(codes.REDIRECT_ADDRESS_SIP_URI, address, mandatory=False)
    return avp.avp_address(codes.REDIRECT_ADDRESS_IP_ADDRESS, address, mandatory=False)


def _filter_rule(rule: str, number: int) -> bytes:
    """An IPFilterRule as Filter-Rule {Filter-Rule-Precedence, Classifier, Treatment-Action} (RFC 5777); b"" if it says more."""
    match = _RULE.fullmatch(" ".join(rule.split()))
    if match is None:
        return b""
    direction, protocol, source, source_ports, target, target_ports = match.groups()
    members = [avp.avp(codes.CLASSIFIER_ID, b"rule %d" % number)]
    if protocol != "ip":
        members.append(avp.avp_u32(codes.PROTOCOL, int(protocol)))
    members.append(avp.avp_u32(codes.DIRECTION, _DIRECTIONS[direction]))
    for key, place, ports in (
        (codes.FROM_SPEC, source, source_ports),
        (codes.TO_SPEC, target, target_ports),
    ):
        found = _place(place, ports or "")
        if found is None:
            return b""
        members += [avp.avp(key, found)] if found else []
    parts = (
        avp.avp_u32(codes.FILTER_RULE_PRECEDENCE, number),
        avp.avp(codes.CLASSIFIER, b"".join(members)),
        avp.avp_u32(codes.TREATMENT_ACTION, _PERMIT),
    )
    return avp.avp(codes.FILTER_RULE, b"".join(parts))


def _place(text: str, ports: str) -> bytes | None:
    """From-Spec or To-Spec: an address, a network, ``assigned`` (the user's own) or ``any``; None for what it cannot be."""
    if text == "assigned":
        members = avp.avp_u32(codes.USE_ASSIGNED_ADDRESS, 1)
    elif text == "any":
        members = b""
    else:
        try:
            members = _network(ip_network(text, strict=False))
        except ValueError:
            return None
    for part in ports.split(",") if ports else ():
        first, dash, last = part.partition("-")
        if not first.isdigit() or (dash and not last.isdigit()) or max(int(first), int(last or 0)) > _PORT_MAX:
            return None
        if dash:
            span = avp.avp_u32(codes.PORT_START, int(first)) + avp.avp_u32(codes.PORT_END, int(last))
            members += avp.avp(codes.PORT_RANGE, span)
        else:
            members += avp.avp_u32(codes.PORT, int(first))
    return members


def _network(network: IPv4Network | IPv6Network) -> bytes:
    address = avp.avp_address(codes.IP_ADDRESS, str(network.network_address))
    if network.prefixlen == network.max_prefixlen:
        return address
    return avp.avp(codes.IP_ADDRESS_MASK, address + avp.avp_u32(codes.IP_BIT_MASK_WIDTH, network.prefixlen))
