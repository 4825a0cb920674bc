"""Feeds over HTTP: which receivers there are, what they have not been given yet, and records to be given again."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from litestar import get, post
from litestar.params import FromPath, JSONBody

from ocs.api.billing import READ, WRITE, how
from ocs.api.context import Given
from ocs.api.problems import Kind, Problem, invalid
from ocs.api.schemas import Instant, milliseconds
from ocs.feeds.queue import FeedState, replay, state_of


class ReplayOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Records whose use began in ``[since, until)``."""

    since: Instant
    until: Instant


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """How many records are given again, those that were still waiting not among them."""

    records: int


@get("/feeds", **how("list_feeds", READ))
async def list_feeds(context: Given) -> list[FeedState]:
    """The receivers of `feeds.toml`, and what each of them has not been given yet."""
    async with context.billing.desk() as desk:
        return [await state_of(desk.connection, feed) for feed in context.billing.feeds.values()]


@post("/feeds/{feed:str}/replays", status_code=202, **how("replay_feed", WRITE))
async def replay_feed(feed: FromPath[str], data: JSONBody[ReplayOrder], context: Given) -> Replayed:
    """Give records to a receiver again, under the same ids: what he has already he knows by them."""
    if feed not in context.billing.feeds:
        raise Problem(Kind.BILLING_UNKNOWN, f"feeds.toml has no feed {feed}")
    since_ms, until_ms = milliseconds("since", data.since), milliseconds("until", data.until)
    if until_ms <= since_ms:
        raise invalid("until", "is to come after since")
    async with context.billing.desk() as desk:
        return Replayed(records=await replay(desk.connection, feed, since_ms, until_ms))


ROUTES: Final[tuple[Any, ...]] = (list_feeds, replay_feed)
