"""What a decision is made from, and what it is: the answer, and everything that has to become true before it may leave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, Protocol, TypeVar

import msgspec

from balance.account import Account
from ocs.charging.cdr import JournalEntry
from ocs.charging.policy import QuotaPolicy
from ocs.charging.request import ChargingRequest, GroupKey
from ocs.charging.session import CreditSession, Record, Tombstone
from ocs.rating.bundles import Package, Use
from ocs.rating.finals import FinalUnits
from ocs.rating.origins import NOWHERE, Origin
from ocs.rating.price import Price, Tariff
from ocs.rating.ratebook import RatingFault
from ocs.rating.rateplan import Authorization

AnswerT = TypeVar("AnswerT")


class Rates(Protocol):
    """What the core asks of the rate book."""

    @property
    def version(self) -> str:
        """The name of its content, as on each of its tariffs."""

    @property
    def by_place(self) -> frozenset[tuple[str, str]]:
        """The (plan, service) pairs of which some price depends on where the user roams."""

    @property
    def by_direction(self) -> bool:
        """Whether some price depends on who calls whom."""

    @property
    def final_units(self) -> Mapping[tuple[str, str], FinalUnits]:
        """By (plan, service): what follows on the last quota, where the plan says it."""

    @property
    def timed_services(self) -> frozenset[str]:
        """The services of which some price is for volume and time at once."""

    def tariff_for(
        self,
        plan: str,
        service: str,
        rating_group: int,
        service_ids: tuple[int, ...],
        destination: str,
        at_ms: int,
        origin: Origin = NOWHERE,
    ) -> Tariff | RatingFault:
        """The price that applies to this use at this instant, or why there is none."""

    def lasting(self, price: Price, began_ms: int, lasts_s: int) -> Price:
        """The same price for a session that lasts so long, where more of its calendar has to be pinned for that."""

    def authorization_of(self, plan: str, at_ms: int) -> Authorization | None:
        """How much a call may hold at once; None for all that is affordable."""

    def bundles_for(self, plan: str, tariff: Tariff, use: Use) -> tuple[str, ...]:
        """The bundles of the plan whose units may pay for a use."""

    def package(self, plan: str, name: str, at_ms: int) -> Package | None:
        """What the plan sells under a name at an instant."""

    def time_zone_of(self, plan: str) -> str:
        """The zone by whose clocks the plan's periods end; empty where it says none."""

    def currency_of(self, plan: str) -> str | None:
        """The plan's currency; None for a plan that is not known."""


class Case(msgspec.Struct, frozen=True, gc=False):
    """Everything one decision is made from.

    ``lease`` is an authorization under another key, ``debit`` the event that is to be refunded, if there is one. Groups whose
    tariff was chosen before ``follow_since_ms`` are charged by the rates of now from their next grant on (0: they keep theirs).
    ``most`` is how many units other levels can pay for, by group; None: there are no others.
    """

    request: ChargingRequest
    record: Record | None
    lease: CreditSession | None
    subscriber_id: str
    rates: Rates
    policy: QuotaPolicy
    now_ms: int
    debit: Tombstone | None = None
    follow_since_ms: int = 0
    most: Mapping[GroupKey, int] | None = None


class Decision(msgspec.Struct, Generic[AnswerT], frozen=True, gc=False):
    """``records`` are the sessions' new values (None deletes); ``account`` is unchanged if it is the same object.

    ``others`` are accounts in levels below it that change along, each with its next version.
    """

    answer: AnswerT
    account: Account
    records: tuple[tuple[str, Record | None], ...] = ()
    entries: tuple[JournalEntry, ...] = ()
    is_replay: bool = False  # a stored answer: nothing to confirm
    others: tuple[Account, ...] = ()
