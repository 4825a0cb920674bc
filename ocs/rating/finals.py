"""What a client does when the last quota of a service is used up: as plans say it for their own, and the settings for all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import msgspec

VALIDITY_S_MIN: Final = 10


class FinalUnits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[[final_units]]`` of a plan or of the settings (RFC 8506, section 5.6)."""

    service: str
    action: Literal["terminate", "redirect", "restrict"] = "terminate"
    redirect: str = ""  # where to: a URL, a SIP URI or an address
    filter_rules: tuple[str, ...] = ()  # IPFilterRule: what stays allowed
    filter_ids: tuple[str, ...] = ()
    validity_s: int = 300  # after so long the client asks again


def faults_of(final: FinalUnits) -> Iterator[tuple[str, str, str]]:
    """Say what contradicts itself: field, message, cure."""
    if (final.action == "redirect") != bool(final.redirect):
        yield "redirect", "belongs to the action redirect", 'such as redirect = "http://portal.example.net/"'
    if final.action == "restrict" and not final.filter_rules and not final.filter_ids:
        yield "filter_rules", "are empty, and filter_ids, too", "say what stays allowed"
    if final.action == "terminate" and (final.filter_rules or final.filter_ids):
        yield "action", "terminate has no filters", "redirect or restrict"
