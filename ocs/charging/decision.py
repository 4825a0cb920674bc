"""What a decision is: the answer, and everything that has to become true before the answer may leave."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

import msgspec

from balance.account import Account
from ocs.charging.cdr import JournalEntry
from ocs.charging.session import Record
from ocs.rating.origins import NOWHERE, Origin
from ocs.rating.price import Price, Tariff
from ocs.rating.ratebook import RatingFault
from ocs.rating.rateplan import Authorization

AnswerT = TypeVar("AnswerT")


class Rates(Protocol):
    """What the core asks of the rate book."""

    @property
    def has_time(self) -> bool:
        """Whether some price is for volume and time at once."""

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

    def currency_of(self, plan: str) -> str | None:
        """The plan's currency; None for a plan that is not known."""


class Decision(msgspec.Struct, Generic[AnswerT], frozen=True, gc=False):
    """``records`` are the sessions' new values (None deletes); ``account`` is unchanged if it is the same object."""

    answer: AnswerT
    account: Account
    records: tuple[tuple[str, Record | None], ...] = ()
    entries: tuple[JournalEntry, ...] = ()
    is_replay: bool = False  # a stored answer: nothing to confirm
