"""What every protocol asks of the charging core, and what it gets back.

The gateways translate protocol records to and from these; nothing here knows Diameter, RADIUS or HTTP.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Final, NamedTuple, TypeAlias

import msgspec

from balance.money import Amount
from ocs.rating.units import UnitKind


class RequestKind(IntEnum):
    """The four credit-control request types (RFC 8506, section 8.3), and our own: a session whose time ran out."""

    INITIAL = 1
    UPDATE = 2
    TERMINATION = 3
    EVENT = 4
    EXPIRY = 5


class EventAction(IntEnum):
    """Requested-Action of an EVENT (RFC 8506, section 8.41)."""

    DIRECT_DEBITING = 0
    REFUND_ACCOUNT = 1
    CHECK_BALANCE = 2
    PRICE_ENQUIRY = 3


class ChargingStatus(IntEnum):
    """Every outcome a peer may see, for the whole request or for one group; each protocol has one table for them."""

    SUCCESS = 1
    USER_UNKNOWN = 2
    SERVICE_DENIED = 3  # the account is suspended or closed
    CREDIT_LIMIT_REACHED = 4
    FREE = 5  # no credit control needed
    RATING_FAILED = 6  # no tariff for the service, group or destination
    SESSION_UNKNOWN = 7
    CONTRADICTION = 8  # the same request number with other content
    INVALID_VALUE = 9  # beyond what is plausible: refused, never wrapped
    UNAVAILABLE = 10  # the store is away
    TOO_BUSY = 11
    INTERNAL_FAULT = 12
    DESTINATION_BARRED = 13
    TOO_MANY_CALLS = 14  # the account has as many open, or has begun as many in this second, as it may


class FinalUnitAction(IntEnum):
    """Final-Unit-Action (RFC 8506, section 8.35)."""

    TERMINATE = 0
    REDIRECT = 1
    RESTRICT_ACCESS = 2


class FinalHandling(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What goes with REDIRECT and RESTRICT_ACCESS: where to, and what stays allowed."""

    redirect: str = ""
    filter_rules: tuple[str, ...] = ()
    filter_ids: tuple[str, ...] = ()


class GroupKey(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Which services a quota is for [G-20]. ``rating_group`` -1: none named; both empty: the session's one bearer.

    ``beside`` is set for what is counted beside the tariff's own unit: the time of data that pays for both.
    """

    rating_group: int = -1
    service_ids: tuple[int, ...] = ()
    beside: bool = False


class Quantity(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An amount of one kind. In a request, ``value`` 0 means: you choose."""

    kind: UnitKind
    value: int


class GroupRequest(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One group's part of a request [G-22].

    ``requested`` None: no more is wanted; empty: wanted, kind and amount are ours to choose [G-23].
    ``used`` None: nothing reported; empty: zero use. Reports are increments, unless the request says cumulative.
    Several reports are already summed per kind by the gateway [G-28]. Of ``used``, ``after`` was used after the change of
    price that the client was told of; None: the client told no sides. ``is_side_unsure``: some of it on either side.
    """

    key: GroupKey
    requested: tuple[Quantity, ...] | None = None
    used: tuple[Quantity, ...] | None = None
    after: tuple[Quantity, ...] | None = None
    is_side_unsure: bool = False


Details: TypeAlias = tuple[tuple[str, str], ...]

ROLE: Final = "Role-Of-Node"
TERMINATING: Final = (ROLE, "1")
"""Among the details: the one who is charged is the one who is called (TS 32.299, section 7.2.163)."""


class Parties(NamedTuple):
    """Who is charged (identities, to be tried in order), between which numbers, by which authorization (RADIUS), and
    what else the client said that is to be kept with the session.
    """

    identities: tuple[str, ...] = ()
    destination: str = ""
    origin: str = ""
    leases: tuple[str, ...] = ()
    details: Details = ()
    whereabouts: str = ""


class ChargingRequest(msgspec.Struct):
    """One interrogation. Sizes are bounded by the protocol's framing limits.

    ``session_key`` is globally unique and prefixed by its protocol (``gy:...``, ``ra:...``).
    ``identities`` are tried in order. ``destination`` holds the normalized digits (or the SIP user) to rate, or "".
    ``parties`` gives identities, destination, origin and ``leases`` when they are wanted: an update of a session that is known
    does without, and the gateway need not take the request apart that far.
    ``fingerprint`` is a checksum of what was asked and reported: the same number with another one is no repeat.
    ``event_at_ms`` is the event's time at the client, already forced into the sane window; ``now`` if it gave none.
    """

    kind: RequestKind
    session_key: str
    request_number: int
    identities: tuple[str, ...]
    service: str
    event_at_ms: int
    groups: tuple[GroupRequest, ...]
    destination: str = ""
    origin: str = ""  # the caller's number, where known
    fingerprint: int = 0
    action: EventAction = EventAction.DIRECT_DEBITING
    cumulative: bool = False  # RADIUS: used is the total so far
    peer: str = ""  # Origin-Host or the RADIUS client's name
    cause: str = ""  # why the session ended, for the record
    leases: tuple[str, ...] = ()  # RADIUS: the authorization that this session takes over has one of these keys
    lease_ms: int = 0  # how long the reservation may wait for the next sign; 0: by policy
    duration_from_times: bool = False  # RADIUS: used is the time from the session's start to this event
    parties: Callable[[], Parties] | None = None
    is_forced: bool = False  # EXPIRY: close it whatever its deadline says
    all_affordable: bool = False  # RADIUS: grant all that the balance pays for, up to the maximum
    details: Details = ()  # what the client said, by its attributes' names: kept with the session, then in its record
    flags: int = 0  # CdrFlag: what a biller should know of this report
    currency: str = ""  # of MONEY quantities; an account of another currency cannot be charged so
    counts_since_last: bool = False  # with cumulative: used is what came since the record before (Rf containers)
    refund_of: str = ""  # REFUND_ACCOUNT: the session key of the debit
    octets_wrap: int = 0  # RADIUS: where a counter of octets begins again, if nobody counts how often
    whereabouts: str = ""  # where the user is, as far as the client says: see ocs/rating/whereabouts.py
    takes_half: bool = False  # UPDATE: another session needs money, so this one is granted half of what is left at most
    main_key: str = ""  # INITIAL of a sub-session: the session that it is part of
    is_sub: bool = False  # of a sub-session
    tells_start: bool = (
        False  # RADIUS: the call's beginning will be said, and its authorization need not wait for its end
    )
    tells_sides: bool = False  # the client can tell what was used before and after a change of price [G-70]

    def complete(self) -> None:
        """Ask the gateway for what it left out."""
        if self.parties is not None:
            parties = self.parties()
            self.identities, self.destination, self.origin, self.leases, self.details, self.whereabouts = parties
            self.parties = None


class GroupAnswer(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """``kind`` 0 and ``granted`` 0: no grant. ``final`` -1: no final-unit indication. ``validity_s`` 0: none.

    ``change_at_ms``: the price of the grant changes then, and the client is to report both sides; 0: it does not.
    """

    key: GroupKey
    status: ChargingStatus
    kind: int = 0
    granted: int = 0
    validity_s: int = 0
    final: int = -1
    threshold: int = 0
    granted_s: int = 0  # beside octets: so many seconds, whichever ends first
    change_at_ms: int = 0
    handling: FinalHandling | None = None


class ChargingAnswer(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """``cost`` is what the session (or the event) has cost so far; ``available`` what the account may still spend.

    ``check_balance`` is -1, or for CHECK_BALANCE 0 (enough) or 1 (not enough), as on the wire.
    """

    status: ChargingStatus
    groups: tuple[GroupAnswer, ...] = ()
    cost: Amount = 0
    currency: str = ""
    available: Amount = 0
    low_balance: bool = False
    check_balance: int = -1
    is_session_new: bool = False
    # Of a refusal for want of money: what the account's other sessions hold. Of an authorization: what it holds itself.
    held: Amount = 0
    on_credit: bool = False  # the account may spend more than was paid in
    is_expired: bool = False  # the account is refused because its time is over, and nothing else blocks it
