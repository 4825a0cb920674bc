"""Which open sessions a change of their account concerns, and what their clients are to be told. Pure.

A notice is advice: whether it arrives, arrives twice or never, no money moves by it. The client answers it with a
request of its own, and that one is charged like any other. Without it the client comes at its Validity-Time.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import Final

import msgspec
from msgspec import structs

from balance.account import AccountState
from ocs.charging.levels import client_key
from ocs.charging.session import CreditSession, SessionKind


class NoticeKind(IntEnum):
    """Come and ask again (RAR), or end it (ASR)."""

    REAUTHORIZE = 1
    ABORT = 2


class Change(IntEnum):
    """What happened to an account, as far as its open sessions are concerned."""

    PAID_IN = 1
    SUSPENDED = 2
    ACTIVATED = 3
    CLOSED = 4
    LIMITED = 5


class Notice(msgspec.Struct, array_like=True, frozen=True):
    """One message to one session's client. ``peer`` is the Origin-Host or client name that the session came from.

    ``tried`` names the connections on which it was sent before, in any process.
    """

    kind: NoticeKind
    session_key: str
    peer: str
    cause: str
    at_ms: int
    tried: tuple[str, ...] = ()
    takes_half: bool = False  # another session needs money: the next grant leaves half of what is there


CHANGE_OF_STATE: Final = {
    AccountState.ACTIVE: Change.ACTIVATED,
    AccountState.SUSPENDED: Change.SUSPENDED,
    AccountState.CLOSED: Change.CLOSED,
    AccountState.CREATED: Change.ACTIVATED,
    AccountState.GRACE: Change.SUSPENDED,
    AccountState.RECYCLED: Change.CLOSED,
    AccountState.LIMITED: Change.LIMITED,
}
assert CHANGE_OF_STATE.keys() == set(AccountState)

_CAUSES: Final = {
    Change.PAID_IN: "money was paid in",
    Change.SUSPENDED: "the account was suspended",
    Change.ACTIVATED: "the account was activated",
    Change.CLOSED: "the account was closed",
    Change.LIMITED: "the account was limited to incoming calls",
}

NEED: Final = "another session of the account needs money"

# RFC 8506, section 5.5; statements 77 to 79.
#   change        which sessions     what they are told
_NOTICES: Final = {
    Change.PAID_IN: ("waiting", NoticeKind.REAUTHORIZE),
    Change.SUSPENDED: ("all", NoticeKind.REAUTHORIZE),
    Change.ACTIVATED: ("waiting", NoticeKind.REAUTHORIZE),
    Change.CLOSED: ("all", NoticeKind.ABORT),
    Change.LIMITED: ("all", NoticeKind.REAUTHORIZE),
}
assert _NOTICES.keys() == set(Change)


def notices_of(change: Change, sessions: Iterable[CreditSession], now_ms: int) -> list[Notice]:
    """What the clients of these sessions have to hear of the change."""
    which, kind = _NOTICES[change]
    return [
        notice_to(session, kind, _CAUSES[change], now_ms)
        for session in sessions
        if session.kind is SessionKind.CALL and (which == "all" or is_waiting(session))
    ]


def notices_of_need(needy_key: str, sessions: Iterable[CreditSession], now_ms: int) -> list[Notice]:
    """Ask those that hold money of the account to come, but not the one that needs it. RADIUS calls keep their grant."""
    return [
        structs.replace(notice_to(session, NoticeKind.REAUTHORIZE, NEED, now_ms), takes_half=True)
        for session in sessions
        if session.kind is SessionKind.CALL
        and session.session_key.startswith("gy:")
        and session.session_key != needy_key
        and session.reservation
    ]


def notice_to(session: CreditSession, kind: NoticeKind, cause: str, now_ms: int) -> Notice:
    """Of a session in levels, that which the client knows is told."""
    return Notice(kind, client_key(session.session_key), session.peer, cause, now_ms)


def is_waiting(session: CreditSession) -> bool:
    """Whether a group was refused for want of money, or is on its last quota.

    The last quota counts, too: after TERMINATE no further request comes, so no later answer could lift the mark
    (statement 78 is about clients that do come again, and those lose nothing by coming earlier).
    """
    return any(group.is_waiting for group in session.groups)
