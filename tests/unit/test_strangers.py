"""Whom no account is known for is told of seldom, whatever comes: once an hour for each identity, and of few in all."""

from __future__ import annotations

from ocs.charging.account_events import event_of
from ocs.charging.request import ChargingRequest, RequestKind
from ocs.charging.strangers import ELEMENTS_MAX, IDENTITIES_MAX, WINDOW_MS, Told, entry_of

NOW_MS = 500_000 * WINDOW_MS


def refused(identity: str, peer: str = "pgw") -> ChargingRequest:
    """An INITIAL of somebody."""
    return ChargingRequest(RequestKind.INITIAL, "gy:s", 0, (identity,), "voice", NOW_MS, (), "100", peer=peer)


def test_a_stranger_is_news_once_an_hour() -> None:
    """For each network element that brings him."""
    told = Told()
    asked = [("pgw", "a"), ("pgw", "a"), ("smsc", "a"), ("pgw", "b"), ("smsc", "a")]
    assert [told.is_news(peer, identity, NOW_MS) for peer, identity in asked] == [True, False, True, True, False]
    assert not told.is_news("pgw", "a", NOW_MS + WINDOW_MS - 1)
    assert told.is_news("pgw", "a", NOW_MS + WINDOW_MS)


def test_a_flood_of_strangers_is_bounded() -> None:
    """Of an element some identities, and of so many elements: however many packets come; the next hour begins anew."""
    told = Told()
    for hour in (0, 1):
        flood = [(peer, name) for name in range(50) for peer in range(300)]
        news = sum(told.is_news(f"p{peer}", f"i{name}", NOW_MS + hour * WINDOW_MS) for peer, name in flood)
        assert news == ELEMENTS_MAX * IDENTITIES_MAX


def test_the_event_is_named_by_what_it_says() -> None:
    """Two processes that meet him in the same hour write one event; another hour, reason, identity or element is another one."""
    first = entry_of(refused("e164:1"), "unknown_subscriber", NOW_MS)
    assert entry_of(refused("e164:1"), "unknown_subscriber", NOW_MS + 1000).entry_number == first.entry_number
    others = [
        entry_of(refused("e164:1"), "unknown_subscriber", NOW_MS + WINDOW_MS),
        entry_of(refused("e164:1"), "unknown_account", NOW_MS),
        entry_of(refused("e164:2"), "unknown_subscriber", NOW_MS),
        entry_of(refused("e164:1", "smsc"), "unknown_subscriber", NOW_MS),
    ]
    assert len({first.entry_number, *(each.entry_number for each in others)}) == 5
    event = event_of(first)
    assert event is not None
    assert (event.event_type, event.account_id, event.facts["identity"], event.facts["actor"]) == (
        "session_refused", "", "e164:1", "pgw",
    )  # fmt: skip
